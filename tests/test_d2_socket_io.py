"""Straight-line code on sockets: whoever waits lets the others run, and the scheduler sleeps for all."""

import errno
import socket
import threading
from functools import partial
from itertools import pairwise

import pytest

from dojo.kit.causes import must_raise
from dojo.kit.crowd_rules import CrowdRules
from dojo.kit.http_rules import GET, HELLO, LAST, ServerRules, request
from dojo.kit.lint import read_answer
from dojo.kit.promise import Promise, in_a_thread
from dojo.kit.serving import Listener
from dojo.kit.sleepless import Sleepless
from dojo.kit.small_tasks import ask, count, hear
from dojo.kit.spysel import ctrl_c
from katas.c1_http_messages import Response
from katas.d1_coroutine_scheduler import Scheduler, join, sleep
from katas.d2_socket_io import (
    ACCEPT_REST,
    AsyncSocket,
    call_soon_threadsafe,
    serve,
    wait_future,
    wait_readable,
    wait_writable,
)


@pytest.fixture
def world():
    with Sleepless(Scheduler) as world:
        yield world


@pytest.fixture
def client(world):
    return world.client()


@pytest.fixture
def log():
    return []


async def note(log, name, wait):
    """Note name when the wait is over."""
    await wait
    log.append(name)


async def woken_early(world, wait):
    """What a task hears that waits so and is woken by an error: by the way, its canceller."""
    task = world.scheduler.spawn(hear(wait))
    await count([], "lap", 5)
    world.scheduler.ready(task, error=LookupError("enough"))
    return await join(task)


class TestWaitReadable:
    @pytest.mark.parametrize("event", ["say", "half_close"])
    def test_ends_when_something_has_come(self, world, event, client):
        happens = {"say": lambda: client.say(b"!"), "half_close": client.half_close}
        world.run(wait_readable(client.served), happens[event])
        assert world.sleeps == [None], "it sleeps once, and for as long as it takes"

    def test_only_the_task_of_the_ready_socket_wakes(self, world, log):
        ann, bob = world.client(), world.client()
        world.scheduler.spawn(note(log, "ann", wait_readable(ann.served)))
        world.run(note(log, "bob", wait_readable(bob.served)), lambda: bob.say(b"!"))
        assert log == ["bob"], "nothing has come from ann"

    def test_others_run_while_it_waits(self, world, client, log):
        world.scheduler.spawn(count(log, "other", 3))
        world.run(wait_readable(client.served), lambda: client.say(b"!"))
        assert log == ["other0", "other1", "other2"], (
            "they were ready, and select() must not keep them waiting"
        )

    def test_sockets_are_seen_while_others_are_busy(self, world, log):
        for client in [world.client(b"!") for _ in range(3)]:
            world.scheduler.spawn(note(log, "woke", wait_readable(client.served)))
        world.run(count([], "lap", 8))
        assert log == ["woke"] * 3, "somebody is always ready, and three sockets were for 8 laps"

    def test_others_have_their_turn_though_it_is_readable(self, world, log):
        client = world.client(b"!")
        world.scheduler.spawn(note(log, "woke", wait_readable(client.served)))
        world.run(count(log, "other", 4))
        assert log[0] == "other0", "it suspends, also where there is nothing to wait for"

    def test_timer_rings_while_a_socket_is_silent(self, world, client, log):
        for seconds in (5, 7):
            world.scheduler.spawn(note(log, seconds, sleep(seconds)))
        world.run(wait_readable(client.served), world.at(7, lambda: client.say(b"!")))
        assert (log, world.sleeps) == ([5, 7], [5, 2, None]), "select() sleeps up to the next deadline"

    def test_woken_by_an_error_it_leaves_nothing_behind(self, world, client, log):
        gone = world.client()

        async def main():
            world.scheduler.spawn(told())
            await wait_readable(client.served)

        async def told():
            log.append(await woken_early(world, wait_readable(gone.served)))

        world.run(main(), lambda: client.say(b"!"))
        assert log == ["heard LookupError('enough')"], "what a task is woken with is raised at its await"
        watched = gone.served.fileno() in world.watched
        assert not watched, "nobody waits for this socket any more, and the selector still watches it"

    def test_second_wait_for_the_same_is_refused(self, world, client):
        async def main():
            first = world.scheduler.spawn(wait_readable(client.served))
            await sleep(0)
            with must_raise(RuntimeError, "one event cannot be two tasks' at once: one would take all"):
                await wait_readable(client.served)
            await join(first)

        world.run(main(), lambda: client.say(b"!"))  # the first still waits as before

    def test_closed_socket_is_refused(self, world, client):
        client.served.close()
        with must_raise(OSError, "it is closed: nothing will ever come"):
            world.run(wait_readable(client.served))

    def test_new_socket_may_have_the_number_of_an_old(self, world):
        clients = [world.client(b"!")]

        async def main():
            await wait_readable(clients[0].served)
            clients.append(world.heir(clients[0]))  # nobody waits for the old one: so it may be closed
            await wait_readable(clients[1].served)

        world.run(main(), lambda: clients[1].say(b"!"))

    @pytest.mark.parametrize("laps", [1, 5])
    def test_run_that_is_over_leaves_nothing_open(self, world, laps, client):
        async def main():
            world.scheduler.spawn(wait_readable(client.served))
            await count([], "lap", laps)

        world.run(main())
        world.run(wait_readable(client.served), lambda: client.say(b"!"))
        assert world.sleeps == [None], "it is the same scheduler, and its second run is like the first"

    def test_deadlock_is_still_said(self, world):
        client = world.client(b"!")

        async def main():
            await wait_readable(client.served)
            await ask([])

        with must_raise(RuntimeError, "nobody waits for a socket any more, and main for what never comes"):
            world.run(main())


