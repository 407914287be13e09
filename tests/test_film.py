"""Laws of the film of a training: what its frames are, what it costs, and which saved ones are refused."""

import itertools
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

import cmcore as cm
from cmcore.film import FILM_JUMPS, FILM_SEED, LARGEST, MOST_FRAMES, Film, dots_of, film_of
from cmcore.store import BadRun

SMALL = {"network": cm.NetworkConfig(width=8, depth=2), "objective": "lsd"}


@pytest.fixture(scope="module")
def model():
    return cm.train(cm.make_target("two_spirals"), steps=260, **SMALL)


def test_the_frames_are_samples_of_the_same_noise_from_no_step_to_the_last(model):
    film = model.film
    assert film.steps[0] == 0
    assert film.steps[-1] == model.steps == 260
    assert all(b > a for a, b in itertools.pairwise(film.steps))
    drawn = cm.sample(model, dots_of(2), FILM_JUMPS, seed=FILM_SEED).points
    torch.testing.assert_close(film.frames[-1], drawn.float())
    assert (film.frames[0] - film.frames[-1]).abs().mean() > 0.01


def test_a_run_that_goes_on_has_the_film_of_one_that_did_not_stop(model):
    target, events = cm.make_target("two_spirals"), []
    for event in cm.training(target, cm.TrainingConfig(steps=260, **SMALL)):
        events.append(event)
        if event.step >= 100:
            break
    whole = cm.train(target, resume=events[-1].model())
    assert whole.film.steps == model.film.steps
    for a, b in zip(whole.film.frames, model.film.frames, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_a_film_comes_back_from_the_disk_and_a_run_without_one_is_read(model, tmp_path):
    back = cm.load(cm.save(model, tmp_path / "run.zip")).film
    assert back.steps == model.film.steps
    assert all(torch.equal(a, b) for a, b in zip(back.frames, model.film.frames, strict=True))
    without = cm.save(replace(model, film=Film()), tmp_path / "without.zip")
    assert cm.load(without).film == Film()


@pytest.mark.parametrize("dim", [1, 2, 7, 64])
def test_a_film_is_small_however_long_the_run(dim):
    film, step = Film(), 0
    while step < 10**8:
        if film.due(step):
            film = film.with_frame(step, torch.zeros(dots_of(dim), dim))
        step = max(step + 50, int(1.01 * step))
    assert film.with_frame(step + 1, torch.ones(dots_of(dim), dim)).steps[-1] == step + 1
    assert len(film.steps) <= MOST_FRAMES
    assert len(save(film.tensors())) < LARGEST + 2_000
    assert film.with_frame(film.steps[-1], film.frames[0]) is film


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("steps"),
        lambda t: t.update(more=torch.zeros(1)),
        lambda t: t.update(frames=t["frames"].double()),
        lambda t: t.update(frames=t["frames"][:, :, :1]),
        lambda t: t.update(frames=t["frames"][:, :0]),
        lambda t: t.update(frames=t["frames"][1:]),
        lambda t: t.update(steps=t["steps"] + 0.5),
        lambda t: t.update(steps=t["steps"] - 1),
        lambda t: t.update(steps=t["steps"] + 1),
        lambda t: t.update(steps=t["steps"] * 0),
        lambda t: t.update(frames=t["frames"].repeat(1, 400, 1)),
    ],
)
def test_what_is_no_film_of_the_run_is_refused_in_a_clause(model, change):
    tensors = model.film.tensors()
    change(tensors)
    with pytest.raises(ValueError, match=r"^holds "):
        film_of(tensors, 2, model.steps)


def test_a_run_with_a_film_that_is_none_is_refused_whole(model, tmp_path, monkeypatch):
    monkeypatch.setattr(Film, "tensors", lambda film: {"steps": torch.zeros(2), "frames": torch.zeros(2, 3, 5)})
    folder = cm.save(model, tmp_path / "run")
    with pytest.raises(BadRun, match="holds a film"):
        cm.load(folder)
