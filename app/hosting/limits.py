"""What one visitor may ask of this server. At home only what keeps a page usable; hosted for strangers, much less.

`CONSISTENCY_LAB_HOSTED=1` in the environment switches to the limits of a shared server. `CONSISTENCY_LAB_LIMITS`
changes single ones as JSON: `{"trainings": 2, "budget": 30}`. The controls offer only what is allowed, and what was
chosen is checked once more before it is computed, since links and tables choose too.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cmcore.config import NetworkConfig, TrainingConfig, first_problem
from cmcore.costs import RunCost
from cmcore.json_input import BadJSON, parse_json
from cmcore.targets import Size, Target

SWITCH, CHANGES = "CONSISTENCY_LAB_HOSTED", "CONSISTENCY_LAB_LIMITS"

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


def spare_cores() -> int:
    """One training run for each core, less one core for the server."""
    return max(1, (os.cpu_count() or 2) - 1)


class OverLimit(ValueError):
    """More than this server computes for one visitor; the message says how much it does."""


class Limits(BaseModel):
    """What one visitor, and all of them together, may ask for.

    Attributes:
        hosted: whether strangers share this server.
        trainings: training runs at once.
        waiting: training runs that may wait for their turn.
        budget: the longest budget of a training run, in seconds.
        longest: after this many seconds a training run is ended, whatever it is doing; None: never.
        steps: the most steps of a training run.
        width, depth: of the network.
        threads: of a training run; 0: as many as are worth it.
        dim: the most dimensions of a target.
        components: the most terms of a target's density.
        numbers: the most numbers that make up a target.
        particles: the most particles on the stage.
        upload: the largest file, in megabytes.
        trajectories, levels: of the pool that a training run learns from; they decide its memory.
        solver_steps: of a teacher, in each step of a training run.
        group: particles that an objective compares with one another, each with all of them.
        answer: after this many seconds a measurement or an experiment is ended; None: never.
        effort: how far a question of the page Scaling may go in what costs time and memory, as a multiple, from 1,
            of the answer that the lab ships with; None: as far as the question itself allows.
        tables: fitted tables kept in memory for everybody.
        runs: trained runs that a session keeps; the oldest goes first.
        runs_of_one, runs_of_all: megabytes of these in memory, of a session and of all sessions together.
        reports: entries of the history of a run from a file; a training makes one every 50 steps.
        pages: open pages, tabs of all visitors together.
        messages: of one page, a second; it may send those of six quiet seconds at once, and waits beyond that.
        compared: training runs that one press begins, one after the other.
        results: results from elsewhere that a visitor has.
        samples: numbers in the samples of such a result.
        files: uploaded files that a page holds.
        files_of_one, files_of_all: megabytes of these, of a page and of all pages together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hosted: bool = False
    trainings: Count = Field(default_factory=spare_cores)
    waiting: Count = 16
    budget: Seconds = 300.0
    longest: Seconds | None = None
    steps: Count = 100_000
    width: Count = 1024
    depth: Count = 16
    threads: Annotated[int, Field(ge=0)] = 0
    dim: Annotated[int, Field(ge=2)] = 64
    components: Count = 4_096
    numbers: Count = 1 << 22
    particles: Count = 10_000
    upload: Count = 5
    trajectories: Count = 60_000
    levels: Annotated[int, Field(ge=2)] = 129
    solver_steps: Count = 64
    group: Annotated[int, Field(ge=2)] = 128
    answer: Seconds | None = None
    effort: Annotated[float, Field(ge=1)] | None = None
    tables: Count = 16
    runs: Count = 1_000
    runs_of_one: Count = 2_048
    runs_of_all: Count = 8_192
    reports: Count = 60_000
    pages: Count = 200
    messages: Annotated[float, Field(gt=0)] = 10.0
    compared: Count = 48
    results: Count = 32
    samples: Count = 1 << 22
    files: Count = 12
    files_of_one: Count = 24
    files_of_all: Count = 256

    @property
    def of_objective(self) -> Mapping[str, tuple[int, str]]:
        """The most of each parameter of an objective that decides what a training costs, and what that counts."""
        return {
            "trajectories": (self.trajectories, "trajectories"),
            "levels": (self.levels, "levels of a trajectory"),
            "teacher_steps": (self.steps, "steps of the teacher's training"),
            "solver_steps": (self.solver_steps, "steps of the teacher's solver"),
            "particles": (self.group, "particles in a group"),
        }

    def check(self, config: TrainingConfig, target: Target) -> None:
        """Refuse a training run that is more than this server computes."""
        self._refuse(config.seconds or 0, self.budget, "seconds of training")
        self._refuse(config.steps or 0, self.steps, "steps")
        for name, (most, what) in self.of_objective.items():
            self._refuse(config.objective_parameters.get(name) or 0, most, what)
        self.check_size(config.network, target.dim)

    def check_result(self, size: Size, numbers: int) -> None:
        """Refuse a result from elsewhere that is more than this server holds, before it is made."""
        self.check_target(size)
        self._refuse(numbers, self.samples, "numbers in the samples of a result")

    def check_compared(self, runs: int) -> None:
        """Refuse to begin more trainings at once than this server lets one visitor."""
        self._refuse(runs, self.compared, "training runs of one comparison")

    def check_size(self, network: NetworkConfig, dim: int) -> None:
        """Refuse a map that is larger than this server computes with, trained here or brought in."""
        self._refuse(network.width, self.width, "units in a layer")
        self._refuse(network.depth, self.depth, "layers")
        self._refuse(dim, self.dim, "dimensions")

    def check_run(self, cost: RunCost) -> None:
        """Refuse a run from a file that is more than the pages can show, before anything of it is made."""
        self.check_size(cost.network, cost.dim)
        if cost.target is not None:
            self.check_target(cost.target)

    def check_target(self, size: Size) -> None:
        """Refuse a target that is larger than this server computes with, before it is made."""
        self._refuse(size.dim, self.dim, "dimensions")
        self._refuse(size.components, self.components, "components of a target")
        self._refuse(size.numbers, self.numbers, "numbers in a target")

    @staticmethod
    def _refuse(asked: float, most: float, what: str) -> None:
        if asked > most:
            raise OverLimit(f"This server computes up to {most:,g} {what}, and {asked:,g} were asked for.")


