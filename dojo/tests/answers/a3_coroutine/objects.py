"""Coroutines by hand: what await does, and who is at the other end."""

import types
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@types.coroutine
def pause(value: Any) -> Generator[Any, Any, Any]:
    """Hand value to the driver, and return what the driver sends: for `answer = await pause(value)`.

    What the driver throws in instead is raised at that await. One call, awaited, pauses once.
    """
    return (yield value)


class _OnePause(Generator[Any, Any, Any]):
    """What runs in place of one await: gives value out once, and ends with whatever is sent in."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._asked = False
        self._ended = False

    def send(self, answer: Any) -> Any:
        if self._ended:
            raise StopIteration
        if self._asked:
            self._ended = True
            raise StopIteration(answer)
        self._asked = True
        return self._value

    def throw(self, *exception: Any) -> Any:
        self._ended = True
        try:
            return super().throw(*exception)
        except StopIteration as stop:  # would end the await, rather than be raised there
            raise RuntimeError("StopIteration thrown in at an await") from stop


class Pausing:
    """Something to await that does what pause does, as a class: for `answer = await Pausing(value)`.

    The same Pausing may be awaited any number of times, by several at once too, and pauses each time.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        """Return what runs in place of the await: an iterator, a new one for each."""
        return _OnePause(self.value)


class _Conversation(Generic[T]):
    """A coroutine which asks, and an answer which replies."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], answer: Callable[[Any], Any]) -> None:
        self._coroutine = coroutine
        self._answer = answer

    def run(self) -> T:
        go_on = partial(self._coroutine.send, None)
        while True:
            try:
                question = go_on()
            except StopIteration as end:
                return end.value
            go_on = self._reply_to(question)

    def _reply_to(self, question: Any) -> Callable[[], Any]:
        """Return the step that takes the answer, or the failure to give one, into the coroutine."""
        try:
            return partial(self._coroutine.send, self._answer(question))
        except BaseException as error:
            return partial(self._coroutine.throw, error)


def drive(coroutine: Coroutine[Any, Any, T], answer: Callable[[Any], Any]) -> T:
    """Run coroutine to its end, on the spot; return what it returns, or raise what it raises.

    Each value that it pauses with is given to answer, once. What answer returns is the value of the
    await that paused. What answer raises, KeyboardInterrupt and SystemExit too, is raised at that await.
    """
    return _Conversation(coroutine, answer).run()


class _Turns(Generic[T]):
    """One coroutine's part in a round: its steps, and its result when it has ended."""

    result: T

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def step(self) -> bool:
        """Go on to the next pause; return whether there was one."""
        try:
            self._coroutine.send(None)
        except StopIteration as end:
            self.result = end.value
            return False
        return True


def round_robin(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines in turn, a step each, until all have ended; return their results in the given order.

    A step goes on to the next pause. What it pauses with is dropped, and the await gets None.
    As soon as one raises, nobody takes another step: all others are closed, those that never
    began as well, and its exception is raised.
    """
    with ExitStack() as closing:  # closes every one, whatever the closing of another raises
        turns = []
        for coroutine in coroutines:
            closing.callback(coroutine.close)
            turns.append(_Turns(coroutine))
        waiting = turns
        while waiting:
            waiting = [each for each in waiting if each.step()]
        return [each.result for each in turns]
