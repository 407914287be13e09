"""What an experiment is: a config that states a question, and a frozen result with lines, fits and their reading."""

from abc import abstractmethod
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from cmcore.config import Config, Seed
from cmcore.json_input import BadJSON, parse_json
from cmcore.registry import Registry
from cmcore.spreadsheet import as_csv
from cmcore.threads import piecewise

LARGEST, MOST_VALUES = 16 << 20, 1 << 19
"""Of a saved result: bytes, and values."""

Role = Literal["model", "exact", "baseline", "bound", "floor"]
"""What a line is, and with that its colour everywhere."""


class Progress(NamedTuple):
    """How far an experiment is: the share done, between 0 and 1, and what is being done now."""

    share: float
    words: str


class _FrozenValue(BaseModel):
    """A frozen value that survives JSON, infinities included."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Axis(_FrozenValue):
    """A named axis with its unit."""

    label: str
    log: bool = False


class Panel(_FrozenValue):
    """One pair of axes. Where it shows a KL, its title or axis names the one direction it shows."""

    name: str
    x: Axis
    y: Axis
    title: str = ""


class Series(_FrozenValue):
    """One line of points with 95 % intervals.

    Attributes:
        label: for people.
        role: what it is.
        panel: the name of the panel it belongs to.
        x, y: the points.
        low, high: ends of the 95 % intervals; empty where y is exact to the digits shown.
        how: how each number was measured, for hover and table: estimator, direction, n, floor.
        floor: the smallest y that can be told from zero; 0 where it is below every digit shown.
    """

    label: str
    role: Role
    panel: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    how: str = ""
    floor: float = 0.0


class Fit(_FrozenValue):
    """A straight line fitted to one series where its local slope has settled.

    Attributes:
        label: which slope of which series, in words.
        slope, low, high: the slope and its 95 % interval.
        expected: what theory says; None where it says nothing.
        over: the first and last x of the fit.
        note: what else to know, such as which growth fits best.
    """

    label: str
    slope: float
    low: float
    high: float
    expected: float | None = None
    over: tuple[float, float]
    note: str = ""


class Result(_FrozenValue):
    """The result of an experiment: lines on panels, fits, and what they say in words.

    Attributes:
        experiment: the registered name.
        config: every choice that made it, the seed included; `EXPERIMENTS[experiment](**config).run()` makes it again.
        panels, series, fits: the picture.
        reading: one paragraph on what is seen, its numbers taken from the result itself.
        facts: other numbers worth keeping, by name.
        seconds: wall time on the machine that made it.
    """

    experiment: str
    config: dict[str, Any]
    panels: tuple[Panel, ...]
    series: tuple[Series, ...]
    fits: tuple[Fit, ...] = ()
    reading: str
    facts: dict[str, float] = Field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> str:
        """Strict JSON; :meth:`from_json` brings it back unchanged."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Result":
        """The result that `to_json` wrote; anything else raises ValueError."""
        try:
            return cls.model_validate(parse_json(text, largest=LARGEST, most_values=MOST_VALUES))
        except BadJSON as broken:
            raise ValueError(f"This is not a result saved by this project: it {broken}.") from None

    def to_csv(self) -> str:
        """A tidy table: a row for each point."""
        rows = (
            (line.panel, line.label, line.role, *point, line.floor, line.how)
            for line in self.series
            for point in zip(line.x, line.y, line.low or line.y, line.high or line.y, strict=True)
        )
        return as_csv(("panel", "series", "role", "x", "y", "low", "high", "floor", "how"), rows)


class Experiment(Config):
    """A question: its fields are everything one can steer, its defaults the shipped answer.

    A subclass registers under its name, says what it asks and what theory expects, and measures. Numbers that were not
    measured, or that no bound covers, are never in a result.
    """

    code: ClassVar[str]
    """E1 … E15."""
    label: ClassVar[str]
    question: ClassVar[str]
    expects: ClassVar[str]
    """What theory says, and whose theory it is: the paper's abstract, or derived in this project."""

    seed: Seed = Field(0, description="of all noise")

    @abstractmethod
    def measure(self) -> Generator[Progress, None, Result]:
        """Measure part by part; the generator's return value is the result."""

    @piecewise()
    def run(self, progress: Callable[[Progress], None] | None = None) -> Result:
        """The result, after telling `progress` of each part."""
        parts = self.measure()
        while True:
            try:
                part = next(parts)
            except StopIteration as done:
                return done.value
            if progress is not None:
                progress(part)


EXPERIMENTS: Registry[type[Experiment]] = Registry("experiment")
"""Every question, by name."""
