"""What a browser would load and follow from the files of a site, for tests."""

import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from posixpath import dirname, join, normpath
from urllib.parse import urlsplit

LOADED = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
}
"""Attributes by which an element loads something by itself."""


class Reader(HTMLParser):
    """The addresses that a page loads, and those that it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.scripts: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self.words: list[str] = []
        self.policy = ""
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self._within = tag
        self.loaded += [values[name] for name in LOADED.get(tag, ()) if values.get(name)]
        if tag == "script":
            self.scripts.append(values.get("src") or "")
        if tag == "a":
            self.links.append(values["href"])
        if "http-equiv" in values:
            self.policy = values["content"]
        self.inline += [name for name in values if name.startswith("on") or name == "style"]
        for name in ("data-scenes", "data-claims", "data-maps"):
            self.loaded += [
                "@" + path for path in re.findall(r'"((?:scenes|claims|maps)/[^"]+)"', values.get(name) or "")
            ]

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        if self._within in ("script", "style") and data.strip():
            self.inline.append(self._within)
        self.words.append(data)


def here(path: str, address: str) -> str:
    """The file that an address on a page leads to, seen from the root of the site."""
    if address.startswith("@"):  # a script of data, which pages name from the root
        return address[1:]
    return normpath(join(dirname(path), urlsplit(address).path)) if urlsplit(address).path else path


def is_outside(address: str) -> bool:
    return bool(urlsplit(address).scheme or urlsplit(address).netloc)


def pages(files: Mapping[str, bytes]) -> Iterator[tuple[str, Reader]]:
    """The pages among the files, read."""
    for path, content in files.items():
        if path.endswith(".html"):
            yield path, Reader(content.decode())


def loads_at_once(path: str, files: Mapping[str, bytes]) -> int:
    """Bytes of a page and of the scripts and styles that it names in its head."""
    read = Reader(files[path].decode())
    names = {here(path, address) for address in read.loaded if not address.startswith("@")}
    return len(files[path]) + sum(len(files[name]) for name in names if name.endswith((".js", ".css")))


def check_site(files: Mapping[str, bytes], *, lab: str, largest: int) -> None:
    """What holds for every page: it works from a file, asks nobody, leads somewhere, and stays small."""
    for path, page in pages(files):
        for address in page.loaded:
            assert not is_outside(address), (path, address)
            assert here(path, address) in files, (path, address)
        for address in page.links:
            if not is_outside(address):
                assert here(path, address) in files, (path, address)
            else:
                assert address.startswith((lab, "https://")), (path, address)
        assert "default-src 'none'" in page.policy, path
        assert "unsafe-inline" not in page.policy, path
        assert "'unsafe-eval'" not in page.policy, path
        assert not page.inline, (path, page.inline)
        assert loads_at_once(path, files) <= largest, (path, loads_at_once(path, files))
    for path, content in files.items():
        if path.endswith(".css"):
            assert not re.search(rb"url\(|@import", content), path
