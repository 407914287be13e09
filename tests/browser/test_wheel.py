"""The lab as it is installed, from another folder: nothing of the checkout is there but what the wheel took along."""

import importlib.util
import os
import sys
import tarfile
import urllib.request
import zipfile
from types import SimpleNamespace

import pytest

from benchmarks.wheel_walk import PAPER, build, imported_from, install, installed_files, serve, site_packages, walk
from tests.browser.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if importlib.util.find_spec("hatchling") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("WHEEL NOT TESTED: `make venv` brings hatchling.")
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the libraries of this one, and the lab from its wheel; and somebody's home."""
    folder, home = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("home")
    return SimpleNamespace(python=install(wheel, folder, borrow=True), home=home)


def test_d7_a_wheel_opens_the_lab_from_any_folder_and_keeps_runs_in_the_users_own(installed, browser):
    python, home = installed.python, installed.home
    assert all(place.startswith(str(site_packages(python))) for place in imported_from(python, home))
    before = installed_files(python)
    kept = home / ("Library/Application Support" if sys.platform == "darwin" else ".local/share") / "consistency-lab"
    with serve(python, home) as address:
        seen = walk(address, browser, kept / "runs")
    assert seen["the run on the stage"].startswith("gaussian_grid")  # one that is shipped
    assert seen["the paper"] == PAPER  # its settings were read
    assert seen["figures of a shipped answer"] > 0
    assert (seen["runs kept"], seen["errors"]) == (1, [])
    assert installed_files(python) == before
    assert {path.name for path in home.iterdir()} <= {"log.txt", ".local", ".cache", ".streamlit", "Library"}


def test_d7_the_server_for_strangers_is_in_the_wheel_too(installed):
    lab = serve(installed.python, installed.home, "--hosted", CONSISTENCY_LAB_KEPT="")
    with lab as address, urllib.request.urlopen(address) as answer:
        assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]


def test_d7_a_source_distribution_makes_the_same_wheel(wheel, tmp_path, monkeypatch):
    from hatchling.build import build_sdist

    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / build_sdist(str(tmp_path))) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    with zipfile.ZipFile(build(tmp_path / "wheel", source)) as again, zipfile.ZipFile(wheel) as first:
        assert set(again.namelist()) == set(first.namelist())
