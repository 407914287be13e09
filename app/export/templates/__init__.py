"""What the lab writes, from templates: every value in them is quoted for where it stands.

In a program a value is a literal, in a page it is text; what is code or HTML already says so by its type.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.export.notebook import NotebookCell
from app.quoting import Code, in_html, keywords, literal

_SHARED: dict[str, Any] = {
    "loader": FileSystemLoader(Path(__file__).parents[2]),
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
    "keep_trailing_newline": True,
}
_PYTHON = Environment(finalize=literal, autoescape=False, **_SHARED)  # noqa: S701  a literal needs no more
_HTML = Environment(finalize=in_html, autoescape=True, **_SHARED)


def _arguments(values: Mapping[str, Any]) -> Code:
    return Code(", ".join(keywords(values)))


def _argument_list(values: Mapping[str, Any]) -> list[Code]:
    return list(map(Code, keywords(values)))


_PYTHON.filters.update(arguments=_arguments, argument_list=_argument_list)


def program(template: str, **values: Any) -> str:
    """Python from a template of this application, whose values are literals, but for :class:`Code`."""
    return _PYTHON.get_template(template).render(values).removesuffix("\n")


def cells(template: str, **values: Any) -> list[NotebookCell]:
    """The cells of a program: what its template writes in each `{% call cell("words") %}`."""
    made: list[NotebookCell] = []

    def cell(words: str, caller: Any) -> str:
        made.append(NotebookCell(words, caller().strip("\n")))
        return ""

    _PYTHON.get_template(template).render(values, cell=cell)
    return made


def html(template: str, **values: Any) -> Markup:
    """HTML or SVG from a template of this application, whose values are text, but for `Markup`."""
    return Markup(_HTML.get_template(template).render(values))  # noqa: S704  the template has escaped its values
