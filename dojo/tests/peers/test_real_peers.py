"""Real clients against the servers of the katas: what a person will try first."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest

from dojo.kit.http_rules import HELLO, LAST
from dojo.kit.lint import read_answer
from dojo.kit.rude import ask, idle
from dojo.kit.serving import running
from dojo.kit.streams import in_a_thread
from katas import c1_http_messages, c2_blocking_server, c4_selectors_server, d2_socket_io, e3_streams_server
from katas.d1_coroutine_scheduler import Scheduler

Curl = Callable[..., str]


def on_own_scheduler(listener: socket.socket, app: d2_socket_io.App) -> None:
    """Serve as one program that has nothing else to do."""
    Scheduler().run(d2_socket_io.serve(listener, app))


SERVERS = [
    pytest.param(c2_blocking_server.serve, id="blocking"),
    pytest.param(c2_blocking_server.serve_in_threads, id="threads"),
    pytest.param(c4_selectors_server.SelectorsServer, id="selectors"),
    pytest.param(on_own_scheduler, id="scheduler"),
    pytest.param(in_a_thread(e3_streams_server.StreamsServer), id="streams"),
]
CONCURRENT_SERVERS = SERVERS[1:]  # those that keep many connections at a time
SINGLE_THREADED_SERVERS = SERVERS[2:]  # those that keep thousands


def app(request: c1_http_messages.Request) -> c1_http_messages.Response:
    """Answer GET like the article's servers, and POST with the body of the request."""
    body = request.body if request.method == "POST" else HELLO
    return c1_http_messages.Response(200, {"Content-Type": "application/json"}, body)


@pytest.fixture
def curl() -> Curl:
    """Run curl with these arguments and return what it prints."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed: get it from https://curl.se or your package manager")

    def run(*arguments: str, send: bytes = b"") -> str:
        command = [program, "--silent", "--show-error", "--noproxy", "*", "--max-time", "10", *arguments]
        done = subprocess.run(command, input=send, capture_output=True, timeout=20)
        assert done.returncode == 0, f"curl ends with {done.returncode}: {done.stderr.decode()}"
        return done.stdout.decode("latin-1")

    return run


@pytest.fixture
def httpx() -> ModuleType:
    """The module httpx."""
    module: ModuleType = pytest.importorskip(
        "httpx", reason="httpx is not installed: pip install -e '.[dev]'"
    )
    return module


class TestServers:
    @pytest.fixture(params=SERVERS)
    def url(self, request: pytest.FixtureRequest) -> Iterator[str]:
        """The address of a running server."""
        with running(request.param, app) as server:
            yield f"http://127.0.0.1:{server.port}/"

    def test_curl_gets_hello(self, url: str, curl: Curl) -> None:
        answer = read_answer(curl("--include", url).encode("latin-1"))
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, HELLO, "18")

    def test_curl_keeps_one_connection(self, url: str, curl: Curl) -> None:
        connects = curl("--write-out", " %{num_connects}\n", url, url).split("\n")
        assert connects == [f"{HELLO.decode()} 1", f"{HELLO.decode()} 0", ""]

    def test_curl_head_does_not_wait_for_a_body(self, url: str, curl: Curl) -> None:
        assert "Content-Length: 18" in curl("--head", url)

    def test_curl_speaks_http_1_0(self, url: str, curl: Curl) -> None:
        assert curl("--http1.0", url) == HELLO.decode()

    def test_curl_posts_in_chunks(self, url: str, curl: Curl) -> None:
        chunked = ("--header", "Transfer-Encoding: chunked", "--data-binary", "@-")
        assert curl(*chunked, url, send=b"a" * 100_000) == "a" * 100_000

    def test_curl_gets_413_while_it_uploads(self, url: str, curl: Curl) -> None:
        arguments = ("--header", "Expect:", "--data-binary", "@-", "--write-out", "%{http_code}")
        assert curl(*arguments, url, send=b"a" * 1_500_000) == "413"

    def test_httpx_keeps_one_connection(self, url: str, httpx: Any) -> None:
        with httpx.Client(trust_env=False) as client:
            answers = [client.get(url), client.post(url, content=b"Hello"), client.head(url)]
        assert [answer.content for answer in answers] == [HELLO, b"Hello", b""]
        assert {answer.headers["content-length"] for answer in answers} == {"18", "5"}


@pytest.mark.parametrize("server", CONCURRENT_SERVERS)
def test_httpx_holds_many_connections_at_a_time(server: Any, httpx: Any) -> None:
    with running(server, app) as listener, httpx.Client(trust_env=False) as client:
        url = f"http://127.0.0.1:{listener.port}/"
        streams = [client.stream("GET", url) for _ in range(10)]
        answers = [stream.__enter__() for stream in streams]  # all are open, none is read
        bodies = [answer.read() for answer in answers]
        for stream in streams:
            stream.__exit__(None, None, None)
    assert bodies == [HELLO] * 10


@pytest.fixture
def crowd() -> Iterator[int]:
    """How many idle clients there can be. Both ends of each are in this process: two descriptors."""
    if sys.platform == "win32":
        yield 200  # a selector takes 512 sockets there
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = 2_100 if hard == resource.RLIM_INFINITY else min(hard, 2_100)
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, room), hard))
    yield (room - 100) // 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("server", SINGLE_THREADED_SERVERS)
def test_idle_clients_by_the_thousand_are_no_burden(server: Any, crowd: int) -> None:
    with ExitStack() as leave, running(server, app) as listener:
        threads = set(threading.enumerate())
        for _ in range(crowd // 100):  # in parts: the queue of a listener is not that long
            leave.enter_context(idle(listener.port, 100))
            assert read_answer(ask(listener.port, LAST)).body == HELLO
        assert set(threading.enumerate()) <= threads, "one thread serves them all"
