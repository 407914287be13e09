"""Runs that differ in their seed alone become one curve; first values come before better ones; δ never moves unsaid."""

import statistics
from dataclasses import replace

import pytest

from app.figures.kl_curve import Line, Point, look_of
from app.kl import question as estimates
from app.kl.curves import View, by_target, curves_of, measure_curves
from app.kl.question import Question
from app.kl.seeds import groups_of_seeds, over_seeds
from app.kl.table import COARSE, lines
from app.kl.together import training_curves_of, view_of
from app.runs.run import Run
from cmcore.config import USUAL_GRID
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA
from tests.app.conftest import untrained

pytestmark = pytest.mark.usefixtures("answered")
VIEW = View((), ("ddim",), "exact", "deterministic", 0.5, USUAL_GRID, 3.0, None, 0.0, MODEL_DATA, 4)


def run(key, name="moons", **changes):
    model = untrained(name)
    history = tuple((50 * k, (1 + model.config.seed + changes.get("seed", 0)) / k, 0.1) for k in range(1, 5))
    return Run(key, "A run", replace(model, config=model.config.model_copy(update=changes), history=history))


def point(calls, value):
    return Point(calls, value, 0.9 * value, 1.1 * value)


def of(*runs):
    return {run.key: run for run in runs}


def test_p7_seeds_stand_together_and_other_trainings_do_not():
    runs = [run("a"), run("b", seed=1), run("c", objective="lsd"), run("d", "eight_gaussians"), run("e", seed=2)]
    assert [[one.key for one in group] for group in groups_of_seeds(runs)] == [["a", "b", "e"], ["c"], ["d"]]


def test_p7_seeds_become_their_median_in_a_band_from_the_lowest_to_the_highest():
    runs = of(run("a"), run("b", seed=1), run("c", seed=2), run("d", objective="lsd"))
    curves = curves_of(replace(VIEW, runs=tuple(runs)), runs)
    values = {0: (0.4, 0.1), 1: (0.2, 0.3), 2: (0.3, 0.2), 3: (0.9, 0.9)}
    drawn = [
        Line(curves[k].label, "model", tuple(map(point, (1, 4), of_run)), *look_of(k), number=k)
        for k, of_run in values.items()
    ]
    merged = over_seeds(drawn, curves)
    assert [line.number for line in merged] == [0, 3]
    assert "3 seeds" in merged[0].label
    assert "seed 0" not in merged[0].label
    for i, shown in enumerate(merged[0].points):
        seeds = [values[k][i] for k in range(3)]
        assert (shown.value, shown.low, shown.high) == (statistics.median(seeds), min(seeds), max(seeds))
        assert "training seeds" in shown.about
        assert "95 % interval" in shown.about


def test_losses_of_seeds_become_a_band_too():
    runs = [run("a"), run("b", seed=1), run("c", objective="lsd")]
    alone = training_curves_of(runs, 1, seeds=False)
    assert [curve.number for curve in alone] == [0, 1, 2]
    band, single = training_curves_of(runs, 1, seeds=True)
    assert band.points[0] == (50, 1.5)
    assert band.band[0] == (50, 1.0, 2.0)
    assert not single.band


def test_p7_a_run_of_another_target_moves_no_delta():
    first, other = run("a"), run("c", "checkerboard")
    assert other.model.delta > 0
    alone = curves_of(replace(VIEW, runs=("a",)), of(first))
    beside = curves_of(replace(VIEW, runs=("a", "c")), of(first, other))
    assert beside[0].questions == alone[0].questions
    assert {curve.delta for curve in by_target(beside)[other.target_key]} == {other.model.delta}
    assert view_of([first, other]).delta == 0


def test_runs_of_one_target_are_compared_at_the_time_that_all_of_them_learned():
    late = run("b", delta=0.05)
    curves = curves_of(replace(VIEW, runs=("a", "b")), of(run("a"), late))
    assert {curve.delta for curve in curves} == {0.05}


def test_p7_every_point_has_a_first_value_before_any_has_a_better_one():
    asked = []

    class Order:
        def measure(self, key, quantities):
            asked.extend(quantities)

    runs = of(run("a"), run("b", seed=1))
    curves = curves_of(replace(VIEW, runs=tuple(runs)), runs)
    measure_curves(Order(), curves, bounded=False)
    points = sum(len(curve.questions) for curve in curves)
    assert [one.memory is estimates._quick for one in asked] == [True] * points + [False] * points
    assert max(one.cost for one in asked[:points]) < max(one.cost for one in asked[points:]), (
        "what is left is told by cost"
    )
    cube = Run("c", "A cube", untrained("gaussian", dim=3))
    above = Question.on_grid("renoise", 4, DATA_MODEL, 0.02)
    assert (
        estimates.quick_estimate_of(cube, above).make.args[-1]
        < estimates.quick_estimate_of(run("a"), above).make.args[-1]
    )


def test_p7_a_first_value_is_drawn_and_said_to_be_one_until_a_better_one_is_there():
    runs = of(run("a"))
    view = replace(VIEW, runs=("a",), baselines=())
    (curve,) = curves_of(view, runs)
    for question in curve.questions:
        estimates.quick_estimate_of(curve.run, question).measure()
    assert not lines(view, [curve]), "elsewhere only what stays is shown"
    (line,) = lines(view, [curve], coarse=True)
    assert all(COARSE in point.about for point in line.points)
    estimates.measure(curve.run, curve.questions[0])
    (line,) = lines(view, [curve], coarse=True)
    assert [COARSE in point.about for point in line.points] == [False, True, True]
