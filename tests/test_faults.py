"""What breaks from outside: a kill in the middle of a write, a full disk, a loss that is no number, a worker that dies.

Leases and the clock are in tests/app/background/test_jobs.py and test_shelf.py, a killed sweep and a killed worker of
one in tests/test_sweep.py, a closed lid and a killed server as a visitor meets them in tests/browser/test_faults.py.
"""

import contextlib
import errno
import io
import itertools
import logging
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.runs import disk as shelf
from cmcore.config import NetworkConfig
from cmcore.files import write_atomically
from cmcore.store import BadRun
from tests import forked
from tests.app.conftest import html, poll
from tests.bad_input.test_checkpoints import untrained
from tests.forked import Forked

KILLS = 6


def write_for_ever(folder: Path, end: Connection) -> None:
    """Save a run again and again, its weights all the same number, and say so after each time."""
    model = untrained(cm.make_target("eight_gaussians"))
    for i in itertools.count():
        with torch.no_grad():
            for weights in model.flow_map.parameters():
                weights.fill_(float(i % 1000))
        cm.save(model, folder)
        end.send("written")


@pytest.mark.slow
def test_killed_at_any_moment_of_a_write_the_folder_holds_one_whole_run(tmp_path):
    chance, folder = random.Random(0), tmp_path / "run"
    found = set()
    for writes in range(1, KILLS + 1):
        here, there = forked.CONTEXT.Pipe()
        process = Forked(write_for_ever, folder, there)
        there.close()  # or nobody would hear of a process that ends by itself
        for _ in range(writes):
            began = time.monotonic()
            assert here.recv() == "written"
        time.sleep(chance.uniform(0, 1) * (time.monotonic() - began))  # some way through the next
        process.kill()
        process.join()
        weights = list(cm.load(folder).flow_map.parameters())
        values = {float(part.unique().item()) for part in weights}
        assert len(values) == 1, "weights of two different writes"
        found |= values
    assert len(found) > 1, "no kill came after the first write"
    cm.save(untrained(cm.make_target("eight_gaussians")), folder)
    left = [path for path in folder.iterdir() if not path.name.startswith(".")]
    assert len(left) == 2, "files of killed writes stay behind"


