"""A broken kata is one clear failure; all others run, and nothing hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dojo.tests.toy_house import ANYIO_TESTS, FINE, TODO, ToyHouse, Verdict

ASYNC_FINE = "async def answer():\n    return 42\n"

BROKEN = {
    "b1_syntax_error": "def answer()\n    return 42\n",
    "b2_missing_import": "import nothing_of_this_name\n" + FINE,
    "b3_exit_at_import": "import sys\nsys.exit(0)\n" + FINE,
    "b4_loop_at_import": "while True:\n    pass\n",
    "b5_input_at_import": "input()\n" + FINE,
    "b6_deleted_name": "def something_else():\n    pass\n",
    "c1_endless_loop": "def answer():\n    while True:\n        pass\n",
    "c2_input": "def answer():\n    return int(input())\n",
    "c3_print_flood": "def answer():\n    while True:\n        print('x' * 1000)\n",
    "c4_os_exit": "import os\ndef answer():\n    os._exit(0)\n",
    "c5_sys_exit": "import sys\ndef answer():\n    sys.exit(0)\n",
    "c6_keyboard_interrupt": "def answer():\n    raise KeyboardInterrupt\n",
    "d1_thread_in_accept": """
import socket, threading

def wait_for_a_client(listener):
    listener.accept()

def answer():
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=wait_for_a_client, args=[listener], name="acceptor", daemon=False)
    thread.start()
    thread.join()
""",
    "d2_own_scheduler": """
class Parked:
    def __await__(self):
        yield

async def sleeper():
    await Parked()

def answer():
    parked = [sleeper()]
    parked[0].send(None)
    while parked:
        pass
""",
    "d3_asyncio_run": """
import asyncio

async def main():
    await asyncio.Event().wait()

def answer():
    asyncio.run(main())
""",
    "d4_trio_run": """
import trio

async def main():
    await trio.Event().wait()

def answer():
    trio.run(main)
""",
    "d5_forgotten_await": """
async def value():
    return 42

def answer():
    value()
    return 42
""",
    "d6_socket_left_open": """
import socket

def answer():
    socket.socket()
    return 42
""",
    "d7_thread_left_behind": """
import threading

def forever():
    threading.Event().wait()

def answer():
    threading.Thread(target=forever).start()
    return 42
""",
    "d8_thread_that_dies": """
import threading

def work():
    raise LookupError("nobody hears me")

def answer():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return 42
""",
    "d9_logged_and_lost": """
import logging

def answer():
    try:
        return {}["due"]
    except KeyError:
        logging.exception("the answer failed")
""",
}
SWALLOWS_CANCELLATION = """
import anyio

async def answer():
    while True:
        try:
            await anyio.Event().wait()
        except BaseException:
            pass
"""


def run(root: Path, thorough: bool) -> dict[str, list[Verdict]]:
    """The verdicts on all of them, from one run."""
    house = ToyHouse(root)
    house.add("a1_fine", FINE)
    house.add("a2_not_begun", TODO)
    for stem, stub in BROKEN.items():
        house.add(stem, stub)
    house.add("e1_swallowed_cancellation", SWALLOWS_CANCELLATION, ASYNC_FINE, ANYIO_TESTS)
    house.add("e2_fine", ASYNC_FINE, ASYNC_FINE, ANYIO_TESTS)
    house.add("e3_fine", FINE)
    return house.verdicts()


@pytest.fixture(scope="module")
def verdicts(outcome: dict[str, list[Verdict]]) -> dict[str, list[Verdict]]:
    return outcome


@pytest.mark.parametrize("stem", ["a1_fine", "e2_fine", "e3_fine"])
def test_other_katas_keep_their_verdicts(verdicts: dict[str, list[Verdict]], stem: str) -> None:
    assert [v.outcome for v in verdicts[stem]] == ["passed", "passed"]


@pytest.mark.parametrize(
    "stem", [stem for stem in BROKEN if stem.startswith("b") and stem != "b6_deleted_name"]
)
def test_unimportable_kata_fails_once(verdicts: dict[str, list[Verdict]], stem: str) -> None:
    assert [v.outcome for v in verdicts[stem]] == ["failed", "skipped"]


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("b1_syntax_error", ["katas/b1_syntax_error.py:1 is not Python: expected ':'"]),
        ("b2_missing_import", ["katas/b2_missing_import.py:1", "No module named 'nothing_of_this_name'"]),
        ("b3_exit_at_import", ["katas/b3_exit_at_import.py:2 calls sys.exit()"]),
        ("b4_loop_at_import", ["an endless loop?", "katas/b4_loop_at_import.py:"]),
        ("b5_input_at_import", ["katas/b5_input_at_import.py:1 asks for input()"]),
        ("b6_deleted_name", ["answer is gone from katas/b6_deleted_name.py"]),
        ("c1_endless_loop", ["an endless loop?", "katas/c1_endless_loop.py:2 in answer"]),
        ("c2_input", ["input() was called"]),
        ("c3_print_flood", ["goes on printing", "katas/c3_print_flood.py:3 in answer"]),
        ("c4_os_exit", ["os._exit(0) would end the whole process"]),
        ("c5_sys_exit", ["sys.exit() was called"]),
        ("c6_keyboard_interrupt", ["KeyboardInterrupt"]),
        ("d1_thread_in_accept", ["everybody waits", "thread.join()", "thread acceptor", "listener.accept()"]),
        ("d2_own_scheduler", ["coroutine sleeper waits", "await Parked()"]),
        ("d3_asyncio_run", ["everybody waits", "asyncio task", "await asyncio.Event().wait()"]),
        ("d4_trio_run", ["everybody waits", "trio task main", "await trio.Event().wait()"]),
        (
            "d5_forgotten_await",
            ["coroutine 'value' was never awaited", "katas/d5_forgotten_await.py, line 6"],
        ),
        ("d6_socket_left_open", ["something was left open", "socket"]),
        ("d7_thread_left_behind", ["a thread was left behind", "katas/d7_thread_left_behind.py:5"]),
        ("d8_thread_that_dies", ["LookupError: nobody hears me"]),
        (
            "d9_logged_and_lost",
            ["answer() gave None", "meanwhile: KeyError: 'due' at katas/d9_logged_and_lost.py:6"],
        ),
        ("e1_swallowed_cancellation", ["await anyio.Event().wait()"]),
    ],
)
def test_failure_says_what_and_where(verdicts: dict[str, list[Verdict]], stem: str, words: list[str]) -> None:
    first = verdicts[stem][0]
    assert first.outcome == "failed"
    assert [w for w in words if w not in first.text] == [], first.text


@pytest.mark.parametrize("stem", ["c1_endless_loop", "d1_thread_in_accept", "d3_asyncio_run"])
def test_step_that_hangs_is_not_tried_again(verdicts: dict[str, list[Verdict]], stem: str) -> None:
    assert "not tried, because test_answer_is_right hangs" in verdicts[stem][1].text
