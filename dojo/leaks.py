"""What a test left behind: sockets, coroutines, threads."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dojo import parked
from dojo.parked import shown_path


class Strays:
    """Exceptions that reach nobody: of threads that died, and of objects that were thrown away."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def of_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            self.errors.append(args.exc_value)

    def of_object(self, unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_value is not None:
            self.errors.append(unraisable.exc_value)

    @contextmanager
    def caught(self) -> Iterator[None]:
        of_thread, of_object = threading.excepthook, sys.unraisablehook
        threading.excepthook, sys.unraisablehook = self.of_thread, self.of_object
        try:
            yield
        finally:
            threading.excepthook, sys.unraisablehook = of_thread, of_object


def forget_failures() -> None:
    """Let go of the frames of an earlier failure, and of all that lives in them."""
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        sys.__dict__.pop(name, None)


@contextmanager
def none_left() -> Iterator[None]:
    """Fail where the code inside leaves something open that it should have closed.

    Also turns every other warning into an error, and raises what was raised where nobody
    could catch it. Raises AssertionError, or that exception.
    """
    forget_failures()
    depth = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(4)
    strays = Strays()
    try:
        with strays.caught(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            gc.collect()  # what earlier tests dropped is not to be blamed on this one
            gc.freeze()  # what has survived will survive: the next collection need not look at it again
            caught.clear()
            strays.errors.clear()
            try:
                yield
            except BaseException as consequence:
                for cause in strays.errors:
                    raise cause from consequence
                raise
            gc.collect()
    finally:
        sys.set_coroutine_origin_tracking_depth(depth)
    for error in strays.errors:
        raise error
    for warning in caught:
        raise AssertionError(_sentence(warning))


def _sentence(warning: warnings.WarningMessage) -> str:
    text = str(warning.message)
    if "was never awaited" in text:
        lines = text.splitlines()
        made = [
            line.strip()
            for line in lines
            if any(folder in line for folder in (*parked.FOLDERS, parked.TESTS))
        ]
        where = (
            f" (made in {shown_path(made[-1].split(chr(34))[1])}, {made[-1].split(', ')[1]})" if made else ""
        )
        return f"{lines[0]}{where}: calling a coroutine function only makes the coroutine"
    if issubclass(warning.category, ResourceWarning):
        return f"something was left open when the test was over: {text}"
    return f"{warning.category.__name__}: {text} ({shown_path(warning.filename)}:{warning.lineno})"


def threads_end(earlier: set[threading.Thread], patience: float) -> None:
    """Fail where a thread is still at work in a kata, after patience seconds, that was not there earlier."""
    for thread in set(threading.enumerate()) - earlier:
        if thread.ident is not None and _kata_line(thread.ident):
            thread.join(patience)
            if thread.is_alive() and (line := _kata_line(thread.ident)):
                raise AssertionError(f"a thread was left behind when the test was over: it stands at {line}")


def _kata_line(ident: int) -> str | None:
    frame = sys._current_frames().get(ident)
    for entry in reversed(traceback.extract_stack(frame)) if frame else ():
        if entry.filename.startswith(tuple(parked.FOLDERS)):
            return f"{shown_path(entry.filename)}:{entry.lineno}"
    return None
