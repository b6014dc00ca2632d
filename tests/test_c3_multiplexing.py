"""A selector is told whom to watch, waits for all of them at once, and gives hints, not promises."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from selectors import EVENT_READ

import pytest

from dojo.kit.blocking import Mouthfuls, waiting_is_an_error, wakes_to_fill
from dojo.kit.causes import must_not_raise, must_raise
from dojo.kit.couriers import Courier, a_listener, nobody
from dojo.kit.sockets import Scripted, shy
from dojo.kit.spysel import SELECTOR_CLASSES, SpySelector, ctrl_c, nothing_for, readable
from katas.c3_multiplexing import OutBuffer, Waker, connect, wait_readable

on_every_selector = pytest.mark.parametrize("selector_class", SELECTOR_CLASSES, ids=lambda c: c.__name__)

EARLY = "select() came back early with nothing, as after a signal; there was time left"
REFUSED = "nobody listens there, and writable does not mean connected: SO_ERROR has the number of the error"
OPEN = "nobody but connect() knows of these: nobody else can close them"


@pytest.fixture
def ann():
    with Courier("ann") as courier:  # one end of a pair of sockets; ann.away is the other
        courier.setblocking(False)
        yield courier


@pytest.fixture
def bob():
    with Courier("bob") as courier:
        yield courier


class TestWaitReadable:
    @on_every_selector
    def test_silent_sockets_are_not_readable(self, ann, bob, selector_class):
        assert wait_readable([ann, bob], 0, selector_class) == [], "nobody has sent anything yet"

    @on_every_selector
    def test_octets_make_a_socket_readable(self, ann, bob, selector_class):
        bob.away.send(b"parcel")
        assert wait_readable([ann, bob], 0, selector_class) == [bob]

    @on_every_selector
    def test_goodbye_makes_a_socket_readable_too(self, ann, bob, selector_class):
        ann.away.shutdown(socket.SHUT_WR)
        assert wait_readable([ann, bob], 0, selector_class) == [ann], "recv would return at once: with b''"

    def test_ready_ones_come_in_the_order_given(self, ann, bob):
        spy = SpySelector([[(bob, EVENT_READ), (ann, EVENT_READ)]])
        assert wait_readable([ann, bob], None, lambda: spy) == [ann, bob], "due is the caller's order"

    def test_only_reading_is_asked_for(self, ann):
        spy = SpySelector([[(ann, EVENT_READ)]])
        wait_readable([ann], None, lambda: spy)
        assert spy.asked() == ["read"], "a socket is nearly always writable: who waits for that, spins"

    @pytest.mark.parametrize("timeout", [None, 60])
    def test_early_return_is_not_the_end(self, ann, timeout):
        spy = SpySelector([[], [], [(ann, EVENT_READ)]])
        assert wait_readable([ann], timeout, lambda: spy) == [ann], EARLY

    def test_waiting_is_left_to_select(self, ann):
        spy = SpySelector([[], [], [(ann, EVENT_READ)]])
        wait_readable([ann], None, lambda: spy)
        assert spy.timeouts[-1] != 0, f"select() was given {spy.timeouts}: 0 does not wait, the loop spins"

    def test_early_returns_do_not_start_the_time_again(self, ann):
        spy = SpySelector([nothing_for(0.002)] * 20, cause="it waits the whole time again after each")
        assert wait_readable([ann], 0.01, lambda: spy) == []

    def test_select_is_given_the_seconds_that_are_left(self, ann):
        spy = SpySelector([nothing_for(0.002), [(ann, EVENT_READ)]])
        wait_readable([ann], 60, lambda: spy)
        assert 0 < (spy.timeouts[-1] or 0) < 59.999, f"select() was given {spy.timeouts}: due is what is left"

    def test_selector_is_closed_whatever_happens(self, ann):
        spy = SpySelector([ctrl_c])
        with pytest.raises(KeyboardInterrupt):
            wait_readable([ann], None, lambda: spy)
        assert spy.closed, "select() raised KeyboardInterrupt, and the selector was left open"


class TestConnect:
    def test_never_writable_is_a_timeout_and_leaves_nothing_open(self):
        spy = SpySelector([[]])
        with a_listener() as address, must_raise(TimeoutError, "time is over, and the selector said nothing"):
            connect(address, 0, lambda: spy).close()
        assert spy.left_open() == [], OPEN

    def test_writable_is_what_it_waits_for(self):
        spy = SpySelector([[]])
        with a_listener() as address, pytest.raises(TimeoutError):
            connect(address, 0, lambda: spy)
        assert "write" in " ".join(spy.asked()), f"it waits for {spy.asked()}: the end shows as writable"

    def test_socket_is_connected_and_does_not_block(self):
        with a_listener() as address, connect(address, 5) as sock:
            assert (sock.getpeername(), sock.gettimeout()) == (address, 0), "due is a non-blocking socket"

    def test_writable_may_be_a_refusal_and_leaves_nothing_open(self):
        spy = SpySelector(real_selects=10)
        with nobody() as address, must_raise(ConnectionRefusedError, REFUSED):
            connect(address, 5, lambda: spy).close()
        assert spy.left_open() == [], OPEN

    def test_ctrl_c_in_the_wait_leaves_nothing_open(self):
        spy = SpySelector([ctrl_c])
        with a_listener() as address, pytest.raises(KeyboardInterrupt):
            connect(address, None, lambda: spy)
        assert spy.left_open() == [], OPEN

    def test_impossible_port_leaves_nothing_open(self):
        with pytest.raises(OverflowError):  # out of connect itself: the wait has not begun
            connect(("127.0.0.1", 99_999), 0)

    def test_early_return_is_not_the_end(self):
        spy = SpySelector([[], []], real_selects=10)
        with a_listener() as address, must_not_raise(TimeoutError, EARLY):
            connect(address, 60, lambda: spy).close()
        assert spy.closed, "the selector was left open: every connection would cost one descriptor more"


class TestOutBuffer:
    def test_write_only_queues(self, ann):
        with shy(ann) as sock:
            out = OutBuffer(sock)
            out.write(b"Hello")
            assert (len(out), bytes(sock.taken)) == (5, b""), "write() queues, flush() sends"

    def test_flush_sends_in_the_order_written(self, ann):
        with shy(ann) as sock:
            out = OutBuffer(sock)
            out.write(b"Hel")
            out.write(b"lo")
            assert (out.flush(), len(out), bytes(sock.taken)) == (True, 0, b"Hello")

    def test_flush_goes_on_after_a_partial_send(self, ann):
        with shy(ann, at_most=4) as sock:
            out = OutBuffer(sock)
            out.write(b"Hello World")
            cause = "send() took 4 octets, said so, and had room for more"
            assert (out.flush(), bytes(sock.taken)) == (True, b"Hello World"), cause

    def test_full_socket_is_no_error(self, ann):
        with shy(ann, refusals=1) as sock, must_not_raise(BlockingIOError, "writable is a hint, no promise"):
            out = OutBuffer(sock)
            out.write(b"Hello")
            assert (out.flush(), len(out)) == (False, 5), "the socket took nothing"

    def test_unsent_tail_leaves_before_later_writes(self, ann):
        with Mouthfuls(ann, [2, 0, 1, 0]) as sock:  # takes 2 octets, is full, takes 1, is full, takes all
            out = OutBuffer(sock)
            out.write(b"Hello")
            assert (out.flush(), len(out), bytes(sock.taken)) == (False, 3, b"He")
            out.write(b" World")
            assert (out.flush(), len(out), bytes(sock.taken)) == (False, 8, b"Hel")
            assert (out.flush(), len(out), bytes(sock.taken)) == (True, 0, b"Hello World")

    def test_written_data_may_change_afterwards(self, ann):
        with shy(ann) as sock:
            out, data = OutBuffer(sock), bytearray(b"Hello")
            out.write(data)
            data[:] = b"XXXXX"
            out.flush()
            assert bytes(sock.taken) == b"Hello", "the caller's bytearray changed after write(): queue a copy"

    def test_half_closed_client_still_gets_it(self, ann):
        ann.away.shutdown(socket.SHUT_WR)
        out = OutBuffer(ann)
        out.write(b"Hello")
        out.flush()
        ann.shutdown(socket.SHUT_WR)
        assert ann.away.recv(100) == b"Hello", "that the client sends no more does not mean that it is gone"

    def test_other_errors_go_on_to_the_caller(self):
        with Scripted(breaks_after=2) as sock, must_raise(BrokenPipeError, "the socket is broken, not full"):
            out = OutBuffer(sock)
            out.write(b"Hello")
            out.flush()


class TestWaker:
    def test_nobody_woke_it_and_it_is_quiet(self):
        with closing(Waker()) as waker:
            assert not readable(waker), "it is readable, and nobody called wake(): no selector would wait"

    def test_woken_before_the_wait_is_not_lost(self):
        with closing(Waker()) as waker:
            waker.wake()
            assert readable(waker), "wake() was called, and the selector that looks afterwards sees nothing"

    def test_nothing_to_drain_is_no_error(self):
        with (
            waiting_is_an_error("drain() waits for a wake-up that nobody sends"),
            must_not_raise(BlockingIOError, "there was nothing to drain, which is no error"),
            closing(Waker()) as waker,
        ):
            waker.drain()

    def test_woken_twice_and_drained_is_quiet(self):
        with closing(Waker()) as waker:
            waker.wake()
            waker.wake()
            waker.drain()
            assert not readable(waker), "it is readable after drain(), which takes all there are"

    def test_woken_again_after_a_drain(self):
        with closing(Waker()) as waker:
            waker.wake()
            waker.drain()
            waker.wake()
            assert readable(waker), "the wake-up that came after drain() is lost"

    def test_full_of_wake_ups_is_no_error(self):
        with (
            waiting_is_an_error("nobody drains, there is no more room for wake-ups, and wake() waits"),
            must_not_raise(BlockingIOError, "nobody drains, and there is no more room for wake-ups"),
            closing(Waker()) as waker,
        ):
            for _ in range(wakes_to_fill(waker.fileno())):
                waker.wake()

    def test_one_drain_is_enough_for_a_full_one(self):
        with closing(Waker()) as waker:
            for _ in range(wakes_to_fill(waker.fileno())):
                waker.wake()
            waker.drain()
            assert not readable(waker), "it was full, and is still readable after drain(), which takes all"

    def test_another_thread_ends_a_select(self, ann):
        with closing(Waker()) as waker, SpySelector(real_selects=1) as selector, ThreadPoolExecutor() as pool:
            for watched in waker, ann:
                selector.register(watched, EVENT_READ)
            waking = pool.submit(waker.wake)
            waking.add_done_callback(lambda _: ann.away.send(b"!"))  # the select ends, whatever wake() did
            ready = [key.fileobj for key, _ in selector.select()]
            waking.result()
            assert waker in ready, "wake() was called in another thread, and select() did not hear of it"

    def test_wake_after_close_is_no_error(self):
        waker = Waker()
        waker.close()
        with must_not_raise(OSError, "another thread may be late, and call wake() after close()"):
            waker.wake()
