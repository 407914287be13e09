"""What tests of the pages share: untrained maps, which cost nothing to make, and how to read and await a page."""

import time

import pytest

import cmcore as cm
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.model import FlowMap
from cmcore.streams import stream


def untrained(name: str = "eight_gaussians", **parameters: object) -> cm.TrainedModel:
    target = cm.make_target(name, **parameters)
    network = NetworkConfig(width=8, depth=1)
    config = TrainingConfig(network=network, steps=1, delta=0.0 if target.smooth else 0.01)
    flow_map = FlowMap(target.dim, network, generator=stream(0, "weights")).requires_grad_(requires_grad=False)
    return cm.TrainedModel(flow_map, target, config, 1, 0.1, "finished", "CPU, 1 thread")


def html(at) -> str:
    """All HTML blocks of a page."""
    return " ".join(block.proto.body for block in at.get("html"))


def poll(at, condition, seconds=40):
    """Run a page again and again until the condition holds of it."""
    deadline = time.monotonic() + seconds
    while not condition(at):
        assert time.monotonic() < deadline, html(at)[-2000:]
        time.sleep(0.3)
        at.run()
        assert not at.exception
    return at


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("eight_gaussians", "checkerboard"):
        cm.save(untrained(name), folder / name)
    return folder


@pytest.fixture
def shipped(runs_folder, monkeypatch):
    monkeypatch.setenv("CONSISTENCY_LAB_RUNS", str(runs_folder))
    return runs_folder
