"""The code that made a chart: a few lines that compute the same numbers without the page."""

from app.measurements import LANDINGS, SEED
from app.runs import SHIPPED, Run
from app.scene import STEPS
from cmcore.config import SamplerConfig, TrainingConfig
from cmcore.divergences.estimate import Direction
from cmcore.targets import Empirical, TableTarget

__all__ = ["snippet"]


def snippet(run: Run, config: SamplerConfig, direction: Direction) -> str:
    """Python that computes the curve on screen."""
    n = LANDINGS if config.sampler == "renoise" else None
    choices = [
        f"sampler={config.sampler!r}",
        f"grid={config.grid!r}",
        f"delta={config.delta!r}",
        *([f"renoise={config.renoise!r}", f"n={n}"] if n else []),
        f"direction={direction!r}",
        f"seed={SEED}",
    ]
    return "\n".join(
        [
            "import cmcore as cm",
            "",
            *_model(run),
            "curve = cm.kl_versus_steps(",
            f"    model, model.target, steps={list(STEPS)},",
            *(f"    {choice}," for choice in choices),
            ")",
            "print(curve.to_frame())",
        ]
    )


def _model(run: Run) -> list[str]:
    """How the run came about: a shipped folder, or a target and its training."""
    if run.shipped:
        return [f'model = cm.load("{SHIPPED.parent.name}/{SHIPPED.name}/{run.key}")']
    trained = run.model.config.model_dump(exclude_defaults=True, exclude={"network"})
    default = TrainingConfig(steps=1).network
    if run.model.config.network != default:
        trained["network"] = run.model.config.network.model_dump()
    trained.pop("seconds", None)
    settings = ", ".join(f"{name}={value!r}" for name, value in trained.items())
    return [f"target = {_target(run)}", f"model = cm.train(target, {settings})"]


def _target(run: Run) -> str:
    target = run.target
    if isinstance(target, TableTarget) and target.config is None:
        density = "kernel_density" if isinstance(target.law, Empirical) else "gaussian_mixture"
        return f"cm.read_table({run.label!r}, {list(target.columns)}, density={density!r})"
    settings = [repr(target.config.name), *(f"{k}={v!r}" for k, v in target.config.parameters.items())]
    return f"cm.make_target({', '.join(settings)})"
