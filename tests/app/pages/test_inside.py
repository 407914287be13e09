"""Inside measures part by part, says what a run cannot show, and keeps its whole view in the link."""

import csv
import io
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.background.task import Report, measure_missing
from app.components.buffer import unpack
from app.components.flow_picture import flow_message
from app.pages.inside import compute as maps
from app.pages.inside import flow_1d as flow
from app.pages.inside import job as inside
from app.pages.inside.flow_1d import flow_scene
from app.pages.inside.job import Look, parts, problem_of
from app.pages.inside.job import measured as measured_now
from app.pages.inside.snippet import inside_snippet
from app.pages.inside.tables import (
    bends_csv,
    field_of,
    map_csv,
    masses_csv,
    masses_rows,
    means_of,
    mode_rows,
    times_csv,
)
from app.runs.library import Run
from cmcore.flow import ExactFlow
from tests.app.conftest import html, page_of, poll, untrained


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    inside.MAPS.clear()
    small = {"SIDE": 12, "ACROSS": 15, "LEVELS": 6, "PATHS": 64, "STARTS": 24, "BEND_LEVELS": 6, "DRAWS": 512}
    for name, value in small.items():
        monkeypatch.setattr(maps, name, value)
    for name, value in {"LEVELS": 25, "ACROSS": 61, "EVEN": 41}.items():
        monkeypatch.setattr(flow, name, value)
    yield
    inside.MAPS.clear()


def single_time(model):
    return replace(model, config=model.config.model_copy(update={"objective": "ct"}))


LINE = Run("line", "Three Gaussians", untrained("three_gaussians"))
PLANE = Run("plane", "Eight Gaussians", untrained())
SINGLE = Run("single", "To data", single_time(untrained()))
SPACE = Run("space", "Corners", untrained("hypercube_corners", dim=3))
EVERY = pytest.mark.parametrize("run", [LINE, PLANE, SINGLE, SPACE], ids=lambda run: run.key)


def look_at(run, steps=2):
    return Look(run, 3.0, run.model.delta, steps)


_FOUND: dict[str, dict] = {}


def found_in(run):
    """All parts of a run, measured once for all tests that only read them."""
    if run.key not in _FOUND:
        _FOUND[run.key] = measured(look_at(run))
    return _FOUND[run.key]


def measured(look):
    measure_missing(list(parts(look).values()), Report(threading.Event()))
    return measured_now(look)


# ---- what is measured -------------------------------------------------------------------------------------------
@EVERY
def test_every_part_that_a_run_can_have_is_measured(run):
    look, found = look_at(run), found_in(run)
    assert list(found) == list(parts(look))


@EVERY
def test_p20_the_number_is_measured_before_any_picture(run):
    assert next(iter(parts(look_at(run)))) == "times"


def test_a_run_that_learned_jumps_to_delta_alone_is_asked_for_nothing_else():
    assert maps.end_times(SINGLE) == [0.0]
    assert set(maps.offered(SINGLE, 0.0)) == {"map_error", "eulerian"}
    assert maps.bends_of(SINGLE).model is None
    assert set(maps.offered(PLANE, 0.5)) == {"map_error", "semigroup", "lagrangian", "eulerian"}


def test_jumps_go_back_in_time_and_end_where_draws_do():
    for s in maps.end_times(PLANE):
        times = maps.start_times(PLANE, s)
        assert times[0] == 3.0
        assert times == sorted(times, reverse=True)
        assert min(times) > s


def test_a_map_is_the_distance_to_the_exact_flow_and_coloured_where_the_law_is():
    found = maps.plane_maps(PLANE, 0.5, 0.0)
    y, x = np.meshgrid(found.axis, found.axis, indexing="ij")
    points = torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 2))
    truth = ExactFlow(PLANE.target, tolerance=1e-7)(points, 0.5, 0.0)
    error = (PLANE.model.flow_map(points.float(), 0.5, 0.0) - truth).norm(dim=1).reshape(x.shape)
    np.testing.assert_allclose(found.values["map_error"], error, atol=2e-4)
    assert 0 < found.inside.mean() < 1
    assert np.isnan(field_of(found, "map_error", s=0.0).values[~found.inside]).all()
    assert list(found.levels) == sorted(found.levels, reverse=True)


