"""A start of one's own: the same paths that a particle starting there has, in the scene, the link and the message."""

import math
from dataclasses import replace

import numpy as np
import pytest

import cmcore as cm
from app.components.buffer import unpack
from app.components.particle_stage import scene_message
from app.stage.own_start import checked_start, own_paths, read_start, with_start, write_start
from app.stage.scene import MapLayers, grids_of, make_scene
from cmcore.config import SamplerConfig
from cmcore.samplers import starting_noise
from tests.app.conftest import untrained

RENOISED = SamplerConfig(sampler="renoise", delta=0.02)
PARTICLES = 60


def scene_of(model, config):
    return make_scene(model, model.target, key="k", config=config, seed=3, particles=PARTICLES)


def own_of(model, config, start, **choices):
    return own_paths(model, model.target, config=config, grids=grids_of(config), start=start, seed=3, **choices)


def test_a_start_where_a_particle_starts_goes_where_the_particle_goes():
    model = untrained()
    scene = scene_of(model, SamplerConfig())
    own = own_of(model, SamplerConfig(), tuple(starting_noise(PARTICLES, 2, seed=3)[5].tolist()))
    for n, draw in scene.draws.items():
        np.testing.assert_allclose(own.draws[n].states[:, 0], draw.states[:, 5], atol=1e-5)
    np.testing.assert_allclose(own.exact[:, 0], scene.exact[:, 5], atol=2e-3)


def test_the_exact_map_ends_where_the_exact_path_ends():
    target = untrained().target
    config = SamplerConfig(delta=0.02)
    flow = cm.ExactFlow(target, tolerance=1e-8)
    own = own_paths(flow, target, config=config, grids=grids_of(config), start=(1.0, -0.5), seed=0)
    for draw in own.draws.values():
        np.testing.assert_allclose(draw.states[-1, 0], own.exact[-1, 0], atol=1e-3)


@pytest.mark.parametrize("config", [SamplerConfig(), RENOISED])
def test_it_is_the_last_of_those_followed_and_moves_no_other(config):
    model = untrained()
    scene, own = scene_of(model, config), own_of(model, config, (0.25, -1.0))
    joined = with_start(scene, own)
    at = scene.followed
    assert joined.followed == at + 1
    for n, draw in joined.draws.items():
        np.testing.assert_array_equal(np.delete(draw.states, at, axis=1), scene.draws[n].states)
        np.testing.assert_allclose(draw.states[0, at], (0.25, -1.0))
    header, arrays = unpack(scene_message(joined, steps=4))
    assert header["own"] == at == header["followed"] - 1
    assert header["start"] == [0.25, -1.0]
    assert "Your start (0.25, -1)" in header["summaries"]["4"]
    assert arrays["states_4"].shape == (5, PARTICLES + 1, 2)


def test_layers_keep_the_colour_of_every_particle():
    model = untrained()
    scene = scene_of(model, SamplerConfig())
    ratios = {n: np.linspace(-1, 1, PARTICLES) for n in scene.draws}
    layers = MapLayers(3.0, dict.fromkeys(ratios, np.zeros((2, 2, 2))), ratios, {})
    joined = with_start(replace(scene, layers=layers), own_of(model, SamplerConfig(), (0.0, 0.0)))
    for n, ratio in joined.layers.log_ratios.items():
        np.testing.assert_array_equal(np.delete(ratio, scene.followed), ratios[n])


def test_fresh_noise_is_pinned_until_another_release():
    model = untrained()
    first, again, other = (own_of(model, RENOISED, (1.0, 1.0), release=r).draws[4].states for r in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first[-1], other[-1])


def test_a_link_holds_it():
    assert read_start(write_start((1.25, -0.001))) == (1.25, -0.001)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "nan,1", "1,nan", "inf,0", "0,1e9"])
def test_what_is_no_start_is_a_sentence(text):
    with pytest.raises(ValueError, match="a start is x,y"):
        read_start(text)


@pytest.mark.parametrize("at", [None, [], [1], ["a", 2], [math.nan, 1], {"x": 1}, [True, None]])
def test_what_the_stage_sends_is_checked(at):
    assert checked_start(at) is None