class TestWaitWritable:
    def test_ends_when_there_is_room(self, world, client):
        async def main():
            await wait_writable(client.served)
            await wait_readable(client.served)  # writable is no news any more, and no reason to spin

        world.fill(client.served)
        world.run(main(), client.listen_up, lambda: client.say(b"!"))
        assert world.sleeps == [None, None], "it slept until the client took some, and until it said some"

    def test_one_may_read_while_another_writes(self, world, client, log):
        world.fill(client.served)

        async def main():
            reader = world.scheduler.spawn(note(log, "read", wait_readable(client.served)))
            writer = world.scheduler.spawn(note(log, "write", wait_writable(client.served)))
            await join(reader)
            await join(writer)

        world.run(main(), lambda: client.say(b"!"), client.listen_up)
        assert log == ["read", "write"], "each waits for an event of its own"


class TestAsyncSocket:
    @pytest.fixture
    def sock(self, client):
        return AsyncSocket(client.served)

    def test_sock_is_the_socket_made_non_blocking(self, client, sock):
        assert sock.sock is client.served
        assert not client.served.getblocking(), "one recv that blocks stops all tasks"

    def test_recv_returns_what_has_come_or_the_end(self, world, client, sock):
        assert world.run(sock.recv(3), lambda: client.say(b"Hello")) == b"Hel", "3 octets, at most"
        assert world.run(sock.recv(9)) == b"lo", "what was left is there for the next recv"
        assert world.run(sock.recv(9), client.half_close) == b"", "that is the end"

    def test_recv_lets_others_go_first(self, world, client, sock, log):
        client.say(b"Hello")
        world.scheduler.spawn(note(log, "received", sock.recv(100)))
        world.run(count(log, "other", 4))
        assert log[0] == "other0", "it waits first, though something is there: so everybody has a turn"

    def test_recv_takes_readiness_for_a_hint(self, world, client, sock):
        client.say(b"Hello")
        client.served.false_alarms = 2
        assert world.run(sock.recv(100)) == b"Hello", "two calls of recv raised BlockingIOError first"

    @pytest.mark.parametrize(
        "shyness", [{}, {"at_most": 5}, {"at_most": 5, "pauses": 1}, {"refusals": 3}], ids=str
    )
    def test_send_all_sends_all(self, world, shyness):
        client = world.client(**shyness)
        world.run(AsyncSocket(client.served).send_all(b"Hello, World"))
        client.listen_up()
        assert bytes(client.heard) == b"Hello, World", f"to this socket ({shyness}), send is not sendall"

    def test_send_all_waits_while_there_is_no_room(self, world, client, sock):
        async def main():
            await sock.send_all(b"a" * 3_000_000)
            await sock.recv(100)

        world.run(main(), world.hear(client, 3_000_000), client.half_close)
        assert len(client.heard) == 3_000_000, "nobody has so much room: it is sent as the client takes it"

    def test_send_all_suspends_only_where_it_must(self, world, sock, log):
        world.scheduler.spawn(note(log, "sent", sock.send_all(b"Hello")))
        world.run(count(log, "other", 2))
        assert log[0] == "sent", "there was room for all of it"

    def test_accept_returns_the_next_connection(self, world):
        ann, bob = world.client(b"ann"), world.client(b"bob")
        door = world.door(ann.served)

        async def main():
            listener = AsyncSocket(door)
            return [await (await listener.accept()).recv(3) for _ in range(2)]

        assert world.run(main(), lambda: door.arrive(bob.served)) == [b"ann", b"bob"]
        assert not bob.served.getblocking(), "one recv that blocks stops all tasks"

    def test_connect_ends_when_it_is_connected(self):
        with Listener() as listener, socket.socket() as sock:
            Scheduler().run(AsyncSocket(sock).connect(("127.0.0.1", listener.port)))
            assert sock.getpeername() == ("127.0.0.1", listener.port)

    def test_attempt_that_lasts_is_waited_for(self, world):
        attempt = world.attempt()
        world.run(AsyncSocket(attempt).connect(("192.0.2.1", 80)), attempt.end)
        assert world.sleeps == [None], "connect raised BlockingIOError: the attempt is on its way"

    def test_attempt_that_fails_raises_its_error(self, world):
        attempt = world.attempt(error=errno.ECONNREFUSED)
        with must_raise(ConnectionRefusedError, "writable does not mean connected: SO_ERROR has the number"):
            world.run(AsyncSocket(attempt).connect(("192.0.2.1", 80)), attempt.end)

    def test_close_wakes_those_who_wait(self, world, client, sock):
        world.fill(client.served)

        async def main():
            tasks = [world.scheduler.spawn(hear(wait)) for wait in (sock.recv(5), sock.send_all(b"Hello"))]
            await count([], "lap", 3)
            sock.close()
            sock.close()
            return [await join(task) for task in tasks]

        said = world.run(main())
        assert [f"OSError({errno.EBADF}," in one for one in said] == [True, True], f"they heard {said}"


