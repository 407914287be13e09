"""How samples of a trained map are drawn and measured unless somebody says otherwise, and what the map did not learn.

The page, the command line, sweeps and lessons all ask here.
"""

from dataclasses import dataclass

from cmcore.chain import usual_share
from cmcore.config import TrainingConfig
from cmcore.divergences import DATA_MODEL, MODEL_DATA, Direction
from cmcore.model import TrainedModel
from cmcore.objectives import Objective, make_objective
from cmcore.samplers import SAMPLERS, Trajectory, sample

RENOISED_DELTA = 0.02
"""Least δ of renoised samples, unless another is asked for: without noise left they have no density."""


@dataclass(frozen=True)
class SamplingDefaults:
    """How samples of one trained map are drawn unless somebody says otherwise.

    Attributes:
        sampler: a name in `SAMPLERS`.
        renoise: η as a share of t, where noise is added.
        single_time: whether only jumps to δ were learned, so that no other way of drawing keeps to them.
        velocity_only: whether a jump is a DDIM step with a learned score.
    """

    sampler: str = "deterministic"
    renoise: float = 0.5
    single_time: bool = False
    velocity_only: bool = False

    @property
    def direction(self) -> Direction:
        """The KL that is measured of these samples."""
        return direction_for(self.sampler)

    @property
    def learned(self) -> str:
        """What was learned, where it is less than jumps between any two times; else empty."""
        return "jumps to δ alone" if self.single_time else "the velocity alone" if self.velocity_only else ""

    @property
    def no_score(self) -> str:
        """Why the map has no score of its own for a baseline to follow, after the run's name; empty where it has."""
        return f"learned {self.learned}, so it has no score of its own" if self.single_time else ""

    def caution(self, sampler: str, renoise: float, steps: int) -> str:
        """A sentence where these samples take jumps that the run did not learn; else empty."""
        if self.velocity_only:
            return f"This run learned {self.learned}: each jump is a DDIM step with a learned score."
        if self.single_time and steps > 1 and not self._jumps_to_delta(sampler, renoise):
            return (
                f"This run learned {self.learned}, and these jumps end in between: the map was not trained for them. "
                "Renoise with η = t keeps to what it learned."
            )
        return ""

    def share_for(self, sampler: str) -> float:
        """η of a sampler: the run's own as a share of t, and what is usual where it is a share of the step."""
        return usual_share(sampler) if SAMPLERS[sampler].share_of == "step" else self.renoise

    @staticmethod
    def _jumps_to_delta(sampler: str, renoise: float) -> bool:
        kind = SAMPLERS[sampler]
        return kind.ends_noiseless or (kind.share_of == "time" and renoise >= 1)


def sampling_defaults(config: TrainingConfig) -> SamplingDefaults:
    """How a map trained so is sampled; as any map of two times, where the objective is not known any more."""
    try:
        objective = make_objective(config.objective, **config.objective_parameters)
    except ValueError:
        return SamplingDefaults()
    return defaults_of(objective)


def defaults_of(objective: Objective) -> SamplingDefaults:
    """How a map learned by this objective is sampled."""
    if objective.single_time:
        return SamplingDefaults("renoise", 1.0, single_time=True)
    return SamplingDefaults(velocity_only=objective.velocity_only)


def own_samples(model: TrainedModel, n: int, steps: int, *, seed: int) -> Trajectory:
    """n samples in so many steps as this map is meant to be drawn; the last step adds no noise, since it ends at δ."""
    own = sampling_defaults(model.config)
    return sample(model, n, steps, seed=seed, sampler=own.sampler, renoise=own.renoise, noiseless_end=True)


def delta_for(sampler: str, learned: float) -> float:
    """δ, where samples stop: the earliest time learned, and not below `RENOISED_DELTA` where noise comes last."""
    kind = SAMPLERS[sampler]
    return max(learned, RENOISED_DELTA) if kind.noisy and not kind.ends_noiseless else learned


def direction_for(sampler: str) -> Direction:
    """KL(data‖model) of samples with noise, which has a bound, else KL(model‖data), whose estimators are exact."""
    return DATA_MODEL if SAMPLERS[sampler].noisy else MODEL_DATA
