"""One binary message for a canvas: a JSON header, then typed arrays.

Layout, little-endian: uint32 length of the header; the header in ASCII, padded with spaces to a multiple of 4; the
arrays one after another, each padded to 4 bytes. The header's `arrays` maps a name to [dtype, offset, shape], the
offset counted from the first array. A uint8 array of at most four different values takes two bits a value, and its
entry is ["bits", offset, shape, values]. `message.js` reads it all back. Compared with JSON this is ten times smaller
and needs no parsing, so that a change of N is on screen within a frame or two.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

POSITION_RANGE = 12_000
"""Positions are sent as 16-bit integers. The picture's edge is at ± this: finer than a pixel, with room beyond."""

_DTYPES = {"int16": "<i2", "uint8": "|u1", "float32": "<f4"}


def quantise(positions: np.ndarray, extent: float) -> np.ndarray:
    """Positions as int16 in units of extent / POSITION_RANGE; what lies beyond the integer range is pinned to it."""
    scaled = np.nan_to_num(np.asarray(positions, dtype=np.float64) * (POSITION_RANGE / extent))
    return np.clip(np.rint(scaled), -32_767, 32_767).astype(np.int16)


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The message of `header` (JSON values) and `arrays` (int16, uint8 or float32)."""
    index: dict[str, list[Any]] = {}
    parts: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        dtype = array.dtype.name
        if dtype not in _DTYPES:
            raise ValueError(f"{name} is {dtype}; a canvas message carries int16, uint8 or float32.")
        values = np.unique(array) if dtype == "uint8" else np.empty(0)
        if 0 < len(values) <= 4:
            data = _two_bits(np.searchsorted(values, array))
            index[name] = ["bits", offset, list(array.shape), values.tolist()]
        else:
            data = np.ascontiguousarray(array, dtype=_DTYPES[dtype]).tobytes()
            index[name] = [dtype, offset, list(array.shape)]
        data += b"\0" * (-len(data) % 4)
        parts.append(data)
        offset += len(data)
    text = json.dumps({**header, "arrays": index}, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([len(text).to_bytes(4, "little"), text, *parts])


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and arrays of a message: what `message.js` does, for tests."""
    length = int.from_bytes(message[:4], "little")
    header = json.loads(message[4 : 4 + length])
    body = message[4 + length :]
    arrays = {name: _read(body, *entry) for name, entry in header.pop("arrays").items()}
    return header, arrays


def _two_bits(places: np.ndarray) -> bytes:
    """Whole numbers 0 … 3, four to a byte, the first in the lowest bits."""
    flat = places.astype(np.uint8).ravel()
    quarters = np.pad(flat, (0, -len(flat) % 4)).reshape(-1, 4)
    return (quarters << np.array([0, 2, 4, 6], np.uint8)).sum(axis=1, dtype=np.uint8).tobytes()


def _read(body: bytes, dtype: str, offset: int, shape: list[int], values: list[int] | None = None) -> np.ndarray:
    count = int(np.prod(shape))
    if values is None:
        return np.frombuffer(body, _DTYPES[dtype], count=count, offset=offset).reshape(shape)
    packed = np.frombuffer(body, np.uint8, count=-(-count // 4), offset=offset)
    places = (packed[:, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
    return np.array(values, np.uint8)[places.ravel()[:count]].reshape(shape)
