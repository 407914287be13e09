"""What samples alone can say: KL by neighbours and distances against closed forms, and bands for no difference."""

import math

import pytest
import torch
from scipy.stats import energy_distance as scipy_energy_distance

from cmcore.divergences import (
    DATA_MODEL,
    ESTIMATORS,
    MODEL_DATA,
    classifier_accuracy,
    compare_samples,
    compare_with_target,
    energy_distance,
    kl_neighbours,
    kl_neighbours_with_density,
    mmd,
    sliced_wasserstein,
)
from cmcore.divergences.distances import MOST_ROWS
from cmcore.divergences.tools.rows import two_samples
from cmcore.targets import GaussianMixture, Samples, make_target, read_table

DISTANCES = (energy_distance, mmd, sliced_wasserstein, classifier_accuracy)


def normal(n, dim, seed, *, shift=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(n, dim, generator=generator, dtype=torch.float64)
    x[:, 0] += shift
    return x


def covers(estimate, truth, slack=1.5):
    """Whether the truth lies within one and a half of the 95 % interval."""
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    return estimate.trusted and estimate.value - slack * below <= truth <= estimate.value + slack * above


# ---- KL by neighbours -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_neighbours_against_the_closed_form(dim, shift):
    x, y = normal(8000, dim, 1, shift=shift), normal(8000, dim, 2)
    for direction in (MODEL_DATA, DATA_MODEL):
        estimate = kl_neighbours(x, y, direction=direction)
        assert covers(estimate, shift**2 / 2)
        assert estimate.floor < 0.03


def test_the_direction_is_the_one_named():
    """Standard deviations ½ and 1: KL(model‖data) is 0.32 nats and KL(data‖model) 0.81, of which a part is missed."""
    x, y = normal(20_000, 1, 1, scale=0.5), normal(10_000, 1, 2)
    for direction, truth in {MODEL_DATA: (0.25 - 1 + math.log(4)) / 2, DATA_MODEL: (4 - 1 - math.log(4)) / 2}.items():
        estimate = kl_neighbours(x, y, direction=direction)
        assert 0.7 * truth < estimate.value < 1.1 * truth
        assert estimate.low <= truth <= estimate.high
        assert estimate.trusted == math.isfinite(estimate.high) == (direction == MODEL_DATA)
        assert estimate.direction == direction
        assert estimate.n == 10_000


@pytest.mark.parametrize(("scale", "shift"), [(1.5, 0.0), (2.0, 0.0), (3.0, 0.0), (1.0, 2.0), (1.0, 5.0)])
def test_n6_a_large_kl_of_two_samples_has_a_lower_end_only(scale, shift):
    truth = scale**2 - 1 - 2 * math.log(scale) + shift**2 / 2
    estimate = kl_neighbours(normal(10_000, 2, 1, shift=shift, scale=scale), normal(10_000, 2, 2))
    assert not estimate.trusted
    assert estimate.high == math.inf
    assert truth / 3 < estimate.low <= truth
    assert "only the lower end holds" in estimate.note


@pytest.mark.parametrize("mass", [0.0, 0.002, 0.005])
def test_o7_a_thread_between_modes_lies_within_the_interval(mass):
    """A torn map puts a little mass where the data has none: too thin for neighbours, and most of the KL."""
    target = make_target("eight_gaussians")
    thread = GaussianMixture([1.0], [[0.7, 0.7]], [[[0.3, 0.0], [0.0, 1e-5]]])
    generator = torch.Generator().manual_seed(3)
    x = target.sample(10_000, generator=generator)
    rows = round(mass * len(x))
    x[:rows] = thread.sample(max(1, rows), generator=generator)[:rows]
    log_p = target.log_prob(x)
    log_q = torch.logaddexp(log_p + math.log1p(-mass), thread.log_prob(x) + (math.log(mass) if mass else -math.inf))
    truth = float((log_q - log_p).mean())
    y = target.sample(10_000, generator=torch.Generator().manual_seed(4))
    for estimate in (kl_neighbours(x, y), kl_neighbours_with_density(x, target, seed=0)):
        assert estimate.low <= truth <= estimate.high


def test_o7_heavy_tails_have_a_lower_end_only():
    """Student's t with 3 degrees of freedom in both coordinates: 1.291 nats from N(0, I)."""
    generator = torch.Generator().manual_seed(5)
    x = normal(10_000, 2, 6)
    squares = torch.randn(3, *x.shape, generator=generator, dtype=torch.float64).square().sum(0)
    estimate = kl_neighbours_with_density(x / (squares / 3).sqrt(), GaussianMixture([1.0], [[0.0, 0.0]], 1.0), seed=0)
    assert not estimate.trusted
    assert estimate.low <= 1.291 < estimate.high == math.inf
    assert "tails" in estimate.note


def test_units_do_not_matter():
    x, y = normal(2000, 2, 1, shift=0.5), normal(2000, 2, 2)
    units = torch.tensor([1000.0, 0.001], dtype=torch.float64)
    assert kl_neighbours(units * x + 50, units * y + 50).value == pytest.approx(kl_neighbours(x, y).value, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_neighbours_with_a_known_density(shift):
    target = GaussianMixture([1.0], [[0.0, 0.0]], 1.0)
    estimate = kl_neighbours_with_density(normal(10_000, 2, 1, shift=shift), target, seed=0)
    assert covers(estimate, shift**2 / 2)
    assert estimate.floor < 0.02


def test_exact_samples_of_the_eight_gaussians_score_nothing():
    target = make_target("eight_gaussians")
    x = target.sample(10_000, generator=torch.Generator().manual_seed(1))
    assert covers(kl_neighbours_with_density(x, target, seed=0), 0.0)
    assert covers(kl_neighbours(x, target.sample(10_000, generator=torch.Generator().manual_seed(2))), 0.0)


def test_no_kl_from_samples_in_many_dimensions():
    x, y = normal(600, 4, 1), normal(600, 4, 2)
    with pytest.raises(ValueError, match="energy_distance, mmd, sliced_wasserstein or classifier_accuracy"):
        kl_neighbours(x, y)
    with pytest.raises(ValueError, match="d = 4"):
        kl_neighbours_with_density(normal(2500, 4, 1), GaussianMixture([1.0], [[0.0] * 4], 1.0), seed=0)


def test_the_same_noise_behind_both_samples_is_refused():
    z = normal(2000, 2, 1)
    with pytest.raises(ValueError, match="independent samples"):
        kl_neighbours(z + 0.01 * torch.sin(4 * z), z)


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        (normal(499, 2, 1), normal(500, 2, 2), "at least 500 rows"),
        (normal(500, 2, 1), normal(500, 3, 2), "same d"),
        (normal(500, 2, 1), torch.full((500, 2), math.nan), "not finite"),
        (normal(500, 2, 1)[:, 0], normal(500, 2, 2), "rows of coordinates"),
    ],
)
def test_bad_samples_are_refused(x, y, why):
    with pytest.raises(ValueError, match=why):
        two_samples(x, y, fewest=500)


