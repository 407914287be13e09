"""Who is let in: the names a shared server answers to, the sites whose pages may speak to it, and the open paths."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config

from app.hosting.refusal import refuse

LOOPBACK = ("localhost", "*.localhost", "127.0.0.1", "::1")
"""Names of this machine, to which a server answers that was given no other."""
HEALTH = re.compile(r"/_stcore/health$")
"""What a health check asks for, by whatever address it reaches the server; the answer says "ok"."""
CLOSED = re.compile(
    r"/_stcore/(?!(health|host-config|stream)$|upload_file/|bidi-components/)|/(auth|component)/|/oauth2"
)
"""Paths of Streamlit that the lab does not need: metrics, an interface for programs, logins, older components."""
UPLOAD = re.compile(r"/_stcore/upload_file/")
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Refuses unknown hosts, pages of other sites, closed paths, and methods that change something elsewhere.

    The names are those of the setting `server.allowedHosts`. Streamlit asks for them at its websocket alone, and lets
    pages of any port of this machine speak to it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = _refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refused:
            await refuse(scope, receive, send, *refused)
        else:
            await self._app(scope, receive, send)


def _refusal(scope: Scope) -> tuple[int, str] | None:
    """The status and the sentence of a request that is not let in."""
    headers, path = Headers(scope=scope), scope["path"]
    host, method = headers.get("host", ""), scope.get("method", "GET")
    if not (_is_named(_name(host)) or HEALTH.search(path)):
        return 400, _unknown(host)
    if CLOSED.search(path):
        return 404, "There is nothing here."
    if method not in READING and not (method in ("PUT", "DELETE") and UPLOAD.search(path)):
        return 405, f"Nothing here is changed by {method[:20]}."
    changes = scope["type"] == "websocket" or method not in READING
    if changes and not _is_own(headers.get("origin"), host):
        return 403, "Pages of other sites may not speak to this server. Open the lab by its own address."
    return None


def _name(host: str) -> str:
    """The name in a Host header, without its port; empty where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        valid = parts.netloc == host and "@" not in host and (parts.port or 1) > 0
    except ValueError:
        return ""
    return (parts.hostname or "").rstrip(".") if valid else ""


def _is_named(name: str) -> bool:
    """Whether the server answers to this name."""
    patterns = [pattern.strip().lower().rstrip(".") for pattern in config.get_option("server.allowedHosts") or LOOPBACK]
    return bool(name) and any(
        name.endswith(pattern[1:]) if pattern.startswith("*") else name == pattern for pattern in patterns
    )


def _unknown(host: str) -> str:
    named = config.get_option("server.allowedHosts")
    how = "Open the lab by its own address, and let a proxy in front pass the Host header on."
    if not named:
        how = "Whoever runs it names its address: STREAMLIT_SERVER_ALLOWED_HOSTS=lab.school.example."
    return f"This server does not answer to the name {host[:80]!r}. {how}"


def _is_own(origin: str | None, host: str) -> bool:
    """Whether the page that asks is one of this server's own; programs are no pages, and say nothing.

    A proxy may leave the port out of Host, so under a configured name that name alone counts. Names of this machine
    belong to whatever runs on its ports, so there the port counts too.
    """
    if origin is None:
        return True
    scheme, _, site = origin.partition("://")
    if scheme not in ("http", "https"):
        return False
    return site.lower() == host.lower() or (bool(config.get_option("server.allowedHosts")) and _is_named(_name(site)))
