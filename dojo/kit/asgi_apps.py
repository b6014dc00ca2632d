"""ASGI apps in the hands of a test: they send what they are told to, or note what they are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dojo.kit.asgi_talks import App, Message


def sending(*messages: Message, fails: BaseException | None = None) -> App:
    """Return an app that sends these messages, and then fails or returns."""

    async def app(scope: Message, receive: Any, send: Callable[[Message], Awaitable[object]]) -> None:
        for message in messages:
            await send(message)
        if fails is not None:
            raise fails

    return app


def noting(scopes: list[Message], app: App) -> App:
    """Return an app that adds each scope to a list, and then is app."""

    async def notes(scope: Message, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await app(scope, receive, send)

    return notes
