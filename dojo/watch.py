"""A verdict at every save.

Most of the time between a save and its verdict goes into importing pytest. So a spare
interpreter does that in advance and waits for its arguments: each run is a fresh process
all the same, and the next spare starts as soon as one is used.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import watchfiles

from dojo.house import House, Kata

# Ctrl-C is for whoever runs: a spare that only waits is sent away by its parent.
SPARE = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
import pytest, _pytest.assertion.rewrite, _pytest.fixtures, _pytest.terminal
line = sys.stdin.readline()
sys.stdin = open(json.loads(line)["stdin"]) if line else sys.exit()
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main(json.loads(line)["args"]))
"""


class Spare:
    """An interpreter that has imported pytest and waits."""

    def __init__(self, house: House) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SPARE], stdin=subprocess.PIPE, cwd=house.root, text=True
        )

    def run(self, args: list[str]) -> int:
        """Run pytest with args, to the end; return its exit status."""
        order = json.dumps({"args": args, "stdin": "NUL" if sys.platform == "win32" else "/dev/null"})
        self.process.communicate(order + "\n")
        return self.process.returncode

    def dismiss(self) -> None:
        self.process.communicate()


def watch(house: House, kata: Kata | None) -> None:
    """Run kata's tests now and at every save; without a kata, all now and then those of what is saved."""
    spare = Spare(house)
    try:
        args = [str(kata.stub if kata else house.root / "katas")]
        while True:
            if sys.stdout.isatty():
                print("\033[2J\033[H", end="", flush=True)
            used, spare = spare, Spare(house)
            used.run(args)
            print("\n waiting for the next save of katas/*.py (Ctrl-C ends)", flush=True)
            saved = _next_save(house)
            if kata is None:
                args = saved
    except KeyboardInterrupt:
        pass
    finally:
        spare.dismiss()


def _next_save(house: House) -> list[str]:
    """Wait until katas are saved; return their files."""
    for changes in watchfiles.watch(house.root / "katas", debounce=100, step=20, raise_interrupt=True):
        saved = sorted({path for _, path in changes if house.kata_of(Path(path)) and path.endswith(".py")})
        if saved:
            return saved
    raise KeyboardInterrupt
