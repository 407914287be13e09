"""The training of this session, whichever page is on screen: its job, and the run that it leaves behind."""

from dataclasses import replace

from app import state
from app.again import keep_run
from app.jobs import Job, JobView
from app.live import Progress, training_workers

__all__ = [
    "keep_ended",
    "keep_training",
    "look_at_trained",
    "training_job",
    "training_view",
    "unseen_end",
]

JOB = "training"


def training_job() -> Job[Progress] | None:
    """What trains now, or trained last."""
    return state.job(JOB)


def training_view() -> JobView[Progress] | None:
    """How it stands; looking renews its lease."""
    job = training_job()
    return None if job is None else training_workers().view(job)


def keep_training(job: Job[Progress]) -> None:
    """This is the session's training from now on."""
    state.keep_job(JOB, job)
    state.choose("trained_key", "")
    state.choose("training seen", new=False)


def keep_ended(view: JobView[Progress]) -> None:
    """What an ended training leaves joins the runs of the session, once."""
    latest = view.latest
    if not view.over or state.value("trained_key") or latest is None or not latest.event.step:
        return
    model = latest.model
    if model is None and view.status == "stopped":  # it waited, paused or queued again, and has not moved since
        model = latest.event.model()
    if model is None:
        return
    latest = replace(latest, kl=(*state.value("training_earlier", ()), *latest.kl))
    trained = keep_run(state.value("training_choice"), state.value("training_config"), latest, model)
    state.choose("trained_key", trained.run.key)
    _join(trained.run.key)


def _join(run: str) -> None:
    """Where a link asked for this run among others, it takes its place among them."""
    if joins := state.value("joins"):
        selection, beside = joins
        state.choose(selection, [*beside, run])
        state.choose("joins", None)


def unseen_end() -> bool:
    """Whether it ended while its owner was on another page, and was not looked at since."""
    return not state.value("training seen", default=True)


def look_at_trained() -> None:
    """Its owner knows, so that no page speaks of it any more, and the run it left is the one on show in Explore."""
    state.choose("training seen", new=True)
    if state.value("trained_key"):
        state.choose("run", state.value("trained_key"))
