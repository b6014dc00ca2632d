"""What has been achieved: a tally of this run's tests by step, and a memory of earlier runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from dojo.house import House, Kata

KEY = "dojo/steps"


@dataclass
class Tally:
    """The tests of one step, counted."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    of: int = 0
    """How many there are, those left out of this run included; 0 where nobody knows."""

    @property
    def done(self) -> bool:
        return self.passed > 0 and self.failed == 0 and self.passed + self.skipped == self.of


@dataclass
class Progress:
    """Tallies by kata and step. Those of earlier runs count as long as the file has not changed."""

    house: House
    remembered: dict[str, dict[str, Any]] = field(default_factory=dict)
    tallies: dict[str, dict[str, Tally]] = field(default_factory=dict)

    def tally(self, kata: Kata, step: str) -> Tally:
        return self.tallies.setdefault(kata.stem, {}).setdefault(step, Tally())

    def is_done(self, kata: Kata, step: str) -> bool:
        tally = self.tallies.get(kata.stem, {}).get(step, Tally())
        return tally.done or (not tally.failed and step in self._memory_of(kata).get("done", ()))

    def has_changed(self, kata: Kata) -> bool:
        """Did the file have steps that were done, and has it changed without their being run since?"""
        done = set(self.remembered.get(kata.stem, {}).get("done", ()))
        return not self._memory_of(kata) and bool(done - self.tallies.get(kata.stem, {}).keys())

    def is_refuted(self, kata: Kata) -> bool:
        """Did a step of the file, as it is now, fail a test when they last ran?"""
        return bool(self._memory_of(kata).get("failed"))

    def _memory_of(self, kata: Kata) -> dict[str, Any]:
        memory = self.remembered.get(kata.stem, {})
        return memory if memory.get("source") == fingerprint(kata) else {}

    def merged(self) -> dict[str, dict[str, Any]]:
        """The memory that the next run should find."""
        memory = dict(self.remembered)
        for stem, tallies in self.tallies.items():
            kata = self.house.katas[stem]
            old = self._memory_of(kata)
            done, failed = set(old.get("done", ())), set(old.get("failed", ()))
            for step, tally in tallies.items():
                if tally.failed:
                    done.discard(step)
                    failed.add(step)
                elif tally.done:
                    done.add(step)
                    failed.discard(step)
            memory[stem] = {"source": fingerprint(kata), "done": sorted(done), "failed": sorted(failed)}
        return memory


def fingerprint(kata: Kata) -> str:
    """Changes whenever the learner's file or its tests do."""
    digest = hashlib.sha256()
    for path in (kata.stub, kata.tests):
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:16]


def recall(config: pytest.Config) -> dict[str, dict[str, Any]]:
    cache = getattr(config, "cache", None)  # -p no:cacheprovider leaves us without
    memory = cache.get(KEY, {}) if cache else {}
    return memory if isinstance(memory, dict) else {}


def remember(config: pytest.Config, progress: Progress) -> None:
    cache = getattr(config, "cache", None)
    if cache:
        cache.set(KEY, progress.merged())


def remember_next(config: pytest.Config, step: str) -> None:
    """Keep "stem::step" for `kata hint`."""
    cache = getattr(config, "cache", None)
    if cache:
        cache.set("dojo/next", step)
