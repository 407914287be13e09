"""How a command ends: with a result, or with one sentence and an exit code."""

import json
import math
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

import click

from cmcore.json_input import BadJSON, parse_json

INTERRUPTED = 130
LARGEST_VALUE = 1 << 16
"""Bytes of a parameter's value that is read as JSON."""


_STEERING = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move a terminal's cursor, colour it, turn the direction of writing, or are no characters at all."""


def printable(text: str) -> str:
    """The text for a terminal: of names and sentences from outside such characters are written as JSON escapes them."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print the text, to standard error with `err`; all that a command says goes through here."""
    click.echo(printable(text), err=err, nl=nl)


class _Ended(click.ClickException):
    """A command that ends with a sentence."""

    def format_message(self) -> str:
        """The sentence as it is printed."""
        return printable(self.message)


class Failed(_Ended):
    """The error for work that was done as asked and did not succeed."""

    exit_code = 1


class BadInput(_Ended):
    """The error for a request that cannot be carried out."""

    exit_code = 2


class OneSentence(click.Group):
    """A group of commands in which whatever goes wrong is said in one sentence on standard error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; ValueError and OSError are the caller's to mend, RuntimeError is ours to report."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of a pipe has gone; click ends quietly
        except (ValueError, OSError) as error:
            raise BadInput(_sentence(error)) from error
        except (RuntimeError, ArithmeticError, MemoryError) as error:
            if isinstance(error, click.exceptions.Exit):
                raise
            raise Failed(_sentence(error)) from error
        except KeyboardInterrupt:
            say("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


def _sentence(error: Exception) -> str:
    """The error's own sentence; a config's errors name the field."""
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        problems: Callable[[], list[Mapping[str, Any]]] = getattr(error, "errors")  # noqa: B009  pydantic loads late
        return "; ".join(_problem(**problem) for problem in problems())
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _problem(*, loc: Sequence[str | int], msg: str, **_: Any) -> str:
    field = " ".join(str(part) for part in loc).replace("_", " ")
    message = msg.removeprefix("Value error, ")
    return f"{field}: {message}" if field else message


@contextmanager
def ctrl_c() -> Iterator[Event]:
    """While inside, a first Ctrl-C sets the event, for the loop to end at a sound place; a second one interrupts."""
    asked = Event()

    def ask(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs as a dictionary; a value is JSON where it can be, else a string."""
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise BadInput(f"A parameter is written NAME=VALUE; got {pair!r}.")
        try:
            parameters[name.replace("-", "_")] = parse_json(value, largest=LARGEST_VALUE, most_values=64)
        except BadJSON:
            parameters[name.replace("-", "_")] = value
    return parameters


def figures(value: float, what: str) -> str:
    """A clause, such as ", loss 0.012", to three figures; nothing where there is no number."""
    return f", {what} {value:.3g}" if math.isfinite(value) else ""


def write_json(value: Any) -> None:
    """One JSON value on standard output; what JSON cannot say (NaN, infinity) becomes null."""
    say(json.dumps(_finite(value), indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Columns aligned for reading: the first `left` ones to the left, the others to the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join(line(cells) for cells in (head, *rows))
