"""Sweeps: a product of lists, checked before it runs, never repeated, and the same numbers wherever it is computed."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from pathlib import Path

import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import cmcore as cm
from cmcore.cli import main
from cmcore.divergences import Estimate
from cmcore.objectives.families.trajectory_regression import TrajectoryRegression
from cmcore.sweep import BadSweep, Sweep, SweepProgress, backends, make_sweep, read_sweep, run, run_sweep
from cmcore.sweep import cell as cell_module
from cmcore.sweep.keys import KEYS
from cmcore.targets import NoDensity

BASE = {
    "steps": 4,
    "target": "eight_gaussians",
    "objective": "lsd",
    "training": {"batch": 16, "device": "cpu"},
    "network": {"width": 8, "depth": 1},
    "measure": {"steps": [1, 2], "n": 256},
}
SEEDS = BASE | {"seed": [0, 1, 2]}
UNPLANNED = {key: value for key, value in BASE.items() if key != "steps"}


def toml(content: dict) -> str:
    """Tables of numbers, words and lists, as TOML."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in content.items() if not isinstance(value, dict)]
    tables = [f"[{key}]\n{toml(value)}" for key, value in content.items() if isinstance(value, dict)]
    return "\n".join(plain + tables)


def write(folder: Path, content: dict, name: str = "sweep.toml") -> Path:
    path = folder / name
    path.write_text(toml(content))
    return path


def lab(*words: object) -> Result:
    """Run `cmcore WORDS` and return what it said."""
    return CliRunner().invoke(main, [str(word) for word in words])


