"""Explore: what a person puts on the stage comes back from the link, and bad wishes are sentences."""

import pytest

from app.components.buffer import unpack
from tests.app.test_pages import html, page


def stage_message(at):
    """Header and arrays of what the stage was sent last."""
    (component,) = at.get("bidi_component")
    return unpack(component.proto.bytes)


def test_a_link_puts_a_start_on_the_stage(shipped):
    at = page(start="0.5,-1.25")
    assert not at.exception
    assert not at.warning
    header, _ = stage_message(at)
    assert header["start"] == [0.5, -1.25]
    assert at.query_params["start"] in ("0.5,-1.25", ["0.5,-1.25"])


def test_fresh_noise_of_a_start_can_be_redrawn(shipped):
    at = page(start="0.5,-1.25", sampler="renoise")
    assert at.button_group(key="own_noise").value == "Pinned"
    at.button_group(key="own_noise").set_value("Redrawn").run()
    assert not at.exception
    header, _ = stage_message(at)
    assert header["own"] == header["followed"] - 1


def test_a_link_chooses_how_many_particles(shipped):
    at = page(particles="300")
    _, arrays = stage_message(at)
    assert arrays["states_4"].shape == (5, 300, 2)
    assert at.query_params["particles"] in ("300", ["300"])


@pytest.mark.parametrize("query", [{"start": "1"}, {"start": "nan,0"}, {"particles": "50"}, {"particles": "1e6"}])
def test_a_bad_link_is_a_sentence(shipped, query):
    at = page(**query)
    assert not at.exception
    assert len(at.warning) == 1
    assert "could not be followed" in at.warning[0].value
    assert "KL(model" in html(at)
