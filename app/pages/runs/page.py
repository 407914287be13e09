"""Runs: the table of what was trained, and any of it side by side."""

import streamlit as st

from app.background.progress import wait_line
from app.pages.runs import ledger
from app.pages.runs.chosen import deleted, hidden, measure_first_values, run_chooser
from app.pages.runs.comparison import comparison
from app.pages.runs.elsewhere import results_from_elsewhere
from app.pages.runs.link import RUNS_LINK
from app.quoting import plain
from app.runs.library import Run, library
from app.sharing.retrain_offer import training_offer, warn_not_shareable
from app.state import set_value, value
from app.ui.link_warnings import show_link_warnings
from cmcore.store import BadRun


def runs_page() -> None:
    """The page."""
    show_link_warnings(RUNS_LINK.open())
    st.html("<h1 class='question'>Your runs: what made the difference?</h1>")
    training_offer("compared")
    with st.container(key="runsbench"):
        with st.container(key="ledger_area"):
            with st.container(key="ledger_notes"):  # they come and go, and move nothing below to another place
                deleted()
                if lost := library().warning():
                    st.warning(plain(lost))
                if library().stored == "declined":
                    st.button("Open your earlier runs", on_click=library().open_after_all, key="open_kept_runs")
            entries = ledger.entries()
            with st.container(key="chooser_area"):
                run_chooser(entries)
            with st.container(key="hidden_area"):
                hidden([entry for entry in entries if entry.hidden])
            with st.container(key="import_area"), st.expander("Import a run, or a result from elsewhere"):
                _bring_in()
        with st.container(key="comparison_area"):
            results_from_elsewhere()
            comparison()
            warn_not_shareable("compared")
    measure_first_values(entries)
    RUNS_LINK.write()


# ---- from a file ------------------------------------------------------------------------------------------------
def _bring_in() -> None:
    """A run from a file; a file that is none gets a sentence."""
    round_ = value("imports", 0)
    file = st.file_uploader(
        "A run that this lab exported, or a result from elsewhere (zip)",
        type="zip",
        key=f"import:{round_}",
        max_upload_size=ledger.MOST_BYTES >> 20,
        help="It is read as data only; nothing in it is run. cm.save_external writes results from elsewhere: samples "
        "by number of steps, reported KLs, and where they come from.",
    )
    if file is None:
        ledger.IMPORT.end()
    else:
        set_value("import problem", "")
        try:
            run = ledger.bring_in(file.name, file.getvalue())
        except BadRun as problem:
            set_value("import problem", str(problem))
        else:
            if run is None:
                wait_line(ledger.IMPORT, "Read it")
                return
            if isinstance(run, Run):
                set_value("compared", [*value("compared")[-1:], run.key])
        set_value("imports", round_ + 1)  # an empty uploader again
        st.rerun()
    if words := value("import problem"):
        st.warning(plain(words))
