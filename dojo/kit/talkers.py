"""Coroutines that pause, for tests of those who drive them, and answers for these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, NoReturn, TypeAlias

from dojo.kit.by_hand import ask

Make: TypeAlias = Callable[[Any], Awaitable[Any]]  # pause, and whatever does the same


async def talk(make: Make) -> str:
    """Pause once; say what came of it."""
    try:
        return f"heard {await make('colour?')}"
    except LookupError as error:
        return f"was told {error!r}"


async def three_deep(make: Make) -> str:
    """Pause in a function that is awaited by a function that is awaited."""

    async def deeper() -> str:
        return await talk(make)

    return await deeper()


async def interview(log: list[Any]) -> str:
    """Ask twice, note the answers, and how it went."""
    try:
        log.append(await ask("name?"))
        log.append(await ask("age?"))
    except BaseException as error:
        log.append(type(error).__name__)
        raise
    return "thanks"


async def ask_again() -> Any:
    """Ask another way, where there was no answer."""
    try:
        return await ask("name?")
    except BaseException:
        return await ask("nickname?")


async def count(log: list[str], name: str, times: int) -> str:
    """Note name0, name1, ... and pause after each; note the end, however it comes; return the name."""
    try:
        for number in range(times):
            log.append(f"{name}{number}")
            await ask(number)
    finally:
        log.append(f"{name} ends")
    return name


async def fail_after(pauses: int, error: BaseException) -> None:
    """Pause so many times, then raise error."""
    for _ in range(pauses):
        await ask("wait")
    raise error


def refuse(error: BaseException) -> Callable[[object], NoReturn]:
    """Return a function that answers everything with this exception."""

    def answer(question: object) -> NoReturn:
        raise error

    return answer


class Mortal(Coroutine[Any, Any, Any]):
    """A coroutine like any other, but not to be resumed for ever: from its third end on, it seems to return.

    So a driver that does not notice the first end comes to an end itself.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine, self._ends = coroutine, 0

    def send(self, value: Any) -> Any:
        return self._resume(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        return self._resume(self._coroutine.throw, *error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def _resume(self, resume: Callable[..., Any], *given: Any) -> Any:
        if self._ends == 2:
            raise StopIteration
        try:
            return resume(*given)
        except BaseException:
            self._ends += 1
            raise
