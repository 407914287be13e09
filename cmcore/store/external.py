"""A result from elsewhere: samples of a model by its number of steps, KLs as they were reported, and their origin.

One zip holds `external.json` and the safetensors files it names. Like a run it is data alone, and nothing in it is
believed before it is checked. What is measured of the samples is measured here; what was reported stays somebody's
word, and is never shown as anything else.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from cmcore.archive import BadArchive, pack, unpack
from cmcore.config import TargetConfig
from cmcore.costs import LARGEST_HEAD
from cmcore.divergences.estimate import MODEL_DATA, Direction, Estimate
from cmcore.divergences.own_law import kl_of_samples, read_samples
from cmcore.files import read_plain, write_atomically
from cmcore.json_input import BadJSON, parse_json
from cmcore.measure import Curve
from cmcore.store.reading import ReadLimits, Source, make_stored_target, read_tensors, size_of_stored_target
from cmcore.store.record import LARGEST_TENSORS, BadRun, SavedTable, wrong_field
from cmcore.store.writing import add_tensors, target_state
from cmcore.targets import GaussianMixture, Size, TableTarget, Target

EXTERNAL_FILE = "external.json"
POINTS_FILE = r"points-[0-9a-f]{16}\.safetensors"
TARGET_FILE = r"target-[0-9a-f]{16}\.safetensors"
LARGEST_RECORD, MOST_VALUES = 1 << 18, 1 << 12
MOST_SETS, MOST_REPORTED = 16, 64
MOST_NUMBERS = 1 << 22
"""Of all samples of a result together."""
MOST_STEPS = 100_000

Words = Annotated[str, Field(max_length=300)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]


class ReportedPoint(BaseModel):
    """A KL as somebody reported it, in nats, with as much as they said of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Steps
    value: Number
    low: Number
    high: Number
    direction: Literal["KL(model‖data)", "KL(data‖model)"]
    estimator: Words = ""
    n: int = Field(0, ge=0, le=1 << 40)
    floor: float = Field(0.0, ge=0, allow_inf_nan=False)


class Origin(BaseModel):
    """Where a result comes from, in the words of whoever saved it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Words = ""
    source: Words = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    notes: Words = ""


class ExternalRecord(BaseModel):
    """The content of external.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    name: str = Field(min_length=1, max_length=60)
    dim: int = Field(ge=1, le=1_000)
    delta: float = Field(ge=0, le=20, allow_inf_nan=False)
    origin: Origin = Origin()
    reported: tuple[ReportedPoint, ...] = Field((), max_length=MOST_REPORTED)
    steps: tuple[Steps, ...] = Field((), max_length=MOST_SETS)
    points_file: str | None = Field(None, pattern=f"^{POINTS_FILE}$")
    gallery: TargetConfig | None = None
    table: SavedTable | None = None
    target_file: str | None = Field(None, pattern=f"^{TARGET_FILE}$")


@dataclass(frozen=True)
class ExternalResult:
    """A result from elsewhere.

    Attributes:
        name: of the method or model, for people.
        target: what its samples are meant to be of.
        delta: δ, the noise at which its samples are compared with the target.
        points: samples [n, d] by the number of network calls that each took.
        reported: KLs that were not measured here.
        origin: where it comes from.
    """

    name: str
    target: Target
    delta: float
    points: Mapping[int, Tensor]
    reported: tuple[ReportedPoint, ...] = ()
    origin: Origin = field(default_factory=Origin)

    def kl(self, steps: int, *, seed: int, direction: Direction = MODEL_DATA) -> Estimate:
        """The KL of its samples, measured here by nearest neighbours; :func:`cmcore.kl` says what that can tell."""
        if steps not in self.points:
            raise ValueError(f"{self.name} has no samples at N = {steps}.")
        return kl_of_samples(self.points[steps], self.target, seed=seed, delta=self.delta, direction=direction)


