"""Every way of calling pytest that a learner may think of, and what is shown for it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from dojo.tests.toy_house import FINE, TODO, ToyHouse

WRONG = 'def answer():\n    """The answer."""\n    print("thinking")\n    return 41\n'
LEANING = "from katas.a2_leaned_on import answer as other\ndef answer():\n    return other()\n"
Run = subprocess.CompletedProcess[str]


def run(root: Path, thorough: bool) -> dict[str, Run]:
    """Runs that change nothing, by name."""
    (root / "other").mkdir()
    from_run_to_run = run_to_run(root / "other")
    house = ToyHouse(root)
    house.add("a1_solved", FINE)
    house.add("a2_leaned_on", TODO)
    house.add("b1_wrong", WRONG)
    house.add("b2_leaning", LEANING, LEANING)
    (root / "README.md").write_text("# Toys\n\n### A · Alpha\n\n### B · Beta\n", encoding="utf-8")
    (root / "test_scratch.py").write_text("def answer(:\n", encoding="utf-8")
    off = ("-p", "no:cacheprovider")
    return from_run_to_run | {
        "all": house.pytest("katas/", *off),
        "step": house.pytest("a1_solved.py::answer", *off, cwd="katas"),
        "inside": house.pytest(*off, cwd="katas"),
        "typo": house.pytest("katas/a1_sloved.py", *off),
        "node": house.pytest("tests/test_b1_wrong.py::TestAnswer::test_answer_is_right", *off),
        "scratch": house.pytest("test_scratch.py", *off),
        "solutions": house.pytest("katas/", "--solutions", *off),
        "verbose": house.pytest("katas/b1_wrong.py", "-v", *off),
        "ascii": house.pytest("katas/", "-n2", *off, PYTHONIOENCODING="ascii", PYTHONUTF8="0"),
        "no-loans": house.pytest("katas/b2_leaning.py", "--no-loans", *off),
    }


@pytest.fixture(scope="module")
def runs(outcome: dict[str, Run]) -> dict[str, Run]:
    return outcome


def shown(runs: dict[str, Run], name: str) -> str:
    assert "Traceback" not in runs[name].stdout + runs[name].stderr
    return runs[name].stdout


def results(text: str) -> str:
    """The closing line without its time."""
    return re.sub(r" in [\d.]+s.*", "", text.strip().splitlines()[-1].strip("= "))


@pytest.mark.parametrize("name", ["all", "inside"])
def test_whole_house_is_run(runs: dict[str, Run], name: str) -> None:
    assert results(shown(runs, name)) == "2 failed, 4 passed, 2 yours to write"
    assert runs[name].returncode == 1


def test_one_step_is_run_alone(runs: dict[str, Run]) -> None:
    assert results(shown(runs, "step")) == "2 passed"
    assert runs["step"].returncode == 0


def test_node_id_can_be_pasted_back(runs: dict[str, Run]) -> None:
    assert results(shown(runs, "node")) == "1 failed"


def test_typo_gets_one_sentence_with_the_remedy(runs: dict[str, Run]) -> None:
    run = runs["typo"]
    assert run.stderr.strip() == "ERROR: katas/a1_sloved.py is not a kata: did you mean katas/a1_solved.py?"
    assert run.returncode == 4


def test_file_that_cannot_be_collected_says_why(runs: dict[str, Run]) -> None:
    text = shown(runs, "scratch")
    assert " test_scratch.py cannot be collected:" in text
    assert "SyntaxError: invalid syntax" in text


def test_references_pass(runs: dict[str, Run]) -> None:
    assert results(shown(runs, "solutions")) == "8 passed"


BOARD = """\
 A  Alpha
    a1_solved               ●        1/1
    a2_leaned_on            ○
 B  Beta
    b1_wrong                ◐
    b2_leaning              ●        1/1   on loan: a2_leaned_on

 2 of 4 steps  ━━━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━━━━━━━━━  50%

 next  answer                 katas/a2_leaned_on.py:1
       The answer
       yours to write
 hint  kata hint              read  katas/a2_leaned_on.md
"""


def test_board_ends_the_run(runs: dict[str, Run]) -> None:
    lines = [line.rstrip() for line in shown(runs, "all").splitlines()]
    start = lines.index(" A  Alpha")
    assert lines[start:-1] == BOARD.splitlines()


def test_board_does_without_unicode(runs: dict[str, Run]) -> None:
    text = shown(runs, "ascii")
    assert text.isascii()
    assert "b1_wrong                ?" in text
    assert results(text) == "2 failed, 4 passed, 2 yours to write"


WRONG_STEP = """\
 next  answer                 katas/b1_wrong.py:1
       The answer

       answer() gave 41, due was 42
       in tests/test_b1_wrong.py::TestAnswer::test_answer_is_right
       | thinking

 hint  kata hint              read  katas/b1_wrong.md
"""


def test_wrong_step_is_told_in_a_sentence(runs: dict[str, Run]) -> None:
    text = "\n".join(line.rstrip() for line in shown(runs, "node").splitlines())
    assert WRONG_STEP in text


def test_verbose_run_shows_tracebacks_too(runs: dict[str, Run]) -> None:
    text = shown(runs, "verbose")
    assert "assert 41 == 42" in text
    assert "answer() gave 41, due was 42" in text


def test_nothing_is_lent_on_demand(runs: dict[str, Run]) -> None:
    assert results(shown(runs, "no-loans")) == "2 yours to write"


class TestFromRunToRun:
    def test_second_save_of_the_same_size_is_judged_afresh(self, runs: dict[str, Run]) -> None:
        assert [runs["wrong at first"].returncode, runs["saved again"].returncode] == [1, 0]

    def test_references_leave_the_memory_of_failures_alone(self, runs: dict[str, Run]) -> None:
        assert results(runs["last failed"].stdout) == "2 failed, 4 deselected"

    def test_green_run_leads_on_from_where_it_was(self, runs: dict[str, Run]) -> None:
        assert "katas/b1_leaning.py:2" in runs["second"].stdout
        assert "begun, and not run since: pytest katas/b1_leaning.py" in runs["second"].stdout

    def test_steps_done_earlier_still_count(self, runs: dict[str, Run]) -> None:
        assert " 1 of 3 steps" in runs["wrong at first"].stdout

    def test_kata_found_wrong_is_lent_from_then_on(self, runs: dict[str, Run]) -> None:
        assert runs["last failed"].returncode == 1
        assert runs["leaning"].returncode == 0
        assert "on loan: a1_first" in runs["leaning"].stdout


def run_to_run(root: Path) -> dict[str, Run]:
    """Runs each of which begins where the one before it stopped."""
    house = ToyHouse(root)
    leaning = LEANING.replace("a2_leaned_on", "a1_first")
    house.add("a1_first", WRONG)
    house.add("a2_second", FINE)
    house.add("b1_leaning", leaning, leaning)
    runs = {"second": house.pytest("katas/a2_second.py")}
    runs["wrong at first"] = house.pytest("katas/a1_first.py")
    house.pytest("katas/a1_first.py", "--solutions")
    runs["last failed"] = house.pytest("--lf")
    runs["leaning"] = house.pytest("katas/b1_leaning.py")
    stub = root / "katas" / "a1_first.py"
    before = stub.stat()
    stub.write_text(WRONG.replace("41", "42"), encoding="utf-8")
    os.utime(stub, ns=(before.st_atime_ns, before.st_mtime_ns))
    runs["saved again"] = house.pytest("katas/a1_first.py")
    return runs
