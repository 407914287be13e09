"""The frame of every page: what a shared link may leave out, and which keys there are."""

from app.components.frame import Control, frame

__all__ = ["CONTROLS", "KEYS", "show_frame"]

CONTROLS = {
    "all": [Control("pages", "Other pages", '[data-testid="stTopNav"], [data-testid="stTopNavLinkContainer"]')],
    "explore": [
        Control("run", "Run", ".st-key-run_area"),
        Control("calls", "Network calls N", ".st-key-steps"),
        Control("sampler", "Sampler", ".st-key-sampler"),
        Control("times", "Times and noise", ".st-key-times_area"),
        Control("direction", "Divergence", ".st-key-direction_area"),
        Control("number", "The number", ".st-key-number_area"),
        Control("best", "Best times", ".st-key-best_area"),
        Control("chart", "KL chart", ".st-key-chart_area"),
        Control("theory", "Theory", ".st-key-theory_area"),
        Control("layers", "Layers"),
        Control("axis", "Time axis"),
        Control("playing", "Play, step, speed"),
        Control("multiples", "N = 1, 2, 4, 8"),
    ],
    "train": [
        Control("source", "What to learn", ".st-key-source, .st-key-gallery_area"),
        Control("learning", "Objective, budget", ".st-key-learning_area"),
    ],
    "kl": [Control("compare", "What is compared", ".st-key-compare_area")],
    "scaling": [Control("ask", "What is asked", ".st-key-question_area, .st-key-ask_area")],
}
"""By page; its address is the key."""
KEYS = (
    ("Space", "Play or pause"),
    ("← →", "One jump back or on"),
    ("1 2 4 8", "N, the number of jumps"),
    ("R", "Renoise after each jump, or not"),
    ("L", "Layers: arrows choose, Enter switches, L closes"),
    ("S", "A start of your own: arrows move it, Enter lets go"),
    ("P", "Present; Esc leaves"),
    ("?", "These keys"),
)


def show_frame(page: str) -> None:
    """Share, Present and the keys, above the page of that name."""
    frame(page=page, controls=CONTROLS, keys=KEYS)
