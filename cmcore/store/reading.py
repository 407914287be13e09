"""Reading a run: nothing is believed before it is checked, and nothing large is made before it is weighed."""

import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from cmcore.archive import BadArchive, unpack
from cmcore.config import TargetConfig
from cmcore.costs import LARGEST_HEAD, BadTensors, Check, RunCost, Shapes, size_of_law, tensor_shapes
from cmcore.files import BadFile, read_plain
from cmcore.film import LARGEST as LARGEST_FILM
from cmcore.film import Film, film_of
from cmcore.json_input import BadJSON, parse_json
from cmcore.model import FlowMap, TrainedModel, count_weights
from cmcore.store.record import (
    LARGEST_JSON,
    LARGEST_TENSORS,
    MOST_REPORTS,
    RUN_FILE,
    TENSOR_FILE,
    BadRun,
    RunRecord,
    SavedTable,
    in_a_line,
    require_numbers,
    require_same_shapes,
    wrong_field,
)
from cmcore.targets import GALLERY, GaussianMixture, Size, Target, make_target
from cmcore.targets.tables import TableTarget

SMALL, DEEPEST = 10_000, 8
"""Values of run.json beside its history, and numbers of a state beside those that go with the weights; depth."""
LONG_LISTS = ("history", "spikes")
MOST_RESUMED = 8
"""How many times the weights, at most, there are numbers from which a training goes on."""
READINGS = 100
"""How often a run is read anew while others are saved to its folder."""

Unpacked = TypeVar("Unpacked")


@dataclass(frozen=True)
class ReadLimits:
    """Limits on what is read of a run.

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


@runtime_checkable
class TargetRecord(Protocol):
    """What a record says of its target."""

    dim: int
    gallery: TargetConfig | None
    table: SavedTable | None
    target_file: str | None


@dataclass(frozen=True)
class Source:
    """Where the files of a run are read from.

    Attributes:
        where: what people call the place.
        read: the content of a file of at most so many bytes; raises OSError, or BadRun where it is larger.
        path: what people call a file there.
        limits: how much of it is read.
        record: the file that names the others.
    """

    where: str
    read: Callable[[str, int], bytes]
    path: Callable[[str], str]
    limits: ReadLimits
    record: str = RUN_FILE


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
    source = Source(str(place), read, lambda name: str(place / name), limits)
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
        return limits.largest if re.fullmatch(TENSOR_FILE, name) else 0

    files = _of_archive(lambda: unpack(content, largest=largest))

    def read(name: str, most: int) -> bytes:
        if name not in files:
            raise FileNotFoundError(2, "it is not in the zip")
        if files.size(name) > most:
            raise BadRun(f"{name} in the zip is larger than {RUN_FILE} says.")
        return _of_archive(lambda: files[name])

    source = Source("the zip", read, str, limits)
    record = _read_record(source)
    named = {RUN_FILE, record.model_file, record.target_file, record.resume_file, record.film_file}
    if other := sorted(set(files) - named):
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


def _assemble(source: Source, record: RunRecord | None = None) -> TrainedModel:
    """What costs something is made last, once the whole has been weighed."""
    record = record or _read_record(source)
    weights = _weights_of(record)
    model = read_tensors(source, record.model_file, LARGEST_HEAD + 8 * weights)
    _require_count(source, record, model, weights)
    law = read_tensors(source, record.target_file) if record.target_file and not record.gallery else None
    resume = None
    if record.resume_file and source.limits.resumable:
        resume = read_tensors(source, record.resume_file, LARGEST_HEAD + 8 * MOST_RESUMED * weights + SMALL)
    size = size_of_stored_target(source, record, law)
    numbers = resume.numbers if resume else 0
    _weigh(source, RunCost(record.dim, record.config.network, weights, size, len(record.history), numbers))
    return TrainedModel(
        flow_map=_make_flow_map(source, record, model),
        target=make_stored_target(source, record, law),
        config=record.config,
        steps=record.steps,
        seconds=record.seconds,
        preparation=record.preparation,
        spikes=record.spikes,
        status=record.status,
        device=record.device,
        history=record.history,
        resume_state=resume.tensors() if resume else {},
        film=_read_film(source, record),
    )


def _read_film(source: Source, record: RunRecord) -> Film:
    """The film of the training; none of a run that was saved before there were films."""
    if record.film_file is None:
        return Film()
    saved = read_tensors(source, record.film_file, LARGEST_HEAD + LARGEST_FILM + SMALL)
    try:
        return film_of(saved.tensors(), record.dim, record.steps)
    except BadRun:
        raise
    except ValueError as problem:
        raise BadRun(f"{saved.path} {problem}.") from None


def _weights_of(record: RunRecord) -> int:
    return count_weights(record.dim, record.config.network)


def _require_count(source: Source, record: RunRecord, model: "Tensors", weights: int) -> None:
    if model.numbers != weights:  # before a network of that size is made
        path = source.path(record.model_file)
        raise BadRun(f"{path} holds {model.numbers:,} weights, but {RUN_FILE} says {weights:,}.")


def _weigh(source: Source, cost: RunCost) -> None:
    try:
        source.limits.check(cost)
    except ValueError as problem:
        raise BadRun(str(problem)) from None


def _make_flow_map(source: Source, record: RunRecord, model: "Tensors") -> FlowMap:
    flow_map = FlowMap(record.dim, record.config.network, generator=torch.Generator())
    weights = model.tensors()
    require_same_shapes(weights, dict(flow_map.state_dict()), RUN_FILE, source.path(record.model_file))
    flow_map.load_state_dict(weights)
    return flow_map.requires_grad_(requires_grad=False)


def _read_record(source: Source) -> RunRecord:
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
        raise BadRun(f"{path} is not a run of this lab: {wrong_field(error)}.") from None
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
class Tensors:
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
        require_numbers(tensors, self.path)
        return tensors


def read_tensors(source: Source, name: str, most: int = LARGEST_TENSORS) -> Tensors:
    """A tensor file that the record names, checked against the hash in its name and not unfolded yet."""
    path = source.path(name)
    try:
        content = source.read(name, min(most, source.limits.largest))
    except OSError as error:
        raise BadRun(f"{path}, named by {source.record}, cannot be read: {error.strerror}.") from None
    if hashlib.sha256(content).hexdigest()[:16] not in name:
        raise BadRun(f"{path} is damaged: its content does not match the hash in its name.")
    try:
        return Tensors(path, content, tensor_shapes(content))
    except BadTensors as problem:
        raise BadRun(f"{path} {problem}.") from None


def size_of_stored_target(source: Source, record: TargetRecord, law: Tensors | None) -> Size | None:
    """How large the target is; of another dimension than the map it is refused here."""
    path = source.path(source.record)
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
        raise BadRun(f"The target that {path} describes cannot be made: {in_a_line(str(error))}") from None
    if size.dim != record.dim:
        raise BadRun(f"{path} says d = {record.dim}, but its target has d = {size.dim}.")
    return size


def make_stored_target(source: Source, record: TargetRecord, law: Tensors | None) -> Target | None:
    """The target that a record describes; None where it carries none."""
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
        words = in_a_line(str(error)) or type(error).__name__
        path = source.path(source.record)
        raise BadRun(f"The target that {path} describes cannot be made: {words}") from None
