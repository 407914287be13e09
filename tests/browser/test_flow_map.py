"""The stage draws by itself: pictures come while the server is silent, by any of the ways a browser may have."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

import cmcore as cm
from app.hosting.turns import is_drawn
from app.runs.library import runs
from tests.browser.conftest import PATIENCE, box_of, choose_option, eventually, settle
from tests.browser.test_lab import stage, wait_for_stage
from tests.browser.test_stage import drag, middle

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Gate:
    """Stands in the websocket: while it is closed the server hears nothing, and says nothing.

    While it is `slow` the server hears everything, and what it says waits. What was `heard` can be said once more;
    `held` is what the page said while it was closed.
    """

    def __init__(self, page):
        self.closed, self.slow, self.waiting, self.heard, self.held = False, False, [], [], []
        page.route_web_socket("**/_stcore/stream", self._join)

    def _join(self, socket):
        server = socket.connect_to_server()
        socket.on_message(lambda message: self._ask(server, message))
        server.on_message(lambda message: self._pass(socket, message, waits=self.slow))

    def _ask(self, server, message):
        (self.held if self.closed else self.heard).append((server, message))
        self._pass(server, message)

    def _pass(self, to, message, *, waits=False):
        if self.closed or waits:
            self.waiting.append((to, message))
        else:
            to.send(message)

    def answered(self):
        """Whether the server has drawn all that it was asked for, as far as what it says waits."""
        kinds = [ForwardMsg.FromString(message).WhichOneof("type") for _, message in self.waiting]
        return [kind for kind in kinds if kind in ("new_session", "script_finished")][-1:] == ["script_finished"]

    def open(self):
        while self.waiting:  # what is said meanwhile waits for its turn
            to, message = self.waiting.pop(0)
            to.send(message)
        self.closed = self.slow = False


def choice(page):
    return stage(page)["choice"]


def wait_for_choice(page, condition):
    page.wait_for_function(f"(c => c && ({condition}))(window.particleStage?.choice)")


@pytest.fixture
def silent(new_page, server):
    """Explore with the sampler "renoise", whose server has fallen silent once all was there."""
    page = new_page(own=True)
    gate = Gate(page)
    page.goto(f"{server}/?sampler=renoise&particles=500")
    wait_for_stage(page)
    page.locator(".st-key-chart_area .main-svg").first.wait_for()
    page.get_by_text("Times and noise").click()
    page.get_by_role("button", name="Increment").wait_for()
    settle(page)
    gate.closed = True
    yield page, gate
    gate.open()


def test_every_choice_of_explore_is_drawn_while_the_server_is_silent(silent):
    page, gate = silent
    page.get_by_role("slider", name="η as a share of t").press("ArrowRight")
    wait_for_choice(page, "c.share === 0.55")
    page.get_by_role("button", name="Increment").click()
    wait_for_choice(page, "c.seed === 1")
    page.get_by_role("slider", name="Stop at δ").press("ArrowRight")
    wait_for_choice(page, "c.delta === 0.05")
    choose_option(page, page.get_by_role("combobox", name="Time grid"), "karras")
    wait_for_choice(page, "c.grid === 'karras'")
    named = stage(page)["times"]
    handle = box_of(page.get_by_role("slider", name="Time 2 of 3"))
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    drag(page, (x, y), (x + 50, y))
    page.wait_for_function("t => window.particleStage?.times[2] < t", arg=named[2])
    page.get_by_role("radio", name="Algorithm 1").click()
    wait_for_choice(page, "c.sampler === 'algorithm_1'")
    page.get_by_role("slider", name="Network calls N").press("ArrowRight")
    page.wait_for_function("window.particleStage?.steps === 8")
    page.get_by_role("radio", name="Deterministic").click()
    wait_for_choice(page, "c.sampler === 'deterministic'")
    x, y = middle(box_of(page.locator("canvas.view")))  # nothing comes that would move it
    drag(page, (x + 40, y - 40), (x + 60, y - 60))
    page.wait_for_function("window.particleStage?.own != null")
    page.wait_for_function("document.documentElement.hasAttribute('data-ahead')")  # what is measured is of another draw
    key, start = stage(page)["key"], stage(page)["start"]
    gate.open()
    page.wait_for_function("!document.documentElement.hasAttribute('data-ahead')")
    for part in ("n=8", "eta=0.55", "seed=1", "grid=karras", "start="):
        page.wait_for_function(f"location.search.includes('{part}')")
    settle(page)
    assert (stage(page)["key"], stage(page)["start"]) == (key, start)  # the server says what is drawn already


def test_keys_in_the_field_of_the_seed_draw_at_once_and_are_told_once_they_have_rested(silent):
    page, gate = silent
    seed = page.get_by_role("spinbutton", name="Seed")
    for key, value in (("ArrowUp", 1), ("ArrowUp", 2), ("ArrowUp", 3), ("ArrowDown", 2)):
        seed.press(key)
        wait_for_choice(page, f"c.seed === {value}")
    assert eventually(page, lambda: gate.waiting), "the page was told"
    for _ in range(3):
        seed.press("ArrowDown")
    wait_for_choice(page, "c.seed === 0")  # the least there is
    seed.press("ArrowUp")
    seed.press("ArrowUp")
    seed.blur()
    gate.open()
    page.wait_for_function("location.search.includes('seed=2')")
    settle(page)
    wait_for_choice(page, "c.seed === 2")
    expect(seed).to_have_value("2")


KEY_ONCE_IT_IS_TOLD = """document.addEventListener("focusout", ({ target }) => {
  target.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true, cancelable: true }));
}, { once: true })"""


def test_a_key_in_the_field_of_the_seed_counts_while_the_page_takes_what_it_was_told(open_page):
    page = open_page("/?sampler=renoise&particles=500")
    wait_for_stage(page)
    page.get_by_text("Times and noise").click()
    seed = page.get_by_role("spinbutton", name="Seed")
    seed.focus()
    settle(page)
    page.evaluate(KEY_ONCE_IT_IS_TOLD)
    seed.press("ArrowUp")
    wait_for_choice(page, "c.seed === 2")
    page.wait_for_function("location.search.includes('seed=2')")
    settle(page)
    wait_for_choice(page, "c.seed === 2")
    expect(seed).to_have_value("2")


def test_what_is_chosen_faster_than_the_page_hears_is_drawn(new_page, server):
    """The page names what it has cached, and lets go of what few runs showed before it hears of what it asked for."""
    page = new_page(own=True)
    gate = Gate(page)
    page.goto(server)
    wait_for_stage(page)
    page.locator(".st-key-chart_area .main-svg").first.wait_for()
    settle(page)
    canvas = page.locator("canvas.view")
    for n, address in ((8, "**n=8**"), (4, re.compile(r"^((?!n=).)*$")), (8, "**n=8**")):  # four is the usual N
        canvas.press(str(n))
        page.wait_for_url(address)
        settle(page)
    gate.slow = True
    for drawn, n in enumerate((2, 4), 1):
        canvas.press(str(n))
        assert eventually(page, lambda drawn=drawn: sum(is_drawn(bytes(said)) for _, said in gate.waiting) >= drawn)
    gate.open()
    page.wait_for_url(re.compile(r"^((?!n=).)*$"))
    settle(page)
    assert stage(page)["steps"] == 4


def test_what_a_slider_shows_rounded_is_drawn_as_it_was_asked_for(open_page):
    page = open_page("/?sampler=renoise&eta=0.333&particles=200")
    wait_for_choice(page, "c.share === 0.333")
    page.wait_for_function("!document.documentElement.hasAttribute('data-ahead')")
    page.get_by_text("Times and noise").click()
    page.get_by_role("slider", name="η as a share of t").press("ArrowRight")
    wait_for_choice(page, "c.share !== 0.333")


def test_the_key_r_turns_to_the_other_sampler_and_back_while_the_server_is_silent(silent):
    page, _ = silent
    page.locator("canvas.view").focus()
    page.keyboard.press("r")
    wait_for_choice(page, "c.sampler === 'deterministic' && c.delta === 0.02")
    page.keyboard.press("r")
    wait_for_choice(page, "c.sampler === 'renoise' && c.delta === 0.02")
    page.get_by_role("radio", name="Algorithm 1").click()  # a newer choice than the key's
    wait_for_choice(page, "c.sampler === 'algorithm_1'")


HELD_BACK = """() => {
  const maps = consistencyLabMaps, ask = maps.ask.bind(maps), held = [];
  let answered = 0;
  maps.ask = (name, question, tell) => ask(name, question, (told) => {
    if (told.n === 8 && !window.released) held.push(() => tell(told));
    else tell(told);
    if (told.done && question.grids[0].n === 8 && ++answered === 2) window.held = held;
  });
}"""
"""Keeps what is drawn in 8 jumps from the stage; it is `held` once that was asked for first, then whole, and the
rest was told."""


def test_an_n_is_chosen_that_is_not_drawn_yet(open_page):
    page = open_page("/?particles=200")
    wait_for_stage(page)
    settle(page)
    page.evaluate(HELD_BACK)
    page.locator(".st-key-run_area button").nth(2).click()
    page.wait_for_function("window.particleStage?.key.startsWith('checkerboard/')")
    page.locator("canvas.view").focus()
    page.keyboard.press("8")
    page.wait_for_function("window.held")
    page.wait_for_function("location.search.includes('n=8')")  # the server has said all that it says
    settle(page)
    page.evaluate("() => { window.released = true; for (const tell of window.held) tell(); }")
    wait_for_stage(page, "window.particleStage.steps === 8")
    expect(page.locator("canvas.view")).to_have_attribute("aria-label", re.compile("in 8 jumps"))


STRICTER = """
new MutationObserver((_, seen) => {
  if (!document.head) return;
  seen.disconnect();
  const policy = document.createElement("meta");
  Object.assign(policy, { httpEquiv: "Content-Security-Policy", content: "script-src 'self' blob: 'unsafe-inline'" });
  document.head.append(policy);
}).observe(document, { childList: true, subtree: true });
"""
DRAWN = """question => new Promise((done, fail) => {
  const points = {};
  setTimeout(() => fail(new Error("no answer")), PATIENCE);
  consistencyLabMaps.ask("test", question, one => {
    if (one.failed) fail(new Error(one.failed));
    else if (one.done) done(points);
    else points[one.n] = [...one.states];
  });
})""".replace("PATIENCE", str(PATIENCE))


@pytest.fixture(scope="module")
def keeps_to_policies(browser):
    """A browser as it comes."""
    context = browser.new_context(reduced_motion="reduce")
    context.new_page()  # as long as there is one, Chromium keeps the scripts that it has compiled
    yield context
    context.close()


@pytest.mark.parametrize("refused", ["nothing", "WebAssembly", "workers"])
def test_the_browser_draws_what_the_engine_draws_whatever_it_is_refused(keeps_to_policies, server, refused):
    page = keeps_to_policies.new_page()
    page.set_default_timeout(PATIENCE)
    if refused == "WebAssembly":  # the worker keeps to the policy of its page
        page.add_init_script(STRICTER)
    if refused == "workers":
        page.add_init_script("window.Worker = class { constructor() { throw new Error('refused'); } };")
    page.goto(f"{server}/?particles=200")
    page.locator("canvas.view:not([aria-label='Being drawn'])").wait_for()
    assert eventually(page, lambda: page.evaluate("window.particleStage?.frames > 0"))
    assert page.evaluate("consistencyLabMaps.evaluator") == ("javascript" if refused == "WebAssembly" else "wasm")
    model = runs()["gaussian_grid"].model
    shown, seed = choice(page)["map"], 5
    for sampler, grid in (("deterministic", "karras"), ("renoise", "uniform_angle")):
        times = cm.make_grid(grid, 4, horizon=3.0, delta=0.05).times
        question = {"map": shown, "sampler": sampler, "share": 0.5, "seed": seed, "particles": 100}
        points = page.evaluate(DRAWN, {**question, "grids": [{"n": 4, "times": times}]})
        engine = cm.sample(model, 100, 4, seed=seed, sampler=sampler, grid=list(times), renoise=0.5)
        found = np.array(points["4"]).reshape(5, 100, 2)
        assert np.quantile(np.abs(found - engine.states.numpy()), 0.99) <= 1e-5
    page.close()


def test_what_the_map_does_to_space_is_made_when_somebody_looks_for_it(silent):
    page, gate = silent
    page.get_by_role("radio", name="Deterministic").click()
    gate.open()
    wait_for_choice(page, "c.sampler === 'deterministic'")
    mesh = page.get_by_role("button", name="Mesh")
    assert not mesh.is_visible()
    page.get_by_role("button", name="Layers").click()
    page.locator(".more button:not([disabled])", has_text="Mesh").wait_for()
