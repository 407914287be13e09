"""Where one of several is always chosen, a browser that reports none changes nothing; no page stops for it."""

import pytest

from tests.app.conftest import page_of

pytestmark = pytest.mark.usefixtures("shipped", "answered")


def link(at):
    return dict(at.query_params)


@pytest.mark.parametrize(
    ("name", "query", "keys"),
    [
        (
            "explore",
            {"sampler": "renoise", "start": "0.5,0"},
            {"sampler", "direction", "own_noise", "run"},
        ),
        ("inside", {"map": "consistency"}, {"inside quantity", "run"}),
        ("kl", {"sampler": "renoise", "from": "data"}, {"kl_sampler", "kl_from", "kl_score", "kl_horizons"}),
        ("runs", {"n": "2"}, {"compared_steps"}),
        ("train", {"target": "circles", "objective": "lsd"}, {"source", "toy"}),
        ("train", {"table": "iris"}, {"source", "density"}),
    ],
)
def test_nothing_reported_leaves_what_was_chosen(name, query, keys):
    at = page_of(name, **query)
    before = link(at)
    held = {group.key: group.value for group in at.button_group if group.key in keys}
    assert set(held) == keys
    for key in keys:
        at.button_group(key=key).set_value(None)
    at.run()
    assert not at.exception
    assert {key: at.button_group(key=key).value for key in keys} == held
    assert link(at) == before
