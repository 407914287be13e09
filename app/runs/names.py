"""What runs are called beside one another: their labels, and where two share one, what sets them apart."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable

from app.runs.run import Run
from cmcore.config import TrainingConfig
from cmcore.objectives import OBJECTIVES
from cmcore.targets import GALLERY


def run_names(runs: Iterable[Run]) -> dict[str, str]:
    """By key: each label, with no more said than it takes to tell the runs of one label apart."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        alike[run.label].append(run)
    names = {run.key: run.label for of_label in alike.values() for run in of_label}
    for of_label in alike.values():
        for fact in _FACTS:
            if len({names[run.key] for run in of_label}) == len(of_label):
                break
            facts = {run.key: fact(run) for run in of_label}
            if len(set(facts.values())) > 1:
                names |= {key: f"{names[key]}, {words}" for key, words in facts.items()}
    return names


def short_names(runs: Iterable[Run]) -> dict[str, str]:
    """The same without the label, where all runs share it."""
    runs = list(runs)
    names = run_names(runs)
    if len(runs) < 2 or len({run.label for run in runs}) > 1:
        return names
    return {run.key: names[run.key].removeprefix(f"{run.label}, ") for run in runs}


def learned_by(config: TrainingConfig) -> str:
    """The objective in words, and where its velocity came from where that was a choice."""
    kind = OBJECTIVES.get(config.objective)
    words = config.objective.replace("_", " ") if kind is None else kind.label
    velocity = config.objective_parameters.get("velocity")
    return words + {"learned": ", learned velocity", "exact": ", exact score"}.get(str(velocity), "")


# ---- targets ----------------------------------------------------------------------------------------------------
def target_title(run: Run) -> str:
    """What a run learned, in words."""
    config = run.target.config
    toy = GALLERY.get(config.name) if config else None
    title = toy.label if toy else run.target.name.replace("_", " ")
    return f"{title}, d = {run.target.dim}" if config and "dim" in config.parameters else title


def target_titles(runs: Iterable[Run]) -> dict[Hashable, str]:
    """By target: its title, or where two laws share one, the runs that learned it."""
    of_target: dict[Hashable, list[Run]] = defaultdict(list)
    for run in runs:
        of_target[run.target_key].append(run)
    titles = {key: target_title(some[0]) for key, some in of_target.items()}
    counts = Counter(titles.values())
    return {
        key: title if counts[title] == 1 else ", ".join(run.label for run in of_target[key])
        for key, title in titles.items()
    }


_FACTS: tuple[Callable[[Run], str], ...] = (
    target_title,
    lambda run: learned_by(run.model.config),
    lambda run: f"seed {run.model.config.seed}",
    lambda run: f"{run.model.steps:,} steps",
    lambda run: run.key.rpartition("-")[2],
)
"""What sets runs apart, in the order in which it is said."""
