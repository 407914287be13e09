"""Messages to the canvases come back as they were sent."""

import numpy as np
import pytest

from app.components.buffer import POSITION_RANGE, pack, quantise, unpack


def test_header_and_arrays_survive():
    arrays = {
        "odd": np.arange(7, dtype=np.uint8),
        "positions": np.arange(-6, 6, dtype=np.int16).reshape(2, 3, 2),
        "fine": np.linspace(0, 1, 5, dtype=np.float32),
    }
    header, back = unpack(pack({"extent": 2.5, "words": "θ → δ"}, arrays))
    assert header == {"extent": 2.5, "words": "θ → δ"}
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_few_values_take_two_bits_each(count):
    image = np.random.default_rng(count).choice([0, 26, 60, 104, 200][:count], size=(9, 11)).astype(np.uint8)
    message = pack({}, {"image": image, "after": np.ones(1, np.int16)})
    _, back = unpack(message)
    np.testing.assert_array_equal(back["image"], image)
    assert back["image"].dtype == np.uint8
    assert back["after"] == [1]
    header = int.from_bytes(message[:4], "little")
    assert (len(message) - header < 9 * 11 / 2) == (count <= 4)


def test_arrays_start_at_multiples_of_four_bytes():
    message = pack({"x": "é"}, {"a": np.arange(5, dtype=np.uint8), "b": np.ones(2, np.int16)})
    length = int.from_bytes(message[:4], "little")
    assert length % 4 == 0
    assert message[4 + length + 8 :] == b"\x01\x00\x01\x00"


def test_positions_keep_a_hundredth_of_a_pixel():
    points = np.random.default_rng(0).uniform(-3, 3, size=(500, 2))
    back = quantise(points, 3.0) * (3.0 / POSITION_RANGE)
    assert np.abs(back - points).max() < 6 / 800 / 25


def test_far_away_points_stay_on_their_side():
    assert (np.sign(quantise(np.array([[-1e9, 1e9]]), 3.0)) == [[-1, 1]]).all()


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="float64"):
        pack({}, {"a": np.zeros(2)})
