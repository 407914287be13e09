"""Writing a run: a folder or a zip, replaced in one step; what would not be read back is not written."""

import contextlib
import hashlib
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import save as save_tensors
from torch import Tensor

from cmcore.archive import pack
from cmcore.files import read_plain, sync_folder, taking_turns, write_atomically
from cmcore.model import FlowMap, TrainedModel
from cmcore.store.record import (
    LARGEST_JSON,
    RUN_FILE,
    TENSOR_FILE,
    BadRun,
    RunRecord,
    SavedTable,
    require_numbers,
    require_same_shapes,
    wrong_field,
)
from cmcore.targets import GaussianMixture, Target
from cmcore.targets.tables import TableTarget

UNFINISHED = rf"\.(?:run\.json|{TENSOR_FILE})\.[0-9a-f]{{32}}"
"""What a writer that was killed left of its files."""


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
        named = set(re.findall(TENSOR_FILE, read_plain(folder / RUN_FILE, LARGEST_JSON).decode()))
    except FileNotFoundError:
        named = set()
    except (OSError, ValueError):
        return
    for name in os.listdir(folder):  # noqa: PTH208  names alone
        if re.fullmatch(UNFINISHED, name) or (re.fullmatch(TENSOR_FILE, name) and name not in named):
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
    target_tensors, table = target_state(model.target)
    tensors = {
        "model": dict(model.flow_map.state_dict()),
        "target": target_tensors,
        "resume": dict(model.resume_state) if resumable else {},
        "film": model.film.tensors(),
    }
    files: dict[str, bytes] = {}
    try:
        fresh = FlowMap(model.dim, model.config.network, generator=torch.Generator())
        require_same_shapes(tensors["model"], dict(fresh.state_dict()), "its config", "model")
        for kind, content in tensors.items():
            require_numbers(content, kind)
        names = {f"{kind}_file": add_tensors(files, kind, content) for kind, content in tensors.items() if content}
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
        raise ValueError(f"This run cannot be saved: {wrong_field(error)}.") from None
    except BadRun as problem:
        raise ValueError(f"This run cannot be saved: {problem}") from None
    return {**files, RUN_FILE: content}


def add_tensors(files: dict[str, bytes], kind: str, tensors: dict[str, Tensor]) -> str:
    """Add a tensor file, named by its kind and the hash of its content; the name."""
    content = save_tensors({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})
    name = f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    files[name] = content
    return name


def target_state(target: Target | None) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
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
