"""The hosted lab on a free port of the loopback, for programs that measure it from outside."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

__all__ = ["ROOT", "start_server"]

ROOT = Path(__file__).parents[1]
START_SECONDS = 120.0


def start_server(
    log: Path, settings: Mapping[str, str], *, checkout: Path = ROOT, memory: int = 0
) -> tuple[subprocess.Popen, str]:
    """Start the server of a checkout, and wait until it answers; its process and its address.

    Args:
        log: the file for what it prints.
        settings: of its environment.
        memory: bytes of data that it may have, where the system can bound them; 0: as many as there are.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bound = ["prlimit", f"--data={memory}", "--"] if memory and shutil.which("prlimit") else []
    tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []  # it ends with this program
    command = [*tied, *bound, sys.executable, "hosted.py", f"--server.port={port}", "--server.address=127.0.0.1"]
    environment = {**os.environ, "PYTHONPATH": str(checkout), **settings}
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=checkout, stdout=out, stderr=subprocess.STDOUT, env=environment)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return process, address
        except OSError:
            time.sleep(0.2)
    process.kill()
    raise SystemExit(f"The server did not start; see {log}.")
