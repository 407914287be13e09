"""What to learn: a toy by its picture, a drawing of one's own, or a table."""

import streamlit as st

import cmcore as cm
from app import state
from app.figures.theme import theme
from app.figures.thumbnail import thumbnail
from app.hosting.limits import limits
from app.pages.train.table import table_controls
from app.quoting import escape, plain
from app.stage.scene import shown_samples
from app.training.choice import SOURCES, Choice
from app.ui.single_choice import single_choice
from cmcore.config import TargetConfig
from cmcore.targets import GALLERY
from cmcore.targets.sketch import LONGEST_TEXT

DRAWING = "sketch"
TOYS = tuple(name for name in GALLERY if name != DRAWING)
"""The toys with a picture to choose them by."""
FIRST_TARGET = "moons"
MOST_DIM = 16
COLUMNS = {"iris": 4, "wine": 13}
"""Real tables with fewer columns than a picture's slider would go to."""


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
        state.set_default(key, 3, allowed=known)
        parameters["dim"] = st.slider("Dimension d", known[0], known[-1], key=key, persist_state="session")
    config = TargetConfig(name=name, parameters=parameters)
    return Choice(config.key, name, toy.label, _target(config.key, config))


@st.cache_resource(max_entries=64, show_spinner=False)
def _target(key: str, _config: TargetConfig) -> cm.Target:
    return cm.make_target(_config.name, **_config.parameters)


@st.cache_data(max_entries=256, show_spinner=False)
def _picture(name: str, colour: str) -> str:
    return thumbnail(shown_samples(cm.make_target(name), 160), colour)