def test_a_coordinate_that_never_moves_is_refused():
    x, y = (normal(500, 2, seed) * torch.tensor([1, 0]) for seed in (1, 2))
    with pytest.raises(ValueError, match="same in all rows"):
        kl_neighbours(x, y)


def test_atoms_get_no_number():
    x, y = normal(2000, 2, 1), normal(2000, 2, 2)
    few = torch.cat([x[:1990], x[:10]])
    assert kl_neighbours(few, y).trusted
    for share in (200, 1900):
        estimate = kl_neighbours(torch.cat([x[:-share], x[:1].expand(share, 2)]), y)
        assert not estimate.trusted
        assert estimate.high == math.inf
        assert "repeat" in estimate.note
    assert not kl_neighbours(x.round(), y.round()).trusted


def test_laws_on_different_ground_get_no_small_number():
    box = make_target("checkerboard")
    estimate = kl_neighbours_with_density(normal(3000, 2, 1, shift=50), box, seed=0)
    assert not estimate.trusted
    assert estimate.high == math.inf


# ---- distances ------------------------------------------------------------------------------------------------------
def test_the_energy_distance_is_that_of_scipy():
    x, y = normal(500, 1, 1, shift=0.4), normal(500, 1, 2)
    found = energy_distance(x, y, seed=0)
    within = sum(float(torch.pdist(rows).mean()) for rows in (x, y))  # scipy's pairs each row with itself too
    assert found.value == pytest.approx(scipy_energy_distance(x[:, 0], y[:, 0]) ** 2 - within / 500, rel=1e-9)


