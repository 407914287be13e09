"""The code that made a figure of the page."""

from app.export.snippet import model_of
from app.export.templates import program
from app.pages.inside import compute
from app.runs.library import Run


def inside_snippet(run: Run, part: str, *, quantity: str, t: float, s: float, steps: int) -> str:
    """Python that computes one figure of Inside: "map", "times", "determinant", "bends" or "masses"."""
    return program(
        "pages/inside/snippet.py.jinja",
        model=model_of(run),
        part=part,
        dim=run.target.dim,
        quantity=quantity,
        t=t,
        s=s,
        times=sorted(compute.start_times(run, s)) if part == "times" else [],
        seed=compute.SEED,
        paths=compute.PATHS,
        starts=compute.STARTS,
        levels=compute.BEND_LEVELS,
        has_paths=compute.has_paths(run),
        draws=compute.DRAWS,
        steps=steps,
        draw={"seed": compute.SEED, **compute.own_draw(run)},
    )
