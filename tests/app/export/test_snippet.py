"""The code beside a chart runs, and computes the chart."""

import builtins
from dataclasses import replace

import pytest
import torch

import cmcore as cm
from app.export.snippet import snippet, target_code
from app.runs.library import Run
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA
from cmcore.objectives import make_objective
from cmcore.training_defaults import resolved
from tests.app.conftest import untrained


@pytest.mark.parametrize(
    ("sampler", "delta", "direction"), [("deterministic", 0.0, MODEL_DATA), ("renoise", 0.02, DATA_MODEL)]
)
def test_the_code_asks_for_what_is_on_screen(monkeypatch, sampler, delta, direction):
    asked = {}
    monkeypatch.setattr(cm, "load", lambda folder: untrained())

    def kl_versus_steps(model, target, steps, **choices):
        asked.update(choices, steps=steps, target=target)
        raise StopIteration

    monkeypatch.setattr(cm, "kl_versus_steps", kl_versus_steps)
    run = Run("eight_gaussians", "Eight Gaussians", untrained(), shipped=True)
    with pytest.raises(StopIteration):
        exec(snippet(run, SamplerConfig(sampler=sampler, delta=delta), direction), {})
    assert (asked["sampler"], asked["delta"], asked["direction"]) == (sampler, delta, direction)
    assert asked["steps"] == [1, 2, 4, 8, 16]


def test_a_run_of_this_session_is_trained_again():
    run = Run("moons-1", "Two moons", untrained("moons"))
    code = snippet(run, SamplerConfig(), MODEL_DATA)
    assert "cm.make_target('moons')" in code
    assert "steps=1" in code
    compile(code, "snippet", "exec")


def test_the_code_of_a_table_makes_the_same_law(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"{i % 7},{(i * i) % 11}" for i in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b", *lines]))
    tables = {
        "mine.csv": cm.read_table("mine.csv", ["b"], bandwidth=0.4),
        "iris": cm.real_table("iris", dim=3),
        "wine": cm.real_table("wine", density="gaussian_mixture"),
    }
    x = {d: torch.randn(5, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64) for d in (1, 2, 3)}
    for label, table in tables.items():
        made = eval(target_code(Run("t", label, replace(untrained(), target=table))), {"cm": cm})
        torch.testing.assert_close(made.log_prob(x[table.dim]), table.log_prob(x[table.dim]))


def test_the_code_names_the_objective_and_what_differs_from_its_defaults():
    defaults = make_objective("lmd").parameters()
    chosen = {**defaults, "velocity": "learned", "teacher_steps": 120}
    model = untrained("moons")
    config = model.config.model_copy(update={"objective": "lmd", "objective_parameters": chosen, "steps": 400})
    config = resolved(config.model_copy(update={"delta": None}), model.target)
    code = snippet(Run("moons-1", "Two moons", replace(model, config=config)), SamplerConfig(), MODEL_DATA)
    assert "objective='lmd'" in code
    assert "objective_parameters={'velocity': 'learned', 'teacher_steps': 120}" in code
    assert "learning_rate" not in code
    asked = {}
    exec(code.partition("curve =")[0], _recording(asked))
    again = resolved(cm.TrainingConfig(**asked), model.target)
    assert again.model_copy(update={"objective_parameters": chosen}) == config
    assert make_objective("lmd", **again.objective_parameters) == make_objective("lmd", **chosen)


def _recording(asked):
    """Names under which the code's own `import cmcore as cm` still finds the engine, but `cm.train` only records."""

    class Recorder:
        make_target = staticmethod(cm.make_target)

        @staticmethod
        def train(target, **settings):
            asked.update(settings)

    return {"__builtins__": {**vars(builtins), "__import__": lambda *_, **__: Recorder}}
