"""The flow map on WebGPU: a Chromium whose graphics processor is made of software, where pages have none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page

import cmcore as cm
from app.components import flow_map
from benchmarks.browser import find_browser
from cmcore.chain import make_chain
from cmcore.config import NetworkConfig
from cmcore.grids import make_grid
from cmcore.model import FlowMap
from cmcore.samplers import starting_noise
from tests.app.components.agreement import AGREEMENT, disagreement
from tests.app.components.test_flow_map import NETWORKS, SHIPPED, encoded
from tests.browser.conftest import PATIENCE

PRETRAINED = Path(__file__).parents[2] / "assets" / "pretrained"
pytestmark = [pytest.mark.browser, pytest.mark.slow]
SOFTWARE = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
ADDRESS = "http://127.0.0.1"  # where no server is: every file comes from here, and a page may have WebGPU there
MESSAGE = (Path(flow_map.__file__).parents[1] / "message.js").read_text(encoding="utf-8")
READ = "const bundle = (text) => readMessage(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));"
WORKER = "bundle, compileNetwork, draw, freshNoise, NETWORK_WASM, onDevice, openDevice, openMap, startingNoise"
FILES = {
    f"{ADDRESS}/": "<title>A page</title>",
    f"{ADDRESS}/worker.js": f"{MESSAGE}\n{READ}\n{flow_map.FLOW_MAP_WORKER}\nexport {{ {WORKER} }};",
    f"{ADDRESS}/page.js": f"{MESSAGE}\n{READ}\n{flow_map.FLOW_MAP_CODE}\nexport {{ bundle, openFlowMaps }};",
}


@contextmanager
def page_of(browser: Browser) -> Iterator[Page]:
    """A page that has the code, and no server; its console must hold no error."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    kind = {True: "text/javascript", False: "text/html"}
    page.route(
        f"{ADDRESS}/*",
        lambda route, asked: route.fulfill(body=FILES[asked.url], content_type=kind[asked.url.endswith(".js")]),
    )
    page.goto(f"{ADDRESS}/")
    yield page
    page.close()
    assert errors == []


@pytest.fixture(scope="module")
def equipped(browser):
    """A Chromium with WebGPU."""
    chromium = browser.browser_type.launch(executable_path=find_browser(), args=["--no-sandbox", *SOFTWARE])
    with page_of(chromium) as page:
        if not page.evaluate("(async () => await navigator.gpu?.requestAdapter() != null)()"):
            pytest.skip("WEBGPU NOT TESTED: this Chromium has no graphics processor made of software.")
    yield chromium
    chromium.close()


@pytest.fixture
def page(equipped):
    with page_of(equipped) as page:
        yield page


