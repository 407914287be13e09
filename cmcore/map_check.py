r"""Whether a map from elsewhere is one that can be drawn from and measured: asked a few times, before anything long.

A map f(x, t, s) takes points [n, d] at time t to time s ≤ t, each by itself and always alike, in torch, with
f(x, t, t) = x. Drawing needs its answers alone; a KL needs their derivative in x too, and twice the digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cmcore.chain import JumpMap, Stage, jump_map_of, like_map
from cmcore.flow import ExactFlow
from cmcore.model import FlowMap
from cmcore.streams import normal, stream

_POINTS = 16
_ALIKE = 1e-4
"""Relative difference that is put down to rounding: of a float32 network 1e-6."""
_SLOPE = 1e-2
"""Relative difference of a derivative from a difference quotient."""


@dataclass(frozen=True)
class MapReport:
    """What :func:`check_map` learned of a map.

    Attributes:
        problems: why it can be neither drawn from nor measured, in sentences; empty for a sound map.
        notes: what else to know of it, in sentences.
        dtype, device: where it is asked: those of a module's weights, else float64 on the CPU.
        uses_end: whether the answer depends on s; None where that could not be asked.
        stays: whether f(x, t, t) = x; None where that could not be asked.
        no_derivative: why the KL of a deterministic sampler, which needs its derivative in x, cannot be had; may be
            empty.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    dtype: torch.dtype
    device: torch.device
    uses_end: bool | None = None
    stays: bool | None = None
    no_derivative: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against drawing from it and measuring it in every way."""
        return not self.problems and not self.no_derivative

    def __str__(self) -> str:
        head = f"Asked in {str(self.dtype).removeprefix('torch.')} on {self.device}."
        end = "Nothing speaks against it." if self.sound else self.no_derivative
        return "\n".join(line for line in (head, *self.problems, *self.notes, end) if line)


def check_map(f: Any, dim: int, *, horizon: float = 3.0, delta: float = 0.0) -> MapReport:
    """Ask a map a few times, and say what keeps it from being drawn from and measured.

    Looked at are the dtype, the kind, the shape and the finiteness of the answer, its derivative in x, whether it is
    the same when asked twice and when asked for fewer points, f(x, t, t) = x, and whether s matters.

    Args:
        f: a map (x, t, s) → x_s, points [n, d] and times as numbers; or a trained model.
        dim: d.
        horizon, delta: T and δ, between which it is asked.
    """
    f = jump_map_of(f)
    dtype, device = like_map(f)
    points = normal(_POINTS, dim, generator=stream(0, "map check")).to(device, dtype)
    middle = delta + (horizon - delta) / 2
    problems, notes = list[str](), list[str]()
    try:
        end, repeated, part = (_answer(f, x, horizon, delta) for x in (points, points, points[: _POINTS // 2]))
        inner, same = _answer(f, points, horizon, middle), _answer(f, points, horizon, horizon)
    except ValueError as wrong:
        return MapReport((str(wrong),), (), dtype, device)
    if not torch.equal(end, repeated):
        problems.append(
            "It answers otherwise when asked again: put it in evaluation mode, or fix the noise that it draws."
        )
    elif _apart(end[: len(part)], part) > _ALIKE:
        problems.append(
            "What it does to a point depends on the points beside it (normalisation over the batch, say): evaluation "
            "mode may help."
        )
    no_derivative = "" if problems else _of_derivative(f, points, horizon, delta)
    uses_end, stays = _apart(end, inner) > 1e-6, _apart(same, points) <= _ALIKE
    if not stays:
        notes.append("f(x, t, t) differs from x, so it is no flow map of two times: jumps of no length move points.")
    if not uses_end:
        notes.append(f"It lands at the same place for s = {delta:g} and s = {middle:g}: s does not matter to it.")
    if dtype == torch.float64 and torch.equal(_answer(f, points.float().double(), horizon, delta), end):
        notes.append("It computes in float32 inside, so about seven digits of its answers are right.")
    return MapReport(tuple(problems), tuple(notes), dtype, device, uses_end, stays, no_derivative)


def require_map(f: Any, dim: int, stages: Sequence[Stage], *, derivative: bool = True) -> None:
    """Raise ValueError, in one sentence, where a map cannot be measured along these stages.

    Args:
        f: a map or a trained model; the lab's own maps are asked for their dimension alone.
        dim: d of the target.
        stages: what the sampler does.
        derivative: whether one in x is needed.
    """
    f = jump_map_of(f)
    if getattr(f, "dim", dim) != dim:
        raise ValueError(f"The map has d = {f.dim}, the target d = {dim}.")  # pyright: ignore[reportFunctionMemberAccess]
    if isinstance(f, FlowMap | ExactFlow):
        return
    report = check_map(f, dim, horizon=stages[0].t, delta=stages[-1].s)
    problems = (*report.problems, *([report.no_derivative] if derivative and report.no_derivative else []))
    if problems:
        raise ValueError(f"This map cannot be measured. {problems[0]}")
    if report.uses_end is False and not report.stays and len({stage.s for stage in stages}) > 1:
        raise ValueError(
            "This map cannot be measured at these times. It lands at the same place whatever s it is asked for, and "
            "f(x, t, t) is not x: a map to data alone makes one jump, or is renoised from there with renoise=1.0."
        )


def guarded(f: JumpMap) -> JumpMap:
    """The map, with a clear sentence where an answer is none; the lab's own maps as they are."""
    if isinstance(f, FlowMap | ExactFlow):
        return f
    return lambda x, t, s: _answer(f, x, t, s)