HOSTED = {
    "hosted": True,
    "waiting": 30,
    "budget": 60.0,
    "longest": 120.0,
    "steps": 20_000,
    "width": 96,
    "depth": 6,
    "threads": 1,
    "dim": 8,
    "numbers": 1 << 19,
    "particles": 5_000,
    "trajectories": 40_000,
    "levels": 65,
    "answer": 300.0,
    "effort": 1.0,
    "tables": 4,
    "runs": 8,
    "runs_of_one": 64,
    "runs_of_all": 512,
    "reports": 20_000,
    "compared": 6,
    "results": 4,
    "samples": 1 << 18,
}


def limits() -> Limits:
    """The limits of this server, as its environment says. ValueError on an environment that says nothing sensible."""
    return _limits(os.environ.get(SWITCH, ""), os.environ.get(CHANGES, ""))


@lru_cache(maxsize=8)
def _limits(switch: str, changes: str) -> Limits:
    hosted = {"": False, "0": False, "1": True}.get(switch)
    if hosted is None:
        raise ValueError(f"{SWITCH} is 1 or 0; got {switch[:20]!r}.")
    try:
        changed = parse_json(changes or "{}", largest=10_000, most_values=1_000)
        if not isinstance(changed, dict):
            raise ValueError(f"{CHANGES} is a JSON object of limits; got {changes[:40]!r}.")
        return Limits.model_validate({**(HOSTED if hosted else {}), **changed})
    except BadJSON as problem:
        raise ValueError(f"{CHANGES} {problem}: {changes[:40]!r}.") from None
    except ValidationError as error:
        raise ValueError(f"{CHANGES}: {': '.join(first_problem(error))}.") from None


def in_words() -> str:
    """The caps on a training run in a sentence; empty where strangers do not share the server."""
    now = limits()
    if not now.hosted:
        return ""
    at_once = "one run trains" if now.trainings == 1 else f"{now.trainings} runs train"
    return (
        f"This lab is shared: {at_once} at a time, for up to {_duration(now.budget)} or {now.steps:,} steps, in up to "
        f"{now.dim} dimensions. On your own machine there are no such limits."
    )


def _duration(seconds: float) -> str:
    return f"{seconds:g} seconds" if seconds < 60 else "a minute" if seconds == 60 else f"{seconds / 60:g} minutes"
