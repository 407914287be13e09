"""What the stage is given: the same noise for every N, paths that start where the draws start, bands that hold mass."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import cmcore as cm
from app.components.buffer import POSITION_RANGE, unpack
from app.components.particle_stage import STROKE, scene_message
from app.stage.scene import (
    BANDS,
    MESH_SIDE,
    PIXELS,
    STEPS,
    _bands,
    _density,
    density_image,
    extent_of,
    grids_of,
    make_scene,
    map_layers,
    plane,
)
from cmcore.config import SamplerConfig
from cmcore.flow import velocity_in_angle
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


def test_progress_is_the_share_of_the_angle_from_noise_to_data(deterministic):
    for n, draw in deterministic.draws.items():
        np.testing.assert_allclose(draw.progress, 1 - np.linspace(1, 0, n + 1) ** 2, atol=1e-9)


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
    header, arrays = unpack(scene_message(replace(deterministic, labels={1: ".12"}), steps=4))
    assert header["steps"] == 4
    assert header["labels"] == {"1": ".12"}
    for n in STEPS:
        assert arrays[f"states_{n}"].shape == (n + 1, 2000, 2)
        assert len(header["times"][str(n)]) == n + 1
    assert arrays["exact"].shape[1] == header["followed"]


def test_a_message_of_two_maps_says_once_what_they_share(deterministic):
    other = replace(deterministic, title="the other", labels={1: ".34"})
    alone = scene_message(deterministic, steps=4)
    header, arrays = unpack(scene_message(replace(deterministic, title="one"), other, steps=4))
    assert header["title"] == "one"
    (beside,) = header["beside"]
    assert (beside["title"], beside["labels"]) == ("the other", {"1": ".34"})
    own = {name for name in arrays if name.startswith("0/")}
    assert own == {f"0/states_{n}" for n in STEPS}
    assert set(arrays) - own == set(unpack(alone)[1])


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


# ---- what the map does to the plane -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def exact_layers():
    """For two N: it lands in the same places for all."""
    target, config = untrained().target, SamplerConfig()
    grids = {n: grid for n, grid in grids_of(config).items() if n in (1, 4)}
    return map_layers(cm.ExactFlow(target, tolerance=1e-5), target, config=config, grids=grids, seed=3)


def test_the_mesh_starts_as_an_even_square_of_noise(exact_layers):
    for n, mesh in exact_layers.meshes.items():
        assert mesh.shape == (n + 1, MESH_SIDE, MESH_SIDE, 2)
        np.testing.assert_allclose(mesh[0, 0, :, 0], np.linspace(-exact_layers.reach, exact_layers.reach, MESH_SIDE))
        np.testing.assert_allclose(mesh[0, :, 0, 1], np.linspace(-exact_layers.reach, exact_layers.reach, MESH_SIDE))


def test_the_exact_map_has_the_density_of_the_data(exact_layers):
    """Up to what starting from N(0, I) instead of p_T costs, q = p: no particle has a colour."""
    for ratios in exact_layers.log_ratios.values():
        assert np.quantile(np.abs(ratios), 0.99) < 0.02
    truth = _bands(_density(untrained().target, 0.0, extent_of(untrained().target), PIXELS))
    for image in exact_layers.densities.values():
        pixel = np.arange(len(truth)) * len(image) // len(truth)
        inside = image[pixel][:, pixel] > 0
        assert inside[truth == truth.max()].mean() > 0.99  # where half of the data is, the model is


def test_fresh_noise_and_other_dimensions_leave_no_layers():
    model = untrained()
    renoised = SamplerConfig(sampler="renoise", delta=0.02)
    assert map_layers(model, model.target, config=renoised, seed=0) is None
    line = untrained("gaussian", dim=1)
    assert map_layers(line, line.target, config=SamplerConfig(), seed=0) is None


def test_the_message_with_all_layers_stays_small(deterministic, exact_layers):
    model = untrained()
    layers = map_layers(model, model.target, config=SamplerConfig(), seed=3)
    landed = {"log_ratios": exact_layers.log_ratios[4], "densities": exact_layers.densities[4]}
    layers = replace(layers, **{name: dict.fromkeys(STEPS, values) for name, values in landed.items()})
    message = scene_message(replace(deterministic, layers=layers), steps=4)
    header, arrays = unpack(message)
    assert len(message) <= 700_000
    assert header["reach"] == exact_layers.reach
    for n in STEPS:
        assert arrays[f"ratio_{n}"].shape == (2000,)
        assert abs(int(np.median(arrays[f"ratio_{n}"])) - 127) <= 3
        assert arrays[f"model_{n}"].dtype == np.uint8


def test_the_velocity_field_is_that_of_the_exact_flow(deterministic):
    header, arrays = unpack(scene_message(deterministic, steps=4))
    levels, side, _, _ = arrays["field"].shape
    target, extent = untrained().target, deterministic.extent
    spot = torch.tensor([[(0.5 / side * 2 - 1) * extent] * 2], dtype=torch.float64)
    theta = deterministic.angles[0] + (deterministic.angles[1] - deterministic.angles[0]) * 3 / (levels - 1)
    truth = velocity_in_angle(target, spot, theta)[0].numpy() * STROKE
    shown = arrays["field"][3, 0, 0] * (extent / POSITION_RANGE) * header["fieldScale"]
    np.testing.assert_allclose(shown, truth, atol=2e-3 * np.abs(truth).max() + 1e-4)


def test_jumps_of_weights_that_are_still_learned_are_compared_with_nothing():
    model, config = untrained(), SamplerConfig(sampler="renoise", delta=0.02)
    scene = make_scene(model, model.target, key="k", config=config, seed=3, in_browser=True, learned=False)
    assert [draw.legs for draw in scene.draws.values()] == [None] * len(STEPS)


@pytest.mark.parametrize("sampler", ["deterministic", "renoise"])
def test_a_scene_that_the_browser_draws_compares_with_the_same_exact_flow(sampler):
    """Of the draws it holds the times and what is exact of the first particles, which is all that the server makes."""
    model = untrained()
    config = SamplerConfig(sampler=sampler, delta=0.02)
    drawn, left = (
        make_scene(model, model.target, key="k", config=config, seed=3, particles=200, in_browser=in_browser)
        for in_browser in (False, True)
    )
    assert left.followed == drawn.followed
    if sampler == "deterministic":
        np.testing.assert_array_equal(left.exact, drawn.exact)
    for n, draw in drawn.draws.items():
        assert left.draws[n].states is None
        assert (left.draws[n].times, left.draws[n].progress) == (draw.times, draw.progress)
        if sampler == "renoise":
            np.testing.assert_allclose(left.draws[n].legs, draw.legs, atol=1e-4)
