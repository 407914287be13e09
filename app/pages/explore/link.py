"""The link of Explore."""

from collections.abc import Iterator
from functools import partial

from app import state
from app.hosting.limits import limits
from app.kl.curves import SEEN_FROM
from app.pages.explore.against import AGAINST, others_of, read_against
from app.runs.library import first_run, runs
from app.sharing.link import PageLink, Parameter
from app.sharing.readers import between, one_of, read_seed, whole
from app.stage.custom_times import read_times, write_times
from app.stage.own_start import read_start, write_start
from app.stage.sampler import FRESH, PINNED, SAMPLERS, choose_measure, earliest_learned
from app.stage.scene import PARTICLES, STEPS
from cmcore.config import USUAL_GRID
from cmcore.grids import GRIDS
from cmcore.sampling_defaults import SamplingDefaults, delta_for, direction_for, sampling_defaults


def _parameters() -> Iterator[Parameter]:
    yield Parameter("run", "run", one_of(runs, "the run"), first_run())
    run = runs().get(state.value("run", first_run()))
    own = sampling_defaults(run.model.config) if run else SamplingDefaults()
    yield Parameter("with", AGAINST, partial(read_against, run), "")
    yield Parameter("n", "steps", one_of(lambda: STEPS, "N"), 4)
    yield Parameter("sampler", "sampler", one_of(lambda: SAMPLERS, "the sampler"), own.sampler)
    yield Parameter("grid", "grid", one_of(lambda: GRIDS, "the time grid"), USUAL_GRID)
    yield Parameter("eta", "renoise", between(0.05, 1.0, "η/t"), own.renoise)
    yield Parameter("seed", "seed", read_seed, 0)
    yield Parameter("start", "own start", read_start, None, write_start)
    yield Parameter("times", "moved times", read_times, None, write_times)
    most = limits().particles
    yield Parameter("particles", "particle count", whole(100, most, "the number of particles"), PARTICLES)
    yield Parameter("fresh", "own_noise", one_of(lambda: FRESH, "the fresh noise"), PINNED)
    sampler = state.value("sampler", own.sampler)
    if run:
        against = others_of(run).get(state.value(AGAINST, ""))
        learned = earliest_learned(run, *([against] if against else []))
        delta = delta_for(sampler, learned)
        yield Parameter("delta", "delta", between(0.0, 1.0, "δ"), delta, "{:g}".format)
    direction = one_of(lambda: SEEN_FROM, "the direction")
    yield Parameter(
        "from", "direction", lambda text: SEEN_FROM[direction(text)], direction_for(sampler),
        {law: name for name, law in SEEN_FROM.items()}.__getitem__,
    )  # fmt: skip


LINK = PageLink("explore", _parameters, selection="run", reset=("suited",), begin=choose_measure)