def test_a_part_that_cannot_be_had_is_a_sentence_and_the_others_go_on(monkeypatch):
    def refuse(run):
        raise ValueError("Not here.")

    monkeypatch.setattr(maps, "bends_of", refuse)
    look = look_at(PLANE)
    found = measured(look)
    assert problem_of(look, "bends") == "Not here."
    assert "bends" not in found
    assert "masses 16" in found
    again = measured(look)
    assert all(again[name] is found[name] for name in found)  # what is known is not measured again


# ---- tables and code --------------------------------------------------------------------------------------------
@EVERY
def test_csvs_hold_every_number(run):
    found = found_in(run)
    read = lambda text: list(csv.DictReader(io.StringIO(text)))  # noqa: E731
    times = read(times_csv(found["times"], s=0.0))
    assert {row["quantity"] for row in times} == {*maps.offered(run, 0.0), "fold share"}
    assert [mean.t for mean in means_of(found["times"], "map_error")] == sorted(maps.start_times(run, 0.0))
    bends = read(bends_csv(found["bends"]))
    assert len(bends) == 24
    assert ("model R" in bends[0]) == (run is not SINGLE)
    masses = {n: found[f"masses {n}"] for n in (1, 2)}
    rows = read(masses_csv(masses))
    assert len(rows) == 2 * (1 + len(mode_rows(masses[1])))
    assert sum(float(row["value"]) for row in rows if row["N"] == "1") == pytest.approx(1) or run is SPACE
    assert masses_rows(masses).count("<tr>") == 1 + len(mode_rows(masses[1]))
    if run.target.dim <= 2:
        plane = found["line" if run.target.dim == 1 else "plane"]
        lattice = read(map_csv(plane, t=3.0, s=0.0))
        assert len(lattice) == plane.density.size
        assert float(lattice[0]["map_error"]) == pytest.approx(float(plane.values["map_error"][0, 0]), rel=1e-4)


@EVERY
@pytest.mark.parametrize("part", ["map", "times", "determinant", "bends", "masses"])
def test_the_code_beside_a_figure_runs(run, part, monkeypatch):
    monkeypatch.setattr(cm, "load", lambda folder: run.model)
    code = inside_snippet(replace(run, shipped=True), part, quantity="map_error", t=3.0, s=0.0, steps=2)
    if part in ("map", "determinant") and run is SPACE:
        return  # no lattice there: the page shows neither figure
    exec(code.replace(", 65,", ", 5,"), {"print": lambda *_: None})


# ---- the flow of a line -----------------------------------------------------------------------------------------
@pytest.fixture
def scene():
    return found_in(LINE)["flow"]


def test_paths_are_in_order_and_those_of_the_flow(scene):
    assert (np.diff(scene.paths, axis=1) > 0).all()
    starts = torch.from_numpy(scene.paths[0])[:, None]
    ends = ExactFlow(LINE.target)(starts, 3.0, 0.0)[:, 0].numpy()
    np.testing.assert_allclose(scene.paths[-1], ends, atol=1e-9)
    np.testing.assert_allclose(np.diff(scene.angles), np.diff(scene.angles)[0], rtol=1e-6)


def test_jumps_start_on_the_paths_and_landings_of_the_last_level_stay(scene):
    for n, states in scene.states.items():
        assert len(states) == n + 1
        np.testing.assert_allclose(states[0], scene.paths[0], atol=1e-6)
    np.testing.assert_allclose(scene.landings[-1], np.linspace(-scene.extent, scene.extent, 61), atol=1e-9)
    jump = LINE.model.flow_map(torch.linspace(-scene.extent, scene.extent, 61)[:, None], 3.0, 0.0)
    np.testing.assert_allclose(scene.landings[0], jump[:, 0].numpy(), atol=1e-5)


