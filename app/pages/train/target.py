"""What to learn: a toy by its picture, a drawing of one's own, or a table."""

from functools import partial

import streamlit as st

import cmcore as cm
from app import state
from app.background.once import Measurable, Once
from app.background.pools import table_workers
from app.background.progress import poll, under_way, wait_line
from app.background.task import Report, Task
from app.figures.theme import theme
from app.figures.thumbnail import thumbnail
from app.hosting.limits import limits
from app.pages.train.table import table_controls
from app.quoting import escape, named_picture, plain
from app.stage.scene import shown_samples
from app.training.choice import SOURCES, Choice
from app.ui.single_choice import single_choice
from cmcore.config import TargetConfig
from cmcore.plugins import problems
from cmcore.targets import GALLERY
from cmcore.targets.sketch import LONGEST_TEXT
from cmcore.targets.tables import REAL_TABLES

DRAWING = "sketch"
TOYS = tuple(name for name in GALLERY if name != DRAWING)
"""The toys with a picture to choose them by."""
FIRST_TARGET = "moons"
MOST_DIM = 16
COLUMNS = {"iris": 4, "wine": 13}
"""Real tables with fewer columns than a picture's slider would go to."""
TARGETS: Once[cm.Target] = Once(64)
PICTURES: Once[str] = Once(256)
FITTING: Task[cm.Target] = Task("toy", table_workers, resumes=False)
DRAWING_TABLES: Task[None] = Task("pictures of tables", table_workers)


def target_controls() -> Choice | None:
    """The chosen target, or None while there is none (the page has said why)."""
    source = single_choice("Train on", SOURCES, key="source", width="stretch")
    if source == "Draw":
        return _drawn()
    return _gallery() if source == "Gallery" else table_controls()


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
    target = _target(config)
    st.html(
        f'<p class="choice"><b>Your drawing</b> {target.components} Gaussians along its lines; {len(text):,} of the '
        f"{LONGEST_TEXT:,} characters that a link holds.</p>"
    )
    return Choice(config.key, DRAWING, "Your drawing", target)


def _gallery() -> Choice | None:
    pictures = _pictures(theme(st.context.theme.type).data)
    with st.container(key="gallery_area"):
        name = single_choice(
            "Target",
            TOYS,
            format_func=lambda name: (
                named_picture(GALLERY[name].label, pictures[name]) if pictures[name] else GALLERY[name].label
            ),
            key="toy",
            first=FIRST_TARGET,
            style="pills",
            label_visibility="collapsed",
        )
    toy = GALLERY[name]
    whose = f" From the plug-in {GALLERY.origins[name]}." if name in GALLERY.origins else ""
    st.html(f'<p class="choice"><b>{escape(toy.label)}</b> {escape(toy.description)}.{escape(whose)}</p>')
    for words in problems():
        st.caption(plain(words))
    parameters = {}
    if toy.dims == "any":
        dims, key = dimensions_of(name), f"dim:{name}"
        state.set_default(key, 3, allowed=dims)
        parameters["dim"] = st.slider("Dimension d", dims[0], dims[-1], key=key, persist_state="session")
    config = TargetConfig(name=name, parameters=parameters)
    try:
        target = _fitted(config) if name in REAL_TABLES else _target(config)
    except Exception as problem:
        if name not in GALLERY.origins:
            raise
        st.warning(plain(f"{toy.label} cannot be made: {type(problem).__name__}: {problem}"))
        return None
    return target and Choice(config.key, name, toy.label, target)


def _target(config: TargetConfig) -> cm.Target:
    """The law of a toy, made once."""
    return TARGETS.get(config.key, lambda: cm.make_target(config.name, **config.parameters))


def _fitted(config: TargetConfig) -> cm.Target | None:
    """The law of a table, which is fitted in the background; None until it is."""
    try:
        target = TARGETS.peek(config.key) or FITTING.get(config.key, lambda report: _fit(config, report))
    except ValueError as problem:
        st.warning(plain(str(problem)))
        return None
    if target is None:
        wait_line(FITTING, "Fit it")
    return target


def _fit(config: TargetConfig, report: Report[cm.Target]) -> cm.Target:
    report(0.0, "Fitting a law to the rows.")
    return _target(config)


# ---- pictures ---------------------------------------------------------------------------------------------------
def _pictures(colour: str) -> dict[str, str]:
    """The toys' pictures; those of tables are drawn in the background, and empty until then."""
    toys = {name: Measurable(name, PICTURES, (name, colour), partial(_picture, name, colour)) for name in TOYS}
    view = DRAWING_TABLES.measure(colour, [toy for name, toy in toys.items() if name in REAL_TABLES])
    if under_way(view):
        poll(_still_drawing, colour, shown=True, every=1.0)
    return {name: toy.value or "" if name in REAL_TABLES else _measured(name, toy) for name, toy in toys.items()}


def _measured(name: str, picture: Measurable[str]) -> str:
    """A toy's picture; a plug-in's that cannot be made has none."""
    try:
        return picture.measure()
    except Exception:
        if name not in GALLERY.origins:
            raise
        return ""


def _still_drawing(colour: str) -> bool:
    return under_way(DRAWING_TABLES.view(colour))


def _picture(name: str, colour: str) -> str:
    return thumbnail(shown_samples(_target(TargetConfig(name=name)), 160), colour)
