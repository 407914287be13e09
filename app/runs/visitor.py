"""Whose runs and trainings these are: a token that nobody can guess, made here and held by the browser in a cookie.

Why a cookie: a reload starts a new session, and a cookie comes with its very first request, before anything is drawn.
A query parameter would be copied with every link that is shared, and with it the runs; local storage can be read only
after the page has been drawn once without them. The cookie goes to this site alone (SameSite=Strict), holds nothing but
the token, and lasts as long as runs are kept.
"""

import re
import secrets

import streamlit as st

from app import state
from app.components.visitor_cookie import keep_cookie
from app.runs import disk

COOKIE = "consistency_lab_visitor"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
"""What `secrets.token_urlsafe(32)` makes: 256 random bits."""


def token() -> str:
    """The visitor's token: of this session, or from the browser's cookie, or a new one."""
    current = state.value("visitor")
    if current is None:
        cookie = str(st.context.cookies.get(COOKIE, ""))
        current = cookie if _TOKEN.fullmatch(cookie) else secrets.token_urlsafe(32)
        state.set_value("visitor", current)
    return current


def greet() -> None:
    """Let the browser keep the token, for as long as the server keeps runs, or else for the day of a training."""
    days = 1 if disk.root() is None else disk.bounds().days
    with st.container(key="visitor"):
        keep_cookie(COOKIE, token(), seconds=days * 24 * 3600)
