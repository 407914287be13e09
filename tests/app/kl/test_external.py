"""Results from elsewhere on the pages: beside runs of their target at their δ, and never taken for the lab's own."""

import csv
import io
from dataclasses import replace

import pytest
import torch
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.hosting.limits import limits
from app.kl import external as measured
from app.kl.curves import View, curves_of
from app.kl.external import MEASURED, REPORTED, external_csv, external_lines, external_rows, not_drawn
from app.kl.table import as_csv
from app.runs import disk
from app.runs.external import External
from app.runs.run import Run
from cmcore.config import USUAL_GRID
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA
from cmcore.store import ExternalResult
from cmcore.store.external import Origin, ReportedPoint
from tests.app.conftest import PATIENCE, html, poll, untrained

VIEW = View(("a",), (), "exact", "deterministic", 0.5, USUAL_GRID, 3.0, None, 0.0, MODEL_DATA, 4)
TARGET = cm.make_target("eight_gaussians")


@pytest.fixture(autouse=True)
def nothing_measured():
    measured.forget()
    yield
    measured.forget()


def samples(n=3_000, spread=1.0):
    return spread * TARGET.sample(n, generator=torch.Generator().manual_seed(0))


def external(points=None, **changes):
    reported = (ReportedPoint(steps=2, value=0.5, low=0.4, high=0.6, direction=MODEL_DATA, n=100),)
    made = {"name": "Theirs", "target": TARGET, "delta": 0.0, "reported": reported, "origin": Origin(method="a flow")}
    result = ExternalResult(points={4: samples()} if points is None else points, **{**made, **changes})
    return External("theirs", "Theirs", result)


def measure(one, direction=MODEL_DATA):
    for quantity in measured.to_measure([one], direction):
        if quantity.missing:
            try:
                quantity.measure()
            except ValueError:
                continue
    return one


def test_o9_what_was_measured_and_what_was_reported_are_two_lines_with_their_origin():
    one = measure(external())
    measured_here, reported = external_lines(VIEW, [one], 0.0)
    assert MEASURED in measured_here.label
    assert REPORTED in reported.label
    assert measured_here.number == reported.number == 1, "the colour after that of the runs"
    assert measured_here.dash != reported.dash
    (point,) = measured_here.points
    assert point.n == 3_000
    assert point.floor > 0
    assert "samples brought in" in point.about
    assert "not measured here" in reported.points[0].about


def test_o9_beyond_what_samples_tell_there_is_a_lower_end_and_no_number():
    view = replace(VIEW, direction=DATA_MODEL)
    one = measure(external(points={1: samples(spread=3.0)}, reported=()), DATA_MODEL)
    assert not external_lines(view, [one], 0.0)
    (words,) = not_drawn(view, [one], 0.0)
    assert "at least" in words
    assert "from samples" in words


def test_numbers_at_another_delta_or_direction_are_not_drawn_and_that_is_said():
    one = measure(external(delta=0.02))
    assert not external_lines(VIEW, [one], 0.0)
    assert "δ = 0.02" in " ".join(not_drawn(VIEW, [one], 0.0))
    turned = replace(VIEW, direction=DATA_MODEL)
    other = measure(external(), DATA_MODEL)
    assert [line.label for line in external_lines(turned, [other], 0.0)] == [f"Theirs, {MEASURED}"]
    assert "KL(model ∥ data)" in " ".join(not_drawn(turned, [other], 0.0))


def test_the_table_and_the_csv_say_the_same_and_where_it_comes_from():
    one, notes = measure(external()), []
    rows = external_rows(VIEW, [one], notes)
    assert rows.count("<tr>") == 2
    assert "0.500 [0.40, 0.60]" in rows
    assert len(notes) == 1
    run = Run("a", "Mine", untrained())
    content = as_csv(VIEW, curves_of(VIEW, {"a": run}), external_csv(VIEW, [one]))
    read = list(csv.DictReader(io.StringIO(content)))
    assert [row["estimator"] for row in read] == ["neighbours_known", ""]
    assert all("a flow" in row["note"] and None not in row for row in read)


