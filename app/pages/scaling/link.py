"""The link of Scaling: the claims with their dials, or a question with those of its settings that differ."""

from collections.abc import Iterator
from functools import partial

from app import state
from app.experiments.fields import experiment_settings, field_key
from app.sharing.link import PageLink, Parameter, setting_parameters
from app.sharing.readers import PARAMETER, one_of
from cmcore.experiments import EXPERIMENTS

CLAIMS_VIEW = "claims"
"""What stands before the questions: the paper's claims."""
FORMER_FIRST = "learned_dimension"
DIMS = (*(m * 10**k for k in range(6) for m in (1, 3)), 10**6)
ERRORS = (0.3, 0.1, 0.03, 0.01)
DATA = {"smooth": "Smooth", "minimal": "No density"}


def questions() -> list[str]:
    """Names of the experiments, E1 first and E2′ after E2."""

    def place(name: str) -> tuple[bool, int, str]:
        code = EXPERIMENTS[name].code
        number = code[1:].rstrip("′")
        return code[0] != "E", int(number) if number.isdigit() else 0, code

    return sorted(EXPERIMENTS, key=place)


def _parameters() -> Iterator[Parameter]:
    views = one_of(lambda: (CLAIMS_VIEW, *EXPERIMENTS), "the question")
    first = _first_view()
    name = state.value("experiment", first)
    yield Parameter("question", "experiment", views, first, always=name != CLAIMS_VIEW)
    name = state.value("experiment", first)
    if name != CLAIMS_VIEW:
        yield from setting_parameters(experiment_settings(name), partial(field_key, name))
        return
    yield Parameter("d", "claim_dim", one_of(lambda: DIMS, "d ="), 1000)
    yield Parameter("error", "claim_error", one_of(lambda: ERRORS, "ε ="), 0.1)
    yield Parameter("data", "claim_data", one_of(lambda: DATA, "the data"), "smooth")


def _first_view() -> str:
    """The claims; but a link with settings and no question is an older one, which left out the question it opened."""
    link = state.link()
    former = "question" not in link and any(name.startswith(PARAMETER) for name in link)
    return FORMER_FIRST if former else CLAIMS_VIEW


SCALING_LINK = PageLink("scaling", _parameters, settings_of="question")
