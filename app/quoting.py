"""Text of outside — a file's name, a column, what a run is called, a link — quoted for where it stands.

One function for each place, so that a name is only ever a name: in Python, Markdown, HTML, a plotly figure, and the
name of a file. Cells of CSV are quoted by :mod:`cmcore.spreadsheet`.
"""

import html
import keyword
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

_RECOGNISED = re.compile(r":(?=\S)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)
"""Inside what Markdown takes for an address or an icon after its escapes are resolved: https://, www., a@b, :name:."""
_JOINER = "\u2060"
"""Takes no room on the page, and parts for a program what it stands in."""
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>()#+!|~$:&]|^[-=]")
_IN_NO_HTML = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Controls, and halves of characters."""


# ---- for people -------------------------------------------------------------------------------------------------
def one_line(text: str, longest: int | None = None) -> str:
    """The text as a name: printable characters in one line, at most `longest` of them."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if longest is None else line[:longest].rstrip()


def plain(text: str) -> str:
    """Text for a widget or a notebook that reads Markdown, shown as it is: no link, image, icon or formula."""
    line = _MARKDOWN.sub(r"\\\g<0>", _RECOGNISED.sub(rf"\g<0>{_JOINER}", one_line(text)))
    return re.sub(r"^(\d+)\.", r"\1\.", line)


def named_picture(name: str, address: str) -> str:
    """A picture in Streamlit's markdown that is called `name`, read aloud and shown under the pointer."""
    title = plain(name).replace("'", r"\'")
    return f"![{plain(name)}]({address} '{title}')"


def escape(text: str) -> str:
    """Text for HTML and SVG, between tags or in a quoted attribute."""
    return html.escape(_IN_NO_HTML.sub(" ", text), quote=True)


def in_figure(text: str) -> str:
    """Text for plotly, which reads some HTML, links among it, and takes %{…} for a place to fill in."""
    return escape(text).replace("{", "&#123;").replace("$", "&#36;")


def file_stem(text: str, longest: int = 80) -> str:
    """A file's name without its ending, of Latin letters, digits, "_" and "-" alone."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:longest].strip("_-") or "run"


def in_html(value: Any) -> Any:
    """A value for a template of HTML, which escapes it: HTML as it is, anything else as text without controls."""
    return value if hasattr(value, "__html__") else _IN_NO_HTML.sub(" ", str(value))


# ---- Python -----------------------------------------------------------------------------------------------------
class Code(str):
    """A piece of Python, which stands in a program as it is."""

    __slots__ = ()


def literal(value: Any) -> str:
    """The value as Python writes it, for values that JSON has, tuples and code; anything else raises TypeError."""
    if isinstance(value, Code):
        return value
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else f"float({str(float(value))!r})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(name)}: {literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    raise TypeError(f"{type(value).__name__} has no literal.")


def call(function: str, arguments: Iterable[Any], settings: Mapping[str, Any]) -> Code:
    """A call of the function with these arguments, those of settings by name."""
    return Code(f"{function}({', '.join([*map(literal, arguments), *keywords(settings)])})")


def keywords(values: Mapping[str, Any]) -> list[str]:
    """Arguments of a call, name=value; a name that Python does not allow goes in a dictionary."""
    return [
        f"{name}={literal(value)}"
        if name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
        else f"**{literal({name: value})}"
        for name, value in values.items()
    ]


def comment(text: str) -> str:
    """The text as lines of comment."""
    return "\n".join(f"# {one_line(line)}".rstrip() for line in text.splitlines() or [""])


def docstring(text: str) -> str:
    """The text as a docstring, line for line."""
    return f'"""{"".join(map(_in_docstring, text))}"""'


def _in_docstring(c: str) -> str:
    if c in '\\"':
        return f"\\{c}"
    if "\ud800" <= c <= "\udfff":  # half a character, which Python 3.13 compiles in no docstring
        return "\ufffd"
    return c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode()
