r"""Runs on disk: a folder, or one zip, with a `run.json` and the safetensors files it names, written atomically.

Every tensor file carries the hash of its content in its name, and `run.json`, which names them, is replaced last in one
step: a crash at any moment leaves the old run or the new one, never a mixture. Nothing in a folder is executed, and
nothing is believed before it is checked: sizes, names, shapes and hashes first.
"""

import contextlib
import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from cmcore.archive import BadArchive, pack, unpack
from cmcore.config import TargetConfig, TrainingConfig
from cmcore.model import Ending, FlowMap, TrainedModel, count_weights
from cmcore.targets import GaussianMixture, Target, make_target
from cmcore.targets.tables import TableTarget

__all__ = ["BadRun", "from_zip", "load", "save", "to_zip", "write_atomically"]

RUN_FILE = "run.json"
LARGEST_JSON = 32 << 20
LARGEST_TENSORS = 512 << 20
_TENSOR_FILE = r"(model|target|resume)-[0-9a-f]{16}\.safetensors"

FileName = Annotated[str, Field(pattern=f"^{_TENSOR_FILE}$")]


class BadRun(ValueError):
    """A folder that is not a run of this lab, or a damaged one; the message says what is wrong."""


class RunRecord(BaseModel):
    """What run.json holds."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    format: Literal[1]
    dim: int = Field(ge=1, le=1_000_000)
    config: TrainingConfig
    steps: int = Field(ge=0)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    preparation: float = Field(0.0, ge=0, allow_inf_nan=False)
    status: Ending
    device: str = Field(max_length=200)
    history: tuple[tuple[int, float, float], ...] = ()
    gallery: TargetConfig | None = None
    table: dict[str, Any] | None = None
    model_file: FileName
    target_file: FileName | None = None
    resume_file: FileName | None = None


# ---- writing ----------------------------------------------------------------------------------------------------
def save(model: TrainedModel, place: str | os.PathLike[str], *, resumable: bool = True) -> Path:
    """Write a trained model to a folder, replacing the run that was there; or to one file, where `place` ends in .zip.

    The target goes along when it is of the gallery, a table, or a Gaussian mixture; others are left out with a warning.
    With `resumable`, the optimiser's state is kept too (about four times the weights), so that training can go on.
    """
    place = Path(place)
    if place.suffix == ".zip":
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, to_zip(model, resumable=resumable))
        return place
    place.mkdir(parents=True, exist_ok=True)
    files = _files(model, resumable=resumable)
    for name, content in files.items():  # run.json, which names the others, comes last
        if name == RUN_FILE or not (place / name).exists():
            write_atomically(place / name, content)
    for path in place.glob("*.safetensors"):
        if re.fullmatch(_TENSOR_FILE, path.name) and path.name not in files:
            path.unlink(missing_ok=True)
    return place


def to_zip(model: TrainedModel, *, resumable: bool = False) -> bytes:
    """The same files as one zip; equal runs make equal bytes."""
    return pack(_files(model, resumable=resumable))


def _files(model: TrainedModel, *, resumable: bool) -> dict[str, bytes]:
    """What is written, by file name."""
    target_tensors, table = _target_state(model.target)
    files: dict[str, bytes] = {}
    record = RunRecord(
        format=1,
        dim=model.dim,
        config=model.config,
        steps=model.steps,
        seconds=model.seconds,
        preparation=model.preparation,
        status=model.status,
        device=model.device,
        history=model.history,
        gallery=model.target.config if model.target is not None else None,
        table=table,
        model_file=_add_tensors(files, "model", dict(model.flow_map.state_dict())),
        target_file=_add_tensors(files, "target", target_tensors) if target_tensors else None,
        resume_file=_add_tensors(files, "resume", dict(model.resume_state))
        if resumable and model.resume_state
        else None,
    )
    return {**files, RUN_FILE: (record.model_dump_json(indent=1) + "\n").encode()}


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


def _add_tensors(files: dict[str, bytes], kind: str, tensors: dict[str, Tensor]) -> str:
    content = save_tensors({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})
    name = f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    files[name] = content
    return name


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
    warnings.warn(words, RuntimeWarning, stacklevel=4)
    return {}, None


# ---- reading ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Source:
    """Where the files of a run are read from.

    Attributes:
        where: what people call the place.
        read: the content of a file of at most so many bytes; raises OSError, or BadRun where it is larger.
        path: what people call a file there.
    """

    where: str
    read: Callable[[str, int], bytes]
    path: Callable[[str], str]


def load(place: str | os.PathLike[str]) -> TrainedModel:
    """Read a trained model back from its folder or zip. Raises :class:`BadRun` with one sentence on what is wrong."""
    place = Path(place)
    if place.suffix == ".zip":
        try:
            return from_zip(_read_file(place, LARGEST_TENSORS))
        except OSError as error:
            raise BadRun(f"{place} cannot be read: {error.strerror}.") from None
    return _assemble(
        _Source(str(place), lambda name, most: _read_file(place / name, most), lambda name: str(place / name))
    )


def from_zip(content: bytes, *, most: int = LARGEST_TENSORS) -> TrainedModel:
    """Read a trained model from the bytes of a zip; no file in it may unfold to more than `most` bytes.

    Raises :class:`BadRun` with one sentence on what is wrong.
    """

    def largest(name: str) -> int:
        if name == RUN_FILE:
            return min(most, LARGEST_JSON)
        return most if re.fullmatch(_TENSOR_FILE, name) else 0

    try:
        files = unpack(content, largest=largest)
    except BadArchive as problem:
        raise BadRun(str(problem)) from None

    def read(name: str, most: int) -> bytes:
        if name not in files:
            raise FileNotFoundError(2, "it is not in the zip")
        return files[name]

    return _assemble(_Source("the zip", read, str))


def _read_file(path: Path, most: int) -> bytes:
    if path.stat().st_size > most:
        raise BadRun(f"{path} is larger than any such file of this lab ({most >> 20} MB).")
    return path.read_bytes()


def _assemble(source: _Source) -> TrainedModel:
    record = _read_record(source)
    weights = _read_tensors(source, record.model_file)
    path, told = source.path(record.model_file), count_weights(record.dim, record.config.network)
    held = sum(tensor.numel() for tensor in weights.values())
    if held != told:  # before a network of that size is made
        raise BadRun(f"{path} holds {held:,} weights, but {RUN_FILE} says {told:,}.")
    flow_map = FlowMap(record.dim, record.config.network, generator=torch.Generator())
    _require_same_shapes(weights, dict(flow_map.state_dict()), path)
    flow_map.load_state_dict(weights)
    flow_map.requires_grad_(requires_grad=False)
    return TrainedModel(
        flow_map=flow_map,
        target=_read_target(source, record),
        config=record.config,
        steps=record.steps,
        seconds=record.seconds,
        preparation=record.preparation,
        status=record.status,
        device=record.device,
        history=record.history,
        resume_state=_read_tensors(source, record.resume_file) if record.resume_file else {},
    )


def _read_record(source: _Source) -> RunRecord:
    path = source.path(RUN_FILE)
    try:
        return RunRecord.model_validate(json.loads(source.read(RUN_FILE, LARGEST_JSON)))
    except FileNotFoundError:
        raise BadRun(f"There is no run in {source.where}: it has no {RUN_FILE}.") from None
    except OSError as error:
        raise BadRun(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = _in_a_line(".".join(map(str, first["loc"])), 100) or "the file"
        raise BadRun(f"{path} is not a run of this lab: {field}: {_in_a_line(first['msg'])}.") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or a number too long to be read
        if isinstance(error, BadRun):
            raise
        raise BadRun(f"{path} is not valid JSON.") from None


def _read_tensors(source: _Source, name: str) -> dict[str, Tensor]:
    path = source.path(name)
    try:
        content = source.read(name, LARGEST_TENSORS)
    except OSError as error:
        raise BadRun(f"{path}, named by {RUN_FILE}, cannot be read: {error.strerror}.") from None
    if hashlib.sha256(content).hexdigest()[:16] not in name:
        raise BadRun(f"{path} is damaged: its content does not match the hash in its name.")
    try:
        return load_tensors(content)
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError):
        raise BadRun(f"{path} is not a safetensors file.") from None


def _require_same_shapes(found: dict[str, Tensor], wanted: dict[str, Tensor], path: str) -> None:
    if set(found) != set(wanted):
        raise BadRun(f"{path} does not hold the weights that {RUN_FILE} describes.")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise BadRun(f"{path}: {name} is {tuple(found[name].shape)}, but {RUN_FILE} says {tuple(tensor.shape)}.")
        if not bool(torch.isfinite(found[name]).all()):
            raise BadRun(f"{path}: {name} holds numbers that are not finite.")


def _read_target(source: _Source, record: RunRecord) -> Target | None:
    path = source.path(RUN_FILE)
    try:
        if record.gallery is not None:
            told = record.gallery.parameters.get("dim", record.dim)
            if told != record.dim:  # before a target of that size is made
                raise BadRun(f"{path} says d = {record.dim}, but its target has d = {str(told)[:20]}.")
            target = make_target(record.gallery.name, **record.gallery.parameters)
        elif record.target_file is None:
            return None
        else:
            tensors = _read_tensors(source, record.target_file)
            target = (
                TableTarget.from_state(tensors, record.table) if record.table else GaussianMixture.from_state(tensors)
            )
    except (TypeError, LookupError, ValueError, RuntimeError, ArithmeticError, AttributeError) as error:
        if isinstance(error, BadRun):
            raise
        words = _in_a_line(str(error)) or type(error).__name__
        raise BadRun(f"The target that {path} describes cannot be made: {words}") from None
    if target.dim != record.dim:
        raise BadRun(f"{path} says d = {record.dim}, but its target has d = {target.dim}.")
    return target


def _in_a_line(text: str, most: int = 300) -> str:
    """What a file, or an error about it, says, fit for a sentence."""
    return " ".join(text.split())[:most]
