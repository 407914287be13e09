"""A training run in a link: what was learned and how, in a few hundred characters, without its weights; more for a
drawing.

The code is the compact JSON of what differs from the defaults, compressed, in the base64 alphabet of addresses. It
comes from strangers: its length and that of what it unfolds to are bounded, it is read as JSON, and it holds what the
configs allow and no more.
"""

import base64
import binascii
import json
import zlib
from typing import Any

from pydantic import ValidationError

from app.hosting.limits import limits
from cmcore.config import TargetConfig, TrainingConfig, first_problem
from cmcore.json_input import BadJSON, parse_json
from cmcore.objectives import OBJECTIVES
from cmcore.targets import GALLERY
from cmcore.training_defaults import resolved

LONGEST = 6_144
"""Characters of a code, and of the codes of one link together. The longest drawing, 4,096 characters that compression
leaves as they are, fits with the rest of its training; proxies cut off addresses of more than 8,192."""
UNFOLDED, MOST_VALUES = 65_536, 4_096
"""Bytes of JSON that a code may unfold to, and values in it."""
MACHINE = {"device", "threads", "matmul_dtype", "products"}
"""What the machine decides and another machine decides anew; products is what links of before call matmul_dtype."""


def write_config(target: TargetConfig, config: TrainingConfig) -> str | None:
    """The code of a run; None where it is too long for a link."""
    training = config.model_dump(mode="json", exclude_defaults=True, exclude=MACHINE)
    if config.steps is not None:
        training.pop("seconds", None)
    content = {"target": target.model_dump(mode="json", exclude_defaults=True), "training": training}
    packed = zlib.compress(json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(), 9)
    code = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return code if len(code) <= LONGEST else None


def read_config(code: str) -> tuple[TargetConfig, TrainingConfig]:
    """The target and the training of a code; a ValueError says what is wrong with it."""
    content = _unfold(code)
    if set(content) - {"target", "training"} or not all(isinstance(part, dict) for part in content.values()):
        raise ValueError("its training is no target and training")
    training = {name: value for name, value in content.get("training", {}).items() if name not in MACHINE}
    try:
        target = TargetConfig.model_validate(content.get("target", {}))
        config = TrainingConfig.model_validate(training)
    except (ValidationError, TypeError) as problem:
        raise ValueError(f"its training does not fit: {_first(problem)}") from None
    if config.objective not in OBJECTIVES:
        raise ValueError(f"its training asks for the objective “{config.objective}”, which is not known here")
    try:
        toy = GALLERY[target.name]
        limits().check_target(toy.size(**target.parameters))
        resolved(config, toy)
    except (ValueError, TypeError) as problem:
        raise ValueError(f"its training does not fit: {_first(problem)}") from None
    return target, config


def _unfold(code: str) -> dict[str, Any]:
    if len(code) > LONGEST:
        raise ValueError(f"its training is longer than {LONGEST:,} characters")
    try:
        packed = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
        reader = zlib.decompressobj()
        text = reader.decompress(packed, UNFOLDED)
        content = parse_json(text, largest=UNFOLDED, most_values=MOST_VALUES) if reader.eof else None
    except BadJSON as problem:
        raise ValueError(f"its training cannot be read: it {problem}") from None
    except (binascii.Error, zlib.error, ValueError):
        content = None
    if not isinstance(content, dict):
        raise ValueError("its training cannot be read: the link may have been cut off")
    return content


def _first(problem: Exception) -> str:
    field, words = first_problem(problem)
    return f"{field}: {words}"[:200] if field else words[:200]
