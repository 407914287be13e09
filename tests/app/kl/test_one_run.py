"""Shipped curves are used where they answer what is asked, and only there; measuring fills in the rest."""

import csv
import io
import json
import threading

import pytest

import cmcore as cm
from app.background.jobs import Interrupted
from app.background.task import Report, measure_missing
from app.kl import one_run
from app.kl import question as estimates
from app.kl.curves import View, curves_of, measure_curves
from app.kl.one_run import BASELINES, FURTHEST, kl_of_run, measure_run
from app.kl.question import Question
from app.kl.table import ONE, as_csv, lines
from app.runs.library import Run, runs_in
from app.stage.scene import STEPS
from cmcore.config import USUAL_GRID, SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Estimate
from cmcore.measure import KLPoint
from tests.app.conftest import untrained

CALLS = (*STEPS, FURTHEST)


@pytest.fixture(autouse=True)
def nothing_measured():
    estimates.forget()
    yield
    estimates.forget()


class Now:
    """Measures at once what a task would in the background, and says what that was."""

    def __init__(self):
        self.missing = []

    def measure(self, key, quantities):
        self.missing = [quantity.words for quantity in quantities if quantity.missing]
        measure_missing(quantities, Report(threading.Event()))


@pytest.fixture
def now(monkeypatch):
    monkeypatch.setattr(one_run, "TASK", task := Now())
    return task


def curve(sampler, direction, delta, *, renoise=0.5):
    steps = CALLS if sampler in BASELINES else STEPS
    points = tuple(Estimate(1 / n, 0.9 / n, 1.1 / n, direction, delta, "closed_form", 100, 0.0) for n in steps)
    config = {"grid": USUAL_GRID, "horizon": 3.0, "delta": delta, "renoise": renoise, "n": None, "target": "t"}
    return cm.Curve("steps", tuple(map(float, steps)), points, steps, sampler, config, 7)


@pytest.fixture
def run(tmp_path):
    cm.save(untrained(), tmp_path / "eight_gaussians")
    named = {
        f"{sampler} {direction}": json.loads(curve(sampler, direction, 0.0).to_json())
        for sampler in ("deterministic", *BASELINES)
        for direction in (MODEL_DATA, DATA_MODEL)
    }
    named["renoised"] = json.loads(curve("renoise", DATA_MODEL, 0.02).to_json())
    (tmp_path / "eight_gaussians" / "curves.json").write_text(json.dumps(named))
    return runs_in(str(tmp_path))["eight_gaussians"]


def test_a_shipped_curve_answers_its_own_question(run, now):
    kl = kl_of_run(run, SamplerConfig(), MODEL_DATA)
    assert {n: e.value for n, e in kl.estimates.items()} == {n: 1 / n for n in STEPS}
    assert all(e.direction == MODEL_DATA for e in kl.estimates.values())
    assert [len(curve.estimates) for curve in kl.curves] == [len(STEPS), len(CALLS), len(CALLS) - 1]
    measure_run(kl)
    assert not now.missing


@pytest.mark.parametrize(
    ("config", "direction"),
    [
        (SamplerConfig(delta=0.02), MODEL_DATA),
        (SamplerConfig(grid="karras"), MODEL_DATA),
        (SamplerConfig(horizon=4.0), MODEL_DATA),
        (SamplerConfig(sampler="renoise", delta=0.02, renoise=0.9), DATA_MODEL),
        (SamplerConfig(sampler="renoise", delta=0.02), MODEL_DATA),
    ],
)
def test_and_no_other(run, config, direction):
    assert not kl_of_run(run, config, direction).estimates


def test_it_answers_times_of_ones_own_that_are_the_grids(run):
    grid = cm.make_grid(USUAL_GRID, 4, horizon=3.0, delta=0.0)
    asked = Question("deterministic", 4, grid, MODEL_DATA)
    assert estimates.measurement(run, asked).estimate.value == 1 / 4


def answering(asked):
    """Instead of measuring: note what is asked, and answer 1."""

    def kl_points(source, target, steps, **choices):
        asked.append((choices["sampler"], *steps))
        for n in steps:
            delta = choices["grid"].delta
            yield KLPoint(n, n, choices["grid"], Estimate(1.0, 0.9, 1.1, choices["direction"], delta, "none", 1, 0.0))

    return kl_points


