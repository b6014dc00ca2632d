"""Proofs about the katas: impostors that must fail for their reason, other right answers that must pass.

Both are collected next to this package, and each runs the kata's real tests in a world of its own:

- `dojo/tests/impostors/<stem>.md`: small differences from the reference, as diffs. The test that an
  impostor names must fail with the words it quotes; with --thorough it must also be the first of
  its step to fail, as it is the first that a learner is shown.
- `dojo/tests/answers/<stem>/<make>.py`: a whole answer of another make. All of the kata's tests must pass.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, ModuleType

import pytest
from _pytest.assertion.rewrite import rewrite_asserts

from dojo import parked
from dojo.house import House, Kata
from dojo.limits import Limits
from dojo.words import Scene, failure_of
from dojo.worlds import World

POSITION = pytest.StashKey[int]()
EXPECTED = pytest.StashKey["Impostor | None"]()
QUICK = Limits(standing=0.25, computing=1.0, in_all=5.0, unwinding=0.05)


@dataclass(frozen=True)
class Impostor:
    """A wrong answer: what it changes in the reference, which test catches it, and how that reads."""

    title: str
    fails: str
    says: str
    changes: tuple[tuple[str, str], ...]

    @property
    def slug(self) -> str:
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")

    def applied_to(self, source: str) -> str:
        """The reference with the changes made. Raises ValueError where one does not fit exactly once."""
        for before, after in self.changes:
            if source.count(before) != 1:
                raise ValueError(
                    f"{self.title}: {source.count(before)} times in the reference, not once:\n{before}"
                )
            source = source.replace(before, after)
        return source


def read_impostors(path: Path) -> Iterator[Impostor]:
    """The impostors of a catalogue. Raises ValueError for an entry that lacks a part."""
    for section in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        fails = re.search(r"^fails: (.+)$", body, re.MULTILINE)
        says = re.search(r"^says: (.+)$", body, re.MULTILINE)
        diffs = re.findall(r"^```diff\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        if not (fails and says and diffs):
            raise ValueError(f"{path.name}: {title!r} needs a 'fails:', a 'says:' and a diff")
        changes = tuple((_side(diff, " -"), _side(diff, " +")) for diff in diffs)
        yield Impostor(title.strip(), fails[1].strip(), says[1].strip(), changes)


def _side(diff: str, signs: str) -> str:
    return "".join(
        (line[1:] or "\n") for line in diff.splitlines(keepends=True) if (line.strip("\n") or " ")[0] in signs
    )


@cache
def rewritten(path: Path, config: pytest.Config) -> CodeType:
    """The code of a test file, with pytest's explanations of failed asserts in it."""
    source = path.read_bytes()
    tree = ast.parse(source, filename=str(path))
    rewrite_asserts(tree, source, str(path), config)
    return compile(tree, str(path), "exec", dont_inherit=True)


class Trial(pytest.Module):
    """The real test file of a kata, run on another answer than the learner's."""

    answer: Path
    kata: Kata
    impostor: Impostor | None = None

    @classmethod
    def of(cls, parent: pytest.Collector, name: str, kata: Kata, answer: Path) -> Trial:
        trial: Trial = cls.from_parent(parent, path=kata.tests, nodeid=f"{parent.nodeid}::{name}")
        trial.name, trial.kata, trial.answer = name, kata, answer
        return trial

    def catches(self, test: pytest.Item) -> bool:
        """Is this the test that the impostor names?"""
        return self.impostor is not None and test.nodeid == f"{self.nodeid}::{self.impostor.fails}"

    def _getobj(self) -> ModuleType:
        """Import the tests anew, as each trial has imports of its own; rewrite their asserts only once."""
        code = rewritten(self.path, self.config)
        module = ModuleType(self.path.stem)
        module.__file__ = str(self.path)
        exec(code, module.__dict__)
        if self.impostor is not None:  # leave aside what it does not need, before pytest looks at it
            step = self.impostor.fails.partition("::")[0]
            for name in [name for name in vars(module) if name.startswith("Test") and name != step]:
                delattr(module, name)
        return module

    def world(self, house: House) -> World:
        return World(house, self.kata, lambda kata: self.answer if kata == self.kata else kata.solution)