@contextlib.contextmanager
def every_file_full_after(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    handler, compiled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), sys.dont_write_bytecode
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    sys.dont_write_bytecode = True  # Python would keep what of a compiled module there is room for, for all processes
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        sys.dont_write_bytecode = compiled
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_there_and_says_so(tmp_path):
    model = untrained(cm.make_target("eight_gaussians"))
    folder = cm.save(model, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with torch.no_grad():
        next(model.flow_map.parameters()).add_(1.0)
    with every_file_full_after(100), pytest.raises(OSError, match="too large") as caught:
        cm.save(model, folder)
    assert caught.value.errno == errno.EFBIG
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert cm.load(folder).steps == model.steps


@pytest.mark.parametrize("when", ["write", "fsync", "replace"])
def test_no_space_left_at_any_step_of_a_write(tmp_path, monkeypatch, when):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    owner, name = {"replace": (Path, "replace"), "fsync": (os, "fsync"), "write": (Path, "open")}[when]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(OSError, match="No space"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_the_command_says_that_the_disk_is_full_in_a_sentence(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from cmcore.cli import main
    from cmcore.store import writing

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run")

    monkeypatch.setattr(writing, "write_atomically", full)
    small = ["-o", "trajectories=200", "-o", "levels=9", "--width", "8", "--depth", "1", "--batch", "64"]
    result = CliRunner().invoke(main, ["train", "moons", "--steps", "5", "--out", str(tmp_path / "run"), *small])
    assert result.exit_code == 2
    assert "No space left on device" in result.output
    assert "Traceback" not in result.output
    with pytest.raises(BadRun, match="no run"):
        cm.load(tmp_path / "run")


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_with_the_last_good_weights_and_a_sentence(monkeypatch):
    from cmcore.training_run import TrainingRun

    take_step = TrainingRun.take_step

    def poisoned(self: TrainingRun) -> None:
        take_step(self)
        if self.step == 120:
            with torch.no_grad():
                self.optimizer.weights.fill_(float("nan"))

    monkeypatch.setattr(TrainingRun, "take_step", poisoned)
    small = {"trajectories": 200, "levels": 9}
    config = cm.TrainingConfig(
        steps=400, batch=64, threads=1, network=NetworkConfig(width=8, depth=1), objective_parameters=small
    )
    *_, last = cm.training(cm.make_target("moons"), config)
    assert last.status == "diverged"
    assert len(last.message) > 20
    assert last.message.endswith(".")
    model = last.model()
    assert 0 < model.steps < 400
    assert all(bool(torch.isfinite(part).all()) for part in model.flow_map.parameters())
    assert bool(torch.isfinite(cm.sample(model, 100, 4, seed=0).points).all())


def keep_runs(folder: Path, turn: int, end: Connection) -> None:
    """Keep runs of one visitor, and name each that is kept."""
    os.environ["CONSISTENCY_LAB_KEPT"] = str(folder)
    model = untrained(cm.make_target("eight_gaussians"))
    end.send("ready")
    for i in range(10):  # of both turns together fewer than a visitor may keep
        shelf.store("a" * 43, shelf.StoredRun(f"run-{turn}-{i}", "a run", False, model))
        end.send(f"run-{turn}-{i}")


@pytest.mark.slow
def test_a_server_killed_while_it_keeps_a_run_loses_none_that_was_kept(tmp_path, monkeypatch):
    chance, told = random.Random(1), set()
    monkeypatch.setenv("CONSISTENCY_LAB_KEPT", str(tmp_path))
    for turn in range(2):
        here, there = forked.CONTEXT.Pipe()
        process = Forked(keep_runs, tmp_path, turn, there)
        there.close()
        assert here.recv() == "ready"
        time.sleep(chance.uniform(0.02, 0.1))
        process.kill()
        with contextlib.suppress(EOFError):
            while True:
                told.add(here.recv())
    found = {kept.key: kept.model for kept in shelf.stored("a" * 43)}
    assert told <= found.keys()
    assert len(found) <= len(told) + 2, "what was half written is no run"
    assert all(cm.sample(model, 4, 1, seed=0).points.isfinite().all() for model in found.values())


def train_on_a_full_disk(folder: Path, end: Connection) -> None:
    """Say what the page warns of there, and how many runs it has; or why nobody knows, since nothing else is heard."""
    log = io.StringIO()
    logging.getLogger("app").addHandler(logging.StreamHandler(log))
    try:
        end.send(_trained_on_a_full_disk(folder))
    except BaseException:  # noqa: BLE001  whatever it was is heard and fails the test
        end.send((f"{log.getvalue()}\n{traceback.format_exc()}", 0))
    os._exit(0)  # while the last weights are still being measured


def _trained_on_a_full_disk(folder: Path) -> tuple[str, int]:
    """Train on the page where no file may grow."""
    os.environ["CONSISTENCY_LAB_KEPT"] = str(folder)
    at = AppTest.from_string("from app.pages.train.page import train; train()", default_timeout=240)
    at.query_params["steps"], at.query_params["network"], at.query_params["objective"] = "40", "small", "lsd"
    at.run()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for said in (1, 2):  # may be a file of the tests, which has reached its limit
        os.dup2(nowhere, said)
    with every_file_full_after(2_000):
        at.button(key="start").click().run()
        poll(at, lambda at: "Finished" in html(at) and "open" in [button.key for button in at.button])
    return "|".join(warning.value for warning in at.warning), len(at.session_state["library"].own)


@pytest.mark.slow
def test_on_a_full_disk_the_page_keeps_the_run_and_says_that_a_reload_would_lose_it(tmp_path):
    here, there = forked.CONTEXT.Pipe()
    process = Forked(train_on_a_full_disk, tmp_path / "kept", there)
    there.close()
    warning, runs = here.recv()
    process.wait()
    assert "The server could not keep" in warning.replace("\\", "")
    assert runs == 1
    assert not list((tmp_path / "kept").glob("*/*/run.json")), "nothing half written stays"


@pytest.mark.slow
def test_on_the_page_a_loss_that_is_no_number_is_told_and_the_last_good_weights_are_shown(monkeypatch):
    from cmcore.training_run import TrainingRun

    take_step = TrainingRun.take_step

    def poisoned(self: TrainingRun) -> None:
        take_step(self)
        if self.step == 120:
            with torch.no_grad():
                self.optimizer.weights.fill_(float("nan"))

    def script() -> None:
        from app.pages.train.page import train

        train()

    monkeypatch.setattr(TrainingRun, "take_step", poisoned)
    at = AppTest.from_function(script, default_timeout=240)
    for name, told in {"steps": "400", "network": "small", "objective": "lsd"}.items():
        at.query_params[name] = told
    at.run()
    at.button(key="start").click().run()
    poll(at, lambda at: "Diverged" in html(at) and "open" in [button.key for button in at.button])
    assert not at.exception
    assert "The weights of step 100 are kept." in html(at)
    (run,) = at.session_state["library"].own.values()
    assert 0 < run.model.steps <= 120
    assert all(bool(torch.isfinite(part).all()) for part in run.model.flow_map.parameters())
    assert not at.button(key="start").disabled, "another training may begin"
