"""That the shapes in the engine's annotations are checked while laws run, and what is left out of it for its cost."""

import jaxtyping
import pytest
import torch

import cmcore as cm
from cmcore.samplers.ddim import ddim

TARGET = cm.make_target("moons")


def test_a_wrong_shape_is_refused_and_a_right_one_is_not():
    assert TARGET.score(torch.zeros(3, 2), 1.0).shape == (3, 2)
    with pytest.raises(jaxtyping.TypeCheckError, match="score"):
        TARGET.score(torch.zeros(3), 1.0)


def test_a_new_shape_is_checked_after_others_have_passed():
    for n in (2, 3, 3):
        assert TARGET.log_prob(torch.zeros(n, 2), 1.0).shape == (n,)
    for _ in range(2):
        with pytest.raises(jaxtyping.TypeCheckError, match="log_prob"):
            TARGET.log_prob(torch.zeros(3, 2, 1), 1.0)


def test_a_function_made_at_each_call_is_left_as_it_is():
    assert hasattr(ddim, "__wrapped__")
    assert not hasattr(ddim(TARGET.score), "__wrapped__")
