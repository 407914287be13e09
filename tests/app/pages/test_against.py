"""Two maps on Explore: which run stands beside another, how a link holds it, and the difference of their KLs."""

from dataclasses import replace

import pytest

import cmcore as cm
from app.components.buffer import unpack
from app.ui.cards import Side, pair_card
from cmcore.config import NetworkConfig
from cmcore.divergences.estimate import MODEL_DATA, Estimate
from cmcore.model import FlowMap
from cmcore.streams import stream
from tests.app.conftest import html, poll, unexplained, untrained
from tests.app.pages.test_every_page import page

ESTIMATE = Estimate(0.5, 0.4, 0.6, MODEL_DATA, 0.0, "preimages", 16_384, 0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two equal runs of one target, a third that learned it down to δ = .05 alone, and one of another target."""
    folder, one = tmp_path_factory.mktemp("twins"), untrained("eight_gaussians")
    cm.save(one, folder / "eight_gaussians")
    cm.save(one, folder / "eight_twin")
    weights = FlowMap(2, NetworkConfig(width=8, depth=1), generator=stream(1, "weights")).requires_grad_(False)
    config = one.config.model_copy(update={"delta": 0.05, "horizon": 2.5})
    cm.save(replace(one, flow_map=weights, config=config), folder / "eight_to_delta")
    cm.save(untrained("checkerboard"), folder / "checkerboard")
    return folder


@pytest.fixture(autouse=True)
def _shipped(folder, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(folder))


def compared(**query):
    return page(**{"run": "eight_gaussians", "with": "eight_twin", **query})


def header_of(at):
    (component,) = (part for part in at.get("bidi_component") if part.proto.component_name == "particle_stage")
    return unpack(component.proto.bytes)[0]


def test_a_link_puts_two_maps_on_the_stage_and_is_written_as_it_was():
    at = compared(n="2", seed="3", times="1.5,0.6,0.1")
    assert not at.exception
    assert not at.warning
    header = header_of(at)
    (other,) = header["beside"]
    assert header["title"] == "Eight Gaussians"
    assert other["title"] == "eight twin"
    assert (
        header["drawing"]["map"] == other["drawing"]["map"]
    )  # the weights are the same, and travel once by their hash
    shared = ("sampler", "share", "grid", "horizon", "delta", "seed", "particles")
    assert [header["drawing"][name] for name in shared] == [other["drawing"][name] for name in shared]
    written = {name: text if isinstance(text, str) else text[0] for name, text in at.query_params.items()}
    assert written["with"] == "eight_twin"
    assert header_of(page(**written))["beside"] == header["beside"]


def test_nothing_is_compared_before_somebody_asks_and_only_runs_of_the_target_are_offered():
    at = page(run="eight_gaussians")
    assert header_of(at)["beside"] == []
    assert "with" not in at.query_params
    choice = at.selectbox(key="against")
    assert choice.options == ["Nothing", "eight to delta", "eight twin"]
    choice.set_value("eight_twin").run()
    assert not at.exception
    assert len(header_of(at)["beside"]) == 1
    assert at.query_params["with"] in ("eight_twin", ["eight_twin"])
    at.selectbox(key="against").set_value("").run()
    assert header_of(at)["beside"] == []
    assert "with" not in at.query_params


def test_a_target_with_one_run_offers_no_comparison():
    assert "against" not in [box.key for box in page(run="checkerboard").selectbox]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ("nobody", "the run “nobody” is not here"),
        ("checkerboard", "Checkerboard learned another target"),
        ("eight_gaussians", "Eight Gaussians is the run on show"),
        ("", None),
    ],
)
def test_a_link_to_a_comparison_that_there_is_not_is_a_sentence(other, why):
    at = compared(**{"with": other})
    assert not at.exception
    assert header_of(at)["beside"] == []
    if why:
        (warning,) = at.warning
        assert why in warning.value


def test_a_comparison_that_cannot_stay_ends_with_a_sentence_until_another_begins():
    at = compared()
    at.button_group(key="run").set_value("checkerboard").run()
    assert not at.exception
    assert header_of(at)["beside"] == []
    said = [caption.value for caption in at.caption if "comparison ended" in caption.value]
    assert [words.replace("\\", "") for words in said] == ["The comparison ended: eight twin learned another target."]
    at.button_group(key="run").set_value("eight_gaussians").run()
    at.selectbox(key="against").set_value("eight_twin").run()
    assert not [caption for caption in at.caption if "comparison ended" in caption.value]


def test_both_are_drawn_between_times_that_both_learned():
    at = compared(**{"with": "eight_to_delta"})
    assert not at.warning
    drawing = header_of(at)["drawing"]
    assert (drawing["horizon"], drawing["delta"]) == (2.5, 0.05)
    assert "δ = 0.05" in html(at)


def test_the_same_map_twice_differs_by_nothing():
    at = compared(n="1")
    poll(at, lambda at: "A − B" in html(at))
    assert "they cannot be told apart" in html(at)
    assert "closer to the data" not in html(at)


# ---- the card -------------------------------------------------------------------------------------------------------
def card(first, second, **words):
    sides = [Side("A", "one", first, **words), Side("B", "other", second)]
    return unexplained(pair_card("KL(model ∥ data), δ = 0", sides))


def test_the_card_says_which_map_is_closer_and_by_how_much():
    words = card(ESTIMATE, replace(ESTIMATE, value=0.1, low=0.09, high=0.11))
    assert "A − B: <strong>0.40</strong> (0.29 … 0.51) nats<br>B is closer to the data." in words
    words = card(ESTIMATE, replace(ESTIMATE, value=0.7, low=0.58, high=0.8))
    assert "they cannot be told apart" in words


def test_the_card_says_once_what_is_the_same_of_both():
    words = card(ESTIMATE, replace(ESTIMATE, n=2_048))
    assert words.count("exact density (all preimages)") == 1
    assert "A 16,384 · 0.010\nB 2,048 · 0.010" in words


def test_the_card_says_how_the_difference_is_known():
    assert "whatever their errors have in common" in card(ESTIMATE, ESTIMATE)
    rows = replace(ESTIMATE, replicates=tuple(0.5 + 0.01 * k for k in range(-8, 8)))
    assert "row by row" in card(rows, rows)


def test_the_card_gives_no_difference_of_what_is_no_number():
    untrusted = replace(ESTIMATE, trusted=False, note="It folds everywhere.")
    words = card(ESTIMATE, untrusted)
    assert "No difference" in words
    assert "It folds everywhere." in words
    waiting = card(ESTIMATE, None)
    assert "A − B" not in waiting
    assert "card-skeleton" in waiting
