"""What a server and an app say to each other, as the server sees it: see dojo.kit.asgi.

Whatever breaks the protocol fails the test at once, with what was sent and what was due. The rules
are those of https://asgi.readthedocs.io (specs/main, specs/www, specs/lifespan).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, NoReturn, TypeAlias

from dojo.kit.sockets import complain

Message: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[object]]
Turn: TypeAlias = Callable[[], Awaitable[object]]

NO_LOOP = "it asked asyncio for its loop, and there is none: no step knows which loop it runs on"


def misses_a_loop(text: str) -> bool:
    """Is this what asyncio says where none of its loops runs?"""
    return "no running event loop" in text or "no current event loop" in text


class Talk:
    """One scope of an app: what it will receive, what it has sent, and both in their order in `log`.

    Where the app asks for more messages than there are, that is a complaint: a server would let it
    wait for ever. `turn` is awaited in every receive and send, to let others run: the loop that
    turns underneath is not known here.
    """

    def __init__(self, scope: Message, messages: Iterable[Message], turn: Turn | None = None) -> None:
        self.scope = scope
        self.sent: list[Message] = []
        self.log: list[str] = []
        self.complaint = ""
        self._messages = list(messages)
        self._turn = turn
        self._made: list[Coroutine[Any, Any, None]] = []  # by send

    async def receive(self) -> Message:
        """What the app is given as `receive`."""
        if self._turn is not None:
            await self._turn()
        if not self._messages:
            self._complain("receive() was called once more than there are messages: it would never return")
        message = self._messages.pop(0)
        self._check_received(message)
        self.log.append(f"received {message['type']}")
        return message

    def send(self, message: Message) -> Coroutine[Any, Any, None]:
        """What the app is given as `send`: a coroutine function, that notices when it is not awaited."""
        sending = self._send(message)
        self._made.append(sending)
        return sending

    async def _send(self, message: Message) -> None:
        if self._turn is not None:
            await self._turn()
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self._complain(f"a message is a dict with a 'type', and {message!r} was sent")
        self._check_sent(message)
        self.sent.append(message)
        self.log.append(f"sent {message['type']}")

    async def run(self, app: App) -> Any:
        """Run the app to its end, and return what it answered."""
        try:
            await app(self.scope, self.receive, self.send)
        finally:
            if self.complaint:  # again, where the app has swallowed it
                complain(self.complaint)
        return self.answer

    @property
    def answer(self) -> Any:
        """What was answered; a complaint where that is not all there."""
        self._check_awaited()
        return self.sent

    def _check_awaited(self) -> None:
        forgotten = [made for made in self._made if inspect.getcoroutinestate(made) == "CORO_CREATED"]
        for made in forgotten:
            made.close()
        if forgotten:
            self._complain(
                "send(...) was called and not awaited: that only makes a coroutine, and sends nothing"
            )

    def _check_received(self, message: Message) -> None:
        """Complain where the app should not have asked for this message yet."""

    def _check_sent(self, message: Message) -> None:
        self._complain(f"{message['type']} was sent in a scope of type {self.scope['type']}: nothing was due")

    def _complain(self, sentence: str) -> NoReturn:
        self.complaint = self.complaint or sentence
        complain(sentence)


class LifespanTalk(Talk):
    """The life of an app: every message is answered before the next one is asked for."""

    stage = ""  # which has not been answered yet

    @property
    def answer(self) -> list[Message]:
        self._check_awaited()
        if self.stage:
            self._complain(
                f"lifespan.{self.stage} was received and never answered: the server waits for that"
            )
        return self.sent

    def _check_received(self, message: Message) -> None:
        if self.stage:
            self._complain(
                f"the next message was asked for before lifespan.{self.stage} was answered: "
                "the server does not go on until it is"
            )
        self.stage = message["type"].removeprefix("lifespan.")

    def _check_sent(self, message: Message) -> None:
        due = [f"lifespan.{self.stage}.{end}" for end in ("complete", "failed")] if self.stage else []
        if message["type"] not in due:
            instead = " or ".join(due) or "nothing: the server had said nothing that is not answered"
            self._complain(f"{message['type']} was sent, and due was {instead}")
        if not isinstance(message.get("message", ""), str):
            self._complain(f"message is {message['message']!r}: a str is due, for the server's log")
        if misses_a_loop(message.get("message", "")):
            self._complain(NO_LOOP)
        self.stage = ""
        if message["type"].endswith(".failed"):
            self._messages.clear()  # a server that is told so says nothing more
