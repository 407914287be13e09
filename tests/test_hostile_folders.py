"""Folders that several write to at once, and folders that an enemy left: one whole run, or a sentence at once."""

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import cmcore as cm
from app.pages.lessons.reader import BadLesson, read_lesson_file
from cmcore.cli import main
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.files import BadFile, read_plain, taking_turns, write_atomically
from cmcore.model import FlowMap
from cmcore.store import BadRun, from_zip, reading, to_zip, writing
from cmcore.streams import stream
from cmcore.sweep.plan import BadSweep, read_sweep
from tests import forked
from tests.forked import Forked

ROOT = Path(__file__).parents[1]
ROUNDS = 20


def untrained(seed=0, state=True):
    network = NetworkConfig(width=8, depth=1)
    flow_map = FlowMap(2, network, generator=stream(seed, "weights")).requires_grad_(requires_grad=False)
    config = TrainingConfig(network=network, steps=100, delta=0.0, seed=seed)
    count = sum(weight.numel() for weight in flow_map.parameters())
    state = {"weights": torch.full((count,), float(seed)), "average": torch.zeros(count)} if state else {}
    target = cm.make_target("eight_gaussians")
    return cm.TrainedModel(flow_map, target, config, 1, 0.1, "stopped", "CPU, 1 thread", resume_state=state)


# ---- D4: several writers, and readers beside them -------------------------------------------------------------------
def save_often(folder, seed, ready=lambda: None, go=lambda: None):
    models = [untrained(seed), untrained(seed + 2)]
    ready()
    go()
    for i in range(ROUNDS):
        cm.save(models[i % 2], folder)


def write_elsewhere(folder: Path, end: Connection) -> None:
    """Save often, once that is asked for."""
    save_often(folder, 0, lambda: end.send("ready"), end.recv)


@pytest.mark.slow
def test_d4_two_writers_of_one_folder_leave_one_whole_run_and_a_reader_always_reads_one(tmp_path):
    """One writer is another process, the other a thread of the reader's."""
    folder = tmp_path / "run"
    cm.save(untrained(0), folder)
    here, there = forked.CONTEXT.Pipe()
    process = Forked(write_elsewhere, folder, there)
    assert here.recv() == "ready"  # as long as it takes a busy machine
    whole = {seed: list(untrained(seed).flow_map.parameters()) for seed in range(4)}
    seen = set()
    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(save_often, folder, 1)
        here.send("begin")
        while process.poll() is None or not thread.done():
            run = cm.load(folder)  # raises where it finds less than a whole run
            seed = run.config.seed
            assert float(run.resume_state["weights"].unique()) == seed
            assert all(map(torch.equal, run.flow_map.parameters(), whole[seed]))
            seen.add(seed)
        thread.result()
    assert process.exitcode == 0
    assert len(seen) > 1, "nothing was written while it was read"
    named = json.loads((folder / "run.json").read_text())
    assert {path.name for path in folder.iterdir()} == {"run.json", named["model_file"], named["resume_file"]}
    assert cm.load(folder).config.seed in range(4)


def test_d4_a_writer_waits_for_the_one_before_and_leaves_no_lock(tmp_path, monkeypatch):
    monkeypatch.setattr("cmcore.files.PATIENCE", 0.1)
    cm.save(untrained(), tmp_path)
    with taking_turns(tmp_path), pytest.raises(TimeoutError, match="another process"):
        cm.save(untrained(1), tmp_path)
    assert cm.load(tmp_path).config.seed == 0
    cm.save(untrained(1), tmp_path)
    assert cm.load(tmp_path).config.seed == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_d4_a_reader_that_a_writer_overtakes_reads_the_new_run(tmp_path, monkeypatch):
    cm.save(untrained(0), tmp_path)
    read, overtaken = reading._read_file, []

    def overtaking(path, most):
        content = read(path, most)
        if path.name == "run.json" and not overtaken:
            overtaken.append(cm.save(untrained(1), tmp_path))
        return content

    monkeypatch.setattr(reading, "_read_file", overtaking)
    assert cm.load(tmp_path).config.seed == 1
    assert overtaken


def test_d4_what_a_killed_writer_left_goes_with_the_next_save(tmp_path):
    cm.save(untrained(0), tmp_path)
    for name in ("run.json", "model-0123456789abcdef.safetensors"):
        (tmp_path / f".{name}.{'0' * 32}").write_bytes(b"half")
    (tmp_path / "resume-0123456789abcdef.safetensors").write_bytes(b"whole, and of no run")
    (tmp_path / "notes.txt").write_text("mine")
    cm.save(untrained(1, state=False), tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".txt"}
    assert len(list(tmp_path.iterdir())) == 3


