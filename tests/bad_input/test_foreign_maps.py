"""Maps from elsewhere: what is wrong with one is said in a sentence, before anything long is computed."""

import math
from inspect import signature

import numpy as np
import pytest
import torch

import cmcore as cm
from cmcore import divergences
from cmcore.chain import make_chain
from cmcore.divergences import direction_of, kl_neighbours
from cmcore.samplers import SAMPLERS

TARGET = cm.make_target("moons")
TWO = [3.0, 1.0, 0.0]


def sound(x, t, s):
    """cos x − sin F of some F: f(x, t, t) = x, and s matters."""
    return x + (t - s) * torch.tanh(x)


def without_gradient(x, t, s):
    with torch.no_grad():
        return sound(x, t, s)


def detached(x, t, s):
    return x.detach() + (t - s) * torch.tanh(x) - 0.5 * (x - x.detach())


def in_place(x, t, s):
    x *= 1 + t - s
    return x


NETWORK = torch.nn.Linear(2, 2)
DROPOUT = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
BROKEN = {
    "another dtype": (lambda x, t, s: NETWORK(x), "pass the torch module itself"),
    "numpy": (lambda x, t, s: np.asarray(x), "a numpy array where a torch tensor"),
    "another shape": (lambda x, t, s: x[:, :1], r"with shape \(\d+, 1\)"),
    "not finite": (lambda x, t, s: x / 0, "not finite"),
    "arguments": (lambda x, t: x, "it raises"),
    "changes x": (in_place, "changes the points"),
    "whole numbers": (lambda x, t, s: x.long(), "answers in torch.int64"),
}
UNMEASURABLE = {
    "no gradient": (without_gradient, "no derivative in x"),
    "detached": (detached, "not that of its answers"),
    "chance": (lambda x, t, s: x + 0.1 * torch.randn(x.shape, dtype=x.dtype), "otherwise when asked again"),
    "the batch": (lambda x, t, s: x - x.mean(0), "depends on the points beside it"),
    "ignores s": (lambda x, t, s: 0.5 * x, "whatever s it is asked for"),
    "no map": (3, r"Expected a map \(x, t, s\)"),
}


@pytest.mark.parametrize("name", [*BROKEN, *UNMEASURABLE])
def test_o5_a_kl_of_a_broken_map_is_refused_in_a_sentence(name):
    f, words = (BROKEN | UNMEASURABLE)[name]
    with pytest.raises(ValueError, match=words):
        cm.kl(f, TARGET, TWO, seed=0)
    with pytest.raises(ValueError, match=words):
        cm.kl_versus_steps(f, TARGET, [2], seed=0)


@pytest.mark.parametrize("name", BROKEN)
def test_o4_a_draw_of_a_broken_map_is_refused_in_a_sentence(name):
    f, words = BROKEN[name]
    with pytest.raises(ValueError, match=words):
        cm.sample(f, 10, 2, seed=0, dim=2)


def test_o4_what_has_no_derivative_can_be_drawn_from():
    draw = cm.sample(without_gradient, 10, 2, seed=0, dim=2)
    torch.testing.assert_close(draw.points, cm.sample(sound, 10, 2, seed=0, dim=2).points)


def test_o5_what_a_check_says():
    assert cm.check_map(sound, 2).sound
    assert "Nothing speaks against it" in str(cm.check_map(sound, 2))
    report = cm.check_map(lambda x, t, s: 0.5 * x, 2)
    assert (report.uses_end, report.stays, report.problems) == (False, False, ())
    assert len(report.notes) == 2
    rounded = cm.check_map(lambda x, t, s: sound(x.float(), t, s).to(x), 2)
    assert rounded.sound
    assert "float32" in str(rounded)
    assert cm.check_map(cm.ExactFlow(TARGET), 2, delta=0.1).sound
    assert not cm.check_map(without_gradient, 2).sound
    assert not cm.check_map(without_gradient, 2).problems


def test_o5_a_map_to_data_alone_can_make_one_jump():
    assert cm.kl(lambda x, t, s: 0.5 * x, cm.make_target("three_gaussians"), [3.0, 0.0], seed=0).value > 0


def test_o4_a_grid_is_a_list_or_said_to_be_none():
    target = cm.make_target("three_gaussians")
    of_list, of_grid = (cm.kl(sound, target, grid, seed=0) for grid in (TWO, cm.grids.custom(TWO)))
    assert of_list == of_grid
    draws = [cm.sample(sound, 5, 2, grid=grid, seed=0, dim=2).points for grid in (TWO, np.array(TWO))]
    assert torch.equal(*draws)
    for grid in ("uniform_angle", [3.0], [0.0, 3.0], 3.0, ["a", "b"], None):
        with pytest.raises(ValueError, match="grid"):
            cm.kl(sound, target, grid, seed=0)


