"""What a component shows before its script has drawn anything."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

import app.components

PAGES = sorted(Path(app.components.__path__[0]).glob("*/*.html"))


class Names(HTMLParser):
    """The elements that need a name, and the first thing that names each."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._open = False

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "button" or attributes.get("role") == "img":
            self.names.append(attributes.get("aria-label") or "")
            self._open = tag == "button"

    def handle_data(self, data):
        if self._open:
            self.names[-1] += data.strip()

    def handle_endtag(self, tag):
        self._open = self._open and tag != "button"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_buttons_and_pictures_have_a_name_before_anything_is_drawn(page):
    names = Names()
    names.feed(page.read_text(encoding="utf-8"))
    assert all(names.names)
