"""A failure as a sentence: what was asked, what came, what was due, and what that means."""

from __future__ import annotations

import ast
import textwrap
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dojo.house import ROOT, parse
from dojo.limits import ExitCalledError, GaveUpError
from dojo.parked import FOLDERS, shown_path

LONGEST = 400  # characters of a value

UNWRITTEN = "unwritten"
"""The kind of a failure that is none: the step has not been begun."""


@dataclass(frozen=True)
class Failure:
    """Why a test failed: `kind` is "unwritten", "hang" or "wrong"; `where` a line of the learner's."""

    kind: str
    text: str
    where: str


class Comparisons:
    """Remembers the last comparison that an assert found wanting."""

    def __init__(self) -> None:
        self.last: tuple[str, object, object] | None = None

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> None:
        self.last = (op, left, right)

    def take(self) -> tuple[str, object, object] | None:
        last, self.last = self.last, None
        return last


def failure_of(error: BaseException, comparison: tuple[str, object, object] | None) -> Failure:
    """Put into words why a test failed, from the exception that ended it."""
    for leaf in _leaves(error):
        frames = traceback.extract_tb(leaf.__traceback__)
        if (
            isinstance(leaf, NotImplementedError)
            and frames
            and frames[-1].filename.startswith(tuple(FOLDERS))
        ):
            return Failure(UNWRITTEN, "yours to write", _where(frames))
    leaf = next(_leaves(error))
    frames = traceback.extract_tb(leaf.__traceback__)
    return Failure(
        "hang" if isinstance(leaf, GaveUpError) else "wrong", _text(leaf, frames, comparison), _where(frames)
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that an exception group is made of, or the one exception."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _where(frames: traceback.StackSummary) -> str:
    for frame in reversed(frames):
        if frame.filename.startswith(tuple(FOLDERS)):
            return f"{shown_path(frame.filename)}:{frame.lineno}"
    return ""


def _text(error: BaseException, frames: traceback.StackSummary, comparison: Any) -> str:
    if isinstance(error, GaveUpError | ExitCalledError):
        return str(error)
    around, source = _statements(frames)
    statement = around[-1] if around else None
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, pytest.fail.Exception) and str(error).startswith("DID NOT RAISE"):
        said = ""
    elif isinstance(error, AssertionError | pytest.fail.Exception):
        if isinstance(statement, ast.Assert) and frames[-1].lineno in range(
            statement.lineno, (statement.end_lineno or 0) + 1
        ):
            return _assertion(statement, source, str(error), comparison)
        return str(error)
    elif isinstance(error, OSError) and "reading from stdin" in str(error):
        return "input() was called: nobody is there to answer; all that is needed comes in as arguments"
    elif isinstance(error, SystemExit):
        return "sys.exit() was called: it would end the whole program, not just this step"
    for block in reversed(around):
        if isinstance(block, ast.With) and (due := _expected(block)):
            body = "; ".join(_segment(source, s) for s in block.body)
            return f"`{body}` should have raised {due} and {f'raised {said}' if said else 'did not'}"
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
        return f"`{_segment(source, statement.test.left)}` raised {said}"
    if isinstance(statement, ast.Expr | ast.Assign | ast.Return | ast.Delete):
        return f"`{_segment(source, statement)}` raised {said}"
    return said


def _statements(frames: traceback.StackSummary) -> tuple[list[ast.stmt], str]:
    """The statements of the test that the error came through, outermost first, and the file's source."""
    for frame in reversed(frames):
        path = Path(frame.filename)
        if path.parent == ROOT / "tests" and path.exists():
            statements, source = _test_file(path)
            line = frame.lineno or 0
            return [node for node in statements if node.lineno <= line <= (node.end_lineno or 0)], source
    return [], ""


@cache
def _test_file(path: Path) -> tuple[list[ast.stmt], str]:
    """All statements of a test file, outer before inner, and its source."""
    return [n for n in ast.walk(parse(path)) if isinstance(n, ast.stmt)], path.read_text(encoding="utf-8")


def _expected(block: ast.With) -> str:
    """The exception that a `with pytest.raises(...)` waits for; empty for any other block."""
    for item in block.items:
        call = item.context_expr
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.raises" and call.args:
            return ast.unparse(call.args[0])
    return ""


def _assertion(statement: ast.Assert, source: str, said: str, comparison: Any) -> str:
    cause = ""
    if statement.msg is not None:  # pytest appends its own explanation, a line that begins with "assert"
        cause = said.partition("\nassert ")[0]
    test = statement.test
    if comparison is None or not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return cause or said
    op, left, right = comparison
    asked = _segment(source, test.left)
    if op in ("==", "is"):
        sentence = f"{asked} gave {shown(left)}, due was {shown(right)}"
    elif cause:
        return cause
    else:
        sentence = f"{asked} gave {shown(left)}, which should be {op} {shown(right)}"
    return f"{sentence}: {cause}" if cause else sentence


def _segment(source: str, node: ast.expr | ast.stmt) -> str:
    """The node's source in one line (ast.get_source_segment splits the whole file each time)."""
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    lines[-1] = lines[-1].encode()[: node.end_col_offset].decode()
    lines[0] = lines[0].encode()[node.col_offset :].decode()
    return " ".join(" ".join(lines).split())


def shown(value: object) -> str:
    """A value as Python writes it, cut in the middle where it is very long."""
    text = repr(value)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return text


def wrapped(text: str, width: int) -> list[str]:
    """Break a failure's text into lines; those that are laid out already stay as they are."""
    first, *rest = text.splitlines() or [""]
    return [*textwrap.wrap(first, width, break_long_words=False, break_on_hyphens=False), *rest]


def tail(text: str, most: int = 2_000) -> str:
    """The last lines of what was printed, where it is very long."""
    if len(text) <= most:
        return text
    return f"... {len(text) - most} characters before this ...\n" + text[-most:].partition("\n")[2]