# ---- on the pages -----------------------------------------------------------------------------------------------
@pytest.fixture
def file(tmp_path):
    place = tmp_path / "theirs.zip"
    cm.save_external(place, name="**Theirs**", target=TARGET, points={4: samples()}, source="<b>a paper</b>")
    return place.read_bytes()


def page(name):
    def script(name):
        import importlib

        module = importlib.import_module(f"app.pages.{name}.page")
        getattr(module, {"runs": "runs_page"}.get(name, name))()

    return AppTest.from_function(script, default_timeout=PATIENCE, args=(name,)).run()


@pytest.mark.usefixtures("shipped", "answered")
def test_o9_a_result_is_brought_in_on_runs_and_stands_on_kl_and_explore(file):
    at = page("runs")
    before = list(at.dataframe[0].value["Run"])
    at.file_uploader[0].set_value(("theirs.zip", file, "application/zip")).run()
    poll(at, lambda at: "3,000 samples brought in, N = 4" in html(at) and "Estimator" in html(at), seconds=60)
    assert not at.exception
    assert list(at.dataframe[0].value["Run"]) == before, "it is no run"
    assert r"a paper" in " ".join(caption.value for caption in at.caption)
    library = at.session_state["library"]
    held = library.results
    for name in ("kl", "explore"):
        other = page(name)
        other.session_state["library"] = library
        other.run()
        assert not other.exception
        if name == "explore":
            assert "From elsewhere, on the same target" in html(other)
        else:
            assert other.multiselect(key="kl_outside").value == list(held)
            poll(other, lambda at: "from its samples" in html(at))
    at.button(key=f"remove:{next(iter(held))}").click().run()
    assert "Results from elsewhere" not in html(at)


@pytest.mark.usefixtures("shipped", "answered")
def test_o9_a_reload_finds_what_was_brought_in_and_removing_forgets_it(file, tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path / "kept"))
    at = page("runs")
    for _ in range(2):  # the same file twice is one result
        at.file_uploader[0].set_value(("theirs.zip", file, "application/zip")).run()
        poll(at, lambda at: "3,000 samples brought in, N = 4" in html(at), seconds=60)
    (key,) = at.session_state["library"].results

    def came_back():
        other = AppTest.from_function(show_runs, default_timeout=PATIENCE)
        other.session_state["visitor"] = at.session_state["visitor"]
        return other.run()

    later = came_back()
    assert "Results from elsewhere" in html(later)
    assert list(later.session_state["library"].results) == [key]
    later.button(key=f"remove:{key}").click().run()
    assert "Results from elsewhere" not in html(came_back())
    assert not list((tmp_path / "kept").rglob("result.zip"))


def show_runs():
    from app.pages.runs.page import runs_page

    runs_page()


@pytest.mark.usefixtures("shipped", "answered")
def test_what_was_kept_is_checked_as_if_it_had_just_been_brought_in(file, tmp_path, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path))
    for number, content in enumerate((file, file[:-100], b"no zip")):
        disk.store("a" * 43, disk.StoredResult(f"external-{number}", "theirs", content))
    at = AppTest.from_function(show_runs, default_timeout=PATIENCE)
    at.session_state["visitor"] = "a" * 43
    at.run()
    assert not at.exception
    assert list(at.session_state["library"].results) == ["external-0"]


@pytest.mark.usefixtures("shipped", "answered")
def test_more_than_a_shared_server_holds_is_refused_in_a_sentence(file, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_LIMITS", '{"samples": 100}')
    assert limits().samples == 100
    at = page("runs")
    at.file_uploader[0].set_value(("theirs.zip", file, "application/zip")).run()
    poll(at, lambda at: len(at.warning) == 1)
    assert "up to 100 numbers in the samples" in at.warning[0].value
