r"""Runs on disk: a folder, or one zip, with a `run.json` and the safetensors files it names, written atomically.

Every tensor file carries the hash of its content in its name, and `run.json`, which names them, is replaced last in one
step: a crash at any moment, or another process that saves to the same folder, leaves the old run or the new one, never
a mixture. What would not be read back is not written. Nothing in a folder is executed, and nothing is believed before
it is checked: kinds of files, sizes, names, shapes, numbers and hashes first.
"""

import contextlib
import hashlib
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from cmcore.archive import BadArchive, pack, unpack
from cmcore.config import MOST_STEPS, TargetConfig, TrainingConfig
from cmcore.costs import LARGEST_HEAD, BadTensors, Check, RunCost, Shapes, size_of_law, tensor_shapes
from cmcore.files import BadFile, read_plain, sync_folder, taking_turns, write_atomically
from cmcore.json_input import BadJSON, parse_json
from cmcore.model import Ending, FlowMap, TrainedModel, count_weights
from cmcore.objectives import OBJECTIVES, make_objective
from cmcore.targets import GALLERY, GaussianMixture, Size, Target, make_target
from cmcore.targets.tables import MOST_COLUMNS, TableTarget
from cmcore.training_run import REPORT

__all__ = ["BadRun", "ReadLimits", "from_zip", "load", "run_files", "save", "to_zip", "write_run"]

RUN_FILE = "run.json"
LARGEST_JSON = 32 << 20
SMALL, DEEPEST = 10_000, 8
"""Values of run.json beside its history, and numbers of a state beside those that go with the weights; depth."""
LONG_LISTS = ("history", "spikes")
LARGEST_TENSORS = 512 << 20
MOST_REPORTS = MOST_STEPS // REPORT + 4_096
"""Of a history: those of the longest training, and of ends on the way."""
MOST_RESUMED = 8
"""How many times the weights, at most, there are numbers from which a training goes on."""
LONGEST_SECONDS = 1e9
MOST_NOTES, LONGEST_NOTE = 64, 10_000
"""Of what is said of a table, and letters of one."""
READINGS = 100
"""How often a run is read anew while others are saved to its folder."""
_TENSOR_FILE = r"(?:model|target|resume)-[0-9a-f]{16}\.safetensors"
_UNFINISHED = rf"\.(?:run\.json|{_TENSOR_FILE})\.[0-9a-f]{{32}}"
"""What a writer that was killed left of its files."""

Unpacked = TypeVar("Unpacked")
FileName = Annotated[str, Field(pattern=f"^{_TENSOR_FILE}$")]
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
    """What run.json holds."""

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


# ---- writing ----------------------------------------------------------------------------------------------------
def save(model: TrainedModel, place: str | os.PathLike[str], *, resumable: bool = True) -> Path:
    """Write a trained model to a folder, replacing the run that was there; or to one file, where `place` ends in .zip.

    The target goes along when it is of the gallery, a table, or a Gaussian mixture; others are left out with a warning.
    With `resumable`, the optimiser's state is kept too (about four times the weights), so that training can go on.

    Raises:
        ValueError: for anything but a trained model, and for one that :func:`load` would refuse, because some of its
            numbers are not finite for one; nothing is written then.
        OSError: where the disk takes it not; what was there before stays.
    """
    place, files = Path(place), run_files(model, resumable=resumable)
    if place.suffix == ".zip":
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, pack(files))
    else:
        write_run(place, files)
    return place


