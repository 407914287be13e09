"""How the parts of a link are read: a value that fits, or a sentence on what does not."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app import state

PARAMETER = "o."
"""Before the name of an objective's or a question's own parameter, in a link."""
MOST_NAMES = 128
"""Runs, or baselines, in one parameter."""


def read_link() -> tuple[dict[str, str], list[str]]:
    """The parameters of the address that are short enough to be read, and a sentence where some are not."""
    asked, left_out = state.link(), state.left_out_of_link()
    if not left_out:
        return asked, []
    most, longest = state.MOST_PARAMETERS, state.LONGEST_PARAMETER
    parts = "1 part" if left_out == 1 else f"{left_out:,} parts"
    words = f"{parts} of this link could not be read: it may have {most} parts of {longest:,} characters each."
    return asked, [f"{words} The default is shown."]


def names_in(text: str, noun: str) -> list[str]:
    """The names in one parameter, each once; ValueError says in a clause that they are too many."""
    if text.count(",") >= MOST_NAMES:
        raise ValueError(f"it names more than {MOST_NAMES} times {noun}")
    return list(dict.fromkeys(part for part in text.split(",") if part))


def one_of(choices: Callable[[], Iterable[Any]], noun: str) -> Callable[[str], Any]:
    """A reader of one name among the `choices`."""
    return lambda text: _named({str(name): name for name in choices()}, noun, text)


def between(low: float, high: float, name: str) -> Callable[[str], float]:
    """A reader of a number from `low` to `high`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"it asks for {name} = {text[:20]}, and {name} lies between {low:g} and {high:g}")
        return value

    return read


def whole(low: int, high: int, name: str) -> Callable[[str], int]:
    """A reader of a whole number from `low` to `high`."""
    return lambda text: int(between(low, high, name)(text))


read_seed = whole(0, 2**31 - 1, "the seed")


def several_of(choices: Callable[[], Iterable[Any]], noun: str) -> Callable[[str], list[Any]]:
    """A reader of names among the `choices`, with commas in between."""

    def read(text: str) -> list[Any]:
        names = {str(name): name for name in choices()}
        return [_named(names, noun, part) for part in names_in(text, noun)]

    return read


def _named(names: Mapping[str, Any], noun: str, text: str) -> Any:
    if text not in names:
        shown = ", ".join(list(names)[:8])
        raise ValueError(f"it asks for {noun} “{text[:40]}”, and there is {shown}")
    return names[text]
