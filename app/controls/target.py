"""What to learn: a toy by its picture, a drawing of one's own, or a table."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import streamlit as st

import cmcore as cm
from app import state
from app.cards import number, plain
from app.controls.single import single_choice
from app.figures.theme import theme
from app.figures.thumbnail import thumbnail
from app.limits import limits
from app.scene import shown_samples
from cmcore.config import TargetConfig
from cmcore.targets import GALLERY
from cmcore.targets.sketch import LONGEST_TEXT
from cmcore.targets.tables import MOST_COLUMNS, REAL_TABLES, numeric_columns, real_table

__all__ = [
    "COMPONENTS",
    "DENSITIES",
    "DRAWING",
    "FIRST_TARGET",
    "SOURCES",
    "TOYS",
    "UPLOAD",
    "Choice",
    "dimensions_of",
    "target_controls",
]

SOURCES = ("Gallery", "Draw", "A table")
DRAWING = "sketch"
TOYS = tuple(name for name in GALLERY if name != DRAWING)
"""The toys with a picture to choose them by."""
FIRST_TARGET = "moons"
COMPONENTS = (1, 2, 3, 4)
MOST_DIM = 16
COLUMNS = {"iris": 4, "wine": 13}
"""Real tables with fewer columns than a picture's slider would go to."""
UPLOAD = "Upload a file"
DENSITIES = {"kernel_density": "Kernels", "gaussian_mixture": "Gaussians"}


@dataclass(frozen=True)
class Choice:
    """A chosen target.

    Attributes:
        key: names the content, for caches.
        name: a short name for files and links.
        label: for people.
        target: the law.
    """

    key: str
    name: str
    label: str
    target: cm.Target


def target_controls() -> Choice | None:
    """The chosen target, or None while there is none (the page has said why)."""
    source = single_choice("Learn from", SOURCES, key="source", width="stretch")
    if source == "Draw":
        return _drawn()
    return _gallery() if source == "Gallery" else _table()


def dimensions_of(name: str) -> list[int]:
    """The d that a toy may have."""
    toy = GALLERY[name]
    most = min(COLUMNS.get(name, MOST_DIM), limits().dim)
    return list(range(2, most + 1)) if toy.dims == "any" else [int(toy.dims)]


def _drawn() -> Choice | None:
    """What is on the sheet."""
    if problem := state.value("drawing problem"):
        st.warning(plain(problem))
    text = state.value("drawing", "")
    if not text:
        st.html(
            '<p class="choice"><b>Your drawing</b> Every line becomes a ridge of data, as wide as the brush. '
            "Its density and score are exact, so the KL is too.</p>"
        )
        return None
    config = TargetConfig(name=DRAWING, parameters={"strokes": text})
    target = _target(config.key, config)
    st.html(
        f'<p class="choice"><b>Your drawing</b> {target.components} Gaussians along its lines; {len(text):,} of the '
        f"{LONGEST_TEXT:,} characters that a link holds.</p>"
    )
    return Choice(config.key, DRAWING, "Your drawing", target)


def _gallery() -> Choice:
    colour = theme(st.context.theme.type).data
    with st.container(key="gallery_area"):
        name = single_choice(
            "Target",
            TOYS,
            format_func=lambda name: f"![{GALLERY[name].label}]({_picture(name, colour)})",
            key="toy",
            first=FIRST_TARGET,
            style="pills",
            label_visibility="collapsed",
        )
    toy = GALLERY[name]
    st.html(f'<p class="choice"><b>{escape(toy.label)}</b> {escape(toy.description)}.</p>')
    parameters = {}
    if toy.dims == "any":
        known, key = dimensions_of(name), f"dim:{name}"
        state.remember(key, 3, allowed=known)
        parameters["dim"] = st.slider("Dimension d", known[0], known[-1], key=key, persist_state="session")
    config = TargetConfig(name=name, parameters=parameters)
    return Choice(config.key, name, toy.label, _target(config.key, config))


@st.cache_resource(max_entries=64, show_spinner=False)
def _target(key: str, _config: TargetConfig) -> cm.Target:
    return cm.make_target(_config.name, **_config.parameters)


@st.cache_data(max_entries=256, show_spinner=False)
def _picture(name: str, colour: str) -> str:
    return thumbnail(shown_samples(cm.make_target(name), 160), colour)


def _table() -> Choice | None:
    state.remember("table", UPLOAD, allowed=(UPLOAD, *REAL_TABLES))
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


def _density() -> str:
    return single_choice(
        "Smoothed by",
        list(DENSITIES),
        format_func=DENSITIES.__getitem__,
        key="density",
        width="stretch",
    )


def _shipped(name: str) -> Choice:
    state.remember("components", 2, allowed=COMPONENTS)
    dim = st.slider("Principal components", COMPONENTS[0], COMPONENTS[-1], key="components", persist_state="session")
    density = _density()
    key = f"table:{name}:{dim}:{density}"
    target = _fitted(key, lambda: real_table(name, dim=dim, density=density))
    _say_what_is_true(target)
    return Choice(key, name, name, target)


def _uploaded() -> Choice | None:
    """An uploaded file, with its columns chosen; None before there is a file."""
    most = limits().upload
    kinds = ["csv", "tsv", "txt", "parquet"]
    file = st.file_uploader(f"CSV or Parquet, up to {most} MB", kinds, key="file", max_upload_size=most)
    if file is None:
        return None
    if file.size > most << 20:
        raise ValueError(f"The file is larger than {most} MB; keep the rows and columns you need.")
    content = file.getvalue()
    name = file.name.rsplit(".", 1)[0][:40]
    stem = f"file:{hashlib.sha256(content).hexdigest()}"
    every = _columns(stem, content)
    columns = st.multiselect(
        "Columns", every, default=every[:2], key=f"columns:{stem}", max_selections=min(MOST_COLUMNS, limits().dim)
    )
    drop = st.toggle("Leave out rows with missing values", key="drop_missing", persist_state="session")
    density = _density()
    if not columns:
        st.caption("Choose at least one column.")
        return None
    key = f"{stem}:{density}:{drop}:{','.join(columns)}"
    target = _fitted(key, lambda: cm.read_table(content, columns, density=density, drop_missing=drop, name=name))
    _say_what_is_true(target)
    return Choice(key, name, file.name, target)


@st.cache_data(max_entries=32, show_spinner=False)
def _columns(key: str, _content: bytes) -> list[str]:
    """The numeric columns of the file."""
    return list(numeric_columns(_content))


@st.cache_resource(max_entries=limits().tables, show_spinner="Reading the table …")
def _fitted(key: str, _fit: Callable[[], cm.TableTarget]) -> cm.TableTarget:
    return _fit()


def _say_what_is_true(target: cm.TableTarget) -> None:
    """A table is a finite sample; what is learned, and measured against, is its smoothed law."""
    likelihood = number(target.held_out_log_likelihood())
    facts = [
        target.truth,
        f"The {len(target.held_out)} rows kept out of it have a mean log-likelihood of {likelihood} nats.",
        *target.notes,
    ]
    st.html(f'<p class="theory">{escape(" ".join(facts))}</p>')
