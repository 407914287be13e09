"""The code beside a chart runs, and computes the chart."""

import builtins
from dataclasses import replace

import pytest

import cmcore as cm
from app.runs import Run
from app.snippet import snippet
from cmcore.config import SamplerConfig
from cmcore.divergences.estimate import DATA_MODEL, MODEL_DATA
from cmcore.objectives import make_objective
from cmcore.training_run import resolved
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
