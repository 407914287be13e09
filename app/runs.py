"""The runs a visitor can look at: those shipped with the lab, and those trained in this session."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

import cmcore as cm

__all__ = ["Run", "shipped_runs"]

SHIPPED = Path(__file__).parents[1] / "assets" / "pretrained"


@dataclass(frozen=True)
class Run:
    """A trained model as the pages speak of it.

    Attributes:
        key: names it in links and caches; two runs never share one.
        label: for people.
        model: the trained model with its target.
        curves: precomputed KL curves by name, where there are some.
    """

    key: str
    label: str
    model: cm.TrainedModel
    curves: Mapping[str, cm.Curve] = field(default_factory=dict)

    @property
    def target(self) -> cm.Target:
        if self.model.target is None:
            raise ValueError(f"The run {self.label} does not carry its target, so there is no truth to compare with.")
        return self.model.target


@st.cache_resource(show_spinner=False)
def shipped_runs() -> Mapping[str, Run]:
    """The runs in assets/pretrained (or the folder named by CONSISTENCY_LAB_RUNS), by key."""
    folder = Path(os.environ.get("CONSISTENCY_LAB_RUNS", SHIPPED))
    return {path.parent.name: _load(path.parent) for path in sorted(folder.glob("*/run.json"))}


def _load(folder: Path) -> Run:
    curves_file = folder / "curves.json"
    curves = {}
    if curves_file.exists():
        named = json.loads(curves_file.read_text(encoding="utf-8"))
        curves = {name: cm.Curve.from_json(json.dumps(value)) for name, value in named.items()}
    return Run(folder.name, folder.name.replace("_", " "), cm.load(folder), curves)