def write_run(place: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of :func:`run_files` to a folder, replacing the run that was there; else as :func:`save`."""
    if place.exists() and not place.is_dir():
        raise ValueError(f"{place} is a file, and a run is kept in a folder, or in a file that ends in .zip.")
    fresh = not place.exists()
    place.mkdir(parents=True, exist_ok=True)
    try:
        with taking_turns(place):
            _write(place, files)
    except BaseException:
        if fresh:
            with contextlib.suppress(OSError):
                place.rmdir()  # if it is empty, as it was
        raise


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a run and remove those of the one before; run.json, which names the others, comes last."""
    try:
        for name, content in files.items():
            if name == RUN_FILE:
                sync_folder(folder)
            write_atomically(folder / name, content)
        sync_folder(folder)
    finally:
        _clear(folder)


def _clear(folder: Path) -> None:
    """Remove the tensors that run.json does not name, and what killed writers left; only for who has the turn."""
    try:
        named = set(re.findall(_TENSOR_FILE, read_plain(folder / RUN_FILE, LARGEST_JSON).decode()))
    except FileNotFoundError:
        named = set()
    except (OSError, ValueError):
        return
    for name in os.listdir(folder):  # noqa: PTH208  names alone
        if re.fullmatch(_UNFINISHED, name) or (re.fullmatch(_TENSOR_FILE, name) and name not in named):
            with contextlib.suppress(OSError):
                (folder / name).unlink()


def to_zip(model: TrainedModel, *, resumable: bool = False) -> bytes:
    """The same files as one zip; equal runs make equal bytes."""
    return pack(run_files(model, resumable=resumable))


def run_files(model: TrainedModel, *, resumable: bool) -> dict[str, bytes]:
    """What is written, by file name, run.json last; ValueError says why it would not be read back."""
    if not isinstance(model, TrainedModel):
        kind = "a function" if callable(model) and not isinstance(model, torch.nn.Module) else type(model).__name__
        raise ValueError(
            f"cm.save keeps a trained model, as cm.train returns it, and this is {kind}; for other modules: torch.save."
        )
    target_tensors, table = _target_state(model.target)
    tensors = {
        "model": dict(model.flow_map.state_dict()),
        "target": target_tensors,
        "resume": dict(model.resume_state) if resumable else {},
    }
    files: dict[str, bytes] = {}
    try:
        fresh = FlowMap(model.dim, model.config.network, generator=torch.Generator())
        _require_same_shapes(tensors["model"], dict(fresh.state_dict()), "its config", "model")
        for kind, content in tensors.items():
            _require_numbers(content, kind)
        names = {f"{kind}_file": _add_tensors(files, kind, content) for kind, content in tensors.items() if content}
        record = RunRecord(
            format=1,
            dim=model.dim,
            config=model.config,
            steps=model.steps,
            seconds=model.seconds,
            preparation=model.preparation,
            spikes=model.spikes,
            status=model.status,
            device=model.device,
            history=model.history,
            gallery=model.target.config if model.target is not None else None,
            table=None if table is None else SavedTable.model_validate(table),
            **names,  # pyright: ignore[reportArgumentType]  checked by pydantic
        )
        content = (record.model_dump_json(indent=1) + "\n").encode()
        RunRecord.model_validate_json(content)  # the config within was made without a check where the run filled it in
    except ValidationError as error:
        raise ValueError(f"This run cannot be saved: {_first_problem(error)}.") from None
    except BadRun as problem:
        raise ValueError(f"This run cannot be saved: {problem}") from None
    return {**files, RUN_FILE: content}


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
class ReadLimits:
    """How much of a run is read.

    Attributes:
        largest: bytes of any file of it.
        reports: entries of its history.
        resumable: whether what its training goes on with is read too.
        check: refuses, by ValueError in a sentence, what would cost too much, before anything is made.
    """

    largest: int = LARGEST_TENSORS
    reports: int = MOST_REPORTS
    resumable: bool = True
    check: Check = lambda cost: None


@dataclass(frozen=True)
class _Source:
    """Where the files of a run are read from.

    Attributes:
        where: what people call the place.
        read: the content of a file of at most so many bytes; raises OSError, or BadRun where it is larger.
        path: what people call a file there.
        limits: how much of it is read.
    """

    where: str
    read: Callable[[str, int], bytes]
    path: Callable[[str], str]
    limits: ReadLimits


def load(place: str | os.PathLike[str], *, limits: ReadLimits = ReadLimits()) -> TrainedModel:
    """Read a trained model back from its folder or zip. Raises :class:`BadRun` with one sentence on what is wrong.

    While others save to the folder, what is read is a whole run, of before or after.
    """
    place = Path(place)
    if place.suffix == ".zip":
        try:
            return from_zip(_read_file(place, LARGEST_TENSORS), limits=limits)
        except OSError as error:
            raise BadRun(f"{place} cannot be read: {error.strerror}.") from None
    read = partial(_read_of_folder, place)
    source = _Source(str(place), read, lambda name: str(place / name), limits)
    for _ in range(READINGS):
        before = _version(place)
        try:
            return _assemble(source)
        except BadRun:
            if _version(place) == before:
                raise
    return _assemble(source)


def _read_of_folder(place: Path, name: str, most: int) -> bytes:
    return _read_file(place / name, most)


def _version(folder: Path) -> tuple[int, int, int] | None:
    """What changes when another run.json takes the place of the one in the folder."""
    try:
        file = (folder / RUN_FILE).stat()
    except OSError:
        return None
    return file.st_ino, file.st_mtime_ns, file.st_size


def from_zip(content: bytes, *, most: int = LARGEST_TENSORS, limits: ReadLimits | None = None) -> TrainedModel:
    """Read a trained model from the bytes of a zip; no file in it may unfold to more than `most` bytes.

    A file is unpacked where run.json names it, and once that says how large it is.

    Raises :class:`BadRun` with one sentence on what is wrong.
    """
    limits = limits or ReadLimits(largest=most)

    def largest(name: str) -> int:
        if name == RUN_FILE:
            return min(limits.largest, LARGEST_JSON)
        return limits.largest if re.fullmatch(_TENSOR_FILE, name) else 0

    files = _of_archive(lambda: unpack(content, largest=largest))

    def read(name: str, most: int) -> bytes:
        if name not in files:
            raise FileNotFoundError(2, "it is not in the zip")
        if files.size(name) > most:
            raise BadRun(f"{name} in the zip is larger than {RUN_FILE} says.")
        return _of_archive(lambda: files[name])

    source = _Source("the zip", read, str, limits)
    record = _read_record(source)
    if other := sorted(set(files) - {RUN_FILE, record.model_file, record.target_file, record.resume_file}):
        raise BadRun(f"The zip holds {other[0]}, which its {RUN_FILE} does not name.")
    return _assemble(source, record)


def _of_archive(read: Callable[[], Unpacked]) -> Unpacked:
    try:
        return read()
    except BadArchive as problem:
        raise BadRun(str(problem)) from None


def _read_file(path: Path, most: int) -> bytes:
    try:
        return read_plain(path, most)
    except BadFile as problem:
        raise BadRun(str(problem)) from None


def _assemble(source: _Source, record: RunRecord | None = None) -> TrainedModel:
    """What costs something is made last, once the whole has been weighed."""
    record = record or _read_record(source)
    weights = _weights_of(record)
    model = _read_tensors(source, record.model_file, LARGEST_HEAD + 8 * weights)
    _require_count(source, record, model, weights)
    law = _read_tensors(source, record.target_file) if record.target_file and not record.gallery else None
    resume = None
    if record.resume_file and source.limits.resumable:
        resume = _read_tensors(source, record.resume_file, LARGEST_HEAD + 8 * MOST_RESUMED * weights + SMALL)
    size = _size_of_target(source, record, law)
    numbers = resume.numbers if resume else 0
    _weigh(source, RunCost(record.dim, record.config.network, weights, size, len(record.history), numbers))
    return TrainedModel(
        flow_map=_make_flow_map(source, record, model),
        target=_make_target(source, record, law),
        config=record.config,
        steps=record.steps,
        seconds=record.seconds,
        preparation=record.preparation,
        spikes=record.spikes,
        status=record.status,
        device=record.device,
        history=record.history,
        resume_state=resume.tensors() if resume else {},
    )


def _weights_of(record: RunRecord) -> int:
    return count_weights(record.dim, record.config.network)


def _require_count(source: _Source, record: RunRecord, model: "_Tensors", weights: int) -> None:
    if model.numbers != weights:  # before a network of that size is made
        path = source.path(record.model_file)
        raise BadRun(f"{path} holds {model.numbers:,} weights, but {RUN_FILE} says {weights:,}.")


def _weigh(source: _Source, cost: RunCost) -> None:
    try:
        source.limits.check(cost)
    except ValueError as problem:
        raise BadRun(str(problem)) from None


def _make_flow_map(source: _Source, record: RunRecord, model: "_Tensors") -> FlowMap:
    flow_map = FlowMap(record.dim, record.config.network, generator=torch.Generator())
    weights = model.tensors()
    _require_same_shapes(weights, dict(flow_map.state_dict()), RUN_FILE, source.path(record.model_file))
    flow_map.load_state_dict(weights)
    return flow_map.requires_grad_(requires_grad=False)


def _read_record(source: _Source) -> RunRecord:
    path, limits = source.path(RUN_FILE), source.limits
    try:
        content = source.read(RUN_FILE, min(LARGEST_JSON, limits.largest))
        lists, values = limits.reports + SMALL, 5 * limits.reports + SMALL  # a report is a list of three numbers
        bounds = {"most_values": values, "most_lists": lists, "most_words": SMALL}
        raw = parse_json(content, largest=LARGEST_JSON, deepest=DEEPEST, **bounds)
        if isinstance(raw, dict):
            _require_few(raw, path, limits.reports)
        return RunRecord.model_validate(raw)
    except FileNotFoundError:
        raise BadRun(f"There is no run in {source.where}: it has no {RUN_FILE}.") from None
    except OSError as error:
        raise BadRun(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise BadRun(f"{path} is not a run of this lab: {_first_problem(error)}.") from None
    except BadJSON as problem:
        raise BadRun(f"{path} {problem}.") from None


def _require_few(raw: Mapping[str, Any], path: str, reports: int) -> None:
    """Few values beside its lists of reports: each that does not fit its field would be described at length."""
    for name in LONG_LISTS:
        if isinstance(raw.get(name), list) and len(raw[name]) > reports:
            raise BadRun(f"{path}: its {name} has more than {reports:,} reports.")
    count, waiting = 0, [{name: value for name, value in raw.items() if name not in LONG_LISTS}]
    while waiting:
        part = waiting.pop()
        count += len(part)
        if count > SMALL:
            raise BadRun(f"{path} holds more than {SMALL:,} values beside its history.")
        inner = part.values() if isinstance(part, dict) else part
        waiting += [value for value in inner if isinstance(value, dict | list)]


@dataclass(frozen=True)
class _Tensors:
    """A tensor file that was read and not made into tensors yet."""

    path: str
    content: bytes
    shapes: Shapes

    @property
    def numbers(self) -> int:
        return sum(map(math.prod, self.shapes.values()))

    def tensors(self) -> dict[str, Tensor]:
        try:
            tensors = load_tensors(self.content)
        except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError):
            raise BadRun(f"{self.path} is not a safetensors file.") from None
        _require_numbers(tensors, self.path)
        return tensors


def _read_tensors(source: _Source, name: str, most: int = LARGEST_TENSORS) -> _Tensors:
    path = source.path(name)
    try:
        content = source.read(name, min(most, source.limits.largest))
    except OSError as error:
        raise BadRun(f"{path}, named by {RUN_FILE}, cannot be read: {error.strerror}.") from None
    if hashlib.sha256(content).hexdigest()[:16] not in name:
        raise BadRun(f"{path} is damaged: its content does not match the hash in its name.")
    try:
        return _Tensors(path, content, tensor_shapes(content))
    except BadTensors as problem:
        raise BadRun(f"{path} {problem}.") from None


def _require_numbers(tensors: Mapping[str, Tensor], path: str) -> None:
    """Weights, a target and the state of an optimiser are finite numbers, single or double."""
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float64):
            raise BadRun(f"{path}: {name} is {_dtype(tensor)}; the numbers of a run are float32 or float64.")
        if not bool(torch.isfinite(tensor).all()):
            raise BadRun(f"{path}: {name} holds numbers that are not finite.")


