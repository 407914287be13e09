"""The code that made a figure of the page."""

from app.export.snippet import model_code
from app.pages.inside import compute
from app.quoting import literal
from app.runs.library import Run

_MODES = ["modes = modes_of(target, model.delta)", "print(modes.masses, mode_mass(modes, draw.points))"]
_LEAKAGE = ["log_p = target.log_prob(draw.points.double(), model.delta)"]
_LEAKAGE += ["print(off_mode_mass(target, log_p, delta=model.delta))"]


def inside_snippet(run: Run, part: str, *, quantity: str, t: float, s: float, steps: int) -> str:
    """Python that computes one figure of Inside: "map", "times", "determinant", "bends" or "masses"."""
    lattice = ["axis = torch.linspace(-2.5, 2.5, 65, dtype=torch.float64)"]
    lattice += ["x = torch.cartesian_prod(axis, axis)" if run.target.dim == 2 else "x = axis[:, None]"]
    t_, s_, of = literal(t), literal(s), f"QUANTITIES[{literal(quantity)}]"
    bodies = {
        "map": (
            "QUANTITIES",
            [*lattice, f"values = {of}.at(f, target, x, {t_}, {s_})", "print(values)"],
        ),
        "times": (
            "QUANTITIES, exact_pairs",
            [
                f"pairs = exact_pairs(target, {literal(sorted(compute.start_times(run, s)))}, {s_},",
                f"                    seed={compute.SEED}, n={compute.PATHS}, tolerance=1e-6)",
                f"for t, mean in zip(pairs.times, {of}.over_times(f, target, pairs)):",
                "    print(t, mean)",
            ],
        ),
        "determinant": (
            "determinant, fold_share",
            [
                *lattice,
                f"print(determinant(f, x, {t_}, {s_}))",
                f"print(fold_share(f, target, {t_}, {s_}, seed={compute.SEED}))",
            ],
        ),
        "bends": (
            "exact_bends, map_bends, path_times",
            [
                f"noise = starting_noise({compute.STARTS}, target.dim, seed={compute.SEED})",
                f"times = path_times(model.horizon, model.delta, {compute.BEND_LEVELS})",
                "print(exact_bends(target, noise, times).straightness)",
                *(["print(map_bends(f, noise, times).straightness)"] if compute.has_paths(run) else []),
            ],
        ),
        "masses": (
            "mode_mass, modes_of" if run.target.dim <= 2 else "",
            [
                f"draw = cm.sample(model, {compute.DRAWS}, {steps}, seed={compute.SEED}{compute.drawing_words(run)})",
                *(_MODES if run.target.dim <= 2 else _LEAKAGE),
            ],
        ),
    }
    names, body = bodies[part]
    head = ["import torch", ""] if "torch." in "".join(body) else []
    head += ["import cmcore as cm", *([f"from cmcore.diagnostics import {names}"] if names else [])]
    head += ["from cmcore.divergences.tools.off_mode import off_mode_mass"] if not names else []
    head += ["from cmcore.samplers import starting_noise"] if part == "bends" else []
    return "\n".join([*head, "", *model_code(run), "f, target = model.flow_map, model.target", "", *body])
