"""How samples are drawn by default keeps to what was learned, whatever the objective, and can always be measured."""

import pytest

import cmcore as cm
from cmcore.config import TrainingConfig
from cmcore.divergences import DATA_MODEL, MODEL_DATA
from cmcore.objectives import OBJECTIVES
from cmcore.samplers import SAMPLERS
from cmcore.sampling_defaults import SamplingDefaults, delta_for, direction_for, own_samples, sampling_defaults


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_defaults_ask_for_nothing_that_was_not_learned(objective):
    own = sampling_defaults(TrainingConfig(objective=objective, steps=1))
    assert SAMPLERS[own.sampler].needs == "map"
    if not own.velocity_only:
        assert own.caution(own.sampler, own.renoise, steps=8) == ""
    assert bool(own.learned) == (own.single_time or own.velocity_only)


@pytest.mark.parametrize(
    ("sampler", "renoise", "steps", "learned"),
    [
        ("deterministic", 1.0, 1, True),
        ("deterministic", 1.0, 2, False),
        ("renoise", 0.5, 2, False),
        ("renoise", 1.0, 16, True),
    ],
)
def test_a_map_that_jumps_to_delta_alone_is_cautioned_of_other_jumps(sampler, renoise, steps, learned):
    own = sampling_defaults(TrainingConfig(objective="ct", steps=1))
    assert (own.caution(sampler, renoise, steps) == "") == learned
    assert "no score" in own.no_score


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("learned", [0.0, 0.01, 0.3])
def test_noise_is_left_where_noise_comes_last_and_the_kl_fits_it(name, learned):
    kind = SAMPLERS[name]
    assert delta_for(name, learned) >= learned
    assert (delta_for(name, learned) > 0) or not kind.noisy or kind.ends_noiseless
    assert direction_for(name) == (DATA_MODEL if kind.noisy else MODEL_DATA)


def test_an_objective_of_a_later_version_is_sampled_as_any_map():
    assert sampling_defaults(TrainingConfig(objective="of_the_future", steps=1)) == SamplingDefaults()


@pytest.mark.parametrize("objective", ["cd", "lsd"])
@pytest.mark.parametrize("target", ["two_atoms", "moons"])
def test_every_map_is_drawn_to_its_own_last_time(objective, target):
    """A map of one time on data without a density has no time left to add noise in after its last jump."""
    network = cm.NetworkConfig(width=8, depth=2)
    model = cm.train(cm.make_target(target), objective=objective, steps=2, network=network)
    draw = own_samples(model, 16, 4, seed=0)
    assert draw.delta == model.delta == (0.01 if target == "two_atoms" else 0)
    assert draw.points.isfinite().all()
