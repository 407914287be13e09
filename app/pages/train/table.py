"""A table to learn: one that comes with the lab, or an uploaded file, shown as it was understood."""

import hashlib

import streamlit as st

from app import state
from app.background.progress import wait_line
from app.hosting.limits import limits
from app.pages.train.table_reading import FITS, OPENING, Fitted, fitted, forget_table, opened, shipped
from app.quoting import escape, plain
from app.training.choice import Choice
from app.ui.cards import number
from app.ui.single_choice import single_choice
from cmcore.targets.files import SEPARATORS, TableFile
from cmcore.targets.tables import MOST_COLUMNS, REAL_TABLES

UPLOAD = "Upload a file"
COMPONENTS = (1, 2, 3, 4)
DENSITIES = {"kernel_density": "Kernels", "gaussian_mixture": "Gaussians"}
AUTOMATIC = "automatic"
BANDWIDTHS = (AUTOMATIC, "0.05", "0.07", "0.1", "0.15", "0.2", "0.3", "0.5", "0.7", "1")
"""Of the kernels, in standard deviations of the columns."""
KINDS = ("csv", "tsv", "txt", "dat", "parquet")
FIND_OUT = "Find out"
FORMATS = {
    "separator": ("Between cells", {FIND_OUT: None, **{words: sign for sign, words in SEPARATORS.items()}}),
    "decimal": ("Decimal sign", {FIND_OUT: None, "point": ".", "comma": ","}),
    "header": ("First line", {FIND_OUT: None, "names": True, "values": False}),
}
"""What can be said of a file that two readings fit: setting → (label, choice → value)."""
MOST_REASONS = 4
READ = "Read it"
"""On the button after a Cancel."""
LINK_NAMES_FILE = "link names a file"
"""Set where the address says that an uploaded table belongs to it."""
NO_TABLE = "This address was made beside an uploaded table. An address never carries one: upload it here again."


def table_controls() -> Choice | None:
    """The chosen table as a target, or None while there is none (the page has said why)."""
    state.set_default("table", UPLOAD, allowed=(UPLOAD, *REAL_TABLES))
    source = st.selectbox(
        "Table",
        [UPLOAD, *REAL_TABLES],
        format_func=lambda name: name if name == UPLOAD else f"{name}, from scikit-learn",
        key="table",
        persist_state="session",
    )
    try:
        return _uploaded() if source == UPLOAD else _shipped(source)
    except ValueError as problem:
        st.warning(plain(str(problem)))
        return None


def _shipped(name: str) -> Choice | None:
    state.set_default("components", 2, allowed=COMPONENTS)
    dim = st.slider("Principal components", COMPONENTS[0], COMPONENTS[-1], key="components", persist_state="session")
    density, bandwidth = _smoothing()
    key = f"table:{name}:{dim}:{density}:{bandwidth}"
    return _chosen(shipped(key, name, dim=dim, density=density, bandwidth=bandwidth), key, name, name)


def _smoothing() -> tuple[str, float | None]:
    """How rows become a law: the density, and the bandwidth of its kernels where that was chosen."""
    density = single_choice(
        "Smoothed by",
        list(DENSITIES),
        format_func=DENSITIES.__getitem__,
        key="density",
        width="stretch",
    )
    if density != "kernel_density":
        return density, None
    state.set_default("bandwidth", AUTOMATIC, allowed=BANDWIDTHS)
    chosen = st.select_slider(
        "Bandwidth",
        BANDWIDTHS,
        key="bandwidth",
        persist_state="session",
        help="Width of the kernels, in standard deviations of the columns. Automatic: the one under which each row is "
        "likeliest given the others.",
    )
    return density, None if chosen == AUTOMATIC else float(chosen)