def rows(table) -> list[dict]:
    """The rows of a table but for their seconds, which no two runs share; NaN as None, which equals itself."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in table.drop_columns(["seconds"]).to_pylist()
    ]


# ---- what a file means ------------------------------------------------------------------------------------------
def test_a_sweep_is_the_product_of_its_lists_in_their_order() -> None:
    lists = {"target": ["moons", "eight_gaussians"], "seed": [3, 1], "network": {"width": [8, 16]}}
    sweep = make_sweep(BASE | lists)
    found = [(c.target.name, c.training.seed, c.training.network.width) for c in sweep.cells]
    assert sorted(found) == sorted(product(["moons", "eight_gaussians"], [3, 1], [8, 16]))
    assert found[0] == ("moons", 3, 8)
    assert sweep.varied == ("target", "objective", "seed", "network.width")


def test_grids_stand_side_by_side_and_replace_what_is_shared() -> None:
    grids = [{"seed": [0, 1]}, {"objective": ["ct", "psd"], "seconds": 3.0}, {"target": "moons", "delta": [0.1, 0.2]}]
    sweep = make_sweep(BASE | {"grid": grids})
    found = [(c.target.name, c.training.objective, c.training.seed, c.training.delta) for c in sweep.cells]
    assert found == [
        ("eight_gaussians", "lsd", 0, 0.0),
        ("eight_gaussians", "lsd", 1, 0.0),
        ("eight_gaussians", "ct", 0, 0.0),
        ("eight_gaussians", "psd", 0, 0.0),
        ("moons", "lsd", 0, 0.1),
        ("moons", "lsd", 0, 0.2),
    ]
    assert [c.training.seconds for c in sweep.cells] == [None, None, 3.0, 3.0, None, None]
    assert set(sweep.varied) >= {"training.delta", "training.seconds"}


def test_ways_to_write_a_key_are_one_key() -> None:
    short = {"delta": 0.1, "horizon": 2.5, "seed": 7, "steps": 4}
    dotted = {f"training.{key}": value for key, value in short.items()}
    rest = {key: value for key, value in BASE.items() if key != "steps"}
    cells = [make_sweep(rest | keys).cells for keys in (short, dotted)]
    nested = rest | {"training": {**BASE["training"], **short}}
    assert cells[0] == cells[1] == make_sweep(nested).cells


def test_a_cell_that_two_grids_share_is_there_once() -> None:
    grids = [{"seed": [0, 1]}, {"seed": [1, 2], "delta": 0.0}]  # δ = 0 is this target's own
    assert [c.training.seed for c in make_sweep(BASE | {"grid": grids}).cells] == [0, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"target": "moons"},
        {"parameters": {"sd": 0.2}},
        {"objective": "psd"},
        {"objective_parameters": {"diagonal_share": 0.4}},
        {"seed": 1},
        {"steps": 5},
        {"delta": 0.1},
    ],
)
def test_the_key_of_a_cell_is_that_of_its_config_alone(change: dict) -> None:
    (alone,) = make_sweep(BASE).cells
    assert make_sweep(BASE | change).cells[0].digest != alone.digest
    assert make_sweep(BASE | {"measure": {"steps": [1, 2], "n": 257}}).cells[0].digest != alone.digest
    assert alone.digest in {c.digest for c in make_sweep(BASE | {"grid": [change, {"seed": [0, 5]}]}).cells}


def test_matmul_dtype_by_its_former_name_names_the_same_cells() -> None:
    """Sweeps of before say training.products."""
    former, now, other = (
        make_sweep(BASE | {"training": BASE["training"] | change}).cells[0].digest
        for change in ({"products": "float32"}, {"matmul_dtype": "float32"}, {"matmul_dtype": "bfloat16"})
    )
    assert former == now != other


def test_the_measurement_is_the_objectives_own_unless_told() -> None:
    cells = make_sweep(BASE | {"objective": ["lsd", "ct"], "target": "checkerboard"}).cells
    told = [(c.measure.sampler, c.measure.renoise, c.measure.delta) for c in cells]
    assert told == [("deterministic", 0.5, 0.01), ("renoise", 1.0, 0.02)]


def test_toml_and_json_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SEEDS))
    assert read_sweep(write(tmp_path, SEEDS)).cells == read_sweep(tmp_path / "a.json").cells == make_sweep(SEEDS).cells


# ---- what is refused, in one sentence ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"targets": ["moons"]}, "no key \"targets\". Did you mean 'target'?"),
        ({"batch": 64}, "Did you mean 'training.batch'?"),
        ({"training": {"bach": 64}}, "Did you mean 'training.batch'?"),
        ({"training": {"threads": 2}}, 'no key "training.threads"'),
        ({"parameters": 3}, 'no key "parameters"'),
        ({"training.batch": 64}, "training.batch is given twice"),
        ({"target": []}, "target is an empty list"),
        ({"target": ["moon"]}, "Did you mean 'moons'?"),
        ({"target": 3}, "target.name: Input should be a valid string; got 3"),
        ({"parameters": {"radios": 2}}, "no parameter 'radios'"),
        ({"objective": ["lsd", "psdd"]}, "objective = \"psdd\": There is no objective named 'psdd'"),
        ({"objective_parameters": {"velocity": "exact"}}, "velocity is one of self"),
        ({"training": {"batch": [64, 2]}}, "training.batch: Input should be greater than or equal to 8; got 2"),
        ({"network": {"width": "wide"}}, "network.width: Input should be a valid integer"),
        ({"seed": -1}, "training.seed"),
        ({"delta": 5.0}, "δ must lie below the horizon"),
        ({"target": "checkerboard", "delta": 0}, "Stop early, at some δ > 0"),
        ({"target": "checkerboard", "measure": {"sampler": "renoise", "delta": 0.005}}, "choose a larger δ"),
        ({"measure": {"sampler": "ddim"}}, "draws by the exact score"),
        ({"measure": {"sampler": "jumps"}}, "no sampler named 'jumps'"),
        ({"measure": {"grid": "even"}}, "no time grid named 'even'"),
        ({"measure": {"n": 10}}, "measure.n: Input should be greater than or equal to 256; got 10"),
        ({"measure": {"steps": [1, 1]}}, "measure.steps: Give each N once."),
        ({"measure": {"step": [1]}}, "no key measure.step. Known: steps, sampler"),
        ({"measure": 3}, "measure: "),
        ({"keep_models": "yes"}, "keep_models is true or false"),
        ({"grid": []}, "[[grid]]"),
        ({"grid": [{"seeds": [1]}]}, "Did you mean 'seed'?"),
        ({"seconds": 3.0}, "one budget"),
        ({"seed": list(range(101)), "steps": list(range(1, 101))}, "10,100 cells; 10,000 are allowed"),
    ],
)
def test_a_bad_sweep_is_one_sentence_that_names_file_and_key(change: dict, said: str, tmp_path: Path) -> None:
    content = deepcopy(BASE)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(content.get(key), dict)
        content[key] = {**content[key], **value} if both else value
    path = tmp_path / "my.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BadSweep) as refused:
        read_sweep(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("missing", ["target", "steps"])
def test_what_must_be_said_is_asked_for(missing: str) -> None:
    with pytest.raises(BadSweep, match=f"{missing} = "):
        make_sweep({key: value for key, value in BASE.items() if key != missing})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", b"", ".toml or a .json"),
        ("a.toml", b"target = [", "not valid TOML"),
        ("a.toml", b"target = '\xff'", "not valid TOML"),
        ("a.json", b"[" * 100_000, "nested more than"),
        ("a.json", b"[]", "a table of keys"),
        ("a.toml", b"#" * (1 << 21), "larger than"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadSweep, match=said):
        read_sweep(tmp_path / name)


NAMES = st.sampled_from([*KEYS, "delta", "steps", "grid", "measure", "parameters", "training", "keep_models", "sd"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["moons", "lsd"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5), st.booleans())
def test_whatever_it_holds_a_sweep_is_read_or_refused(content: dict, sound: bool) -> None:
    with contextlib.suppress(BadSweep):  # and no other error
        assert isinstance(make_sweep(BASE | content if sound else content), Sweep)


@given(content=st.binary(max_size=200), name=st.sampled_from(["a.toml", "a.json"]))
def test_whatever_its_bytes_a_file_is_read_or_refused(tmp_path_factory, content: bytes, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    with pytest.raises(BadSweep):
        read_sweep(path)


# ---- what comes out ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> run.Outcome:
    """Two objectives and two seeds, in this process."""
    content = BASE | {"objective": ["lsd", "trajectory_regression"], "seed": [0, 1], "keep_models": True}
    return run_sweep(content, tmp_path_factory.mktemp("sweep"), jobs=1)


def test_numbers_are_those_of_train_and_kl(done: run.Outcome) -> None:
    target = cm.make_target("eight_gaussians")
    for result in done.results:
        config = result.cell.training
        model = cm.train(target, **config.model_dump())
        curve = cm.kl_versus_steps(model, target, [1, 2], n=256, seed=0)
        # The fast products that training chose by a race, here or there, move the last digits of float32.
        assert [e.value for e in result.estimates] == pytest.approx([e.value for e in curve.estimates], rel=1e-3)


def test_the_table_has_a_row_for_each_cell_and_n(done: run.Outcome) -> None:
    table = pq.read_table(done.folder / "table.parquet")
    assert table.equals(done.table)
    assert table.column_names[:3] == ["target", "objective", "seed"]
    assert table["steps"].to_pylist() == [1, 2] * 4
    assert table["key"].to_pylist() == [r.cell.digest for r in done.results for _ in range(2)]
    assert table["training_steps"].to_pylist() == [4] * 8
    estimates = [e for r in done.results for e in r.estimates]
    for name in Estimate.__dataclass_fields__.keys() - {"unit", "diagnostics", "replicates"}:
        assert table[name].to_pylist() == [getattr(e, name) for e in estimates]
    from_csv = pacsv.read_csv(done.folder / "table.csv")
    assert from_csv.column_names == table.column_names
    assert from_csv["value"].to_pylist() == table["value"].to_pylist()


def test_kept_models_are_runs(done: run.Outcome) -> None:
    for result in done.results:
        model = cm.load(done.folder / "cells" / result.cell.digest)
        curve = cm.kl_versus_steps(model, model.target, [1, 2], n=256, seed=0)
        assert [e.value for e in curve.estimates] == pytest.approx([e.value for e in result.estimates], rel=1e-3)


def test_finished_cells_are_kept_and_new_ones_alone_are_computed(tmp_path: Path, monkeypatch) -> None:
    computed = []
    counted = lambda cell, **choices: computed.append(cell) or cell_module.run_cell(cell, **choices)  # noqa: E731
    monkeypatch.setattr(run, "run_cell", counted)
    first = run_sweep(SEEDS, tmp_path, jobs=1)
    assert len(computed) == 3
    again = run_sweep(SEEDS, tmp_path, jobs=1)
    assert len(computed) == 3
    assert again.table.equals(first.table)
    changed = run_sweep(BASE | {"seed": [2, 0, 7]}, tmp_path, jobs=1)
    assert [c.training.seed for c in computed[3:]] == [7]
    assert rows(changed.table)[:4] == [*rows(first.table)[4:], *rows(first.table)[:2]]
    run_sweep(BASE | {"seed": [7], "keep_models": True}, tmp_path, jobs=1)
    assert len(computed) == 5  # its model had not been kept
    (tmp_path / "cells" / computed[0].digest / "result.json").write_text("{}")
    run_sweep(SEEDS, tmp_path, jobs=1)
    assert computed[5:] == computed[:1]


def broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Measuring fails for the maps of seed 1."""
    sound = cell_module.kl_versus_steps

    def measure(model, *arguments, **choices):
        if model.config.seed == 1:
            raise error
        return sound(model, *arguments, **choices)

    monkeypatch.setattr(cell_module, "kl_versus_steps", measure)


