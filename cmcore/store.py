r"""Runs on disk: a folder with one `run.json` and the safetensors files it names, written atomically.

Every tensor file carries the hash of its content in its name, and `run.json`, which names them, is replaced last in one
step: a crash at any moment leaves the old run or the new one, never a mixture. Nothing in a folder is executed, and
nothing is believed before it is checked: sizes, names, shapes and hashes first.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from cmcore.config import TargetConfig, TrainingConfig
from cmcore.model import Ending, FlowMap, TrainedModel
from cmcore.targets import GaussianMixture, Target, make_target
from cmcore.targets.tables import TableTarget

__all__ = ["BadRun", "load", "save", "write_atomically"]

RUN_FILE = "run.json"
LARGEST_JSON = 32 << 20
LARGEST_TENSORS = 512 << 20

FileName = Annotated[str, Field(pattern=r"^(model|target|resume)-[0-9a-f]{16}\.safetensors$")]


class BadRun(ValueError):
    """A folder that is not a run of this lab, or a damaged one; the message says what is wrong."""


class RunRecord(BaseModel):
    """What run.json holds."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1]
    dim: int = Field(ge=1, le=1_000_000)
    config: TrainingConfig
    steps: int = Field(ge=0)
    seconds: float = Field(ge=0)
    status: Ending
    device: str = Field(max_length=200)
    history: tuple[tuple[int, float, float], ...] = ()
    gallery: TargetConfig | None = None
    table: dict[str, Any] | None = None
    model_file: FileName
    target_file: FileName | None = None
    resume_file: FileName | None = None


# ---- writing ----------------------------------------------------------------------------------------------------
def save(model: TrainedModel, folder: str | os.PathLike[str], *, resumable: bool = True) -> Path:
    """Write a trained model to a folder, replacing the run that was there.

    The target goes along when it is of the gallery, a table, or a Gaussian mixture; others are left out with a warning.
    With `resumable`, the optimiser's state is kept too (about four times the weights), so that training can go on.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target_tensors, table = _target_state(model.target)
    record = RunRecord(
        format=1,
        dim=model.dim,
        config=model.config,
        steps=model.steps,
        seconds=model.seconds,
        status=model.status,
        device=model.device,
        history=model.history,
        gallery=model.target.config if model.target is not None else None,
        table=table,
        model_file=_write_tensors(folder, "model", dict(model.flow_map.state_dict())),
        target_file=_write_tensors(folder, "target", target_tensors) if target_tensors else None,
        resume_file=_write_tensors(folder, "resume", dict(model.resume_state))
        if resumable and model.resume_state
        else None,
    )
    write_atomically(folder / RUN_FILE, (record.model_dump_json(indent=1) + "\n").encode())
    _remove_unnamed(folder, record)
    return folder


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens on the way."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _write_tensors(folder: Path, kind: str, tensors: dict[str, Tensor]) -> str:
    content = save_tensors({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})
    name = f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    if not (folder / name).exists():
        write_atomically(folder / name, content)
    return name


def _remove_unnamed(folder: Path, record: RunRecord) -> None:
    named = {record.model_file, record.target_file, record.resume_file}
    for kind in ("model", "target", "resume"):
        for path in folder.glob(f"{kind}-*.safetensors"):
            if path.name not in named:
                path.unlink(missing_ok=True)


def _target_state(target: Target | None) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The tensors and the JSON of a target that its gallery config does not determine."""
    if target is None or target.config is not None:
        return {}, None
    if isinstance(target, TableTarget):
        return target.state()
    if isinstance(target, GaussianMixture):
        return target.state(), None
    kind = type(target).__name__
    words = f"{target.name}, a hand-made {kind}, is not written with the run; keep the code that made it."
    warnings.warn(words, RuntimeWarning, stacklevel=3)
    return {}, None


# ---- reading ----------------------------------------------------------------------------------------------------
def load(folder: str | os.PathLike[str]) -> TrainedModel:
    """Read a trained model back. Raises :class:`BadRun` with one sentence on what is wrong with the folder."""
    folder = Path(folder)
    record = _read_record(folder)
    generator = torch.Generator()
    flow_map = FlowMap(record.dim, record.config.network, generator=generator)
    weights = _read_tensors(folder, record.model_file)
    _require_same_shapes(weights, dict(flow_map.state_dict()), folder / record.model_file)
    flow_map.load_state_dict(weights)
    flow_map.requires_grad_(requires_grad=False)
    return TrainedModel(
        flow_map=flow_map,
        target=_read_target(folder, record),
        config=record.config,
        steps=record.steps,
        seconds=record.seconds,
        status=record.status,
        device=record.device,
        history=record.history,
        resume_state=_read_tensors(folder, record.resume_file) if record.resume_file else {},
    )


def _read_record(folder: Path) -> RunRecord:
    path = folder / RUN_FILE
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise BadRun(f"{path} is larger than any run this lab writes ({LARGEST_JSON >> 20} MB).")
        return RunRecord.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise BadRun(f"There is no run in {folder}: it has no {RUN_FILE}.") from None
    except OSError as error:
        raise BadRun(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadRun(f"{path} is not a run of this lab: {field}: {first['msg']}.") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise BadRun(f"{path} is not valid JSON.") from None


def _read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    path = folder / name
    try:
        if path.stat().st_size > LARGEST_TENSORS:
            raise BadRun(f"{path} is larger than any tensor file of this lab ({LARGEST_TENSORS >> 20} MB).")
        content = path.read_bytes()
    except OSError as error:
        raise BadRun(f"{path}, named by {RUN_FILE}, cannot be read: {error.strerror}.") from None
    if hashlib.sha256(content).hexdigest()[:16] not in name:
        raise BadRun(f"{path} is damaged: its content does not match the hash in its name.")
    try:
        return load_tensors(content)
    except (SafetensorError, ValueError, RuntimeError):
        raise BadRun(f"{path} is not a safetensors file.") from None


def _require_same_shapes(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    if set(found) != set(wanted):
        raise BadRun(f"{path} does not hold the weights that {RUN_FILE} describes.")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise BadRun(f"{path}: {name} is {tuple(found[name].shape)}, but {RUN_FILE} says {tuple(tensor.shape)}.")
        if not bool(torch.isfinite(found[name]).all()):
            raise BadRun(f"{path}: {name} holds numbers that are not finite.")


def _read_target(folder: Path, record: RunRecord) -> Target | None:
    try:
        if record.gallery is not None:
            target = make_target(record.gallery.name, **record.gallery.parameters)
        elif record.target_file is None:
            return None
        else:
            tensors = _read_tensors(folder, record.target_file)
            target = (
                TableTarget.from_state(tensors, record.table) if record.table else GaussianMixture.from_state(tensors)
            )
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(error, BadRun):
            raise
        raise BadRun(f"The target that {folder / RUN_FILE} describes cannot be made: {error}") from None
    if target.dim != record.dim:
        raise BadRun(f"{folder / RUN_FILE} says d = {record.dim}, but its target has d = {target.dim}.")
    return target