def test_d4_a_damaged_file_of_the_right_name_is_written_anew(tmp_path):
    cm.save(untrained(), tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    assert cm.load(cm.save(untrained(), tmp_path)).steps == 1


def test_d4_two_sweeps_of_one_folder_leave_the_whole_table(tmp_path):
    from cmcore.sweep.cell import CellResult
    from cmcore.sweep.folder import SweepFolder
    from cmcore.sweep.plan import make_sweep

    plan = make_sweep({"target": "moons", "steps": 5, "seed": [0, 1]})
    one, other = SweepFolder(tmp_path, plan), SweepFolder(tmp_path, plan)
    first, second = (CellResult(cell=cell, status="failed", seconds=1.0) for cell in plan.cells)
    one.keep(first, None)
    other.keep(second, None)
    one.write_table({first.cell.digest: first})
    assert other.write_table({second.cell.digest: second}).num_rows == 10
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 11
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.json", "cells", "table.csv", "table.parquet"}


# ---- D5: what may lie in a folder ---------------------------------------------------------------------------------
def pipe(path):
    os.mkfifo(path)


def endless(path):
    path.symlink_to("/dev/zero")


def nowhere(path):
    path.symlink_to(path)


def huge(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


def cut_off(path):
    path.symlink_to(path.parent / "missing")


HOSTILE = [pipe, endless, nowhere, huge, cut_off, Path.mkdir]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
@pytest.mark.parametrize("put", HOSTILE)
@pytest.mark.parametrize("kind", ["run", "model", "resume", "target"])
def test_d5_no_file_of_a_run_hangs_or_fills_the_memory(tmp_path, put, kind):
    model = replace(untrained(), target=cm.GaussianMixture([1.0], [[0.0, 0.0]], 1.0))
    folder = cm.save(model, tmp_path / "run")
    (path,) = folder.glob(f"{kind}*")
    path.unlink()
    put(path)
    started = time.thread_time()
    with pytest.raises(BadRun) as caught:
        cm.load(folder)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("put", HOSTILE)
def test_d5_a_zip_that_is_none_and_a_result_that_is_none(tmp_path, put):
    put(tmp_path / "run.zip")
    with pytest.raises(BadRun):
        cm.load(tmp_path / "run.zip")
    with pytest.raises((BadFile, OSError)):
        read_plain(tmp_path / "run.zip", 1000)


@pytest.mark.parametrize("put", HOSTILE)
def test_d5_what_is_no_text_is_no_sweep_and_no_lesson(tmp_path, put):
    for name, read, refusal in (("a.toml", read_sweep, BadSweep), ("1-a.md", read_lesson_file, BadLesson)):
        put(tmp_path / name)
        with pytest.raises(refusal, match=name) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_d5_a_link_to_a_plain_file_is_read_as_package_managers_make_them(tmp_path):
    folder = cm.save(untrained(3), tmp_path / "store")
    (tmp_path / "run").mkdir()
    for path in folder.iterdir():
        (tmp_path / "run" / path.name).symlink_to(path)
    assert cm.load(tmp_path / "run").config.seed == 3


def test_d5_a_file_that_grows_while_it_is_read_is_not_read_further(tmp_path):
    assert read_plain(ROOT / "LICENSE", 1 << 20).startswith(b"MIT")
    with pytest.raises(BadFile, match="larger than"):
        read_plain("/proc/self/maps" if Path("/proc/self/maps").exists() else ROOT / "LICENSE", 10)  # of no size


@pytest.fixture
def stopped(tmp_path):
    """A folder with a stopped run that the command line can take up."""
    small = ["-o", "trajectories=200", "-o", "levels=9", "--width", "8", "--depth", "1", "--batch", "64"]
    folder = tmp_path / "run"
    result = CliRunner().invoke(main, ["train", "moons", "--steps", "60", "--out", str(folder), *small])
    assert result.exit_code == 0, result.output
    return folder


def with_state(folder, change):
    """Put another resume state under a right hash, as somebody who means harm can."""
    record, files = json.loads((folder / "run.json").read_text()), {}
    state = dict(cm.load(folder).resume_state)
    change(state)
    record["resume_file"] = writing.add_tensors(files, "resume", state)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "run.json").write_text(json.dumps(record))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


SPOILT = {
    "nan": lambda state: state.update(weights=torch.full_like(state["weights"], float("nan"))),
    "infinite": lambda state: state.update({"adam.exp_avg": torch.full_like(state["adam.exp_avg"], float("inf"))}),
    "half": lambda state: state.update(average=state["average"].half()),
    "shape": lambda state: state.update(average=state["average"][1:].clone()),
    "missing": lambda state: state.pop("adam.step"),
    "teacher": lambda state: state.update({"teacher.no.such.weight": torch.zeros(3)}),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_d5_a_resume_state_that_is_not_sound_overwrites_nothing(stopped, spoil):
    before = with_state(stopped, SPOILT[spoil])
    result = CliRunner().invoke(main, ["train", "--resume", str(stopped), "--steps", "150"])
    assert result.exit_code in (1, 2), result.output
    assert len(result.stderr.strip().splitlines()[-1]) > 20
    assert "Traceback" not in result.output
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before


def test_d5_going_on_that_gains_nothing_leaves_the_run_as_it_was(tmp_path):
    small = {"objective_parameters": {"trajectories": 200, "levels": 9}, "batch": 64, "threads": 1}
    config = TrainingConfig(steps=200, network=NetworkConfig(width=8, depth=1), **small)
    half = next(event for event in cm.training(cm.make_target("moons"), config) if event.step == 50)
    folder = cm.save(half.model(), tmp_path / "run")
    before = with_state(
        folder, lambda state: state.update({"adam.exp_avg_sq": torch.full_like(state["adam.exp_avg_sq"], -1.0)})
    )  # of which there is no root, so that the next step has no weights
    result = CliRunner().invoke(main, ["train", "--resume", str(folder)])
    assert result.exit_code == 1, result.output
    assert "stays as it was" in result.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# ---- D6: what is written can be read ------------------------------------------------------------------------------
@pytest.mark.parametrize("what", [lambda x, t, s: x, torch.nn.Linear(2, 2), {"weights": 1}, None, torch.zeros(2)])
def test_d6_only_a_trained_model_is_saved_and_nothing_else_leaves_a_trace(tmp_path, what):
    for place in (tmp_path / "runs" / "mine", tmp_path / "mine.zip"):
        with pytest.raises(ValueError, match="trained model"):
            cm.save(what, place)
    assert not list(tmp_path.iterdir())


def spoilt_weights(change):
    model = untrained()
    change(model.flow_map)
    return model


UNREADABLE = {
    "nan": lambda: spoilt_weights(lambda f: next(f.parameters()).fill_(float("nan"))),
    "float16": lambda: spoilt_weights(lambda f: f.half()),
    "float64": lambda: spoilt_weights(lambda f: f.double()),
    "state": lambda: replace(untrained(), resume_state={"weights": torch.tensor([float("inf")])}),
    "steps": lambda: replace(untrained(), steps=10**8),
    "planned steps": lambda: replace(untrained(), config=untrained().config.model_copy(update={"steps": 10**8})),
    "seconds": lambda: replace(untrained(), seconds=float("nan")),
    "history": lambda: replace(untrained(), history=((-1, 0.0, 0.0),)),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_d6_what_could_not_be_read_back_is_not_written_over_what_can(tmp_path, what):
    folder = cm.save(untrained(7), tmp_path / "run")
    for place in (folder, tmp_path / "new", tmp_path / "new.zip"):
        with pytest.raises(ValueError, match="cannot be saved") as caught:
            cm.save(UNREADABLE[what](), place)
        assert "\n" not in str(caught.value)
    assert cm.load(folder).config.seed == 7
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_d6_weights_of_another_dtype_are_refused_by_its_name(tmp_path, dtype):
    folder, files = cm.save(untrained(), tmp_path / "run"), {}
    record = json.loads((folder / "run.json").read_text())
    weights = {name: weight.to(dtype) for name, weight in untrained().flow_map.state_dict().items()}
    record["model_file"] = writing.add_tensors(files, "model", weights)
    (folder / record["model_file"]).write_bytes(files[record["model_file"]])
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(BadRun, match=str(dtype).removeprefix("torch.")):
        cm.load(folder)


def test_d6_a_run_is_not_saved_over_a_file_and_a_full_disk_leaves_no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        cm.save(untrained(), tmp_path / "file")

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        cm.save(untrained(), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_written_files_have_the_permissions_that_the_user_gives_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / ("long" * 60), b"content")  # a name that leaves no room for another's
    finally:
        os.umask(before)
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert from_zip(to_zip(untrained())).steps == 1
