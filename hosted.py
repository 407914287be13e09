"""Consistency Lab for strangers: `python hosted.py`, with the limits, headers and settings of a shared server.

The environment changes what is set here: `CONSISTENCY_LAB_LIMITS` the limits (app/hosting/limits.py),
`CONSISTENCY_LAB_FRAMES` the sites that may show the lab in a frame, and `STREAMLIT_SERVER_PORT` and its like the
settings of the server, as do arguments: `python hosted.py --server.port=80`.
"""

import os
import sys
from pathlib import Path

import streamlit as st
from streamlit.web import cli

from app.hosting.frames import receive_small_messages
from app.hosting.guards import guards
from app.hosting.log import keep_log_brief
from app.hosting.memory import share_arenas, tidying

PROCESS = {
    "CONSISTENCY_LAB_HOSTED": "1",
    "OMP_NUM_THREADS": "1",
}
SERVER = {
    "STREAMLIT_CLIENT_ALLOWED_ORIGINS": "https://nobody.invalid",  # no site around the lab steers it
    "STREAMLIT_CLIENT_SHOW_ERROR_DETAILS": "none",
    "STREAMLIT_CLIENT_TOOLBAR_MODE": "minimal",
    "STREAMLIT_LOGGER_ENABLE_RICH": "false",
    "STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": "300",  # a closed lid or a lost network finds its session again
    "STREAMLIT_SERVER_ENABLE_CORS": "true",
    "STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION": "true",
    "STREAMLIT_SERVER_FILE_WATCHER_TYPE": "none",
    "STREAMLIT_SERVER_HEADLESS": "true",
    "STREAMLIT_SERVER_MAX_CACHE_DATA_SIZE": "200mb",
    "STREAMLIT_SERVER_MAX_MESSAGE_SIZE": "20",
    "STREAMLIT_SERVER_MAX_UPLOAD_SIZE": "5",  # the server refuses more before the page sees it
}
for _name, _value in {**PROCESS, **SERVER}.items():
    os.environ.setdefault(_name, _value)  # before torch is loaded
share_arenas()
keep_log_brief()


def check_limits() -> None:
    """Say what is wrong with the environment before the first visitor, who then finds torch loaded too."""
    from app.hosting.limits import limits

    if set("[]\"',") & set(os.environ.get("STREAMLIT_SERVER_ALLOWED_HOSTS", "")):
        raise SystemExit("STREAMLIT_SERVER_ALLOWED_HOSTS is names with spaces between: 'lab.example *.labs.example'.")
    try:
        limits()
    except ValueError as problem:
        raise SystemExit(str(problem)) from None


check_limits()
app = st.App(
    Path(__file__).with_name("streamlit_app.py"),
    middleware=guards(frames=os.environ.get("CONSISTENCY_LAB_FRAMES", "'self'")),
    lifespan=tidying,
)

if __name__ == "__main__":
    receive_small_messages()
    sys.argv = ["streamlit", "run", __file__, *sys.argv[1:]]
    cli.main()
