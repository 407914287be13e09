"""The command line: what a person types, and what comes back."""

import json
import os
import re
import signal
import socket
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import cmcore as cm
from cmcore import cli
from cmcore.cli import main
from cmcore.cli.outcome import say, write_json
from cmcore.measure import Curve
from cmcore.measure.kl_versus_steps import BASELINES
from cmcore.objectives import make_objective
from cmcore.objectives.families.trajectory_regression import TrajectoryRegression
from cmcore.training import training

QUICK = ["--steps=60", "-otrajectories=500", "-olevels=9", "--width=16", "--depth=2", "--device=cpu"]


def lab(*words: object) -> Result:
    """Run `cmcore WORDS` and return what it said."""
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a barely trained run on eight Gaussians."""
    folder = tmp_path_factory.mktemp("runs") / "rings"
    result = lab("train", "eight_gaussians", *QUICK, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A small CSV file with two columns of numbers and one of words."""
    generator = np.random.default_rng(0)
    rows = zip(generator.normal(170, 10, 80), generator.normal(70, 8, 80), strict=True)
    path = tmp_path / "people.csv"
    path.write_text("name,height,weight\n" + "\n".join(f"p,{h:.1f},{w:.1f}" for h, w in rows))
    return path


# ---- train ------------------------------------------------------------------------------------------------------
def test_training_says_where_it_ran_and_what_came_out(tmp_path: Path) -> None:
    result = lab("train", "eight_gaussians", *QUICK, "--seed", 3, "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    assert "Training on CPU" in result.stderr
    summary = json.loads(result.stdout)
    assert summary["status"] == "finished"
    assert summary["steps"] == 60
    assert summary["target"] == "eight_gaussians"
    assert summary["config"]["seed"] == 3
    assert summary["config"]["network"]["width"] == 16
    assert cm.load(tmp_path / "run").steps == 60


def test_the_same_seed_trains_the_same_map(run: Path, tmp_path: Path) -> None:
    lab("train", "eight_gaussians", *QUICK, "--out", tmp_path / "again")
    first, second = (cm.load(folder).flow_map.state_dict() for folder in (run, tmp_path / "again"))
    assert all((first[name] == second[name]).all() for name in first)


def test_parameters_reach_the_target(tmp_path: Path) -> None:
    result = lab("train", "eight_gaussians", "-p", "radius=3", *QUICK, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    target = cm.load(tmp_path / "run").target
    assert target is not None
    assert target.second_moment == pytest.approx(9 + 2 * 0.15**2)


def test_a_run_is_not_overwritten(run: Path) -> None:
    result = lab("train", "eight_gaussians", *QUICK, "--out", run)
    assert result.exit_code == 2
    assert "--resume" in result.stderr


def test_resuming_goes_on_to_more_steps(tmp_path: Path) -> None:
    lab("train", "eight_gaussians", *QUICK, "--out", tmp_path)
    result = lab("train", "--resume", tmp_path, "--steps", 40, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 100
    assert cm.load(tmp_path).steps == 100


def test_ctrl_c_keeps_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments, **choices):
        for event in training(*arguments, **choices):
            if event.step >= 50:
                os.kill(os.getpid(), signal.SIGINT)
            yield event

    monkeypatch.setattr(cm, "training", interrupted)
    result = lab("train", "eight_gaussians", *QUICK, "--steps", 10_000, "--out", tmp_path / "run")
    assert result.exit_code == 130
    assert "--resume" in result.stderr
    assert cm.load(tmp_path / "run").steps == 50


def test_a_diverged_run_fails_and_keeps_its_last_good_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound, losses = TrajectoryRegression.backward, count()
    blown_up = lambda *arguments: sound(*arguments) * (float("inf") if next(losses) > 120 else 1.0)  # noqa: E731
    monkeypatch.setattr(TrajectoryRegression, "backward", blown_up)
    result = lab("train", "eight_gaussians", *QUICK, "--steps", 400, "--out", tmp_path / "run", "--json")
    assert result.exit_code == 1
    assert "diverged" in result.stderr
    assert json.loads(result.stdout)["status"] == "diverged"
    assert cm.load(tmp_path / "run").steps == 100


def test_a_table_is_trained_on_and_sampled_in_its_own_units(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = lab("train", table, "--columns", "height,weight", *QUICK, "--out", run)
    assert result.exit_code == 0, result.output
    assert "not the population" in result.stderr

    drawn = tmp_path / "points.csv"
    assert lab("sample", run, "-n", 200, "--steps", 2, "--out", drawn).exit_code == 0
    points = np.genfromtxt(drawn, delimiter=",", names=True)
    assert points.dtype.names == ("height", "weight")
    assert points["height"].mean() == pytest.approx(170, abs=10)
    assert points["weight"].mean() == pytest.approx(70, abs=10)


def test_how_a_table_is_read_can_be_said(tmp_path: Path) -> None:
    """A German export: the notes say what was left out, and a bandwidth that was chosen is the one that is used."""
    rows = [f"tree {i};{i % 7},5;{(i * i) % 11},25" for i in range(40)]
    path = tmp_path / "trees.txt"
    path.write_text("name;height;girth, in m\n" + "\n".join(rows))
    columns = ["--columns", 'height,"girth, in m"', "--bandwidth", "0.4", "-p", "decimal=,"]
    said = lab("train", path, *columns, *QUICK, "--out", tmp_path / "run").stderr
    assert "bandwidth 0.4" in said
    assert "'name'" not in said
    assert "'name' (line 2" in lab("train", path, *QUICK, "--out", tmp_path / "all").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train"], "Name a target"),
        (["train", "eight_gausians"], "Did you mean 'eight_gaussians'"),
        (["train", "eight_gaussians", "--steps", "0"], "steps"),
        (["train", "eight_gaussians", "--steps", "9", "--seconds", "9"], "not both"),
        (["train", "eight_gaussians", "--columns", "a"], "files"),
        (["train", "eight_gaussians", "--objective", "nothing"], "no objective named 'nothing'"),
        (["train", "eight_gaussians", "--objective", "lsd", "-o", "velocity=exact"], "velocity is one of self"),
        (["train", "eight_gaussians", "--objective", "lsd", "-o", "label=x"], "no parameter 'label'. It has: velocity"),
        (["train", "eight_gaussians", "--objective", "lsd", "-o", "diagonal_share=much"], "diagonal_share is a number"),
        (["train", "eight_gaussians", "--objective", "lsd", "-o", "diagonal_share=2"], "between 0 and 1"),
        (["train", "checkerboard", "--delta", "0"], "not smooth"),
        (["train", "eight_gaussians", "--seeds", "3-1"], "range"),
        (["train", "eight_gaussians", "--seeds", "one"], "0-3"),
        (["train", "eight_gaussians", "--seeds", "1,1"], "different"),
        (["train", "eight_gaussians", "--seeds", "0-3", "--seed", "1"], "alone"),
        (["objectives", "lds"], "Did you mean"),
        (["train", "eight_gaussians", "-p", "radius"], "NAME=VALUE"),
        (["train", "eight_gaussians", "-p", "radios=2"], "radios"),
        (["train", "nowhere.csv"], "nowhere.csv"),
        (["train", "nowhere.csv", "-p", "kernels=3"], "kernels"),
        (["train", "eight_gaussians", "--device", "tpu"], "tpu"),
        (["sample", "nowhere"], "nowhere"),
        (["sample", "."], "no run"),
        (["kl", "."], "no run"),
        (["kl", ".", "--steps", "1,two"], "1,2,4"),
        (["kl", ".", "--steps", "0"], "at least one"),
        (["sample", ".", "--out", "points.png"], ".csv"),
        (["dance"], "dance"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words: list[str], said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = lab(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not result.stdout
    assert not list(tmp_path.iterdir())


# ---- objectives -------------------------------------------------------------------------------------------------
SMALL = ["--steps=60", "--width=16", "--depth=2", "--batch=64", "--device=cpu"]


@pytest.mark.parametrize("parameters", [["-ovelocity=learned", "-oteacher_steps=20"], ["-oto_data=0.5"]])
def test_an_objective_is_trained_with_its_parameters(parameters: list[str], tmp_path: Path) -> None:
    result = lab("train", "moons", "--objective", "lmd", *parameters, *SMALL, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    kept = cm.load(tmp_path / "run").config.objective_parameters
    for pair in parameters:
        name, _, value = pair.removeprefix("-o").partition("=")
        assert str(kept[name]) == value


def test_members_are_trained_at_once_each_in_its_folder(tmp_path: Path) -> None:
    result = lab("train", "moons", "--objective", "lsd", "--seeds", "0-1,5", *SMALL, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    for seed, line in zip((0, 1, 5), lines, strict=True):
        assert line.startswith(f"{tmp_path / f'seed-{seed}'}: 60 steps, finished, loss ")
        assert cm.load(tmp_path / f"seed-{seed}").config.seed == seed
    summaries = lab("train", "moons", "--objective", "lsd", "--seeds", "7", *SMALL, "--out", tmp_path / "x", "--json")
    assert [summary["config"]["seed"] for summary in json.loads(summaries.stdout)] == [7]


def test_interrupted_before_the_first_step_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments, **choices):
        for event in training(*arguments, **choices):
            os.kill(os.getpid(), signal.SIGINT)
            yield event

    monkeypatch.setattr(cm, "training", interrupted)
    result = lab("train", "moons", *QUICK, "--out", tmp_path / "run")
    assert result.exit_code == 130
    assert "nothing to keep" in result.stderr
    assert not list((tmp_path / "run").iterdir())


@pytest.fixture(scope="module")
def single_time_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A barely trained run that learned jumps to δ alone."""
    folder = tmp_path_factory.mktemp("runs") / "ct"
    result = lab("train", "eight_gaussians", "--objective", "ct", *SMALL, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


def test_a_single_time_run_is_sampled_by_jumping_to_delta_and_renoising(single_time_run: Path) -> None:
    result = lab("sample", single_time_run, "-n", 5, "--steps", 3, "--seed", 1, "--json")
    assert result.exit_code == 0, result.output
    drawn = json.loads(result.stdout)
    assert drawn["sampler"] == "renoise"
    assert "renoised" in result.stderr
    own = cm.sample(cm.load(single_time_run), 5, 3, seed=1, sampler="renoise", renoise=1.0, noiseless_end=True)
    np.testing.assert_array_equal(own.points.numpy(), np.array(drawn["samples"]))
    asked = lab("sample", single_time_run, "-n", 5, "--sampler", "deterministic", "--json")
    assert json.loads(asked.stdout)["sampler"] == "deterministic"
    assert "not trained" in asked.stderr


def test_kl_of_a_single_time_run_is_that_of_renoised_samples(single_time_run: Path) -> None:
    result = lab("kl", single_time_run, "--steps", "2", "-n", 2048, "--json")
    assert result.exit_code == 0, result.output
    curves = json.loads(result.stdout)
    assert set(curves) == {"renoise"}
    model = cm.load(single_time_run)
    own = cm.kl_versus_steps(model, model.target, [2], n=2048, seed=0, sampler="renoise", renoise=1.0, delta=0.02)
    assert Curve.from_json(json.dumps(curves["renoise"])) == own


def test_an_objective_tells_its_parameters_and_their_defaults() -> None:
    words = lab("objectives", "lsd").stdout
    assert words.startswith("lsd: LSD, Lagrangian self-distillation. Needs samples only.")
    assert "the map is taught by its own diagonal" in words
    rows = {row.split()[0]: row.split()[1] for row in words.splitlines() if "number" in row}
    assert float(rows["diagonal_share"]) == make_objective("lsd").parameters()["diagonal_share"]
    told = json.loads(lab("objectives", "ct", "--json").stdout)
    assert told["needs"] == "samples only"
    assert told["two_time"] is False
    assert told["parameters"] == make_objective("ct").parameters()


# ---- sample -----------------------------------------------------------------------------------------------------
def test_samples_of_a_seed_are_the_same_on_screen_in_csv_and_in_parquet(run: Path, tmp_path: Path) -> None:
    words = ("sample", run, "-n", 20, "--steps", 3, "--seed", 5)
    lab(*words, "--out", tmp_path / "a.csv")
    lab(*words, "--out", tmp_path / "a.parquet")
    shown = np.array(json.loads(lab(*words, "--json").stdout)["samples"])
    printed = np.loadtxt(lab(*words).stdout.splitlines(), delimiter=",", skiprows=1)
    parquet = pq.read_table(tmp_path / "a.parquet").to_pandas()
    assert list(parquet.columns) == ["x1", "x2"]
    np.testing.assert_array_equal(parquet.to_numpy(), shown)
    np.testing.assert_allclose(printed, shown, rtol=1e-6)
    assert (tmp_path / "a.csv").read_text() == lab(*words).stdout
    draw = cm.sample(cm.load(run), 20, 3, seed=5)
    np.testing.assert_array_equal(draw.points.numpy(), shown)


@pytest.mark.parametrize(("sampler", "calls"), [("deterministic", 4), ("renoise", 4), ("ddim", 4), ("heun", 8)])
def test_every_sampler_says_what_it_cost(run: Path, sampler: str, calls: int) -> None:
    result = lab("sample", run, "-n", 5, "--steps", 4, "--sampler", sampler, "--delta", 0.02, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["calls"] == calls


# ---- kl ---------------------------------------------------------------------------------------------------------
def test_kl_is_that_of_the_library(run: Path) -> None:
    result = lab("kl", run, "--steps", "1,4", "-n", 2048, "--seed", 7, "--baselines", "--json")
    assert result.exit_code == 0, result.output
    curves = {name: Curve.from_json(json.dumps(curve)) for name, curve in json.loads(result.stdout).items()}
    assert set(curves) == {"deterministic", *BASELINES}
    assert {e.direction for curve in curves.values() for e in curve.estimates} == {"KL(model‖data)"}
    model = cm.load(run)
    assert curves["deterministic"] == cm.kl_versus_steps(model, model.target, [1, 4], n=2048, seed=7)
    exact = cm.kl_versus_steps(
        model.target, model.target, [1, 4], n=2048, seed=7, sampler="ddim", horizon=3.0, delta=0.0
    )
    assert curves["ddim"] == exact


def test_a_baseline_follows_the_score_asked_for_and_says_whose(run: Path) -> None:
    words = ("kl", run, "--steps", "2", "-n", 512, "--baselines", "ddim", "--score", "model")
    told = lab(*words, "--json")
    assert told.exit_code == 0, told.output
    curve = Curve.from_json(json.dumps(json.loads(told.stdout)["ddim"]))
    assert curve.config["score"] == "model"
    model = cm.load(run)
    assert curve == cm.kl_versus_steps(model, model.target, [2], n=512, seed=0, sampler="ddim", score="model")
    assert "ddim, learned score: " in lab(*words).stdout
    wrong = lab("kl", run, "--baselines", "renoise")
    assert wrong.exit_code == 2
    assert "follows a score" in wrong.stderr


def test_a_run_without_a_score_of_its_own_says_so(single_time_run: Path) -> None:
    told = lab("sample", single_time_run, "--sampler", "ddim", "--score", "model")
    assert told.exit_code == 2
    assert "no score of its own" in told.stderr


def test_kl_prints_a_row_for_every_n_and_no_number_it_does_not_trust(run: Path) -> None:
    words = ("kl", run, "--steps", "2,4", "-n", 2048)
    estimates = json.loads(lab(*words, "--json").stdout)["deterministic"]["estimates"]
    title, _, *rows = lab(*words).stdout.splitlines()
    assert title == "deterministic: KL(model‖data) at δ = 0, in nats"
    for row, n, estimate in zip(rows, (2, 4), estimates, strict=False):
        steps, value = row.split()[:2]
        assert int(steps) == n
        assert value == (f"{estimate['value']:.4g}" if estimate["trusted"] else "—")


@pytest.mark.parametrize("direction", ["model-data", "data-model"])
def test_the_direction_asked_for_is_the_one_estimated(run: Path, direction: str) -> None:
    words = ("--sampler", "renoise", "--delta", 0.1, "--steps", 2, "-n", 4096, "--direction", direction, "--json")
    (estimate,) = json.loads(lab("kl", run, *words).stdout)["renoise"]["estimates"]
    assert estimate["direction"] == f"KL({direction.replace('-', '‖')})"
    assert estimate["delta"] == 0.1


# ---- what exists ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["targets", "objectives", "samplers", "estimators"])
def test_lists_name_everything_registered(name: str) -> None:
    registered = set(getattr(cm, name)())
    listed = json.loads(lab(name, "--json").stdout)
    assert {entry["name"] for entry in listed} == registered
    assert all(entry["description"] for entry in listed)
    assert registered <= set(lab(name).stdout.split())


# ---- the lab ----------------------------------------------------------------------------------------------------
def test_a_taken_port_is_said_with_another_one() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        result = lab("app", "--port", port, "--no-browser")
    assert result.exit_code == 2
    assert f"Port {port} is taken" in result.output
    assert f"make app PORT={port + 1}" in result.output


STEERING = "\x1b\x9b\x07\r\x7f\u202e\u2066"


def test_no_word_from_outside_steers_the_terminal(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["gallery"] = {"name": f"moons{STEERING}\U0001f600é"}
    for file in run.glob("*.safetensors"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(record))
    for words in (("sample", tmp_path), ("kl", tmp_path, "--json")):
        result = lab(*words)
        assert result.exit_code == 2
        assert "moons" in result.output
        assert not set(STEERING) & set(result.output)


def test_what_a_terminal_shows_reads_as_json_as_before(capsys: pytest.CaptureFixture) -> None:
    value = {f"é{STEERING}": ["−1.5", "a\nb\tc", "\U0001f600"]}
    write_json(value)
    shown = capsys.readouterr().out
    assert json.loads(shown) == value
    assert not set(STEERING) & set(shown)
    say("é −1.5\tb\nc")
    assert capsys.readouterr().out == "é −1.5\tb\nc\n"


def test_commands_print_in_one_place() -> None:
    for path in Path(cli.__file__).parent.glob("*.py"):
        prints = re.search(r"\bclick\.s?echo\(|\bprint\(|std(out|err)\.write\(", path.read_text())
        assert path.name == "outcome.py" or not prints, path


def test_a_site_that_cannot_be_written_is_refused_in_a_sentence_before_anything_is(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    cm.save(cm.TrainedModel(**{**vars(cm.load(run)), "target": None}), tmp_path / "bare")
    for words, sentence in {
        ("full",): "is not empty. Name a new folder",
        ("file",): "is a file. Name a folder",
        ("file/site",): "Not a directory",
        ("site", "--run", "nowhere"): "does not exist",
        ("site", "--run", "file"): "is a file",
        ("site", "--run", "full"): "There is no run",
        ("site", "--run", "bare"): "does not carry its target",
        ("site", "--lab", "javascript:alert(1)"): "A lab has an address",
    }.items():
        monkeypatch.chdir(tmp_path)
        result = lab("site", *words)
        assert result.exit_code == 2, (words, result.output)
        assert sentence in result.output, (words, result.output)
        assert "Traceback" not in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "file", "full"]