class Catalogue(pytest.File):
    """The impostors of one kata."""

    kata: Kata
    folder: Path
    sample: int

    def collect(self) -> Iterable[Trial]:
        reference = self.kata.solution.read_text(encoding="utf-8")
        for impostor in islice(read_impostors(self.path), 0, None, self.sample):
            # In a file, so that a traceback can show its lines.
            answer = self.folder / self.kata.stem / f"{impostor.slug}.py"
            answer.parent.mkdir(exist_ok=True)
            answer.write_text(impostor.applied_to(reference), encoding="utf-8")
            trial = Trial.of(self, impostor.slug, self.kata, answer)
            trial.impostor = impostor
            yield trial


class Answer(pytest.File):
    """A right answer of another make."""

    kata: Kata

    def collect(self) -> Iterable[Trial]:
        yield Trial.of(self, "answer", self.kata, self.path)


class Proofs:
    """Collects impostors and answers, and turns the verdict on an impostor round."""

    def __init__(self, house: House, thorough: bool, sample: int) -> None:
        self.house, self.thorough, self.sample = house, thorough, sample
        self.positions = count()
        self.folder = TemporaryDirectory(prefix="impostors-")
        parked.FOLDERS.append(self.folder.name)

    def pytest_unconfigure(self) -> None:
        parked.FOLDERS.remove(self.folder.name)
        self.folder.cleanup()

    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        """The folders of the harness's tests are asked for by path: see dojo/tests/elsewhere.py."""
        if collection_path.parent != self.house.root / "dojo" / "tests" or not collection_path.is_dir():
            return None
        asked_for = (Path(arg.partition("::")[0]).absolute() for arg in config.args)
        return None if any(collection_path in (path, *path.parents) for path in asked_for) else True

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        folder = self.house.root / "dojo" / "tests"
        if file_path.parent == folder / "impostors" and file_path.suffix == ".md":
            catalogue: Catalogue = Catalogue.from_parent(parent, path=file_path)
            catalogue.kata, catalogue.folder = self._kata(file_path.stem), Path(self.folder.name)
            catalogue.sample = self.sample
            return catalogue
        if file_path.parent.parent == folder / "answers" and file_path.suffix == ".py":
            answer: Answer = Answer.from_parent(parent, path=file_path)
            answer.kata = self._kata(file_path.parent.name)
            return answer
        return None

    def _kata(self, stem: str) -> Kata:
        if stem not in self.house.katas:
            raise pytest.UsageError(f"dojo/tests has proofs about {stem}, which is no kata")
        return self.house.katas[stem]

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, collector: pytest.Collector, name: str) -> list[pytest.Item] | None:
        """Leave aside, before items are made of them, the tests that a trial does not need."""
        trial = collector.getparent(Trial)
        if trial is None or trial.impostor is None:
            return None
        step, _, test = trial.impostor.fails.partition("[")[0].partition("::")
        wanted = step if collector is trial else test
        return None if name == wanted or (self.thorough and collector is not trial) else []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        item.stash[POSITION] = next(self.positions)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Of an impostor's tests keep the one that must fail; if thorough, those of its step before it."""
        trials: dict[Trial, list[pytest.Item]] = {}
        for item in items:
            trial = item.getparent(Trial)
            if trial is not None and trial.impostor is not None:
                trials.setdefault(trial, []).append(item)
        for trial, tests in trials.items():
            tests.sort(key=lambda test: test.stash[POSITION])  # whatever has shuffled them
            named = [test for test in tests if trial.catches(test)]
            for test in named:
                test.stash[EXPECTED] = trial.impostor
            trials[trial] = tests[: tests.index(named[0]) + 1] if self.thorough and named else named
        others = [item for item in items if item.getparent(Trial) not in trials]
        items[:] = others + [test for tests in trials.values() for test in tests]


def is_proof(item: pytest.Item) -> bool:
    return item.getparent(Trial) is not None


def limits_of(item: pytest.Item, limits: Limits) -> Limits:
    """An impostor that hangs on purpose need not hang for long."""
    return QUICK if EXPECTED in item.stash else limits


@contextmanager
def must_be_caught(item: pytest.Item, scene_of: Callable[[pytest.Item], Scene]) -> Iterator[None]:
    """Where item is to catch an impostor: fail unless it does, in the words that the impostor quotes."""
    impostor = item.stash.get(EXPECTED, None)
    if impostor is None:
        yield
        return
    try:
        yield
    except BaseException as error:
        said = failure_of(error, scene_of(item)).text
    else:
        pytest.fail(f"{impostor.title}: not caught by {impostor.fails}", pytrace=False)
    if impostor.says not in said:
        pytest.fail(
            f"{impostor.title}: caught, but not in the words {impostor.says!r}:\n\n{said}", pytrace=False
        )