# ---- an uploaded file -------------------------------------------------------------------------------------------
def _uploaded() -> Choice | None:
    """An uploaded file, with its columns chosen; None before there is a file."""
    most = limits().upload
    file = st.file_uploader(f"CSV or Parquet, up to {most} MB", KINDS, key="file", max_upload_size=most)
    if file is None:
        forget_table()
        if state.value(LINK_NAMES_FILE):
            st.warning(NO_TABLE)
        st.caption("Columns of numbers, separated by anything, with names or without. How it was read is shown here.")
        return None
    if file.size > most << 20:
        raise ValueError(f"The file is larger than {most} MB; keep the rows and columns you need.")
    content = file.getvalue()
    name = file.name.rsplit(".", 1)[0][:40]
    stem = f"file:{hashlib.sha256(content).hexdigest()}"
    shown = st.container()
    settings = _format(stem) if content[:4] != b"PAR1" else {}
    said = ":".join(str(value) for value in settings.values())
    with shown:
        table = opened(f"{stem}:{said}", content, settings)
        if table is None:
            wait_line(OPENING, READ)
            return None
        _show(table)
    every = table.check_columns(None, most=len(table.columns))
    first = [column for column in every if column not in table.counters][:2] or every[:2]
    columns = st.multiselect(
        "Columns", every, default=first, key=f"columns:{stem}:{said}", max_selections=min(MOST_COLUMNS, limits().dim)
    )
    drop = st.toggle("Leave out rows with missing values", key="drop_missing", persist_state="session")
    density, bandwidth = _smoothing()
    if not columns:
        st.caption("Choose at least one column.")
        return None
    key = f"{stem}:{said}:{density}:{bandwidth}:{drop}:{columns}"
    law = fitted(key, table, columns, name=name, density=density, bandwidth=bandwidth, drop_missing=drop)
    return _chosen(law, key, name, file.name)


def _format(stem: str) -> dict:
    """What is said of how the file is written, where that is not found out."""
    settings = {}
    with st.expander("How it is written"):
        for name, (label, choices) in FORMATS.items():
            chosen = st.selectbox(label, list(choices), key=f"{name}:{stem}", persist_state="session")
            settings[name] = choices[chosen]
    return settings


def _show(table: TableFile) -> None:
    """The first rows as they were understood, and what was left out."""
    rows = f"{table.rows:,} rows" if table.rows != 1 else "1 row"
    st.html(f'<p class="choice"><b>{escape(rows)}.</b> {escape(table.layout)}.</p>{_rows_in_html(table)}')
    reasons = [f"{name!r}: {why}." for name, why in table.left_out.items()]
    more = [f"{len(reasons) - MOST_REASONS} more columns."] if len(reasons) > MOST_REASONS else []
    words = [*(["Left out:", *reasons[:MOST_REASONS], *more] if reasons else []), *table.notes]
    if words:
        st.html(f'<p class="theory">{escape(" ".join(words))}</p>')


def _rows_in_html(table: TableFile) -> str:
    names = list(table.first_rows)[:MOST_COLUMNS]
    kinds = ["" if name in table.columns else ' class="unused"' for name in names]
    head = "".join(f"<th{kind}>{escape(name[:40])}</th>" for name, kind in zip(names, kinds, strict=True))
    columns = [table.first_rows[name] for name in names]
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in zip(*columns, strict=True)
    )
    words = "The first rows, as they were understood"
    return (
        f'<div class="first-rows" tabindex="0" role="region" aria-label="{words}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


# ---- the law ----------------------------------------------------------------------------------------------------
def _chosen(law: Fitted | None, key: str, name: str, label: str) -> Choice | None:
    """A fitted table as a choice; None, and how far it is, while it is being fitted."""
    if law is None:
        wait_line(FITS, READ)
        return None
    _say_what_is_true(law)
    return Choice(key, name, label, law.target)


def _say_what_is_true(law: Fitted) -> None:
    """A table is a finite sample; what is learned, and measured against, is its smoothed law."""
    likelihood = number(law.held_out_log_likelihood)
    facts = [
        law.target.truth,
        f"The {len(law.target.held_out)} rows kept out of it have a mean log-likelihood of {likelihood} nats.",
    ]
    st.html(f'<p class="theory">{escape(" ".join(facts))}</p>')
