"""What a person sees, in a real browser. Asserts on words and on the stage's own counters, not on pixels."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MOVING, axe_violations, box_of, eventually, resize, settle, sticks_out, turn

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VALUE = ".card-value strong:visible"


def stage(page):
    return page.evaluate("({...window.particleStage})")


def wait_for_stage(page, condition="true"):
    """Wait for the stage that is on the page now: the counters of one on another page stay behind it."""
    page.locator("canvas.view").first.wait_for()
    page.wait_for_function(f"window.particleStage?.frames > 0 && ({condition})")


def test_the_first_page_moves_by_itself_until_it_is_given_a_time(open_page):
    page = open_page(**MOVING)
    wait_for_stage(page)
    before = stage(page)
    assert before["playing"]
    moved = f"window.particleStage.frames > {before['frames'] + 5} && window.particleStage.u !== {before['u']}"
    page.wait_for_function(moved)
    expect(page.locator("canvas.view")).to_have_attribute("aria-label", re.compile("particles travel from noise to"))
    page.get_by_role("slider", name="Time, from noise to data").fill("1000")
    page.wait_for_function("window.particleStage?.u === 1 && window.particleStage?.playing === false")


def test_n_changes_the_picture_and_the_card(open_page):
    page = open_page()
    wait_for_stage(page)
    page.locator(VALUE).wait_for()
    first = page.locator(VALUE).inner_text()
    expect(page.locator("canvas.view")).to_have_attribute("aria-label", re.compile("in 4 jumps"))

    page.get_by_role("slider", name="Network calls N").press("ArrowRight")
    wait_for_stage(page, "window.particleStage.steps === 8")
    expect(page.locator("canvas.view")).to_have_attribute("aria-label", re.compile("in 8 jumps"))
    expect(page.locator(VALUE)).not_to_have_text(first)
    at_once = page.locator(VALUE).inner_text()
    page.wait_for_function("location.search.includes('n=8')")
    expect(page.locator('[data-steps="8"]:visible').locator("strong")).to_have_text(at_once)

    page.get_by_role("button", name=re.compile("^N = 1")).click()
    wait_for_stage(page, "window.particleStage.steps === 1")
    page.wait_for_function("location.search.includes('n=1')")


def test_the_stage_obeys_the_keyboard_and_the_time_axis(open_page):
    page = open_page(**MOVING)
    wait_for_stage(page)
    page.locator("canvas.view").focus()
    page.keyboard.press("Space")
    page.wait_for_function("window.particleStage?.playing === false")
    page.get_by_role("slider", name="Time, from noise to data").fill("0")
    page.wait_for_function("window.particleStage?.u === 0")
    page.locator("canvas.view").focus()
    page.keyboard.press("ArrowRight")  # to the end of the first of four jumps
    page.wait_for_function("Math.abs(window.particleStage?.u - 0.4375) < 1e-6")
    page.keyboard.press("2")
    page.wait_for_function("window.particleStage?.steps === 2")
    page.keyboard.press("ArrowRight")  # to the middle time of two
    page.wait_for_function("Math.abs(window.particleStage?.u - 0.75) < 1e-6")


def test_layers_can_be_hidden_and_further_ones_open_with_a_key_and_need_a_mesh(open_page):
    page = open_page()
    wait_for_stage(page)
    error = page.get_by_role("button", name="Error", exact=True)
    expect(error).to_have_attribute("aria-pressed", "true")
    error.click()
    expect(error).to_have_attribute("aria-pressed", "false")
    page.get_by_role("slider", name="Time, from noise to data").fill("500")
    page.wait_for_function("window.particleStage?.u === 0.5")
    page.locator("canvas.view").focus()
    page.keyboard.press("l")

    def layer(name):
        """Its button on the stage; a word of that name may be explained elsewhere."""
        return page.get_by_role("button", name=name, exact=True).and_(page.locator("[aria-pressed]"))

    folds = layer("Folds")
    expect(folds).to_be_enabled()  # computed while the picture already moves
    for name in ("Velocity", "Mesh", "Folds", "Model density", "log q/p"):
        button = layer(name)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("window.particleStage?.u === 1")
    page.get_by_text("Renoise", exact=True).click()
    expect(folds).to_be_disabled()
    expect(folds).to_have_attribute("title", re.compile("deterministic"))


def test_a_link_opens_the_view_it_names_and_a_bad_one_is_a_sentence(open_page):
    page = open_page("/?n=2&sampler=renoise")
    wait_for_stage(page, "window.particleStage.steps === 2")
    page.get_by_role("heading", name="KL(data ∥ model), δ = 0.02").wait_for()
    page.goto(page.url.partition("?")[0] + "?n=seven")
    page.get_by_text("could not be followed").wait_for()
    wait_for_stage(page, "window.particleStage.steps === 4")


def test_a_short_training_finishes_and_its_result_is_shown(open_page):
    page = open_page("/train", **MOVING)
    page.wait_for_function("window.sampleCloud?.key")
    page.get_by_role("slider", name="Budget").press("Home")
    page.get_by_role("button", name="Start training").click()
    wait_for_stage(page, "window.particleStage.choice.map === 'training'")
    page.get_by_role("heading", name="Finished").wait_for()
    page.get_by_role("button", name="Open in Explore").click()
    wait_for_stage(page, "window.particleStage.key.startsWith('moons-') && window.particleStage.playing")
    expect(page.locator(".facts")).to_contain_text("two moons", ignore_case=True)


def test_another_objective_is_chosen_trained_and_shown(open_page):
    page = open_page("/train")
    page.wait_for_function("window.sampleCloud?.key")
    settle(page)  # a page that is drawn anew closes the list
    page.get_by_role("combobox", name="Objective").fill("LSD")
    page.get_by_role("option", name=re.compile("^LSD")).click()
    page.get_by_text("Needs samples only.").wait_for()
    page.wait_for_function("location.search.includes('objective=lsd')")
    page.get_by_text("Network, steps, seed").click()
    page.get_by_label("Steps instead of seconds", exact=True).fill("80")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Start training").click()
    wait_for_stage(page, "window.particleStage.choice.map === 'training'")
    page.get_by_role("heading", name="Finished").wait_for()
    page.get_by_text("80 steps", exact=True).wait_for()
    page.get_by_role("button", name="Open in Explore").click()
    wait_for_stage(page, "window.particleStage.key.startsWith('moons-')")
    expect(page.locator(".facts")).to_contain_text("lsd", ignore_case=True)
    assert page.get_by_text("This app has encountered an error").count() == 0


def test_a_table_can_be_uploaded_and_a_bad_one_is_a_sentence(open_page, tmp_path):
    bad = tmp_path / "words.csv"
    bad.write_text("name\n" + "somebody\n" * 30)
    rows = np.random.default_rng(0).normal(size=(60, 2))
    file = tmp_path / "measured.csv"
    file.write_text("left,right\n" + "\n".join(f"{a:.5f},{b:.5f}" for a, b in rows))
    page = open_page("/train")
    page.get_by_text("Your data (CSV)", exact=True).click()
    page.locator("input[type=file]").set_input_files(str(bad))
    page.get_by_text("no numeric column").wait_for()
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    page.locator("input[type=file]").set_input_files(str(file))
    page.get_by_text("not the population").wait_for()
    page.wait_for_function("window.sampleCloud?.key.startsWith('file:')")
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()


HEADLINE = (".st-key-headline_area h1", ".st-key-headline_area .reading", ".st-key-begin_1", "canvas.view")


@pytest.mark.parametrize(
    ("width", "height", "numbers"),
    [
        (1440, 900, (".st-key-steps", VALUE)),
        (390, 844, (".multiples button[aria-pressed=true]",)),  # its N and its KL
    ],
)
def test_p5_the_first_screen_says_what_it_is_and_shows_the_picture_n_and_the_number(open_page, width, height, numbers):
    page = open_page(viewport={"width": width, "height": height}, **({} if width > 800 else {"has_touch": True}))
    wait_for_stage(page)
    page.locator(VALUE).wait_for(state="attached")

    def on_screen(what):
        box = box_of(page.locator(what).first)
        return box["y"] >= 0 and box["y"] + (box["height"] if what in HEADLINE or width > 800 else 50) <= height

    for what in (*HEADLINE, *numbers):
        assert eventually(page, lambda what=what: on_screen(what)), what
    page.locator(".st-key-begin_1 button").click()
    page.wait_for_url("**/lessons?lesson=flow-map&step=1")


def test_accessible_in_both_schemes_and_nothing_sticks_out_at_any_width(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    wait_for_stage(page)
    page.get_by_text("Band: 95 % interval").wait_for()
    for width in (390, 2560, 1024, 1440):
        resize(page, width)
        assert sticks_out(page) <= 0, width
    assert axe_violations(page) == []
    turn(page, "dark")
    assert axe_violations(page) == []
