"""The shared server as it is started: what is closed, who is let in, and that messages which end a page end it."""

import http.client
import json
import os
import socket
import uuid

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests import forked
from tests.browser.conftest import ROOT, served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("hosted") / "log.txt"
    with served(["hosted.py"], log) as address:
        yield address.removeprefix("http://"), log


def ask(address, method, path, body=None, **headers):
    wire = http.client.HTTPConnection(address, timeout=240)
    wire.request(method, path, body, headers)
    answer = wire.getresponse()
    text = answer.read().decode()
    wire.close()
    return answer, text


def test_s9_a_server_is_named_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMLIT_SERVER_ALLOWED_HOSTS", "lab.example *.labs.example")
    with served(["hosted.py"], tmp_path / "log.txt") as url:
        address = url.removeprefix("http://")
        for host, status in {"lab.example": 200, "one.labs.example:80": 200, address: 400}.items():
            assert ask(address, "GET", "/", Host=host)[0].status == status, host
        name, port = address.split(":")
        with stream("lab.example", origin="https://lab.example", sock=socket.create_connection((name, int(port)))):
            pass


def test_s9_a_server_that_is_named_in_another_form_says_so_and_does_not_start(tmp_path):
    named = os.environ | {"STREAMLIT_SERVER_ALLOWED_HOSTS": '["lab.example"]'}
    server = forked.python(["hosted.py"], ROOT, named, tmp_path / "log.txt")
    server.wait()
    assert server.exitcode == 1
    said = (tmp_path / "log.txt").read_text()
    assert said.count("\n") == 1
    assert "spaces between" in said


def stream(address, **options):
    return connect(f"ws://{address}/_stcore/stream", subprotocols=["streamlit"], max_size=None, **options)


def test_s9_a_shared_server_lets_in_what_it_should(server):
    address, _ = server
    answer, text = ask(address, "GET", "/", Host="evil.example")
    assert (answer.status, text[-1:]) == (400, "\n")
    assert answer.getheader("Content-Security-Policy"), "a refusal has the headers too"
    assert ask(address, "GET", "/_stcore/metrics")[0].status == 404
    steering = json.loads(ask(address, "GET", "/_stcore/host-config")[1])["allowedOrigins"]
    assert steering == ["https://nobody.invalid"], "no site may steer the page from a frame around it"
    assert ask(address, "GET", "/_stcore/health", Host="10.1.2.3")[0].status == 200
    with pytest.raises(InvalidStatus) as refused:
        stream(address, origin="http://localhost:3000")
    assert refused.value.response.status_code == 403
    assert b"own address" in refused.value.response.body
    with stream(address, origin=f"http://{address}"):
        pass


def test_s9_a_page_that_sends_nonsense_is_closed_and_the_log_stays_short(server):
    address, log = server
    before = len(log.read_text())
    for _ in range(20):
        with stream(address) as page:
            page.send(b"\xff" * 100)
            with pytest.raises(ConnectionClosed) as end:
                list(page)
            assert end.value.rcvd.code == 1008
    text = log.read_text()[before:]
    assert "Traceback" not in text
    assert len(text) < 20 * 300


def test_s6_no_more_of_a_message_is_gathered_than_one_may_have(server):
    address, _ = server
    with stream(address) as page:

        def send_parts_and_read():
            page.send([bytes(64 << 10)] * 5)  # as one that is half sent
            list(page)

        with pytest.raises(ConnectionClosed) as end:
            send_parts_and_read()
        # what is unread when the server closes may reset the connection before its reason arrives
        assert end.value.rcvd is None or end.value.rcvd.code == 1009


def test_s6_files_go_through_the_guard_to_streamlit_and_one_too_many_is_refused_in_a_sentence(server):
    address, _ = server
    with stream(address) as page:
        message = BackMsg()
        message.rerun_script.query_string = ""
        page.send(message.SerializeToString())
        first = ForwardMsg.FromString(page.recv(timeout=240))
        session = first.new_session.initialize.session_id
        cookie = ask(address, "GET", "/_stcore/health")[0].getheader("set-cookie").split(";")[0]
        kind = "multipart/form-data; boundary=x"
        head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\n'
        headers = {"Cookie": cookie, "X-Xsrftoken": cookie.partition("=")[2], "Content-Type": kind}
        ends = []
        for _ in range(8):
            body = head + bytes(4 << 20) + b"\r\n--x--\r\n"
            answer, text = ask(address, "PUT", f"/_stcore/upload_file/{session}/{uuid.uuid4()}", body, **headers)
            ends.append(answer.status)
        assert ends == [204] * 5 + [413] * 3
        assert "24 MB together" in text
