"""When a training run ends: after a number of steps, or of seconds, which the pace it keeps turns into steps."""

from collections.abc import Callable

from cmcore.config import MOST_STEPS, EarlierPlan, TrainingConfig
from cmcore.schedule import stage_start

SecondsNow = Callable[[], float]
"""A clock, in seconds."""

REPORT = 50
"""Steps between events, and between checks that the run is sound."""
WATCHED = 0.1
"""Share of a budget in seconds over which the pace is measured before it is turned into steps."""
MISSED, LEEWAY = 0.02, 0.05
"""A budget may be missed by this share of it, and of what is left of it by this one, before the run is planned anew."""
SPACED = 0.1
"""Share of what is left that passes between two plans: so few of them fill a budget that some are left for its end."""
MARKED = 0.005
"""Share of the budget after which the pace is looked at, also between two reports of a slow machine."""
MOST_PLANS = 48
"""Plans of one run under one budget."""


class RunTimer:
    """Seconds that a run has spent on what is made before its first step, and in training.

    Args:
        clock: whoever lets a run wait stops it meanwhile.
    """

    def __init__(self, clock: SecondsNow) -> None:
        self._clock = clock
        self._since, self._training = clock(), False
        self._spent = {False: 0.0, True: 0.0}

    @property
    def preparation(self) -> float:
        """Seconds spent on what is made before the first step."""
        return self._of(training=False)

    @property
    def training(self) -> float:
        """Seconds spent in training, from the first step on; a teacher's too."""
        return self._of(training=True)

    @property
    def in_training(self) -> bool:
        """Whether what passes now is training."""
        return self._training

    def count_as(self, *, training: bool) -> None:
        """What passes from now on is training, or preparation."""
        self._spent[self._training] = self._of(training=self._training)
        self._since, self._training = self._clock(), training

    def resume(self, *, preparation: float, training: float) -> None:
        """Go on from what was spent in earlier sessions."""
        self._spent = {False: preparation, True: training}

    def _of(self, *, training: bool) -> float:
        return self._spent[training] + (self._clock() - self._since if training == self._training else 0.0)


class Budget:
    """How many steps a run has, once that is settled.

    Args:
        steps: the number, if it is given.
        replans: whether a number that came of seconds may change with the pace; a teacher, whose plans no config keeps,
            ends where it was to end.

    Attributes:
        steps: the step to end at; None until the pace has been seen.
    """

    def __init__(self, steps: int | None, *, replans: bool) -> None:
        self.steps, self._replans = steps, replans
        self._marks: list[tuple[int, float]] = []
        self._began = self._next_plan = 0.0

    def begin(self, step: int, seconds: float) -> None:
        """The first step is about to be made."""
        self._began, self._marks = seconds, [(step, seconds)]

    def after(self, config: TrainingConfig, step: int, seconds: float) -> TrainingConfig:
        """The config once `step` steps are made in so many seconds: with the plan that the pace has come to ask for.

        The plan stands in the config, so that the run can be repeated; a config that says so already is followed.
        """
        if step % REPORT == 0 or step == self.steps or self._due(config, step, seconds):
            self._marks = [*self._marks[-20:], (step, seconds)]
            config = self._replanned(config, step, seconds)
        return config if self.steps is not None else self._planned(config, step, seconds)

    def _due(self, config: TrainingConfig, step: int, seconds: float) -> bool:
        """Whether the pace is looked at between two reports: steps are slow, or half of those that were left are done.

        A stall looks like the pace of the machine while it lasts; the run is not to end by it.
        """
        if config.seconds is None:
            return False
        last, then = self._marks[-1]
        halved = self.steps is not None and 2 * (self.steps - step) <= self.steps - last
        return halved or seconds - then > MARKED * (config.seconds - self._began)

    def _planned(self, config: TrainingConfig, step: int, seconds: float) -> TrainingConfig:
        """Turn seconds into steps, from the pace over the first tenth of them, or the warm-up if longer.

        Until then the rates do not fall.
        """
        whole = config.seconds or 0.0
        age = step - stage_start(config)
        soon = age < max(config.warmup, 2 * REPORT) or seconds - self._began < WATCHED * (whole - self._began)
        if whole > seconds and (step < config.hold if config.hold else soon):
            return config
        self.steps = self._affordable(config, step, seconds, self._pace(config, step, seconds, WATCHED))
        return config.model_copy(update={"hold": step})

    def _replanned(self, config: TrainingConfig, step: int, seconds: float) -> TrainingConfig:
        """Where the pace has changed, end elsewhere; the plan that held so far is kept in the config."""
        if config.steps is not None or self.steps is None or step >= self.steps or not self._replans:
            return config
        whole = config.seconds or 0.0
        # A run that was planned to end too early has ended; one that was planned to end too late is planned anew. So of
        # the paces over the last tenth of the budget and since it was looked at last the better one counts.
        pace, left = (
            max(self._pace(config, step, seconds, share) for share in (WATCHED, 0.0)),
            max(0.0, whole - seconds),
        )
        wanted = self._affordable(config, step, seconds, pace)
        missed = abs(wanted - self.steps) / pace
        too_soon = seconds < self._next_plan and (self.steps - step) / pace > SPACED * left
        plans = sum(plan.until >= stage_start(config) for plan in config.earlier)
        leeway = MISSED * (whole - self._began) + LEEWAY * left
        if missed <= leeway or too_soon or plans >= MOST_PLANS:
            return config
        self._next_plan = seconds + SPACED * left
        plan = EarlierPlan(until=step, steps=self.steps, hold=config.hold)
        self.steps = wanted
        return config.model_copy(update={"earlier": (*config.earlier, plan)})

    def _affordable(self, config: TrainingConfig, step: int, seconds: float, pace: float) -> int:
        """The step to end at with the seconds that are left."""
        left = (config.seconds or 0.0) - seconds
        return min(MOST_STEPS, step + max(1, int(left * pace)))

    def _pace(self, config: TrainingConfig, step: int, seconds: float, share: float) -> float:
        """Steps in a second over the last share of the budget, at least `REPORT` steps; with 0 since the last look."""
        since = seconds - share * ((config.seconds or 0.0) - self._began)
        marks = [mark for mark in self._marks if mark[0] < step]
        long_ago = [mark for mark in marks if mark[1] <= since and step - mark[0] >= REPORT]
        first, then = marks[-1] if not share else long_ago[-1] if long_ago else marks[0]
        return (step - first) / max(1e-9, seconds - then)

    def seconds_left(self, config: TrainingConfig, step: int, seconds: float) -> float | None:
        """Estimate of the time to the end; None before there is one."""
        if self.steps is None:
            return max(0.0, config.seconds - seconds) if config.seconds else None
        if len(self._marks) < 2:
            return None
        (first, then), (last, now) = self._marks[0], self._marks[-1]
        return (self.steps - step) * (now - then) / max(1, last - first)