class ServeByHand(ServerRules):
    """How TestServe begins: clients in the test's hand. What it inherits is in dojo/kit/http_rules.py."""

    response = Response

    @pytest.fixture(autouse=True)
    def _use(self, world):
        self.world = world

    def meet(self, app, *arrivals, events=(), hear=()):
        """Serve these while these events happen, and until some have heard their end; return the bodies."""
        door = self.world.door(*[getattr(one, "served", one) for one in arrivals])
        self.world.run(serve(door, app), *events, *map(self.world.hear, hear), door.shut)
        return [read_answer(bytes(client.heard)).body for client in hear]

    def serve(self, app, *pieces):
        client = self.world.client()
        says = [partial(client.say, piece) for piece in pieces]
        door = self.world.door(client.served)
        self.world.run(serve(door, app), *says, client.half_close, self.world.hear(client), door.shut)
        return bytes(client.heard)

    def test_client_who_waits_for_the_end_is_told(self):
        client = self.world.client(LAST)  # ends its side when it has heard the end of the other
        self.meet(self.hello, client, hear=[client])

    @pytest.mark.parametrize("status", [200, 500])
    def test_awaitable_of_the_app_is_awaited(self, status):
        async def app(request):
            await sleep(1)
            if status == 500:
                raise TimeoutError("the app's own fault")
            return self.hello(request)

        self.answer_is(status, "what it returns is awaited, unless it is the Response", app, LAST)

    def test_app_that_waits_keeps_nobody_waiting(self):
        async def app(request):
            await sleep(60 if request.target == "/slow" else 0)
            return Response(200, {}, str(self.world.clock.now).encode())

        slow = self.world.client(request("GET /slow", "Connection: close"))
        quick = self.world.client(LAST)
        times = self.meet(app, slow, quick, hear=[slow, quick])
        assert times == [b"60.0", b"0.0"], "due were the times of the answers: slow came first"

    def test_requests_in_one_piece_let_others_go_first(self):
        def app(request):
            log.append(request.target)
            return self.hello(request)

        log = []
        ann = self.world.client(request("GET /ann") * 5)
        bob = self.world.client(request("GET /bob") * 5)
        self.meet(app, ann, bob)
        both = log[log.index("/bob") : len(log) - log[::-1].index("/ann")]  # while each has something to ask
        assert both, f"it served {log}: after an answer, let others go first"
        assert all(one != other for one, other in pairwise(both)), f"it served {log}: each in turn was due"

    def test_client_who_never_listens_is_answered_in_bounds(self):
        calls, client = [], self.world.client(GET * 100)
        self.meet(lambda request: calls.append(1) or Response(200, {}, b"a" * 100_000), client)
        unsent = len(calls) * 100_000 - len(client.served.taken)
        assert unsent < 101_000, f"{len(calls)} answers were made, {unsent} octets are unsent"

    def test_answer_that_cannot_be_written_becomes_500(self):
        cause = "write_response refuses this header, and the client waits for an answer"
        self.answer_is(500, cause, lambda request: Response(200, {"X": "a\r\nb"}), GET)

    def test_client_who_never_stops_sending_is_cut_off(self):
        client, pushed = self.world.client(LAST), []
        self.meet(self.hello, client, events=[self.world.push(client, pushed, most=10_000_000)])
        assert sum(pushed) < 10_000_000, f"{sum(pushed)} octets behind the last answer: there is a bound"

    @pytest.mark.parametrize("error", [ConnectionResetError, RuntimeError])
    def test_whatever_goes_wrong_closes_this_connection_only(self, error):
        good, bad = self.world.client(LAST), self.world.client(GET)
        bad.served.recv_raises = error("in the midst of it")
        bodies = self.meet(self.hello, bad, good, events=[good.half_close], hear=[good])
        assert bodies == [HELLO], f"recv raised {error.__name__} at another connection"
        assert bad.served.fileno() == -1, f"recv raised {error.__name__}, and the socket is still open"

    @pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EMFILE], ids=errno.errorcode.get)
    def test_accept_that_fails_is_not_the_end(self, error):
        client, failure = self.world.client(LAST), OSError(error, "accept failed")
        bodies = self.meet(self.hello, failure, failure, client, hear=[client])
        rest = ACCEPT_REST if error == errno.EMFILE else 0
        assert bodies == [HELLO], "accept raised it twice, and then there was somebody"
        assert self.world.clock.now == 2 * rest, (
            "the next still waits in the queue" if rest == 0 else "to try again at once is to spin"
        )

    def test_connections_are_closed_with_the_server(self):
        idle, late = self.world.client(GET), self.world.client(GET)
        door = self.world.door(idle.served)

        def arrive_and_shut():
            door.arrive(late.served)
            door.shut()

        self.world.run(serve(door, self.hello), arrive_and_shut)
        assert idle.served.fileno() == -1, "serve has ended, and a connection is still open"
        assert late.served.fileno() == -1, "serve has ended, and one whose task has not begun is still open"

    def test_closing_the_listener_ends_it(self):
        async def main():
            server = self.world.scheduler.spawn(serve(door, self.hello))
            await sleep(1)
            AsyncSocket(door).close()
            await join(server)

        door = self.world.door()
        self.world.run(main())

    def test_ctrl_c_in_the_app_ends_all_and_closes_all(self):
        ann, bob = self.world.client(), self.world.client(GET)
        with must_raise(KeyboardInterrupt, "it is no Exception: nobody but the caller of run() may end it"):
            self.meet(lambda request: ctrl_c(), ann, bob)
        assert [ann.served.fileno(), bob.served.fileno()] == [-1, -1], "run() is over, and they are open"


