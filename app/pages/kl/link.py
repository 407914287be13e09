"""The link of KL."""

from collections.abc import Iterator

from app import state
from app.kl.curves import BASELINES, MOST, SEEN_FROM, SHOWN, SHOWN_FIRST, least_delta
from app.pages.kl.controls import HORIZONS, SCORES
from app.runs.library import first_run, runs
from app.sharing.link import PageLink, Parameter
from app.sharing.readers import between, one_of, several_of
from app.stage.sampler import SAMPLERS, choose_measure
from cmcore.config import USUAL_GRID
from cmcore.grids import GRIDS
from cmcore.sampling_defaults import delta_for


def _parameters() -> Iterator[Parameter]:
    yield Parameter("runs", "kl_runs", several_of(runs, "the run"), [first_run()] if runs() else [])
    yield Parameter("baselines", "kl_baselines", several_of(lambda: BASELINES, "the baseline"), ["ddim", "heun"])
    yield Parameter("score", "kl_score", one_of(lambda: SCORES, "the score"), "exact")
    yield Parameter("sampler", "kl_sampler", one_of(lambda: SAMPLERS, "the sampler"), "deterministic")
    yield Parameter("eta", "kl_renoise", between(0.05, 1.0, "η/t"), 0.5)
    yield Parameter("from", "kl_from", one_of(lambda: SEEN_FROM, "the direction"), "model")
    yield Parameter("most", "kl_most", one_of(lambda: MOST, "N up to"), MOST[0])
    yield Parameter("horizon", "kl_horizons", one_of(lambda: HORIZONS, "the horizon"), "fixed")
    yield Parameter("grid", "kl_grid", one_of(lambda: GRIDS, "the time grid"), USUAL_GRID)
    yield Parameter("T", "kl_horizon", between(0.5, 20.0, "T"), 3.0)
    yield Parameter("h", "kl_step", between(0.02, 2.0, "h"), 0.18)
    yield Parameter("show", "kl_shown", several_of(lambda: SHOWN, "what is shown"), list(SHOWN_FIRST))
    sampler, offered = state.value("kl_sampler", "deterministic"), runs()
    learned = least_delta([offered[key] for key in state.value("kl_runs", ()) if key in offered])
    yield Parameter("delta", "kl_delta", between(0.0, 1.0, "δ"), delta_for(sampler, learned), "{:g}".format)


KL_LINK = PageLink("kl", _parameters, selection="kl_runs", begin=choose_measure)
