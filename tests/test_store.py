"""Runs on disk: what is saved comes back, a crash loses nothing, and a hostile folder gets a sentence."""

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import cmcore as cm
from cmcore.config import NetworkConfig
from cmcore.store import BadRun, writing

SMALL = {
    "network": NetworkConfig(width=8, depth=1),
    "objective_parameters": {"trajectories": 200, "levels": 9},
    "batch": 64,
    "threads": 1,
}


@pytest.fixture(scope="module")
def model():
    return cm.train(cm.make_target("eight_gaussians"), steps=60, **SMALL)


@pytest.fixture
def folder(model, tmp_path):
    return cm.save(model, tmp_path / "run")


def same_weights(a, b):
    one, two = a.flow_map.state_dict(), b.flow_map.state_dict()
    return set(one) == set(two) and all(torch.equal(one[k], two[k]) for k in one)


def test_what_is_saved_comes_back(model, folder):
    back = cm.load(folder)
    assert same_weights(model, back)
    assert back.config == model.config
    assert (back.steps, back.status, back.device) == (model.steps, model.status, model.device)
    assert back.history == model.history
    assert back.target.config == model.target.config
    assert set(back.resume_state) == set(model.resume_state)


def test_a_run_of_before_says_products_and_opens(model, folder):
    record = json.loads((folder / "run.json").read_text())
    record["config"]["products"] = record["config"].pop("matmul_dtype")
    (folder / "run.json").write_text(json.dumps(record))
    assert cm.load(folder).config == model.config


@pytest.mark.slow
def test_a_run_can_go_on_after_a_round_trip(tmp_path):
    target = cm.make_target("eight_gaussians")
    config = cm.TrainingConfig(steps=100, **SMALL)
    whole = list(cm.training(target, config))[-1].model()
    half = next(e for e in cm.training(target, config) if e.step == 50).model()
    back = cm.load(cm.save(half, tmp_path / "half"))
    rest = list(cm.training(target, config, resume=back))[-1].model()
    assert same_weights(rest, whole)


def test_a_hand_made_mixture_comes_back(tmp_path):
    target = cm.GaussianMixture(
        [0.3, 0.7], [[0.0, 0.0], [1.0, 1.0]], [[[0.2, 0.1], [0.1, 0.3]], [[0.1, 0.0], [0.0, 0.1]]]
    )
    back = cm.load(cm.save(cm.train(target, steps=1, **SMALL), tmp_path)).target
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(back.log_prob(x, 0.1), target.log_prob(x, 0.1))


def test_a_target_that_cannot_be_written_is_left_out_loudly(tmp_path):
    box = cm.BoxMixture([1.0], [[-1.0, -1.0]], [[1.0, 1.0]])
    with pytest.warns(RuntimeWarning, match="not written"):
        cm.save(cm.train(box, steps=1, **SMALL), tmp_path)
    assert cm.load(tmp_path).target is None


def test_a_table_comes_back_in_its_own_units(tmp_path):
    rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 7
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "\n".join(f"{u:.6f},{v:.6f}" for u, v in rows.tolist()))
    target = cm.read_table(path)
    back = cm.load(cm.save(cm.train(target, steps=1, **SMALL), tmp_path / "run")).target
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(back.log_prob(x, 0.1), target.log_prob(x, 0.1))
    torch.testing.assert_close(back.to_table(x), target.to_table(x))
    assert back.columns == target.columns


def test_saving_again_replaces_the_run_and_leaves_nothing_behind(model, folder):
    other = cm.train(cm.make_target("eight_gaussians"), steps=50, seed=1, **SMALL)
    cm.save(other, folder, resumable=False)
    assert same_weights(cm.load(folder), other)
    assert sorted(p.name.partition("-")[0] for p in folder.iterdir()) == ["film", "model", "run.json"]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_crash_while_saving_leaves_the_old_run(model, folder, monkeypatch, fails_at):
    """The disk fills up (or power goes) at the k-th write: the old run is still whole."""
    other = cm.train(cm.make_target("eight_gaussians"), steps=50, seed=2, **SMALL)
    writes = 0

    def failing(file_descriptor):
        nonlocal writes
        writes += stat.S_ISREG(os.fstat(file_descriptor).st_mode)  # a folder that cannot be synchronised is no failure
        if writes == fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="No space"):
        cm.save(other, folder)
    assert same_weights(cm.load(folder), model)
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_no_run_no_traceback(tmp_path):
    with pytest.raises(BadRun, match=r"has no run\.json"):
        cm.load(tmp_path / "nowhere")


def spoil(folder: Path, change) -> None:
    record = json.loads((folder / "run.json").read_text())
    change(record)
    (folder / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(format=2), "format"),
        (lambda r: r.update(surprise=1), "surprise"),
        (lambda r: r.pop("config"), "config"),
        (lambda r: r.update(model_file="../../etc/passwd"), "model_file"),
        (lambda r: r.update(model_file="model-0123456789abcdef.safetensors"), "cannot be read"),
        (lambda r: r.update(dim=3), "says"),
        (lambda r: r.update(steps=10**9), "steps"),
        (lambda r: r.update(steps=10**400), "steps|digits"),
        (lambda r: r.update(seconds=1e300), "seconds"),
        (lambda r: r.update(history=[[2**70, 1.0, 1.0]]), "history"),
        (lambda r: r.update(history=[[1, 1.0, 1.0]] * 300_000), "history|more than"),
        (lambda r: r["config"].update(objective_parameters={"trajectories": 10**30}), "trajectories"),
        (lambda r: r["config"].update(objective_parameters={"pad": [[]] * 20_000}), "beside its history"),
        (lambda r: r["gallery"].update(parameters={"sd": float("inf")}), "sd"),
        (lambda r: r.update(table={"columns": ["x" * 20_000]}), "table"),
        (lambda r: r["config"]["network"].update(width=9), "says"),
        (lambda r: r["config"].update(horizon=-1), "horizon"),
        (lambda r: r["gallery"].update(name="no_such"), "cannot be made"),
        (lambda r: r["gallery"].update(parameters={"sd": "x"}), "cannot be made"),
        (lambda r: r["gallery"].update(parameters={"nonsense": 1}), "cannot be made"),
    ],
)
def test_a_record_that_lies_gets_a_sentence(folder, change, words):
    spoil(folder, change)
    with pytest.raises(BadRun, match=words):
        cm.load(folder)


def test_damaged_weights_are_noticed(folder):
    (path,) = folder.glob("model-*")
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    with pytest.raises(BadRun, match="damaged"):
        cm.load(folder)


def test_weights_that_are_not_numbers_are_refused(model, folder):
    state = {k: torch.full_like(v, float("nan")) for k, v in model.flow_map.state_dict().items()}
    files = {}
    name = writing.add_tensors(files, "model", state)
    (folder / name).write_bytes(files[name])
    spoil(folder, lambda r: r.update(model_file=name))
    with pytest.raises(BadRun, match="not finite"):
        cm.load(folder)


@given(st.binary(max_size=300))
def test_any_bytes_as_a_record_get_a_sentence(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.json").write_bytes(content)
    with pytest.raises(BadRun):
        cm.load(folder)


@given(st.binary(max_size=300))
def test_any_bytes_as_weights_get_a_sentence(model, tmp_path_factory, content):
    folder = cm.save(model, tmp_path_factory.mktemp("run"), resumable=False)
    name = f"model-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    (folder / name).write_bytes(content)
    spoil(folder, lambda r: r.update(model_file=name))
    with pytest.raises(BadRun):
        cm.load(folder)
    shutil.rmtree(folder)
