"""Translate `pytest katas/...` to the tests of those katas."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from dojo.house import House, Kata, camel_case


def translate(config: pytest.Config, house: House) -> None:
    """Rewrite the run's arguments: katas become their test files; everything else stays.

    Raises pytest.UsageError for a file below katas/ that is no kata.
    """
    here = config.invocation_params.dir
    tests, proofs = house.root / "tests", house.root / "dojo" / "tests"
    args: list[str] = []
    for arg in config.args:
        path, colons, names = arg.partition("::")
        for one in _translate(Path(os.path.abspath(here / path)), path, house):
            args.append(one + colons + _class_names(names))
    if [Path(arg) for arg in args] == [tests] and config.option.solutions and not _asked_for_katas(config):
        args.append(str(proofs))
    config.args[:] = list(dict.fromkeys(args))
    if not config.option.solutions and not any(str(proofs) in os.path.abspath(here / arg) for arg in args):
        config.addinivalue_line("norecursedirs", str(proofs))


def _asked_for_katas(config: pytest.Config) -> bool:
    return config.args_source == pytest.Config.ArgsSource.ARGS and bool(config.invocation_params.args)


def _translate(path: Path, as_given: str, house: House) -> list[str]:
    folder, tests = house.root / "katas", house.root / "tests"
    if path in (house.root, folder, house.root / "solutions", tests):
        return [str(tests)]
    if path.parent in (folder, house.root / "solutions"):
        kata = house.kata_of(path)
        if kata is None or not (path.exists() or path == kata.stub):
            raise pytest.UsageError(_no_such_kata(path, as_given, house))
        return [str(kata.tests)]
    return [as_given]


def _no_such_kata(path: Path, as_given: str, house: House) -> str:
    close = difflib.get_close_matches(path.stem, house.katas, n=1, cutoff=0.4)
    advice = f"did you mean katas/{close[0]}.py?" if close else "`pytest katas/` runs them all."
    return f"{as_given} is not a kata: {advice}"


def _class_names(names: str) -> str:
    """`::take` is another way to say `::TestTake`."""
    first, colons, rest = names.partition("::")
    if first and not first.startswith(("Test", "test_")):
        first = "Test" + camel_case(first)
    return first + colons + rest


def chosen_katas(config: pytest.Config, house: House) -> list[Kata]:
    """The katas whose test files this run's arguments name."""
    paths = [Path(os.path.abspath(config.invocation_params.dir / a.partition("::")[0])) for a in config.args]
    if any(path == house.root / "tests" for path in paths):
        return list(house.katas.values())
    return [kata for kata in house.katas.values() if kata.tests in paths]
