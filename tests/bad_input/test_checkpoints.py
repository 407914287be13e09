"""Run folders that were changed on their way: a sentence or a run, and nothing else."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import cmcore as cm
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.model import FlowMap
from cmcore.store import BadRun
from cmcore.streams import stream
from tests.bad_input.mutate import changed_bytes, changed_json, outcome

PENGUINS = Path(__file__).parents[2] / "assets" / "data" / "penguins.csv"
OF_JSON, OF_BYTES = 80, 40


def untrained(target):
    network = NetworkConfig(width=8, depth=1)
    config = TrainingConfig(network=network, steps=1, delta=0.0)
    flow_map = FlowMap(target.dim, network, generator=stream(0, "weights")).requires_grad_(requires_grad=False)
    return cm.TrainedModel(flow_map, target, config, 1, 0.1, "finished", "CPU, 1 thread")


@pytest.fixture(scope="module", params=["toy", "table"])
def folder(request, tmp_path_factory):
    columns = ("bill_length_mm", "bill_depth_mm")
    target = cm.make_target("random_mixture", dim=3) if request.param == "toy" else cm.read_table(PENGUINS, columns)
    return cm.save(untrained(target), tmp_path_factory.mktemp(request.param) / "run")


def opened(folder):
    """True for a run, False for a refusal in a sentence; anything else fails."""
    model, words = outcome(lambda: cm.load(folder), BadRun)
    if words:
        return False
    assert all(bool(torch.isfinite(tensor).all()) for tensor in model.flow_map.state_dict().values())
    assert math.isfinite(model.seconds)
    return True


def test_records_with_anything_in_them(folder, tmp_path):
    record = json.loads((folder / "run.json").read_text())
    shutil.copytree(folder, tmp_path / "run")
    found = []
    for seed in range(OF_JSON):
        (tmp_path / "run" / "run.json").write_text(json.dumps(changed_json(record, seed)))
        found.append(opened(tmp_path / "run"))
    assert found.count(False) > OF_JSON / 3, "the changes change too little to try anything"


@pytest.mark.parametrize("kind", ["model", "target"])
def test_tensors_with_anything_in_them_under_a_name_that_fits(folder, kind, tmp_path):
    record = json.loads((folder / "run.json").read_text())
    name = record[f"{kind}_file"]
    if name is None:
        return  # a toy is made from its name
    content = (folder / name).read_bytes()
    shutil.copytree(folder, tmp_path / "run")
    for seed in range(OF_BYTES):
        changed = changed_bytes(content, seed)
        new = f"{kind}-{hashlib.sha256(changed).hexdigest()[:16]}.safetensors"
        (tmp_path / "run" / new).write_bytes(changed)
        (tmp_path / "run" / "run.json").write_text(json.dumps({**record, f"{kind}_file": new}))
        opened(tmp_path / "run")
        (tmp_path / "run" / new).unlink()


def test_files_that_are_cut_or_changed_under_their_old_name(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    files = sorted((tmp_path / "run").iterdir())
    for seed in range(OF_BYTES):
        path = files[seed % len(files)]
        content = path.read_bytes()
        path.write_bytes(changed_bytes(content, seed))
        opened(tmp_path / "run")
        path.write_bytes(content)
    assert opened(tmp_path / "run")


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 1_000_000, "config": {"steps": 1, "network": {"width": 1024, "depth": 16}}},
        {"dim": 1_000_000, "gallery": {"name": "gaussian", "parameters": {"dim": 1_000_000}}},
        {"gallery": {"name": "cantor_dust", "parameters": {"dim": 1_000_000, "stage": 5}}},
        {"gallery": {"name": "random_mixture", "parameters": {"dim": 2048, "components": 1}}},
        {"config": {"steps": 1, "network": {"width": 1024, "depth": 16, "space_frequencies": [1.0] * 16}}},
    ],
)  # fmt: skip
def test_sizes_that_the_weights_do_not_have_are_refused_before_they_are_made(folder, change, tmp_path):
    record = json.loads((folder / "run.json").read_text())
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(json.dumps({**record, **change}))
    assert not opened(tmp_path / "run")


def test_a_record_that_names_files_elsewhere_reads_none_of_them(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    stolen = save({"a": torch.zeros(1)})
    outside = tmp_path / f"model-{hashlib.sha256(stolen).hexdigest()[:16]}.safetensors"
    outside.write_bytes(stolen)
    for name in (f"../{outside.name}", str(outside), "/etc/passwd", f"run/../{outside.name}", f"{outside.name}\x00"):
        (tmp_path / "run" / "run.json").write_text(json.dumps({**record, "model_file": name}))
        assert not opened(tmp_path / "run")
