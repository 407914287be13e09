"""A seed is an integer: whatever else is given is refused in one sentence, wherever it is given."""

import numpy as np
import pytest

import cmcore as cm
from cmcore.config import TrainingConfig, checked_seed
from cmcore.experiments import EXPERIMENTS
from cmcore.streams import stream

GRID = cm.make_grid("uniform_angle", 1, horizon=3.0, delta=0.1)


@pytest.mark.parametrize("seed", [1.0, True, None, "1", 2**70, np.float64(3), [1]])
def test_n9_a_seed_is_an_integer(seed):
    target = cm.make_target("moons")
    asked = (
        lambda: stream(seed, "anything"),
        lambda: cm.sample(target, 4, 1, sampler="ddim", seed=seed),
        lambda: cm.kl(lambda x, t, s: x, target, GRID, seed=seed),
        lambda: TrainingConfig(steps=1, seed=seed),
        lambda: EXPERIMENTS["dimension"](seed=seed),
    )
    for ask in asked:
        with pytest.raises(ValueError, match="A seed is an integer"):
            ask()


def test_integers_of_every_library_are_seeds():
    assert [checked_seed(np.int64(3)), checked_seed(np.uint8(3)), checked_seed(3), checked_seed(-1)] == [3, 3, 3, -1]
