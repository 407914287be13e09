"""What a run on disk is: the content of run.json, the names of its files, and what its numbers may be."""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError
from torch import Tensor

from cmcore.config import MOST_STEPS, TargetConfig, TrainingConfig, first_problem
from cmcore.model import Ending
from cmcore.objectives import OBJECTIVES, make_objective
from cmcore.targets.tables import MOST_COLUMNS
from cmcore.training_budget import REPORT

RUN_FILE = "run.json"
LARGEST_JSON = 32 << 20
LARGEST_TENSORS = 512 << 20
MOST_REPORTS = MOST_STEPS // REPORT + 4_096
"""Of a history: those of the longest training, and of ends on the way."""
LONGEST_SECONDS = 1e9
MOST_NOTES, LONGEST_NOTE = 64, 10_000
"""Of what is said of a table, and letters of one."""
TENSOR_FILE = r"(?:model|target|resume|film)-[0-9a-f]{16}\.safetensors"

FileName = Annotated[str, Field(pattern=f"^{TENSOR_FILE}$")]
Step = Annotated[int, Field(ge=0, le=MOST_STEPS)]


class BadRun(ValueError):
    """A folder that is not a run of this lab, or a damaged one; the message says what is wrong."""


Note = Annotated[str, Field(max_length=LONGEST_NOTE)]


class SavedTable(BaseModel):
    """What run.json holds of a smoothed table, beside its tensors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Note
    columns: tuple[Note, ...] = Field(max_length=MOST_COLUMNS)
    notes: tuple[Note, ...] = Field((), max_length=MOST_NOTES)
    bandwidth: float | None = Field(None, ge=0, le=1e6)


def _checked_objective(config: TrainingConfig) -> TrainingConfig:
    """The config, where its objective has such parameters; one that is not known any more may have had any."""
    if config.objective in OBJECTIVES:
        make_objective(config.objective, **config.objective_parameters)
    return config


class RunRecord(BaseModel):
    """The content of run.json."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    format: Literal[1]
    dim: int = Field(ge=1, le=1_000_000)
    config: Annotated[TrainingConfig, AfterValidator(_checked_objective)]
    steps: Step
    seconds: float = Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)
    spikes: Annotated[tuple[Step, ...], FailFast()] = Field((), max_length=MOST_REPORTS)
    preparation: float = Field(0.0, ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)
    status: Ending
    device: str = Field(max_length=200)
    history: Annotated[tuple[tuple[Step, float, float], ...], FailFast()] = Field((), max_length=MOST_REPORTS)
    gallery: TargetConfig | None = None
    table: SavedTable | None = None
    model_file: FileName
    target_file: FileName | None = None
    resume_file: FileName | None = None
    film_file: FileName | None = None


# ---- what both sides hold against it ----------------------------------------------------------------------------
def require_numbers(tensors: Mapping[str, Tensor], path: str) -> None:
    """Weights, a target and the state of an optimiser are finite numbers, single or double."""
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float64):
            raise BadRun(f"{path}: {name} is {_dtype(tensor)}; the numbers of a run are float32 or float64.")
        if not bool(torch.isfinite(tensor).all()):
            raise BadRun(f"{path}: {name} holds numbers that are not finite.")


def require_same_shapes(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], says: str, path: str) -> None:
    """Refuse weights that are not those of the map that is described."""
    if set(tensors) != set(wanted):
        raise BadRun(f"{path} does not hold the weights that {says} describes.")
    for name, tensor in wanted.items():
        if tensors[name].shape != tensor.shape or tensors[name].dtype != tensor.dtype:
            here, there = (f"{_dtype(x)} of shape {tuple(x.shape)}" for x in (tensors[name], tensor))
            raise BadRun(f"{path}: {name} is {here}, but {says} says {there}.")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def wrong_field(error: ValidationError) -> str:
    """The first field of a record that is wrong, and how."""
    field, words = first_problem(error)
    return f"{in_a_line(field, 100) or 'the file'}: {in_a_line(words)}"


def in_a_line(text: str, most: int = 300) -> str:
    """The text in one line, cut to fit a sentence."""
    return " ".join(text.split())[:most]
