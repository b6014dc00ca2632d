"""What the README shows is what happens."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from _pytest._io import TerminalWriter

from dojo.board import Board, Next
from dojo.house import ROOT, House
from dojo.progress import Progress
from dojo.tests.test_house import skip_where_begun
from dojo.tests.toy_house import run_pytest
from dojo.words import UNWRITTEN

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TRANSCRIPTS = [text for language, text in BLOCKS if not language]
ANSWER = next(text for language, text in BLOCKS if language == "python")
FIRST = "a1_generator"


def run(root: Path, thorough: bool) -> str:
    """What is printed for the README's first answer, in a copy of the house."""
    for folder in ("katas", "solutions", "tests", "dojo"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, root / name)
    stub = root / "katas" / f"{FIRST}.py"
    head, _, rest = (ROOT / "katas" / stub.name).read_text(encoding="utf-8").partition("def countdown")
    docstring = re.findall(r'    """.*?"""\n', rest, re.DOTALL)[0]
    signature, body = ANSWER.split("\n", 1)
    others = rest.partition("def ")[2]
    stub.write_text(f"{head}{signature}\n{docstring}{body}\n\ndef {others}", encoding="utf-8")
    return run_pytest(root, f"katas/{FIRST}.py").stdout


def board() -> str:
    """The board of a first run, with nothing begun."""
    house = House()
    katas = list(house.katas.values())
    drawn = io.StringIO()
    writer = TerminalWriter(drawn)
    terminal = SimpleNamespace(write=writer.write, write_line=writer.line, _tw=writer)
    first = Next(katas[0], katas[0].steps[0], "", UNWRITTEN, "", "", "")
    Board(cast(pytest.TerminalReporter, terminal), house, Progress(house)).draw(katas, {}, first)
    return drawn.getvalue()


def plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def test_board_is_what_a_first_run_shows() -> None:
    skip_where_begun(House().katas[FIRST])
    for transcript in TRANSCRIPTS[:2]:
        assert plain(transcript) in plain(board())


def test_first_failure_is_what_is_printed(outcome: str) -> None:
    skip_where_begun(House().katas[FIRST])
    assert plain(TRANSCRIPTS[2]) in plain(outcome)


def test_ladder_names_every_kata_and_step() -> None:
    for kata in House().katas.values():
        row = next(line for line in README.splitlines() if line.startswith(f"| [{kata.stem}]"))
        assert re.findall(r"`(\w+)`", row.split("|")[2]) == [step.name for step in kata.steps]


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (ROOT / target).exists(), target
