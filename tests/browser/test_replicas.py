"""Two replicas behind nginx, as deploy/nginx.conf has them: who stays where, and what the end of one costs."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.browser.conftest import EVALUATES, PATIENCE, eventually, row_of, start_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SAME = {"STREAMLIT_SERVER_COOKIE_SECRET": "the same on both", "MALLOC_ARENA_MAX": "2"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Replicas:
    """Two servers and the proxy before them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        started = [start_server(["hosted.py"], folder / f"{i}.txt", kept=folder / "kept") for i in range(2)]
        self.processes = {int(address.rpartition(":")[2]): process for process, address in started}
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.proxy = self._start_proxy()

    def _start_proxy(self) -> subprocess.Popen:
        text = CONFIG.read_text(encoding="utf-8")
        for stands, ours in zip((8501, 8502), self.processes, strict=True):
            assert f"127.0.0.1:{stands}" in text
            text = text.replace(f"127.0.0.1:{stands}", f"127.0.0.1:{ours}")
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        places = "".join(f"    {kind}_temp_path {self.folder}/{kind};\n" for kind in ("client_body", "proxy"))
        places += "".join(f"    {kind}_temp_path {self.folder}/{kind};\n" for kind in ("fastcgi", "uwsgi", "scgi"))
        text = text.replace("    access_log off;\n", f"{places}    access_log off;\n")
        text = text.replace(
            "add_header Set-Cookie", "add_header X-Replica $upstream_addr always;\n            add_header Set-Cookie"
        )
        config = self.folder / "nginx.conf"
        head = f"daemon off;\npid {self.folder}/pid;\nerror_log {self.folder}/error;\n"
        config.write_text(head + text, encoding="utf-8")
        process = subprocess.Popen([NGINX, "-c", str(config), "-p", str(self.folder)])
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=20):
                    return process
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        raise AssertionError((self.folder / "error").read_text(encoding="utf-8"))

    def stop(self) -> None:
        self.proxy.terminate()  # killed it would leave its workers behind
        for process in self.processes.values():
            process.kill()
        for process in (self.proxy, *self.processes.values()):
            process.wait()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """Of all tests here; the last one kills one of them."""
    if NGINX is None:
        pytest.skip("REPLICAS NOT TESTED: no nginx on this machine; tests/install_programs brings one.")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SAME.items():
            patch.setenv(name, value)
        both = Replicas(tmp_path_factory.mktemp("replicas"))
    yield both
    both.stop()


def replica_of(headers) -> int:
    """The port of the replica that answered; of several that were asked the last."""
    return int(headers["x-replica"].rpartition(":")[2])


def test_a_new_visitor_gets_a_cookie_once_and_all_of_it_leads_to_one_replica(replicas):
    seen, visitors = set(), 0
    while visitors < 12 or (len(seen) < 2 and visitors < 200):  # by chance all of twelve may go to one
        visitors += 1
        with urllib.request.urlopen(f"{replicas.address}/_stcore/health") as answer:
            (cookie,) = (c for c in answer.headers.get_all("Set-Cookie") if c.startswith("lab_replica"))
            first = replica_of(answer.headers)
        assert "HttpOnly" in cookie
        for _ in range(3):
            request = urllib.request.Request(f"{replicas.address}/_stcore/health", headers={"Cookie": cookie})
            with urllib.request.urlopen(request) as answer:
                assert "lab_replica" not in str(answer.headers.get_all("Set-Cookie"))
                assert replica_of(answer.headers) == first
        seen.add(first)
    assert seen == set(replicas.processes), "both share the visitors"


def test_a_killed_replica_loses_neither_the_view_nor_the_kept_runs_and_uploads_pass(replicas, browser, tmp_path):
    page = browser.new_context(viewport={"width": 1440, "height": 980}, reduced_motion="reduce", **EVALUATES).new_page()
    page.set_default_timeout(PATIENCE)
    answers: list[tuple[str, int]] = []

    def note(answer) -> None:
        if "/_stcore/" in answer.url:  # the browser keeps the rest
            answers.append((answer.url, replica_of(answer.headers)))

    page.on("response", note)
    page.goto(f"{replicas.address}/train?steps=60&objective=lsd&network=small")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Open in Explore").wait_for()

    table = tmp_path / "rows.csv"
    table.write_text("a,b\n" + "\n".join(f"{i % 7},{(i * i) % 11}" for i in range(200)), encoding="utf-8")
    page.get_by_text("Your data (CSV)").click()
    page.locator("input[type=file]").set_input_files(table)
    page.get_by_text("200 rows").first.wait_for()
    assert eventually(page, lambda: any("upload_file" in url for url, _ in answers))
    assert len({replica for _, replica in answers}) == 1
    page.get_by_role("link", name="Runs", exact=True).click()
    row_of(page, "LSD").first.wait_for(state="attached")

    here = answers[-1][1]
    replicas.processes[here].kill()
    replicas.processes[here].wait()
    page.goto("about:blank")  # the page before looks for its server too
    answers.clear()
    page.goto(f"{replicas.address}/?n=2&seed=5")
    page.wait_for_function("window.particleStage?.frames > 0 && window.particleStage?.steps === 2")
    assert {url: replica for url, replica in answers if replica == here} == {}
    assert "seed=5" in page.url
    page.get_by_role("link", name="Runs", exact=True).click()
    row_of(page, "LSD").first.wait_for(state="attached")
    page.context.close()
