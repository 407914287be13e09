"""What a visitor sees when the lid is closed, and when the server is killed."""

import socket
import threading
from contextlib import suppress

import pytest

from tests.browser.conftest import EVALUATES, PATIENCE, eventually, row_of, served, start_server
from tests.browser.test_train import until_it_learns

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LEASE = 1
"""Seconds without a look after which a job is stopped here while the lid is closed, in place of 25."""
IMPATIENT = f"""
import sys, threading
from pathlib import Path
from streamlit.web import cli
from app.background.jobs import LEASE_SECONDS, Job

lid = Path(sys.argv.pop(1))
Job._lease = property(lambda job: {LEASE} if lid.exists() else LEASE_SECONDS, lambda job, lease: None)
end = Job._end
def tell(job, *how):
    end(job, *how)
    if lid.exists() and threading.current_thread().name.startswith("training"):
        lid.with_name("over").touch()
Job._end = tell
sys.argv = ["streamlit", "run", "streamlit_app.py", "--server.headless=true", *sys.argv[1:]]
cli.main()
"""


class Cable:
    """A wire between a browser and a server that can be pulled out: what was connected breaks, nothing new connects."""

    def __init__(self, server: str) -> None:
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.plug(server)
        threading.Thread(target=self._accept, daemon=True).start()

    def plug(self, server: str) -> None:
        """Lead to this server from now on."""
        self._port: int | None = int(server.rpartition(":")[2])

    def pull(self) -> None:
        """Lead nowhere."""
        self._port = None
        for end in self._ends:
            _close(end)

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._port or 0))
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    _close(one)
    _close(other)


def _close(end: socket.socket) -> None:
    """Both ways at once, so that the thread which reads from it ends too."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@pytest.fixture
def visit(browser):
    """Opens an address in a browser of its own, which may lose its server: its console is not looked at."""
    contexts = []

    def open_at(address):
        context = browser.new_context(viewport={"width": 1440, "height": 980}, reduced_motion="reduce", **EVALUATES)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        return page

    yield open_at
    for context in contexts:
        context.close()


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def test_a_closed_lid_finds_the_page_again_and_the_weights_of_the_training(visit, tmp_path):
    lid = tmp_path / "closed"
    with served(["-c", IMPATIENT, str(lid)], tmp_path / "log.txt") as address:
        cable = Cable(address)
        page = visit(f"{cable.address}/train?steps=90000&objective=lsd&network=small")
        press(page, "Start training")
        until_it_learns(page)
        cable.pull()
        lid.touch()
        assert eventually(page, lid.with_name("over").exists)
        lid.unlink()  # a busy machine may take longer than this lease between two looks of an open page
        cable.plug(address)
        page.get_by_text(f"Nobody looked at it for {LEASE} s, so it was stopped. The weights of step").wait_for()
        assert "objective=lsd" in page.url
        press(page, "Continue training")
        page.get_by_role("heading", name="Training", exact=True).wait_for()
        press(page, "Stop")
        page.get_by_text("Stopped early").wait_for()


def test_a_killed_server_is_said_and_the_finished_run_is_there_when_it_is_back(visit, tmp_path):
    process, address = start_server(["hosted.py"], tmp_path / "log.txt")
    try:
        cable = Cable(address)
        page = visit(f"{cable.address}/train?steps=60&objective=lsd&network=small")
        press(page, "Start training")
        page.get_by_role("button", name="Open in Explore").wait_for()
    finally:
        process.kill()
        process.wait()
    cable.pull()
    page.get_by_text("server is not responding").wait_for()
    with served(["hosted.py"], tmp_path / "log.txt") as again:
        cable.plug(again)
        page.get_by_text("From a link: Two moons").wait_for()
        page.get_by_role("link", name="Runs", exact=True).click()
        row_of(page, "LSD").first.wait_for(state="attached")
