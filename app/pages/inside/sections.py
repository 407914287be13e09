"""The parts of Inside: every figure with its number, words, code and CSV, or its shape until it is measured."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.figures.heat import describe_field, determinant_map, field_map
from app.figures.mode_mass import describe_modes, mode_masses
from app.figures.over_time import describe_means, over_time
from app.figures.straightness import describe_straightness, straightness_histogram, straightness_of_starts
from app.figures.theme import Theme, theme
from app.kl.bound_line import map_sentence
from app.pages.inside import compute
from app.pages.inside.compute import Masses, OverTimes, PathBends, PlaneMaps, TimeMaps
from app.pages.inside.job import Look, problem_of
from app.pages.inside.snippet import inside_snippet
from app.pages.inside.tables import (
    bends_csv,
    determinant_fields,
    field_of,
    leak,
    map_csv,
    masses_csv,
    masses_rows,
    means_of,
    mode_rows,
    share_words,
    times_csv,
)
from app.quoting import escape, file_stem, plain
from app.ui.cards import bare_card, card, number, table
from app.ui.charts import show_chart
from app.ui.terms import explained
from cmcore.diagnostics import QUANTITIES, Quantity

UNITS = {"x": "", "x/rad": "per radian"}


def map_section(look: Look, quantity: str, parts: dict[str, Any]) -> None:
    """The error over the plane, or over x and t."""
    kind, run = QUANTITIES[quantity], look.run
    if run.target.dim > 2:
        st.html(
            f"<p class='reading'>A map needs a line or a plane, and this run lives in d = {run.target.dim}: the "
            "averages over the true law, the modes’ leakage and the paths’ straightness say what can be said.</p>"
        )
        return
    name = "line" if run.target.dim == 1 else "plane"
    maps: PlaneMaps | TimeMaps | None = parts.get(name)
    where = f"t = {look.t:g}" if name == "plane" else "every t"
    st.html(f"<h2 class='eyebrow'>{explained(kind.label)}, {escape(kind.formula)}, {where}, s = {look.s:g}</h2>")
    if maps is None:
        absent(look, name, 470)
        return
    field = field_of(maps, quantity, s=look.s)
    words = describe_field(field, kind.label, kind.unit)
    figure = field_map(field, unit=kind.unit, label=kind.label.lower(), theme=_theme())
    show_chart(figure, key="inside_map", alt=words)
    _below(look, quantity, "map", lambda: map_csv(maps, t=look.t, s=look.s), f"{explained(words)} {_lines(name)}")


def _lines(name: str) -> str:
    region = "Coloured where p<sub>t</sub> has all but e<sup>−8</sup> of its mass"
    return f"{region}; the blue line holds 50 % of it, the dotted one 95 %." if name == "plane" else f"{region}."


def mean_section(look: Look, quantity: str, kind: Quantity, times: OverTimes | None) -> None:
    """The average over the true law, now and at every t."""
    title = f"{kind.label}, root mean square over p at t = {look.t:g}"
    if times is None:
        st.html(bare_card(title, problem_of(look, "times") or "Following exact paths."))
        st.skeleton(height=230)
        return
    means = means_of(times, quantity)
    here = next(mean for mean in means if mean.t == look.t)
    rows = [
        ("95 % interval", f"{number(here.low, 2)} … {number(here.high, 2)}"),
        ("Half of all points, below", number(here.median, 2)),
        ("95 % of all points, below", number(here.most, 2)),
        ("Exact paths", f"{compute.PATHS:,}"),
    ]
    st.html(
        card(
            title,
            number(here.value),
            rows,
            beside=UNITS[kind.unit],
            aside=map_sentence(quantity, here.value, look.t, look.s),
        )
    )
    st.html(f"<h2 class='eyebrow'>{escape(kind.label)} versus the time a jump starts from</h2>")
    words = describe_means(means, kind.label)
    figure = over_time(means, chosen=look.t, end=look.s, label=kind.label.lower(), theme=_theme())
    show_chart(figure, key="inside_times", alt=words)
    _below(look, quantity, "times", lambda: times_csv(times, s=look.s), "Band: 95 % interval. Dotted: the median.")


def determinant_section(look: Look, parts: dict[str, Any]) -> None:
    """det ∂f/∂x beside the exact flow's, and the share that is turned over."""
    name = "line" if look.run.target.dim == 1 else "plane"
    maps: PlaneMaps | TimeMaps | None = parts.get(name)
    if maps is None:
        absent(look, name, 380)
        return
    learned, exact = determinant_fields(maps, s=look.s)
    sides = (
        ("The map", learned, maps.sign, "map"),
        ("The exact flow", exact, abs(maps.sign), "exact"),
    )
    for column, (title, field, sign, key) in zip(st.columns(2, gap="large"), sides, strict=True):
        with column:
            st.html(
                f"<h3 class='eyebrow'>{title}, det ∂f/∂x</h3>" if key == "map" else f"<h3 class='eyebrow'>{title}</h3>"
            )
            figure = determinant_map(field, sign, theme=_theme())
            words = describe_field(field, f"log |det| of {title.lower()}", "nats")
            show_chart(figure, key=f"inside_det_{key}", alt=words)
    times: OverTimes | None = parts.get("times")
    words = "The exact flow never folds: its determinant is p at t over p at s where it lands, always positive."
    if times is not None:
        folds = times.folds[times.times.index(look.t)]
        words += (
            f" Of {compute.PATHS:,} exact draws at t = {look.t:g}, this jump flips orientation on {share_words(folds)} "
            "of the mass (outlined): those points share where they land with others."
        )
    _below(look, "map_error", "determinant", lambda: map_csv(maps, t=look.t, s=look.s), explained(words))


