"""A shared server answers to its own names, to pages of its own, and where the lab needs it; else with a sentence."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from app.hosting import access
from app.hosting.access import Access


async def talk(websocket):
    await websocket.accept()
    await websocket.close()


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
APP = Starlette(
    routes=[
        WebSocketRoute("/_stcore/stream", talk),
        Route("/{path:path}", lambda request: PlainTextResponse("ok"), methods=METHODS),
    ],
    middleware=[Middleware(Access)],
)


@pytest.fixture
def client():
    with TestClient(APP, base_url="http://localhost:8501") as client:
        yield client


@pytest.fixture
def named(monkeypatch):
    names = ["lab.school.example", "*.labs.example"]
    monkeypatch.setattr(access.config, "get_option", {"server.allowedHosts": names}.get)


def status(client, host, path="/"):
    return client.get(path, headers={"host": host}).status_code


def opens(client, host, origin):
    """Whether a websocket opens."""
    headers = {"host": host, **({"origin": origin} if origin else {})}
    try:
        with client.websocket_connect("/_stcore/stream", headers=headers):
            return True
    except WebSocketDenialResponse as refusal:
        return not (refusal.status_code in (400, 403) and refusal.text.endswith(".\n"))


def test_s9_without_a_name_a_server_answers_to_this_machine_alone(client):
    for host in ("localhost:8501", "127.0.0.1", "[::1]:8501", "LOCALHOST"):
        assert status(client, host) == 200, host
    for host in ("", "evil.example", "localhost.evil.example", "evil@localhost", "localhost/x", "127.0.0.1:x", "[::1"):
        answer = client.get("/", headers={"host": host})
        assert answer.status_code == 400, host
        assert "STREAMLIT_SERVER_ALLOWED_HOSTS" in answer.text
    assert status(client, "10.0.0.7:8501", "/_stcore/health") == 200, "a health check comes by any address"


def test_s9_a_server_with_a_name_answers_to_that(client, named):
    for host in ("lab.school.example", "Lab.School.Example:443", "one.labs.example"):
        assert status(client, host) == 200, host
    for host in (
        "localhost:8501",
        "school.example",
        "labs.example",
        "xlabs.example",
        "lab.school.example.evil.example",
    ):
        assert status(client, host) == 400, host


def test_s9_pages_of_other_sites_and_other_ports_of_this_machine_may_not_speak_to_it(client):
    own = "localhost:8501"
    assert opens(client, own, None)
    assert opens(client, own, "http://localhost:8501")
    for origin in (
        "http://localhost:3000",
        "http://localhost",
        "http://127.0.0.1:8501",
        "null",
        "file://",
        "https://evil",
    ):
        assert not opens(client, own, origin), origin
        answer = client.put("/_stcore/upload_file/a/b", headers={"origin": origin})
        assert answer.status_code == 403, origin
    assert not opens(client, "evil.example", "http://evil.example")


def test_s9_behind_a_proxy_the_name_counts(client, named):
    assert opens(client, "lab.school.example", "https://lab.school.example:8443")
    assert not opens(client, "lab.school.example", "https://school.example")


@pytest.mark.parametrize(
    "path",
    ["/_stcore/metrics", "/base/_stcore/metrics", "/_stcore/agent/interact", "/_stcore/script-health-check",
     "/auth/login", "/oauth2callback", "/component/x/index.html", "/_stcore/health/x"],
)  # fmt: skip
def test_s9_what_the_lab_does_not_need_is_closed(client, path):
    assert client.get(path).status_code == 404


def test_what_the_lab_needs_is_open(client):
    for path in ("/", "/kl", "/static/js/x.js", "/media/x.png", "/_stcore/health", "/_stcore/host-config",
                 "/_stcore/bidi-components/x/y.js"):  # fmt: skip
        assert client.get(path).status_code == 200, path
    for method in METHODS:
        assert client.request(method, "/kl").is_success == (method in ("GET", "HEAD", "OPTIONS")), method
        assert client.request(method, "/_stcore/upload_file/a/b").is_success == (method not in ("POST", "PATCH")), (
            method
        )
