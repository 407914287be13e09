"""The training of this page's visitor, whichever page is on screen: beginning it, and the run that it leaves behind."""

from collections.abc import Sequence

from app import state
from app.background.jobs import Busy, JobView
from app.background.pools import measuring_workers, training_workers
from app.kl.question import measurement
from app.runs import visitor
from app.runs.library import Run, add_run
from app.training import registry
from app.training.choice import SOURCES, Choice
from app.training.continuation import choice_of, continued_config
from app.training.job import LiveKL, TrainingProgress, live_question
from app.training.previous import Trained, remember_trained, run_before
from app.training.registry import Comparison, Training
from cmcore.config import TrainingConfig

BESIDE = "target beside training"
"""State key: what was chosen on Train while the training went on; its result is shown until something else is."""


def training() -> Training | None:
    """What the visitor trains now, or trained last: in this session, in another tab, or before a reload."""
    current = registry.current(visitor.token()) or state.value("training")
    if current is not None and current.deleted:
        current = None
    state.set_value("training", current)
    return current


def training_view() -> JobView[TrainingProgress] | None:
    """How it stands; looking renews its lease, and lets a comparison go on."""
    now = training()
    if now is not None and now.over and (comparison := registry.comparison_of(visitor.token())):
        if now.run_key in comparison.configs:
            join_runs()
        registry.go_on(visitor.token(), training_workers(), measuring_workers())
        now = training()
    return None if now is None else now.view()


# ---- beginning --------------------------------------------------------------------------------------------------
def start_training(choice: Choice, config: TrainingConfig) -> None:
    """Train from the start."""
    _start(Training(visitor.token(), choice, config, before=run_before(choice.key)))


def start_comparison(choice: Choice, configs: Sequence[TrainingConfig]) -> None:
    """Train all of them, one after the other."""
    trainings = [Training(visitor.token(), choice, config) for config in configs]
    state.set_value("start_problem", "")
    try:
        new = Comparison(choice, trainings)
        registry.compare(visitor.token(), new, training_workers(), measuring_workers())
    except Busy as busy:
        state.set_value("start_problem", str(busy))
        return
    state.set_value("training", trainings[0])
    state.set_value("redrawing", "")


def comparison() -> Comparison | None:
    """What the visitor compares, or compared last."""
    return registry.comparison_of(visitor.token())


def stop_comparison() -> None:
    """End it; what was trained stays."""
    registry.stop_comparison(visitor.token())


def continue_training(run: Run, *, steps: int | None = None, seconds: float | None = None) -> None:
    """Go on from the last weights of a run, for so much more; without a budget, to the end that was planned."""
    new = steps is not None or seconds is not None
    try:
        config = continued_config(run, steps=steps, seconds=seconds) if new else run.model.config
    except ValueError as problem:
        state.set_value("start_problem", str(problem))
        return
    last, trained = training(), state.session_dict("trained").get(run.key)
    choice = last.choice if last is not None and last.run_key == run.key else choice_of(run)
    question = live_question(choice.target, config)
    measured = measurement(run, question) if question else None
    points = [*trained.kl] if trained else []
    points += [LiveKL(run.model.steps, run.model.seconds, measured.estimate)] if measured else []
    _start(Training(visitor.token(), choice, config, continues=run, earlier_kl=points))


def _start(new: Training) -> None:
    state.set_value("start_problem", "")
    try:
        registry.start(new, training_workers(), measuring_workers())
    except Busy as busy:
        state.set_value("start_problem", str(busy))
        return
    state.set_value("training", new)
    state.set_value("redrawing", "")


# ---- its end ----------------------------------------------------------------------------------------------------
def join_runs() -> None:
    """What an ended training leaves joins the runs of the session, once."""
    now = training()
    if now is None or not now.over or now.run_key in state.session_dict("joined trainings"):
        return
    latest = now.view().latest
    state.session_dict("joined trainings")[now.run_key] = True
    if latest is None or latest.model is None:
        return
    run = add_run(now.choice.name, now.label(latest.model.steps), latest.model, key=now.run_key)
    kl, continued = (*now.earlier_kl, *latest.kl), now.continues is not None
    remember_trained(Trained(run, now.choice.key, now.config, latest.curve, kl, continued))
    _join_selection(run.key)


def _join_selection(run: str) -> None:
    """Where a link asked for this run among others, it takes its place among them."""
    if joins := state.value("joins"):
        selection, beside = joins
        state.set_value(selection, [*beside, run])
        state.set_value("joins", None)


def ended_run() -> Trained | None:
    """The run that the last training left, once it has joined the runs."""
    now = training()
    return None if now is None else state.session_dict("trained").get(now.run_key)


def unseen_end() -> bool:
    """Whether it has ended, and its owner has not looked since on any page."""
    now = training()
    return now is not None and now.over and not now.seen


def look_at_trained() -> None:
    """Its owner knows, so that no page speaks of it any more, and the run it left is the one on show in Explore."""
    now = training()
    if now is not None:
        now.seen = True
    if (trained := ended_run()) is not None:
        state.set_value("run", trained.run.key)


# ---- on the page Train ------------------------------------------------------------------------------------------
def shown_training(choice: Choice | None) -> Training | None:
    """The training that Train shows beside this choice of a target.

    One under way always; one that has ended as long as its target is chosen, or what was chosen while it went on, or a
    table that went with a reload and is not uploaded again yet.
    """
    now = training()
    if now is None:
        return None
    chosen = choice.key if choice else ""
    if not now.over:
        state.set_value(BESIDE, (now.run_key, chosen))
        return now
    gone = choice is None and state.value("source") == SOURCES[2] and now.choice.key.startswith("file:")
    if chosen == now.choice.key or gone or state.value(BESIDE) == (now.run_key, chosen):
        return now
    state.set_value(BESIDE, None)
    return None
