"""Which evaluator of a flow map is taken: WebGPU only where it is right, faster, and nobody had to wait for it."""

import pytest
import torch

from cmcore.config import NetworkConfig
from cmcore.model import FlowMap
from tests.app.components.in_deno import run
from tests.app.components.test_flow_map import encoded

TRIAL_CALLS = 8_000
JUMP = 8
"""Milliseconds of a clock that stands still but while something is drawn."""

PRELUDE = """
let time = 0;
const now = () => time, goOn = async () => true;
// A map whose jumps cost `JUMP`, and which can be drawn from at once as well, at a cost and with a fault.
const mapOf = (cost, spoil = (drawn) => drawn) => {
  const plain = openMap(bundle("map"), compileNetwork(NETWORK_WASM));
  const jumps = { ...plain, jump: (...from) => (time += given.jump, plain.jump(...from)) };
  const atOnce = { least: Infinity, draw: async (chain, noise, fresh) => {
    const drawn = await draw(plain, chain, noise, fresh);
    time += cost;
    return spoil({ states: drawn.states.map((x) => x.slice()), landings: drawn.landings.map((x) => x.slice()) });
  } };
  return { ...jumps, atOnce };
};
"""


@pytest.fixture(scope="module")
def small() -> str:
    return encoded(FlowMap(2, NetworkConfig(width=8, depth=1), generator=torch.Generator().manual_seed(1)))


def answer_of(script, folder, bundled):
    return run(PRELUDE + script, folder, map=bundled, jump=JUMP)


def test_the_faster_one_is_taken_from_the_size_on_that_pays(tmp_path, small):
    script = """
      const least = {};
      for (const cost of [0, 4, 16, 31, 32, 40, 4000]) {
        const map = mapOf(cost);
        await tryOut(map, {}, goOn, now);
        least[cost] = map.atOnce?.least ?? null;
      }
      answer(least);
    """
    half = TRIAL_CALLS / 2
    least = {"0": 0, "4": half / 4, "16": half, "31": TRIAL_CALLS * 31 / 32, "32": None, "40": None, "4000": None}
    assert answer_of(script, tmp_path, small) == least


def test_answers_that_differ_are_never_taken_however_fast(tmp_path, small):
    script = """
      const at = (drawn, name, i, off) => (drawn[name].at(-1)[i] += off, drawn);
      const all = (drawn, name, off) => (drawn[name].forEach((x) => x.forEach((_, i) => x[i] += off)), drawn);
      const spoils = {
        "1e-6 everywhere": (drawn) => all(drawn, "landings", 1e-6),
        "3e-4 in one": (drawn) => at(drawn, "landings", 0, 3e-4),
        "1e-4 everywhere": (drawn) => all(drawn, "landings", 1e-4),
        "1e-4 in the states": (drawn) => all(drawn, "states", 1e-4),
        "0.1 in one": (drawn) => at(drawn, "landings", 3999, 0.1),
        "one that is no number": (drawn) => at(drawn, "states", 17, NaN),
        "an error": () => { throw new Error("The device is lost."); },
      };
      const taken = {};
      for (const [name, spoil] of Object.entries(spoils)) {
        const map = mapOf(1, spoil);
        await tryOut(map, {}, goOn, now);
        taken[name] = map.atOnce !== null;
      }
      answer(taken);
    """
    taken = answer_of(script, tmp_path, small)
    assert [name for name, is_taken in taken.items() if is_taken] == ["1e-6 everywhere", "3e-4 in one"]
    assert len(taken) == 7


def test_a_device_that_fails_in_a_draw_is_not_asked_a_second_time(tmp_path, small):
    script = """
      let calls = 0;
      const map = mapOf(1);
      const { draw: whole } = map.atOnce;
      map.atOnce = { least: 40, draw: (...from) => {
        if (++calls === 2) throw new Error("The device is lost.");
        return whole(...from);
      } };
      const chain = chainOf("renoise", namedGrid("karras", 4, 3, 0.1), 0.5, 0);
      const drawn = async (n) => await draw(map, chain, startingNoise(n, 2, 0), freshNoise(n, 2, chain, 0));
      const answers = [await drawn(9), await drawn(10), await drawn(10), await drawn(10)];
      answer({ calls, evaluators: answers.map((one) => one.evaluator), ends: answers.map((one) => one.states.at(-1)) });
    """
    answered = answer_of(script, tmp_path, small)
    assert answered["evaluators"] == ["wasm", "webgpu", "wasm", "wasm"]
    assert answered["calls"] == 2
    nine, *tens = answered["ends"]
    assert tens[0] == tens[1] == tens[2]
    assert tens[0][:18] == nine


AT_REST = """
let timers = [];
setTimeout = (act) => timers.push(act);
clearTimeout = (id) => delete timers[id - 1];
const rest = async () => {
  const due = timers;
  timers = [];
  for (const act of due) await act?.();
};
let opened = 0;
const answer_ = answering(compileNetwork(NETWORK_WASM), async () => (opened++, null));
const maps = ["map", "other"].map(bundle);
for (const map of maps) await answer_({ map });
const ask = (id, map, tell = () => {}) => answer_({ stage: "a", id, question: {
  map: map.hash, sampler: "deterministic", share: 0.5, seed: id, particles: 10, grids: [{ n: 2, times: [3, 1, 0] }],
} }, tell);
"""


def test_a_device_is_asked_for_when_all_was_answered_and_nobody_asks(tmp_path, small):
    script = f"""{AT_REST}
      const seen = [], told = [];
      await rest();
      seen.push(opened);                     // maps that nobody has drawn from
      const asked = ask(1, maps[0], (one) => told.push(one.evaluator));
      await rest();
      seen.push(opened);                     // a question without its answer
      await asked;
      seen.push(opened);                     // an answer, and no rest yet
      const next = ask(2, maps[0]);
      await rest();
      seen.push(opened);                     // somebody asks
      await next;
      await rest();
      seen.push(opened);
      await ask(3, maps[1]);
      await rest();
      seen.push(opened);                     // one device for all maps
      await ask(4, maps[1]);
      answer({{ seen, told, timers: timers.length }});
    """
    other = encoded(FlowMap(2, NetworkConfig(width=8, depth=1), generator=torch.Generator().manual_seed(2)))
    answered = run(script, tmp_path, map=small, other=other)
    assert answered == {"seen": [0, 0, 0, 0, 1, 1], "told": ["wasm", None], "timers": 0}


def test_a_question_ends_a_trial_and_the_next_rest_begins_it_anew(tmp_path, small):
    script = """
      const map = mapOf(4), allowed = { turns: 6 };
      const broken = async () => { if (--allowed.turns < 0) throw DISTURBED; return true; };
      const ended = [await tryOut(map, {}, broken, now)];
      const between = map.atOnce.least;
      ended.push(await tryOut(map, {}, goOn, now));
      answer({ ended, between: String(between), least: map.atOnce.least });
    """
    assert answer_of(script, tmp_path, small) == {"ended": [False, True], "between": "Infinity", "least": 1_000}
