"""The link of Scaling: the question, and those of its settings that differ from the shipped answer."""

from collections.abc import Iterator
from functools import partial

from app import state
from app.experiments.fields import experiment_settings, field_key
from app.sharing.link import PageLink, Parameter, setting_parameters
from app.sharing.readers import one_of
from cmcore.experiments import EXPERIMENTS


def questions() -> list[str]:
    """Names of the experiments, E1 first."""

    def place(name: str) -> tuple[bool, int, str]:
        code = EXPERIMENTS[name].code
        return code[0] != "E", int(code[1:]) if code[1:].isdigit() else 0, code

    return sorted(EXPERIMENTS, key=place)


def _parameters() -> Iterator[Parameter]:
    yield Parameter("question", "experiment", one_of(lambda: EXPERIMENTS, "the question"), questions()[0])
    name = state.value("experiment", questions()[0])
    yield from setting_parameters(experiment_settings(name), partial(field_key, name))


SCALING_LINK = PageLink("scaling", _parameters, settings_of="question")
