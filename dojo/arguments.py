"""Translate `pytest katas/...` to the tests of those katas."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from dojo.house import House, camel_case


def translate(config: pytest.Config, house: House) -> None:
    """Rewrite the run's arguments: katas become their test files; everything else stays.

    Raises pytest.UsageError for a file below katas/ that is no kata.
    """
    here = config.invocation_params.dir
    tests, proofs = house.root / "tests", house.root / "dojo" / "tests"
    args: list[str] = []
    for arg in config.args:
        path, colons, names = arg.partition("::")
        args.append(
            _translate(Path(os.path.abspath(here / path)), path, house) + colons + _class_names(names)
        )
    asked_for_some = config.args_source == pytest.Config.ArgsSource.ARGS
    if [Path(arg) for arg in args] == [tests] and config.option.solutions and not asked_for_some:
        args.append(str(proofs))
    config.args[:] = list(dict.fromkeys(args))
    if not config.option.solutions and not any(str(proofs) in os.path.abspath(here / arg) for arg in args):
        config.addinivalue_line("norecursedirs", str(proofs))


def _translate(path: Path, as_given: str, house: House) -> str:
    folder, tests = house.root / "katas", house.root / "tests"
    if path in (house.root, folder, house.root / "solutions", tests):
        return str(tests)
    if path.parent in (folder, house.root / "solutions"):
        kata = house.kata_of(path)
        if kata is None or not (path.exists() or path == kata.stub):
            raise pytest.UsageError(_no_such_kata(path, as_given, house))
        return str(kata.tests)
    return as_given


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
