"""Runs of pytest in processes of their own, begun early: most of them is over when its tests come."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dojo.tests import test_broken_katas, test_learner_runs, test_readme

RUNS: dict[str, Callable[[Path], Any]] = {
    test_broken_katas.__name__: test_broken_katas.run,
    test_learner_runs.__name__: test_learner_runs.run,
    test_readme.__name__: test_readme.run,
}


class Background:
    """One thread that makes the runs, in turn, while the other tests keep another core busy."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="dojo-runs")
        self.begun: dict[str, Future[Any]] = {}

    def begin(self, name: str) -> Future[Any]:
        if name not in self.begun:
            factory: pytest.TempPathFactory = self.config._tmp_path_factory  # type: ignore[attr-defined]
            self.begun[name] = self.pool.submit(RUNS[name], factory.mktemp("house"))
        return self.begun[name]


BACKGROUND = pytest.StashKey[Background]()


def pytest_collection_finish(session: pytest.Session) -> None:
    background = session.config.stash[BACKGROUND] = Background(session.config)
    worker = hasattr(session.config, "workerinput")  # of several, only one will need a run
    if not worker and not session.config.option.collectonly:
        wanted = {item.path.stem for item in session.items}
        for name in RUNS:
            if name.rpartition(".")[2] in wanted:
                background.begin(name)


def pytest_unconfigure(config: pytest.Config) -> None:
    if background := config.stash.get(BACKGROUND, None):
        background.pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest) -> Any:
    """What the module's run() returned."""
    return request.config.stash[BACKGROUND].begin(f"dojo.tests.{request.path.stem}").result()
