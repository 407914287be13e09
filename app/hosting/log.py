"""The log of a shared server: whoever sends what cannot be used writes lines into it, and not pages.

The first traceback of an error is written, up to a length; the same one later is a line with its count.
"""

import logging
import traceback
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType

MOST_WORDS, MOST_TRACEBACK = 500, 6_000
MOST_ERRORS = 256
"""Errors that are remembered; one that was forgotten is written whole again."""

Make = Callable[..., logging.LogRecord]


def keep_log_brief() -> None:
    """Make every record of this process brief."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, Brief):
        logging.setLogRecordFactory(Brief(make))


class Brief:
    """Makes log records as `make` does, with a bounded message in one line and each traceback once."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._times: OrderedDict[tuple, int] = OrderedDict()

    def __call__(self, *args: object, **keywords: object) -> logging.LogRecord:
        record = self._make(*args, **keywords)
        words = _one_line(_message(record))
        error = record.exc_info[1] if record.exc_info else None
        record.exc_info = None
        if error is not None:
            times = self._count(error)
            words += f": {type(error).__name__}: {_one_line(str(error))}"
            words += f" ({times} times)" if times > 1 else ""
            if times == 1:
                record.exc_text = _indented("".join(traceback.format_exception(error)))
        record.msg, record.args = words, ()
        return record

    def _count(self, error: BaseException) -> int:
        """How often this error has been seen, by its kind and the place where it was raised."""
        key = type(error), *_place(error.__traceback__)
        times = self._times.pop(key, 0) + 1
        self._times[key] = times
        if len(self._times) > MOST_ERRORS:
            self._times.popitem(last=False)
        return times


def _place(trace: TracebackType | None) -> tuple[str, int]:
    """The file and the line where an error was raised."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else ("", 0)


def _message(record: logging.LogRecord) -> str:
    """The words of a record; where its arguments do not fit them, which logging would say on its own, without these."""
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)


def _one_line(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text[: 2 * MOST_WORDS])
    return _shortened(shown, MOST_WORDS)


def _indented(trace: str) -> str:
    """A traceback whose lines begin no record, whatever the words of its error are."""
    lines = _shortened(trace, MOST_TRACEBACK).splitlines()
    return "\n".join("  " + "".join(c if c.isprintable() else " " for c in line) for line in lines)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} […] {text[-most // 2 :]}"
