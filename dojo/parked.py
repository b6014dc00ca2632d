"""Where everybody is parked: the frames of threads, tasks and coroutines, in words.

Works for any way of running coroutines, the learner's own scheduler included: what
is suspended is found through the garbage collector, not by asking a loop.
"""

from __future__ import annotations

import gc
import inspect
import linecache
import sys
import threading
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dojo.house import ROOT

FOLDERS = [str(ROOT / "katas"), str(ROOT / "solutions"), str(ROOT / "dojo" / "tests" / "answers")]
"""Where the code is that is on trial."""

TESTS = str(ROOT / "tests")
MOST = 12  # paragraphs shown; a thousand parked clients look alike
MACHINERY = 2  # the rank of a stack in which nothing is a learner's or a test's


def describe(threads: Iterable[threading.Thread]) -> str:
    """A paragraph for each of threads and each suspended coroutine: its file, line and source.

    Those that stand in a kata come first; machinery alone is shown where there is nothing else.
    """
    frames = sys._current_frames()
    found: list[tuple[int, list[str]]] = []
    for thread in threads:
        if thread.ident in frames:
            stack = list(_outward(frames[thread.ident]))
            found.append(_paragraph(f"thread {thread.name}", stack, _call_of(stack[0])))
    found += [_paragraph(*suspended) for suspended in _suspended()]
    found.sort(key=lambda ranked: ranked[0])
    shown = [lines for rank, lines in found if rank < MACHINERY or found[0][0] == MACHINERY]
    left = [f"... and {len(shown) - MOST} more"] if len(shown) > MOST else []
    return "\n".join([*(line for lines in shown[:MOST] for line in lines), *left])


def shown_path(filename: str) -> str:
    """A file's path as a learner knows it: from the root of the house."""
    path = Path(filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else filename


def is_ours(filename: str) -> bool:
    """Is this a file of a kata, or of its tests?"""
    return filename.startswith((*FOLDERS, TESTS))


def _outward(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _paragraph(name: str, stack: list[types.FrameType], state: str) -> tuple[int, list[str]]:
    """The outermost and innermost line that the learner (or else a test) wrote, and whose they are."""
    lines = [f"{name} {state}"]
    whose: list[tuple[str, ...]] = [tuple(FOLDERS), (TESTS,), ("",)]
    for rank, folders in enumerate(whose):
        ours = [frame for frame in stack if frame.f_code.co_filename.startswith(folders)]
        for frame in [*ours[1:][-1:], *ours[:1]]:  # where it came in, and how deep it got
            filename, line = frame.f_code.co_filename, frame.f_lineno or frame.f_code.co_firstlineno
            lines.append(f"    {shown_path(filename)}:{line} in {frame.f_code.co_name}")
            lines.append(f"        {linecache.getline(filename, line).strip()}")
        if ours:
            return rank, lines
    return MACHINERY, lines


def _call_of(frame: types.FrameType) -> str:
    """What a thread is doing, judged by its innermost frame."""
    name, filename = frame.f_code.co_name, frame.f_code.co_filename
    if is_ours(filename):
        return "is here:"
    module = frame.f_globals.get("__name__", "")
    return f"is in {module}.{name}, called here:"


def coroutines() -> list[types.CoroutineType[Any, Any, Any]]:
    """All coroutines that have not come to their end."""
    return [o for o in gc.get_objects() if isinstance(o, types.CoroutineType) and o.cr_frame is not None]


def _suspended() -> Iterator[tuple[str, list[types.FrameType], str]]:
    """All coroutines that stand still and that no other coroutine awaits."""
    names = dict(_task_names(gc.get_objects()))
    standing = coroutines()
    inner = {id(coroutine.cr_await) for coroutine in standing}
    for coroutine in standing:
        if coroutine.cr_running or id(coroutine) in inner:
            continue
        stack, awaited = _inward(coroutine)
        if not any(is_ours(frame.f_code.co_filename) for frame in stack):
            continue
        state = (
            "was made and never started"
            if inspect.getcoroutinestate(coroutine) == "CORO_CREATED"
            else "waits"
        )
        state += f" for {awaited}:" if awaited and state == "waits" else ":"
        yield names.get(id(coroutine), f"coroutine {coroutine.__qualname__}"), stack, state


def _inward(coroutine: Any) -> tuple[list[types.FrameType], str]:
    """The frames of a suspended coroutine, innermost first, and what it waits for at the bottom."""
    stack: list[types.FrameType] = []
    current = coroutine
    while current is not None:
        frame = (
            getattr(current, "cr_frame", None)
            or getattr(current, "gi_frame", None)
            or getattr(current, "ag_frame", None)
        )
        if frame is None:
            break
        stack.insert(0, frame)
        current = (
            getattr(current, "cr_await", None)
            or getattr(current, "gi_yieldfrom", None)
            or getattr(current, "ag_await", None)
        )
    return stack, type(current).__qualname__ if current is not None else ""


def _task_names(objects: list[Any]) -> Iterator[tuple[int, str]]:
    """The names that asyncio and trio know their tasks by; neither is imported for it."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    for candidate in objects:
        kind = type(candidate)
        if asyncio is not None and issubclass(kind, getattr(asyncio, "Task", ())):
            yield id(candidate.get_coro()), f"asyncio task {candidate.get_name()}"
        elif trio is not None and kind is trio.lowlevel.Task:
            yield id(candidate.coro), f"trio task {candidate.name.rpartition('.')[2]}"
