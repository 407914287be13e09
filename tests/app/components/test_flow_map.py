"""A flow map in the browser does what the engine does: bytes, noise, grids, chains, jumps, whole draws."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cmcore as cm
from app.components.flow_map import FLOW_MAP_CODE, MOST_WEIGHTS, bundle
from cmcore.chain import JumpSampler, make_chain
from cmcore.config import NetworkConfig
from cmcore.grids import GRIDS, make_grid, named_grids
from cmcore.model import FlowMap
from cmcore.preconditioning import PRECONDITIONINGS
from cmcore.samplers import SAMPLERS, starting_noise
from cmcore.streams import normal, stream
from tests.app.components.agreement import AGREEMENT, disagreement
from tests.app.components.in_deno import run

HERE = Path(__file__).parents[3] / "app" / "components" / "flow_map"
SHIPPED = sorted(path.name for path in (Path(__file__).parents[3] / "assets" / "pretrained").iterdir() if path.is_dir())
MAP_SAMPLERS = [name for name, sampler in SAMPLERS.items() if sampler.needs == "map"]


def encoded(model):
    packed = bundle(model)
    assert packed is not None
    return base64.b64encode(packed).decode()


def test_the_source_compiles_to_the_bytes_that_are_shipped(tmp_path):
    command = ["sh", HERE / "build_network", sys.executable, tmp_path / "network.wasm"]
    subprocess.run(
        command, check=True, env={"ZIG_GLOBAL_CACHE_DIR": str(tmp_path), "ZIG_LOCAL_CACHE_DIR": str(tmp_path)}
    )
    assert (tmp_path / "network.wasm").read_bytes() == (HERE / "network.wasm").read_bytes()


def test_noise_is_the_engines_number_for_number(tmp_path):
    asked = [
        (0, "starting noise", 4_100, 2),
        (7, "fresh noise", 700, 6),  # blocks of 8,190 numbers, no multiple of 16
        (2**31 - 1, "fresh noise of an own start, release 12", 1, 32),
        (2**63 - 1, "a purpose in many words, more than a block of the hash takes " * 3, 3, 100),
        (-1, "θ", 2, 9_000),
    ]
    script = "answer(given.asked.map(([seed, purpose, n, width]) => normalRows(n, width, BigInt(seed), purpose)));"
    drawn = run(script, tmp_path, asked=[(str(seed), *rest) for seed, *rest in asked])
    for (seed, purpose, n, width), values in zip(asked, drawn, strict=True):
        expected = normal(n, width, generator=stream(seed, purpose)).ravel()
        torch.testing.assert_close(torch.tensor(values, dtype=torch.float64), expected, rtol=0, atol=1e-13)


def test_every_named_grid_is_the_engines(tmp_path):
    ways = [
        (name, steps, horizon, delta)
        for horizon, delta in ((3.0, 0.0), (3.0, 0.02), (20.0, 0.005), (0.4, 0.1))
        for name in named_grids(to_zero=delta == 0)
        for steps in (1, 2, 16, 64)
    ]
    script = "answer({ names: Object.keys(GRIDS), times: given.ways.map((way) => namedGrid(...way)) });"
    answered = run(script, tmp_path, ways=ways)
    assert sorted(answered["names"]) == sorted(GRIDS)
    for (name, steps, horizon, delta), times in zip(ways, answered["times"], strict=True):
        expected = make_grid(name, steps, horizon=horizon, delta=delta).times
        assert times == pytest.approx(expected, rel=1e-9, abs=1e-12), (name, steps, horizon, delta)


def test_every_sampler_of_maps_makes_the_engines_stages(tmp_path):
    ways, expected = [], []
    for sampler in MAP_SAMPLERS:
        for share in (0.05, 0.5, 1.0):
            for name, steps, delta, earliest in (
                ("karras", 8, 0.05, 0.0),
                ("uniform_angle", 4, 0.02, 0.01),
                ("karras", 1, 1.0, 0.0),
            ):
                grid = make_grid(name, steps, horizon=3.0, delta=delta)
                ways.append((sampler, grid.times, share, earliest))
                chain: JumpSampler = sampler  # pyright: ignore[reportAssignmentType]
                made = make_chain(grid, sampler=chain, renoise=share, earliest=earliest)
                expected.append([tuple(stage) for stage in made.stages])
    script = "answer({ names: Object.keys(RENOISING), chains: given.ways.map((way) => chainOf(...way)) });"
    answered = run(script, tmp_path, ways=ways)
    assert sorted(answered["names"]) == sorted(MAP_SAMPLERS)
    for way, chain, stages in zip(ways, answered["chains"], expected, strict=True):
        for stage, values in zip(chain, stages, strict=True):
            assert [stage[k] for k in ("t", "s", "scale", "spread")] == pytest.approx(values, abs=1e-12), way


def test_every_preconditioning_is_there(tmp_path):
    assert sorted(run("answer(Object.keys(PRECONDITIONINGS));", tmp_path)) == sorted(PRECONDITIONINGS)


NETWORKS = {
    "as shipped": (2, {}),
    "linear": (2, {"preconditioning": "linear"}),
    "a DDIM step": (2, {"second_time": False}),
    "no waves": (2, {"space_frequencies": (), "time_frequencies": ()}),
    "many waves, odd width": (
        3,
        {"space_frequencies": (0.5, 3.0), "time_frequencies": (1.0,), "width": 21, "depth": 3},
    ),
    "fast waves": (2, {"space_frequencies": (63.7, 0.37), "width": 8, "depth": 1}),
    "a line": (1, {"width": 4, "depth": 1}),
    "ten dimensions": (10, {"width": 40, "depth": 2}),
    "experts": (2, {"experts": 12}),
    "experts, odd numbers": (3, {"experts": 5, "width": 21, "depth": 3}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_jumps_as_in_the_engine_compiled_and_plain(name, tmp_path):
    dim, settings = NETWORKS[name]
    f = FlowMap(dim, NetworkConfig(**settings), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in f.parameters():
            parameter.mul_(2)  # where SiLU bends
    x = torch.randn(1_030, dim, generator=torch.Generator().manual_seed(2)) * 2  # more than are evaluated at once
    pairs = [(3.0, 0.0), (1.0, 0.2), (20.0, 19.0), (0.5, 0.5)]
    script = """
      const modules = { compiled: compileNetwork(NETWORK_WASM), plain: null };
      const x = Float32Array.from(given.x);
      const jumps = (module) => given.pairs.map(([t, s]) => openMap(bundle("map"), module).jump(x, t, s));
      answer(Object.fromEntries(Object.entries(modules).map(([name, module]) => [name, jumps(module)])));
    """
    answered = run(script, tmp_path, map=encoded(f), x=x.ravel().tolist(), pairs=pairs)
    exact = f.double()
    for way in ("compiled", "plain"):
        for (t, s), landed in zip(pairs, answered[way], strict=True):
            with torch.no_grad():
                expected = exact(x.double(), t, s)
            found = torch.tensor(landed, dtype=torch.float64).reshape(x.shape)
            torch.testing.assert_close(found, expected, rtol=0, atol=AGREEMENT, msg=f"{way} {t} → {s}")


DRAWS = """
  const map = openMap(bundle("map"), compileNetwork(NETWORK_WASM)), answers = [];
  for (const { sampler, times, share, states } of given.draws) {
    const chain = chainOf(sampler, times, share, map.delta);
    const noise = startingNoise(given.n, map.dim, given.seed), fresh = freshNoise(given.n, map.dim, chain, given.seed);
    const drawn = await draw(map, chain, noise, fresh);
    const jumps = chain.map(({ t, s }, k) => map.jump(Float32Array.from(states[k]), t, s));
    answers.push({ points: drawn.states.at(-1), jumps });
  }
  answer(answers);
