"""Targets, objectives and samplers of installed packages: offered everywhere, and never in the way."""

import subprocess
import sys
from pathlib import Path

import pytest

from cmcore.plugins import load_plugins
from cmcore.registry import Registry

ROOT = Path(__file__).parents[1]
MODULE = """
import torch
from dataclasses import dataclass
from typing import ClassVar

from cmcore.targets import GALLERY, GaussianMixture, Toy
from cmcore.targets.size import gaussians


def cross(arm: float = 1.5):
    points = arm * torch.tensor([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    return GaussianMixture(torch.ones(5), points, 0.02)


GALLERY.register("my_cross")(Toy("Cross", "Five blobs", "2", True, cross, lambda arm=1.5: gaussians(2, 5)))
GALLERY.register("my_fault")(Toy("Fault", "None", "2", True, lambda: 1 / 0, lambda: gaussians(2, 1)))
"""
OTHERS = '''
from dataclasses import dataclass
from typing import ClassVar

from cmcore.objectives import OBJECTIVES
from cmcore.objectives.identities.lagrangian import Lagrangian
from cmcore.samplers import SAMPLERS, StageSampler, ddim


@OBJECTIVES.register("my_lagrangian")
@dataclass(frozen=True)
class MyLagrangian(Lagrangian):
    """The Lagrangian identity with more of its times near the data."""

    to_data: float = 0.5
    label: ClassVar[str] = "My Lagrangian"
    building_block: ClassVar[bool] = False


SAMPLERS.register("my_ddim")(
    StageSampler(name="my_ddim", label="My DDIM", description="Again.", needs="score", step=ddim)
)
'''
SCRIPT = """
import warnings
warnings.simplefilter("ignore")
import cmcore as cm
from cmcore.plugins import problems
from cmcore.targets import GALLERY
from streamlit.testing.v1 import AppTest

assert cm.targets()[-2:] == ("my_cross", "my_fault")
assert "my_lagrangian" in cm.objectives() and "my_ddim" in cm.samplers()
assert GALLERY.origins["my_cross"] == "my-lab 1.2"
assert len(problems()) == 1 and "raises on import" in problems()[0]
model = cm.train(cm.make_target("my_cross"), objective="my_lagrangian", steps=2, seed=0)
cm.save(model, "run")
assert cm.load("run").target.config.name == "my_cross"
curve = cm.kl_versus_steps(model.target, model.target, [2], sampler="my_ddim", n=256, seed=0)
assert curve.estimates[0].value > 0

def page():
    from app.pages.train.page import train
    train()

at = AppTest.from_function(page, default_timeout=240)
at.query_params["target"], at.query_params["objective"] = "my_cross", "my_lagrangian"
at.run()
assert not at.exception, at.exception
words = " ".join(block.proto.body for block in at.get("html"))
assert words.count("From the plug-in my-lab 1.2") == 2, words
assert "raises on import" in " ".join(caption.value for caption in at.caption)
assert not at.button(key="start").disabled
at.button_group(key="toy").set_value("my_fault").run()
assert not at.exception, at.exception
assert "division by zero" in at.warning[0].value
print("all of it")
"""


@pytest.fixture
def installed(tmp_path):
    """A folder on the path with a package of two modules and three entry points, one of which fails."""
    (tmp_path / "my_targets.py").write_text(MODULE)
    (tmp_path / "my_others.py").write_text(OTHERS)
    (tmp_path / "my_fault.py").write_text("raise RuntimeError('it raises on import')\n")
    about = tmp_path / "my_lab-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lab\nVersion: 1.2\n")
    groups = {"targets": "my_targets", "objectives": "my_others", "samplers": "my_fault"}
    lines = [f"[consistency_lab.{kind}]\nof_mine = {module}" for kind, module in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def test_o9_plugins_are_offered_and_one_that_fails_is_said_and_left_out(installed):
    (installed / "use.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "use.py"], cwd=installed, capture_output=True, text=True, timeout=300, check=False,
        env={"PYTHONPATH": f"{installed}:{ROOT}", "PATH": "/usr/bin:/bin", "CONSISTENCY_LAB_KEPT": ""},
    )  # fmt: skip
    assert done.stdout.strip().endswith("all of it"), done.stderr[-3000:]


def test_what_is_not_of_the_kind_is_left_out_with_a_sentence(monkeypatch):
    registry = Registry("thing")
    registry.register("own")(1)

    class Entry:
        name, dist = "wrong", None

        def load(self):
            registry.register("of a plug-in")("no number")

    monkeypatch.setattr("cmcore.plugins.entry_points", lambda group: [Entry()])
    with pytest.warns(RuntimeWarning, match="is no thing"):
        load_plugins(registry, lambda thing: isinstance(thing, int))
    assert dict(registry) == {"own": 1}
    assert not registry.origins
