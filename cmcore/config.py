"""Everything a person can choose, validated: from a form, a file, or a link.

Configs are frozen pydantic models: bad values raise one clear sentence per field, unknown fields are refused, and any
value survives JSON unchanged.
"""

import math
from itertools import pairwise
from numbers import Integral
from reprlib import repr as shortened
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

MOST_STEPS = 10_000_000
"""Optimiser steps of a run."""
USUAL_GRID = "quadratic_angle"
"""The time grid of every draw that names none: of the named ones it mostly leaves a map the least KL."""


def checked_seed(seed: object) -> int:
    """The seed as an int; a float, a bool, None or a number of more than 64 bits raises ValueError."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not -(2**63) <= int(seed) < 2**63:
        raise ValueError(f"A seed is an integer of at most 64 bits, such as seed=0; got {shortened(seed)}.")
    return int(seed)


Seed = Annotated[int, BeforeValidator(checked_seed), Field(ge=0)]
MOST_SETTINGS, LONGEST_WORD = 64, 4_096
"""Of the settings of an objective or a target: how many, and characters of one; a drawing takes the most."""


def checked_setting(value: object) -> object:
    """A setting of an objective or a target: a finite number, a word, true or false, or None; else ValueError."""
    if isinstance(value, str) and len(value) > LONGEST_WORD:
        raise ValueError(f"a word has at most {LONGEST_WORD:,} characters, and this one has {len(value):,}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number has at most 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is finite")
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"a setting is a number, a word, true or false; got {shortened(value)}")
    return value


Settings = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[Any, AfterValidator(checked_setting)]],
    Field(max_length=MOST_SETTINGS),
]
Frequencies = Annotated[tuple[Annotated[float, Field(gt=0, le=64)], ...], Field(max_length=16)]


def first_problem(error: Exception) -> tuple[str, str]:
    """The field and the first thing that is wrong with it, without a full stop; no field where it is none's."""
    if not isinstance(error, ValidationError):
        return "", str(error).rstrip(".")
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ").rstrip(".")


