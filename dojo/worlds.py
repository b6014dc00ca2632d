"""Whose katas a test gets: one finder for `katas.*`, and a world of them for each test file.

The test file of a kata gets the learner's own module; the earlier katas that it stands on
are the learner's where they are solved, and lent by the reference where they are not.
Each test file has imports of its own, so the same kata can be the learner's for its own
tests and the reference for the next. Sources are read afresh, never from bytecode: two saves
within a second would otherwise be judged by the first.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from dojo import limits, parked
from dojo.house import House, Kata

Chooser = Callable[[Kata], Path]
"""Picks the file that a kata is read from."""


class World:
    """The katas as one test file sees them: `modules` holds those imported so far."""

    def __init__(self, house: House, kata: Kata | None, choose: Chooser) -> None:
        self.names = ["katas", *(other.module for other in house.katas.values())]
        self.kata = kata
        self.choose = choose
        self.modules: dict[str, ModuleType] = {}
        self.problem: str | None = None  # why the kata's own module cannot be imported

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make `katas.*` mean this world's modules, in sys.modules and for new imports."""
        outside = Finder.world
        if outside is not None:
            outside.modules = _take_modules(outside.names)
        Finder.world = self
        sys.modules.update(self.modules)
        try:
            yield
        finally:
            self.modules = _take_modules(self.names)
            Finder.world = outside
            if outside is not None:
                sys.modules.update(outside.modules)


def _take_modules(names: list[str]) -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in names if name in sys.modules}


class Finder(importlib.abc.MetaPathFinder):
    """Finds `katas.*` in the world that is entered; outside of one it finds nothing."""

    world: World | None = None

    def __init__(self, house: House, limits: limits.Limits) -> None:
        self.house, self.limits = house, limits

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if self.world is None:
            return None
        if fullname == "katas":
            spec = importlib.machinery.ModuleSpec("katas", None, is_package=True)
            spec.submodule_search_locations = [str(self.house.root / "katas")]
            return spec
        package, _, stem = fullname.partition(".")
        kata = self.house.katas.get(stem)
        if package != "katas" or kata is None:
            return None
        source = self.world.choose(kata)
        loader = Loader(self.world, kata, source, self.limits)
        spec = importlib.machinery.ModuleSpec(fullname, loader, origin=str(source))
        spec.has_location = True
        return spec


class Loader(importlib.abc.Loader):
    """Executes one kata's source; what is broken in it becomes the world's problem."""

    def __init__(self, world: World, kata: Kata, source: Path, limits: limits.Limits) -> None:
        self.world, self.kata, self.source, self.limits = world, kata, source, limits

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        def execute() -> None:
            exec(compiled(self.source.read_bytes(), str(self.source)), module.__dict__)

        linecache.checkcache(str(self.source))
        is_own = self.kata == self.world.kata
        try:
            if self.source == self.kata.stub:
                limits.run(execute, self.limits, f"import of {module.__name__}")
            else:
                execute()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not is_own and self.source == self.kata.solution:
                raise
            problem = explain_import(error, self.source)
            if is_own:
                self.world.problem = problem
        else:
            problem = ""

        def missing(name: str) -> object:
            if name not in self.kata.public_names:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            file = parked.shown_path(str(self.source))
            return Missing(problem or f"{name} is gone from {file}: the tests look for it under this name")

        if "__getattr__" not in module.__dict__:
            module.__dict__["__getattr__"] = missing


@cache
def compiled(source: bytes, filename: str) -> CodeType:
    return compile(source, filename, "exec", dont_inherit=True)


class Missing:
    """Stands where a name should be, so that a test file can be imported; any use of it fails."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __call__(self, *args: object, **kwargs: object) -> object:
        pytest.fail(self._why, pytrace=False)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_") or name == "pytestmark":
            raise AttributeError(name)
        pytest.fail(self._why, pytrace=False)


def explain_import(error: BaseException, source: Path) -> str:
    """Say in a sentence why a kata's file cannot be imported, and where."""
    shown = parked.shown_path(str(source))
    if isinstance(error, SyntaxError) and error.filename == str(source):
        line = (error.text or "").strip()
        return f"{shown}:{error.lineno} is not Python: {error.msg}\n    {line}"
    where = shown
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(source):
            where = f"{shown}:{frame.lineno}"
    if isinstance(error, limits.GaveUpError):
        return f"{shown} cannot be imported: {error}"
    if isinstance(error, OSError) and "reading from stdin" in str(error):
        return f"{where} asks for input() while it is imported: nobody is there to answer"
    if isinstance(error, SystemExit):
        return f"{where} calls sys.exit() while it is imported: nothing after it exists"
    if isinstance(error, FileNotFoundError) and not source.exists():
        return f"{shown} is not there: bring it back with `git checkout {shown}`"
    return f"{where} stops the import: {type(error).__name__}: {error}"
