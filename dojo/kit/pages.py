"""HTML as a browser reads it: what is text, where links lead, what a form would send."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """Where a form goes, by which method, and the names of its fields."""

    action: str
    method: str
    fields: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """A page: its tags, its text, the text of each link by its address, and its forms."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.links: dict[str, str] = {}
        self.forms: list[Form] = []
        self._link: str | None = None
        self._unseen = False  # within what a browser does not show
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self._unseen = self._unseen or tag in ("style", "script", "title")
        if tag == "a":
            self._link = values.get("href", "")
            self.links[self._link] = ""
        elif tag == "form":
            self.forms.append(Form(values.get("action", ""), values.get("method", "get").lower()))
        elif tag in ("input", "button", "textarea") and self.forms and "name" in values:
            self.forms[-1].fields.append(values["name"])

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script", "title"):
            self._unseen = False
        elif tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        self.text += data
        if self._link is not None:
            self.links[self._link] += data
