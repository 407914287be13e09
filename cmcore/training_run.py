r"""A training run in progress: one map, or S of them side by side.

S members that differ in their seed, or in one rate, are one map with an extra leading dimension, one batch [S, n, d]
and one optimiser; each ends where it would have ended alone.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from cmcore.config import NetworkConfig, TrainingConfig
from cmcore.film import Film
from cmcore.model import Ending, FlowMap, TrainedModel
from cmcore.objectives import BatchSource, LossContext, Objective, Velocity, VelocityField, make_objective
from cmcore.optimizer import FlatOptimizer
from cmcore.process import angle
from cmcore.runtime import (
    Products,
    choose_device,
    choose_products,
    describe_device,
    matmul_dtype,
    reuse_memory,
    view_as_slices,
)
from cmcore.schedule import Moment, moment, restarts
from cmcore.streams import stream
from cmcore.targets import Target
from cmcore.threads import available_threads, choose_threads, piecewise, team
from cmcore.training_budget import REPORT, Budget, RunTimer, SecondsNow
from cmcore.training_defaults import BATCH, RATES
from cmcore.training_quality import Quality, Soundness

BLOCK = 64
"""Steps whose batches are drawn together. Each block has its own random stream, so resuming needs only the step."""
PREPARATION, LEAST_PREPARATION = 0.25, 1.0
"""What is made before the first step may take this share of a budget in seconds beside it, and a second at least."""
WAITED, MOST_WAITS = 15, 3
"""A step that takes so many times as long as another waited for a core; after so many of them a team is given up."""


class TrainingRun:
    """A training run in progress, advanced step by step.

    Args:
        target: the law to learn.
        config: resolved.
        resume: a stopped run to go on with.
        seeds: a seed for each of S members; None: a single map with the config's seed.
        varied: for some of the optimiser's rates, a value for each member.
        purpose: a word before the names of all random streams; the teacher's differ from its pupil's.
        clock: for budgets in seconds and what is left of them; whoever lets a run wait stops it meanwhile.
    """

    def __init__(
        self,
        target: Target,
        config: TrainingConfig,
        *,
        resume: TrainedModel | None = None,
        seeds: Sequence[int] | None = None,
        varied: Mapping[str, Sequence[float]] | None = None,
        purpose: str = "",
        clock: SecondsNow = time.perf_counter,
    ) -> None:
        self.clock, self.timer = clock, RunTimer(clock)
        self.budget = Budget(config.steps, replans=not purpose)
        self.target, self.purpose = target, purpose
        self.seeds, self.varied = seeds, dict(varied or {})
        self.delta, self.batch = config.delta or 0.0, config.batch or BATCH
        self.device = choose_device(config.device)
        self.device_name = describe_device(self.device, config.threads or 1)
        self.objective: Objective = make_objective(config.objective, **config.objective_parameters)
        self.flow_map = self._fresh_map(config).to(self.device)
        self.products: Products = choose_products(config.matmul_dtype, self.device, precise=self.objective.precise)
        self.config = config.model_copy(update={"matmul_dtype": self.products})
        self.flow_map.matmul_dtype = matmul_dtype(self.products)
        reuse_memory()
        self.optimizer = FlatOptimizer(self.flow_map, self.config, self.varied)
        self.teacher: FlowMap | None = None
        self.targets = self._target_map()
        self.step, self.restarts = 0, restarts(config)
        self.histories: list[list[tuple[int, float, float]]] = [[] for _ in self.all_seeds]
        self.loss = self.gradient_norm = self.quality = torch.full((len(self.all_seeds),), math.nan)
        self.soundness = Soundness(len(self.all_seeds))
        self.lost: dict[int, TrainedModel] = {}
        self.spikes: list[list[int]] = [[] for _ in self.all_seeds]
        self.spiked = torch.zeros(len(self.all_seeds))
        self.judge: Quality | None = None
        self.film = Film()
        if resume is not None:
            self._continue(resume)
        self.good = (self._state(), self.step)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seed of each member."""
        return (self.config.seed,) if self.seeds is None else tuple(self.seeds)

    def _fresh_map(self, config: TrainingConfig) -> FlowMap:
        seeds = [config.seed] if self.seeds is None else self.seeds
        generators = [stream(seed, f"{self.purpose}weights") for seed in seeds]
        return FlowMap(self.target.dim, config.network, generator=generators[0] if self.seeds is None else generators)

    def _target_map(self) -> FlowMap:
        """The map that makes targets: this one, or a copy that follows its weights."""
        if self.objective.target_decay is None:
            return self.flow_map
        copy = self._fresh_map(self.config).to(self.device)
        copy.matmul_dtype = self.flow_map.matmul_dtype
        self.target_weights = self.optimizer.weights.clone()
        named = dict(copy.named_parameters())
        view_as_slices([named[name] for name in self.optimizer.names], self.target_weights)
        return copy.requires_grad_(requires_grad=False)

    # ---- what is made once --------------------------------------------------------------------------------------
    def prepare(self) -> Iterator[str]:
        """Everything made once; yields a sentence on what is being done as it goes."""
        yield "preparing training data"
        if self.objective.teacher_share and self.teacher is None:
            yield from self._learn_teacher()
        yield from self._prepare_objective()
        if not self.purpose:
            self.judge = Quality(self.target, self.config.horizon, self.delta, self.all_seeds, self.device)
        self.velocities = self._velocities()
        self.earliest = float(angle(torch.tensor(self.delta, dtype=torch.float64)))
        self._choose_threads()
        self.batches = self._stream_of_batches()
        self.timer.count_as(training=True)
        self.budget.begin(self.step, self.seconds)

    def _prepare_objective(self) -> Iterator[str]:
        """What the objective learns from; under a budget in seconds as much as a share of it allows."""
        self.prepared = []
        capped = self.config.steps is None and self.steps is None
        allowed = max(LEAST_PREPARATION, PREPARATION * (self.config.seconds or 0.0))
        for i in range(len(self.all_seeds)):
            until = self.preparation + (allowed - self.preparation) / (len(self.all_seeds) - i)
            now = None
            for now in self.objective.preparing(self._source(i, "objective")):
                if now.message:
                    yield now.message
                if capped and now.enough and self.preparation >= until:
                    break
            assert now is not None
            with piecewise():
                self.prepared.append(now.prepared())
            if capped:  # what the first member has, the others have too
                self._decide(now.objective)
                capped = False

    def _decide(self, objective: Objective) -> None:
        """Keep what a budget in seconds decided in the config, so that the run is repeated from it."""
        self.objective = objective
        self.config = self.config.model_copy(update={"objective_parameters": objective.parameters()})

    def _learn_teacher(self) -> Iterator[str]:
        """Learn the velocity from samples first, by flow matching, with the same network and rates."""
        steps = self.objective.parameters().get("teacher_steps")
        share = self.objective.teacher_share
        config = self.config.model_copy(
            update={
                "objective": "flow_matching",
                "objective_parameters": {"velocity": "averaged"},
                "network": _of_velocity(self.config.network),
                "steps": steps or (None if self.config.steps is None else round(share * self.config.steps)),
                "seconds": None if self.config.seconds is None else share * self.config.seconds,
                "hold": max(self.config.warmup, 2 * REPORT),  # not where the clock says: no config would remember it
                "earlier": (),
                **RATES,
            }
        )
        run = TrainingRun(self.target, config, seeds=self.seeds, purpose="teacher ", clock=self.clock)
        for _ in run.prepare():
            pass
        self.timer.count_as(training=True)  # its steps are optimiser steps, and a share of the budget is theirs
        while not run.done:
            of = f" of {run.steps:,}" if run.steps else ""
            yield f"learning the velocity from samples, step {run.step:,}{of}"
            run.advance()
            run.check()
            if run.diverged:
                raise ValueError(f"The velocity could not be learned from samples. {run.restore()}")
        self.timer.count_as(training=False)
        self.teacher = run.averaged_map()
        self._decide(
            make_objective(self.config.objective, **{**self.objective.parameters(), "teacher_steps": run.step})
        )

    def _source(self, i: int, purpose: str) -> BatchSource:
        teacher = None if self.teacher is None else _velocity_of(self.teacher.member(i))
        generator = stream(self.all_seeds[i], f"{self.purpose}{purpose}")
        return BatchSource(self.target, self.config.horizon, self.delta, self.device, generator, teacher)

    def _velocities(self) -> dict[Velocity, VelocityField]:
        """The velocities a loss may ask for at points of its own."""
        fields: dict[Velocity, VelocityField] = {}
        if self.target.has_score:
            fields["exact"] = self._source(0, "unused").exact_velocity
        if self.teacher is not None:
            taught = self.teacher
            fields["learned"] = lambda x, theta: taught.velocity_in_angle(x, theta, for_weights=True)
        return fields

    def _choose_threads(self) -> None:
        if self.device.type != "cpu":
            return
        batch = self._stacked(
            next(self.objective.batches(made, 1, self.batch, generator=stream(0, "probe"))) for made in self.prepared
        )
        self._use_threads(self.config.threads or choose_threads(lambda: self._backward(batch), available_threads()))
        self.optimizer.gradients.zero_()

    def _use_threads(self, threads: int) -> None:
        self.config = self.config.model_copy(update={"threads": threads})
        self.device_name = describe_device(self.device, threads)

    # ---- steps --------------------------------------------------------------------------------------------------
    def _stream_of_batches(self) -> Iterator[Any]:
        block, skip = divmod(self.step, BLOCK)
        while True:
            progress = self._moment(block * BLOCK).progress
            of_members = [
                self.objective.batches(
                    made,
                    BLOCK,
                    self.batch,
                    generator=stream(seed, f"{self.purpose}batches {block}"),
                    progress=progress,
                )
                for seed, made in zip(self.all_seeds, self.prepared, strict=True)
            ]
            for i, batches in enumerate(zip(*of_members, strict=True)):
                if i >= skip:
                    yield self._stacked(batches)
            block, skip = block + 1, 0

    def _stacked(self, batches: Any) -> Any:
        """The members' batches as one, with a leading dimension; a single map's batch as it is."""
        first, *rest = batches
        if self.seeds is None:
            return first
        return type(first)(*(torch.stack(columns) for columns in zip(first, *rest, strict=True)))

    def _moment(self, step: int) -> Moment:
        return moment(self.config, step, self.steps)

    def _backward(self, batch: Any) -> Tensor:
        progress = self._moment(self.step).progress
        self.flow_map.matmul_dtype = matmul_dtype(self.products, progress)
        context = LossContext(self.flow_map, self.targets, self.velocities, self.earliest, progress)
        return self.objective.backward(context, batch).reshape(-1)

    def advance(self) -> None:
        """Steps up to the next report, by the team of threads that the run chose; afterwards the team is given back."""
        with team(self.config.threads) if self.config.threads else nullcontext():
            best, slow = math.inf, 0
            while True:
                start = time.perf_counter()
                self.take_step()
                seconds = time.perf_counter() - start
                best = min(best, seconds)
                slow += seconds > WAITED * best
                if self.step % REPORT == 0 or self.done:
                    return
                if slow >= MOST_WAITS and self.config.threads > 1:
                    break
        self._use_threads(1)  # another program holds a core that the team waits for, at every operation
        self.advance()

    def take_step(self) -> None:
        """One optimiser step; on reporting steps also the numbers an event carries."""
        if self.step in self.restarts:
            self._restart()
        losses = self._backward(next(self.batches))
        reporting = (self.step + 1) % REPORT == 0 or self.step + 1 == self.steps
        numbers = torch.stack((losses, self.optimizer.gradient_norms().reshape(-1))) if reporting else None
        now = self._moment(self.step)
        self.optimizer.step(now.factor, now.age)
        if numbers is not None:
            self._take_numbers(numbers.cpu(), now.age)
        if self.objective.target_decay is not None:
            # Small at first, so that the targets do not stay at the initial weights.
            decay = min(self.objective.target_decay, (1 + now.age) / (10 + now.age))
            self.target_weights.lerp_(self.optimizer.weights, 1 - decay)
        self.step += 1
        self.config = self.budget.after(self.config, self.step, self.seconds)

    def _take_numbers(self, numbers: Tensor, age: int) -> None:
        """The loss and the gradient's norm of the last step that was no spike, and where spikes were met."""
        met, last = self.optimizer.guard.take()
        self.spiked = torch.tensor(met)
        for i, at in enumerate(last):
            if at:
                self.spikes[i].append(self.step - age + at)
        ordinary = torch.tensor(last) != age + 1
        self.loss, self.gradient_norm = torch.where(
            ordinary | self.loss.isnan(), numbers, torch.stack((self.loss, self.gradient_norm))
        )

    def _restart(self) -> None:
        """Where the run is continued with a new budget: on from the averaged weights."""
        self.optimizer.restart()
        if self.objective.target_decay is not None:
            self.target_weights.copy_(self.optimizer.weights)

    @property
    def steps(self) -> int | None:
        """The step to end at; None until a budget in seconds has become steps."""
        return self.budget.steps

    @property
    def done(self) -> bool:
        return self.steps is not None and self.step >= self.steps

    # ---- soundness ----------------------------------------------------------------------------------------------
    def check(self) -> None:
        """At a report: remember a sound state; of members that are not sound keep what they last were."""
        limit = math.inf if self.judge is None else self.judge.limit
        averages = self.optimizer.named(self.optimizer.average).values()
        sound = self.soundness.of(self.loss, self.gradient_norm, self.spiked, self.quality > limit, averages)
        if lost := [i for i in (~sound).nonzero().flatten().tolist() if i not in self.lost]:
            self.lost |= self._as_they_were(lost)
        if not self.diverged:
            self.good = (self._state(), self.step)

    @property
    def diverged(self) -> bool:
        """Whether no member is sound any more."""
        return len(self.lost) == len(self.all_seeds)

    def _as_they_were(self, members: Sequence[int]) -> dict[int, TrainedModel]:
        """Some members at the last good state."""
        now, at = self._state(), self.step
        self._load(self.good[0])
        self.step = self.good[1]
        models = {i: self._model(i, "diverged", self.seconds) for i in members}
        self._load(now)
        self.step = at
        return models

    def restore(self) -> str:
        """Go back to the last good weights; what happened, in a sentence."""
        (state, step), at = self.good, self.step
        loss, norm, quality = float(self.loss[0]), float(self.gradient_norm[0]), float(self.quality[0])
        self._load(state)
        self.step = step
        return (
            f"The run diverged by step {at} (loss {loss:.3g}, gradient norm {norm:.3g}, "
            f"error of one jump {quality:.3g}). "
            f"The weights of step {step} are kept. A smaller learning rate or a larger δ helps."
        )

    # ---- resuming -----------------------------------------------------------------------------------------------
    def _state(self) -> dict[str, Tensor]:
        state = self.optimizer.state()
        if self.objective.target_decay is not None:
            state["targets"] = self.target_weights.clone()
        return state

    def _load(self, state: Mapping[str, Tensor]) -> None:
        self.optimizer.load(state)
        if self.objective.target_decay is not None:
            self.target_weights.copy_(state["targets"])

    def _continue(self, resume: TrainedModel) -> None:
        if not resume.resume_state:
            raise ValueError("This run was saved without its training state, so it cannot be continued.")
        state = dict(resume.resume_state)
        taught = {k.removeprefix("teacher."): v for k, v in state.items() if k.startswith("teacher.")}
        follows = self.objective.target_decay is not None
        unlike = (follows and state.get("targets", torch.empty(0)).shape != self.target_weights.shape) or (
            bool(taught) != (self.objective.teacher_share > 0)
        )
        if unlike:
            raise ValueError("The saved training state does not fit this objective; train from the start.")
        self._load(state)
        if taught:
            teacher = FlowMap(self.target.dim, _of_velocity(self.config.network), generator=torch.Generator())
            own = teacher.state_dict()
            if own.keys() != taught.keys() or any(own[name].shape != taught[name].shape for name in own):
                raise ValueError("The saved teacher does not fit this network; train from the start.")
            teacher.load_state_dict(taught)
            teacher.matmul_dtype = self.flow_map.matmul_dtype
            self.teacher = teacher.to(self.device).requires_grad_(requires_grad=False)
        self.step = resume.steps
        self.timer.resume(preparation=resume.preparation, training=resume.seconds)
        self.histories, self.spikes = [list(resume.history)], [list(resume.spikes)]
        self.film = resume.film

    def _member_state(self, i: int) -> dict[str, Tensor]:
        """What the i-th member needs to go on alone."""
        state = self.optimizer.member_state(i)
        if self.objective.target_decay is not None:
            of_member = self.optimizer.of_member(self.target_weights, i)
            state["targets"] = torch.cat([part.reshape(-1) for part in of_member.values()])
        if self.teacher is not None:
            alone = self.teacher.member(i).state_dict()
            state |= {f"teacher.{name}": weight for name, weight in alone.items()}
        return {name: value.cpu() for name, value in state.items()}

    # ---- what it says -------------------------------------------------------------------------------------------
    @property
    def seconds(self) -> float:
        """Spent in training, from the first step on; a teacher's too."""
        return self.timer.training

    @property
    def preparation(self) -> float:
        """Seconds spent on what is made before the first step."""
        return self.timer.preparation

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time to the end; None before there is one, and while something is prepared."""
        return self.budget.seconds_left(self.config, self.step, self.seconds) if self.timer.in_training else None

    @property
    def learning_rate(self) -> float:
        """Adam's rate at the last step."""
        return (self.config.learning_rate or 0.0) * self._moment(max(0, self.step - 1)).factor

    @piecewise()
    def measure(self) -> None:
        """Measure the quality."""
        if self.judge is not None:
            self.quality = self.judge.measure(self.flow_map, self.optimizer)

    def report(self) -> None:
        """Write loss and quality into the histories."""
        for i, history in enumerate(self.histories):
            if self.step and math.isfinite(self.loss[i]) and i not in self.lost:
                history.append((self.step, float(self.loss[i]), float(self.quality[i])))

    def averaged_map(self) -> FlowMap:
        """All members with their averaged weights, frozen."""
        averaged = self._fresh_map(self.config).to(self.device)
        averaged.load_state_dict(self.optimizer.named(self.optimizer.average))
        averaged.matmul_dtype = self.flow_map.matmul_dtype
        return averaged.requires_grad_(requires_grad=False)

    def models(self, status: Ending, seconds: float) -> tuple[TrainedModel, ...]:
        """Each member as a trained model of this moment, or of its last good one."""
        return tuple(self.model(i, status, seconds) for i in range(len(self.all_seeds)))

    def model(self, i: int, status: Ending, seconds: float) -> TrainedModel:
        """One of them."""
        return self.lost.get(i) or self._model(i, status, seconds)

    def _model(self, i: int, status: Ending, seconds: float) -> TrainedModel:
        rates = {name: values[i] for name, values in self.varied.items()}
        config = self.config.model_copy(update={"steps": self.steps, "seed": self.all_seeds[i], **rates})
        flow_map = FlowMap(self.target.dim, config.network, generator=torch.Generator())
        of_member = self.optimizer.of_member(self.optimizer.average, i)
        flow_map.load_state_dict({name: part.cpu() for name, part in of_member.items()})
        return TrainedModel(
            flow_map=flow_map.requires_grad_(requires_grad=False),
            target=self.target,
            config=config,
            steps=self.step,
            seconds=seconds,
            status=status,
            device=self.device_name,
            history=tuple(self.histories[i]),
            resume_state=self._member_state(i),
            preparation=self.preparation,
            spikes=tuple(self.spikes[i]),
            film=self.film,
        )


def _of_velocity(network: NetworkConfig) -> NetworkConfig:
    """The form of a network that learns the velocity alone, which is smooth: one time, and no experts."""
    return network.model_copy(update={"second_time": False, "experts": 1})


def _velocity_of(flow_map: FlowMap) -> VelocityField:
    """The map's own velocity as a function of (x, θ), frozen."""
    flow_map.requires_grad_(requires_grad=False)

    def velocity(x: Tensor, theta: Any) -> Tensor:
        angles = torch.as_tensor(theta, dtype=x.dtype, device=x.device).reshape(-1, 1)
        return flow_map.velocity_in_angle(x, angles, for_weights=True)

    return velocity
