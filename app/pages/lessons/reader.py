"""The reader of lesson files: Markdown with a head and typed blocks, validated part by part.

A file holds a head between two lines `---` in YAML (:class:`Head`), then steps. A step begins with `## Title` and holds
Markdown and, each at most once, fenced blocks in YAML: `figure` and `reveal` (a :data:`Figure`), `question`
(:class:`Prediction`) and `try` (:class:`Link`). Numbers are never written in the text: `{{name}}` stands for one that
the head takes from a shipped result. A file is trusted with nothing: what does not fit is refused in a sentence that
names the file and the line, aliases and tags of YAML included, and no HTML of it is ever executed.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from app.pages.lessons.model import Figure, Head, Lesson, LessonPart, Link, Prediction, Ratio, Step, figures_of
from cmcore.files import BadFile, read_plain

LARGEST = 64_000
"""Bytes of a lesson file."""
MOST_IN_HEAD, MOST_IN_BLOCK, LONGEST_VALUE = 2_000, 64, 2_000
"""Values, names and lists in a block of YAML, and characters of one: they are read one by one, and slowly."""
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_BLOCKS = ("figure", "reveal", "question", "try")
_FENCE = re.compile(r"```(\w+)\s*")
_PICTURE = re.compile(r"!\[")


class BadLesson(ValueError):
    """A lesson file that cannot be shown; the message names the file, the line, and what to change."""


def read_lesson_file(path: Path) -> Lesson:
    """The lesson of a file. Raises :class:`BadLesson` with one sentence."""
    try:
        text = read_plain(path, LARGEST).decode()
    except UnicodeDecodeError:
        raise BadLesson(f"{path.name} is not text in UTF-8.") from None
    except BadFile as problem:
        words = str(problem).replace(str(path), path.name)  # a visitor needs no path of the server
        raise BadLesson(f"{words} A lesson is a short text.") from None
    except OSError as problem:
        raise BadLesson(f"{path.name} cannot be read: {problem.strerror}.") from None
    return read_lesson(text, path.name)


def read_lesson(text: str, file: str) -> Lesson:
    """The lesson in a text. Raises :class:`BadLesson` with one sentence that names the file and a line."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise BadLesson(f"{file} is larger than {LARGEST // 1000} kB, and a lesson is not.")
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in lines[1:]:
        raise BadLesson(f"{file}, line 1: a lesson begins with a head between two lines ---.")
    end = lines.index("---", 1)
    head = _block(Head, "\n".join(lines[1:end]), file, 2)
    parts = list(_split(lines, end + 1, file))
    if not 2 <= len(parts) <= 20:
        raise BadLesson(f"{file}, line {end + 1}: a lesson has 2 to 20 steps, each under a line ## Title.")
    steps = tuple(_step(title, body, line, file) for title, body, line in parts)
    _placeholders(head, steps, file)
    picture = head.picture or next((figure for step in steps for figure in figures_of(step)), None)
    if picture is None:
        raise BadLesson(f"{file}, line {end + 1}: a lesson has at least one figure.")
    slug = re.sub(r"^\d+-", "", file.removesuffix(".md"))
    if not re.fullmatch(r"[a-z0-9-]{1,60}", slug):
        raise BadLesson(f"{file}: a lesson's file is called 3-some-words.md, in small letters.")
    return Lesson(
        slug, file, head.title, head.summary, head.minutes, steps, picture, head.numbers, head.claims
    )  # fmt: skip


def _split(lines: list[str], start: int, file: str) -> Iterator[tuple[str, list[str], int]]:
    """Title, lines and line number of every step."""
    title, body, began = None, [], 0
    for number, line in enumerate(lines[start:], start + 1):
        if line.startswith("## "):
            if title is not None:
                yield title, body, began
            title, body, began = line[3:].strip(), [], number
        elif title is not None:
            body.append(line)
        elif line.strip():
            raise BadLesson(f"{file}, line {number}: text stands before the first step; begin with ## Title.")
    if title is not None:
        yield title, body, began


def _step(title: str, body: list[str], line: int, file: str) -> Step:
    if not 0 < len(title) <= 120:
        raise BadLesson(f"{file}, line {line}: a step has a title of 1 to 120 characters.")
    text, blocks = [], {}
    at = 0
    while at < len(body):
        opened = _FENCE.fullmatch(body[at].rstrip())
        if opened is None:
            text.append(body[at])
            at += 1
            continue
        kind, first = opened[1], at + 1
        closed = next((i for i in range(first, len(body)) if body[i].strip() == "```"), None)
        if closed is None:
            raise BadLesson(f"{file}, line {line + at + 1}: the block “{kind[:20]}” is not closed by ```.")
        if kind not in _BLOCKS or kind in blocks:
            why = "stands twice in this step" if kind in blocks else f"is none of {', '.join(_BLOCKS)}"
            raise BadLesson(f"{file}, line {line + at + 1}: the block “{kind[:20]}” {why}.")
        blocks[kind] = ("\n".join(body[first:closed]), line + first + 1)
        at = closed + 1
    return _assembled(title, "\n".join(text).strip(), blocks, line, file)


def _assembled(title: str, text: str, blocks: Mapping[str, tuple[str, int]], line: int, file: str) -> Step:
    if not text or len(text) > 4_000:
        raise BadLesson(f"{file}, line {line}: a step has 1 to 4,000 characters of text; this one has {len(text)}.")
    if _PICTURE.search(text):
        raise BadLesson(f"{file}, line {line}: pictures come from figure blocks, not from ![…](…).")
    read = {kind: _block(_READERS[kind], *block[:1], file, block[1]) for kind, block in blocks.items()}
    if ("question" in read) != ("reveal" in read):
        raise BadLesson(f"{file}, line {line}: a question and the figure that reveals its answer come together.")
    figures = {kind: read[kind].figure for kind in ("figure", "reveal") if kind in read}
    return Step(title, text, line, question=read.get("question"), onward=read.get("try"), **figures)


class _Figured(LessonPart):
    figure: Figure


_READERS: Mapping[str, type[LessonPart]] = {"figure": _Figured, "reveal": _Figured, "question": Prediction, "try": Link}


# ---- YAML -----------------------------------------------------------------------------------------------------------
class _Refused(yaml.YAMLError):
    """An alias, a tag, or depth without end."""

    def __init__(self, why: str, line: int) -> None:
        super().__init__(why)
        self.why, self.line = why, line


class _Loader(yaml.SafeLoader):
    """Plain values alone: an alias could make a small file endless, and a tag asks for a type of its own."""

    def __init__(self, text: str, most: int) -> None:
        super().__init__(text)
        self.depth, self.left = 0, most

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        line = event.start_mark.line
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused("YAML's anchors & and aliases * are not read", line)
        if getattr(event, "tag", None) is not None:
            raise _Refused("YAML's tags ! are not read", line)
        self.depth += 1
        if self.depth > 12:
            raise _Refused("this is nested too deeply", line)
        self.left -= 1
        if self.left < 0:
            raise _Refused("this holds more values than such a block has", line)
        node = super().compose_node(parent, index)
        if isinstance(node, ScalarNode) and len(node.value) > LONGEST_VALUE:
            raise _Refused(f"this is longer than {LONGEST_VALUE:,} characters", line)
        self.depth -= 1
        return node


def _block(kind: type[LessonPart], text: str, file: str, first: int) -> Any:
    """A block of YAML as a validated value; `first` is the line of the file on which it begins."""
    loader = None
    try:
        loader = _Loader(text, MOST_IN_HEAD if kind is Head else MOST_IN_BLOCK)
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except _Refused as problem:
        raise BadLesson(f"{file}, line {first + problem.line}: {problem.why}.") from None
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = first + (mark.line if mark else 0)
        raise BadLesson(f"{file}, line {where}: this is not YAML: {problem.problem or problem.context}.") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as problem:
        raise BadLesson(f"{file}, line {first}: this is not YAML: {str(problem).splitlines()[0][:200]}.") from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(value, dict):
        raise BadLesson(f"{file}, line {first}: a block holds lines of the form name: value.")
    return _validated(kind, value, node, file, first)


def _validated(kind: type[LessonPart], value: dict[Any, Any], node: Node | None, file: str, first: int) -> Any:
    figured = kind is _Figured
    try:
        return kind.model_validate({"figure": value} if figured else value)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        loc = _untagged(error["loc"])[1:] if figured else _untagged(error["loc"])
        where = ".".join(str(part)[:40] for part in loc)
        words = str(error["msg"]).removeprefix("Value error, ")
        about = f"{where}: " if where else ""
        raise BadLesson(f"{file}, line {first + _line(node, loc)}: {about}{words[:1].lower()}{words[1:]}.") from None


def _untagged(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where the error is, without the word by which pydantic tells figures, or numbers, apart."""
    tag = {"figure": 1, "picture": 1, "numbers": 2}.get(str(loc[0]) if loc else "", len(loc))
    return loc[:tag] + loc[tag + 1 :]


def _line(node: Node | None, loc: tuple[int | str, ...]) -> int:
    """The line on which the value at `loc` stands, as near as the file says."""
    at = node.start_mark.line if node is not None else 0
    for part in loc:
        if isinstance(node, MappingNode):
            inner = [(k, v) for k, v in node.value if getattr(k, "value", None) == str(part)]
            if inner:
                at, node = inner[0][0].start_mark.line, inner[0][1]
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            inner = node.value[part]
            at, node = inner.start_mark.line, inner
    return at


# ---- numbers in the text --------------------------------------------------------------------------------------------
def _placeholders(head: Head, steps: tuple[Step, ...], file: str) -> None:
    """Every number in the text is known, and every known number is used."""
    used = {name for claim in head.claims for name in (claim.less, claim.than) if isinstance(name, str)}
    used |= {name for number in head.numbers.values() if isinstance(number, Ratio) for name in number.over}
    for step in steps:
        asked = (step.question.ask, *step.question.choices, step.question.why) if step.question else ()
        for text in (step.title, step.text, *asked):
            names = set(PLACEHOLDER.findall(text))
            unknown = sorted(names - set(head.numbers))
            if unknown:
                raise BadLesson(f"{file}, line {step.line}: the number {{{{{unknown[0][:40]}}}}} is not in the head.")
            used |= names
    missing = sorted(used - set(head.numbers))
    if missing:
        raise BadLesson(f"{file}, line 1: the number “{missing[0][:40]}” is used in the head and not defined there.")
    unused = sorted(set(head.numbers) - used)
    if unused:
        raise BadLesson(f"{file}, line 1: the number “{unused[0]}” is defined and not used.")
    for name, number in head.numbers.items():
        if isinstance(number, Ratio) and any(isinstance(head.numbers[part], Ratio) for part in number.over):
            raise BadLesson(f"{file}, line 1: the ratio “{name}” is made of ratios; make it of plain numbers.")
