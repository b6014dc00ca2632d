"""What a kata's code has logged while its test failed: of a server's 500, that is the reason."""

from __future__ import annotations

import traceback

import pytest
from _pytest.logging import caplog_handler_key

from dojo.parked import FOLDERS, shown_path


def logged_by(item: pytest.Item, answer: str) -> str:
    """The last exception that the test had logged and that came out of a line of a kata; "" for none.

    The line that is named is in the file that is on trial, where the exception came through it.
    """
    handler = item.stash.get(caplog_handler_key, None)
    for record in reversed(handler.records if handler else []):
        error = record.exc_info[1] if record.exc_info else None
        trace = traceback.walk_tb(error.__traceback__) if error else ()
        lines = [(frame.f_code.co_filename, number) for frame, number in trace]
        if lines and lines[-1][0].startswith(tuple(FOLDERS)):
            file, number = next((line for line in reversed(lines) if line[0] == answer), lines[-1])
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
            return f"\nlogged meanwhile: {said} at {shown_path(file)}:{number}"
    return ""
