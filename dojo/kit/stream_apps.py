"""Apps for servers of asyncio: they answer at once or later, with little or much, and keep notes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from dojo.kit.http_rules import HELLO

MUCH = bytes(range(250)) * 4_000  # a million octets


class Apps:
    """Makes apps that answer with such responses; each notes in a list given which targets it has seen."""

    def __init__(self, response: Callable[..., Any]) -> None:
        self.response = response

    def hello(self, request: Any) -> Any:
        """Answer at once: an app."""
        return self.response(200, {"Content-Type": "application/json"}, HELLO)

    def much(self, octets: int, asked: list[str] | None = None) -> Callable[[Any], Any]:
        """Return an app that answers with so many octets, and notes at once what it was asked."""

        def app(request: Any) -> Any:
            _note(asked, request)
            return self.response(200, {}, MUCH[:octets])

        return app

    def later(
        self, seconds: float, ended: list[str] | None = None, cleanup: float = 0
    ) -> Callable[[Any], Awaitable[Any]]:
        """Return an app that answers after so many seconds, and makes its note when it has ended."""

        async def app(request: Any) -> Any:
            try:
                await asyncio.sleep(seconds)
                return self.hello(request)
            finally:
                try:
                    await asyncio.sleep(cleanup)
                finally:
                    _note(ended, request)

        return app

    def huge_or_later(self, ended: list[str] | None = None) -> Callable[[Any], Any]:
        """Return an app that answers /huge with ten million octets, and /3 after three seconds."""

        def app(request: Any) -> Any:
            if request.target == "/huge":
                return self.response(200, {}, MUCH * 10)
            return self.later(int(request.target[1:]), ended)(request)

        return app


def _note(targets: list[str] | None, request: Any) -> None:
    if targets is not None:
        targets.append(request.target)
