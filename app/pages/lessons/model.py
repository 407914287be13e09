"""Lessons as data: what a lesson, its figures, its numbers and its questions are. `lesson_file.py` reads them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from cmcore.config import USUAL_GRID
from cmcore.divergences.estimate import Direction

Short = Annotated[str, Field(min_length=1, max_length=160)]
Sentence = Annotated[str, Field(min_length=1, max_length=900)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Jumps = Literal[1, 2, 4, 8, 16]
Layer = Literal["density", "exact", "jumps", "error", "velocity", "mesh", "folds", "model", "ratio"]


class LessonPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# ---- figures --------------------------------------------------------------------------------------------------------
class StageFigure(LessonPart):
    """Particles on the stage: of a run, or of a map that needs no learning.

    Attributes:
        run: a shipped run, or one of the failure gallery.
        target: in place of a run, a target of the gallery that `map` moves noise to.
        map: "exact" is the exact flow Φ, "ddim" a single DDIM step with the exact score.
        steps, sampler, eta, grid, delta, seed: the draw; η is a share of t, of "algorithm_1" one of the step; δ None is
            the run's own, or 0.02 with fresh noise.
        layers: what is drawn; None leaves the stage's own choice.
        card: whether the KL stands under the stage.
    """

    show: Literal["stage"]
    run: Name | None = None
    target: Name | None = None
    map: Literal["learned", "exact", "ddim"] = "learned"
    steps: Jumps = 4
    sampler: Literal["deterministic", "renoise", "algorithm_1"] = "deterministic"
    eta: float = Field(0.5, ge=0.05, le=1.0)
    grid: Name = USUAL_GRID
    delta: float | None = Field(None, ge=0, le=1.0)
    seed: int = Field(0, ge=0, lt=2**31)
    layers: tuple[Layer, ...] | None = Field(None, max_length=9)
    card: bool = False

    @model_validator(mode="after")
    def _one_map(self) -> "StageFigure":
        if (self.run is None) == (self.target is None):
            raise ValueError("a stage shows either a run, or a target with map: exact or ddim")
        if (self.map == "learned") == (self.run is None):
            raise ValueError("map: exact and map: ddim need a target, a learned map needs a run")
        if self.card and self.run is None:
            raise ValueError("card: true needs a run")
        return self


class CurveFigure(LessonPart):
    """KL against network calls, of a run beside DDIM and Heun with the exact score."""

    show: Literal["curve"]
    run: Name
    steps: Jumps = 4
    sampler: Literal["deterministic", "renoise"] = "deterministic"
    direction: Direction = "KL(model‖data)"
    delta: float | None = Field(None, ge=0, le=1.0)


class AnswerFigure(LessonPart):
    """Panels of a shipped answer; `steer` offers one field of its experiment, to be measured anew."""

    show: Literal["answer"]
    answer: Name
    panels: Annotated[tuple[Short, ...], Field(min_length=1, max_length=4)]
    steer: Name | None = None


AnyFigure = StageFigure | CurveFigure | AnswerFigure
Figure = Annotated[AnyFigure, Field(discriminator="show")]


# ---- numbers --------------------------------------------------------------------------------------------------------
class _Number(LessonPart):
    digits: int = Field(2, ge=1, le=6)
    form: Literal["number", "percent", "words"] = "number"


class LineValue(_Number):
    """A value of a line of a shipped answer, at one x or at its first or last."""

    answer: Name
    panel: Short
    line: Short
    at: float | Literal["first", "last"]
    part: Literal["x", "y", "low", "high"] = "y"


class SlopeValue(_Number):
    """A slope of a shipped answer."""

    answer: Name
    fit: Short
    part: Literal["slope", "low", "high", "expected"] = "slope"


class Fact(_Number):
    """A fact of a shipped answer."""

    answer: Name
    fact: Short


class AnswerSetting(_Number):
    """A choice that made a shipped answer."""

    answer: Name
    setting: Name


class CurvePoint(_Number):
    """An estimate of the curves that a run ships with, or one of its diagnostics."""

    run: Name
    calls: int = Field(ge=1, le=64)
    sampler: Name = "deterministic"
    direction: Direction = "KL(model‖data)"
    delta: float | None = Field(None, ge=0, le=1.0)
    part: Name = "value"


class Stopping(_Number):
    """KL(p₀‖p_δ) of a run's target."""

    run: Name
    stopping: float = Field(gt=0, le=1.0)


