"""What holds on every page: the view is in the link, history, presenter mode, hidden controls, separate sessions."""

import base64
import json
import re

import pytest

from app.figures.theme import DARK, LIGHT
from app.sharing.config_code import write_config
from app.ui.frame import CONTROLS
from cmcore.config import TargetConfig, TrainingConfig
from tests.browser.conftest import MOVING, axe_violations, box_of, eventually, resize, row_of, settle, sticks_out, turn
from tests.browser.test_lab import stage, wait_for_stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def until_link(page, words):
    page.wait_for_function("words => decodeURIComponent(location.search).includes(words)", arg=words)


def view(page):
    """What of the picture two people must see alike."""
    told = stage(page)
    return {name: told[name] for name in ("key", "steps", "u", "playing", "layers", "start", "times")}


def test_a_copied_link_opens_the_same_view_for_somebody_else(open_page):
    page = open_page("/?start=1,-1", **MOVING)
    wait_for_stage(page, "window.particleStage.own !== null")
    page.get_by_role("slider", name="Time, from noise to data").fill("370")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("canvas.view").focus()
    page.keyboard.press("2")
    until_link(page, "n=2")
    page.get_by_role("button", name="Error", exact=True).click()
    page.get_by_role("button", name="Layers", exact=True).click()
    page.get_by_role("button", name="Velocity", exact=True).click()
    page.get_by_text("KL(data ∥ model)", exact=True).click()
    until_link(page, "from=data")
    until_link(page, "pause=0.37")
    until_link(page, "layers=density,exact,jumps,velocity")
    page.get_by_role("button", name="Share", exact=True).click()
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    page.wait_for_function("link => location.href === link", arg=link)  # the address bar says the same in a moment

    other = open_page(link[link.index("/", 8) :], **MOVING)
    wait_for_link = "window.particleStage?.own != null && window.particleStage.steps === 2"
    other.wait_for_function(wait_for_link)
    assert eventually(page, lambda: view(other) == view(page)), (view(other), view(page))
    assert view(other)["layers"]["velocity"]
    assert not view(other)["layers"]["error"]
    other.get_by_role("heading", name="KL(data ∥ model), δ = 0").wait_for()


def test_another_run_and_another_page_are_entries_of_the_history_and_another_n_is_not(open_page):
    page = open_page()
    wait_for_stage(page)
    entries = page.evaluate("history.length")
    page.locator("canvas.view").focus()
    page.keyboard.press("8")
    until_link(page, "n=8")
    assert page.evaluate("history.length") == entries
    page.locator(".st-key-run_area button").nth(2).click()
    page.wait_for_function("window.particleStage?.key.startsWith('checkerboard/')")
    until_link(page, "run=checkerboard")
    page.get_by_role("link", name="Scaling").click()
    page.wait_for_url(re.compile("/scaling"))
    page.get_by_role("button", name=re.compile("Constant steps")).wait_for()
    page.go_back()
    wait_for_stage(page, "window.particleStage.key.startsWith('checkerboard/')")
    assert "n=8" in page.url
    page.go_back()
    wait_for_stage(page, "window.particleStage.key.startsWith('gaussian_grid/')")
    wait_for_stage(page, "window.particleStage.steps === 8")
    page.go_forward()
    wait_for_stage(page, "window.particleStage.key.startsWith('checkerboard/')")
    assert page.evaluate("history.length") == entries + 2


def test_presenter_mode_is_keyboard_alone(open_page):
    page = open_page(viewport={"width": 1440, "height": 900}, **MOVING)
    wait_for_stage(page)
    page.locator(".card-value strong:visible").wait_for()
    page.keyboard.press("p")
    page.wait_for_function("document.documentElement.hasAttribute('data-presenting')")
    assert "present=1" in page.url
    for gone in (".st-key-run_area", ".st-key-sampler", ".st-key-chart_below", "[data-testid=stHeader]"):
        assert not page.locator(gone).first.is_visible()
    for there in ("button.play", ".multiples button", ".st-key-chart_area .stPlotlyChart"):
        page.locator(there).first.wait_for()
    page.locator(".card-value strong:visible").wait_for()
    page.get_by_text("4 jumps", exact=True).wait_for()
    page.keyboard.press("Space")
    page.wait_for_function("window.particleStage?.playing === false")
    page.keyboard.press("8")
    page.get_by_text("8 jumps", exact=True).wait_for()
    page.keyboard.press("r")
    page.wait_for_function("window.particleStage?.choice?.sampler === 'renoise'")
    page.get_by_text("8 jumps, renoised").wait_for()
    page.keyboard.press("l")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("!window.particleStage?.layers.exact")
    page.keyboard.press("l")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
    assert page.evaluate("document.documentElement.hasAttribute('data-presenting')")
    page.keyboard.press("Escape")
    page.wait_for_function("!document.documentElement.hasAttribute('data-presenting')")
    assert "present" not in page.url


