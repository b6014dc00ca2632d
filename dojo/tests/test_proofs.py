"""Wrong answers are caught for their reason, right ones of another make pass: proven in another process.

That process is pytest on `dojo/tests/impostors`, and with --thorough on `dojo/tests/answers` too,
while this one goes on. Call it yourself on one of their files for the details.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dojo.house import ROOT, House
from dojo.proofs import read_impostors
from dojo.tests.toy_house import run_pytest

HERE = Path(__file__).parent
KATAS = [kata.stem for kata in House().katas.values()]
Verdicts = dict[str, list[str]]


def run(root: Path, thorough: bool) -> Verdicts:
    """What was said of each proof ("" of one that held), by the place that it was collected from."""
    report = root / "report.xml"
    proofs = [HERE / "impostors", HERE / "answers"] if thorough else [HERE / "impostors"]
    options = ["--solutions", f"--junit-xml={report}", "-p", "no:cacheprovider", "-q"]
    ended = run_pytest(ROOT, *map(str, proofs), *options, *["--thorough"] * thorough, shuffled=True)
    assert report.exists(), ended.stdout + ended.stderr
    verdicts: Verdicts = {}
    for case in ElementTree.parse(report).iter("testcase"):
        said = [other.get("message") or other.text or "" for other in case if other.tag != "system-out"]
        verdicts.setdefault(case.get("classname", ""), []).append("\n".join(said))
    return verdicts


def of(verdicts: Verdicts, folder: str, stem: str) -> list[str]:
    return [
        said
        for place, all_said in verdicts.items()
        if f".{folder}.{stem}." in f"{place}."
        for said in all_said
    ]


def fail_with(verdicts: list[str]) -> None:
    if any(verdicts):
        pytest.fail("\n\n".join(filter(None, verdicts)), pytrace=False)


@pytest.mark.parametrize("stem", KATAS)
def test_every_impostor_is_caught(outcome: Verdicts, stem: str) -> None:
    verdicts = of(outcome, "impostors", stem)
    impostors = len(list(read_impostors(HERE / "impostors" / f"{stem}.md")))
    assert len(verdicts) >= impostors > 0
    fail_with(verdicts)


@pytest.mark.parametrize("stem", KATAS)
def test_every_right_answer_passes(outcome: Verdicts, stem: str, request: pytest.FixtureRequest) -> None:
    answers = len(list((HERE / "answers" / stem).glob("*.py")))
    assert answers >= 3
    if request.config.option.thorough:
        verdicts = of(outcome, "answers", stem)
        assert len(verdicts) > answers
        fail_with(verdicts)
