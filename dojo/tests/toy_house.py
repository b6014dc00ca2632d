"""A house of toy katas, each broken in its own way: what the harness is tried on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from dojo.house import ROOT

FINE = "def answer():\n    return 42\n"
TODO = 'def answer():\n    """The answer."""\n    raise NotImplementedError\n'
TESTS = """
from katas.{stem} import answer

class TestAnswer:
    def test_answer_is_right(self):
        assert answer() == 42

    def test_answer_stays_right(self):
        assert answer() == 42
"""
ANYIO_TESTS = """
import pytest
from katas.{stem} import answer

class TestAnswer:
    @pytest.mark.anyio
    async def test_answer_is_right(self):
        assert await answer() == 42
"""


@dataclass(frozen=True)
class Verdict:
    """What became of one test: "passed", "failed" or "skipped", and why."""

    outcome: str
    text: str = ""


class ToyHouse:
    """A root with its own katas, tests and solutions, run by the real harness in a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("katas", "solutions", "tests"):
            (root / folder).mkdir()
        skip = shutil.ignore_patterns("tests", "__pycache__")
        shutil.copytree(ROOT / "dojo", root / "dojo", ignore=skip)
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, root / name)

    def add(self, stem: str, stub: str = TODO, solution: str = FINE, tests: str = TESTS) -> None:
        (self.root / "katas" / f"{stem}.py").write_text(stub, encoding="utf-8")
        (self.root / "katas" / f"{stem}.md").write_text(f"# {stem}\n", encoding="utf-8")
        (self.root / "solutions" / f"{stem}.py").write_text(f'"""Toy."""\n{solution}', encoding="utf-8")
        (self.root / "tests" / f"test_{stem}.py").write_text(tests.format(stem=stem), encoding="utf-8")

    def pytest(self, *args: str, cwd: str = ".", **env: str) -> subprocess.CompletedProcess[str]:
        """Run pytest there; -p no:randomly keeps what is printed in order."""
        import os

        command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "--patience=0.4", *args]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PY_COLORS", "FORCE_COLOR"))}
        return subprocess.run(
            command, cwd=self.root / cwd, env=clean | env, capture_output=True, text=True, encoding="utf-8", timeout=60
        )

    def verdicts(self, *args: str) -> dict[str, list[Verdict]]:
        """Run pytest; each kata's verdicts, in order."""
        junit = self.root / "junit.xml"
        run = self.pytest(f"--junitxml={junit}", *args)
        assert junit.exists(), run.stdout + run.stderr
        verdicts: dict[str, list[Verdict]] = {}
        for case in ElementTree.parse(junit).iter("testcase"):
            stem = (case.get("classname") or "").split(".")[1].removeprefix("test_")
            verdict = Verdict("passed")
            for child in case:
                if child.tag in ("failure", "error", "skipped"):
                    verdict = Verdict("failed" if child.tag != "skipped" else "skipped", child.text or "")
            verdicts.setdefault(stem, []).append(verdict)
        return verdicts
