"""The films of runs as they are seen: every dimension in a plane, two of them on one scale."""

import numpy as np
import pytest

import cmcore as cm
from app.components.buffer import POSITION_RANGE, unpack
from app.runs.run import Run
from app.stage import film
from cmcore.film import Film


@pytest.fixture
def sent(monkeypatch):
    """Messages to the component."""
    messages = []
    monkeypatch.setattr(film, "training_film", lambda message, **_: messages.append(message))
    return messages


def trained(name, **parameters):
    network = cm.NetworkConfig(width=8, depth=2)
    target = cm.make_target(name, **parameters)
    return Run(f"{name}-{target.dim}", name, cm.train(target, objective="lsd", steps=60, network=network))


@pytest.mark.parametrize(
    ("name", "parameters"), [("product_of_mixtures", {"dim": 1}), ("moons", {}), ("torus_knot", {})]
)
def test_a_film_is_seen_in_a_plane_with_what_was_measured_below(sent, name, parameters):
    run = trained(name, **parameters)
    film.show_film([run], key="film", kl=[(50, 0.2)])
    header, arrays = unpack(sent[0])
    (pane,) = header["panes"]
    assert pane["steps"] == list(run.model.film.steps)
    assert arrays["frames0"].shape == (len(pane["steps"]), len(run.model.film.frames[0]), 2)
    assert arrays["density0"].any()
    assert set(pane["lines"]) == {"loss", "error", "KL"}
    if run.model.dim == 2:
        shown = arrays["frames0"][-1] * header["extent"] / POSITION_RANGE
        np.testing.assert_allclose(shown, run.model.film.frames[-1].numpy(), atol=header["extent"] / POSITION_RANGE)


def test_two_films_share_a_scale_and_runs_without_one_are_left_out(sent):
    one, other = trained("moons"), trained("eight_gaussians")
    none = Run("none", "none", cm.TrainedModel(**{**vars(one.model), "film": Film()}))
    assert film.with_film([none, one, other, one]) == [one, other]
    film.show_film([one, other], key="film", names={one.key: "mine"})
    header, arrays = unpack(sent[0])
    assert [pane["title"] for pane in header["panes"]] == ["mine", "eight_gaussians"]
    assert {"frames0", "frames1", "density0", "density1"} == set(arrays)
