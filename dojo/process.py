"""What would strike the whole process: code that ends it, fills its memory, or never lets go of it."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

stderr: TextIO | int = sys.__stderr__ or 2
"""Where the last resort prints: pytest captures file descriptor 2."""


class ExitCalledError(Exception):
    """The code tried to end the whole process."""


@contextmanager
def last_resort(seconds: float) -> Iterator[None]:
    """End the process, with all stacks on stderr, where C code keeps the interpreter for so many seconds.

    No other thread can run then, so nobody can explain it any better.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def exit_is_an_error() -> Iterator[None]:
    """Turn os._exit into an exception, in this process and while the code runs."""
    real, process = os._exit, os.getpid()

    def refuse(status: int) -> None:
        if os.getpid() != process:  # a forked child may end as it likes
            real(status)
        raise ExitCalledError(f"os._exit({status}) would end the whole process, everybody in it included")

    os._exit = refuse  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = real


def bound_memory(octets: int = 2**31) -> None:
    """Make a MemoryError of an answer that asks for everything at once, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > octets:
        resource.setrlimit(resource.RLIMIT_DATA, (octets, hard))
