"""Runs of this house's own pytest in another process, and what became of their tests."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest

from dojo.house import ROOT
from dojo.tests.toy_house import run_pytest


@dataclass(frozen=True)
class Verdict:
    """What became of one test: "passed", "failure", "error" or "skipped"; and what was said of it."""

    place: str  # the dotted path of the file and class that it was collected from
    name: str
    outcome: str
    text: str


def verdicts_of(root: Path, *args: str) -> list[Verdict]:
    """Run pytest with these arguments on the references; root is for its report."""
    report = root / "report.xml"
    options = ["--solutions", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    ended = run_pytest(ROOT, *args, *options, f"--junit-xml={report}", shuffled=True)
    assert report.exists(), ended.stdout + ended.stderr
    return [_verdict(case) for case in ElementTree.parse(report).iter("testcase")]


def _verdict(case: ElementTree.Element) -> Verdict:
    place, name = case.get("classname", ""), case.get("name", "")
    for part in case:
        if part.tag in ("failure", "error", "skipped"):
            return Verdict(place, name, part.tag, part.get("message") or part.text or "")
    return Verdict(place, name, "passed", "")


def within(verdicts: list[Verdict], place: str) -> list[Verdict]:
    """Those on the tests of a file or folder, as a dotted path."""
    return [verdict for verdict in verdicts if f"{place}." in f"{verdict.place}."]


def pass_on(verdicts: list[Verdict]) -> None:
    """Fail where one of them failed, and skip where all were skipped, with what was said there."""
    if failed := [v for v in verdicts if v.outcome in ("failure", "error")]:
        pytest.fail("\n\n".join(f"{v.name}: {v.text}" for v in failed), pytrace=False)
    if verdicts and all(v.outcome == "skipped" for v in verdicts):
        pytest.skip(verdicts[0].text)
