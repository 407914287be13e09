"""JSON from outside: read within bounds that are looked at before anything is made of the text.

A few kilobytes of JSON can become a hundred megabytes of objects, or nest deeper than Python recurses; and text may
hold halves of characters, which no file can be written with. Each of these is refused here, so that what comes after
meets ordinary values alone.
"""

import json
import re
from itertools import accumulate
from typing import Any, NoReturn

DEEPEST = 32
LONGEST_NUMBER = 400
"""Digits: more are no number that a double holds, and long ones take long to read."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (LONGEST_NUMBER + 1))
_HALF = re.compile("[\ud800-\udfff]")
_BRACKETS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))


class BadJSON(ValueError):
    """Text that is not such JSON; the message goes on a sentence that begins with its name, "is not valid JSON"."""


def parse_json(
    content: bytes | str,
    *,
    largest: int,
    most_values: int,
    most_lists: int | None = None,
    most_words: int | None = None,
    deepest: int = DEEPEST,
) -> Any:
    """The value of a JSON text.

    Args:
        content: the text, or its UTF-8.
        largest: bytes it may have.
        most_values: numbers, words, lists and objects it may hold.
        most_lists: lists and objects among these, which cost far more than numbers; None: all of them.
        most_words: words among these; None: all of them.
        deepest: how many lists and objects may lie in one another.

    Raises:
        BadJSON: for everything else: other text, a name that an object has twice, halves of characters.
    """
    try:
        text = content.encode() if isinstance(content, str) else content
        if len(text) > largest:
            raise BadJSON(f"is larger than {_size(largest)}")
        lists, words = (most_values if most is None else most for most in (most_lists, most_words))
        _check_bounds(text, most_values, lists, words, deepest)
        value = json.loads(text.decode(), object_pairs_hook=_object)
    except BadJSON:
        raise
    except (ValueError, RecursionError):  # not UTF-8, or not JSON
        raise BadJSON("is not valid JSON") from None
    if b"\\u" in text:
        _check_characters(value)
    return value


def _check_bounds(text: bytes, most_values: int, most_lists: int, most_words: int, deepest: int) -> None:
    """That few values are in the text, and not deep in one another, before any of them is made."""
    if text.count(b'"') > 8 * most_words + 64:  # two strings a value, and some quotes within them
        raise BadJSON(f"holds more than {most_words:,} words")
    outside = _STRING.sub(b"", text)
    lists = outside.count(b"[") + outside.count(b"{")
    if lists + outside.count(b",") > most_values:
        raise BadJSON(f"holds more than {most_values:,} values")
    if lists > most_lists:
        raise BadJSON(f"holds more than {most_lists:,} lists and objects")
    if _LONG_NUMBER.search(outside):
        raise BadJSON(f"holds a number of more than {LONGEST_NUMBER} digits")
    brackets = outside.translate(None, delete=_NO_BRACKETS)
    if max(accumulate(map(_BRACKETS.__getitem__, brackets)), default=0) > deepest:
        raise BadJSON(f"is nested more than {deepest} deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        _refuse_twins([name for name, _ in pairs])
    return made


def _refuse_twins(names: list[str]) -> NoReturn:
    seen: set[str] = set()
    twin = next(name for name in names if name in seen or seen.add(name))
    raise BadJSON(f"names {twin[:40]!a} twice")


def _check_characters(value: Any) -> None:
    """No half of a character in any word or name."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and _HALF.search(value):
            raise BadJSON("holds half a character, a surrogate without its other half")


def _size(count: int) -> str:
    return f"{count >> 20:,} MB" if count >= 1 << 20 else f"{count:,} bytes"
