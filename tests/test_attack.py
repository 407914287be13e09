"""The attacks of `benchmarks/attack` in their short form: the server holds, and what looks for a fall can find one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.attack.attacks import ATTACKS, _code_in
from benchmarks.attack.files import CANARY, HOSTILE

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Each attack by its name, as the program writes it."""
    file = tmp_path_factory.mktemp("attack") / "rows.json"
    command = [sys.executable, "-m", "benchmarks.attack", "--short", "--json", str(file)]
    run = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert file.is_file(), run.stdout + run.stderr
    return {row["name"]: row for row in json.loads(file.read_text())}


@pytest.mark.slow
@pytest.mark.parametrize("one", ATTACKS, ids=lambda one: f"{one.finding.lower()}_{one.name}".replace(" ", "_"))
def test_the_server_holds(rows, one):
    row = rows[one.name]
    assert row["holds"], row["back"]
    assert row["threads"][1] - row["threads"][0] <= 16, "threads that an attack leaves"
    assert row["peak"] - row["before"] <= 400, row["back"]
    assert row["log"] < 60_000


@pytest.mark.slow
def test_s1_to_s9_what_is_counted(rows):
    numbers = {name: row["numbers"] for name, row in rows.items()}
    assert numbers["clear_cache between Starts"]["trainings"] <= max(1, (os.cpu_count() or 2) - 1)
    assert numbers["many uploads of one page"]["taken"] == 12
    assert 0 < numbers["half-sent uploads"]["held"] <= 16
    assert numbers["hostile names into exports"]["fetched"] > 4
    assert numbers["self-chosen cookies that keep runs"]["disk"] > 0
    assert numbers["malformed values of components"]["log"] < 60_000


def test_every_finding_has_an_attack():
    assert {one.finding for one in ATTACKS} == {f"S{i}" for i in (1, 2, 3, 4, 5, 6, 7, 9)}, "S8 is what remains of all"


def test_a_name_that_is_code_is_seen():
    bad = {
        "Script": f'raise SystemExit("Export {HOSTILE}.csv")',
        "Notebook": json.dumps({"cells": [{"cell_type": "code", "source": [f"{CANARY}()"]}]}),
        "CSV": "a,=cmd\n1,2\n",
        "Page that works offline (HTML)": f"<p><script>{CANARY}()</script></p>",
    }
    good = {
        "Script": f"x = {HOSTILE!r}",
        "Notebook": json.dumps({"cells": [{"cell_type": "markdown", "source": [f"{CANARY}()"]}]}),
        "CSV": "a,'=cmd\n1,-2\n",
        "Page that works offline (HTML)": f"<p>&lt;script>{CANARY}()&lt;/script></p>",
    }
    assert all(_code_in(kind, text.encode()) for kind, text in bad.items())
    assert not any(_code_in(kind, text.encode()) for kind, text in good.items())
    assert _code_in("Script", b"x = (")