def map_of(name):
    if name in SHIPPED:
        return cm.load(PRETRAINED / name).flow_map
    dim, settings = NETWORKS[name]
    f = FlowMap(dim, NetworkConfig(**settings), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in f.parameters():
            parameter.mul_(2)  # where SiLU bends
    return f


DRAWN = """async ({ maps, chain, n }) => {
  const { bundle, openMap, openDevice, onDevice, draw, startingNoise, freshNoise } = await import("/worker.js");
  const device = await openDevice(), drawn = {};
  for (const [name, text] of Object.entries(maps)) {
    const map = openMap(bundle(text), null), { dim } = map;
    map.atOnce = { least: 0, ...await onDevice(map.form, device) };
    const fresh = freshNoise(n, dim, chain, 3);
    const { states, landings, evaluator } = await draw(map, chain, startingNoise(n, dim, 3), fresh);
    const listed = (values) => values.map((x) => [...x]);
    drawn[name] = { evaluator, fresh: [...fresh], states: listed(states), landings: listed(landings) };
  }
  return drawn;
}"""


def test_whatever_a_map_is_made_of_it_is_drawn_on_webgpu_as_in_the_engine(page):
    """Every preconditioning, features, experts and dimensions; jumps with fresh noise after them and without."""
    n = 30  # no multiple of what is taken together
    chain = make_chain(make_grid("uniform_angle", 3, horizon=3.0, delta=0.0), sampler="renoise", noiseless_end=True)
    stages = [dict(zip(("t", "s", "scale", "spread"), stage, strict=True)) for stage in chain.stages]
    assert [stage["spread"] > 0 for stage in stages] == [True, True, False]
    maps = {name: map_of(name) for name in (*NETWORKS, *SHIPPED)}
    drawn = page.evaluate(DRAWN, {"maps": {k: encoded(f) for k, f in maps.items()}, "chain": stages, "n": n})
    for name, f in maps.items():
        one = drawn[name]
        assert one["evaluator"] == "webgpu", name
        states, landings, fresh = (torch.tensor(one[part]) for part in ("states", "landings", "fresh"))
        states, landings, fresh = states.view(4, n, -1), landings.view(3, n, -1), fresh.view(n, 2, -1)
        torch.testing.assert_close(states[0], starting_noise(n, f.dim, seed=3).float(), rtol=0, atol=1e-6)
        assert disagreement(f, chain.stages, states.unbind(), landings.unbind()).max() <= AGREEMENT, name
        for k, stage in enumerate(chain.stages):
            noise = stage.spread * fresh[:, k] if stage.spread else 0
            torch.testing.assert_close(states[k + 1], stage.scale * landings[k] + noise, rtol=1e-6, atol=1e-6)


LOST = """async ({ text, chain, n }) => {
  const { bundle, compileNetwork, NETWORK_WASM, openMap, openDevice, onDevice, draw, startingNoise, freshNoise } =
    await import("/worker.js");
  const device = await openDevice(), map = openMap(bundle(text), compileNetwork(NETWORK_WASM));
  const given = [chain, startingNoise(n, map.dim, 3), freshNoise(n, map.dim, chain, 3)];
  const expected = await draw(map, ...given), whole = await onDevice(map.form, device);
  map.atOnce = { least: 0, draw(...from) {
    const under_way = whole.draw(...from);
    device.destroy();
    return under_way;
  } };
  const drawn = [await draw(map, ...given), await draw(map, ...given)];
  const same = (x, i) => x.every((value, j) => value === expected.states[i][j]);
  const refused = await onDevice(map.form, device).then((one) => one.draw(...given)).then(() => false, () => true);
  return { evaluators: drawn.map((one) => one.evaluator), same: drawn.every((one) => one.states.every(same)), refused };
}"""


def test_a_device_that_is_lost_during_a_draw_still_gives_the_picture(page):
    chain = [{"t": 3, "s": 0.5, "scale": 0.9, "spread": 0.4}, {"t": 0.9, "s": 0, "scale": 1, "spread": 0}]
    answered = page.evaluate(LOST, {"text": encoded(map_of(SHIPPED[0])), "chain": chain, "n": 200})
    assert answered == {"evaluators": ["wasm", "wasm"], "same": True, "refused": True}


TIMES = (3.0, 0.7, 0.05)
CALLS = 100
"""Of the network, in a draw of 50 points at these times."""
OPEN = """async (texts) => {
  const { bundle, openFlowMaps } = await import("/page.js");
  const maps = window.maps = openFlowMaps(), bundles = texts.map(bundle), grids = [{ n: 2, times: TIMES }];
  for (const one of bundles) maps.add(one);
  window.ask = (map, seed) => new Promise((done) => {
    const points = [];
    const question = { map: bundles[map].hash, sampler: "renoise", share: 0.5, seed, particles: 50, grids };
    maps.ask("test", question, (told) =>
      told.done ? done({ points, evaluator: maps.evaluator }) : points.push(...told.states));
  });
  while (!maps.evaluator) await new Promise((done) => setTimeout(done, 10));
  return maps.evaluator;
}""".replace("TIMES", str(list(TIMES)))
TRIALS = """(fakes) => {
  const tryReally = tryOut, measure = leastCalls, outcomes = [], waiting = [];
  leastCalls = async (...given) => fakes.shift() ?? await measure(...given);
  tryOut = async (map, device, ...given) => {
    const ended = await tryReally(map, device, ...given);
    outcomes.push(device ? map.atOnce?.least ?? "lost" : "no device");
    waiting.shift()?.();
    return ended;
  };
  self.outcome = async () => {
    if (!outcomes.length) await new Promise((done) => waiting.push(done));
    return outcomes.shift();
  };
}"""
"""In a worker: from how many calls on a map is drawn at once after each trial; a trial ends with a fake where one is
given."""


def test_a_worker_takes_webgpu_where_a_trial_says_so_and_not_before(page):
    """On this device it is slower by far, but who knows on how many cores: all trials but the first end with a fake."""
    assert page.evaluate(OPEN, [encoded(map_of(name)) for name in SHIPPED[:3]]) == "wasm"
    (worker,) = page.workers
    worker.evaluate(TRIALS, [None, float("inf"), 80])
    outcomes, evaluators = [], []
    for number in range(3):
        assert page.evaluate(f"ask({number}, 1)")["evaluator"] == "wasm"
        outcomes.append(worker.evaluate("outcome()"))
        after = page.evaluate(f"ask({number}, 2)")
        evaluators.append(after["evaluator"])
    assert outcomes[1:] == ["lost", 80]
    assert evaluators[1:] == ["wasm", "webgpu"]
    assert evaluators[0] == ("wasm" if outcomes[0] == "lost" or outcomes[0] > CALLS else "webgpu")
    model = cm.load(PRETRAINED / SHIPPED[2])
    engine = cm.sample(model, 50, 2, seed=2, sampler="renoise", grid=TIMES, renoise=0.5)
    off = (torch.tensor(after["points"]).reshape(3, 50, 2) - engine.states).norm(dim=2)
    assert off.quantile(0.95) <= AGREEMENT


def test_where_there_is_no_webgpu_webassembly_stays(browser):
    with page_of(browser) as page:
        page.evaluate(OPEN, [encoded(map_of(SHIPPED[0]))])
        (worker,) = page.workers
        worker.evaluate(TRIALS, [])
        page.evaluate("ask(0, 1)")
        assert worker.evaluate("outcome()") == "no device"
        assert page.evaluate("ask(0, 2)")["evaluator"] == "wasm"
