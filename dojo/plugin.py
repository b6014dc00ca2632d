"""The pytest plugin: which tests run on whose katas, within which limits, and what is said of them."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from _pytest.outcomes import Failed

from dojo import arguments, asyncs, leaks, limits, process, proofs
from dojo.house import House, Kata
from dojo.logged import logged_by
from dojo.progress import Progress, recall
from dojo.reports import Reporter
from dojo.words import UNWRITTEN, Comparisons, Scene, failure_of, tail
from dojo.worlds import Finder, World

WORLD = pytest.StashKey[World]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("katas")
    group.addoption("--solutions", action="store_true", help="run the tests on the reference solutions")
    group.addoption(
        "--patience",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="how long a test may stand still, or compute, before it is stopped and explained (2)",
    )
    group.addoption(
        "--thorough",
        action="store_true",
        help="with --solutions: prove more: all of a step on its impostors, and other right answers",
    )
    group.addoption(
        "--sample", type=int, default=1, metavar="N", help="of each kata's impostors, try every N-th (1)"
    )
    group.addoption("--no-loans", action="store_true", help="lend nothing: every kata stands on your own")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    house = House()
    if config.option.solutions:
        # A cache of its own: a green run of the references must not clear the learner's --lf.
        config._inicache["cache_dir"] = ".pytest_cache/solutions"
    arguments.translate(config, house)
    config.pluginmanager.register(Dojo(config, house), "dojo")
    config.pluginmanager.register(
        proofs.Proofs(house, config.option.thorough, config.option.sample), "dojo-proofs"
    )
    if not config.option.solutions:  # the board says it better
        if config.option.reportchars == "fE":
            config.option.reportchars = ""
        if config.option.tbstyle == "auto":
            config.option.tbstyle = "short" if config.option.verbose > 0 else "no"
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "loadfile"  # a kata that cannot be imported says so once, not once a worker
    config.option.no_header = config.option.no_header or not config.option.verbose


class Dojo:
    """One run of pytest."""

    def __init__(self, config: pytest.Config, house: House) -> None:
        self.config = config
        self.house = house
        self.solutions: bool = config.option.solutions
        self.progress = Progress(house)
        self.comparisons = Comparisons()
        self.hung: dict[tuple[World, str], str] = {}
        self.heralds: dict[World, str] = {}
        self.limits = limits.Limits.of(config.option.patience)
        self.finder = Finder(house, self.limits)
        self.totals: Counter[str] = Counter()
        self.status = 0

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> None:
        self.comparisons.pytest_assertrepr_compare(op, left, right)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        process.bound_memory()
        process.stderr = self.config.stash.get(fault_handler_stderr_fd_key, process.stderr)
        sys.meta_path.insert(0, self.finder)
        sys.unraisablehook = lambda unraisable: None  # leaks.none_left hears what is a test's own
        if not self.solutions:
            self.progress.remembered = recall(self.config)
            if not hasattr(self.config, "workerinput"):
                reporter = Reporter(self.config, self.house, self.progress, self.choose_for)
                self.config.pluginmanager.register(reporter, "dojo-reporter")

    # Which file a kata is read from.

    def choose_for(self, consumer: Kata | None) -> Any:
        def choose(kata: Kata) -> Path:
            if self.solutions:
                return kata.solution
            if kata == consumer or self.config.option.no_loans:
                return kata.stub
            solved = kata.is_written() and not self.progress.is_refuted(kata)
            return kata.stub if solved else kata.solution

        return choose

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        if not isinstance(collector, pytest.Module):
            return (yield)
        asyncs.load_plugins_for(collector.path.read_text(encoding="utf-8"), self.config)
        if isinstance(collector, proofs.Trial):
            world = collector.world(self.house)
        else:
            kata = self.house.kata_of(collector.path)
            world = World(self.house, kata, self.choose_for(kata))
        collector.stash[WORLD] = world
        sys.modules.pop(collector.path.stem, None)  # each world imports its tests anew
        with world.entered():
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Count each step's tests before -k and the like leave some of them out."""
        if not any(arg.count("::") > 1 for arg in self.config.args):
            self.totals.update(class_of(item.nodeid) for item in items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            module = item.getparent(pytest.Module)
            world = module.stash.get(WORLD, None) if module else None
            if world is not None and isinstance(item, pytest.Function):
                self.heralds.setdefault(world, item.nodeid)
                self._guard(item, world)
        # All that exists now will live to the end: out of the way of the
        # collections that look for leaks, which are then a hundred times quicker.
        gc.collect()
        gc.freeze()

    def _guard(self, item: pytest.Function, world: World) -> None:
        """Run the test in its world, within limits, and look for what it leaves behind."""
        runtest = item.runtest
        if world.kata is None:  # a test of the harness: in the world of the references, and on its own
            item.runtest = world.entered()(runtest)  # type: ignore[method-assign]
            return
        step = (world, item.cls.__name__ if item.cls else "")

        def watched() -> None:
            with leaks.none_left():
                try:
                    runtest()
                except (KeyboardInterrupt, pytest.exit.Exception) as error:
                    raise process.ExitCalledError(
                        f"{type(error).__name__} was raised: it ends the whole run"
                    ) from error

        def guarded() -> None:
            if world.problem:
                if self.heralds[world] == item.nodeid:
                    raise Broken(world.problem, pytrace=False)
                pytest.skip("the kata cannot be imported")
            if step in self.hung and not proofs.is_proof(item):
                pytest.fail(f"not tried, because {self.hung[step]}", pytrace=False)
            within, earlier = proofs.limits_of(item, self.limits), set(threading.enumerate())
            try:
                with world.entered():
                    limits.run(watched, within, f"of {item.name}")
                leaks.threads_end(earlier, within.standing)
            except limits.GaveUpError as error:
                self.hung[step] = f"{item.name} hangs"
                raise Hang(str(error), pytrace=False) from None
            except MemoryError:
                self.hung[step] = f"{item.name} used up all memory"
                raise
            else:
                for value in parameters_of(item).values():
                    if isinstance(value, BaseException):  # or it keeps all that the test had, to the end
                        value.__traceback__ = None
            finally:
                asyncs.forget_runner()

        def judged() -> None:
            with proofs.must_be_caught(item, self.scene_of):
                guarded()

        item.runtest = judged  # type: ignore[method-assign]
        shown = item.repr_failure

        def shown_unless_unwritten(excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
            unwritten = failure_of(excinfo.value, Scene()).kind == UNWRITTEN
            return "yours to write" if unwritten else shown(excinfo)  # a traceback takes longer than a test

        item.repr_failure = shown_unless_unwritten  # type: ignore[method-assign]

    def scene_of(self, item: pytest.Item) -> Scene:
        module = item.getparent(pytest.Module)
        world = module.stash.get(WORLD, None) if module else None
        answer = str(world.choose(world.kata)) if world and world.kata else ""
        return Scene(self.comparisons.take(), parameters_of(item), answer)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, Any]:
        scene = self.scene_of(item)
        report = yield
        report.kata_of = self.totals[class_of(item.nodeid)]
        report.kata_position = item.stash.get(proofs.POSITION, 0)
        if call.excinfo is not None and report.failed:
            failure = failure_of(call.excinfo.value, scene)
            report.kata_kind, report.kata_where = failure.kind, failure.where
            report.kata_text = failure.text + logged_by(item, scene.answer)
            report.sections = [(title, tail(text)) for title, text in report.sections]
            if not self.solutions and failure.kind != UNWRITTEN:
                report.sections.insert(0, ("In a sentence", report.kata_text))
        return report

    def pytest_enter_pdb(self) -> None:
        limits.suspended = True

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.status = int(exitstatus)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        sys.meta_path.remove(self.finder)
        limits.leave_for_good(self.status)
        with warnings.catch_warnings():  # what failed tests left open has been told: now it goes quietly
            warnings.simplefilter("ignore")
            leaks.forget_failures()
            gc.unfreeze()
            gc.collect()


class Broken(Failed, limits.BrokenKataError):
    """A kata that cannot be imported: reported by its text alone."""


class Hang(Failed, limits.GaveUpError):
    """A test that did not come to an end: reported by its text alone."""


def parameters_of(item: pytest.Item) -> dict[str, object]:
    """The values that a test is parametrized with, by name."""
    return item.callspec.params if hasattr(item, "callspec") else {}


def class_of(nodeid: str) -> str:
    """The node id of the class that a test is in."""
    return nodeid.partition("[")[0].rpartition("::")[0]
