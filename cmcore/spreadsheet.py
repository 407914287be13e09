"""Tables as CSV that a spreadsheet reads as data: no name in a cell begins a formula there."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

_BREAKS = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Controls, which a reader may take for the end of a row, and halves of characters."""
FORMULA = frozenset("=+-@＝＋－＠")
"""With one of these a spreadsheet takes a cell for a formula; some take the wide ones for the others."""
_PARTED = re.compile(r";(?=\s*[=+\-@＝＋－＠])")
"""Where a spreadsheet that parts cells by semicolons, as in much of Europe, would begin a cell with a formula."""


def as_csv(header: Sequence[Any], rows: Iterable[Iterable[Any]]) -> str:
    """The table as CSV, every name in it quoted by :func:`cell`; numbers keep every digit."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(cell, header))
    writer.writerows(map(cell, row) for row in rows)
    return out.getvalue()


def cell(value: Any) -> Any:
    """The value as it may stand in a spreadsheet: text that would be a formula begins with an apostrophe.

    So does what follows a semicolon. Numbers stay, as text too: −1.5 is no formula.
    """
    if not isinstance(value, str):
        return value
    text = _PARTED.sub(";'", _BREAKS.sub(" ", value))
    return f"'{text}" if text.lstrip()[:1] in FORMULA and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
