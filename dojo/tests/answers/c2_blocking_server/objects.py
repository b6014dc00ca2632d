"""A blocking server made of objects, with recv_into, sendmsg and a file: another make."""

import contextlib
import socket
import threading
from collections.abc import Callable

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response

App = Callable[[Request], Response]

RECV_SIZE = 65_536
LINGER_OCTETS = 4_194_304
LINGER_SECONDS = 2.0


def send_all(sock: socket.socket, data: bytes) -> None:
    sent = 0
    while sent < len(data):
        part = data[sent : sent + 4_096]
        sent += sock.sendmsg([part]) if hasattr(sock, "sendmsg") else sock.send(part)


class Connection:
    def __init__(self, sock: socket.socket, app: App) -> None:
        self.sock, self.app = sock, app
        self.buffer = bytearray()
        self.room = memoryview(bytearray(100_000))

    def run(self) -> None:
        while self.answer():
            pass
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(LINGER_SECONDS)
        left = LINGER_OCTETS
        with self.sock.makefile("rb", buffering=0) as file:
            while left > 0 and (octets := file.read(10_000)):
                left -= len(octets)

    def answer(self) -> bool:
        try:
            request = self.read()
        except BadRequest as fault:
            return self.write(Response(fault.status), "HEAD", False)
        except EOFError:
            return False
        if request is None:
            return False
        try:
            response = self.app(request)
            octets = write_response(response, request.method, request.keep_alive)
        except Exception:
            return self.write(Response(500), request.method, False)
        send_all(self.sock, octets)
        return request.keep_alive

    def read(self) -> Request | None:
        parser = read_request(self.buffer)
        try:
            next(parser)
            while True:
                count = self.sock.recv_into(self.room)
                parser.send(bytes(self.room[:count]))
        except StopIteration as end:
            request: Request | None = end.value
            return request

    def write(self, response: Response, method: str, keep_alive: bool) -> bool:
        send_all(self.sock, write_response(response, method, keep_alive))
        return keep_alive


def serve_connection(sock: socket.socket, app: App) -> None:
    with sock, contextlib.suppress(OSError):
        Connection(sock, app).run()


def accept_all(listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with listener:
        while listener.fileno() >= 0:
            try:
                sock, _ = listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                break
            handle(sock)


def serve(listener: socket.socket, app: App) -> None:
    accept_all(listener, lambda sock: serve_connection(sock, app))


class Worker(threading.Thread):
    def __init__(self, sock: socket.socket, app: App) -> None:
        super().__init__(daemon=True)
        self.sock, self.app = sock, app

    def run(self) -> None:
        serve_connection(self.sock, self.app)


def serve_in_threads(listener: socket.socket, app: App) -> None:
    workers: list[Worker] = []

    def start(sock: socket.socket) -> None:
        workers.append(Worker(sock, app))
        workers[-1].start()

    accept_all(listener, start)
    for worker in workers:  # after the end, whoever likes may wait
        worker.join()
