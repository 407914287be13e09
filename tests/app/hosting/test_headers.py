"""The headers of a shared server: on every answer, and not loosened by a setting that is no list of sites."""

import importlib.util
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.web.server.app_discovery import discover_asgi_app

from app.hosting.headers import SecurityHeaders, headers, inline_scripts


def test_every_answer_carries_them_once():
    app = Starlette(
        routes=[Route("/", lambda request: PlainTextResponse("ok", headers={"Referrer-Policy": "unsafe-url"}))],
        middleware=[Middleware(SecurityHeaders)],
    )
    with TestClient(app) as client:
        for path in ("/", "/missing"):
            answer = client.get(path)
            for name, value in headers("'self'").items():
                assert answer.headers.get_list(name) == [value]


def test_what_says_nothing_of_caches_is_for_its_visitor_alone():
    def answer(request):
        return PlainTextResponse("ok", headers=dict(request.query_params))

    app = Starlette(routes=[Route("/", answer)], middleware=[Middleware(SecurityHeaders)])
    with TestClient(app) as client:
        assert client.get("/").headers.get_list("Cache-Control") == ["private"]
        told = client.get("/", params={"Cache-Control": "public, max-age=3600"})
        assert told.headers.get_list("Cache-Control") == ["public, max-age=3600"]


def test_s9_at_home_the_lab_has_the_same_policy():
    """`streamlit run streamlit_app.py` serves what Streamlit discovers in the file, and Streamlit runs it as a page."""
    entry = Path(__file__).parents[3] / "streamlit_app.py"
    assert discover_asgi_app(entry).import_string == "streamlit_app:app"
    spec = importlib.util.spec_from_file_location("streamlit_app", entry)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.app.script_path == entry
    assert [guard.cls for guard in module.app._user_middleware] == [SecurityHeaders]


def test_the_page_of_streamlit_has_inline_scripts_and_each_is_allowed_by_its_hash():
    assert inline_scripts()
    assert all(script in headers("'self'")["Content-Security-Policy"] for script in inline_scripts())
    assert "'unsafe-inline'" not in headers("'self'")["Content-Security-Policy"].split("script-src")[1].split(";")[0]


def test_a_school_may_frame_the_lab_and_nobody_else():
    framed = headers("'self' https://*.school.example:8443")
    assert framed["Content-Security-Policy"].endswith("frame-ancestors 'self' https://*.school.example:8443")
    assert "X-Frame-Options" not in framed


@pytest.mark.parametrize("frames", ["", "*", "https://a.example; script-src *", "javascript:", "a\r\nSet-Cookie: x"])
def test_what_is_no_list_of_sites_is_refused(frames):
    with pytest.raises(ValueError, match="frame the lab"):
        headers(frames)
