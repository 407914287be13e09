"""A cookie that the browser keeps for the lab: Streamlit reads cookies, but cannot set one."""

from pathlib import Path

from streamlit.components.v2 import component

_COMPONENT = component("visitor_cookie", js=Path(__file__).with_name("cookie.js").read_text(encoding="utf-8"))


def keep_cookie(name: str, token: str, *, seconds: int) -> None:
    """Have the browser keep `token` under `name` for so long; draws nothing."""
    _COMPONENT(key="visitor_cookie", data={"name": name, "token": token, "seconds": seconds})
