"""A scheduler whose selector never sleeps: where it would, the next thing happens that the test has in store.

with Sleepless(Scheduler) as world:
    client = world.client()
    answer = world.run(main(client.served), lambda: client.say(b"Hello"))
"""

from __future__ import annotations

import math
import os
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

import pytest

from dojo.kit.doors import Sockets
from dojo.kit.ends import Client
from dojo.kit.manual_clock import ManualClock
from dojo.kit.sockets import complain

# A pair of sockets delivers at once, but on Windows it is a TCP connection.
GRACE = 0.01 if os.name == "nt" else 0.0
ENOUGH = 5_000  # selects: more than any right answer needs
IN_VAIN = 100  # selects that could have slept, in a row

Event: TypeAlias = Callable[[], object]
"""What happens at a sleep. It may return a text: why nothing happened, and time has to pass before it can."""
Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]


class _Over(KeyboardInterrupt):
    """Gets through every scheduler: the test has failed, or has an end."""


class Sleepless(Sockets):
    """Runs coroutines on one scheduler: time stands still, and its selectors never sleep. For a `with`.

    Where a select() would sleep, the next event happens, and select() returns what is ready then. When all
    have happened, the time of select() passes on the scheduler's clock. To sleep for ever then is a
    complaint, as are to sleep while others are ready, not to sleep, and a selector that is left open.

    `sleeps` has what those select()s were given that would have slept, and `watched` the numbers of the
    sockets, with their events, that the last of them would have slept for.
    """

    def __init__(self, scheduler_class: Callable[..., Any]) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.scheduler: Any = scheduler_class(clock=self.clock, idle=self.clock.idle)
        self._selects = 0
        self.sleeps: list[float | None] = []
        self.watched: dict[int, int] = {}
        self._events: list[Event] = []
        self._in_vain = 0
        self._failure: BaseException | None = None

    def run(self, coroutine: Any, *events: Event) -> Any:
        """Return what scheduler.run(coroutine) returns, while these events happen, one at each sleep."""
        self._events = list(events)
        made: list[selectors.BaseSelector] = []
        with self._patched(made):
            try:
                result = self.scheduler.run(coroutine)
            finally:
                left = [one for one in made if one.get_map() is not None]
                for one in left:
                    one.close()
                if self._failure is not None:
                    raise self._failure
        if left:
            complain(f"the run is over, and selectors were left open: {len(left)}")
        if self._events:
            complain(
                "the coroutine has come to its end, and did not wait for what was still to happen: "
                f"{len(self._events)} of {len(events)} events"
            )
        return result

    @contextmanager
    def _patched(self, made: list[selectors.BaseSelector]) -> Iterator[None]:
        init, select = selectors.DefaultSelector.__init__, selectors.DefaultSelector.select

        def noted(selector: Any, *args: Any) -> None:
            made.append(selector)
            init(selector, *args)

        def watched(selector: Any, timeout: float | None = None) -> Ready:
            return self._select(partial(select, selector), selector, timeout)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(selectors.DefaultSelector, "__init__", noted)
            patch.setattr(selectors.DefaultSelector, "select", watched)
            yield

    def hear(self, client: Client, octets: float = math.inf) -> Event:
        """Return an event that happens again and again, until client has heard the end, or so many octets."""

        def listen() -> str:
            if not client.listen_up():
                return f"the client still waits for more: it has heard {bytes(client.heard[-60:])!r}"
            if not client.ended and len(client.heard) < octets:
                self._events.insert(0, listen)
            return ""

        return listen

    def at(self, time: float, event: Event) -> Event:
        """Return an event that lets time pass until then, and happens."""
        return lambda: event() if self.clock.now >= time else f"it is to happen at {time}"

    def push(self, client: Client, pushed: list[int], most: int) -> Event:
        """Return an event that happens as long as client gets rid of octets, up to most; it hears nothing."""

        def press() -> None:
            sent = 0
            with suppress(BlockingIOError, ConnectionError):
                while sum(pushed) + sent < most:
                    sent += client.send(bytes(65_536))
            if sent:
                pushed.append(sent)
                self._events.insert(0, press)

        return press

    def _give_up(self, sentence: str) -> None:
        self._fail(pytest.fail.Exception(sentence))

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure
        raise _Over

    def _select(self, select: Callable[[float], Ready], selector: Any, timeout: float | None) -> Ready:
        self._selects += 1
        if self._selects > ENOUGH:
            self._give_up(f"select() was called {ENOUGH} times, and there is no end: something spins")
        ready = select(GRACE)
        gap = self.scheduler.gap()
        if ready or gap == 0:
            self._in_vain = 0
            if gap == 0 and not ready and (timeout is None or timeout > 0):
                self._give_up(
                    f"select({timeout}) would sleep, and others are ready: gap() is 0. "
                    "They would wait for a socket that is not theirs"
                )
            return ready
        if timeout is not None and timeout <= 0:
            self._in_vain += 1
            if self._in_vain > IN_VAIN:
                self._give_up(
                    f"select({timeout}) was called {IN_VAIN} times in a row while nobody was ready: "
                    f"that is a busy wait; gap() says {gap}, and select() can sleep as long"
                )
            return ready
        self._in_vain = 0
        self.sleeps.append(timeout)
        self.watched = {key.fd: key.events for key in selector.get_map().values()}
        if gap is not None and (timeout is None or timeout > gap):
            self._give_up(
                f"select({timeout}) would oversleep: gap() says that a timer is due in {gap} seconds"
            )
        return self._sleep(select, timeout)

    def _sleep(self, select: Callable[[float], Ready], timeout: float | None) -> Ready:
        in_vain: object = "all that was to happen has happened"
        while self._events:
            event = self._events.pop(0)
            try:
                in_vain = event()
            except BaseException as error:  # it is the test's, and no task's
                self._fail(error)
            if isinstance(in_vain, str) and in_vain:
                self._events.insert(0, event)
                break
            if ready := select(GRACE):
                return ready
            in_vain = "what has happened has woken nobody"
        if timeout is None:
            self._give_up(f"select(None) would sleep for ever: {in_vain}")
        else:
            self.clock.advance(timeout)
        return select(GRACE)
