"""Train as a person meets it: a target drawn by mouse, finger or keys, a run that pauses, a cloud that turns."""

import math
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MOVING, axe_violations, box_of, row_of, settle, sticks_out, turn
from tests.browser.test_lab import wait_for_stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def open_train(open_page, path="/train", **options):
    page = open_page(path, **options)
    page.wait_for_function("window.sampleCloud?.key")
    return page


def until_it_learns(page):
    """It has taken a step, so that it leaves weights when it is stopped."""
    wait_for_stage(page, "window.particleStage.choice.map === 'training'")
    page.locator(".st-key-status_area").get_by_text(re.compile(r"^step [1-9]")).first.wait_for()


def open_sheet(page):
    page.get_by_text("Draw", exact=True).click()
    page.wait_for_function("window.sketchPad")
    page.locator("p.choice b", has_text="Your drawing").first.wait_for()
    settle(page)  # what is drawn above the sheet moves it
    page.locator(".pad canvas").scroll_into_view_if_needed()
    box = box_of(page.locator(".pad canvas"))
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def settled(page, strokes):
    """The sheet has this many lines, and Python has answered with their density."""
    page.wait_for_function(
        f"window.sketchPad.strokes === {strokes} && window.sketchPad.answered === {'true' if strokes else 'false'}"
    )


def test_drawn_by_mouse_and_keys_then_trained_with_a_pause(open_page):
    page = open_train(open_page, path="/train?objective=lsd&network=small")
    x, y = open_sheet(page)
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    page.mouse.move(x - 120, y)
    page.mouse.down()
    for i in range(25):
        page.mouse.move(x - 120 + 10 * i, y + 60 * math.sin(i / 4))
    page.mouse.up()
    settled(page, 1)
    page.wait_for_function("location.search.includes('drawing=')")

    page.locator(".pad canvas").focus()
    for key in ("ArrowDown", "ArrowDown", "Space", "ArrowLeft", "ArrowLeft", "Space", "Enter"):
        page.keyboard.press(key)
    settled(page, 2)
    page.keyboard.press("Control+z")
    settled(page, 1)
    page.get_by_role("button", name="Redo").click()
    settled(page, 2)

    page.get_by_text("Network, steps, seed").click()
    page.get_by_label("Steps instead of seconds", exact=True).fill("50000")  # it ends when it is stopped
    page.keyboard.press("Enter")
    page.wait_for_function("location.search.includes('steps=50000')")
    page.get_by_role("button", name="Start training").click()
    until_it_learns(page)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped early").wait_for()
    page.locator(".st-key-live_kl .card-value strong").wait_for()
    expect(page.locator(".st-key-live_kl h2")).to_have_text("KL(model ∥ data), δ = 0", use_inner_text=True)
    page.get_by_text("Watch it again").click()
    page.wait_for_function("window.trainingFilm?.step > 0")
    page.get_by_label("Step of the training").focus()
    page.keyboard.press("Home")
    page.wait_for_function("window.trainingFilm.step === 0")
    page.locator(".st-key-film").get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("window.trainingFilm.step > 0")
    page.get_by_role("button", name="Draw on").click()
    page.locator(".pad canvas").wait_for()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.wait_for_function("window.sketchPad.strokes === 0")
    page.get_by_text("Draw what the model should learn").wait_for()


def test_drawn_by_finger_on_a_phone(open_page):
    page = open_train(open_page, has_touch=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_text("Draw", exact=True).scroll_into_view_if_needed()
    x, y = open_sheet(page)
    touch = page.context.new_cdp_session(page)

    def finger(kind, *points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]})

    finger("touchStart", (x - 60, y))
    for i in range(1, 13):
        finger("touchMove", (x - 60 + 10 * i, y + 40 * math.sin(i / 3)))
    finger("touchEnd")
    settled(page, 1)
    assert page.evaluate("window.sketchPad.points") > 5
    assert sticks_out(page) <= 0
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()


def test_p3_a_reload_while_training_finds_the_training_and_each_leaves_a_run(open_page):
    page = open_train(open_page, path="/train?steps=20000&objective=lsd&network=small")
    page.get_by_role("button", name="Start training").click()
    until_it_learns(page)
    page.reload()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("link", name="Training · paused").wait_for()
    page.reload()
    page.get_by_role("link", name="Training · paused").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped early").wait_for()

    page.get_by_text("Network, steps, seed").click()
    page.get_by_label("Steps instead of seconds", exact=True).fill("50")
    page.keyboard.press("Enter")
    page.wait_for_function("location.search.includes('steps=50')")
    page.get_by_role("button", name="Train again").click()
    page.get_by_role("heading", name="Finished").wait_for()
    page.get_by_role("link", name="Runs", exact=True).click()
    row_of(page, re.compile(r"^50$")).wait_for(state="attached")
    page.locator(".st-key-ledger_area canvas [role=gridcell]", has_text="LSD").nth(1).wait_for(state="attached")


def test_a_cloud_in_space_turns_by_itself_and_by_keys(open_page):
    page = open_train(open_page, **MOVING)
    page.locator(".st-key-gallery_area img[alt='Torus knot']").click()
    page.wait_for_function("window.sampleCloud.space")
    turn = page.evaluate("window.sampleCloud.turn")
    page.wait_for_function(f"window.sampleCloud.turn > {turn}")
    page.locator(".cloud .samples").focus()
    page.keyboard.press("ArrowLeft")
    held = page.evaluate("window.sampleCloud.turn")  # the key has painted it, and it was the last to do so
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 200)))")
    assert page.evaluate("window.sampleCloud.turn") == held


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_objective_is_found_by_what_it_needs_and_chosen(open_page, scheme):
    page = open_train(open_page)
    if scheme == "dark":
        turn(page, "dark")
    page.locator(".st-key-which_objective button").click()
    page.locator("[role=dialog] .objective").first.wait_for()
    page.locator("[role=dialog] .st-key-guide_group button").nth(2).click()
    page.locator(".st-key-choose-mean_flow button").wait_for()
    assert not axe_violations(page)
    page.locator(".st-key-choose-mean_flow button").click()
    page.locator("[role=dialog]").wait_for(state="detached")
    page.wait_for_function("location.search.includes('objective=mean_flow')")


def test_accessibility(open_page):
    page = open_train(open_page, path="/train?objective=lsd&network=small")
    found = {"gallery": axe_violations(page)}
    turn(page, "dark")
    found["dark gallery"] = axe_violations(page)
    x, y = open_sheet(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 40)
    page.mouse.up()
    settled(page, 1)
    found["dark sheet"] = axe_violations(page)
    turn(page, "light")
    found["sheet"] = axe_violations(page)
    page.get_by_text("Network, steps, seed").click()
    page.get_by_label("Steps instead of seconds", exact=True).fill("100")
    page.keyboard.press("Enter")
    page.wait_for_function("location.search.includes('steps=100')")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("heading", name="Finished").wait_for()
    page.locator(".st-key-live_kl .card-value strong").wait_for()
    found["result"] = axe_violations(page)
    turn(page, "dark")
    found["dark result"] = axe_violations(page)
    assert not any(found.values()), found