@pytest.mark.parametrize("steps", [2.5, True, 0, "2", None])
def test_d6_steps_and_n_are_whole_numbers(steps):
    with pytest.raises(ValueError, match="whole number of jumps"):
        cm.sample(sound, 5, steps, seed=0, dim=2)
    with pytest.raises(ValueError, match="whole number of samples"):
        cm.sample(sound, steps, 2, seed=0, dim=2)


@pytest.mark.parametrize("way", ["reverse", "", "KL(data‖data)", "model", 3, True])
def test_o2_an_unknown_direction_is_refused_with_the_choices(way):
    x = torch.randn(600, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for ask in (
        lambda: direction_of(way),
        lambda: cm.kl(sound, TARGET, TWO, seed=0, direction=way),
        lambda: cm.kl_versus_steps(sound, TARGET, [2], seed=0, direction=way),
        lambda: kl_neighbours(x, x.flip(0) + 1e-3, direction=way),
        lambda: cm.Estimate(1.0, 0.5, 2.0, way, 0.0, "none", 1, 0.0),
    ):
        with pytest.raises(ValueError, match="A direction is"):
            ask()


@pytest.mark.parametrize("way", ["KL(data||model)", "kl(data ‖ model)", "data-model", "data_model", "KL(data∥model)"])
def test_o2_one_function_knows_every_spelling(way):
    assert cm.kl(sound, cm.make_target("gaussian", dim=1), TWO, seed=0, direction=way).direction == "KL(data‖model)"


def test_o2_other_names_are_refused_with_the_choices():
    for ask, known in (
        (lambda: cm.sample(sound, 5, 2, seed=0, dim=2, sampler="euler-maruyama"), "euler_maruyama"),
        (lambda: cm.sample(sound, 5, 2, seed=0, dim=2, grid="uniform"), "uniform_angle"),
        (lambda: cm.sample(sound, 5, 2, seed=0, dim=2, score="learned"), "'model'"),
        (lambda: cm.kl(sound, TARGET, TWO, seed=0, sampler="ddim"), "'renoise'"),
        (lambda: cm.kl_versus_steps(sound, TARGET, [2], seed=0, grid="even"), "uniform_angle"),
    ):
        with pytest.raises(ValueError, match=known):
            ask()
    assert set(SAMPLERS)


def test_o4_numpy_samples_are_samples():
    x, y = (np.random.default_rng(seed).normal(size=(600, 2)) for seed in (1, 2))
    assert kl_neighbours(x, y) == kl_neighbours(torch.from_numpy(x), torch.from_numpy(y))


class Jagged(cm.Samples):
    """A score of one's own with a jump in it."""

    smooth, has_score = True, True

    def score(self, x, t=0.0):
        return -x + x.sign()


def test_o4_a_flow_that_cannot_be_followed_says_so(monkeypatch):
    def stuck(*_, **__):
        raise AssertionError("underflow in dt 0.0")

    monkeypatch.setattr("torchdiffeq.odeint", stuck)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(ValueError, match="Compute it in float64"):
        cm.ExactFlow(Jagged(x))(x, 3.0, 0.1)


def test_o3_a_table_says_what_is_not_trusted():
    curve = cm.kl_versus_steps(cm.make_target("moons"), cm.make_target("moons"), [2], seed=0, sampler="ddim", n=512)
    estimate = curve.estimates[0]
    untrusted = cm.Estimate(math.nan, 0.0, math.inf, "model-data", 0.0, "none", 1, math.inf, trusted=False, note="no")
    frame = cm.Curve("steps", (2.0, 4.0), (estimate, untrusted), (2, 4), "ddim", {}, 0).to_frame()
    assert list(frame["trusted"]) == [estimate.trusted, False]
    assert math.isnan(frame["value"][1])
    doubtful = cm.Estimate(3.0, 1.0, math.inf, "model-data", 0.0, "none", 1, math.inf, trusted=False, note="no")
    frame = cm.Curve("steps", (2.0,), (doubtful,), (2,), "ddim", {}, 0).to_frame()
    assert math.isnan(frame["value"][0])
    assert (frame["low"][0], frame["raw_value"][0]) == (1.0, 3.0)


@pytest.mark.parametrize(
    "name", ["kl_1d", "kl_product", "kl_gaussian", "kl_change_of_variables", "kl_convolution_grid", "kl_sandwich"]
)
def test_o2_estimators_called_directly_are_as_strict(name):
    target, chain = cm.make_target("moons"), make_chain(cm.make_grid("uniform_angle", 1, horizon=3.0, delta=0.5))
    estimator = getattr(divergences, name)
    place = chain.grid if name == "kl_change_of_variables" else chain
    settings = {name: value for name, value in {"seed": 0, "n": 512}.items() if name in signature(estimator).parameters}
    with pytest.raises(ValueError, match="direction"):
        estimator(lambda x, t, s: x, target, place, direction="reverse", **settings)
