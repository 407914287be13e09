"""What is chosen while older answers are on their way to the browser, as over a slow line, holds."""

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests.browser.conftest import choose_option, eventually, settle
from tests.browser.test_flow_map import Gate

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def asked(gate):
    """How often the server heard of something that was done on the page."""
    return sum(not BackMsg.FromString(message).rerun_script.is_auto_rerun for _, message in gate.heard)


def click(role, name):
    return lambda page: page.get_by_role(role, name=name, exact=True).click()


def move(name):
    return lambda page: page.get_by_role("slider", name=name).press("ArrowRight")


def add(box, option):
    def choose(page):
        choose_option(page, page.get_by_role("combobox", name=box), option)
        page.keyboard.press("Escape")  # an open list hides the rest of the page from those who read it

    return choose


def address(part):
    return lambda page: part in page.url


def tag(key, text):
    return lambda page: text in page.locator(f".st-key-{key}").inner_text()


DIVERGENCES = click("radio", "KL(data ∥ model)"), click("radio", "KL(model ∥ data)")
LATER_TIMES = move("Jump from t"), move("Jump from t")
OTHER_N = click("radio", "2"), click("radio", "8")
EIGHT = click("img", "Eight Gaussians")
CHOICES = {
    "run of Explore": ("", *DIVERGENCES, EIGHT, address("run=eight_gaussians")),
    "run of Diagnostics": ("inside", *LATER_TIMES, EIGHT, address("run=eight_gaussians")),
    "N of Diagnostics": ("inside", *LATER_TIMES, move("Samples in N jumps"), address("n=8")),
    "runs of KL": ("kl", *DIVERGENCES, add("Runs", "Moons"), address("moons")),
    "filter of Runs": ("runs", *OTHER_N, add("Target", "moons"), tag("filter-target", "moons")),
}
"""The page; what is done on it before the choice and after; the choice, and whether it holds."""


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_holds_while_older_answers_arrive(new_page, server, choice):
    name, before, after, choose, holds = CHOICES[choice]
    page = new_page(own=True)
    gate = Gate(page)
    page.goto(f"{server}/{name}")
    page.locator(".js-plotly-plot").first.wait_for()
    settle(page)
    gate.slow = True
    before(page)
    assert eventually(page, gate.answered)
    older, gate.waiting = gate.waiting, []
    choose(page)
    assert eventually(page, gate.answered)
    for browser, message in older:
        browser.send(message)
    before_it = asked(gate)
    after(page)
    assert eventually(page, lambda: asked(gate) > before_it)
    gate.open()
    settle(page)
    assert eventually(page, lambda: holds(page))
