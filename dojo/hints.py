"""Hints: three for each step, folded away in the kata's guide."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from dojo.house import House, Kata, Step

MEMORY = Path(".pytest_cache") / "v" / "dojo"  # where pytest's cache keeps what dojo.progress gives it


@dataclass(frozen=True)
class Hint:
    """One hint: how far it goes ("a nudge"), and its text in Markdown."""

    title: str
    text: str


def hints_of(kata: Kata, step: Step) -> list[Hint]:
    """The hints of a step, from a nudge to nearly there."""
    guide = kata.guide.read_text(encoding="utf-8")
    section = guide.partition("\n## Hints\n")[2].partition("\n## ")[0]
    of_step = f"{section}\n### ".partition(f"\n### {step.name}\n")[2].partition("\n### ")[0]
    found = re.findall(r"<details><summary>(.*?)</summary>\n(.*?)</details>", of_step, re.DOTALL)
    return [Hint(title.strip(), text.strip()) for title, text in found]


def next_step(house: House) -> tuple[Kata, Step]:
    """The next step of the last run, or the very first one."""
    stem, _, name = str(_recall(house, "next", "")).partition("::")
    kata = house.katas.get(stem) or next(iter(house.katas.values()))
    return kata, next((step for step in kata.steps if step.name == name), kata.steps[0])


def find_step(house: House, name: str) -> tuple[Kata, Step]:
    """The step of this name; of a kata's name, its first step. Raises LookupError."""
    for kata in house.katas.values():
        for step in kata.steps:
            if name in (step.name, step.test_class):
                return kata, step
    for kata in house.katas.values():
        if name in (kata.stem, kata.stem.partition("_")[0]) or Path(name).stem == kata.stem:
            return kata, kata.steps[0]
    raise LookupError(f"{name} is neither a step nor a kata: the board of `pytest katas/` shows them")


def show(house: House, kata: Kata, step: Step, everything: bool) -> None:
    """Print the hints asked for so far and one more."""
    hints = hints_of(kata, step)
    key = f"{kata.stem}::{step.name}"
    asked = _recall(house, "hints", {})
    counts = asked if isinstance(asked, dict) else {}
    count = len(hints) if everything else min(len(hints), int(counts.get(key, 0)) + 1)
    counts[key] = count
    path = house.root / MEMORY / "hints"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(counts), encoding="utf-8")

    console = Console()
    console.print(f"\n [bold]{step.name}[/bold]   katas/{kata.stem}.py\n")
    for hint in hints[:count]:
        console.print(f" [bold cyan]{hint.title}[/bold cyan]")
        console.print(Markdown(hint.text), width=min(80, console.width))
        console.print()
    left = len(hints) - count
    if left:
        console.print(f" [dim]{left} more: `kata hint {step.name}` again[/dim]")
    else:
        console.print(f" [dim]that was the last one; the story is in katas/{kata.stem}.md[/dim]")


def _recall(house: House, key: str, default: object) -> object:
    try:
        return json.loads((house.root / MEMORY / key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default
