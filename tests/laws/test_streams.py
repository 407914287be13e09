"""Laws of the random streams: the first rows of a draw do not depend on how many follow."""

import pytest
import torch

from cmcore.streams import normal, stream
from tests.laws.every_target import TARGETS


@pytest.fixture(params=TARGETS.values(), ids=list(TARGETS))
def target(request):
    return request.param


@pytest.mark.parametrize("width", [1, 2, 3, 5000])
@pytest.mark.parametrize("n", [1, 7, 1003])
def test_n9_the_first_rows_of_noise_do_not_depend_on_how_many_follow(n, width):
    few, many = (normal(m, width, generator=stream(1, "rows")) for m in (n, n + 2000 if width < 100 else n + 17))
    assert few.shape == (n, width)
    assert torch.equal(few, many[:n])


def test_noise_is_normal():
    noise = normal(200_000, 2, generator=stream(0, "moments"))
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.var()) == pytest.approx(1, abs=0.02)
    assert abs(float(torch.corrcoef(noise.T)[0, 1])) < 0.01
    assert len(noise.unique()) > 399_000


@pytest.mark.parametrize("t", [0.0, 0.3])
def test_n9_the_first_samples_of_a_target_do_not_depend_on_how_many_follow(target, t):
    few, many = (target.sample(n, t=t, generator=stream(2, "prefix")) for n in (7, 5003))
    torch.testing.assert_close(few, many[:7], rtol=0, atol=1e-12)
