"""Make the picture that the README shows: `python dojo/tests/screenshot.py`, after a change of the page.

Writes katas/f5_capstone.png: the page of the reference, served by the reference all the way down.
"""

import importlib
import sys
import types
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[2]
STEM = "f5_capstone"
ITEMS = [
    "a generator that waits for bytes",
    "a scheduler of one's own",
    "an HTTP server",
    "a framework, a database",
]
WIDTH, HEIGHT = 900, 600


def main() -> None:
    sys.path.insert(0, str(ROOT))
    katas = types.ModuleType("katas")
    katas.__path__ = [str(ROOT / "solutions")]  # where its modules are looked for
    sys.modules["katas"] = katas
    from dojo.kit.browser import browser
    from dojo.kit.http_rules import request
    from dojo.kit.rude import ask
    from dojo.kit.serving import running

    capstone = importlib.import_module(f"katas.{STEM}")
    folder = TemporaryDirectory()
    path: Any = Path(folder.name, "items.db")
    with folder, running(capstone.run, path) as server:
        for item in ITEMS:
            body = urlencode({"name": item}).encode()
            ask(
                server.port,
                request("POST /items", f"Content-Length: {len(body)}", "Connection: close", body=body),
            )
        with browser() as chromium:
            page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(f"http://127.0.0.1:{server.port}/")
            page.evaluate("document.activeElement.blur()")  # a cursor that blinks makes two pictures
            picture = ROOT / "katas" / f"{STEM}.png"
            page.screenshot(path=picture)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size} octets")


if __name__ == "__main__":
    main()
