"""Headers that keep other sites out of the lab, for a server that is open to strangers.

Streamlit sets none of them on its page. The content policy allows what its front end needs and no more: its own files,
styles made by its components, pictures and workers made in the browser, and the code that Vega compiles from charts.
"""

import base64
import hashlib
import re
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SOURCE = re.compile(r"'self'|'none'|https?://(\*\.)?[A-Za-z0-9.-]+(:\d+)?")


class SecurityHeaders:
    """Adds :func:`headers` to every HTTP answer; websockets pass.

    Args:
        app: the application behind it.
        frames: who may show the lab in a frame, as in a frame-ancestors policy: "'self' https://school.example".
    """

    def __init__(self, app: ASGIApp, *, frames: str = "'self'") -> None:
        self._app = app
        self._headers = headers(frames)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                sent.update(self._headers)
                sent.setdefault("Cache-Control", "private")  # a file to download is its visitor's
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def headers(frames: str) -> dict[str, str]:
    """The headers by name; ValueError where `frames` is no list of sites."""
    if not frames.split() or not all(SOURCE.fullmatch(source) for source in frames.split()):
        raise ValueError(
            f"Sites that may frame the lab are written 'self' https://school.example; got {frames[:60]!r}."
        )
    policy = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", "blob:", "'wasm-unsafe-eval'", *inline_scripts()]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "worker-src": "'self' blob:",
        "media-src": "'self' blob: data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(frames.split()),
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if frames == "'self'":
        headers["X-Frame-Options"] = "SAMEORIGIN"  # for browsers that know no frame-ancestors
    return headers


def inline_scripts() -> list[str]:
    """Hashes of the scripts that stand inside Streamlit's own page."""
    page = Path(streamlit.__file__).with_name("static") / "index.html"
    scripts = re.findall(r"<script>(.*?)</script>", page.read_text("utf-8"), flags=re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]
