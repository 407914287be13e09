"""The experiments that train: what must hold of their results however short the training."""

import math

import pytest
from pydantic import ValidationError

from cmcore.divergences import DATA_MODEL, MODEL_DATA
from cmcore.experiments import EXPERIMENTS, Result
from cmcore.experiments.decomposition import PathDecomposition, decompositions
from cmcore.experiments.discretization import Discretization
from cmcore.experiments.learned_dimension import LearnedDimension, crossing
from cmcore.experiments.over_seeds import over_seeds
from cmcore.samplers import ddim
from cmcore.targets import make_target

TINY = {
    "discretization": {"intervals": (16, 32), "steps": 20, "models": 2, "width": 8, "depth": 1, "batch": 32},
    "learned_dimension": {
        "dims": (1, 2, 3), "jumps": 4, "steps": 20, "width": 8, "depth": 1, "batch": 32, "samples": 256,
    },
    "decomposition": {
        "numbers": (1, 3), "steps": 20, "width": 8, "depth": 1, "batch": 32, "points": 256, "landings": 8192,
    },
    "equal_calls": {
        "calls": (2, 4), "steps": 20, "models": 2, "width": 8, "depth": 1, "batch": 32, "samples": 512,
        "landings": 4096, "points": 256,
    },
}  # fmt: skip
IMPOSSIBLE = [
    ("discretization", {"intervals": (8, 8, 16)}, "increase"),
    ("discretization", {"intervals": ()}, "at least 1"),
    ("discretization", {"sd": 1.0}, "0.95"),
    ("learned_dimension", {"dims": (4, 2)}, "increase"),
    ("learned_dimension", {"step": 1.0, "jumps": 20}, "keep T ≤ 8"),
    ("decomposition", {"numbers": (2, 1)}, "increase"),
    ("decomposition", {"target": "torus_knot"}, "one or two dimensions"),
    ("decomposition", {"renoise": 0.0}, "0.05"),
    ("equal_calls", {"calls": (4, 2)}, "increase"),
    ("equal_calls", {"models": 1}, "2"),
]


@pytest.fixture(scope="module")
def results():
    return {name: EXPERIMENTS[name](**fields).run() for name, fields in TINY.items()}


def lines(result, panel):
    return {line.label: line for line in result.series if line.panel == panel}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TINY))
def test_a_result_is_whole_and_survives_json(results, name):
    result = results[name]
    assert Result.from_json(result.to_json()) == result
    assert EXPERIMENTS[name](**result.config).model_dump(mode="json") == result.config
    assert {line.panel for line in result.series} == {panel.name for panel in result.panels}
    for line in result.series:
        assert len(line.x) == len(line.y)
        for value, low, high in zip(line.y, line.low or line.y, line.high or line.y, strict=True):
            assert low <= value <= high
    for panel in result.panels:  # one direction a panel
        told = " ".join(line.how for line in result.series if line.panel == panel.name)
        assert not (MODEL_DATA in told and DATA_MODEL in told)
    assert result.reading.endswith(".")
    assert "nan" not in result.reading


@pytest.mark.parametrize(("name", "fields", "words"), IMPOSSIBLE)
def test_impossible_settings_are_refused(name, fields, words):
    with pytest.raises(ValidationError, match=words):
        EXPERIMENTS[name](**fields)


# ---- E6 ---------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(("panel", "order"), [("map", 1), ("kl", 2)])
def test_the_teachers_own_steps_have_the_slopes_of_theory(results, panel, order):
    line = lines(results["discretization"], panel)["N steps of its teacher"]
    slope = math.log(line.y[0] / line.y[-1]) / math.log(line.x[0] / line.x[-1])
    assert slope == pytest.approx(order, rel=0.05)


def test_a_slope_is_fitted_above_the_floor_alone():
    question = Discretization(intervals=(4, 8, 16, 32, 64, 128))
    tau = [question.sub_step(n) for n in question.intervals]
    pure = [measured(0.5 * at, 0.25 * at**2) for at in tau]
    stuck = [*pure[:4], measured(0.015, 3e-4), measured(0.015, 3e-4)]
    floor = [measured(0.005, 1e-4)] * 6
    for name, order in (("map", 1), ("kl", 2)):
        mine, teachers = question._fits(name, stuck, floor, pure)
        assert mine.slope == pytest.approx(order)
        assert teachers.slope == pytest.approx(order)
        assert mine.over == pytest.approx((tau[0], tau[3]))
        assert question._fits(name, stuck, [measured(0.1, 0.1)] * 6, pure) == ()


def measured(error, kl):
    return {"map": over_seeds([error]), "kl": over_seeds([kl])}


# ---- E2′ --------------------------------------------------------------------------------------------------------
def test_the_crossing_of_an_exponential_is_found_between_the_steps():
    numbers = [1.0, 2.0, 3.0, 4.0]
    values = [math.exp(-1.5 * n) for n in numbers]
    assert crossing(numbers, values, math.exp(-1.5 * 2.3)) == pytest.approx(2.3)
    assert crossing(numbers, values, math.exp(-1.5 * 4.0)) == pytest.approx(4.0)
    assert crossing(numbers, values, 1e-9) is None
    assert crossing(numbers, values, 1.0) is None


@pytest.mark.slow
def test_the_exact_map_pays_for_its_start_d_times(results):
    found = lines(results["learned_dimension"], "kl")
    for d in (2, 3):
        one, many = found["exact map, d = 1"].y, found[f"exact map, d = {d}"].y
        assert many == pytest.approx([d * value for value in one])


def test_the_network_must_find_the_rotation_itself():
    product = LearnedDimension().target(4)
    assert product.rotation is not None
    assert float(product.covariance.diagonal().sum()) == pytest.approx(4)


# ---- E8 ---------------------------------------------------------------------------------------------------------
def assert_adds_up(parts):
    """start + map = paths = measured + slack, for lists of equal length."""
    for start, of_map, paths, measured, slack in zip(*parts, strict=True):
        assert start + of_map == pytest.approx(paths)
        assert measured + slack == pytest.approx(paths)


@pytest.mark.slow
def test_the_parts_add_up(results):
    result = results["decomposition"]
    found = lines(result, "parts")
    names = ("initialisation", "map errors", "KL of the paths (Bound A)", "measured KL", "slack")
    assert_adds_up([found[name].y for name in names])
    for n, of_map in zip(result.config["numbers"], found["map errors"].y, strict=True):
        jumps = lines(result, "jumps")[f"N = {n}"]
        assert len(jumps.y) == n
        assert sum(jumps.y) == pytest.approx(of_map)


def test_a_saved_model_or_any_map_can_be_taken_apart():
    target = make_target("product_of_mixtures", dim=1).factors[0][0]
    one, two = decompositions(ddim(target.score), target, (2, 4), delta=0.1, renoise=0.5, seed=0, n=1024)
    assert two.path.value < one.path.value
    assert one.slack.value > 0


def test_a_target_that_is_not_there_is_refused():
    with pytest.raises(ValidationError, match="nowhere"):
        PathDecomposition(target="nowhere")


# ---- equal calls ------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_the_bound_lies_above_what_it_bounds_and_is_drawn_there_alone(results):
    result = results["equal_calls"]
    bounds = [line for line in result.series if line.role == "bound"]
    assert len(bounds) == 2
    for bound in bounds:
        assert DATA_MODEL in bound.panel
        measured = lines(result, bound.panel)["learned map, renoised"]
        assert all(above > value for above, value in zip(bound.y, measured.y, strict=True))