class Config(BaseModel):
    """Base of all configs: frozen, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def key(self) -> str:
        """The canonical JSON of this config: equal configs have equal keys, and caches are keyed by it alone."""
        return f"{type(self).__name__}:{self.model_dump_json()}"


class NetworkConfig(Config):
    """The network F: an MLP with SiLU activations on periodic features."""

    width: int = Field(default=96, ge=4, le=1024, description="units in each hidden layer")
    depth: int = Field(default=6, ge=1, le=16, description="number of hidden layers")
    space_frequencies: Frequencies = (2.0,)
    time_frequencies: Frequencies = (1.0, 2.0, 4.0)
    preconditioning: Literal["trig", "linear"] | None = Field(
        default=None, description="how f is made from F; None: the objective's own, trig where it has none"
    )
    experts: int | None = Field(
        default=None, ge=1, le=64, description="vectors that F mixes by a softmax, at most; None: the objective's own"
    )
    second_time: bool = Field(default=True, description="whether F sees θ_t − θ_s; without it f is a DDIM step")


class TargetConfig(Config):
    """A gallery target by name, with its parameters (numbers, strings, booleans)."""

    name: str = Field("eight_gaussians", max_length=64)
    parameters: Settings = Field(default_factory=dict)


class EarlierPlan(Config):
    """A plan of a training that a later one replaced, because the pace of the machine or the budget changed."""

    until: int = Field(ge=0, le=MOST_STEPS, description="the step from which another plan holds")
    steps: int | None = Field(
        None, ge=1, le=MOST_STEPS, description="the end it was planned for; None: not settled yet"
    )
    hold: int = Field(0, ge=0, le=MOST_STEPS, description="the step from which its rates were to fall")
    continued: bool = Field(default=False, description="whether the run was continued there: its rates rise anew")


class TrainingConfig(Config):
    """How a flow map is learned. With the seed, it determines the trained weights on one machine.

    The page offers the fields that have a title, beside those with controls of their own.
    """

    objective: str = Field(
        "trajectory_regression", max_length=64, description="what is learned from; `cmcore objectives` lists them"
    )
    objective_parameters: Settings = Field(default_factory=dict)
    network: NetworkConfig = NetworkConfig()
    steps: int | None = Field(
        None, ge=1, le=MOST_STEPS, title="Steps instead of seconds",
        description="optimiser steps; takes precedence over seconds",
    )  # fmt: skip
    seconds: float | None = Field(
        None, gt=0, le=86_400, description="budget from the first step on; turned into steps during warm-up"
    )
    batch: int | None = Field(None, ge=8, le=65_536, description="training pairs in a step; None: the objective's own")
    horizon: float = Field(3.0, gt=0, le=20, description="T, where noise starts")
    delta: float | None = Field(None, ge=0, lt=20, description="δ, the earliest time; None: 0 if the target is smooth")
    optimizer: Literal["muon", "adam"] = Field("muon", description="of the hidden matrices; Adam takes the others")
    learning_rate: float | None = Field(None, ge=1e-8, le=1, description="Adam's peak rate; None: the objective's own")
    matrix_learning_rate: float | None = Field(
        None, ge=1e-8, le=1, description="Muon's peak rate, hidden matrices; None: the objective's own"
    )
    warmup: int = Field(200, ge=0, le=100_000, description="steps over which the rates rise")
    hold: int = Field(0, ge=0, le=MOST_STEPS, description="steps before the rates fall; a budget in seconds sets it")
    earlier: tuple[EarlierPlan, ...] = Field(
        (), max_length=256, description="plans that held before; a run writes them"
    )
    average: float | None = Field(
        None, ge=0, lt=1, description="decay of the exponential average of the weights; None: the objective's own"
    )
    seed: Seed = Field(0, title="Seed", description="of all random choices; with the settings it determines the result")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA when there is one")
    matmul_dtype: Literal["auto", "float32", "bfloat16", "mixed"] = Field(
        "auto",
        validation_alias=AliasChoices("matmul_dtype", "products"),  # as runs, sweeps and links of before call it
        serialization_alias="products",  # where a hash names what was kept before
        description="matrix products of a training step; mixed: bfloat16, and float32 for the second half of the run; "
        "auto: float32 where the CPU cannot multiply bfloat16, elsewhere mixed where its rounding is seen",
    )
    threads: int = Field(0, ge=0, le=256, description="CPU threads; 0: chosen by a probe of the training step")

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingConfig":
        if self.steps is None and self.seconds is None:
            raise ValueError("Give a budget: steps or seconds.")
        changes = [plan.until for plan in self.earlier]
        if any(later < first for first, later in pairwise(changes)) or (
            self.steps and self.steps < max(changes, default=0)
        ):
            raise ValueError("Earlier plans follow one another, and the run ends after the last of them.")
        if self.delta is not None and self.delta >= self.horizon:
            raise ValueError(f"δ must lie below the horizon T; got δ = {self.delta:g}, T = {self.horizon:g}.")
        return self


class SamplerConfig(Config):
    """How samples are drawn."""

    sampler: str = Field("deterministic", max_length=64)
    grid: str = Field(default=USUAL_GRID, max_length=64)
    steps: int = Field(4, ge=1, le=4096, description="K, the number of jumps")
    horizon: float = Field(3.0, gt=0, le=20)
    delta: float = Field(0.0, ge=0, lt=20)
    renoise: float = Field(0.5, ge=0, le=1, description="η_{k+1} as a share of t_{k+1}")
    times: tuple[float, ...] | None = Field(
        default=None, max_length=4097, description="T = t_0 > … > t_K = δ, chosen one by one; None: those of the grid"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "SamplerConfig":
        times = self.times
        if times is None:
            return self
        if len(times) != self.steps + 1:
            raise ValueError(f"{self.steps} jumps have {self.steps + 1} times, T and δ among them; got {len(times)}.")
        if times[0] != self.horizon or times[-1] != self.delta:
            raise ValueError(
                f"Times run from T = {self.horizon:g} to δ = {self.delta:g}; got {times[0]:g} to {times[-1]:g}."
            )
        if any(later >= earlier for earlier, later in pairwise(times)):
            raise ValueError("The times of a draw must decrease strictly, from T down to δ.")
        return self
