"""The ways to take things away, offered where they are looked at. What is heavy is made when its button is pressed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app.export.html_page import page
from app.export.notebook import NotebookCell, as_notebook, as_script
from app.export.program import Shown, about, curves_cells, explore_cells, title, zip_name
from app.export.tables import csv_of, parquet_of, points, table_of
from app.figures.kl_curve import Line
from app.kl.curves import RunCurve, View
from app.kl.one_run import RunKL, kl_of_run
from app.kl.table import ONE, as_csv, lines
from app.quoting import file_stem, plain
from app.runs.library import Run
from app.runs.names import learned_by
from app.stage.scene import PARTICLES, grids_of, make_scene, map_layers
from app.stage.stage import draw_on_stage
from app.ui.cards import direction_title
from app.ui.charts import picture_format
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import Direction
from cmcore.samplers import SAMPLERS
from cmcore.sampling_defaults import delta_for, sampling_defaults
from cmcore.store import to_zip

JSON_NOTEBOOK = "application/x-ipynb+json"
PARQUET = "application/vnd.apache.parquet"


# ---- Explore ----------------------------------------------------------------------------------------------------
def explore_takeaway(run: Run, config: SamplerConfig, direction: Direction, kl: RunKL) -> None:
    """The run on show, its draw, its curve, and the view as a program and as a page."""
    shown = Shown(run, config, direction=direction, estimates=kl.estimates, **draw_on_stage(config))
    with st.popover("Export", type="tertiary", key="takeaway"):
        _run_zip(run, "explore")
        _table_pair(
            f"The {shown.particles:,} particles, N = {config.steps}",
            f"points-{run.key}-{config.steps}",
            lambda: points(shown),
        )
        _table_pair("The curves", f"kl-{run.key}-{config.sampler}", lambda: table_of(as_csv(kl.view, kl.curves)))
        _programs(f"explore-{run.key}", [run], lambda: explore_cells(shown))
        _page(shown, lines(kl.view, kl.curves, ONE), "explore")
        picture_format("explore")


# ---- Runs -------------------------------------------------------------------------------------------------------
def run_takeaway(run: Run) -> None:
    """A run of the ledger, drawn in its own way in four jumps."""
    own = sampling_defaults(run.model.config)
    config = SamplerConfig(
        sampler=own.sampler,
        steps=4,
        horizon=run.model.horizon,
        delta=delta_for(own.sampler, run.model.delta),
        renoise=own.renoise,
    )
    direction = own.direction
    kl = kl_of_run(run, config, direction)
    shown = Shown(run, config, grids_of(config), direction, kl.estimates, 0, PARTICLES)
    _run_zip(run, run.key)
    _programs(f"run-{run.key}", [run], lambda: explore_cells(shown))
    _page(shown, lines(kl.view, kl.curves, ONE), run.key)


# ---- KL ---------------------------------------------------------------------------------------------------------
def curves_takeaway(view: View, curves: Sequence[RunCurve], *, key: str) -> None:
    """The curves of a view as tables and as a program, and the runs behind them."""
    runs = list({curve.run.key: curve.run for curve in curves}.values())
    with st.popover("Export", type="tertiary", key=f"takeaway:{key}"):
        for run in runs[:6]:
            _run_zip(run, key, named=True)
        _table_pair("The curves", f"{key}-curves", lambda: table_of(as_csv(view, curves)))
        _programs(f"{key}-curves", runs, lambda: curves_cells(view, curves))
        picture_format(key)


# ---- the parts --------------------------------------------------------------------------------------------------
def _download(label: str, make: Callable[[], Any], file: str, mime: str, key: str) -> None:
    stem, dot, ending = file.rpartition(".")
    file = f"{file_stem(stem)}{dot}{ending}"
    st.download_button(plain(label), data=make, file_name=file, mime=mime, on_click="ignore", key=f"take:{key}:{file}")


def _run_zip(run: Run, key: str, *, named: bool = False) -> None:
    if run.target.config is None and not _travels(run):
        st.caption(plain(f"{zip_name(run)} holds the weights alone: this target was made by hand."))
    label = f"{_short(run.label)} (zip)" if named else "Weights and config (zip)"
    _download(label, lambda: to_zip(run.model), zip_name(run), "application/zip", key)


def _travels(run: Run) -> bool:
    """Whether the zip can carry the target."""
    return callable(getattr(run.target, "state", None))


def _table_pair(words: str, file: str, make: Callable[[], Any]) -> None:
    st.caption(plain(words))
    with st.container(horizontal=True):
        _download("CSV", lambda: csv_of(make()), f"{file}.csv", "text/csv", "table")
        _download("Parquet", lambda: parquet_of(make()), f"{file}.parquet", PARQUET, "table")


def _programs(file: str, runs: Sequence[Run], cells: Callable[[], list[NotebookCell]]) -> None:
    st.caption("The code that makes these numbers")
    with st.container(horizontal=True):
        _download("Script", lambda: as_script(title(runs), about(runs), cells()), f"{file}.py", "text/x-python", "code")
        _download(
            "Notebook", lambda: as_notebook(title(runs), about(runs), cells()), f"{file}.ipynb", JSON_NOTEBOOK, "code"
        )


def _page(shown: Shown, drawn: Sequence[Line], key: str) -> None:
    run, config = shown.run, shown.config

    def made() -> str:
        scene = make_scene(run.model, run.target, key=run.key, **shown.drawn)
        scene = replace(scene, layers=map_layers(run.model, run.target, **shown.drawn))
        sampler = "renoised" if SAMPLERS[config.sampler].noisy else "deterministic"
        facts = f"{learned_by(run.model.config)}; {sampler} jumps; {direction_title(shown.direction, config.delta)}"
        words = about([run]).split("\nExport")[0]
        choices = {"steps": config.steps, "heading": run.label, "facts": facts, "about": words}
        return page(scene, shown.estimates, drawn, **choices)

    _download("Page that works offline (HTML)", made, f"{run.key}.html", "text/html", key)


def _short(label: str) -> str:
    return label if len(label) <= 28 else f"{label[:27]}…"