class TestServe(CrowdRules, ServeByHand):
    """ServeByHand, and then the same over TCP: what is inherited is in dojo/kit/crowd_rules.py."""

    @staticmethod
    def server(listener, app):
        Scheduler().run(serve(listener, app))


def hand_over(world, *callbacks):
    """Return an event: another thread hands these over."""
    return in_a_thread(lambda: [call_soon_threadsafe(world.scheduler, callback) for callback in callbacks])


class TestCallSoonThreadsafe:
    def test_sleeping_scheduler_calls_it_in_its_own_thread(self, world, client):
        threads = []

        def callback():
            threads.append(threading.current_thread())
            client.say(b"!")

        world.run(wait_readable(client.served), hand_over(world, callback))
        assert threads == [threading.current_thread()], "all that a scheduler has is for its thread alone"

    def test_callbacks_run_in_their_order(self, world, client, log):
        callbacks = [partial(log.append, number) for number in range(5)]
        events = hand_over(world, *callbacks[:3]), hand_over(world, *callbacks[3:])
        world.run(wait_readable(client.served), *events, lambda: client.say(b"!"))
        assert log == [0, 1, 2, 3, 4]
        assert len(world.sleeps) == 3, "it slept again after each time that they came"

    def test_call_while_callbacks_run_is_not_lost(self, world, client):
        inner = hand_over(world, lambda: client.say(b"!"))
        world.run(wait_readable(client.served), hand_over(world, inner))

    def test_failure_is_told_at_the_end(self, world, client):
        def fail():
            raise LookupError("no such place")

        with pytest.raises(ExceptionGroup) as raised:
            world.run(wait_readable(client.served), hand_over(world, fail, lambda: client.say(b"!")))
        told = [repr(error) for error in raised.value.exceptions]
        assert told == ["LookupError('no such place')"], "it is the failure of a task that nobody joined"

    def test_callback_is_kept_until_somebody_waits(self, world, client):
        hand_over(world, lambda: client.say(b"!"))()
        world.run(wait_readable(client.served))


