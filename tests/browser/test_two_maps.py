"""Two maps side by side on Explore: one clock, one noise, one N, drawn by the browser alone, for every kind of eye."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

import cmcore as cm
from app.components.buffer import unpack
from app.components.flow_map import bundle
from tests.browser.conftest import (
    MOVING,
    axe_violations,
    box_of,
    choose_option,
    eventually,
    resize,
    served,
    settle,
    sticks_out,
    turn,
)
from tests.browser.test_classroom import within
from tests.browser.test_flow_map import Gate, drag
from tests.browser.test_lab import stage, wait_for_stage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHIPPED = Path(__file__).parents[2] / "assets" / "pretrained" / "gaussian_grid"
LINK = "/?run=gaussian_grid&with=gaussian_grid_bent&particles=400"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A lab with two runs of one target: the shipped one, and one whose last layer is a little too large."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(SHIPPED, folder / "gaussian_grid")
    bent = cm.load(SHIPPED)
    bent.flow_map.network.layers[-1].weight.mul_(1.1)
    cm.save(bent, folder / "gaussian_grid_bent")
    shutil.copy(SHIPPED / "curves.json", folder / "gaussian_grid_bent")  # of the other: nothing here waits for a number
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONSISTENCY_LAB_RUNS", str(folder))
        command = ["-m", "streamlit", "run", "streamlit_app.py", "--server.headless=true"]
        with served(command, tmp_path_factory.mktemp("server") / "log.txt") as address:
            yield address


def wait_for_both(page, condition="true"):
    wait_for_stage(
        page, f"window.particleStage.maps.length === 2 && window.particleStage.maps.every(Boolean) && ({condition})"
    )


HELD = """name => {
  let maps, held
  const hold = one => {
    const {add, ask} = one
    one.add = bundle => bundle.name === name ? held = bundle : add(bundle)
    one.ask = (pane, question, take) => ask(pane, question, said => {
      take(said)
      window.answers += said.done === true
    })
    one.release = () => { add(held); window.dispatchEvent(new Event('flowmaps')) }
    return one
  }
  window.answers = 0
  Object.defineProperty(window, "consistencyLabMaps", {get: () => maps, set: one => maps = hold(one)})
}"""
"""Holds the weights of that name back until the page calls `release`, and counts the questions that are answered."""


def views(page):
    return page.locator("canvas.view")


def wait_for_words(page, words):
    """Both pictures say so."""
    for view in views(page).all():
        page.wait_for_function("([view, words]) => view.ariaLabel.includes(words)", arg=[view.element_handle(), words])


def words(page):
    return [view.get_attribute("aria-label") for view in views(page).all()]


def test_two_maps_are_drawn_from_one_noise_with_one_clock_while_the_server_is_silent(new_page, server):
    page = new_page(own=True, **MOVING)
    gate = Gate(page)
    page.goto(server + LINK)
    wait_for_both(page)
    page.get_by_text("A − B:").first.wait_for()
    page.locator(".st-key-chart_area .main-svg").first.wait_for()
    settle(page)
    gate.closed = True
    left, right = map(box_of, views(page).all())
    assert left["y"] == right["y"]
    assert left["width"] == right["width"]
    assert left["x"] + left["width"] < right["x"]
    names = ["A, Grid of Gaussians", "B, gaussian grid bent"]
    assert eventually(page, lambda: [each.partition(":")[0] for each in words(page)] == names)
    page.get_by_role("slider", name="Network calls N").press("ArrowRight")
    wait_for_both(page, "window.particleStage.steps === 8")
    wait_for_words(page, "in 8 jumps")
    page.get_by_text("Times and noise").click()
    page.get_by_role("button", name="Increment").click()
    page.wait_for_function("window.particleStage.maps.every(key => key.includes('/1/400'))")
    first, second = stage(page)["maps"]
    assert first != second  # two runs
    assert first.split("/")[1:] == second.split("/")[1:]  # drawn alike
    page.get_by_role("slider", name="Time, from noise to data").fill("1000")
    page.wait_for_function("window.particleStage?.u === 1 && window.particleStage?.playing === false")
    views(page).nth(1).focus()
    page.keyboard.press("Space")
    page.wait_for_function("window.particleStage?.playing && window.particleStage?.u < 1")
    page.keyboard.press("Space")
    page.keyboard.press("s")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("window.particleStage?.own != null")
    wait_for_words(page, "Your start")
    assert len(gate.waiting) > 0  # the server has heard nothing of it
    gate.open()
    page.wait_for_function("location.search.includes('start=') && location.search.includes('with=gaussian_grid_bent')")


PICTURES = """[...document.querySelectorAll(".st-key-stage_area *")]
  .flatMap(one => [...(one.shadowRoot?.querySelectorAll("canvas.view") ?? [])]).map(view => view.toDataURL())"""


def test_every_choice_is_drawn_in_both_pictures_while_the_server_is_silent(new_page, server):
    page = new_page(own=True)
    gate = Gate(page)
    page.goto(server + LINK + "&sampler=renoise")
    wait_for_both(page)
    page.get_by_text("A − B:").first.wait_for()
    page.get_by_text("Times and noise").click()
    page.locator("[data-test-script-state=notRunning]").wait_for()
    gate.closed = True

    def choose_grid():
        choose_option(page, page.get_by_role("combobox", name="Time grid"), "karras")

    def move_a_time():
        handle = page.get_by_role("slider", name="Time 2 of 3").bounding_box()
        x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
        drag(page, (x, y), (x + 50, y))

    def further(name):
        page.get_by_role("slider", name=name).press("ArrowRight")

    for choose in (
        lambda: further("η as a share of t"),
        lambda: further("Stop at δ"),
        choose_grid,
        move_a_time,
        page.get_by_role("radio", name="Algorithm 1").click,
        page.get_by_role("radio", name="Deterministic").click,
    ):
        before = page.evaluate(PICTURES)
        assert len(before) == 2
        choose()
        page.wait_for_function(f"before => {PICTURES}.every((now, i) => now !== before[i])", arg=before)
        first, second = stage(page)["maps"]
        assert first.split("/")[1:] == second.split("/")[1:]
    assert gate.waiting  # the server has heard nothing of it


def test_whichever_map_comes_last_nothing_is_lost_of_the_other(new_page, server):
    page = new_page(own=True)
    first = unpack(bundle(cm.load(SHIPPED)))[0]["name"]
    page.add_init_script(f"({HELD})('{first}')")
    page.goto(server + LINK)
    page.wait_for_function("window.answers >= 2")  # N on show alone at once, then all of every N
    for name in ("Step", "Play", "1×", "Image", "Error"):
        page.get_by_role("button", name=name, exact=True).click()
    page.get_by_text("Times and noise").click()
    answers = page.evaluate("window.answers")
    page.get_by_role("slider", name="Stop at δ").press("ArrowRight")
    page.wait_for_function("before => window.answers > before", arg=answers)
    assert not stage(page)  # nothing is shown of half a comparison
    page.evaluate("consistencyLabMaps.release()")
    wait_for_both(page)


def test_a_path_raised_in_one_picture_is_raised_in_the_other(open_page):
    page = open_page(LINK)
    wait_for_both(page)
    settle(page)
    box = box_of(views(page).nth(1))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for step in range(60):
        page.mouse.move(x + 1.5 * step, y + step)
        if stage(page)["raised"] is not None:
            break
    page.wait_for_function("window.particleStage?.raised != null")
    expect(page.locator(".readout")).to_contain_text(["exact one", "exact one"])


def test_a_comparison_is_chosen_left_by_back_and_comes_with_forward(open_page):
    page = open_page("/?run=gaussian_grid&particles=200")
    wait_for_stage(page, "window.particleStage.maps.length === 1")
    settle(page)  # a page that is drawn anew closes the list
    page.get_by_role("slider", name="Time, from noise to data").fill("370")
    canvas = page.locator("canvas.view").element_handle()
    choose_option(page, page.get_by_role("combobox", name="Compare with"), "gaussian grid bent")
    wait_for_both(page)
    page.wait_for_function("location.search.includes('with=')")
    page.wait_for_function("window.particleStage?.u === 0.37")  # the stage is the same one, with one more picture
    assert canvas.evaluate("one => one.isConnected")
    page.go_back()
    wait_for_stage(page, "window.particleStage.maps.length === 1")
    page.go_forward()
    wait_for_both(page)


def test_two_maps_are_accessible_and_fit_in_both_schemes_at_every_width(open_page):
    page = open_page(LINK)
    wait_for_both(page)
    page.get_by_text("A − B:").first.wait_for()
    page.get_by_text("Band: 95 % interval").wait_for()
    assert axe_violations(page) == []
    for width in (2560, 1024, 390):
        resize(page, width)
        assert sticks_out(page) <= 0, width
    first, second = map(box_of, views(page).all())
    assert second["y"] > first["y"] + first["height"]  # one below the other
    turn(page, "dark")
    assert axe_violations(page) == []


def test_two_maps_are_presented_with_n_and_play_in_reach(open_page):
    page = open_page(LINK + "&present=1", viewport={"width": 1920, "height": 1080})
    wait_for_both(page)
    play = page.get_by_role("button", name="Play")
    assert eventually(page, lambda: within(page, *views(page).all(), play))
