"""The house is in order: every kata has its four files, and they agree."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

from dojo.hints import hints_of
from dojo.house import ROOT, House, Kata, is_stub, parse
from dojo.proofs import read_impostors

KATAS = [pytest.param(kata, id=kata.stem) for kata in House().katas.values()]
SECTIONS = ["Why", "The task", "Rules", "Hints", "Go further", "Read the real one"]


def contract(path: Path) -> dict[str, tuple[str, str | None]]:
    """The signature and docstring of every public function, class and method of a file."""
    found: dict[str, tuple[str, str | None]] = {}

    def visit(nodes: list[ast.stmt], prefix: str) -> None:
        for node in nodes:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = ", ".join(ast.unparse(base) for base in node.bases)
                found[prefix + node.name] = (f"class ({bases})", ast.get_docstring(node))
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name.startswith("_") and node.name != "__init__":
                    continue
                kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
                returns = ast.unparse(node.returns) if node.returns else ""
                signature = f"{kind} ({ast.unparse(node.args)}) -> {returns}"
                found[prefix + node.name] = (signature, ast.get_docstring(node))

    visit(parse(path).body, "")
    return found


def skip_where_begun(kata: Kata) -> None:
    """A learner's own work in katas/ is no fault of the house."""
    command = ["git", "diff", "--quiet", "HEAD", "--", str(kata.stub)]
    if shutil.which("git") and subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 1:
        pytest.skip(f"katas/{kata.stem}.py is being worked on; committed stubs are checked")


@pytest.mark.parametrize("kata", KATAS)
class TestKata:
    def test_has_its_four_files(self, kata: Kata) -> None:
        missing = [str(p) for p in (kata.stub, kata.guide, kata.solution, kata.tests) if not p.exists()]
        assert not missing

    def test_stub_and_solution_promise_the_same(self, kata: Kata) -> None:
        skip_where_begun(kata)
        solved = contract(kata.solution)
        for name, promise in contract(kata.stub).items():
            assert solved.get(name) == promise, name

    def test_stub_and_solution_share_their_title(self, kata: Kata) -> None:
        assert ast.get_docstring(parse(kata.stub)) == ast.get_docstring(parse(kata.solution))

    def test_stub_has_every_step_and_none_is_begun(self, kata: Kata) -> None:
        skip_where_begun(kata)
        assert kata.steps
        assert [step.name for step in kata.steps if kata.is_begun(step)] == []
        assert {step.name for step in kata.steps} <= set(kata.definitions())

    def test_solution_leaves_nothing_unwritten(self, kata: Kata) -> None:
        names = {step.name for step in kata.steps}
        for node in parse(kata.solution).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in names:
                assert not is_stub(node), node.name

    def test_steps_stand_in_the_order_of_their_tests(self, kata: Kata) -> None:
        skip_where_begun(kata)
        lines = [kata.definitions()[step.name].lineno for step in kata.steps]
        assert lines == sorted(lines)

    def test_guide_has_its_sections(self, kata: Kata) -> None:
        headings = [
            line.removeprefix("## ")
            for line in kata.guide.read_text(encoding="utf-8").splitlines()
            if line.startswith("## ")
        ]
        assert [heading for heading in headings if heading in SECTIONS] == SECTIONS

    def test_guide_has_three_hints_for_each_step(self, kata: Kata) -> None:
        titles = {step.name: [hint.title for hint in hints_of(kata, step)] for step in kata.steps}
        assert titles == {step.name: ["a nudge", "a push", "nearly there"] for step in kata.steps}

    def test_every_step_has_an_impostor(self, kata: Kata) -> None:
        catalogue = ROOT / "dojo" / "tests" / "impostors" / f"{kata.stem}.md"
        caught = {impostor.fails.partition("::")[0] for impostor in read_impostors(catalogue)}
        assert caught >= {step.test_class for step in kata.steps}

    def test_has_three_right_answers_of_another_make(self, kata: Kata) -> None:
        assert len(list((ROOT / "dojo" / "tests" / "answers" / kata.stem).glob("*.py"))) >= 3


class TestArrows:
    def test_harness_knows_no_kata_by_name(self) -> None:
        for path in (ROOT / "dojo").glob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert [stem for stem in House().katas if stem in text] == [], path

    def test_nothing_imports_the_solutions(self) -> None:
        for folder in ("dojo", "katas", "solutions", "tests"):
            for path in (ROOT / folder).rglob("*.py"):
                if "solutions" in path.read_text(encoding="utf-8"):
                    imports = [n for n in ast.walk(parse(path)) if isinstance(n, ast.Import | ast.ImportFrom)]
                    assert not any("solutions" in ast.unparse(node) for node in imports), path

    def test_tests_import_katas_and_the_kit_alone(self) -> None:
        for kata in House().katas.values():
            for node in ast.walk(parse(kata.tests)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dojo"):
                    assert (node.module or "").startswith("dojo.kit"), kata.tests

    def test_katas_import_earlier_katas_alone(self) -> None:
        for kata in House().katas.values():
            for path in (kata.stub, kata.solution):
                for node in ast.walk(parse(path)):
                    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("katas."):
                        assert (node.module or "") < kata.module, path


@pytest.mark.parametrize("kata", KATAS)
class TestCatalogue:
    def test_every_impostor_names_a_test_that_exists(
        self, kata: Kata, request: pytest.FixtureRequest
    ) -> None:
        file = f"tests/{kata.tests.name}::"
        tests = {i.nodeid.removeprefix(file) for i in request.session.items if i.nodeid.startswith(file)}
        if not tests:
            pytest.skip("this run leaves out the kata's tests: `pytest --solutions` knows them all")
        for impostor in read_impostors(ROOT / "dojo" / "tests" / "impostors" / f"{kata.stem}.md"):
            assert impostor.fails in tests, impostor.title