@pytest.mark.parametrize("error", [NoDensity("No density there."), ZeroDivisionError("By zero.\nMore.")])
def test_a_failing_cell_is_a_row_with_a_sentence(error: Exception, tmp_path: Path, monkeypatch) -> None:
    broken(monkeypatch, error)
    outcome = run_sweep(SEEDS, tmp_path, jobs=1)
    assert [result.status for result in outcome.results] == ["finished", "failed", "finished"]
    assert outcome.failed[0].message == str(error).splitlines()[0]
    assert type(error).__name__ in outcome.failed[0].trace
    assert outcome.table["value"].null_count == 2
    assert outcome.table["steps"].to_pylist() == [1, 2] * 3
    monkeypatch.undo()
    assert run_sweep(SEEDS, tmp_path, jobs=1).failed == outcome.failed
    assert not run_sweep(SEEDS, tmp_path, jobs=1, retry_failed=True).failed


def test_a_diverged_cell_is_not_measured(tmp_path: Path, monkeypatch) -> None:
    sound = TrajectoryRegression.backward
    monkeypatch.setattr(TrajectoryRegression, "backward", lambda *arguments: sound(*arguments) * math.inf)
    outcome = run_sweep(BASE | {"objective": "trajectory_regression"}, tmp_path, jobs=1)
    assert outcome.failed[0].status == "diverged"
    assert "smaller learning rate" in outcome.failed[0].message
    assert outcome.table["value"].null_count == 2