def modes_section(look: Look, masses: dict[int, Masses]) -> None:
    """Every mode's mass beside the exact one, and what lies on none."""
    here = masses.get(look.steps)
    if here is None:
        absent(look, f"masses {look.steps}", 330)
        return
    rows = mode_rows(here)
    left, right = st.columns([1.5, 1], gap="large")
    with left:
        if rows:
            words = describe_modes(rows, here.model.n, look.steps)
            show_chart(mode_masses(rows, theme=_theme()), key="inside_modes", alt=words)
        else:
            d, words = look.run.target.dim, ""
            st.html(f"<p class='reading'>Modes are told apart on a line and in a plane; in d = {d} the leakage is.</p>")
    with right:
        out = leak(here)
        jumps = "1 jump" if look.steps == 1 else f"{look.steps} jumps"
        st.html(
            card(
                f"Leakage, outside every mode, {jumps}",
                share_words(out).split(" (")[0],
                [
                    ("95 % interval", share_words(out).split("(")[1].rstrip(")")),
                    ("A perfect model", f"{number(100 * here.floor, 2)} %"),
                    ("Samples", f"{here.model.n:,}"),
                    ("Drawn", "renoised" if here.sampler == "renoise" else "deterministic jumps"),
                ],
                aside="A mode is a connected piece of the region that holds all but e⁻⁸ of the data.",
            )
        )
    with st.container(key="modes_table"), st.expander("Every N"):
        titles = ("Mode at", "exact", *(f"N = {n}" for n in masses))
        st.html(table("Mass of every mode by N, with 95 % intervals", titles, masses_rows(masses)))
    _below(look, "map_error", "masses", lambda: masses_csv(masses), explained(words))


def straightness_section(look: Look, bends: PathBends | None) -> None:
    """Straightness of exact paths and of the map's own curves."""
    if bends is None:
        absent(look, "bends", 300)
        return
    exact = bends.exact.straightness.numpy()
    model = None if bends.model is None else bends.model.straightness.numpy()
    words = describe_straightness(exact, model)
    left, right = st.columns(2, gap="large")
    with left:
        figure = straightness_histogram(exact, model, theme=_theme())
        show_chart(figure, key="inside_straight", alt=words)
    with right:
        figure = straightness_of_starts(bends.starts, exact, theme=_theme())
        alt = "Straightness of the exact path from each start of noise."
        show_chart(figure, key="inside_starts", alt=alt)
    own = "" if model is not None else " This run learned jumps to δ alone, so its landings draw no path."
    reading = (
        f"{words}{own} With R = 1 a single Euler step would land where the path does; R = 1 − S / ∫|v|², S the "
        "straightness of Liu et al. (2022), along the linear interpolation of data and noise."
    )
    _below(look, "map_error", "bends", lambda: bends_csv(bends), escape(reading))


# ---- pieces -----------------------------------------------------------------------------------------------------
def _theme() -> Theme:
    return theme(st.context.theme.type)


def absent(look: Look, name: str, height: int) -> None:
    """Before there is something to show: its shape, or why it cannot be had."""
    problem = problem_of(look, name)
    if problem:
        st.warning(plain(problem))
    else:
        st.skeleton(height=height)


def _below(look: Look, quantity: str, part: str, rows: Callable[[], str], words: str) -> None:
    """What a figure says, as HTML, with its code and its CSV."""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="top", key=f"below_{part}"
    ):
        st.html(f"<p class='theory'>{words}</p>")
        with st.container(horizontal=True, width="content", key=f"take_{part}"):
            with st.popover("Code", type="tertiary"):
                code = inside_snippet(look.run, part, quantity=quantity, t=look.t, s=look.s, steps=look.steps)
                st.code(code, language="python")
            st.download_button(
                "CSV",
                data=rows,
                file_name=f"{part}-{file_stem(look.run.key)}.csv",
                mime="text/csv",
                on_click="ignore",
                type="tertiary",
                key=f"csv_{part}",
            )