def _require_same_shapes(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], says: str, path: str) -> None:
    if set(tensors) != set(wanted):
        raise BadRun(f"{path} does not hold the weights that {says} describes.")
    for name, tensor in wanted.items():
        if tensors[name].shape != tensor.shape or tensors[name].dtype != tensor.dtype:
            here, there = (f"{_dtype(x)} of shape {tuple(x.shape)}" for x in (tensors[name], tensor))
            raise BadRun(f"{path}: {name} is {here}, but {says} says {there}.")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _size_of_target(source: _Source, record: RunRecord, law: _Tensors | None) -> Size | None:
    """How large the target is; of another dimension than the map it is refused here."""
    path = source.path(RUN_FILE)
    if record.gallery is None and law is None:
        return None
    try:
        if record.gallery is not None:
            size = GALLERY[record.gallery.name].size(**record.gallery.parameters)
        else:
            assert law is not None
            size = size_of_law(law.shapes, table=record.table is not None)
    except BadTensors as problem:
        raise BadRun(f"{source.path(record.target_file or '')} {problem}.") from None
    except (TypeError, ValueError) as error:
        raise BadRun(f"The target that {path} describes cannot be made: {_in_a_line(str(error))}") from None
    if size.dim != record.dim:
        raise BadRun(f"{path} says d = {record.dim}, but its target has d = {size.dim}.")
    return size


def _make_target(source: _Source, record: RunRecord, law: _Tensors | None) -> Target | None:
    try:
        if record.gallery is not None:
            return make_target(record.gallery.name, **record.gallery.parameters)
        if law is None:
            return None
        tensors = law.tensors()
        if record.table is None:
            return GaussianMixture.from_state(tensors)
        return TableTarget.from_state(tensors, record.table.model_dump())
    except (TypeError, LookupError, ValueError, RuntimeError, ArithmeticError, AttributeError) as error:
        if isinstance(error, BadRun):
            raise
        words = _in_a_line(str(error)) or type(error).__name__
        path = source.path(RUN_FILE)
        raise BadRun(f"The target that {path} describes cannot be made: {words}") from None


def _first_problem(error: ValidationError) -> str:
    """The first thing that does not fit a record: its field, and what is wrong with it."""
    first = error.errors()[0]
    field = _in_a_line(".".join(map(str, first["loc"])), 100) or "the file"
    return f"{field}: {_in_a_line(first['msg'].removeprefix('Value error, ')).rstrip('.')}"


def _in_a_line(text: str, most: int = 300) -> str:
    """What a file, or an error about it, says, fit for a sentence."""
    return " ".join(text.split())[:most]
