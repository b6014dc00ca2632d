"""A failure as a sentence: what was asked, what came, what was due, and what that means."""

from __future__ import annotations

import ast
import textwrap
import traceback
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from dojo.house import ROOT, parse
from dojo.limits import BrokenKataError, GaveUpError
from dojo.parked import FOLDERS, shown_path
from dojo.process import ExitCalledError

LONGEST = 400  # characters of a value

UNWRITTEN = "unwritten"
"""The kind of a failure that is none: the step has not been begun."""


@dataclass(frozen=True)
class Failure:
    """Why a test failed: `kind` is "unwritten", "broken", "hang" or "wrong", `where` a learner's line."""

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


@dataclass(frozen=True)
class Scene:
    """What else is known of a failed test: its comparison and parameters, the file of the answer."""

    comparison: tuple[str, object, object] | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    answer: str = ""


def failure_of(error: BaseException, scene: Scene) -> Failure:
    """Put into words why a test failed, from the exception that ended it."""
    leaves = [(leaf, _frames(leaf.__traceback__)) for leaf in _leaves(error)]
    for leaf, frames in leaves:
        raised_in = frames[-1].filename if frames else ""
        if isinstance(leaf, NotImplementedError) and raised_in.startswith(tuple(FOLDERS)):
            return Failure(UNWRITTEN, "yours to write", _where(frames, scene))
    leaf, frames = leaves[0]
    where = _where(frames, scene)
    if leaf.__cause__ is not None and not where:  # StopIteration inside a generator, for one
        where = _where(_frames(leaf.__cause__.__traceback__), scene)
    kind = (
        "hang"
        if isinstance(leaf, GaveUpError)
        else "broken"
        if isinstance(leaf, BrokenKataError)
        else "wrong"
    )
    return Failure(kind, _text(leaf, frames, scene), where)


def _frames(trace: types.TracebackType | None) -> traceback.StackSummary:
    # Without the text of every line, and the columns in it, which take most of the time.
    return traceback.StackSummary.extract(traceback.walk_tb(trace), lookup_lines=False)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that an exception group is made of, or the one exception."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _where(frames: traceback.StackSummary, scene: Scene) -> str:
    """The innermost line of the answer on trial; else of any kata."""
    for folders in ((scene.answer or "-",), tuple(FOLDERS)):
        for frame in reversed(frames):
            if frame.filename.startswith(folders):
                return f"{shown_path(frame.filename)}:{frame.lineno}"
    return ""


def _text(error: BaseException, frames: traceback.StackSummary, scene: Scene) -> str:
    if isinstance(error, GaveUpError | ExitCalledError):
        return str(error)
    if isinstance(error, OSError) and "reading from stdin" in str(error):
        return "input() was called: nobody is there to answer; all that is needed comes in as arguments"
    if isinstance(error, SystemExit):
        return "sys.exit() was called: it would end the whole program, not just this step"
    around, source = _statements(frames)
    statement = around[-1] if around else None
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, MemoryError):
        said = "MemoryError: was all of something endless asked for at once?"
    if isinstance(error, pytest.fail.Exception) and str(error).startswith("DID NOT RAISE"):
        said = ""
    elif isinstance(error, AssertionError | pytest.fail.Exception):
        inside = range(statement.lineno, (statement.end_lineno or 0) + 1) if statement else ()
        if isinstance(statement, ast.Assert) and frames[-1].lineno in inside:
            return _assertion(statement, source, str(error), scene)
        return str(error)
    for block in reversed(around):
        if isinstance(block, ast.With) and (due := _expected(block)):
            body = "; ".join(_segment(source, s) for s in block.body)
            and_did = f"raised {said}" if said else "did not"
            return f"`{body}` should have raised {due} and {and_did}{_given(block, scene)}"
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
        test = statement.test
        due = (
            f", due was {_due(source, test.comparators[0], scene)}" if isinstance(test.ops[0], ast.Eq) else ""
        )
        return f"`{_segment(source, test.left)}` raised {said}{due}{_given(test.left, scene)}"
    if isinstance(statement, ast.Expr | ast.Assign | ast.Return | ast.Delete):
        return f"`{_segment(source, statement)}` raised {said}{_given(statement, scene)}"
    return said


def _due(source: str, node: ast.expr, scene: Scene) -> str:
    """What was due, where the code did not come so far as to be compared with it."""
    if isinstance(node, ast.Name) and node.id in scene.parameters:
        return shown(scene.parameters[node.id])
    return _segment(source, node)


def _given(node: ast.AST, scene: Scene) -> str:
    """The values of the test's parameters that a quoted piece of source speaks of."""
    names = dict.fromkeys(
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in scene.parameters
    )
    values = [f"{name} is {shown(scene.parameters[name])}" for name in names]
    return f" (where {', '.join(values)})" if values else ""


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


def _assertion(statement: ast.Assert, source: str, said: str, scene: Scene) -> str:
    cause = ""
    if statement.msg is not None:  # pytest appends its own explanation, a line that begins with "assert"
        cause = said.partition("\nassert ")[0]
    test = statement.test
    if scene.comparison is None or not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return cause or said
    op, left, right = scene.comparison
    asked, given = _segment(source, test.left), _given(test.left, scene)
    if op in ("==", "is"):
        sentence = f"{asked} gave {shown(left)}, due was {shown(right)}{given}"
    elif cause:
        return cause
    else:
        sentence = f"{asked} gave {shown(left)}, which should be {op} {shown(right)}{given}"
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