"""


def ways_of(model, counts=(1, 4, 16)):
    """Every sampler on every grid it has."""
    for sampler in MAP_SAMPLERS:
        delta = model.delta if sampler in ("deterministic", "one_time") else max(0.02, model.delta)
        for name in named_grids(to_zero=delta == 0):
            for steps in counts:
                yield sampler, make_grid(name, steps, horizon=model.horizon, delta=delta)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_jump_of_every_draw_of_a_shipped_run_lands_where_the_engines_does(name, tmp_path):
    model = cm.load(Path(__file__).parents[3] / "assets" / "pretrained" / name)
    n, seed, share = 48, 3, 0.5
    engine = [
        cm.sample(model, n, grid.steps, seed=seed, sampler=sampler, grid=grid, renoise=share)
        for sampler, grid in ways_of(model)
    ]
    draws = [
        {"sampler": one.sampler, "times": one.grid.times, "share": share, "states": one.states.flatten(1).tolist()}
        for one in engine
    ]
    answers = run(DRAWS, tmp_path, map=encoded(model), draws=draws, n=n, seed=seed)
    off, ends = [], []
    for one, answered in zip(engine, answers, strict=True):
        landings = [torch.tensor(jump).reshape(n, -1) for jump in answered["jumps"]]
        off.append(disagreement(model.flow_map, one.chain.stages, one.states.unbind(), landings))
        ends.append((torch.tensor(answered["points"]).reshape(n, -1) - one.points).norm(dim=1))
    assert torch.cat(off).max() <= AGREEMENT
    assert torch.cat(ends).quantile(0.95) <= AGREEMENT  # a chain of jumps stretches further still


WORKER = """
  const told = [], answer_ = answering(compileNetwork(NETWORK_WASM));
  await answer_({ map: bundle("map") });
  const question = (seed, own) => ({ map: bundle("map").hash, sampler: "renoise", share: 0.5, seed, particles: 900, own,
    grids: given.grids.map((times) => ({ n: times.length - 1, times })) });
  const ask = (id, stage, question) => answer_({ stage, id, question }, (one) => told.push(one));
  await Promise.all([
    ask(1, "a", question(1)),
    ask(2, "b", question(2)),
    ask(3, "a", question(3, { start: [1, -1], place: 14, noise: "own" })),
  ]);
  answer(told);
