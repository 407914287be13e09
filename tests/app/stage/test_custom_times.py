"""Times that a person moved: checked, put between T and δ, drawn and measured at, and carried by the link."""

import csv
import io
import math
import threading

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import cmcore as cm
from app.background.jobs import Interrupted
from app.background.task import Report
from app.export.snippet import snippet
from app.kl import best_times as search
from app.kl.one_run import kl_of_run
from app.kl.question import SEED, Question, bounds_of, forget, measure
from app.kl.table import ONE, as_csv, lines
from app.runs.library import Run
from app.stage.custom_times import checked_times, fitting, read_times, with_times, write_times
from app.stage.scene import STEPS, grids_of, make_scene, map_layers
from cmcore.chain import renoised_chain
from cmcore.config import USUAL_GRID, SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA
from cmcore.theory import BestChain
from tests.app.conftest import untrained

TIMES = (1.5, 0.6, 0.1)


@pytest.fixture(autouse=True)
def nothing_measured():
    forget()
    yield
    forget()


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ((3.0, 1.0, 0.0), "have 5 times"),
        ((2.0, 1.5, 1.0, 0.5, 0.0), "run from T = 3"),
        ((3.0, 1.5, 1.0, 0.5, 0.1), "to δ = 0"),
        ((3.0, 1.0, 1.0, 0.5, 0.0), "decrease strictly"),
        ((3.0, 1.0, 1.5, 0.5, 0.0), "decrease strictly"),
        ((3.0, math.nan, 1.0, 0.5, 0.0), "finite"),
    ],
)
def test_a_config_refuses_times_that_are_no_grid(times, words):
    with pytest.raises(ValidationError, match=words):
        SamplerConfig(times=times)


def test_a_config_with_times_survives_json():
    config = SamplerConfig(times=(3.0, *TIMES, 0.0))
    assert SamplerConfig.model_validate_json(config.model_dump_json()) == config


def test_only_the_n_of_the_times_takes_them():
    moved = {4: TIMES}
    for n in STEPS:
        config = with_times(SamplerConfig(steps=n), moved)
        assert config.times == ((3.0, *TIMES, 0.0) if n == 4 else None)
        assert grids_of(config, moved)[4].times == (3.0, *TIMES, 0.0)
        assert grids_of(config, moved)[8] == cm.make_grid(USUAL_GRID, 8, horizon=3.0, delta=0.0)


def test_times_that_no_longer_fit_wait():
    moved = {4: TIMES}
    early = SamplerConfig(delta=0.2)
    assert not fitting(moved, early)
    assert with_times(early, moved).times is None
    assert fitting(moved, SamplerConfig(delta=0.05)) == moved


def test_a_link_holds_the_times_of_several_n():
    moved = {2: (0.5,), 4: (1.51234, 0.6, 0.0123456)}
    kept = read_times(write_times(moved))
    assert kept == {2: (0.5,), 4: (1.512, 0.6, 0.01235)}
    assert read_times(write_times(kept)) == kept


@pytest.mark.parametrize("text", ["", "a", "1,2", "1;;2", "0.1,0.2,0.3", "3,2,0", "3,2,-1", "nan", "30", "2,1,1"])
def test_what_is_no_grid_is_a_sentence(text):
    with pytest.raises(ValueError, match="falling numbers"):
        read_times(text)


@pytest.mark.parametrize("times", [None, "1,2,3", [1, 2], [3, 2, "1"], [3, 2, math.inf], [1.0, 0.99999, 0.5]])
def test_what_the_stage_sends_is_checked(times):
    assert checked_times(4, times) is None


def test_the_scene_jumps_at_the_moved_times():
    model = untrained()
    config = SamplerConfig()
    choices = {"key": "k", "config": config, "seed": 3, "particles": 20}
    scene = make_scene(model, model.target, grids=grids_of(config, {4: TIMES}), **choices)
    grid = cm.TimeGrid((3.0, *TIMES, 0.0))
    drawn = cm.sample(model, 20, 4, seed=3, grid=grid)
    assert scene.draws[4].times == grid.times
    np.testing.assert_array_equal(scene.draws[4].states, drawn.states)
    usual = make_scene(model, model.target, **choices)
    np.testing.assert_array_equal(scene.draws[8].states, usual.draws[8].states)
    assert scene.draws[4].progress != usual.draws[4].progress


def test_the_layers_follow_the_moved_times():
    """The mesh after one jump is where one jump to the first moved time takes it."""
    model, config = untrained(), SamplerConfig()
    choices = {"config": config, "seed": 3, "grids": grids_of(config, {4: TIMES}), "particles": 20}
    layers = map_layers(model, model.target, **choices)
    noise = torch.as_tensor(layers.meshes[4][0].reshape(-1, 2))
    landed = model.flow_map(noise, 3.0, TIMES[0]).numpy()
    np.testing.assert_allclose(layers.meshes[4][1].reshape(-1, 2), landed, atol=1e-6)
    assert layers.log_ratios[4].shape == (20,)


