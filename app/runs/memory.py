"""Bytes of the runs that sessions have in memory: each run counts from when a session takes it until nobody has it."""

import threading
import weakref
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from app.hosting.limits import limits
from cmcore.model import TrainedModel

_lock = threading.RLock()  # what is collected while it is held lets its bytes go in the same thread
_counted: dict[int, int] = {}
_total = 0


def count(model: TrainedModel) -> int:
    """Count a run, once for as long as it is there; its bytes."""
    global _total  # noqa: PLW0603  one count for the process
    with _lock:
        if id(model) not in _counted:
            _counted[id(model)] = size = bytes_of(model)
            _total += size
            weakref.finalize(model, _let_go, id(model)).atexit = False
        return _counted[id(model)]


def _let_go(key: int) -> None:
    global _total  # noqa: PLW0603
    with _lock:
        _total -= _counted.pop(key)


def total() -> int:
    """Bytes of all runs of all sessions."""
    return _total


def is_full() -> bool:
    """Whether no more runs are taken in."""
    return _total >= limits().runs_of_all << 20


def bytes_of(model: TrainedModel) -> int:
    """Bytes of the numbers of a run: of its map, of its target, and of what its training goes on with."""
    return _tensor_bytes([dict(model.flow_map.state_dict()), dict(model.resume_state), model.target], set())


def _tensor_bytes(value: Any, seen: set[int]) -> int:
    """Bytes of all tensors that a value refers to, each once."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, list | tuple):
        parts = list(value)
    elif isinstance(value, nn.Module) or type(value).__module__.startswith("cmcore."):
        parts = list(getattr(value, "__dict__", {}).values())
    else:
        return 0
    return sum(_tensor_bytes(part, seen) for part in parts)