def test_measuring_starts_with_the_n_on_screen_and_skips_what_is_measured(monkeypatch, now):
    asked = []
    monkeypatch.setattr(estimates, "kl_points", answering(asked))
    run, config = Run("k", "l", untrained()), SamplerConfig(steps=8)
    estimates.measure(run, Question.on_grid("deterministic", 1, MODEL_DATA, 0.0))
    measure_run(kl_of_run(run, config, MODEL_DATA))
    assert asked[:6] == [("deterministic", n) for n in (1, 8, 8, 2, 4, 16)]  # 8 twice: quickly, and as it stays
    assert {name for name, _ in asked[6:]} == set(BASELINES)
    assert ("heun", 1) not in asked  # it makes two calls in a step
    assert len(asked) == len(set(asked)) + 1


def test_moved_times_on_screen_come_before_all_else(monkeypatch, now):
    asked = []

    def kl_points(source, target, steps, **choices):
        asked.append(choices["grid"].times)
        raise ValueError("Not here.")

    monkeypatch.setattr(estimates, "kl_points", kl_points)
    run, times = Run("k", "l", untrained()), (1.5, 0.6, 0.1)
    measure_run(kl_of_run(run, SamplerConfig(), MODEL_DATA, {4: times, 2: (1.0,)}))
    assert asked[:2] == [(3.0, *times, 0.0)] * 2
    assert (3.0, 1.0, 0.0) not in asked, "those of another N wait until they are on screen"
    assert kl_of_run(run, SamplerConfig(), MODEL_DATA, {4: times}).problem == "Not here."


def test_a_quick_estimate_stands_in_until_there_is_the_real_one(monkeypatch):
    monkeypatch.setattr(estimates, "kl_points", answering([]))
    run = Run("k", "l", untrained())
    kl = kl_of_run(run, SamplerConfig(), MODEL_DATA)
    assert kl.quick is None
    estimates.quick_estimate_of(run, kl.first).measure()
    assert kl_of_run(run, SamplerConfig(), MODEL_DATA).quick.value == 1.0
    estimates.measure(run, kl.first)
    kl = kl_of_run(run, SamplerConfig(), MODEL_DATA)
    assert (kl.quick, set(kl.estimates)) == (None, {4})


def test_what_was_measured_on_one_page_is_there_on_the_other(monkeypatch, now):
    """Explore's chart is the page KL's of one run; the exact score's baselines serve every run of a target."""
    asked = []
    monkeypatch.setattr(estimates, "kl_points", answering(asked))
    one, other = Run("one", "l", untrained()), Run("other", "l", untrained())
    kl = kl_of_run(one, SamplerConfig(), MODEL_DATA)
    measure_run(kl)
    count = len(asked)
    view = View(("one",), BASELINES, "exact", "deterministic", 0.5, USUAL_GRID, 3.0, None, 0.0, MODEL_DATA, 16)
    measure_curves(now, curves_of(view, {"one": one}), bounded=False)
    assert len(asked) == count
    of_other = kl_of_run(other, SamplerConfig(), MODEL_DATA)
    assert not of_other.estimates
    assert [len(curve.estimates) for curve in of_other.curves] == [0, len(CALLS), len(CALLS) - 1]


def test_measuring_stops_when_it_should():
    stop = threading.Event()
    stop.set()
    kl = kl_of_run(Run("k", "l", untrained()), SamplerConfig(), MODEL_DATA)
    with pytest.raises(Interrupted):
        measure_missing([estimates.estimate_of(Run("k", "l", untrained()), kl.first)], Report(stop))


def test_the_chart_and_the_table_hold_every_curve(run):
    kl = kl_of_run(run, SamplerConfig(), MODEL_DATA)
    drawn = lines(kl.view, kl.curves, ONE)
    assert [line.role for line in drawn] == ["model", "baseline", "baseline"]
    assert all(point.calls <= max(STEPS) for line in drawn for point in line.points)
    rows = list(csv.DictReader(io.StringIO(as_csv(kl.view, kl.curves))))
    assert len(rows) == len(STEPS) + len(CALLS) + len(CALLS) - 1  # no step of Heun in one call
    assert {row["run"] for row in rows} == {run.key}
