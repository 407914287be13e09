"""What the engine asks of its process: nothing that outlasts a call, and no digit that depends on how torch is set."""

import platform
import subprocess
import sys
from copy import deepcopy
from functools import partial

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import cmcore as cm
from cmcore.networks import Affine, Perceptron
from cmcore.runtime import choose_device, describe_device, exact_float32, linear
from cmcore.streams import stream

PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_, torch.ops.aten.bmm}
PRODUCTS |= {torch.ops.aten.baddbmm, torch.ops.aten.baddbmm_}
ONEDNN = torch.ops.mkldnn._linear_pointwise if torch.backends.mkldnn.is_available() else None


class Bfloat16Products(TorchDispatchMode):
    """A processor whose products of float32 matrices are bfloat16 unless torch is set to "highest"."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in PRODUCTS | {ONEDNN} and not exact_float32(torch.device("cpu")):
            factors = slice(0, 2) if func.overloadpacket == ONEDNN else slice(len(args) - 2, len(args))
            if args[factors][0].dtype == torch.float32:
                args = list(args)
                args[factors] = [factor.bfloat16().float() for factor in args[factors]]
        return func(*args, **(kwargs or {}))


@pytest.fixture(params=["highest", "high", "medium"])
def precision(request):
    """Each global precision that a user may have set, on a processor where it matters."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    with Bfloat16Products():
        yield request.param
    torch.set_float32_matmul_precision(before)


def test_the_simulated_processor_loses_digits(precision):
    """So that the tests below can fail."""
    a, b = torch.randn(2, 64, 64, generator=stream(0, "matrices"))
    error = float((a @ b - a.double() @ b.double()).abs().max())
    assert (error < 1e-4) == (precision == "highest")


LAWS = {
    "eight_gaussians": {},
    "moons": {},
    "circles": {},
    "checkerboard": {},
    "random_mixture": {"dim": 4},
    "product_of_mixtures": {"dim": 5},
}
digits: dict[str, torch.Tensor] = {}
"""What each test found first, with the first precision."""


def same_digits(what: str, found: torch.Tensor) -> bool:
    return torch.equal(digits.setdefault(what, found), found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LAWS)
def test_densities_and_scores_have_the_same_digits_at_any_precision(precision, name, dtype):
    target = cm.make_target(name, **LAWS[name])
    x = target.sample(100, generator=stream(1, "points"), t=0.3).to(dtype)
    for t in (0.1, torch.linspace(0.05, 2, 100)):
        assert same_digits(f"score {name} {dtype} {torch.as_tensor(t).ndim}", target.score(x, t))
        assert same_digits(f"density {name} {dtype} {torch.as_tensor(t).ndim}", target.log_prob(x, t))


@pytest.mark.parametrize("name", ["eight_gaussians", "gaussian", "checkerboard"])
def test_flows_have_the_same_digits_at_any_precision(precision, name):
    noise = torch.randn(50, 2, generator=stream(2, "noise"))
    assert same_digits(f"flow {name}", cm.ExactFlow(cm.make_target(name))(noise, 3.0, 0.05))


def learned(dim: int) -> cm.FlowMap:
    return cm.FlowMap(dim, cm.NetworkConfig(width=32, depth=2), generator=stream(3, "weights"))


@pytest.mark.parametrize("sampler", ["deterministic", "renoise"])
@pytest.mark.parametrize("dim", [1, 2])
def test_estimates_and_draws_have_the_same_digits_at_any_precision(precision, dim, sampler):
    target, f = cm.make_target("gaussian", dim=dim, offset=0.5), learned(dim)
    grid = cm.make_grid("uniform_angle", 2, horizon=3.0, delta=0.5)
    estimate = cm.kl(f, target, grid, seed=4, sampler=sampler, n=2048)
    assert same_digits(f"KL {dim} {sampler}", torch.tensor([estimate.value, estimate.low, estimate.high]))


def test_a_network_in_float32_is_exact_at_any_precision(precision):
    layer, h = Affine(40, 30, stream(5, "weights")), torch.randn(50, 40, generator=stream(5, "inputs"))
    exact = h.double() @ layer.weight.double().T + layer.bias.double()
    assert float((layer(h) - exact).detach().abs().max()) < 1e-5


@pytest.fixture(params=["as chosen", *(["oneDNN"] if ONEDNN else [])])
def library(request, monkeypatch):
    """Each library that may multiply here, also where it is not the faster one."""
    if request.param == "oneDNN":
        monkeypatch.setattr("cmcore.runtime._onednn_is_faster", lambda: True)
    return request.param


