"""Colours with one meaning each (Okabe–Ito), for light and for dark paper.

They stand in .streamlit/config.toml alone: Streamlit and the canvases take them from there, and so do the figures.
"""

import tomllib
from dataclasses import dataclass
from typing import Any

from cmcore.files import LAB


@dataclass(frozen=True)
class Theme:
    """What each colour means; `runs` are those of runs that are compared, the first of which is `model`."""

    data: str
    model: str
    exact: str
    error: str
    baseline: str
    bound: str
    ink: str
    paper: str
    hairline: str
    runs: tuple[str, ...]

    @property
    def muted(self) -> str:
        """Secondary words: ink, softened, still 4.5 : 1 on the paper."""
        return mix(self.ink, self.paper, 0.68)


def _configured(scheme: str) -> Theme:
    """The colours of the configuration's section theme.light or theme.dark."""
    config = tomllib.loads((LAB / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"][scheme]
    data, model, exact, error, baseline, bound, *others = config["chartCategoricalColors"]
    ink, paper, hairline = config["textColor"], config["backgroundColor"], config["borderColor"]
    return Theme(data, model, exact, error, baseline, bound, ink, paper, hairline, (model, *others))


LIGHT, DARK = _configured("light"), _configured("dark")


def theme(name: str | None) -> Theme:
    """The theme called "dark", else the light one."""
    return DARK if name == "dark" else LIGHT


def on_paper(theme: Theme) -> dict[str, Any]:
    """What every figure's layout has in common: it stands on the page itself, in the page's type."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": theme.muted, "activecolor": theme.ink},
        "font": {"family": "Inter, 'Source Sans', sans-serif", "size": 11.5, "color": theme.ink},
        "hoverlabel": {"bgcolor": theme.paper, "font": {"color": theme.ink}, "bordercolor": theme.hairline},
    }


def mix(first: str, second: str, share: float) -> str:
    """share · first + (1 − share) · second, of two #RRGGBB colours."""
    pairs = zip(_channels(first), _channels(second), strict=True)
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02X}" for a, b in pairs)


def fade(colour: str, opacity: float) -> str:
    """The colour as rgba(…) at the given opacity."""
    red, green, blue = _channels(colour)
    return f"rgba({red},{green},{blue},{opacity:g})"


def _channels(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))  # pyright: ignore[reportReturnType]