# ---- writing ----------------------------------------------------------------------------------------------------
def save_external(
    place: str | os.PathLike[str],
    *,
    name: str,
    target: Target,
    points: Mapping[int, Any] | None = None,
    curve: Curve | None = None,
    delta: float = 0.0,
    method: str = "",
    source: str = "",
    seed: int | None = None,
    notes: str = "",
) -> Path:
    """Write a result from elsewhere to one zip, which Runs takes in and KL and Explore show beside the lab's own.

    Args:
        place: the file, ending in .zip.
        name: of the method, as the charts call it.
        target: of the gallery, a table, or a Gaussian mixture.
        points: samples [n, d] by number of network calls: tensors, arrays, or files of them.
        curve: KLs that were measured elsewhere, along "steps"; they are shown as reported, not as measured.
        delta: δ, the noise at which samples and KLs are compared with the target.
        method, source, seed, notes: where it comes from; the source is an address or a paper.

    Raises:
        ValueError: in a sentence, what :func:`load_external` would refuse; nothing is written then.
    """
    place = Path(place)
    if place.suffix != ".zip":
        raise ValueError(f"A result from elsewhere is one file that ends in .zip; got {place.name}.")
    if target.config is None and not isinstance(target, TableTarget | GaussianMixture):
        raise ValueError(
            f"{target.name} cannot be written: use a target of the gallery, a table or a Gaussian mixture."
        )
    tensors, table = target_state(target)
    sets = {int(steps): read_samples(samples) for steps, samples in (points or {}).items()}
    files: dict[str, bytes] = {}
    try:
        _require_points(sets, target.dim)
        record = ExternalRecord(
            format=1,
            name=name,
            dim=target.dim,
            delta=delta,
            origin=Origin(method=method, source=source, seed=seed, notes=notes),
            reported=() if curve is None else _reported(curve, delta),
            steps=tuple(sets),
            points_file=add_tensors(files, "points", {str(k): v for k, v in sets.items()}) if sets else None,
            gallery=target.config,
            table=None if table is None else SavedTable.model_validate(table),
            target_file=add_tensors(files, "target", tensors) if tensors else None,
        )
    except ValidationError as error:
        raise ValueError(f"This result cannot be saved: {wrong_field(error)}.") from None
    files[EXTERNAL_FILE] = (record.model_dump_json(indent=1) + "\n").encode()
    content = pack(files)
    try:
        external_from_zip(content)
    except BadRun as problem:
        raise ValueError(f"This result cannot be saved: {problem}") from None
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, content)
    return place


def _reported(curve: Curve, delta: float) -> tuple[ReportedPoint, ...]:
    """The points of a curve that are trusted as numbers."""
    if curve.axis != "steps" or any(estimate.delta != delta for estimate in curve.estimates):
        raise ValueError(f"A curve of reported KLs lies along steps, at δ = {delta:g}.")
    return tuple(
        ReportedPoint(
            steps=int(at), value=e.value, low=e.low, high=e.high, direction=e.direction, estimator=e.estimator, n=e.n,
            floor=e.floor,
        )
        for at, e in zip(curve.values, curve.estimates, strict=True)
        if e.trusted
    )  # fmt: skip


# ---- reading ----------------------------------------------------------------------------------------------------
def load_external(place: str | os.PathLike[str]) -> ExternalResult:
    """Read what :func:`save_external` wrote. Raises :class:`BadRun` with one sentence on what is wrong."""
    try:
        return external_from_zip(read_plain(Path(place), LARGEST_TENSORS))
    except OSError as error:
        raise BadRun(f"{place} cannot be read: {error.strerror}.") from None


def is_external(content: bytes) -> bool:
    """Whether a zip says that it holds a result from elsewhere."""
    try:
        return EXTERNAL_FILE in unpack(content, largest=lambda _: LARGEST_TENSORS)
    except BadArchive:
        return False


