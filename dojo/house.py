"""The house: which katas there are, in which order, and what each is made of.

Everything is read from the files themselves, without importing them: a kata is a
stem that the four folders share, its title the first line of its docstring, a step
a test class `TestCamelCase` together with the public name that it is called after.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Step:
    """One public name that the learner writes."""

    name: str
    test_class: str


@dataclass(frozen=True)
class Kata:
    """One kata: `katas/<stem>.py` and `.md`, `solutions/<stem>.py`, `tests/test_<stem>.py`."""

    root: Path
    stem: str

    @property
    def chapter(self) -> str:
        return self.stem[0].upper()

    @property
    def stub(self) -> Path:
        return self.root / "katas" / f"{self.stem}.py"

    @property
    def guide(self) -> Path:
        return self.stub.with_suffix(".md")

    @property
    def solution(self) -> Path:
        return self.root / "solutions" / f"{self.stem}.py"

    @property
    def tests(self) -> Path:
        return self.root / "tests" / f"test_{self.stem}.py"

    @property
    def module(self) -> str:
        return f"katas.{self.stem}"

    @cached_property
    def title(self) -> str:
        docstring = ast.get_docstring(parse(self.solution)) or self.stem
        return docstring.splitlines()[0].rstrip(".")

    @cached_property
    def public_names(self) -> frozenset[str]:
        """What the reference offers to tests and to later katas."""
        names: set[str] = set()
        for node in parse(self.solution).body:
            if isinstance(node, Definition):
                names.add(node.name)
            elif isinstance(node, ast.Assign):
                names.update(
                    n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)
                )
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
        return frozenset(name for name in names if not name.startswith("_"))

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in the order of their test classes."""
        classes = {"Test" + camel_case(name): name for name in self.public_names}
        return tuple(
            Step(classes[node.name], node.name)
            for node in parse(self.tests).body
            if isinstance(node, ast.ClassDef) and node.name in classes
        )

    def definitions(self) -> dict[str, Definition]:
        """The functions and classes of the learner's file, by name; none where it cannot be read."""
        try:
            body = parse(self.stub).body
        except (SyntaxError, ValueError, OSError):
            return {}
        return {node.name: node for node in body if isinstance(node, Definition)}

    def is_begun(self, step: Step) -> bool:
        """Has the learner replaced the step's NotImplementedError?"""
        definition = self.definitions().get(step.name)
        return definition is not None and not is_stub(definition)

    def is_written(self) -> bool:
        """Has the learner written every step, rightly or wrongly?"""
        definitions = self.definitions()
        return all(s.name in definitions and not is_stub(definitions[s.name]) for s in self.steps)


class House:
    """All katas below one root, in the order of their names."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        katas = [Kata(root, path.stem) for path in sorted((root / "solutions").glob("[a-z][0-9]*_*.py"))]
        self.katas = {kata.stem: kata for kata in katas if kata.tests.exists()}

    def kata_of(self, path: Path) -> Kata | None:
        """The kata that a stub, guide, solution or test file belongs to."""
        if path.parent.parent != self.root or path.parent.name not in ("katas", "solutions", "tests"):
            return None
        return self.katas.get(path.stem.removeprefix("test_"))

    @cached_property
    def chapters(self) -> dict[str, str]:
        """The chapters' names, by letter, from the headings "A · Pausing" of the README."""
        readme = self.root / "README.md"
        text = readme.read_text(encoding="utf-8") if readme.exists() else ""
        return dict(re.findall(r"^#+ ([A-Z]) · (.+)$", text, re.MULTILINE))


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file. Raises SyntaxError, OSError."""
    return ast.parse(path.read_bytes(), filename=str(path))


def is_stub(definition: Definition) -> bool:
    """Does a definition still raise NotImplementedError somewhere?"""
    for node in ast.walk(definition):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(raised, ast.Name) and raised.id == "NotImplementedError":
                return True
    return False


def camel_case(name: str) -> str:
    """`serve_in_threads` becomes `ServeInThreads`; `OutBuffer` stays as it is."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def first_line(definition: Definition) -> str:
    """The first line of a docstring, as a heading."""
    lines = (ast.get_docstring(definition) or "").splitlines()
    return lines[0].rstrip(".;:") if lines else ""
