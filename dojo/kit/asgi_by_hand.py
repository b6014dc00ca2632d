"""An ASGI app asked by hand: with no event loop anywhere, and threads that run when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any

from dojo.kit.asgi import http
from dojo.kit.asgi_http import Answer
from dojo.kit.asgi_talks import NO_LOOP, App, misses_a_loop
from dojo.kit.by_hand import Paused, step
from dojo.kit.sockets import complain


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that has nothing to wait for to its end, and return its result."""
    try:
        outcome = step(coroutine)
    except RuntimeError as error:
        if misses_a_loop(str(error)):
            complain(NO_LOOP)
        raise
    if isinstance(outcome, Paused):
        coroutine.close()
        complain(f"it waits for an event loop ({outcome.value!r}), and there is nothing to wait for")
    return outcome.result


def ask(app: App, method: str, target: str, *pieces: bytes) -> Answer:
    """Return the app's answer to a request, whose body comes in these pieces."""
    answer: Answer = run(http(method, target, body=pieces or b"").run(app))
    return answer


async def at_once(future: Future[Any]) -> Any:
    """Wait for a thread, and let everybody else wait too: for a test that has nobody else."""
    return future.result(5)


class Later(Executor):
    """An executor that runs what was submitted when run() is called; `futures` has what it gave out.

    To ask one of them for its result before is a complaint: that blocks who asks.
    """

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self._work: list[Callable[[], None]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = _Impatient()

        def work() -> None:
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self.futures.append(future)
        self._work.append(work)
        return future

    def run(self) -> Future[Any]:
        """Do all the work there is; return the last future."""
        while self._work:
            self._work.pop(0)()
        return self.futures[-1]


class _Impatient(Future[Any]):
    def result(self, timeout: float | None = None) -> Any:
        self._check()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._check()
        return super().exception(timeout)

    def _check(self) -> None:
        if not self.done():
            complain(
                "a future was asked for its result before it was done: that blocks "
                "the thread of the event loop, and everybody in it"
            )
