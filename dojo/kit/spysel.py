"""A selector with a script: it counts, it can lie, and it never waits for ever."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from dojo.kit.sockets import complain

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Report: TypeAlias = "tuple[FileDescriptorLike, int]"
Round: TypeAlias = "Iterable[Report] | Callable[[], Iterable[Report]]"
Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]

NAMES = ["SelectSelector", "PollSelector", "EpollSelector", "DevpollSelector", "KqueueSelector"]
SELECTOR_CLASSES = [getattr(selectors, name) for name in NAMES if hasattr(selectors, name)]
"""Every selector that this system has."""

NAMES_OF = {
    selectors.EVENT_READ: "read",
    selectors.EVENT_WRITE: "write",
    selectors.EVENT_READ | selectors.EVENT_WRITE: "read and write",
}

PATIENCE = 5.0  # seconds that a real select() may take: never the expected path


class SpySelector(selectors.BaseSelector):
    """Answers each select() with the next round of its script, for use in place of any selector.

    A round is what to report: pairs of a registered object and events, [] for a select() that
    comes back early with nothing, as after a signal, or a function that returns one of these.
    What a round reports need not be so; but what nobody registered for is left out, as a real
    selector would. After the script, real_selects calls are answered by a real selector, made
    by real_class. One call more than that fails the test, with the cause as its last words, where
    a real selector would wait.

    Noticed: `selects` (calls), `timeouts` (what each was given), `closed` (was close() called?),
    `asked_for` (all events that each object was ever registered for; see also events_of).
    Where a class is wanted, `lambda: spy` will do.
    """

    def __init__(
        self,
        script: Iterable[Round] = (),
        real_selects: int = 0,
        real_class: Callable[[], selectors.BaseSelector] = selectors.DefaultSelector,
        cause: str = "",
    ) -> None:
        self.selects = 0
        self.timeouts: list[float | None] = []
        self.closed = False
        self.asked_for: dict[FileDescriptorLike, int] = {}
        self._cause = f": {cause}" if cause else ""
        self._script = list(script)
        self._allowed = len(self._script) + real_selects
        self._real = real_class()

    def select(self, timeout: float | None = None) -> Ready:
        """Report the next round of the script, or ask the real selector."""
        if self.closed:
            complain("select() was called on a selector that had been closed")
        self.selects += 1
        self.timeouts.append(timeout)
        if self.selects > self._allowed:
            complain(
                f"select() was called {self.selects} times where {self._allowed} should have been "
                f"enough (timeout={timeout!r}, registered: {self._describe()}){self._cause}"
            )
        if self.selects > len(self._script):
            return self._select_really(timeout)
        reports = self._script[self.selects - 1]
        ready: Ready = []
        for fileobj, events in reports() if callable(reports) else reports:
            key = self._key(fileobj)
            if key is not None and key.events & events:
                ready.append((key, key.events & events))
        return ready

    def events_of(self, fileobj: FileDescriptorLike) -> int:
        """Return the events that fileobj is registered for; 0 where it is not registered."""
        key = self._key(fileobj)
        return 0 if key is None else key.events

    def asked(self) -> list[str]:
        """Return asked_for in words: "read", "write" or "read and write" for each object."""
        return [NAMES_OF[events] for events in self.asked_for.values()]

    def left_open(self) -> list[object]:
        """Return what is still open: this selector, and sockets that were ever registered with it."""
        sockets = [sock for sock in self.asked_for if isinstance(sock, socket.socket) and sock.fileno() >= 0]
        return [*sockets] if self.closed else [self, *sockets]

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        self.asked_for[fileobj] = self.asked_for.get(fileobj, 0) | events
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        self.asked_for[fileobj] = self.asked_for.get(fileobj, 0) | events
        return self._real.modify(fileobj, events, data)

    def get_key(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self.closed = True
        self._real.close()

    def _select_really(self, timeout: float | None) -> Ready:
        patient = timeout is not None and timeout <= PATIENCE
        ready = self._real.select(timeout if patient else PATIENCE)
        if not ready and not patient:
            complain(
                f"select({timeout!r}) waited for {PATIENCE:g} seconds, and nothing happened "
                f"(registered: {self._describe()})"
            )
        return ready

    def _key(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey | None:
        try:
            return (self._real.get_map() or {}).get(fileobj)  # a closed selector's map is None
        except ValueError:  # fileobj is closed, and was not registered before that
            return None

    def _describe(self) -> str:
        keys = (self._real.get_map() or {}).values()
        return ", ".join(f"fd {key.fd} for {NAMES_OF[key.events]}" for key in keys) or "nothing"


def nothing_for(seconds: float) -> Callable[[], Iterable[Report]]:
    """Return a round that comes back with nothing, after at least this long by the monotonic clock."""

    def wait() -> Iterable[Report]:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(left)
        return []

    return wait


def ctrl_c() -> Iterable[Report]:
    """Be a round in which somebody at the keyboard has had enough."""
    raise KeyboardInterrupt


def readable(fileobj: FileDescriptorLike) -> bool:
    """Would a selector that watches fileobj for reading return at once?"""
    with selectors.DefaultSelector() as selector:
        selector.register(fileobj, selectors.EVENT_READ)
        return bool(selector.select(0))
