"""The board: every kata's steps as dots, how far it is to the top, and the one next step."""

from __future__ import annotations

import locale
import os
from dataclasses import dataclass
from typing import TextIO

import pytest

from dojo.house import House, Kata, Step, first_line
from dojo.progress import Progress
from dojo.words import UNWRITTEN, wrapped

NAME = 24  # columns of a kata's name
LABEL = 6  # columns of "next", "hint"
PRINTED = 10  # lines of what the learner printed


@dataclass(frozen=True)
class Signs:
    """What the board is drawn with; colour is never the only sign."""

    done: str
    begun: str
    open: str
    bar: str
    tip: str
    rest: str


UNICODE = Signs("●", "◐", "○", "━", "╺", "━")
ASCII = Signs("#", "?", ".", "=", ">", "-")


@dataclass(frozen=True)
class Next:
    """The step to work on: its first failing test and what that had to say."""

    kata: Kata
    step: Step | None
    nodeid: str
    kind: str
    text: str
    where: str
    printed: str


class Board:
    """Draws on pytest's terminal."""

    def __init__(self, terminal: pytest.TerminalReporter, house: House, progress: Progress) -> None:
        self.terminal = terminal
        self.house = house
        self.progress = progress
        self.signs = UNICODE if speaks_unicode(terminal._tw._file) else ASCII

    def write(self, text: str = "", **markup: bool) -> None:
        self.terminal.write_line(text, **markup)

    def draw(self, katas: list[Kata], loans: dict[str, list[str]], next_step: Next | None) -> None:
        """Draw the rows of katas, what was lent to them, the way so far, and next_step."""
        chapter = ""
        self.write()
        for kata in katas:
            if kata.chapter != chapter:
                chapter = kata.chapter
                self.write(f" {chapter}  {self.house.chapters.get(chapter, '')}".rstrip(), bold=True)
            self._row(kata, loans.get(kata.stem, []))
        done, of_all = self._way()
        self.write()
        self.write(f" {done} of {of_all} steps  {self._bar(done, of_all)} {100 * done // max(1, of_all):3}%")
        if changed := [kata.stem for kata in self.house.katas.values() if self.progress.has_changed(kata)]:
            self.write(f" changed since their tests ran: {', '.join(changed)}", light=True)
        self.write()
        if next_step is not None:
            self._next(next_step)
        elif done == of_all:
            self.write(" All done. You have built it, from the first yield up.", bold=True, green=True)

    def _row(self, kata: Kata, lent: list[str]) -> None:
        signs, counts = [], 0
        for step in kata.steps:
            if self.progress.is_done(kata, step.name):
                signs.append(self.signs.done)
                counts += 1
            else:
                signs.append(self.signs.begun if kata.is_begun(step) else self.signs.open)
        dots = "".join(signs)
        count = f"   {counts}/{len(signs)}" if counts else ""
        loan = f"   on loan: {', '.join(lent)}" if lent else ""
        self.write(f"    {kata.stem:<{NAME}}{dots:<6}{count}{loan}".rstrip(), green=counts == len(signs))

    def _way(self) -> tuple[int, int]:
        steps = [(kata, step) for kata in self.house.katas.values() for step in kata.steps]
        return sum(self.progress.is_done(kata, step.name) for kata, step in steps), len(steps)

    def _bar(self, done: int, of_all: int, width: int = 40) -> str:
        filled = width * done // max(1, of_all)
        tip = self.signs.tip if filled < width else ""
        return self.signs.bar * filled + tip + self.signs.rest * (width - filled - len(tip))

    def _next(self, step: Next) -> None:
        kata, width = step.kata, max(40, min(100, self.terminal._tw.fullwidth) - LABEL - 2)
        definition = kata.definitions().get(step.step.name) if step.step else None
        line = f":{definition.lineno}" if definition else ""
        name = step.step.name if step.step else kata.stem
        self._labelled("next", f"{name:<22} katas/{kata.stem}.py{line}", bold=True)
        if definition is not None:
            for text in wrapped(first_line(definition), width):
                self._labelled("", text)
        if step.kind == UNWRITTEN and (
            definition is None or step.step is None or not kata.is_begun(step.step)
        ):
            self._labelled("", "yours to write", cyan=True)
        elif not step.nodeid:
            self._labelled("", f"begun, and not run since: pytest katas/{kata.stem}.py", cyan=True)
        else:
            self.write()
            for text in wrapped(step.text, width):
                self._labelled("", text, red=True)
            if step.where:
                self._labelled("", f"at {step.where}")
            self._labelled("", f"in {step.nodeid}", light=True)
            for line in step.printed.splitlines()[-PRINTED:]:
                self._labelled("", f"| {line[:width]}")
            self.write()
        self._labelled("hint", f"kata hint              read  katas/{kata.stem}.md")

    def _labelled(self, label: str, text: str, **markup: bool) -> None:
        self.terminal.write(f" {label:<{LABEL}}", bold=True)
        self.terminal.write_line(text, **markup)


def speaks_unicode(file: TextIO) -> bool:
    """Can this stream show the board's dots? A dumb terminal and one without UTF-8 get ASCII."""
    if os.environ.get("TERM") == "dumb":
        return False
    encoding = getattr(file, "encoding", None) or locale.getpreferredencoding(False)
    try:
        "●◐○━╺".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
