"""The tour of Explore says what is measured of the run on show, and nothing that is not."""

from app.pages.explore.opening import scenes
from app.runs.run import Run
from cmcore.divergences.estimate import Estimate
from tests.app.conftest import untrained


def estimate(value, *, trusted=True):
    return Estimate(value, value / 2, value * 2, "KL(model‖data)", 0.0, "preimages", 500, 0.001, trusted, "")


def words(estimates):
    return [scene.words for scene in scenes(Run("one", "One", untrained()), estimates, 2_000)]


def test_p5_the_tour_goes_from_noise_by_one_and_four_jumps_to_the_curve_and_the_paper():
    shown = scenes(Run("one", "One", untrained()), {}, 2_000)
    assert [(scene.light, scene.steps) for scene in shown] == [
        ("stage", 4), ("stage", 1), ("stage", 4), ("chart", 4), ("theory", 4),
    ]  # fmt: skip
    assert shown[0].u == 0
    assert 25 <= sum(scene.seconds for scene in shown) <= 35


def test_the_tour_takes_its_numbers_from_the_run():
    told = words({1: estimate(0.5), 4: estimate(0.05)})
    assert "0.50 nats" in told[1]
    assert "0.050 nats: 10 times less" in told[2]


def test_a_gain_that_is_none_and_a_number_that_is_none_are_not_told():
    assert "times" not in words({1: estimate(0.05), 4: estimate(0.05)})[2]
    assert "nats" not in "".join(words({1: estimate(0.5, trusted=False), 4: estimate(0.0005)}))
    assert "nats" not in "".join(words({}))
