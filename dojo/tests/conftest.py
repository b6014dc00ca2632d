"""Runs of pytest in processes of their own, begun early: most of them are over when their tests come."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dojo.tests import test_broken_katas, test_learner_runs, test_peers, test_proofs, test_readme

HERE = Path(__file__).parent
RUNS: dict[str, Callable[[Path, bool], Any]] = {
    test_peers.__name__: test_peers.run,
    test_proofs.__name__: test_proofs.run,
    test_broken_katas.__name__: test_broken_katas.run,
    test_learner_runs.__name__: test_learner_runs.run,
    test_readme.__name__: test_readme.run,
}


class Background:
    """Threads that make the runs while the other tests go on."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.pool = ThreadPoolExecutor(4, thread_name_prefix="dojo-runs")
        self.begun: dict[str, Future[Any]] = {}

    def begin(self, name: str) -> Future[Any]:
        if name not in self.begun:
            factory: pytest.TempPathFactory = self.config._tmp_path_factory  # type: ignore[attr-defined]
            self.begun[name] = self.pool.submit(
                RUNS[name], factory.mktemp("house"), self.config.option.thorough
            )
        return self.begun[name]


BACKGROUND = pytest.StashKey[Background]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BACKGROUND] = Background(config)
    whole = any(Path(config.rootpath, arg) in (HERE, *HERE.parents) for arg in config.args)
    if whole and not config.option.keyword:  # all will be wanted: do not wait for the collection
        begin(config, set(RUNS))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask for the runs at last, in whatever order the rest is, and have patience with them."""
    items.sort(key=lambda item: f"dojo.tests.{item.path.stem}" in RUNS)
    for item in items:
        if f"dojo.tests.{item.path.stem}" in RUNS:
            item.add_marker(pytest.mark.timeout(300))


def pytest_collection_finish(session: pytest.Session) -> None:
    begin(session.config, {f"dojo.tests.{item.path.stem}" for item in session.items})


def begin(config: pytest.Config, wanted: set[str]) -> None:
    worker = hasattr(config, "workerinput")  # of several, only one will need a run
    if not worker and not config.option.collectonly:
        for name in RUNS:
            if name in wanted:
                config.stash[BACKGROUND].begin(name)


def pytest_unconfigure(config: pytest.Config) -> None:
    if background := config.stash.get(BACKGROUND, None):
        background.pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest) -> Any:
    """What the module's run() returned."""
    return request.config.stash[BACKGROUND].begin(f"dojo.tests.{request.path.stem}").result()
