"""Configs and sweep files that were changed on their way: from JSON, from Python, from the command line."""

import json

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

import cmcore as cm
from cmcore.cli import main
from cmcore.config import NetworkConfig, SamplerConfig, TargetConfig, TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.sweep.plan import BadSweep, make_sweep, read_sweep
from cmcore.targets import GALLERY
from cmcore.training_defaults import resolved
from tests.bad_input.mutate import WRONG, a_sentence, bounded, changed_bytes, changed_json, outcome

CHANGES = 40
CONFIGS = (
    TrainingConfig(steps=100, objective="lsd", delta=0.0, network=NetworkConfig(width=8, depth=1)),
    SamplerConfig(steps=2, times=(3.0, 1.0, 0.0)),
    TargetConfig(name="random_mixture", parameters={"dim": 3, "components": 2}),
)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_json_makes_a_config_or_names_the_field(config):
    whole = json.loads(config.model_dump_json())
    refused = 0
    for seed in range(CHANGES):
        text = json.dumps(changed_json(whole, seed))
        with bounded():
            try:
                back = type(config).model_validate_json(text)
                assert type(config).model_validate_json(back.model_dump_json()) == back
            except ValidationError as error:
                refused += 1
                first = error.errors()[0]
                problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
                assert a_sentence(problem), problem
    assert refused > CHANGES / 3


def test_a_config_that_is_sound_can_be_learned_or_is_refused_in_a_sentence():
    target = cm.make_target("eight_gaussians")
    for seed in range(CHANGES):
        for objective in ("lsd", "trajectory_regression"):
            parameters = changed_json(_defaults(objective), seed)
            config = {"steps": 5, "objective": objective, "objective_parameters": parameters}
            outcome(lambda config=config: resolved(sound(config), target))


def sound(config):
    """The config, or a ValueError with the first thing that pydantic says of it."""
    try:
        return TrainingConfig.model_validate(config)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None


def _defaults(objective):
    from cmcore.objectives.describe import parameters_of

    return {parameter.name: parameter.default for parameter in parameters_of(OBJECTIVES[objective])}


@pytest.mark.parametrize("name", list(GALLERY))
def test_targets_take_their_parameters_or_say_what_they_take(name):
    for parameter in (*GALLERY[name].parameters, "unknown"):
        for value in WRONG[::2]:
            target, _ = outcome(lambda parameter=parameter, value=value: cm.make_target(name, **{parameter: value}))
            assert target is None or target.dim >= 1


# ---- the command line -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words",
    [
        ["train", "nobody"], ["train", "../../etc/passwd"], ["train", "moons", "--steps", "0"], ["train", "a\x00b"],
        ["train", "moons", "--steps", "-5"], ["train", "moons", "--seconds", "nan"],
        ["train", "moons", "--width", "99999"],
        ["train", "moons", "--delta", "inf"], ["train", "moons", "-o", "levels=[]"], ["train", "moons", "-o", "=1"],
        ["train", "moons", "-p", "sd=-1"], ["train", "moons", "-p", "sd={}"], ["train", "moons", "-p", "__class__=1"],
        ["train", "moons", "--seeds", "0-99999999"], ["train", "moons", "--seeds", "a"], ["train", "x.csv"],
        ["train", "moons", "--objective", "eval"], ["kl", "."], ["kl", "nowhere"], ["sample", ".", "-n", "-1"],
        ["experiment", "dimension", "--max-d", "1e99"], ["experiment", "nothing"], ["sweep", "nowhere.toml"],
        ["objectives", "nobody"], ["train", "--resume", "."],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_words_end_in_one_sentence_and_exit_code_two(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with bounded():
        result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.output.strip()


# ---- sweeps -----------------------------------------------------------------------------------------------------
SWEEP = {
    "steps": 50,
    "seed": [0, 1],
    "measure": {"steps": [1, 2], "n": 256},
    "grid": [
        {"target": ["eight_gaussians", "moons"], "objective": ["lsd", "psd"], "network": {"width": [8, 16]}},
        {"target": "checkerboard", "delta": [0.01, 0.02], "parameters": {"cells": 4}},
    ],
}


def test_changed_sweeps_are_read_or_refused(tmp_path):
    refused = 0
    for seed in range(2 * CHANGES):
        changed = changed_json(SWEEP, seed)
        sweep, words = outcome(lambda changed=changed: make_sweep(changed), BadSweep)
        refused += bool(words)
        assert sweep is None or sweep.cells
    assert refused > CHANGES / 2


def test_changed_sweep_files_are_read_or_refused(tmp_path):
    content = (
        b'steps = 50\nseed = [0, 1]\n\n[measure]\nsteps = [1, 2]\n\n[[grid]]\ntarget = ["moons"]\nnetwork.width = 8\n'
    )
    path = tmp_path / "sweep.toml"
    for seed in range(CHANGES):
        path.write_bytes(changed_bytes(content, seed))
        outcome(lambda: read_sweep(path), BadSweep)
