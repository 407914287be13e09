"""Colours with one meaning each (Okabe–Ito), for light and for dark paper.

They stand in .streamlit/config.toml too, from where Streamlit and the canvases take them; a test keeps the two equal.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Theme:
    """What each colour means."""

    data: str
    model: str
    exact: str
    error: str
    baseline: str
    bound: str
    ink: str
    paper: str
    hairline: str

    @property
    def muted(self) -> str:
        """Secondary words: ink, softened, still 4.5 : 1 on the paper."""
        return mix(self.ink, self.paper, 0.68)


LIGHT = Theme("#0072B2", "#E69F00", "#009E73", "#D55E00", "#7A808A", "#CC79A7", "#1D2129", "#FBFBF9", "#E2E2DE")
DARK = Theme("#4AA3E0", "#F0A030", "#2FBF94", "#FF7A5C", "#8B93A1", "#E39AC4", "#E6E8EC", "#0F1216", "#2A2F38")


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