def test_the_density_of_data_is_the_darkest_at_its_highest_mode(scene):
    row = int(scene.density[:, -1].argmax())
    x = scene.extent * (1 - 2 * row / 60)
    assert min(abs(x - mode) for mode in (-1.5, 0.0, 1.5)) < 0.15
    assert scene.density.shape == (61, 25)


def test_the_message_carries_it_all(scene):
    header, arrays = unpack(flow_message(scene, steps=4, at=(0.5, 1.0)))
    assert (header["steps"], header["at"]) == (4, [0.5, 1.0])
    assert arrays["paths"].shape == scene.paths.shape
    assert arrays["states_4"].shape == scene.states[4].shape
    single = flow_scene(replace(LINE, model=single_time(LINE.model)))
    assert unpack(flow_message(single, steps=4, at=None))[0]["steps"] == 1


# ---- the page ---------------------------------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path, monkeypatch):
    for run, name in ((LINE, "three_gaussians"), (PLANE, "eight_gaussians"), (SPACE, "corners"), (SINGLE, "single")):
        cm.save(run.model, tmp_path / name)
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(tmp_path))
    return tmp_path


@pytest.fixture
def idle(monkeypatch):
    """Nothing is measured: what a link asks for is known before."""
    monkeypatch.setattr("app.pages.inside.page.measuring", lambda look: None)


page = partial(page_of, "inside")


def done(at):
    return poll(at, lambda at: "exact paths are straighter" in html(at))


def test_the_page_opens_on_a_run_and_fills_itself(folder):
    at = page()
    assert "Where does the map err" in html(at)
    words = html(done(at))
    for part in ("Error, root mean square", "flips orientation", "intervals of", "A perfect model", "Bound A"):
        assert part in words
    assert not at.warning
    assert not dict(at.query_params)
    at.button_group(key="inside quantity").set_value("semigroup").run()
    assert not at.exception
    assert "The exact flow composes" in html(at)
    assert at.query_params["map"] == "semigroup"


def test_a_run_on_a_line_shows_its_whole_flow(folder):
    at = done(page(run="three_gaussians", s="0.1"))
    assert "every t, s = 0.1" in html(at)
    assert at.query_params["s"] == "0.1"


def test_what_a_run_cannot_show_is_said(folder):
    words = html(done(page(run="corners")))
    assert "this run lives in d = 3" in words
    assert "Modes are told apart on a line and in a plane" in words
    at = done(page(run="single"))
    assert "learned jumps to δ = 0 alone" in " ".join(c.value for c in at.caption)
    assert "its landings draw no path" in html(at)


def test_the_whole_view_lives_in_the_link(folder, idle):
    query = {"run": "three_gaussians", "n": "8", "map": "eulerian", "t": "0.691", "s": "0.05", "at": "0.5,-1.25"}
    at = page(**query)
    assert not at.warning
    assert {name: value[-1] if isinstance(value, list) else value for name, value in at.query_params.items()} == query


@pytest.mark.parametrize(
    "query", [{"run": "nobody"}, {"map": "<b>"}, {"t": "nan"}, {"s": "-1"}, {"at": "1"}, {"at": "1,inf"}, {"n": "3"}]
)
def test_a_bad_link_is_a_sentence(folder, idle, query):
    at = page(**query)
    assert len(at.warning) == 1
    assert "could not be followed" in at.warning[0].value


def test_without_a_run_the_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(tmp_path))
    assert "Train one" in page().info[0].value


def test_nothing_is_wrong_with_parts_that_were_not_tried():
    at = AppTest.from_function(lambda: None)
    at.run()
    assert problem_of(look_at(PLANE), "bends") == ""
