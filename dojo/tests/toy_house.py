"""A house of toy katas, each broken in its own way: what the harness is tried on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
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
        with (root / "conftest.py").open("a", encoding="utf-8") as conftest:
            conftest.write(LOG_REPORTS)

    def add(self, stem: str, stub: str = TODO, solution: str = FINE, tests: str = TESTS) -> None:
        (self.root / "katas" / f"{stem}.py").write_text(stub, encoding="utf-8")
        (self.root / "katas" / f"{stem}.md").write_text(f"# {stem}\n", encoding="utf-8")
        (self.root / "solutions" / f"{stem}.py").write_text(f'"""Toy."""\n{solution}', encoding="utf-8")
        (self.root / "tests" / f"test_{stem}.py").write_text(tests.format(stem=stem), encoding="utf-8")

    def pytest(self, *args: str, cwd: str = ".", **env: str) -> subprocess.CompletedProcess[str]:
        return run_pytest(self.root / cwd, "--patience=0.25", *args, env=env)

    def verdicts(self, *args: str) -> dict[str, list[Verdict]]:
        """Run pytest; each kata's verdicts, in order."""
        log = self.root / "reports.jsonl"
        log.unlink(missing_ok=True)
        run = self.pytest(*args)
        assert log.exists(), run.stdout + run.stderr
        verdicts: dict[str, list[Verdict]] = {}
        for line in log.read_text(encoding="utf-8").splitlines():
            report = json.loads(line)
            stem = report["nodeid"].partition(".py")[0].partition("test_")[2]
            verdicts.setdefault(stem, []).append(Verdict(report["outcome"], report["text"]))
        return verdicts


LOG_REPORTS = """

def pytest_runtest_logreport(report):
    import json
    if report.when == "call" or not report.passed:
        line = {"nodeid": report.nodeid, "outcome": report.outcome, "text": getattr(report, "kata_text", "")}
        with open("reports.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\\n")
"""


def run_pytest(
    cwd: Path, *args: str, shuffled: bool = False, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pytest in cwd as a learner would; without pytest-randomly, where the order must be known."""
    in_order = [] if shuffled else ["-p", "no:randomly"]
    command = [sys.executable, "-m", "pytest", *in_order, *args]
    clean = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PYTEST", "PY_COLORS", "FORCE_COLOR", "PYTHONDONTWRITE"))
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env={**clean, **(env or {})},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
