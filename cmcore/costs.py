"""How large an input from outside is, from its text and file headers alone, before anything is built of it.

A door (a link, a zip, a folder of a run) parses what it was given, asks here what that would come to, and compares it
with its limits; only then something is made. Of a target of the gallery its entry there says its size
(:meth:`~cmcore.targets.Toy.size`), of a network :func:`~cmcore.model.count_weights`, of tensors the head of their file.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cmcore.config import NetworkConfig
from cmcore.json_input import BadJSON, parse_json
from cmcore.targets import Size

LARGEST_HEAD, MOST_TENSORS = 1 << 17, 512
"""Of a tensor file: bytes before its numbers, and tensors."""
_BYTES = {"F32": 4, "F64": 8}
_WORDS = {"F16": "float16", "BF16": "bfloat16", "BOOL": "bool", "I": "int", "U": "uint", "F": "float"}
_LAW = {"weights": 1, "means": 2, "variances": 2, "axes": 3}
_TABLE = {"train": 2, "held_out": 2, "centre": 1, "directions": 2, "projection": 2}
"""Tensors of a target's file, and how many axes each has; those of a table's law are named law.…"""

Shapes = Mapping[str, tuple[int, ...]]


class BadTensors(ValueError):
    """Bytes that are no tensors of this lab; the message continues a sentence that begins with the file's name."""


@dataclass(frozen=True)
class RunCost:
    """How large a stored run is once it is read.

    Attributes:
        dim: d.
        network: the form of its map.
        weights: numbers of its map.
        target: the size of its target; None where it carries none.
        reports: entries of its history.
        resume: numbers of what its training goes on with.
    """

    dim: int
    network: NetworkConfig
    weights: int
    target: Size | None
    reports: int
    resume: int

    @property
    def bytes(self) -> int:
        """Of it in memory: weights as float32, a target as float64, and three numbers a report."""
        return 4 * (self.weights + self.resume) + (self.target.bytes if self.target else 0) + 200 * self.reports


def tensor_shapes(content: bytes) -> Shapes:
    """The shapes of the tensors in a safetensors file, by name, from its head.

    Raises:
        BadTensors: the head does not fit the file, or it holds other numbers than float32 and float64.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise BadTensors("is not a safetensors file")
    if length > LARGEST_HEAD:
        raise BadTensors(f"has a head of more than {LARGEST_HEAD >> 10} kB")
    try:
        head = parse_json(content[8 : 8 + length], largest=LARGEST_HEAD, most_values=16 * MOST_TENSORS, deepest=3)
    except BadJSON as problem:
        raise BadTensors(f"is not a safetensors file: its head {problem}") from None
    if not isinstance(head, dict):
        raise BadTensors("is not a safetensors file")
    head.pop("__metadata__", None)
    if len(head) > MOST_TENSORS:
        raise BadTensors(f"holds more than {MOST_TENSORS} tensors")
    room = len(content) - 8 - length
    return {name: _shape(name, entry, room) for name, entry in head.items()}


def _shape(name: str, entry: Any, room: int) -> tuple[int, ...]:
    """The shape that an entry of the head tells, if it is that of its bytes."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(start), int(end)], **rest} if not rest:
            if dtype not in _BYTES:
                kind = _WORDS.get(dtype) or f"{_WORDS.get(dtype[:1], '')}{dtype[1:]}"[:20]
                raise BadTensors(f"holds {name[:60]!a}, which is {kind}; the numbers of a run are float32 or float64")
            sound = len(shape) <= 8 and all(type(side) is int and 0 <= side <= room for side in shape)
            if sound and 0 <= start <= end <= room and end - start == math.prod(shape) * _BYTES[dtype]:
                return tuple(shape)
    raise BadTensors(f"is not a safetensors file: {name[:60]!a} is not as long as its shape says")


def size_of_law(shapes: Shapes, *, table: bool) -> Size:
    """The size of the Gaussian mixture, or of the smoothed table, that these tensors describe.

    Raises:
        BadTensors: a tensor that no target has, or of another number of axes.
    """
    axes = {**_TABLE, **{f"law.{name}": count for name, count in _LAW.items()}} if table else _LAW
    for name, shape in shapes.items():
        if name not in axes or len(shape) != axes[name]:
            raise BadTensors(f"holds {name[:60]!a} of shape {list(shape)[:4]}, which no such target has")
    means = shapes.get("law.means" if table else "means")
    if means is None:
        raise BadTensors("holds no target: its means are missing")
    return Size(means[1], means[0], sum(map(math.prod, shapes.values())))


Check = Callable[[RunCost], None]
"""Compares a cost with limits; ValueError says in a sentence what is too much."""
