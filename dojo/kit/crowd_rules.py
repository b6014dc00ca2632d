"""What every server here must show that serves many clients at once: tests to inherit, over real TCP.

A test class inherits CrowdRules and sets `response` (what apps return) and `server` (what `running` takes);
`concurrent` too, where the server has a thread for each client.
"""

from __future__ import annotations

import selectors
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from dojo.kit.http_rules import GET, HELLO, LAST, check, request
from dojo.kit.lint import read_answer
from dojo.kit.rude import Client, ask, ask_half_closed, drip, idle, reset
from dojo.kit.serving import Listener, running


def until_asleep(name: str = "server", patience: float = 1.0) -> None:
    """Wait until the newest thread of this name is in the select() of a selector; if it never is, go on."""
    end = time.monotonic() + patience
    number = next((each.ident for each in reversed(threading.enumerate()) if each.name == name), None)
    while time.monotonic() < end:
        frame = sys._current_frames().get(number or 0)
        if frame is None or frame.f_code.co_filename == selectors.__file__:
            return
        time.sleep(0)  # let it run


class CrowdRules:
    """The tests."""

    response: Callable[..., Any]
    server: Any
    concurrent = False
    crowd = 100  # idle clients, twice

    def running(self, app: Callable[[Any], Any]) -> AbstractContextManager[Listener]:
        """Run the server with app."""
        return running(self.server, app, self.concurrent)

    def hello(self, request: Any) -> Any:
        """Answer like the article's servers: an app."""
        return self.response(200, {"Content-Type": "application/json"}, HELLO)

    def echo_target(self, request: Any) -> Any:
        """Answer with the target of the request: an app."""
        return self.response(200, {}, request.target.encode())

    def test_stop_ends_a_server_that_is_asleep(self) -> None:
        # First, as every later test stops its server too, asleep or not.
        # The client leaves when all is over: its goodbye would wake the server.
        with ExitStack() as later, self.running(self.hello) as server:
            client = later.enter_context(Client(server.port))
            client.say(GET)
            client.read_until(HELLO)
            until_asleep()

    def test_every_client_gets_hello_over_tcp(self) -> None:
        with self.running(self.hello) as server:
            answers = [read_answer(ask(server.port, LAST)) for _ in range(3)]
        check("the bodies", [answer.body for answer in answers], [HELLO] * 3, "three clients asked")

    def test_last_to_come_can_be_first_served(self) -> None:
        with (
            self.running(self.echo_target) as server,
            Client(server.port) as early,
            Client(server.port) as late,
        ):
            for client, target in [(late, "/1"), (early, "/2"), (late, "/3"), (early, "/4")]:
                client.say(request(f"GET {target}"))
                client.read_until(target.encode())

    def test_client_in_mid_request_keeps_nobody_out(self) -> None:
        with self.running(self.hello) as server, Client(server.port) as slow:
            slow.say(GET[:9])
            answer = read_answer(ask(server.port, LAST))
            check("the body", answer.body, HELLO, "another client is in the midst of its request")
            slow.say(GET[9:])
            slow.read_until(HELLO)

    def test_half_closed_client_gets_its_answer(self) -> None:
        with self.running(self.hello) as server:
            answer = read_answer(ask_half_closed(server.port, GET))
        check("the body", answer.body, HELLO, "the client has ended its side, and still listens")

    def test_dripping_client_gets_its_answer(self) -> None:
        with self.running(self.hello) as server:
            answer = read_answer(drip(server.port, LAST))
        check("the body", answer.body, HELLO, "the request came octet by octet")

    def test_client_still_sending_gets_its_answer(self) -> None:
        with self.running(self.hello) as server:
            answer = read_answer(ask(server.port, LAST + b"a" * 100_000))
        check("the body", answer.body, HELLO, "100000 octets came behind the last request")

    def test_client_who_never_reads_harms_nobody(self) -> None:
        much = b"a" * 1_000_000
        greed = []

        def app(request: Any) -> Any:
            if request.target == "/much":
                greed.append(request)
                return self.response(200, {}, much)
            return self.hello(request)

        with self.running(app) as server, Client(server.port) as greedy:
            greedy.say(request("GET /much") * 100)
            greedy.read_until(b"aaa")  # so it is being served, and that is all it ever reads
            answer = read_answer(ask(server.port, LAST))
            check("the body", answer.body, HELLO, "another client asked for 100 MB, and does not read them")
        cause = "each has a million octets, and the client takes none of them: the next can wait"
        check("more than 50 answers made", len(greed) > 50, False, cause)

    def test_bad_clients_harm_nobody(self) -> None:
        with self.running(self.hello) as server:
            reset(server.port)
            reset(server.port, GET)
            reset(server.port, GET[:9])
            reset(server.port, b"\0\xff\r\n\r\n")
            answer = read_answer(ask(server.port, LAST))
        check("the body", answer.body, HELLO, "four clients before this one went with a reset")

    def test_app_that_raises_harms_nobody_else(self) -> None:
        def app(request: Any) -> Any:
            if request.target == "/bug":
                raise LookupError("the app's own fault")
            return self.hello(request)

        with self.running(app) as server, Client(server.port) as other:
            other.say(GET[:9])
            ask(server.port, request("GET /bug"))
            other.say(GET[9:])
            other.read_until(HELLO)

    def test_idle_clients_are_no_burden(self) -> None:
        with self.running(self.hello) as server, idle(server.port, self.crowd):
            answer = read_answer(ask(server.port, LAST))
            check("the body", answer.body, HELLO, f"{self.crowd} idle clients were there before")
            with idle(server.port, self.crowd):  # not all at once: the queue of a listener has an end
                answer = read_answer(ask(server.port, LAST))
                check("the body", answer.body, HELLO, f"{2 * self.crowd} idle clients were there before")
