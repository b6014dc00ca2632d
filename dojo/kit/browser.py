"""A real browser without a window, Chromium, driven by Playwright: for contributors, learners need neither.

    with browser() as chromium, chromium.new_page() as page: ...

The Chromium is the system's own: Playwright's download is not wanted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 15_000.0  # milliseconds that a page has for anything: no right answer comes near it


def program() -> str | None:
    """Where Chromium is, if it is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start it, with a profile that is new and goes with it; in the end nothing of it is left."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program(), args=SWITCHES, timeout=PATIENCE)
        try:
            yield chromium
        finally:
            chromium.close()
