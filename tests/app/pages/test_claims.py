"""The claims: first on Scaling, dialled by the link, each panel with a number and the way to its experiment."""

import re

import pytest

from app.pages.scaling.claims import PANELS, reading
from app.pages.scaling.link import questions
from cmcore.experiments import EXPERIMENTS
from cmcore.theory.claim import claim_curve
from cmcore.theory.rates import CLAIMS
from tests.app.conftest import html
from tests.app.pages.test_scaling import scaling


def test_c7_scaling_opens_with_the_five_claims_in_the_order_of_the_paper():
    at = scaling()
    assert not at.exception
    page = html(at)
    places = [page.index(f"{one.key} · ") for one in CLAIMS]
    assert places == sorted(places)
    assert [panel.claim for panel in PANELS] == list(CLAIMS)
    assert "question" not in at.query_params


def test_c7_the_dials_stand_in_the_link_and_come_back_from_it():
    at = scaling(d="1000000", error="0.01", data="minimal")
    assert not at.warning
    assert at.select_slider(key="claim_dim").value == 10**6
    assert "1,000,000" in html(at)
    at.select_slider(key="claim_dim").set_value(10).run()
    assert at.query_params["d"] in ("10", ["10"])
    assert scaling(d="7").warning


def test_c7_every_panel_opens_the_experiment_behind_it():
    at = scaling()
    for panel in PANELS:
        for name in panel.behind:
            assert name in EXPERIMENTS
            assert at.button(key=f"open:{panel.claim.key}:{name}")
    at.button(key="open:C3:curvature").click().run()
    assert at.query_params["question"] in ("curvature", ["curvature"])
    assert EXPERIMENTS["curvature"].question.replace("'", "&#x27;") in html(at)


def test_c7_a_link_with_settings_and_no_question_opens_what_it_opened_before_the_claims():
    at = scaling(**{"o.step": "0.4"})
    assert not at.warning
    assert at.query_params["question"] in ("learned_dimension", ["learned_dimension"])
    assert at.query_params["o.step"] in ("0.4", ["0.4"])


def test_c7_the_questions_stand_in_the_order_of_their_codes():
    codes = [EXPERIMENTS[name].code for name in questions()]
    assert codes[:3] == ["E1", "E2", "E2′"]
    assert codes.index("E9") < codes.index("E10")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.claim.key)
def test_c7_every_panel_shows_numbers_of_a_shipped_answer(panel):
    assert re.search(r"\d", panel.measured())
    assert "Not measured yet" not in panel.measured() + panel.stops()


def test_c7_the_reading_is_of_the_curve():
    curve = claim_curve(1000, 0.1, smooth=False)
    words = reading(curve, claim_curve(1000, 0.1, smooth=False, over_dim=False))
    assert f"{curve.settled:,.0f} jumps" in words
    assert "Its assumptions are met" in words
