"""The runs a visitor can look at: those shipped with the lab, and those trained in this session."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

import cmcore as cm
from app import state
from cmcore.targets import GALLERY

__all__ = ["SHIPPED", "Run", "add_run", "runs", "runs_in"]

FIRST = "eight_gaussians"
"""The run that the lab opens on."""
SHIPPED = Path(__file__).parents[1] / "assets" / "pretrained"


@dataclass(frozen=True)
class Run:
    """A trained model as the pages speak of it.

    Attributes:
        key: names it in links and caches; two runs never share one.
        label: for people.
        model: the trained model with its target.
        curves: precomputed KL curves by name, where there are some.
        shipped: whether it came with the lab.
    """

    key: str
    label: str
    model: cm.TrainedModel
    curves: Mapping[str, cm.Curve] = field(default_factory=dict)
    shipped: bool = False

    @property
    def target(self) -> cm.Target:
        if self.model.target is None:
            raise ValueError(f"The run {self.label} does not carry its target, so there is no truth to compare with.")
        return self.model.target


def runs() -> Mapping[str, Run]:
    """Shipped runs by key, then this session's own, newest last."""
    return {**runs_in(os.environ.get("CONSISTENCY_LAB_RUNS", str(SHIPPED))), **state.kept("runs")}


def add_run(name: str, label: str, model: cm.TrainedModel) -> Run:
    """Keep a run trained in this session. Its key is new to every session, since caches are shared by all of them."""
    run = Run(f"{name}-{uuid.uuid4().hex[:8]}", label, model)
    state.kept("runs")[run.key] = run
    return run


@st.cache_resource(show_spinner=False, max_entries=4)
def runs_in(folder: str) -> Mapping[str, Run]:
    """The runs in the folders of `folder`, by the names of these."""
    folders = sorted((path.parent for path in Path(folder).glob("*/run.json")), key=lambda f: (f.name != FIRST, f.name))
    return {folder.name: _load(folder) for folder in folders}


def _load(folder: Path) -> Run:
    model = cm.load(folder)
    file = folder / "curves.json"
    named = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    curves = {name: cm.Curve.from_json(json.dumps(value)) for name, value in named.items()}
    toy = GALLERY.get(folder.name)
    return Run(folder.name, toy.label if toy else folder.name.replace("_", " "), model, curves, shipped=True)
