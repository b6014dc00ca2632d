"""A crew of tasks on a scheduler of one's own: who ended how and when."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from dojo.kit.manual_clock import ManualClock, leaves, outcome, shown
from dojo.kit.small_tasks import suspend


class Crew:
    """A scheduler on manual time, and workers on it; `ends` says how each of them has ended, and when.

    That is "done at 3", "Cancelled at 3", "ValueError('x') at 3"; a group with its members; and
    "left behind" where run was over before. Who never began is not in it.
    """

    def __init__(
        self,
        make_scheduler: Callable[..., Any],
        sleep: Callable[[float], Any],
        cancel: Callable[[Any], Awaitable[None]],
    ) -> None:
        self.clock = ManualClock()
        self.scheduler = make_scheduler(clock=self.clock, idle=self.clock.idle)
        self.ends: dict[str, str] = {}
        self.at_work: list[str] = []
        self.sleep, self.cancel = sleep, cancel
        self.unwritten: list[NotImplementedError] = []

    def outcome(self, coroutine: Coroutine[Any, Any, Any]) -> object:
        """Return what the scheduler's run returns, or say what it raises (see manual_clock.outcome)."""
        said = outcome(self.scheduler, coroutine, lines=20_000)
        for error in self.unwritten:
            raise error  # whoever has kept it to himself
        return said

    def ended(self, wait: Awaitable[Any]) -> str:
        """Run wait as "it"; return how and when it ended."""

        async def main() -> None:
            await end_of(self.scheduler.spawn(self.tell("it", wait)))

        said = self.outcome(main())
        return self.ends["it"] if said is None else f"nothing, as run raised {said}"

    async def tell(self, name: str, wait: Awaitable[Any]) -> Any:
        """Await wait, and note in `ends` how that ends."""
        self.at_work.append(name)
        how = "done"
        try:
            return await wait
        except BaseException as error:
            how = self.how(error)
            raise
        finally:
            self.at_work.remove(name)
            self.ends[name] = how if how == "left behind" else f"{how} at {self.clock.now:g}"

    async def work(
        self,
        name: str,
        seconds: float,
        fails: BaseException | None = None,
        cleanup: float = 0,
        cleanup_fails: BaseException | None = None,
        goes_on: bool = False,
    ) -> None:
        """Work so many seconds, then fail if it is to; interrupted, clean up for so many seconds first.

        After the cleanup that fails, if it is to; or the worker goes on as if nobody had interrupted it.
        """

        async def shift() -> None:
            try:
                await self.sleep(seconds)
            except GeneratorExit:
                raise
            except BaseException:
                if cleanup:
                    await self.sleep(cleanup)
                if cleanup_fails is not None:
                    raise cleanup_fails from None
                if not goes_on:
                    raise
            if fails is not None:
                raise fails

        await self.tell(name, shift())

    def how(self, error: BaseException) -> str:
        """Say how somebody has ended who raised this error."""
        self.unwritten += [leaf for leaf in leaves(error) if isinstance(leaf, NotImplementedError)]
        if isinstance(error, GeneratorExit):
            return "left behind"
        return shown(error) if isinstance(error, Exception | BaseExceptionGroup) else type(error).__name__

    def cancel_after(self, seconds: float | None, wait: Awaitable[Any]) -> object:
        """Run wait as a task, cancel that after so many seconds, or at once; return the run's outcome."""

        async def main() -> None:
            task = self.scheduler.spawn(wait)
            if seconds is not None:
                await self.sleep(seconds)
            await self.cancel(task)

        return self.outcome(main())

    def closed_after(self, seconds: float, wait: Awaitable[Any]) -> object:
        """Run wait as a task beside a main task that ends after so many seconds; return the run's outcome."""
        self.scheduler.spawn(wait)
        said = self.outcome(self.sleep(seconds))
        waited = r"AttributeError\([^)]*\bresult\b[^)]*\)"
        return said and re.sub(waited, "a wait for a task that takes no step any more", str(said))

    def ended_when_cancelled(self, wait: Awaitable[Any], *times: float, last: bool = False) -> str:
        """Run wait as "it", and cancel that at each of these times; return how and when it ended.

        Who cancels goes to sleep before it sets a timer, or, if `last`, after that: so equal deadlines
        wake him before it or after it.
        """

        async def canceller(time: float, task: Any) -> None:
            for _ in range(9 if last else 0):
                await self.sleep(0)
            await self.sleep(time)
            await self.tell("cancel", self.cancel(task))

        async def main() -> None:
            it = self.scheduler.spawn(self.tell("it", wait))
            cancellers = [self.scheduler.spawn(canceller(time, it)) for time in times]
            for task in (it, *cancellers):
                await end_of(task)

        said = self.outcome(main())
        return self.ends["it"] if said is None else f"nothing, as run raised {said}"


class Desk:
    """What a task can wait at, as at a socket: it signs in, parks, and signs out however that ends."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    async def wait(self) -> Any:
        """Wait until ring is called; return its answer."""

        def sign_in(scheduler: Any, task: Any) -> None:
            self.waiting.append(task)  # and it says nothing of what it waits for: that is allowed
            signed_in.append(task)

        signed_in: list[Any] = []
        try:
            return await suspend(sign_in)
        finally:
            for task in signed_in:
                self.waiting.remove(task)

    def ring(self, scheduler: Any, answer: Any) -> None:
        """Wake all that wait here, and who forgot to sign out as well."""
        for task in self.waiting:
            scheduler.ready(task, answer)


async def end_of(task: Any) -> BaseException | None:
    """Wait for the end of a task; return what it has raised."""

    def park(scheduler: Any, joiner: Any) -> None:
        joiner.waits_for = task
        task.joiners.append(joiner)

    if task.joiners is None:
        task.joiners = []
    if task.state != "finished":
        await suspend(park)
    error: BaseException | None = task.exception
    return error