def moved_question(n, times, sampler="deterministic"):
    return Question(sampler, n, cm.TimeGrid(times), MODEL_DATA)


def test_moved_times_that_are_the_grid_have_its_kl():
    model = untrained()
    run = Run("eight_gaussians", "Eight Gaussians", model)
    grid = cm.make_grid(USUAL_GRID, 2, horizon=3.0, delta=0.0)
    estimate = measure(run, moved_question(2, grid.times)).estimate
    curve = cm.kl_versus_steps(model, model.target, [2], seed=SEED)
    assert estimate.value == pytest.approx(curve.estimates[0].value)


def test_they_take_the_place_of_the_named_grid_on_the_card_but_not_on_the_curve(answered):
    run = Run("k", "l", untrained())
    config = SamplerConfig(sampler="renoise", delta=0.02, steps=4)
    for n in (2, 4):
        question = Question.on_grid("renoise", n, DATA_MODEL, 0.02)
        measure(run, question)
        bounds_of(run, question).measure()
    kl = kl_of_run(run, config, DATA_MODEL, {4: TIMES, 8: (2.9, 2.8, 2.7, 2.6, 2.5, 2.4, 2.3)})
    assert set(kl.on_grid) == {2, 4}
    assert set(kl.estimates) == {2}, "they are not measured yet"
    assert set(kl.bound) == {2}, "a bound of the named grid says nothing of these times"
    assert kl.first.grid.times == (3.0, *TIMES, 0.02)
    assert kl.first in kl.to_measure[1].questions
    assert len(kl.to_measure[1].questions) == 1, "those of another N wait until they are on screen"
    measure(run, kl.first)
    kl = kl_of_run(run, config, DATA_MODEL, {4: TIMES})
    assert set(kl.estimates) == {2, 4}
    drawn = {line.label: len(line.points) for line in lines(kl.view, kl.curves, ONE)}
    assert drawn.items() >= {"learned map": 2, "Bound A": 2, "The paper’s bound": 2, "moved times": 1}.items()
    rows = {row["curve"]: row for row in csv.DictReader(io.StringIO(as_csv(kl.view, kl.curves)))}
    assert rows["moved times"]["grid"] == "custom"
    assert rows["moved times"]["times"] == "3 1.5 0.6 0.1 0.02"


def test_the_code_measures_at_the_moved_times(monkeypatch):
    monkeypatch.setattr(cm, "load", lambda folder: untrained())
    run = Run("eight_gaussians", "Eight Gaussians", untrained(), shipped=True)
    code = snippet(run, SamplerConfig(steps=2, times=(3.0, 0.5, 0.0)), MODEL_DATA)
    found = {}
    exec(code.replace("print(next(points).estimate)", "point = next(points)"), found)
    assert found["point"].grid.times == (3.0, 0.5, 0.0)
    assert found["point"].estimate.value == pytest.approx(
        measure(run, moved_question(2, (3.0, 0.5, 0.0))).estimate.value
    )


# ---- the search for the best ones ---------------------------------------------------------------------------------
def found(grid, etas, trials=7):
    return BestChain(renoised_chain(grid, etas), 0.01, "uniform_angle", trials)


def test_what_a_search_finds_is_kept_as_times_and_a_share():
    grid = cm.TimeGrid((3.0, 1.23456, 0.4, 0.1, 0.02))
    best = found(grid, [0.3 * t for t in grid.times[1:]])
    assert search.times_of(best) == (1.235, 0.4, 0.1)
    assert search.share_of(best, "renoise") == pytest.approx(0.3)
    papers = found(grid, [min(0.4 * (t - later), 0.9 * later) for t, later in grid.jumps])
    assert search.share_of(papers, "algorithm_1") == pytest.approx(0.4)


def test_a_search_reports_its_share_and_ends_when_it_is_cancelled(monkeypatch):
    run, stop = Run("eight_gaussians", "Eight Gaussians", untrained()), threading.Event()

    def endless(*_, progress, **__):
        while True:
            progress(0.25)
            stop.set()

    monkeypatch.setattr(search, "least_kl", endless)
    report = Report(stop)
    with pytest.raises(Interrupted):
        search.search_times(run, SamplerConfig(), MODEL_DATA, report)
    assert report.share == 0.25


def test_a_search_asks_for_the_draw_on_screen_with_noise_of_its_own(monkeypatch):
    asked = {}

    def least_kl(model, target, steps, **choices):
        asked.update(choices, steps=steps)
        return found(cm.TimeGrid((3.0, 1.0, 0.05)), [0.1, 0.01])

    monkeypatch.setattr(search, "least_kl", least_kl)
    run = Run("eight_gaussians", "Eight Gaussians", untrained())
    config = SamplerConfig(sampler="renoise", delta=0.05, steps=2)
    best = search.search_times(run, config, MODEL_DATA, Report(threading.Event()))
    assert search.times_of(best) == (1.0,)
    assert (asked["steps"], asked["sampler"], asked["delta"], asked["direction"]) == (2, "renoise", 0.05, MODEL_DATA)
    assert asked["seed"] != SEED
