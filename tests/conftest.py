"""What every test may rely on: one thread, repeatable examples, loud words where a GPU or a browser is missing."""

import functools
import gc
import os
from collections.abc import Callable, Hashable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch loads: test workers share the cores
os.environ["CONSISTENCY_LAB_KEPT"] = ""  # no test leaves runs in somebody's cache; those about keeping name a place

import jaxtyping
import pytest
import torch
from hypothesis import settings
from streamlit.components.v2 import manifest_scanner

from benchmarks.browser import find_browser

torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")

CHECKED = [Path(__file__).parent / "laws", Path(__file__).parent / "oracles"]
"""Where the engine is called with its shapes and types checked, which makes a test take half as long again."""


def checked_when_asked(fn: Callable, decorate: Callable) -> Callable:
    """A function of the engine whose shapes are checked where `jaxtyping_disable` is off.

    Three things make that cheap. The code that checks is written at the first call that asks for it, since most tests
    ask for none. A call with the shapes and types of one that has passed is not checked a second time. And a function
    made within another is left as it is: it would be written anew each time that the other is called, which took half
    of the time of many tests, and what it is given has passed the checks of functions that are not.
    """
    if "<locals>" in fn.__qualname__:
        return fn
    checks = functools.cache(lambda: decorate(fn))
    passed = set()

    @functools.wraps(fn)
    def call(*args, **kwargs):
        if jaxtyping.config.jaxtyping_disable:
            return fn(*args, **kwargs)
        shapes = (*map(shape_of, args), *((name, shape_of(value)) for name, value in kwargs.items()))
        if shapes in passed:
            return fn(*args, **kwargs)
        result = checks()(*args, **kwargs)
        passed.add(shapes)
        return result

    return call


def shape_of(value: object) -> Hashable:
    """What a check sees of an argument: a number by its value, as an axis may be named after it."""
    if isinstance(value, torch.Tensor):
        return type(value), value.dtype, value.shape
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, tuple | list):
        return type(value), *map(shape_of, value)
    return type(value), getattr(value, "__dict__", {}).get("dim")


def jaxtyped(*, typechecker: Callable, _original: Callable = jaxtyping.jaxtyped) -> Callable:
    """What the import hook of `--jaxtyping-packages` puts before every class and function."""
    decorate = _original(typechecker=typechecker)
    return lambda one: decorate(one) if isinstance(one, type) else checked_when_asked(one, decorate)


jaxtyping.jaxtyped = jaxtyped
jaxtyping.config.update("jaxtyping_disable", True)  # until a test asks: also while files are imported


# A page that is tested by itself looks through everything that is installed for components of others: a tenth of a
# second for each, and there are none.
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Laws come last: their files are the shortest, so that no worker waits long for the other's last."""
    items.sort(key=lambda item: item.path.parent.name == "laws")


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no full collection, half a second each, looks at it again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    checked = item.path.parent in CHECKED and not item.get_closest_marker("slow")
    jaxtyping.config.update("jaxtyping_disable", not checked)
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("CUDA NOT TESTED: this machine has no CUDA device.")
    if item.get_closest_marker("browser") and find_browser() is None:
        reason = "BROWSER NOT TESTED: no Chromium on this machine; tests/install_programs brings one."
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device a test must hold on."""
    return request.param