def test_interrupted_the_finished_cells_are_in_the_table(tmp_path: Path) -> None:
    def interrupt(progress: SweepProgress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(SEEDS, tmp_path, jobs=1, progress=interrupt)
    assert pq.read_table(tmp_path / "table.parquet")["seed"].to_pylist() == [0, 0, 1, 1]


def test_progress_counts_and_its_time_left_is_the_mean_of_what_was_seen(tmp_path: Path, monkeypatch) -> None:
    broken(monkeypatch, ValueError("No."))
    told: list[SweepProgress] = []
    run_sweep(SEEDS, tmp_path, jobs=1, progress=told.append)
    assert [(p.done, p.failed, p.earlier) for p in told] == [(0, 0, 0), (1, 0, 0), (2, 1, 0), (3, 1, 0)]
    seconds = [p.last.seconds for p in told if p.last]
    left = [p.seconds_left for p in told]
    assert left == [None, pytest.approx(2 * seconds[0]), pytest.approx(sum(seconds[:2]) / 2), 0.0]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(BadSweep, match="choose another folder"):
        run_sweep(BASE, tmp_path, jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_cell_is_trained_where_it_says(device: str, tmp_path: Path) -> None:
    outcome = run_sweep(BASE | {"training": {"batch": 16, "device": device}}, tmp_path, jobs=1)
    assert outcome.results[0].status == "finished", outcome.results[0].message
    assert outcome.results[0].device.lower().startswith(device)


# ---- the command ------------------------------------------------------------------------------------------------
def test_the_command_says_how_many_and_where(tmp_path: Path) -> None:
    result = lab("sweep", write(tmp_path, SEEDS), "--jobs", 1, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["cells"], summary["finished"], summary["failed"], summary["rows"]) == (3, 3, [], 6)
    assert all(Path(path).exists() for path in summary["table"])
    assert "3 of 3 done, 0 failed" in result.stderr
    again = lab("sweep", tmp_path / "sweep.toml", "--jobs", 1, "--out", tmp_path / "out")
    assert again.exit_code == 0
    assert "3 of 3 cells finished" in again.stdout


def test_the_exit_code_tells_of_failed_cells(tmp_path: Path, monkeypatch) -> None:
    broken(monkeypatch, NoDensity("No density there."))
    result = lab("sweep", write(tmp_path, SEEDS), "--jobs", 1, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "1 of 3 cells diverged or failed" in result.stderr
    assert "seed 1): No density there." in result.stderr
    assert "2 of 3 cells finished" in result.stdout


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_cell", interrupted)
    result = lab("sweep", write(tmp_path, SEEDS), "--jobs", 1, "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "dask", "--jobs", "2"], "--jobs is for"),
        (["--scheduler", "tcp://127.0.0.1:1"], "--scheduler is for"),
        (["--backend", "dask", "--scheduler", "tcp://127.0.0.1:1"], "No Dask scheduler answers at tcp://127.0.0.1:1"),
        (["--backend", "dask", "--scheduler", "nowhere://x"], "No Dask scheduler answers at nowhere://x"),
        (["--backend", "slurm"], "slurm"),
    ],
)
def test_where_it_cannot_run_is_one_sentence(words: list[str], said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(backends, "PATIENCE", 0.5)
    result = lab("sweep", write(tmp_path, SEEDS), "--out", tmp_path / "out", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not result.stdout


def test_without_dask_the_command_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = lab("sweep", write(tmp_path, SEEDS), "--out", tmp_path / "out", "--backend", "dask")
    assert result.exit_code == 2
    assert "consistency-lab[cluster]" in result.stderr


# ---- processes --------------------------------------------------------------------------------------------------
def start(*words: object, **choices) -> subprocess.Popen:
    """A Python of its own in a process group of its own, which finds the lab unless told otherwise."""
    command = [sys.executable, "-m", *map(str, words)]
    choices = {"env": os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}, **choices}
    return subprocess.Popen(command, start_new_session=True, **{"stderr": subprocess.DEVNULL, **choices})


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def finished(out: Path) -> dict[Path, int]:
    """The results in a folder, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (out / "cells").glob("*/result.json")}


def children(parent: int) -> list[int]:
    """The processes that a process started; none where the system does not tell."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _stat(path)[1:2] == [str(parent)]]


def runs(process: int) -> bool:
    return _stat(Path(f"/proc/{process}"))[:1] not in ([], ["Z"])


def _stat(path: Path) -> list[str]:
    """State, parent and so on of a process; empty when it is gone."""
    try:
        return (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


ENDLESS = 10_000_000
"""Steps of a cell that is still being computed whenever it is looked at, however fast the machine."""


def cut_short(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on endless cells end after four steps; the seeds of the cells that were computed."""
    computed = []

    def compute(cell, **choices):
        computed.append(cell.training.seed)
        training = cell.training.model_copy(update={"steps": 4})
        result, model = cell_module.run_cell(cell.model_copy(update={"training": training}), **choices)
        return result.model_copy(update={"cell": cell}), model

    monkeypatch.setattr(run, "run_cell", compute)
    return computed


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """What is started here can be interrupted, even where the tests run in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_sweep_goes_on_where_it_was(how: signal.Signals, tmp_path: Path, monkeypatch) -> None:
    out, grids = tmp_path / "out", [{"seed": [0, 1], "steps": 4}, {"seed": [2, 3], "steps": ENDLESS}]
    content = UNPLANNED | {"grid": grids}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    process = start("cmcore", "sweep", tmp_path / "sweep.json", "--jobs", 2, "--out", out)
    wait_for(lambda: len(finished(out)) == 2 or process.poll() is not None)
    if how is signal.SIGINT:
        os.killpg(process.pid, how)  # what a terminal does
        assert process.wait(300) == 130
        assert pq.read_table(out / "table.parquet").num_rows == 4
    else:
        workers = children(process.pid)
        process.kill()
        process.wait(300)
        wait_for(lambda: not any(map(runs, workers)))
    kept = finished(out)
    computed = cut_short(monkeypatch)
    outcome = run_sweep(content, out, jobs=1)
    assert computed == [2, 3]
    assert len(outcome.results) == 4
    assert not outcome.failed
    assert finished(out).items() > kept.items()


@pytest.mark.slow
def test_a_killed_worker_ends_the_sweep_with_a_sentence_and_keeps_what_was_finished(tmp_path: Path) -> None:
    out, grids = tmp_path / "out", [{"seed": 0, "steps": 4}, {"seed": [1, 2], "steps": ENDLESS}]
    (tmp_path / "sweep.json").write_text(json.dumps(UNPLANNED | {"grid": grids}))
    words = ["cmcore", "sweep", tmp_path / "sweep.json", "--jobs", 2, "--out", out]
    process = start(*words, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: finished(out) or process.poll() is not None)
    workers = [
        child for child in children(process.pid) if b"LokyProcess" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert "A worker process ended without a word" in said
    assert "Traceback" not in said
    assert len(finished(out)) == 1
    assert pq.read_table(out / "table.parquet").num_rows == 2


@pytest.mark.slow
def test_two_processes_compute_what_one_does(done: run.Outcome, tmp_path: Path) -> None:
    sweep = make_sweep(BASE | {"objective": ["lsd", "trajectory_regression"], "seed": [0, 1], "keep_models": True})
    two = run_sweep(sweep, tmp_path, jobs=2)
    assert rows(two.table) == rows(done.table)
    for result in two.results:
        assert cm.load(tmp_path / "cells" / result.cell.digest).steps == 4


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of Dask's own scheduler with two of its workers, on loopback."""
    found = tmp_path / "scheduler.json"
    processes = [start("dask", "scheduler", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", found)]
    alone = ("--no-nanny", "--nthreads", 1, "--scheduler-file", found)  # which they wait for
    processes += [start("dask", "worker", *alone, cwd=tmp_path) for _ in range(2)]
    try:
        wait_for(lambda: found.exists() and found.read_text().endswith("}"))
        yield json.loads(found.read_text())["address"]
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(300)


@pytest.mark.slow
def test_a_cluster_computes_what_one_process_does(
    scheduler: str, done: run.Outcome, tmp_path: Path, monkeypatch
) -> None:
    sweep = make_sweep(BASE | {"objective": ["lsd", "trajectory_regression"], "seed": [0, 1], "keep_models": True})
    monkeypatch.setattr(backends, "PATIENCE", 60.0)
    cluster = run_sweep(sweep, tmp_path / "out", backend="dask", scheduler=scheduler)
    assert rows(cluster.table) == rows(done.table)
    for result in cluster.results:
        assert cm.load(tmp_path / "out" / "cells" / result.cell.digest).steps == 4