def test_a_presented_link_opens_large_and_is_accessible(open_page):
    page = open_page("/?present=1&n=8")
    wait_for_stage(page, "window.particleStage.steps === 8")
    page.locator(".card-value strong:visible").wait_for()
    size = "Number.parseFloat(getComputedStyle(document.querySelector('.card-value strong')).fontSize)"
    page.wait_for_function(f"{size} >= 80")
    assert eventually(page, lambda: box_of(page.locator("canvas.view"))["height"] > 0.75 * 980)
    assert axe_violations(page) == []
    turn(page, "dark")
    assert axe_violations(page) == []


def test_controls_are_hidden_by_a_link_that_goes_along_to_every_page(open_page):
    page = open_page("/?hide=run,multiples")
    wait_for_stage(page)
    page.wait_for_function("!document.querySelector('.st-key-run_area')?.offsetParent")
    assert not page.get_by_role("button", name=re.compile("^N = 1")).is_visible()
    page.get_by_role("button", name="Share", exact=True).click()
    assert not page.get_by_role("checkbox", name="Run", exact=True).is_checked()
    page.get_by_role("checkbox", name="Sampler", exact=True).uncheck()
    until_link(page, "hide=run,multiples,sampler")
    assert not page.locator(".st-key-sampler").is_visible()
    assert axe_violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("link", name="KL", exact=True).click()
    page.wait_for_url(re.compile("/kl"))
    until_link(page, "hide=run,multiples,sampler")
    page.get_by_role("link", name="Explore", exact=True).click()
    page.locator("canvas.view").wait_for()
    settle(page)  # a page on its way takes an open popover along
    assert not page.locator(".st-key-run_area").is_visible()
    page.get_by_role("button", name="Share", exact=True).click()
    for name in ("Run", "Sampler", "N = 1, 2, 4, 8"):
        page.get_by_role("checkbox", name=name, exact=True).check()
    page.wait_for_function("!location.search.includes('hide')")
    page.locator(".st-key-run_area").wait_for()


def test_two_sessions_do_not_see_each_other(open_page):
    one, two = open_page(), open_page("/?n=2")
    wait_for_stage(one)
    wait_for_stage(two, "window.particleStage.steps === 2")
    one.locator("canvas.view").focus()
    one.keyboard.press("8")
    until_link(one, "n=8")
    one.locator(".st-key-run_area button").nth(2).click()
    one.wait_for_function("window.particleStage?.key.startsWith('checkerboard/')")
    two.locator("canvas.view").focus()
    two.keyboard.press("1")
    until_link(two, "n=1")
    settle(two)
    assert stage(two)["key"].startswith("gaussian_grid/")
    assert stage(one)["steps"] == 8


def test_a_run_of_another_session_can_be_trained_again(open_page):
    config = TrainingConfig(objective="lsd", steps=60, seed=5)
    code = write_config(TargetConfig(name="circles"), config)
    page = open_page(f"/?run=circles-0a1b2c3d&config={code}&n=2")
    page.get_by_text("This link shows a run of another session").wait_for()
    page.get_by_text("learned by LSD").wait_for()
    wait_for_stage(page, "window.particleStage.key.startsWith('gaussian_grid/')")  # something moves meanwhile
    page.get_by_role("button", name="Train it again").click()
    page.wait_for_function("window.sampleCloud?.key")
    until_link(page, "target=circles")
    until_link(page, "objective=lsd")
    page.get_by_role("button", name="Start training").wait_for()


def test_reduced_motion_does_not_play_and_opens_at_the_end_or_where_the_link_says(open_page):
    page = open_page(reduced_motion="reduce")
    wait_for_stage(page)
    assert stage(page)["u"] == 1
    assert not stage(page)["playing"]
    page.goto(page.url + "?pause=0.25")
    page.wait_for_function("window.particleStage?.u === 0.25")
    assert not stage(page)["playing"]
    page.locator("canvas.view").focus()
    page.keyboard.press("ArrowRight")  # to the end of the first of four jumps
    page.wait_for_function("Math.abs(window.particleStage?.u - 0.4375) < 1e-6")
    until_link(page, "pause=0.438")


def test_a_slider_shows_its_n_before_the_server_answers(open_page):
    page = open_page()
    wait_for_stage(page)
    page.evaluate("() => { WebSocket.prototype.send = () => {}; }")  # the server hears nothing
    page.get_by_role("slider", name="Network calls N").press("ArrowRight")
    page.wait_for_function("window.particleStage?.steps === 8")


def test_a_link_from_a_stranger_does_no_harm(open_page):
    bad = {
        "hide": "<img src=x>,run;}body{display:none",
        "layers": "__proto__,constructor",
        "pause": "1e99",
        "speed": "x",
    }
    page = open_page("/?" + "&".join(f"{name}={value}" for name, value in bad.items()), **MOVING)
    wait_for_stage(page)
    told = stage(page)
    assert told["playing"]
    assert json.dumps(told["layers"]).count("true") == 0
    page.locator(".st-key-run_area").wait_for()


