"""Somebody with a browser, before an app that is asked by hand: see dojo.kit.asgi_by_hand.

visitor = Visitor(app)
visitor.get("/items").json      visitor.post("/items", name="né").status      visitor.page.links
"""

from __future__ import annotations

from urllib.parse import urlencode

from dojo.kit.asgi_by_hand import ask
from dojo.kit.asgi_http import Answer
from dojo.kit.asgi_talks import App
from dojo.kit.pages import Page


class Visitor:
    """Asks the app for pages, and fills in its form."""

    def __init__(self, app: App) -> None:
        self._app = app

    def get(self, target: str) -> Answer:
        """Return what the app answers to a GET."""
        return ask(self._app, "GET", target)

    def post(self, target: str, **fields: str) -> Answer:
        """Return what the app answers to a form with these fields."""
        return ask(self._app, "POST", target, urlencode(fields).encode())

    @property
    def page(self) -> Page:
        """What "/" shows now."""
        return Page(self.get("/").body.decode())
