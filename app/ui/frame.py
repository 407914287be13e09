"""The frame of every page: what a shared link may leave out, and which keys there are."""

import streamlit as st

from app.components.frame import Control, frame
from app.figures.theme import DARK, LIGHT

TAKE_AWAY = (
    ".st-key-kl_takeaway, .st-key-answer_takeaway, .st-key-runs_takeaway, "
    '[class*="st-key-below_"] [class*="st-key-take_"]'
)
READING = (
    '[class*="st-key-kl_curves"][class*="_reading"], [class*="st-key-compared_curves"][class*="_reading"], '
    ".st-key-answer_reading"
)
STAGE = [
    Control("layers", "Layers"),
    Control("axis", "Time axis"),
    Control("playing", "Play, step, speed"),
    Control("multiples", "N = 1, 2, 4, 8"),
]
"""Parts of a stage, which hides them itself."""
CONTROLS = {
    "all": [Control("pages", "Other pages", '[data-testid="stTopNav"], [data-testid="stTopNavLinkContainer"]')],
    "explore": [
        Control("headline", "Headline", ".st-key-headline_area"),
        Control("run", "Run", ".st-key-run_area"),
        Control("calls", "Network calls N", ".st-key-steps"),
        Control("sampler", "Sampler", ".st-key-sampler"),
        Control("times", "Times and noise", ".st-key-times_area"),
        Control("direction", "Divergence", ".st-key-direction_area"),
        Control("number", "The number", ".st-key-number_area"),
        Control("best", "Best times", ".st-key-best_area"),
        Control("chart", "KL chart", ".st-key-chart_area"),
        Control("theory", "Theory", ".st-key-theory_area"),
        *STAGE,
    ],
    "train": [
        Control("source", "What to learn", ".st-key-source_area"),
        Control("learning", "Objective, budget", ".st-key-learning_area"),
        Control("settings", "Parameters, seed", ".st-key-folded_area"),
        Control("buttons", "Start, pause, stop", ".st-key-buttons"),
        Control("notes", "Notes", ".st-key-notes_area, .st-key-kl_notes"),
        Control("progress", "Time left, steps", ".st-key-status_area"),
        Control("number", "The number", ".st-key-live_kl"),
        Control("rise", "KL while it trains", ".st-key-live_kl_area"),
        Control("loss", "Loss", ".st-key-loss_area"),
        *STAGE,
    ],
    "kl": [
        Control("compare", "What is compared", ".st-key-compare_area"),
        Control("reading", "The figure in words", READING),
        Control("table", "Table", ".st-key-kl_table"),
        Control("takeaway", "Code, export", TAKE_AWAY),
        Control("story", "What the lab found", ".st-key-story_area"),
    ],
    "inside": [
        Control("look", "What is looked at", ".st-key-look_area"),
        Control("asked", "Map of, from t", ".st-key-asked_row"),
        Control("map", "The map", ".st-key-map_area"),
        Control("mean", "The number", ".st-key-mean_area"),
        Control("folds", "Folds", ".st-key-folds_area"),
        Control("modes", "Modes", ".st-key-modes_area"),
        Control("straight", "Straightness", ".st-key-straight_area"),
        Control("takeaway", "Code, export", TAKE_AWAY),
    ],
    "scaling": [
        Control("ask", "What is asked", ".st-key-question_area, .st-key-ask_area"),
        Control("expects", "What theory expects", ".st-key-expects_area"),
        Control("figures", "The figures", ".st-key-answer_area .st-key-panels"),
        Control("reading", "The figure in words", READING),
        Control("fits", "Fitted slopes", ".st-key-answer_fits"),
        Control("takeaway", "Code, export", TAKE_AWAY),
        Control("claims", "The five claims", ".st-key-claim_panels"),
        Control("rates", "Published rates", ".st-key-rates_area"),
    ],
    "runs": [
        Control("ledger", "The ledger", ".st-key-ledger_area"),
        Control("import", "Import", ".st-key-import_area"),
        Control("differ", "What differs", ".st-key-settings_area"),
        Control("same", "What is the same", ".st-key-same_area"),
        Control("samples", "Samples", ".st-key-samples_area"),
        Control("curves", "KL chart", ".st-key-chart_of_runs"),
        Control("reading", "The figure in words", READING),
        Control("takeaway", "Code, export", TAKE_AWAY),
    ],
    "lessons": [
        Control("all_lessons", "All lessons", ".st-key-all_lessons"),
        Control("marks", "Steps", ".st-key-lesson_steps"),
        Control("question", "The question", ".st-key-lesson_question"),
        Control("figure", "The figure", ".st-key-lesson_figure"),
        Control("turn", "Previous, next", ".st-key-lesson_turn"),
        Control("onward", "Try it yourself", ".st-key-onward"),
    ],
}
"""By page; its address is the key. A name stands for the same on every page: a link goes along from one to another."""
KEYS = (
    ("Space", "Play or pause"),
    ("← →", "One jump back or on; in a lesson, one step"),
    ("1 2 4 8", "N, the number of jumps"),
    ("R", "Renoise after each jump, or not"),
    ("L", "Layers: arrows choose, Enter switches, L closes"),
    ("S", "A start of your own: arrows move it, Enter lets go"),
    ("P", "Presentation; Esc leaves"),
    ("?", "These keys"),
)


def show_colours() -> None:
    """The model's colour, for the style sheet, in light and in dark."""
    st.html(f"<style>:root {{ --model: light-dark({LIGHT.model}, {DARK.model}); }}</style>")


def show_frame(page: str) -> None:
    """Share, Present and the keys, above the page of that name."""
    frame(page=page, controls=CONTROLS, keys=KEYS, scheme=st.context.theme.type)
