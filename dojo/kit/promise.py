"""What other threads do in a test: they work to their end while the test waits, and keep promises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dojo.kit.sockets import complain

OFTEN = 100  # questions, after which asking is a busy wait


def in_a_thread(function: Callable[[], object]) -> Callable[[], object]:
    """Return what runs function in a thread of its own, to its end."""

    def happen() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(function).result()

    return happen


class Promise(Future[Any]):
    """A future that complains when somebody asks for what is not there yet, or asks over and over."""

    asked = 0

    def done(self) -> bool:
        self.asked += 1
        if self.asked > OFTEN:
            complain(f"done() was asked {OFTEN} times: that is a busy wait; the future calls back when it is")
        return super().done()

    def result(self, timeout: float | None = None) -> Any:
        if not super().done():
            complain("result() was called before there was one: it blocks, and with it all tasks")
        return super().result(timeout)