class TestWaitFuture:
    @pytest.mark.parametrize("due", [42, "heard KeyError('lost')"])
    def test_sleeps_until_the_result_is_set(self, world, due):
        future = Promise()
        ends = (
            partial(future.set_result, 42) if due == 42 else partial(future.set_exception, KeyError("lost"))
        )
        assert world.run(hear(wait_future(future)), in_a_thread(ends)) == due
        assert world.sleeps == [None], "nobody is ready, and yet this is no deadlock: a thread is at work"

    def test_result_that_is_there_is_not_waited_for(self, world, log):
        future = Promise()
        future.set_result(42)
        world.scheduler.spawn(note(log, "had it", wait_future(future)))
        world.run(count(log, "other", 2))
        assert log[0] == "had it", "there was nothing to wait for, so it is nobody else's turn"

    def test_many_may_wait_for_one(self, world):
        future = Promise()

        async def main():
            tasks = [world.scheduler.spawn(wait_future(future)) for _ in range(3)]
            return [await join(task) for task in tasks]

        assert world.run(main(), in_a_thread(lambda: future.set_result(42))) == [42] * 3

    def test_woken_by_an_error_it_forgets_the_future(self, world, client):
        future = Promise()

        async def restless():
            said = await hear(wait_future(future))
            await sleep(10)
            return said, world.clock.now

        async def main():
            task = world.scheduler.spawn(restless())
            await sleep(1)
            world.scheduler.ready(task, error=LookupError("enough"))
            world.scheduler.spawn(wait_readable(client.served))  # so that callbacks are looked for
            return await join(task)

        done = in_a_thread(lambda: future.cancelled() or future.set_result(42))
        ended = world.run(main(), world.at(1, done))
        assert ended == ("heard LookupError('enough')", 11), "the future, done at 1, cut its sleep short"
        assert not future.cancelled(), "others may wait for it too"

    def test_deadlock_is_said_when_nobody_waits_for_threads(self, world):
        future = Promise()

        async def main():
            await woken_early(world, wait_future(future))
            await ask([])

        with must_raise(RuntimeError, "nobody waits for a thread any more"):
            world.run(main())
