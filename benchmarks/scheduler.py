"""Race the coroutine scheduler of d1 against asyncio, in CPU time, within one run.

    python benchmarks/scheduler.py              the reference
    python benchmarks/scheduler.py katas        yours

A ratio of 0.20 means: a fifth of what asyncio needs for the same.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

ROUNDS, SWITCHES, SPAWNS, SLEEPERS = 9, 40_000, 10_000, 10_000


def load(folder: str) -> ModuleType:
    """Return the kata as the file in this folder has it."""
    path = Path(__file__).parent.parent / folder / "d1_coroutine_scheduler.py"
    spec = importlib.util.spec_from_file_location("d1_coroutine_scheduler", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


Main = Callable[[], Coroutine[Any, Any, None]]


def cpu(run: Callable[[Coroutine[Any, Any, None]], object], main: Main) -> float:
    """Return the CPU seconds that one run of main takes, collector off."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        run(main())
        return time.process_time() - start
    finally:
        gc.enable()


def race(name: str, each: int, ours: tuple[Any, Main], theirs: tuple[Any, Main]) -> None:
    """Run both in turn, several times; print the best of each, per operation, and the ratio."""
    pairs = [(cpu(*ours), cpu(*theirs)) for _ in range(ROUNDS)]
    mine, other = (min(column) / each * 1e9 for column in zip(*pairs, strict=True))
    print(f"{name:24} {mine:7.0f} ns    asyncio {other:7.0f} ns    ratio {mine / other:.2f}")


def main() -> None:
    d1 = load(sys.argv[1] if len(sys.argv) > 1 else "solutions")
    print(f"Python {platform.python_version()}")

    scheduler = d1.Scheduler()

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        nonlocal scheduler
        scheduler = d1.Scheduler()  # a new loop each time, as asyncio.run has it
        scheduler.run(coroutine)

    async def ping(sleep: Callable[[float], Coroutine[Any, Any, None]], times: int) -> None:
        for _ in range(times):
            await sleep(0)

    def switching(tasks: int) -> tuple[Main, Main]:
        times = SWITCHES // tasks

        async def ours() -> None:
            pings = [scheduler.spawn(ping(d1.sleep, times)) for _ in range(tasks)]
            for task in pings:
                await d1.join(task)

        async def theirs() -> None:
            pings = [asyncio.create_task(ping(asyncio.sleep, times)) for _ in range(tasks)]
            for task in pings:
                await task

        return ours, theirs

    async def nothing() -> None:
        pass

    async def spawn_ours() -> None:
        for task in [scheduler.spawn(nothing()) for _ in range(SPAWNS)]:
            await d1.join(task)

    async def spawn_theirs() -> None:
        for task in [asyncio.create_task(nothing()) for _ in range(SPAWNS)]:
            await task

    for tasks in (1, 2, 100, 1000):
        ours, theirs = switching(tasks)
        race(f"switch, {tasks} tasks", SWITCHES, (run, ours), (asyncio.run, theirs))
    race("spawn, run and join", SPAWNS, (run, spawn_ours), (asyncio.run, spawn_theirs))

    async def sleeper() -> None:
        await d1.sleep(1000)

    async def weigh() -> None:
        gc.collect()
        tracemalloc.start()
        for _ in range(SLEEPERS):
            scheduler.spawn(sleeper())
        await d1.sleep(0)
        await d1.sleep(0)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        print(f"a sleeping task          {size / SLEEPERS:7.0f} bytes")

    run(weigh())


if __name__ == "__main__":
    main()
