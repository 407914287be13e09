"""Scaling on a static site: the paper's claims with every setting of their dials, and the answers that are shipped."""

from collections.abc import Iterator
from itertools import product

from markupsafe import Markup

from app.experiments.results import shipped_answer
from app.export.templates import html
from app.figures.claim import claim_figure, claim_result, claim_words
from app.figures.svg import chart
from app.figures.theme import LIGHT
from app.pages.scaling.claims import PANELS, TERMS, beside_of, headline, panel_words, reading
from app.pages.scaling.link import CLAIMS_VIEW, DATA, DIMS, ERRORS, questions
from app.pages.scaling.page import RATES_TITLE, fits_table, rates_table, view_label
from app.site.figures import panels
from app.site.files import Site, trusted
from app.ui.cards import typeset
from cmcore.experiments import EXPERIMENTS
from cmcore.theory.claim import claim_curve

FIRST = {"data": "smooth", "d": 1000, "error": 0.1}
"""The dials as the lab first shows them."""


def path_of(name: str) -> str:
    """The page of a question, or of the claims."""
    return "scaling.html" if name == CLAIMS_VIEW else f"scaling/{name}.html"


def scaling_pages(site: Site) -> Iterator[tuple[str, bytes]]:
    """The claims, and a page for every question."""
    listed = [(view_label(name), path_of(name)) for name in (CLAIMS_VIEW, *questions())]
    yield _claims(site, listed)
    for name in questions():
        yield from _question(site, name, listed)


# ---- the claims -----------------------------------------------------------------------------------------------------
def _claims(site: Site, listed: list[tuple[str, str]]) -> tuple[str, bytes]:
    fragments = {
        f"{data} {d} {eps:g}": site.script("claims", f"{data}-{d}-{eps:g}", str(made))
        for data, d, eps in product(DATA, DIMS, ERRORS)
        if (made := _fragment(data, d, eps))
    }
    return site.page(
        "scaling.html",
        "claims",
        part="scaling",
        title="The paper’s claims",
        about="The claims of the paper beside what was measured, and where each stops holding.",
        lab=site.in_lab("scaling", {"question": CLAIMS_VIEW}),
        listed=listed,
        here=path_of(CLAIMS_VIEW),
        fragments=fragments,
        first=_fragment(**FIRST),
        begin={name: str(value) for name, value in FIRST.items()},
        dials=(
            ("data", "Data", [(name, label) for name, label in DATA.items()]),
            ("d", "Dimension d", [(str(d), f"{d:,}") for d in DIMS]),
            ("error", "Error ε of the score", [(f"{eps:g}", f"{eps:g}") for eps in ERRORS[::-1]]),
        ),
        terms=TERMS,
        panels=[
            (trusted(panel_words(panel)), [(view_label(name), path_of(name)) for name in panel.behind])
            for panel in PANELS
        ],
        rates_title=RATES_TITLE,
        rates=trusted(rates_table()),
    )


def _fragment(data: str, d: int, error: float) -> Markup:
    """The chart of the claim and its reading for one setting of the dials."""
    curve = claim_curve(d, error, smooth=data == "smooth")
    beside = beside_of(curve)
    return html(
        "site/templates/claim.html.jinja",
        headline=headline(smooth=curve.smooth),
        title=trusted(typeset(claim_result(curve, beside).panels[0].title)),
        chart=chart(claim_figure(curve, beside, LIGHT), claim_words(curve, beside)),
        reading=reading(curve, beside),
    )


# ---- a question -----------------------------------------------------------------------------------------------------
def _question(site: Site, name: str, listed: list[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """The page of a question, with its answer as tables where one is shipped."""
    kind, result = EXPERIMENTS[name], shipped_answer(name)
    files = {}
    if result is not None:
        files = {"CSV": f"scaling/{name}.csv", "JSON": f"scaling/{name}.json"}
        yield files["CSV"], result.to_csv().encode()
        yield files["JSON"], result.to_json().encode()
    yield site.page(
        path_of(name),
        "question",
        part="scaling",
        title=f"{kind.code} · {kind.label}",
        about=kind.question,
        lab=site.in_lab("scaling", {"question": name}),
        listed=listed,
        here=path_of(name),
        kind=kind,
        charts=panels(result) if result is not None else [],
        reading=trusted(typeset(result.reading)) if result is not None else "",
        fits=trusted(fits_table(result)) if result is not None else "",
        files=files,
        measured=result is not None,
    )
