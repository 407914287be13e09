"""The text of a lesson as HTML: Markdown as the lab writes it, formulas as MathML, and nothing of it executed."""

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup

from app.quoting import escape
from app.site.tex import Unset, mathml

Warn = Callable[[str], None]


def as_html(text: str, warn: Warn = lambda words: None) -> Markup:
    """Markdown as HTML; `warn` is told of every formula that stays as it is written."""
    return Markup(_MARKDOWN.render(text, {"warn": warn}))  # noqa: S704  Markdown with its own HTML escaped


def in_line(text: str, warn: Warn = lambda words: None) -> Markup:
    """The same for a title, a question or a choice: words within a line."""
    return Markup(_MARKDOWN.renderInline(text, {"warn": warn}))  # noqa: S704


def _formula(state: StateInline, silent: bool) -> bool:
    """$…$ within a line and $$…$$ alone, as the lab reads them; a price keeps its sign."""
    source, start = state.src, state.pos
    if source[start] != "$":
        return False
    mark = "$$" if source.startswith("$$", start) else "$"
    first = start + len(mark)
    end = source.find(mark, first)
    tex = source[first:end]
    if end < 0 or not tex.strip() or (mark == "$" and (tex[0].isspace() or tex[-1].isspace())):
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content, token.markup = tex, mark
    state.pos = end + len(mark)
    return True


def _set(_: RendererProtocol, tokens: Sequence[Token], i: int, options: Any, env: MutableMapping[str, Any]) -> str:
    token = tokens[i]
    try:
        return mathml(token.content, alone=token.markup == "$$")
    except Unset as problem:
        env["warn"](f"The formula {token.content!r} stays as it is written: {problem} is not set here.")
        return f"<code>{escape(token.content)}</code>"


def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    made.inline.ruler.before("escape", "formula", _formula)
    made.add_render_rule("formula", _set)
    return made


_MARKDOWN = _markdown()
