"""The `kata` command: each hint says a little more, and every save gets a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dojo import hints, watch
from dojo.cli import main
from dojo.house import House
from dojo.tests.toy_house import TODO, ToyHouse

GUIDE = """\
# Toy

## Hints

### answer

<details><summary>a nudge</summary>

What is six times seven?
</details>

<details><summary>a push</summary>

It is less than fifty.
</details>

## Go further
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyHouse:
    toys = ToyHouse(tmp_path)
    toys.add("a1_toy", TODO)
    (tmp_path / "katas" / "a1_toy.md").write_text(GUIDE, encoding="utf-8")
    monkeypatch.setattr("dojo.cli.House", lambda: House(tmp_path))
    return toys


def kata(*args: str) -> str:
    result = CliRunner().invoke(main, args)
    return result.output


def test_first_hint_is_only_a_nudge(house: ToyHouse) -> None:
    said = kata("hint")
    assert "six times seven" in said
    assert "less than fifty" not in said


def test_asking_again_says_more(house: ToyHouse) -> None:
    kata("hint", "answer")
    assert "less than fifty" in kata("hint", "answer")


def test_unknown_step_gets_one_sentence(house: ToyHouse) -> None:
    result = CliRunner().invoke(main, ["hint", "nobody"])
    assert result.exit_code == 2
    assert "nobody is neither a step nor a kata" in result.output


def test_hint_follows_the_last_run(house: ToyHouse) -> None:
    house.add("a2_toy", TODO)
    house.pytest("katas/a2_toy.py")
    assert hints.next_step(House(house.root))[0].stem == "a2_toy"


def test_spare_interpreter_runs_what_it_is_told(house: ToyHouse, capfd: pytest.CaptureFixture[str]) -> None:
    spare = watch.Spare(House(house.root))
    assert spare.run(["katas/a1_toy.py", "-p", "no:randomly", "-p", "no:cacheprovider"]) == 1
    assert "2 yours to write" in capfd.readouterr().out


def test_spare_interpreter_that_is_not_needed_goes(house: ToyHouse) -> None:
    spare = watch.Spare(House(house.root))
    spare.dismiss()
    assert spare.process.returncode == 0
