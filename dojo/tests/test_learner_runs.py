"""Every way of calling pytest that a learner may think of, and what is shown for it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from toy_house import FINE, TODO, ToyHouse

WRONG = 'def answer():\n    """The answer."""\n    print("thinking")\n    return 41\n'
LEANING = "from katas.a2_leaned_on import answer as other\ndef answer():\n    return other()\n"
Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> ToyHouse:
    house = ToyHouse(tmp_path_factory.mktemp("house"))
    house.add("a1_solved", FINE)
    house.add("a2_leaned_on", TODO)
    house.add("b1_wrong", WRONG)
    house.add("b2_leaning", LEANING, LEANING)
    (house.root / "README.md").write_text("# Toys\n\n### A · Alpha\n\n### B · Beta\n", encoding="utf-8")
    return house


@pytest.fixture(scope="module")
def runs(house: ToyHouse) -> Iterator[dict[str, Future[Run]]]:
    """Runs that change nothing, two at a time: most of a run is waiting for imports."""
    off = "-p no:cacheprovider".split()
    with ThreadPoolExecutor(2) as pool:
        yield {
            "all": pool.submit(house.pytest, "katas/", *off),
            "one": pool.submit(house.pytest, "katas/a1_solved.py", *off),
            "step": pool.submit(house.pytest, "a1_solved.py::answer", *off, cwd="katas"),
            "inside": pool.submit(house.pytest, *off, cwd="katas"),
            "typo": pool.submit(house.pytest, "katas/a1_sloved.py", *off),
            "node": pool.submit(house.pytest, "tests/test_b1_wrong.py::TestAnswer::test_answer_is_right", *off),
            "solutions": pool.submit(house.pytest, "katas/", "--solutions", *off),
            "verbose": pool.submit(house.pytest, "katas/b1_wrong.py", "-v", *off),
            "ascii": pool.submit(house.pytest, "katas/", "-n2", *off, PYTHONIOENCODING="ascii", PYTHONUTF8="0"),
            "no-loans": pool.submit(house.pytest, "katas/b2_leaning.py", "--no-loans", *off),
        }


def shown(runs: dict[str, Future[Run]], name: str) -> str:
    run = runs[name].result()
    assert "Traceback" not in run.stdout + run.stderr or name == "verbose", run.stdout + run.stderr
    return run.stdout


def results(text: str) -> str:
    """The closing line without its time."""
    return re.sub(r" in [\d.]+s.*", "", text.strip().splitlines()[-1].strip("= "))


@pytest.mark.parametrize("name", ["all", "inside"])
def test_whole_house_is_run(runs: dict[str, Future[Run]], name: str) -> None:
    assert results(shown(runs, name)) == "2 failed, 4 passed, 2 yours to write"
    assert runs[name].result().returncode == 1


@pytest.mark.parametrize("name", ["one", "step"])
def test_one_kata_is_run_alone(runs: dict[str, Future[Run]], name: str) -> None:
    assert results(shown(runs, name)) == "2 passed"
    assert runs[name].result().returncode == 0


def test_node_id_can_be_pasted_back(runs: dict[str, Future[Run]]) -> None:
    assert results(shown(runs, "node")) == "1 failed"


def test_typo_gets_one_sentence_with_the_remedy(runs: dict[str, Future[Run]]) -> None:
    run = runs["typo"].result()
    assert run.stderr.strip() == "ERROR: katas/a1_sloved.py is not a kata: did you mean katas/a1_solved.py?"
    assert run.returncode == 4


def test_references_pass(runs: dict[str, Future[Run]]) -> None:
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


def test_board_ends_the_run(runs: dict[str, Future[Run]]) -> None:
    lines = [line.rstrip() for line in shown(runs, "all").splitlines()]
    start = lines.index(" A  Alpha")
    assert lines[start:-1] == BOARD.splitlines()


def test_board_does_without_unicode(runs: dict[str, Future[Run]]) -> None:
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


def test_wrong_step_is_told_in_a_sentence(runs: dict[str, Future[Run]]) -> None:
    text = "\n".join(line.rstrip() for line in shown(runs, "node").splitlines())
    assert WRONG_STEP in text


def test_verbose_run_shows_tracebacks_too(runs: dict[str, Future[Run]]) -> None:
    text = shown(runs, "verbose")
    assert "assert 41 == 42" in text
    assert "answer() gave 41, due was 42" in text


def test_nothing_is_lent_on_demand(runs: dict[str, Future[Run]]) -> None:
    assert results(shown(runs, "no-loans")) == "2 yours to write"


class TestFromRunToRun:
    """Each test goes on where the one before it stopped reading: a house of its own."""

    @pytest.fixture
    def house(self, tmp_path: Path) -> ToyHouse:
        house = ToyHouse(tmp_path)
        house.add("a1_first", WRONG)
        house.add("a2_second", FINE)
        return house

    def test_second_save_of_the_same_size_is_judged_afresh(self, house: ToyHouse) -> None:
        stub = house.root / "katas" / "a1_first.py"
        assert house.pytest("katas/a1_first.py").returncode == 1
        before = stub.stat()
        stub.write_text(WRONG.replace("41", "42"), encoding="utf-8")
        os.utime(stub, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert house.pytest("katas/a1_first.py").returncode == 0

    def test_references_leave_the_memory_of_failures_alone(self, house: ToyHouse) -> None:
        house.pytest("katas/")
        house.pytest("katas/", "--solutions")
        assert results(house.pytest("--lf").stdout) == "2 failed, 2 deselected"

    def test_steps_done_earlier_still_count(self, house: ToyHouse) -> None:
        house.pytest("katas/a2_second.py")
        assert " 1 of 2 steps" in house.pytest("katas/a1_first.py").stdout

    def test_kata_found_wrong_is_lent_from_then_on(self, house: ToyHouse) -> None:
        leaning = LEANING.replace("a2_leaned_on", "a1_first")
        house.add("b1_leaning", leaning, leaning)
        assert house.pytest("katas/b1_leaning.py").returncode == 1
        house.pytest("katas/a1_first.py")
        run = house.pytest("katas/b1_leaning.py")
        assert run.returncode == 0
        assert "on loan: a1_first" in run.stdout
