"""What a learner is shown: a letter for each test, and at the end the board instead of a wall of red."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from dojo.board import Board, Next
from dojo.house import House, Kata, parse
from dojo.progress import Progress, remember, remember_next
from dojo.words import UNWRITTEN

LAST_LINES = 8  # of what Python says of a test file that it cannot read


class Reporter:
    """Counts the reports of a learner's run and draws the board."""

    def __init__(
        self,
        config: pytest.Config,
        house: House,
        progress: Progress,
        choose_for: Callable[[Kata], Callable[[Kata], Path]],
    ) -> None:
        self.house, self.progress, self.choose_for = house, progress, choose_for
        self.unreadable: list[tuple[str, str]] = []
        self.failures: list[tuple[tuple[int, int, int], Next]] = []

    def pytest_report_teststatus(self, report: pytest.TestReport) -> object:
        if getattr(report, "kata_kind", "") == UNWRITTEN and report.failed:
            return "yours to write", "-", ("YOURS TO WRITE", {"cyan": True})
        if getattr(report, "kata_kind", "") == "hang" and report.failed:
            return "failed", "H", ("HANGS", {"red": True})
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        path, _, names = report.nodeid.partition("::")
        kata = self.house.kata_of(self.house.root / path)
        if kata is None or (report.when != "call" and not report.failed):
            return
        step = next((s for s in kata.steps if s.test_class == names.partition("::")[0]), None)
        if step is not None:
            tally = self.progress.tally(kata, step.name)
            tally.passed += report.passed
            tally.failed += report.failed
            tally.skipped += report.skipped
            tally.of = getattr(report, "kata_of", 0)
        if report.failed:
            order = (
                list(self.house.katas).index(kata.stem),
                kata.steps.index(step) if step else -1,
                getattr(report, "kata_position", 0),
            )
            kind, text = (
                getattr(report, "kata_kind", "wrong"),
                getattr(report, "kata_text", report.longreprtext),
            )
            where = getattr(report, "kata_where", "")
            step = None if kind == "broken" else step
            self.failures.append(
                (order, Next(kata, step, report.nodeid, kind, text, where, report.capstdout))
            )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.unreadable.append((report.nodeid, report.longreprtext))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid, said in self.unreadable:
            terminalreporter.write_line(f" {nodeid} cannot be collected:", bold=True)
            lines = said.splitlines()
            for line in [line[1:] for line in lines if line.startswith("E")] or lines[-LAST_LINES:]:
                terminalreporter.write_line(f"  {line}")
        katas = [kata for kata in self.house.katas.values() if kata.stem in self.progress.tallies]
        if katas:
            begun = [kata for kata in katas if any(map(kata.is_begun, kata.steps))]
            lent = {kata.stem: loans for kata in begun if (loans := sorted(self._loans(kata)))}
            following = (
                min(self.failures, key=lambda f: f[0])[1] if self.failures else self._open_from(katas[0])
            )
            if following is not None and following.step is not None:
                recorded = f"{following.kata.stem}::{following.step.name}"
                remember_next(terminalreporter.config, recorded)
            Board(terminalreporter, self.house, self.progress).draw(katas, lent, following)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        remember(session.config, self.progress)

    def _open_from(self, first: Kata) -> Next | None:
        """Where to go on after a run without a failure: the next step that is not done, from this kata up."""
        katas = list(self.house.katas.values())
        start = katas.index(first)
        for kata in katas[start:] + katas[:start]:
            for step in kata.steps:
                if not self.progress.is_done(kata, step.name):
                    return Next(kata, step, "", UNWRITTEN, "", "", "")
        return None

    def _loans(self, kata: Kata) -> set[str]:
        """The katas that this one, and what it imports, gets from the references."""
        choose = self.choose_for(kata)
        lent: set[str] = set()
        waiting, seen = [kata.stub, kata.tests], set[str]()
        while waiting:
            for stem in imported_katas(waiting.pop()) & self.house.katas.keys() - seen - {kata.stem}:
                seen.add(stem)
                source = choose(self.house.katas[stem])
                waiting.append(source)
                if source == self.house.katas[stem].solution:
                    lent.add(stem)
        return lent


def imported_katas(path: Path) -> set[str]:
    """The stems of the katas that a file imports."""
    try:
        nodes = list(ast.walk(parse(path)))
    except (SyntaxError, ValueError, OSError):
        return set()
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {module.removeprefix("katas.") for module in modules if module.startswith("katas.")}
