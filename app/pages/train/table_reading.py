"""A table read, and a law fitted to its rows, in the background: nothing of that is done in the page's thread.

The session keeps what was read last: the file that is uploaded, and a few laws, so that a choice can be taken back at
once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.background.pools import table_workers
from app.background.task import Report, Task
from cmcore.targets.files import TableFile
from cmcore.targets.table_fit import fit_table
from cmcore.targets.table_target import TableTarget
from cmcore.targets.tables import opening_table, reading_numbers, real_table

MOST_VALUES = 2_000_000
"""Of the chosen columns, 16 MB; of a longer table one row in a few is read."""
FITTING = "Fitting a law to the rows."


@dataclass(frozen=True)
class Fitted:
    """A table as a target, and the mean log-likelihood, in nats, of the rows that were kept out of the fit."""

    target: TableTarget
    held_out_log_likelihood: float


OPENING: Task[TableFile] = Task("table opening", table_workers, resumes=False)
FITS: Task[Fitted] = Task("table fit", table_workers, size=4, resumes=False)


def opened(key: str, content: bytes, settings: Mapping[str, Any]) -> TableFile | None:
    """What an uploaded file holds; None while it is being read. Raises ValueError where it is no table."""
    return OPENING.get(key, partial(_open, content, dict(settings)))


def fitted(key: str, table: TableFile, columns: Sequence[str], *, drop_missing: bool, **fit: Any) -> Fitted | None:
    """The law of the chosen columns, with settings of `fit_table`; None while it is being fitted."""
    return FITS.get(key, partial(_fit, table, tuple(columns), drop_missing, fit))


def shipped(key: str, name: str, **fit: Any) -> Fitted | None:
    """The law of a table that comes with the lab; None while it is being fitted."""
    return FITS.get(key, partial(_fit_shipped, name, fit))


def forget_table() -> None:
    """End the reading of an uploaded file that is gone, and forget what it held."""
    OPENING.forget()
    FITS.end()


# ---- the work ---------------------------------------------------------------------------------------------------
def _open(content: bytes, settings: dict[str, Any], report: Report[TableFile]) -> TableFile:
    return report.follow(opening_table(content, **settings), "Reading the table.")


def _fit(
    table: TableFile, columns: tuple[str, ...], drop_missing: bool, fit: dict[str, Any], report: Report[Fitted]
) -> Fitted:
    steps = reading_numbers(table, columns, drop_missing=drop_missing, most_values=MOST_VALUES)
    values, chosen, notes = report.follow(steps, "Reading the chosen columns.")
    report(1.0, FITTING)
    target = fit_table(values, columns=chosen, notes=notes, **fit)
    return Fitted(target, target.held_out_log_likelihood())


def _fit_shipped(name: str, fit: dict[str, Any], report: Report[Fitted]) -> Fitted:
    report(0.0, FITTING)
    target = real_table(name, **fit)
    return Fitted(target, target.held_out_log_likelihood())
