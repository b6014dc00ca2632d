"""What the README shows is what happens."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from dojo.house import ROOT, House
from dojo.tests.toy_house import run_pytest

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TRANSCRIPTS = [text for language, text in BLOCKS if not language]
ANSWER = next(text for language, text in BLOCKS if language == "python")
FIRST = "a1_generator"


def run(root: Path) -> dict[str, str]:
    """The README's first minute, in a copy of the house with nothing solved."""
    for folder in ("katas", "solutions", "tests", "dojo"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, root / name)
    begin = run_pytest(root, "katas/")
    stub = root / "katas" / f"{FIRST}.py"
    head, _, rest = stub.read_text(encoding="utf-8").partition("def countdown")
    docstring = re.findall(r'    """.*?"""\n', rest, re.DOTALL)[0]
    signature, body = ANSWER.split("\n", 1)
    others = rest.partition("def ")[2]
    stub.write_text(f"{head}{signature}\n{docstring}{body}\n\ndef {others}", encoding="utf-8")
    wrong = run_pytest(root, f"katas/{FIRST}.py")
    return {"begin": begin.stdout, "wrong": wrong.stdout}


def plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


@pytest.mark.parametrize(("name", "number"), [("begin", 0), ("begin", 1), ("wrong", 2)])
def test_transcript_is_what_is_printed(outcome: dict[str, str], name: str, number: int) -> None:
    assert "\n".join(plain(TRANSCRIPTS[number])) in "\n".join(plain(outcome[name]))


def test_ladder_names_every_kata_and_step() -> None:
    for kata in House().katas.values():
        row = next(line for line in README.splitlines() if line.startswith(f"| [{kata.stem}]"))
        assert re.findall(r"`(\w+)`", row.split("|")[2]) == [step.name for step in kata.steps]


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (ROOT / target).exists(), target