def _answer(f: JumpMap, x: Tensor, t: Any, s: Any) -> Tensor:
    """f(x, t, s) without a tape, or ValueError where it raises, is no tensor like x, or is not finite."""
    before = x.clone()
    with torch.no_grad():
        try:
            y = f(x, t, s)
        except (RuntimeError, TypeError, AttributeError, IndexError, AssertionError) as wrong:
            raise ValueError(_raised(wrong, x)) from wrong
    if not isinstance(y, Tensor):
        what = "a numpy array" if isinstance(y, np.ndarray) else f"a {type(y).__name__}"
        raise ValueError(f"It answers with {what} where a torch tensor is needed: return torch.as_tensor(answer).")
    if y.shape != x.shape:
        raise ValueError(f"It answers {tuple(x.shape)} points with shape {tuple(y.shape)}; the shape must be the same.")
    if not y.is_floating_point() or y.device != x.device:
        raise ValueError(f"It answers in {y.dtype} on {y.device}; points come in {x.dtype} on {x.device}.")
    if not torch.equal(x, before):
        raise ValueError("It changes the points it is given: let it work on a copy, x.clone().")
    if not bool(y.isfinite().all()):
        bad = int((~y.isfinite()).any(-1).sum())
        at = f" from t = {t:g} to s = {s:g}" if isinstance(t, float) and isinstance(s, float) else ""
        raise ValueError(f"Its answer to {bad} of {len(x)} points{at} is not finite.")
    return y


def _raised(wrong: Exception, x: Tensor) -> str:
    said = _first_line(wrong)
    hint = ""
    if "dtype" in said or "Double" in said or "Float" in said:
        kind = str(x.dtype).removeprefix("torch.")
        hint = f" Points come in {kind}: pass the torch module itself, or convert, f(x.float(), t, s).to(x)."
    return f"Asked for f(x, t, s) with x of shape {tuple(x.shape)} and times as numbers, it raises: {said}.{hint}"


def _first_line(wrong: Exception) -> str:
    lines = str(wrong).strip().splitlines()
    return lines[0][:160] if lines else type(wrong).__name__


def _of_derivative(f: JumpMap, points: Tensor, t: float, s: float) -> str:
    """What is wrong with the derivative in x, in a sentence; empty where difference quotients agree with it."""
    along, against = normal(2 * len(points), points.shape[1], generator=stream(1, "map check")).to(points).chunk(2)
    with torch.enable_grad():
        x = points.clone().requires_grad_()
        try:
            y = f(x, t, s)
            gradient = torch.autograd.grad((against * y).sum(), x)[0]
        except (RuntimeError, TypeError, AttributeError) as wrong:
            return (
                "It has no derivative in x, which the KL of a deterministic sampler needs: leave out no_grad, detach "
                f"and numpy, or measure its samples with compare_samples. ({_first_line(wrong)})"
            )
    step = 1e-3 if points.dtype == torch.float64 else 1e-2
    quotient = (_answer(f, points + step * along, t, s) - _answer(f, points - step * along, t, s)) / (2 * step)
    mine, theirs = (gradient * along).sum(1), (against * quotient).sum(1)
    close = (mine - theirs).abs() <= _SLOPE * (1 + mine.abs() + theirs.abs())
    if float(close.double().mean()) < 0.5:  # kinks, and float32 inside, spoil some
        return "Its derivative in x is not that of its answers: a part of it is detached from the tape."
    return ""


def _apart(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the size of the answers."""
    return float((a - b).abs().max()) / max(1.0, float(a.abs().max())) if a.numel() else math.nan
