"""Tasks on a scheduler of one's own, cancelled wherever they can be, one place after the other."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from dojo.kit.crew import Crew, end_of
from dojo.kit.small_tasks import nowhere, suspend


@dataclass
class Ending:
    """How a program ended that was cancelled: where that was, what it raised, who was left behind, when."""

    where: str = ""
    how: str = "not at all"
    left: list[str] = field(default_factory=list)
    at: float = 0


def cancelled_everywhere(
    make_crew: Callable[[], Crew], program: Callable[[Crew], Coroutine[Any, Any, Any]]
) -> Iterator[Ending]:
    """Cancel program(crew) at every point where that can be done, each time with a new crew."""
    for point in count():
        ending = cancelled_at(point, make_crew(), program)
        if ending is None:
            return
        yield ending


def cancelled_at(
    point: int, crew: Crew, program: Callable[[Crew], Coroutine[Any, Any, Any]]
) -> Ending | None:
    """Run program(crew), cancel it where it waits for the point-th time; say how that ended.

    The first point is 1, and 0 is before it has begun. None means that it ended before that.
    """
    ending = Ending()
    tasks: list[Any] = []

    async def canceller() -> None:
        with suppress(Exception):  # what a cleanup raises is told by the program's end
            await crew.tell("cancel", crew.cancel(tasks[0]))

    def arrive(where: str) -> None:
        ending.where = where
        crew.scheduler.spawn(canceller())  # so it stands before the task, should that be ready at once

    async def onlooker() -> None:
        if point:
            tasks.append(crew.scheduler.spawn(_counted(program(crew), point, arrive)))
        else:
            ending.where = "before it began"
            tasks.append(crew.scheduler.spawn(program(crew)))
            await canceller()
        error = await end_of(tasks[0])
        ending.how = "done" if error is None else crew.how(error)
        ending.left = [f"{name} at work" for name in crew.at_work if name != "cancel"]
        ending.at = crew.clock.now
        await suspend(nowhere)

    said = str(crew.outcome(onlooker()))  # a deadlock: by then the onlooker waits, and nobody else
    ending.left += [f"{who} parked" for who in re.findall(r"(\S+) waits for", said) if who != "onlooker"]
    if crew.clock.now != ending.at:
        ending.left.append(f"a timer, until {crew.clock.now:g}")
    return ending if ending.where else None


@types.coroutine
def _counted(coroutine: Any, point: int, arrive: Callable[[str], object]) -> Generator[Any, Any, Any]:
    """Run coroutine as if it were alone, but report its point-th suspension, before anybody sees that."""
    resume, answer = coroutine.send, None
    for number in count(1):
        try:
            trap = resume(answer)
        except StopIteration as end:
            return end.value
        if number == point:
            arrive(_where(coroutine))
        try:
            answer, resume = (yield trap), coroutine.send
        except BaseException as error:
            answer, resume = error, coroutine.throw


def _where(coroutine: Any) -> str:
    """The line of the coroutine where it stands, and the function that it waits in."""
    frame, waits_in = coroutine.cr_frame, coroutine.cr_code
    while (inner := getattr(coroutine, "cr_await", None)) is not None:
        coroutine = inner
        waits_in = getattr(coroutine, "cr_code", waits_in)
    return f"line {frame.f_lineno}, in {waits_in.co_name}()"
