"""Networks of anybody's as maps: every prediction on every path is the same map, and exact ones are exact."""

import math

import pytest
import torch

import cmcore as cm
from cmcore.wrap import PATHS

TWO_TIMES = ("average_velocity", "flow_map")
MEAN, SPREAD = torch.tensor([0.4, -0.3], dtype=torch.float64), 0.6
SCALE, SHIFT = 2.5, torch.tensor([3.0, -1.0], dtype=torch.float64)
TIMES = (2.0, 0.7)


def target():
    return cm.GaussianMixture([1.0], [MEAN.tolist()], SPREAD**2)


class Gaussian:
    """What an ideal network says of data c + k x₀, x₀ a Gaussian, on a path, in closed form."""

    def __init__(self, path, predicts):
        self.path, self.predicts = PATHS[path], predicts
        self.mean, self.spread = SHIFT + SCALE * MEAN, SCALE * SPREAD

    def at(self, tau):
        a, b = self.path.coefficients(tau[:, None])
        return a, b, (a * a * self.spread**2 + b * b).sqrt()

    def __call__(self, z, tau, end=None):
        a, b, spread = self.at(tau)
        score = -(z - a * self.mean) / spread**2
        eps = -b * score
        data = (z - b * eps) / a
        da, db = self.path.slopes(tau[:, None])
        answers = {"x0": data, "consistency": data, "eps": eps, "score": score, "velocity": da * data + db * eps}
        if end is None:
            return answers[self.predicts]
        a_end, _, spread_end = self.at(end)
        there = a_end * self.mean + spread_end / spread * (z - a * self.mean)
        return there if self.predicts == "flow_map" else (there - z) / (end - tau)[:, None]


def points(n=50):
    return target().sample(n, t=TIMES[0], generator=torch.Generator().manual_seed(1))


def wrapped(path, predicts):
    return cm.wrap(Gaussian(path, predicts), predicts=predicts, path=path, scale=SCALE, shift=SHIFT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("predicts", ["x0", "eps", "score", "velocity"])
def test_a_network_of_one_time_makes_the_step_of_ddim(path, predicts):
    x, (t, s) = points(), TIMES
    score = target().score(x, t)
    noise = -math.sqrt(-math.expm1(-2 * t)) * score
    data = math.exp(t) * (x + -math.expm1(-2 * t) * score)
    expected = math.exp(-s) * data + math.sqrt(-math.expm1(-2 * s)) * noise
    torch.testing.assert_close(wrapped(path, predicts)(x, t, s), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("predicts", TWO_TIMES)
def test_a_network_of_two_times_that_is_exact_has_no_kl(path, predicts):
    f, grid = wrapped(path, predicts), [2.0, 0.7, 0.0]
    torch.testing.assert_close(f(points(), *TIMES), cm.ExactFlow(target())(points(), *TIMES), rtol=1e-6, atol=1e-6)
    start = [2.0, 0.0]
    # N(0, I) instead of the law at T is all that is left, by Gaussians; two jumps and one make the same law.
    several, one = (cm.kl(f, target(), times, seed=0).value for times in (grid, start))
    assert several == pytest.approx(one, rel=1e-6)
    v, m = SPREAD**2 * math.exp(-4) - math.expm1(-4), MEAN * math.exp(-2)
    ideal = float((1 / v + m.square() / v - 1 + math.log(v)).sum() / 2)  # KL(N(0, I) ‖ law at T), kept by the flow
    assert one == pytest.approx(ideal, rel=1e-6)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("predicts", ["x0", "eps", "velocity", *TWO_TIMES])
def test_a_jump_of_no_length_moves_nothing_also_at_the_data(path, predicts):
    f, x = wrapped(path, predicts), points()
    for t in (2.0, 1e-3, 0.0):
        assert torch.equal(f(x, t, t), x)


@pytest.mark.parametrize("path", PATHS)
def test_a_consistency_network_lands_on_the_data_whatever_the_end(path):
    f, x = wrapped(path, "consistency"), points()
    exact = cm.wrap(Gaussian(path, "x0"), predicts="x0", path=path, scale=SCALE, shift=SHIFT)(x, 2.0, 0.0)
    torch.testing.assert_close(f(x, 2.0, 0.0), exact, rtol=1e-11, atol=1e-11)
    assert cm.check_map(f, 2).uses_end is False


def test_times_may_be_one_for_each_point_and_as_the_network_takes_them():
    asked = []

    def network(z, sigma):
        asked.append(sigma)
        return torch.zeros_like(z)

    x = points(3)
    t = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    f = cm.wrap(network, predicts="x0", path="ve", time=lambda sigma: sigma.log() / 4)
    together = f(x, t, 0.1)
    torch.testing.assert_close(asked[0], (2 * t).expm1().sqrt().log() / 4)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], f(x[i : i + 1], float(t[i]), 0.1))


def test_a_module_is_asked_in_the_dtype_of_its_weights_and_its_kl_in_float64():
    class Shrinks(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(0.2))

        def forward(self, z, tau):
            assert z.dtype == tau.dtype == self.weight.dtype
            return self.weight * z / (1 + tau[:, None] ** 2)

    f = cm.wrap(Shrinks(), predicts="x0", path="ve")
    assert cm.sample(f, 10, 1, dim=2, seed=0, grid=[3.0, 0.1]).points.dtype == torch.float32
    assert cm.kl(f, target(), [3.0, 0.1], seed=0, n=1000).trusted


@pytest.mark.parametrize(
    ("choices", "word"),
    [
        ({"predicts": "noise"}, "average_velocity"),
        ({"predicts": "eps", "path": "cosine"}, "flow_matching"),
        ({"predicts": "eps", "scale": 0.0}, "scale"),
    ],
)
def test_choices_that_are_none_are_refused_in_a_sentence(choices, word):
    with pytest.raises(ValueError, match=word):
        cm.wrap(lambda z, tau: z, **choices)
    with pytest.raises(ValueError, match="network"):
        cm.wrap(3, predicts="eps")
