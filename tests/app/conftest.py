"""What tests of the pages share: untrained maps, which cost nothing to make, and how to read and await a page."""

import re
import time

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import cmcore as cm
from app.background.pools import curve_workers, measuring_workers
from app.kl import question as estimates
from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.divergences.estimate import Estimate
from cmcore.measure import KLPoint
from cmcore.model import FlowMap
from cmcore.streams import stream

PATIENCE = 240.0
"""Seconds after which what a page makes never comes, on the slowest machine that should pass."""
TERM = re.compile(r'<button type="button" class="term"[^>]*>(.*?)</button>')


@pytest.fixture(scope="module", autouse=True)
def _own_answers() -> None:
    """What another file cached under the key of a run may be of another run, since the pages' keys are few."""
    st.cache_data.clear()


def untrained(name: str = "eight_gaussians", **parameters: object) -> cm.TrainedModel:
    target = cm.make_target(name, **parameters)
    network = NetworkConfig(width=8, depth=1)
    config = TrainingConfig(network=network, steps=1, delta=0.0 if target.smooth else 0.01)
    flow_map = FlowMap(target.dim, network, generator=stream(0, "weights")).requires_grad_(requires_grad=False)
    return cm.TrainedModel(flow_map, target, config, 1, 0.1, "finished", "CPU, 1 thread")


def page_of(name: str, **query: str) -> AppTest:
    """The page of `app/pages/<name>/page.py` in a session of its own, opened by a link with these parameters."""

    def script(name: str) -> None:
        import importlib

        module = importlib.import_module(f"app.pages.{name}.page")
        getattr(module, {"runs": "runs_page"}.get(name, name))()

    at = AppTest.from_function(script, default_timeout=PATIENCE, args=(name,))
    for parameter, value in query.items():
        at.query_params[parameter] = value
    at.run()
    assert not at.exception
    return at


def answer(source, target, steps, **choices):
    """Instead of measuring: 1/N nats, and no number for the second-order solver at N = 4."""
    for n in steps:
        trusted = not (choices["sampler"] == "heun" and n == 4)
        note = "" if trusted else "It folds everywhere."
        about = choices["direction"], choices["grid"].delta, "preimages", 500, 0.3 / n, trusted, note
        estimate = Estimate(1 / n, 0.9 / n, 1.1 / n, *about)
        yield KLPoint(n, n, choices["grid"], estimate)


@pytest.fixture
def answered(monkeypatch):
    """Pages get such answers at once, and nothing that was measured before."""
    estimates.forget()
    monkeypatch.setattr(estimates, "kl_points", answer)
    yield
    for workers in (curve_workers(), measuring_workers()):  # what nobody looks at any more fills the queue
        workers.end_all()
    estimates.forget()


def html(at) -> str:
    """All HTML blocks of a page."""
    return unexplained(" ".join(block.proto.body for block in at.get("html")))


def unexplained(html: str) -> str:
    """HTML without its explanations of words."""
    return TERM.sub(r"\1", html)


def poll(at, condition, seconds=PATIENCE):
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
