"""Coroutines by hand: what await does, and who is at the other end."""

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import ExitStack
from typing import Any, TypeVar

T = TypeVar("T")


# The mark makes generators that await accepts. It accepts no others: a generator that somebody
# wants to loop over is not awaited by mistake.
@types.coroutine
def pause(value: Any) -> Generator[Any, Any, Any]:
    """Hand value to the driver, and return what the driver sends: for `answer = await pause(value)`.

    What the driver throws in instead is raised at that await. One call, awaited, pauses once.
    """
    return (yield value)


class Pausing:
    """Something to await that does what pause does, as a class: for `answer = await Pausing(value)`.

    The same Pausing may be awaited any number of times, by several at once too, and pauses each time.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        """Return what runs in place of the await: an iterator, a new one for each."""
        # A generator function: so each await gets a generator of its own.
        return (yield self.value)


def drive(coroutine: Coroutine[Any, Any, T], answer: Callable[[Any], Any]) -> T:
    """Run coroutine to its end, on the spot; return what it returns, or raise what it raises.

    Each value that it pauses with is given to answer, once. What answer returns is the value of the
    await that paused. What answer raises, KeyboardInterrupt and SystemExit too, is raised at that await.
    """
    try:
        value = coroutine.send(None)  # nobody waits for an answer yet: only None can be sent
        while True:
            try:
                reply = answer(value)
            except BaseException as error:  # a KeyboardInterrupt, too, has to meet its finally blocks
                value = coroutine.throw(error)
            else:
                value = coroutine.send(reply)
    except StopIteration as end:  # from send or throw; a StopIteration of answer was thrown in above
        result: T = end.value
        return result


def round_robin(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines in turn, a step each, until all have ended; return their results in the given order.

    A step goes on to the next pause. What it pauses with is dropped, and the await gets None.
    As soon as one raises, nobody takes another step: all others are closed, those that never
    began as well, and its exception is raised.
    """
    everybody = list(coroutines)
    results: list[Any] = [None] * len(everybody)
    queue = deque(enumerate(everybody))
    with ExitStack() as stack:
        for coroutine in everybody:
            stack.callback(coroutine.close)  # in any case: those who have ended do not mind
        while queue:
            number, coroutine = queue.popleft()
            try:
                coroutine.send(None)
            except StopIteration as end:
                results[number] = end.value
            else:
                queue.append((number, coroutine))
    return results
