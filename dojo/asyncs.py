"""What the harness has to know of asyncio, anyio and trio. None is imported before a test needs it."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from dojo import parked

PLUGINS = {
    "pytest.mark.asyncio": ("asyncio", "pytest_asyncio.plugin"),
    "pytest.mark.anyio": ("anyio", "anyio.pytest_plugin"),
}


def load_plugins_for(source: str, config: pytest.Config) -> None:
    """Register the async plugins that a test file uses; addopts keeps them out until then.

    Raises pytest.UsageError where a file uses both, as a test with both marks would
    run under pytest-asyncio alone, its trio half included.
    """
    used = [plugin for mark, plugin in PLUGINS.items() if mark in source]
    if len(used) > 1:
        raise pytest.UsageError("a test file uses either pytest.mark.asyncio or pytest.mark.anyio, not both")
    for name, module in used:
        manager = config.pluginmanager
        if not manager.has_plugin(name):
            manager.unblock(name)
            with warnings.catch_warnings():
                # The default scopes are what we want; saying so would need an ini
                # option that nobody knows while the plugin is not loaded.
                warnings.simplefilter("ignore")
                __import__(module)
                manager.register(sys.modules[module], name)
            if name == "anyio":  # after it: of two fixtures called anyio_backend the later counts
                manager.register(sys.modules[__name__], "dojo-backends")
            else:
                manager.register(OnVirtualTime(), "dojo-loops")


def cancel_everything() -> None:
    """Cancel all tasks of all running loops, from any thread, and wake the loops for it."""
    for loop in _instances("asyncio", "AbstractEventLoop"):
        if loop.is_running():
            loop.call_soon_threadsafe(_cancel_asyncio, loop)
    for token in _instances("trio", "lowlevel.TrioToken"):
        try:
            token.run_sync_soon(_cancel_trio)
        except sys.modules["trio"].RunFinishedError:
            pass


def forget_runner() -> None:
    """Let anyio's plugin begin anew after a test, whatever the test made of its runner."""
    plugin: Any = sys.modules.get("anyio.pytest_plugin")
    if plugin is not None:
        plugin._current_runner, plugin._runner_leases, plugin._runner_stack = None, 0, None


def _instances(module: str, name: str) -> Iterator[Any]:
    if module not in sys.modules:
        return
    wanted: Any = sys.modules[module]
    for part in name.split("."):
        wanted = getattr(wanted, part)
    for candidate in gc.get_objects():
        if issubclass(type(candidate), wanted):
            yield candidate


def _cancel_asyncio(loop: Any) -> None:
    for task in sys.modules["asyncio"].all_tasks(loop):
        task.cancel()


def _cancel_trio() -> None:
    trio: Any = sys.modules["trio"]
    tasks = [trio.lowlevel.current_root_task()]
    while tasks:
        for nursery in tasks.pop().child_nurseries:
            nursery.cancel_scope.cancel()
            tasks.extend(nursery.child_tasks)


class OnVirtualTime:
    """Gives pytest-asyncio's tests a loop on virtual time, and ends it within the test's limits."""

    def pytest_asyncio_loop_factories(self) -> Mapping[str, Callable[[], Any]]:
        from dojo.kit.clock import new_event_loop

        return {"virtual": new_event_loop}  # a single one does not show in a test's name

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        runner: Any = pyfuncitem.funcargs.get("_function_scoped_runner")
        if runner is None:
            return (yield)
        # The fixture would close it in the main thread, and hang there where a task will not end.
        close, runner.close = runner.close, lambda: None
        loop = runner.get_loop()
        loop.set_exception_handler(_nobody_heard)
        try:
            result = yield
            if sys.modules["asyncio"].all_tasks(loop):
                raise AssertionError(f"a task was left behind when the test was over\n{parked.describe([])}")
        except BaseException:
            try:
                close()
            except AssertionError:  # a deadlock again: somebody will not be cancelled
                _keep_alive()
            raise
        close()
        return result


def _keep_alive() -> None:
    from dojo import limits  # which imports this module

    limits.left_behind.extend(parked.coroutines())  # what closes one runs its code again


def _nobody_heard(loop: Any, context: dict[str, Any]) -> None:
    """Tell of what a task or a callback raised and nobody asked for, as dojo.leaks listens for."""
    error = context.get("exception")
    if isinstance(error, Exception) and not isinstance(error, NotImplementedError):
        told = AssertionError(
            f"{type(error).__name__}: {error}\nand nobody heard of it: {context['message']}"
        )
        told.__cause__ = error
        error = told
    if error is not None:
        sys.unraisablehook(SimpleNamespace(exc_value=error))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both backends, on virtual time: a sleep costs nothing, a deadlock is said at once."""
    if request.param == "asyncio":
        from dojo.kit.clock import new_event_loop

        loop_factory: Callable[[], Any] = new_event_loop
        return "asyncio", {"loop_factory": loop_factory}
    import trio.testing

    class Token(trio.abc.Instrument):
        def before_run(self) -> None:
            trio.lowlevel.current_trio_token()  # makes the token that cancel_everything looks for

    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0), "instruments": [Token()]}