def external_from_zip(
    content: bytes,
    *,
    largest: int = LARGEST_TENSORS,
    check: Callable[[Size, int], None] = lambda size, numbers: None,
) -> ExternalResult:
    """Read a result from the bytes of a zip.

    Args:
        content: the zip.
        largest: bytes that any file of it may unfold to.
        check: refuses, by ValueError in a sentence, a target of this size or so many numbers, before they are made.
    """
    try:
        files = unpack(content, largest=lambda name: _largest(name, largest))
    except BadArchive as problem:
        raise BadRun(str(problem)) from None

    def read(name: str, most: int) -> bytes:
        if name not in files:
            raise FileNotFoundError(2, "it is not in the zip")
        if files.size(name) > most:
            raise BadRun(f"{name} in the zip is too large.")
        try:
            return files[name]
        except BadArchive as problem:
            raise BadRun(str(problem)) from None

    source = Source("the zip", read, str, ReadLimits(largest=largest), EXTERNAL_FILE)
    record = _read_record(source)
    if other := sorted(set(files) - {EXTERNAL_FILE, record.points_file, record.target_file}):
        raise BadRun(f"The zip holds {other[0]}, which its {EXTERNAL_FILE} does not name.")
    return _assemble(source, record, check)


def _largest(name: str, largest: int) -> int:
    if name == EXTERNAL_FILE:
        return min(largest, LARGEST_RECORD)
    return largest if re.fullmatch(f"{POINTS_FILE}|{TARGET_FILE}", name) else 0


def _read_record(source: Source) -> ExternalRecord:
    try:
        content = source.read(EXTERNAL_FILE, LARGEST_RECORD)
        return ExternalRecord.model_validate(
            parse_json(content, largest=LARGEST_RECORD, most_values=MOST_VALUES, deepest=8), strict=False
        )
    except FileNotFoundError:
        raise BadRun(f"There is no result in the zip: it has no {EXTERNAL_FILE}.") from None
    except ValidationError as error:
        raise BadRun(f"{EXTERNAL_FILE} is not a result for this lab: {wrong_field(error)}.") from None
    except BadJSON as problem:
        raise BadRun(f"{EXTERNAL_FILE} {problem}.") from None


def _assemble(source: Source, record: ExternalRecord, check: Callable[[Size, int], None]) -> ExternalResult:
    """What costs something is made last, once the whole has been weighed."""
    law = read_tensors(source, record.target_file) if record.target_file and not record.gallery else None
    size = size_of_stored_target(source, record, law)
    if size is None:
        raise BadRun("The result does not carry its target, so there is no truth to compare it with.")
    stored = read_tensors(source, record.points_file, LARGEST_HEAD + 8 * MOST_NUMBERS) if record.points_file else None
    numbers = stored.numbers if stored else 0
    try:
        check(size, numbers)
    except ValueError as problem:
        raise BadRun(str(problem)) from None
    tensors = stored.tensors() if stored else {}
    if set(tensors) != {str(steps) for steps in record.steps} or len(set(record.steps)) < len(record.steps):
        raise BadRun(f"{EXTERNAL_FILE} names other numbers of steps than there are samples for.")
    points = {steps: tensors[str(steps)].double() for steps in record.steps}
    try:
        _require_points(points, record.dim)
    except ValueError as problem:
        raise BadRun(str(problem)) from None
    if not points and not record.reported:
        raise BadRun("The result holds neither samples nor reported KLs.")
    target = make_stored_target(source, record, law)
    assert target is not None
    return ExternalResult(record.name, target, record.delta, points, record.reported, record.origin)


def _require_points(sets: Mapping[int, Tensor], dim: int) -> None:
    if len(sets) > MOST_SETS:
        raise ValueError(f"A result holds samples at up to {MOST_SETS} numbers of steps; these are {len(sets)}.")
    for steps, points in sets.items():
        if not 1 <= steps <= MOST_STEPS:
            raise ValueError(f"Samples take from 1 to {MOST_STEPS:,} network calls; got {steps}.")
        if points.ndim != 2 or points.shape[1] != dim or len(points) < 2:
            raise ValueError(f"Samples at N = {steps} are [n, {dim}]; these are {list(points.shape)}.")
        if not bool(torch.isfinite(points).all()):
            raise ValueError(f"Some of the samples at N = {steps} are not finite.")
    if sum(points.numel() for points in sets.values()) > MOST_NUMBERS:
        raise ValueError(f"A result holds up to {MOST_NUMBERS:,} numbers; keep fewer samples.")
