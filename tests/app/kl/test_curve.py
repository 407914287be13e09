"""Shipped curves are used where they answer what is asked, and only there; measuring fills in the rest."""

import json
import threading

import pytest

import cmcore as cm
from app.kl import curve as measurements
from app.kl import question as estimates
from app.kl.curve import BASELINE_CALLS, BASELINES, Measured, as_csv, lines
from app.runs.library import Run, _load
from app.stage.scene import STEPS
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA, Estimate
from cmcore.measure import KLPoint
from tests.app.conftest import untrained


@pytest.fixture(autouse=True)
def nothing_measured():
    estimates.forget()
    yield
    estimates.forget()


def curve(sampler, direction, delta, *, renoise=0.5):
    steps = BASELINE_CALLS if sampler in BASELINES else STEPS
    points = tuple(Estimate(1 / n, 0.9 / n, 1.1 / n, direction, delta, "closed_form", 100, 0.0) for n in steps)
    config = {"grid": "uniform_angle", "horizon": 3.0, "delta": delta, "renoise": renoise, "n": None, "target": "t"}
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
    return _load(tmp_path / "eight_gaussians")


def test_a_shipped_curve_answers_its_own_question(run):
    known = measurements.known_now(run, SamplerConfig(), MODEL_DATA)
    assert {n: e.value for n, e in known.estimates.items()} == {n: 1 / n for n in STEPS}
    assert all(e.direction == MODEL_DATA for e in known.estimates.values())
    assert set(known.baselines) == set(BASELINES)
    assert not any(measurements._parts(run, SamplerConfig(), MODEL_DATA))


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
    known = measurements.known_now(run, config, direction)
    assert not known.estimates
    assert any(measurements._parts(run, config, direction))


def answering(asked):
    """Instead of measuring: note what is asked, and answer 1."""

    def kl_points(source, target, steps, **choices):
        asked.append((choices["sampler"], *steps))
        for n in steps:
            delta = choices["grid"].delta
            yield KLPoint(n, n, choices["grid"], Estimate(1.0, 0.9, 1.1, choices["direction"], delta, "none", 1, 0.0))

    return kl_points


def test_measuring_starts_with_the_n_on_screen_and_skips_what_is_known(monkeypatch):
    asked = []
    monkeypatch.setattr(estimates, "kl_points", answering(asked))
    run, config = Run("k", "l", untrained()), SamplerConfig(steps=8)
    estimates.measure_point(run, measurements.question_of(config, MODEL_DATA, "deterministic", 1))
    told = list(measurements._measure(run, config, MODEL_DATA, Measured(), threading.Event()))
    assert asked[:6] == [("deterministic", n) for n in (1, 8, 8, 2, 4, 16)]  # 8 twice: a first look, and the estimate
    assert {name for name, _ in asked[6:]} == set(BASELINES)
    assert ("heun", 1) not in asked  # it makes two calls in a step
    first, then, *_ = told
    assert first.waiting == "Quick estimate."
    assert first.first is None
    assert then.waiting == "Measuring N = 8."
    assert then.first is not None
    assert 8 not in then.estimates
    assert told[-1].waiting == ""
    assert told[-1].first is None
    assert set(told[-1].estimates) == set(STEPS)


def test_what_was_measured_for_one_is_known_to_all_and_the_exact_score_to_every_run(monkeypatch):
    asked = []
    monkeypatch.setattr(estimates, "kl_points", answering(asked))
    one, other = Run("one", "l", untrained()), Run("other", "l", untrained())
    list(measurements._measure(one, SamplerConfig(), MODEL_DATA, Measured(), threading.Event()))
    assert not any(measurements._parts(one, SamplerConfig(steps=2), MODEL_DATA))
    assert set(measurements.known_now(other, SamplerConfig(), MODEL_DATA).baselines) == set(BASELINES)
    assert not measurements.known_now(other, SamplerConfig(), MODEL_DATA).estimates


def test_measuring_stops_when_told():
    stop = threading.Event()
    stop.set()
    assert not list(measurements._measure(Run("k", "l", untrained()), SamplerConfig(), MODEL_DATA, Measured(), stop))


def test_the_chart_and_the_table_hold_every_curve(run):
    known = measurements.known_now(run, SamplerConfig(), MODEL_DATA)
    assert [line.role for line in lines(known)] == ["model", "baseline", "baseline"]
    table = as_csv(known).splitlines()
    assert table[0].startswith("curve,network_calls,value,low,high,direction")
    assert len(table) == 1 + len(STEPS) + len(BASELINE_CALLS) + len(BASELINE_CALLS) - 1  # no step of Heun in one call
