"""What the stage is given: the same noise for every N, paths that start where the draws start, bands that hold mass."""

import numpy as np
import pytest

import cmcore as cm
from app.components.buffer import unpack
from app.components.particle_stage import scene_message
from app.scene import BANDS, STEPS, density_image, extent_of, make_scene, plane
from cmcore.config import SamplerConfig
from cmcore.streams import stream
from tests.app.conftest import untrained


def scene_of(model, **choices):
    config = SamplerConfig(**{"delta": model.delta, **choices})
    return make_scene(model, model.target, key="k", config=config, seed=3)


@pytest.fixture(scope="module")
def deterministic():
    return scene_of(untrained())


@pytest.fixture(scope="module")
def renoised():
    return scene_of(untrained(), sampler="renoise", delta=0.02)


def test_every_n_starts_from_the_same_noise(deterministic, renoised):
    noise = deterministic.draws[1].states[0]
    for scene in (deterministic, renoised):
        for draw in scene.draws.values():
            np.testing.assert_array_equal(draw.states[0], noise)


def test_progress_runs_from_noise_to_data_evenly_in_angle(deterministic):
    for n, draw in deterministic.draws.items():
        np.testing.assert_allclose(draw.progress, np.linspace(0, 1, n + 1), atol=1e-9)


def test_exact_paths_start_at_the_noise_and_end_in_the_data(deterministic):
    noise, target = deterministic.draws[1].states[0], untrained().target
    m = deterministic.exact.shape[1]
    np.testing.assert_allclose(deterministic.exact[0], noise[:m], atol=1e-6)
    off = target.means.numpy()[None] - deterministic.exact[-1][:, None]
    assert np.linalg.norm(off, axis=-1).min(axis=1).max() < 0.15 * 5


def test_an_exact_model_has_no_error():
    target = untrained().target
    config = SamplerConfig(delta=0.02)
    scene = make_scene(cm.ExactFlow(target, tolerance=1e-7), target, key="k", config=config, seed=3)
    m = scene.exact.shape[1]
    for n in STEPS:
        np.testing.assert_allclose(scene.draws[n].states[-1][:m], scene.exact[-1], atol=2e-3)


def test_renoised_jumps_are_compared_from_where_they_began(renoised):
    assert renoised.exact is None
    for n, draw in renoised.draws.items():
        m = draw.legs.shape[2]
        assert draw.legs.shape[0] == n
        np.testing.assert_allclose(draw.legs[:, 0], draw.states[:-1, :m], atol=1e-6)


def test_the_message_holds_every_draw(deterministic):
    header, arrays = unpack(scene_message(deterministic, steps=4, labels={1: ".12"}))
    assert header["steps"] == 4
    assert header["labels"] == {"1": ".12"}
    for n in STEPS:
        assert arrays[f"states_{n}"].shape == (n + 1, 2000, 2)
        assert len(header["times"][str(n)]) == n + 1
    assert arrays["exact"].shape[1] == header["followed"]


def test_bands_hold_their_shares_of_the_data():
    target = cm.make_target("eight_gaussians")
    image, extent = density_image(target, 0.0), extent_of(target)
    points = plane(target.sample(20_000, generator=stream(1, "test")))
    rows = ((extent - points[:, 1]) / (2 * extent) * len(image)).astype(int)
    columns = ((points[:, 0] + extent) / (2 * extent) * len(image)).astype(int)
    opacity = image[rows, columns]
    levels = np.cumsum(list(BANDS.values()))
    for share, level in zip(BANDS, levels, strict=True):
        assert (opacity >= level).mean() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("name", "parameters"), [("two_atoms", {}), ("gaussian", {"dim": 3}), ("gaussian", {"dim": 1})]
)
def test_laws_without_a_density_and_other_dimensions_can_be_drawn(name, parameters):
    if name not in cm.targets():
        pytest.skip(f"no target named {name}")
    model = untrained(name, **parameters)
    scene = scene_of(model)
    assert scene.density.max() == sum(BANDS.values())
    assert scene.draws[4].states.shape == (5, 2000, 2)
    assert scene.exact.shape[-1] == 2