"""


def test_a_newer_question_of_a_stage_ends_the_older_and_no_other(tmp_path):
    model = cm.load(Path(__file__).parents[3] / "assets" / "pretrained" / SHIPPED[0])
    grids = [make_grid("karras", n, horizon=3.0, delta=0.1).times for n in (4, 2)]
    told = run(WORKER, tmp_path, map=encoded(model), grids=grids)
    assert [(one["id"], one.get("n")) for one in told if one["stage"] == "b"] == [(2, 4), (2, 2), (2, None)]
    assert [(one["id"], one.get("n")) for one in told if one["stage"] == "a"] == [(3, 4), (3, 2), (3, None)]
    newest = next(one for one in told if one["id"] == 3)
    assert newest["count"] == 901
    states = torch.tensor(newest["states"]).reshape(5, 901, 2)
    assert states[0, 14].tolist() == [1, -1]
    others = torch.cat((states[0, :14], states[0, 15:]))
    torch.testing.assert_close(others, starting_noise(900, 2, seed=3).float(), rtol=0, atol=1e-6)


REPLACED = """
  const told = [], answer_ = answering(compileNetwork(NETWORK_WASM), () => null);
  const question = { map: "live", sampler: "deterministic", share: 0, seed: 0, particles: 20,
    grids: [{ n: 2, times: [3, 0.7, 0.1] }] };
  for (const name of ["first", "second", "first"]) {
    await answer_({ map: bundle(name) });
    await answer_({ stage: "a", id: name, question }, (one) => one.done || told.push(one.states));
  }
  answer(told);
"""


def test_a_bundle_takes_the_place_of_the_one_before_of_its_name(tmp_path):
    maps = [FlowMap(2, NetworkConfig(width=8, depth=1), generator=torch.Generator().manual_seed(k)) for k in (0, 1)]
    first, second = (base64.b64encode(bundle(each, "live")).decode() for each in maps)
    told = run(REPLACED, tmp_path, first=first, second=second)
    assert told[0] == told[2] != told[1]
    for model, points in zip(maps, told, strict=False):
        engine = cm.sample(model, 20, 2, seed=0, grid=(3, 0.7, 0.1), dim=2).states
        torch.testing.assert_close(torch.tensor(points).reshape(3, 20, 2), engine, rtol=0, atol=1e-5)


FAILING = """
  const told = [], answer_ = answering(compileNetwork(NETWORK_WASM), () => null);
  await answer_({ stage: "a", id: 1, question: { map: "not there", grids: [] } }, (one) => told.push(one));
  answer(told);
"""


def test_what_cannot_be_drawn_is_answered_with_the_reason(tmp_path):
    (only,) = run(FAILING, tmp_path)
    assert (only["stage"], only["id"]) == ("a", 1)
    assert only["failed"]


def test_without_webassembly_the_plain_network_takes_over_in_silence(tmp_path):
    assert (
        run(
            'WebAssembly.Module = () => { throw new Error("refused"); }; answer(compileNetwork(NETWORK_WASM));',
            tmp_path,
        )
        is None
    )


def test_a_bundle_is_named_by_what_it_says_and_foreign_maps_have_none():
    maps = [FlowMap(2, NetworkConfig(width=8, depth=1), generator=torch.Generator().manual_seed(k)) for k in (0, 0, 1)]
    assert bundle(maps[0]) == bundle(maps[1]) != bundle(maps[2])
    several = FlowMap(2, NetworkConfig(width=8, depth=1), generator=[torch.Generator(), torch.Generator()])
    large = FlowMap(2, NetworkConfig(width=512, depth=4), generator=torch.Generator())
    assert sum(w.numel() for w in large.parameters()) > MOST_WEIGHTS
    assert [bundle(one) for one in (several, large, lambda x, t, s: x)] == [None] * 3


def test_the_code_can_stand_inside_a_page():
    assert "</" not in FLOW_MAP_CODE.replace("</canvas", "")