class TrainingFact(_Number):
    """What training took: seconds, steps, the weights of the network, the last loss."""

    run: Name
    about: Literal["seconds", "steps", "weights", "loss"]


class Ratio(_Number):
    """One number over another."""

    over: tuple[Name, Name]


NUMBER_KINDS = ("fit", "fact", "setting", "line", "calls", "stopping", "about", "over")


def _kind(value: Any) -> str | None:
    given = value if isinstance(value, Mapping) else getattr(value, "model_fields_set", ())
    return next((kind for kind in NUMBER_KINDS if kind in given), None)


Number = Annotated[
    Annotated[SlopeValue, Tag("fit")]
    | Annotated[Fact, Tag("fact")]
    | Annotated[AnswerSetting, Tag("setting")]
    | Annotated[LineValue, Tag("line")]
    | Annotated[CurvePoint, Tag("calls")]
    | Annotated[Stopping, Tag("stopping")]
    | Annotated[TrainingFact, Tag("about")]
    | Annotated[Ratio, Tag("over")],
    Discriminator(
        _kind,
        custom_error_type="number",
        custom_error_message=f"a number says where it comes from, by one of {', '.join(NUMBER_KINDS)}",
    ),
]


class TestedClaim(LessonPart):
    """What the words of the lesson rest on: `less` is below `than` times `times`. The tests hold every claim."""

    less: Name | float
    than: Name | float
    times: float = Field(1.0, gt=0)


# ---- a lesson -------------------------------------------------------------------------------------------------------
class Prediction(LessonPart):
    """Predict first: one of the choices is right, and the `reveal` figure shows it."""

    ask: Sentence
    choices: Annotated[tuple[Short, ...], Field(min_length=2, max_length=5)]
    right: int = Field(description="1 for the first choice")
    why: Sentence

    @model_validator(mode="after")
    def _one_right(self) -> "Prediction":
        if not 1 <= self.right <= len(self.choices):
            raise ValueError(f"right is the number of a choice, 1 to {len(self.choices)}; got {shortened(self.right)}")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("two choices are the same")
        return self


class Link(LessonPart):
    """Where a step sends a reader to try it: a page and the parameters of its link."""

    page: Literal["explore", "train", "kl", "scaling"]
    link: dict[Annotated[str, Field(max_length=40)], str | int | float] = Field(default_factory=dict, max_length=16)


class Head(LessonPart):
    """The head of a file."""

    title: Short
    summary: Short
    minutes: int = Field(ge=1, le=15)
    picture: Figure | None = None
    numbers: dict[Name, Number] = Field(default_factory=dict, max_length=80)
    claims: tuple[TestedClaim, ...] = Field((), max_length=80)


@dataclass(frozen=True)
class Step:
    """One screen of a lesson; `line` is where it begins in the file."""

    title: str
    text: str
    line: int
    figure: AnyFigure | None = None
    question: Prediction | None = None
    reveal: AnyFigure | None = None
    onward: Link | None = None


@dataclass(frozen=True)
class Lesson:
    """A validated lesson; `slug` names it in links."""

    slug: str
    file: str
    title: str
    summary: str
    minutes: int
    steps: tuple[Step, ...]
    picture: AnyFigure
    numbers: Mapping[str, Any]
    claims: tuple[TestedClaim, ...]

    @property
    def number(self) -> str:
        """What its file's name begins with, "3" of 3-some-words.md; empty where that is no number."""
        first, dash, _ = self.file.partition("-")
        return first if dash and first.isascii() and first.isdigit() else ""

    @property
    def numbered(self) -> str:
        """Lesson 3, or just Lesson."""
        return f"Lesson {self.number}".strip()


def figures_of(step: Step) -> Iterator[AnyFigure]:
    """The figures of a step, before and after the answer is revealed."""
    yield from (figure for figure in (step.figure, step.reveal) if figure is not None)
