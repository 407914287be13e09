"""`import cmcore as cm` offers what it promises, and costs nothing until it is used."""

import subprocess
import sys
from importlib import import_module

import pytest

import cmcore as cm


@pytest.mark.parametrize("name", cm.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    assert getattr(cm, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = cm.no_such_name


@pytest.mark.parametrize("listing", [cm.targets, cm.objectives, cm.samplers, cm.estimators])
def test_listings_name_what_exists(listing) -> None:
    names = listing()
    assert names
    assert len(set(names)) == len(names)


def test_functions_keep_their_names_when_modules_of_the_same_name_are_loaded() -> None:
    for name in ("targets", "objectives", "samplers", "training"):
        module = import_module(f"cmcore.{name}")
        assert callable(getattr(cm, name))
        assert getattr(cm, name) is not module


def test_help_does_not_wait_for_heavy_libraries() -> None:
    code = "import sys, cmcore.cli; print([m for m in ('torch', 'pandas', 'scipy', 'sklearn') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_name_that_is_not_registered_is_bad_input_and_a_missing_key() -> None:
    from cmcore.objectives import OBJECTIVES

    assert OBJECTIVES.get("nobody") is None
    with pytest.raises(ValueError, match=r"^There is no objective named 'nobody'\."):
        _ = OBJECTIVES["nobody"]
