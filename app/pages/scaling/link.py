"""The link of Scaling."""

from app import state
from app.experiments.fields import field_key, read_field, write_field
from app.experiments.results import first_choices
from app.sharing.readers import PARAMETER, one_of, read_link, refused
from cmcore.experiments import EXPERIMENTS


def questions() -> list[str]:
    """Names of the experiments, E1 first."""
    return sorted(EXPERIMENTS, key=lambda name: (EXPERIMENTS[name].code[0] != "E", EXPERIMENTS[name].code))


def open_scaling_link() -> list[str]:
    """The question, and those of its fields that differ from the shipped answer."""
    state.set_default("experiment", questions()[0], allowed=EXPERIMENTS)
    if not state.takes_link("scaling"):
        return []
    if state.went_back():
        _begin_afresh()
    asked, problems = read_link()
    try:
        if "question" in asked:
            state.set_value("experiment", one_of(lambda: EXPERIMENTS, "the question")(asked["question"]))
    except ValueError as problem:
        return [*problems, refused(problem)]
    name = state.value("experiment")
    for field in EXPERIMENTS[name].model_fields:
        try:
            if PARAMETER + field in asked:
                state.set_value(field_key(name, field), read_field(name, field, asked[PARAMETER + field]))
        except ValueError as problem:
            problems.append(refused(problem))
    return problems


def _begin_afresh() -> None:
    """The first question, and of each question its own first choices."""
    state.set_value("experiment", questions()[0])
    for name in EXPERIMENTS:
        for field in EXPERIMENTS[name].model_fields:
            state.forget(field_key(name, field))


def write_scaling_link(name: str) -> None:
    """Mirror the question in the address bar."""
    wanted = {} if name == questions()[0] else {"question": name}
    for field, value in first_choices(name).items():
        first = write_field(value)
        held = state.value(field_key(name, field), first)
        if held != first:
            wanted[PARAMETER + field] = str(held)
    state.set_link(wanted)