def test_mmd_against_the_closed_form():
    """E k = (b²/(b² + 2))^{d/2} exp(−c²/2(b² + 2)) for unit Gaussians c apart."""
    dim, shift = 3, 1.0
    found = mmd(normal(1000, dim, 1, shift=shift), normal(1000, dim, 2), seed=0)
    b2 = float(found.note.split("b = ")[1].rstrip(".")) ** 2
    truth = 2 * (b2 / (b2 + 2)) ** (dim / 2) * (1 - math.exp(-(shift**2) / 2 / (b2 + 2)))
    assert found.low <= truth <= found.high


def test_the_sliced_distance_of_a_shift():
    """|c|²/d, and where the two samples are one sample and its shift, without any spread along a line."""
    x = normal(1000, 1, 1)
    assert sliced_wasserstein(x, x + 0.5, seed=0).value == pytest.approx(0.25, abs=1e-9)
    found = sliced_wasserstein(normal(1000, 4, 1, shift=1.0), normal(1000, 4, 2), seed=0)
    assert found.low <= 0.25 <= found.high


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dim", [2, 8])
def test_a_band_for_no_difference(distance, dim):
    same = distance(normal(500, dim, 1), normal(1000, dim, 2), seed=0)
    width = same.null_high - same.null_low
    assert same.null_low - width / 2 <= same.value <= same.null_high + width / 2
    other = distance(normal(500, dim, 1, shift=1.5), normal(1000, dim, 2), seed=0)
    assert other.difference_seen
    assert other.low > other.null_high
    assert repr(other) == repr(distance(normal(500, dim, 1, shift=1.5), normal(1000, dim, 2), seed=0))
    assert other.low <= other.value <= other.high
    assert other.name in ESTIMATORS


@pytest.mark.slow
@pytest.mark.parametrize("distance", DISTANCES)
def test_the_band_holds_what_it_says(distance):
    """Samples of one law lie above the band in one case of forty; ten of eighty would be a broken band."""
    seen = [distance(normal(200, 2, 2 * i), normal(200, 2, 2 * i + 1), seed=i).difference_seen for i in range(80)]
    assert sum(seen) <= 9


def test_large_samples_are_thinned():
    x, y = normal(3 * MOST_ROWS, 1, 1), normal(2 * MOST_ROWS, 1, 2)
    assert energy_distance(x, y, seed=0).n == MOST_ROWS


def test_one_point_has_no_bandwidth():
    with pytest.raises(ValueError, match="energy distance"):
        mmd(torch.zeros(100, 2), torch.zeros(100, 2), seed=0)


# ---- both at once ---------------------------------------------------------------------------------------------------
def test_comparisons_choose_what_can_be_trusted():
    plane = compare_samples(normal(600, 2, 1), normal(600, 2, 2), seed=0)
    assert [estimate.direction for estimate in plane.kl] == [MODEL_DATA, DATA_MODEL]
    assert not plane.note
    space = compare_samples(normal(600, 8, 1), normal(600, 8, 2), seed=0)
    assert space.kl == ()
    assert "no KL" in space.note
    assert len(space.distances) == len(plane.distances) == 5


def test_a_target_known_by_samples_is_compared_by_samples():
    points, rows = normal(600, 2, 1), normal(600, 2, 2)
    found = compare_with_target(points, Samples(rows, name="rows"), seed=0)
    assert len(found.kl) == 2
    assert "trained on" in found.against
    noised = compare_with_target(normal(2000, 2, 1, scale=0.2), Samples(0.2 * rows), seed=0, delta=2.0)
    assert noised.distances[0].difference_seen  # the points were not noised, the rows were


def test_a_table_is_compared_by_its_held_out_rows(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "\n".join(f"{a},{b}" for a, b in normal(1000, 2, 1).tolist()))
    target = read_table(path, ["a", "b"])
    model = target.sample(2000, generator=torch.Generator().manual_seed(3))
    found = compare_with_target(model, target, seed=0)
    assert found.kl == ()
    assert "500 rows" in found.note
    assert "held-out" in found.against
    assert not all(distance.difference_seen for distance in found.distances)


def test_an_exact_target_is_compared_by_fresh_samples():
    target = make_target("eight_gaussians")
    found = compare_with_target(target.sample(1000, generator=torch.Generator().manual_seed(1)), target, seed=0)
    assert all(covers(estimate, 0.0) for estimate in found.kl)
