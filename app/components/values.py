"""What a component of the page sent, checked: under any name a browser may send anything.

`sent` gives a value of the shape that its component promises, or None. What has another shape is ignored, with one
short line in the log.
"""

import json
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from streamlit.components.v2.bidi_component import serialization

from cmcore.json_input import BadJSON, parse_json

LONGEST, MOST_VALUES, DEEPEST = 1 << 18, 1 << 16, 8
"""Of all that one component holds: bytes, three times those of the largest drawing; values, and how deep they lie."""
_log = logging.getLogger(__name__)
Shape = TypeVar("Shape")


# ---- shapes -----------------------------------------------------------------------------------------------------
class _Message(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


_Number = Annotated[float, Field(ge=-1e6, le=1e6)]
_Point = Annotated[list[_Number], Field(min_length=2, max_length=2)]
_Count = Annotated[int, Field(ge=0, lt=1 << 53)]
_Whole = Annotated[int, Field(ge=-(10**6), le=10**6)]


class StagedStart(_Message):
    """A start of one's own put on the stage, or taken from it."""

    at: _Point | None = None


class StagedTimes(_Message):
    """Times that were moved for one N, or given back to the named grid."""

    steps: _Count
    times: Annotated[list[_Number], Field(max_length=256)] | None = None


class StagedChoice(_Message):
    """N and the sampler that are on the stage, after one of them was chosen there."""

    steps: _Count
    sampler: Annotated[str, Field(max_length=40)] | None = None


class StagedLayers(_Message):
    """The layers of what the map does to space are wanted."""

    wanted: bool


class PinnedPoint(_Message):
    """A point of the flow picture, t and x, pinned or let go."""

    at: _Point | None = None


class _Line(_Message):
    width: _Whole
    points: list[Annotated[list[_Whole], Field(min_length=2, max_length=2)]]


class Sketch(_Message):
    """The lines on the sheet; how many there may be is for the drawing to say."""

    strokes: list[_Line]
    release: _Count


SeenSteps = TypeAdapter(
    Annotated[
        dict[Annotated[str, Field(max_length=60)], Annotated[list[_Count], Field(max_length=64)]], Field(max_length=256)
    ],
    config=ConfigDict(strict=True),
)
"""Steps of lessons that were seen, by lesson."""

Step = TypeAdapter(_Count, config=ConfigDict(strict=True))
"""N on a picture, or the number of a lesson's step."""


# ---- reading ----------------------------------------------------------------------------------------------------
def sent(values: object, name: str, shape: type[Shape] | TypeAdapter[Shape]) -> Shape | None:
    """The value `name` among those of a component; None where there is none, or one of another shape."""
    value = values.get(name) if isinstance(values, Mapping) else None
    if value is None:
        return None
    try:
        return (shape if isinstance(shape, TypeAdapter) else TypeAdapter(shape)).validate_python(value)
    except ValidationError:
        _ignored(name)
        return None


def _ignored(name: str) -> None:
    _log.warning("a component sent a value of the wrong shape, which is ignored: %s", name)


def _read(text: str | bytes) -> Any:
    """All that a component holds, from its JSON; None where that is too long, too deep or none."""
    try:
        return parse_json(text, largest=LONGEST, most_values=MOST_VALUES, deepest=DEEPEST)
    except BadJSON as problem:
        return _ignored(f"all of it {problem}")


# Streamlit reads the JSON before any of its callers sees it, and writes a traceback of what it cannot read.
serialization.json = SimpleNamespace(  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
    loads=_read, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError
)