def test_nothing_sticks_out_sideways_with_share_open(open_page):
    page = open_page(viewport={"width": 390, "height": 1300})
    wait_for_stage(page)
    settle(page)
    page.get_by_role("button", name="Share", exact=True).click()
    for width in (390, 2560):
        resize(page, width)
        assert sticks_out(page) <= 0
        box = box_of(page.get_by_role("region", name="Share this view"))
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_a_page_is_drawn_again_in_the_colours_that_the_system_turns_to(open_page):
    """Also what Python colours: the wordmark and the figures."""

    def ink():
        words = base64.b64decode(page.get_by_test_id("stHeaderLogo").get_attribute("src").partition("base64,")[2])
        figure = page.locator(".st-key-kl_curves .js-plotly-plot").first
        return re.search(rb'fill="(#\w+)"', words)[1].decode(), figure.evaluate("f => f.layout?.font?.color")

    page = open_page("/kl")
    page.locator(".st-key-kl_curves .js-plotly-plot").first.wait_for()
    assert eventually(page, lambda: ink() == (LIGHT.ink, LIGHT.ink))
    turn(page, "dark")
    assert eventually(page, lambda: ink() == (DARK.ink, DARK.ink))


# ---- every page is one to present, with whatever a teacher leaves out ----------------------------------------------
WALK = {
    "explore": ["/?"],
    "kl": ["/kl?"],
    "inside": ["/inside?"],
    "scaling": ["/scaling?", "/scaling?question=constant_step&"],
    "runs": ["/runs?"],
    "lessons": ["/lessons?lesson=more-steps&step=1&", "/lessons?lesson=more-steps&step=2&"],
}
"""Where all that can be hidden on a page is found; Train has more to hide once it has trained."""


def until_hidden(page, selectors):
    """Everything of that name is in the page, and none of it is seen."""
    there = "them => them.every(one => document.querySelector(one))"
    page.wait_for_function(there, arg=selectors)
    unseen = "them => !them.some(one => [...document.querySelectorAll(one)].some(e => e.checkVisibility()))"
    page.wait_for_function(unseen, arg=selectors)


def test_what_can_be_hidden_is_on_its_page_and_a_link_hides_it(open_page):
    page = open_page()
    base = page.url.rstrip("/")
    for name, places in WALK.items():
        left = {control.name: control.selector for control in CONTROLS[name] if control.selector}
        for place in places:
            page.goto(f"{base}{place}hide={','.join(left)}")
            here = dict(left)
            if name == "lessons":
                page.wait_for_selector(".st-key-lesson_turn", state="attached")
                here.pop("onward" if place.endswith("step=2&") else "question")
            if name == "scaling":
                for elsewhere in ("claims",) if "question=" in place else ("fits", "takeaway"):
                    here.pop(elsewhere)
            until_hidden(page, list(here.values()))
    assert set(WALK) | {"train", "all"} == set(CONTROLS)


def test_p4_a_training_goes_on_while_its_owner_is_elsewhere_and_its_end_leads_to_the_run(open_page):
    page = open_page("/train?steps=2000&network=small&objective=lsd", color_scheme="dark")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    page.get_by_role("link", name="Explore", exact=True).click()
    wait_for_stage(page)
    badge = page.locator(".st-key-badge_area")
    badge.get_by_text(re.compile("^Training · ")).wait_for()
    page.evaluate("window.mark = document.querySelector('.st-key-stage_area canvas, .st-key-stage_area div')")
    settle(page)
    shown, top = stage(page)["key"], box_of(page.locator(".st-key-stage_area"))
    for width in (390, 1440):
        resize(page, width)
        box = box_of(badge)
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert axe_violations(page) == []
    ended = page.get_by_role("button", name="Trained · look at it")
    ended.wait_for()
    assert stage(page)["key"] == shown
    assert eventually(page, lambda: box_of(page.locator(".st-key-stage_area")) == top)
    assert page.evaluate("window.mark.isConnected")
    assert axe_violations(page) == []
    ended.click()
    wait_for_stage(page, "window.particleStage.key.startsWith('moons-')")
    ended.wait_for(state="hidden")
    page.get_by_role("link", name="Runs", exact=True).click()
    row_of(page, re.compile(r"^2,?000$")).wait_for(state="attached")
    page.get_by_role("link", name="Train", exact=True).click()
    page.locator(".st-key-live_kl_area").wait_for()
    page.get_by_role("button", name="Share", exact=True).click()
    for control in CONTROLS["train"]:
        page.get_by_role("checkbox", name=control.label, exact=True).uncheck()
    until_hidden(page, [control.selector for control in CONTROLS["train"] if control.selector])


def test_on_a_phone_the_navigation_makes_way_for_the_page(open_page):
    page = open_page("/runs", viewport={"width": 390, "height": 844})
    page.locator(".st-key-runsbench").wait_for()
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Lessons").click()
    page.locator(".st-key-lessongallery").wait_for()
    page.locator('[data-testid="stSidebar"][data-collapsed="true"]').wait_for(state="attached")
