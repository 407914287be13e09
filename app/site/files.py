"""The files of a static site: pages, and what several pages share, each once under a name with its hash."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from app.export.templates import html
from app.runs.run import Run

HERE = Path(__file__).parent
NAVIGATION = (
    ("explore", "Explore", "index.html"),
    ("lessons", "Lessons", "lessons.html"),
    ("kl", "KL", "kl.html"),
    ("scaling", "Scaling", "scaling.html"),
)
"""As in the lab, of whose pages these need no server."""
POLICY = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "worker-src 'self' blob:; base-uri 'none'; form-action 'none'"
)
"""The content policy of every page: scripts and styles are files of the site, or what these make, and nothing is asked
of anybody else. What draws is a worker made of a blob: a page opened from a file can start no other."""


LARGEST_PAGE = 1_500_000
"""Bytes of a page with all that it loads at once, above which the command says so."""


class SiteError(ValueError):
    """A site that cannot be written; the message is a sentence."""


@dataclass
class Site:
    """What the pages are made of, and the files that they share so far.

    Attributes:
        runs: by key, in the order of the pages; the site opens on the first.
        lab: the address of a lab that has a server, for what a static page cannot do.
        version: of the lab that wrote the site.
        warn: is told, in a sentence, of what could not be shown as the lab shows it.
        frame: the paths of the style and the scripts that every page needs.
        pictures: the scripts of every stage so far, by what it shows.
        shared: content by path from the site's root, of files that are still to be written.
        sizes: bytes of every shared file so far.
    """

    runs: Mapping[str, Run]
    lab: str
    version: str
    warn: Callable[[str], None]
    frame: Mapping[str, str] = field(default_factory=dict)
    pictures: dict[Any, Any] = field(default_factory=dict)
    shared: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def share(self, folder: str, name: str, content: str | bytes) -> str:
        """The path of a file with this content; equal contents are one file."""
        data = content.encode() if isinstance(content, str) else content
        stem, _, ending = name.rpartition(".")
        path = f"{folder}/{stem}-{hashlib.sha256(data).hexdigest()[:12]}.{ending}"
        self.shared[path], self.sizes[path] = data, len(data)
        return path

    def picture(self, name: str, uri: str) -> str:
        """The path of a picture that comes as a data URI of SVG."""
        return self.share("pictures", f"{name}.svg", base64.b64decode(uri.partition(",")[2]))

    def script(self, folder: str, name: str, *values: Any) -> str:
        """The path of a script that hands these values to the page: data that can be loaded from a file, too."""
        content = f"labData({','.join(json.dumps(value) for value in values)});\n"
        return self.share(folder, f"{name}.js", content)

    def taken(self) -> Iterator[tuple[str, bytes]]:
        """The shared files that have come since the last call."""
        written, self.shared = self.shared, {}
        yield from written.items()

    def in_lab(self, page: str, parameters: Mapping[str, object] | None = None) -> str:
        """The address in the lab of a page with these parameters."""
        query = urlencode({name: str(value) for name, value in (parameters or {}).items()})
        return f"{self.lab}/{page}{'?' if query else ''}{query}"

    def page(
        self,
        path: str,
        template: str,
        *,
        part: str,
        title: str,
        lab: str,
        about: str = "",
        scenes: Sequence[str] = (),
        **values: Any,
    ) -> tuple[str, bytes]:
        """A page by its path and content.

        Args:
            template: its name in this folder's `templates`.
            part: the entry of the navigation that it belongs to.
            title, about: of the page, for a browser's tab and for a search.
            lab: the address of the same in the lab.
            scenes: scripts that its pictures need at once.
            values: of the template.
        """
        content = html(
            f"site/templates/{template}.html.jinja",
            root="../" * path.count("/"),
            path=path,
            part=part,
            title=title,
            about=about,
            lab=lab,
            lab_root=self.lab,
            version=self.version,
            navigation=NAVIGATION,
            policy=POLICY,
            scenes=list(dict.fromkeys(scenes)),
            frame=self.frame,
            **values,
        )
        data = content.encode()
        size = len(data) + sum(self.sizes.get(name, 0) for name in {*self.frame.values(), *scenes})
        if size > LARGEST_PAGE:
            self.warn(
                f"{path} takes {size / 1e6:.1f} MB with what it loads at once; pages here are meant to stay below 1.5."
            )
        return path, data


def trusted(content: str) -> Markup:
    """HTML that this application has made, in which names of outside are escaped already."""
    return Markup(content)  # noqa: S704