@pytest.mark.parametrize("shape", [(512, 128, 128), (2048, 2, 256), (128, 512, 34), (1, 1100, 1000), (3, 5, 7)])
def test_every_library_multiplies_exactly(library, shape):
    """Rows and columns in either order of memory, as gradients' are."""
    n, inputs, outputs = shape
    draw = partial(torch.randn, generator=stream(6, "factors"))
    for h in (draw(n, inputs), draw(inputs, n).mT):
        for weight in (draw(outputs, inputs), draw(inputs, outputs).mT):
            for bias in (None, draw(outputs)):
                exact = h.double() @ weight.double().mT + (0.0 if bias is None else bias.double())
                torch.testing.assert_close(linear(h, weight, bias), exact.float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("through", [False, True])
def test_every_library_gives_the_gradients_of_the_tape(library, through):
    perceptron = Perceptron([34, 64, 64, 2], generator=stream(7, "weights"))
    h, tangent = torch.randn(2, 512, 34, generator=stream(7, "inputs"))
    exact = deepcopy(perceptron).double()
    outputs = torch.func.jvp(exact, (h.double(),), (tangent.double(),))[: 1 + through]
    sum(out.square().sum() for out in outputs).backward()
    *found, pull_back = perceptron.pulled(h, tangent, torch.float32, through_tangent=through)
    pull_back(*(2 * out for out in found[: 1 + through]))
    for p, twin in zip(perceptron.parameters(), exact.parameters(), strict=True):
        assert float((p.grad - twin.grad).norm() / twin.grad.norm()) < 1e-5


@torch.no_grad()
def test_every_library_leaves_derivatives_to_transforms(library):
    """Tangents go along without a tape too."""
    layer, (h, along) = Affine(64, 64, stream(8, "weights")), torch.randn(2, 512, 64, generator=stream(8, "inputs"))
    plain, expected = layer(h), along @ layer.weight.mT
    found = [torch.func.jvp(layer, (h,), (along,))[1], torch.func.vmap(layer)(h) - plain + expected]
    with forward_ad.dual_level():
        found.append(forward_ad.unpack_dual(layer(forward_ad.make_dual(h, along))).tangent)
    for tangent in found:
        torch.testing.assert_close(tangent, expected, rtol=1e-5, atol=1e-5)


FIRST_CALLS = """
import threading, time, torch
import cmcore as cm

def state():
    found = []
    ask = threading.Thread(target=lambda: found.append((torch.get_num_threads(), torch.get_float32_matmul_precision())))
    ask.start()
    ask.join()
    return torch.get_num_threads(), torch.get_float32_matmul_precision(), *found

def work():
    target = cm.make_target("gaussian", dim=2, offset=0.5)
    model = cm.train(target, objective="flow_matching", steps=3, seed=0, batch=64)
    grid = cm.make_grid("uniform_angle", 1, horizon=3.0, delta=0.5)
    cm.kl(model, target, grid, seed=0, n=2048)
    cm.sample(model, 500, 2, seed=0)

for setting in (None, 3):
    if setting:
        torch.set_num_threads(setting)
        torch.set_float32_matmul_precision("high")
    before = state()
    for offset in (0.0, 0.02):
        others = [threading.Timer(delay, work) for delay in (0.0, offset)]
        for other in others:
            other.start()
        for other in others:
            other.join()
    print(state() == before)
"""


def test_n1_two_first_calls_leave_the_process_as_it_was():
    """Threads and precision, for the calling thread and for threads to come."""
    run = [sys.executable, "-c", FIRST_CALLS]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


LEAVING_GAPS = """
import torch
from cmcore.runtime import give_memory_back
def taken():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
blocks = [torch.zeros(4000) for _ in range(8000)]
last = blocks[-1]
blocks.clear()
print(taken(), give_memory_back(), taken())
"""
"""128 MB of small blocks, all of them free but the one on top, which keeps glibc from shrinking its heap."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone can be asked for its free memory")
def test_memory_is_given_back():
    run = [sys.executable, "-c", LEAVING_GAPS]
    before, given, after = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert 100 <= float(before) - float(after) <= 140
    assert given == "True"


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert describe_device(torch.device("cpu"), 1) == "CPU, 1 thread"
    assert describe_device(torch.device("cpu"), 2) == "CPU, 2 threads"
    with pytest.raises(ValueError, match="Unknown device"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA device"):
            choose_device("cuda")
