"""Tables: what comes in is what goes out, the fit is a law, and every bad file is refused in one sentence."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmcore.flow import ExactFlow
from cmcore.targets import REAL_TABLES, Empirical, TableTarget, read_table, real_table, tables
from cmcore.targets.table_fit import MOST_KERNELS, SMALLEST_SD

PENGUINS = Path(__file__).parents[1] / "assets" / "data" / "penguins.csv"
BILLS = ["bill_length_mm", "bill_depth_mm"]


def csv(frame, **settings):
    return frame.to_csv(index=False, **settings).encode()


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    a = rng.normal(50, 7, 200)
    return pd.DataFrame({"a": a, "b": 0.01 * a + rng.normal(0, 0.1, 200), "name": ["x"] * 200})


# ---- what a table becomes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("density", ["kernel_density", "gaussian_mixture"])
def test_a_shipped_table_becomes_a_smooth_target(density):
    target = read_table(PENGUINS, BILLS, density=density)
    assert (target.dim, target.smooth, target.name) == (2, True, "penguins")
    assert target.columns == tuple(BILLS)
    assert len(target.train) + len(target.held_out) == 342
    torch.testing.assert_close(target.train.mean(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(target.train.std(0, correction=0), torch.ones(2, dtype=torch.float64))
    assert -3.2 < target.held_out_log_likelihood() < -2.0  # one Gaussian of unit variance has −2.84
    assert "not the population" in target.truth
    assert float(target.law.variances.min()) >= SMALLEST_SD**2 * (1 - 1e-9)


def test_rows_go_in_and_come_out(frame):
    target = read_table(csv(frame), ["a", "b"], held_out=0.3, seed=4)
    rows = np.sort(torch.cat([target.to_table(part) for part in (target.train, target.held_out)]).numpy(), axis=0)
    np.testing.assert_allclose(rows, np.sort(frame[["a", "b"]].to_numpy(), axis=0), rtol=1e-12)
    torch.testing.assert_close(target.from_table(target.to_table(target.train)), target.train)
    assert len(target.held_out) == 60


def test_the_seed_fixes_the_split(frame):
    first, again, other = (read_table(csv(frame), ["a"], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.held_out, again.held_out)
    assert not torch.equal(first.held_out, other.held_out)


def test_formats_agree(frame, tmp_path):
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    path = tmp_path / "f.csv"
    path.write_bytes(b"\xef\xbb\xbf" + csv(frame, sep=";"))
    sources = (csv(frame), csv(frame, sep="\t"), parquet.getvalue(), io.BytesIO(parquet.getvalue()), path, str(path))
    points = [read_table(source, ["b", "a"]).train for source in sources]
    for other in points[1:]:
        torch.testing.assert_close(other, points[0], rtol=1e-9, atol=1e-9)


def test_numeric_columns_are_found_and_the_rest_is_said_to_be_left_out(frame):
    target = read_table(csv(frame))
    assert target.columns == ("a", "b")
    assert len(target.notes) == 1
    assert all(word in target.notes[0] for word in ("'name'", "line 2", "'x'"))


def test_long_tables_are_sampled_with_a_note(frame):
    target = read_table(csv(frame), ["a"], max_rows=100)
    assert len(target.train) + len(target.held_out) == 100
    assert "100 of 200 rows" in target.notes[0]


def test_a_kernel_density_takes_every_row_up_to_a_bound():
    rows = csv(pd.DataFrame({"v": np.random.default_rng(0).normal(size=1_500)}))
    whole, bounded = read_table(rows), read_table(rows, max_kernels=300)
    assert len(whole.law.weights) == len(whole.train) == 1_200 <= MOST_KERNELS
    assert not whole.notes
    assert len(bounded.law.weights) == 300
    assert any("300 of the 1,200" in note for note in bounded.notes)
    many = csv(pd.DataFrame({"v": np.random.default_rng(0).normal(size=3_000)}))
    assert len(read_table(many).law.weights) == MOST_KERNELS


def test_the_bandwidth_can_be_chosen(frame):
    target = read_table(csv(frame), ["a", "b"], bandwidth=0.3)
    assert target.law.bandwidth == 0.3
    assert "bandwidth 0.3" in target.truth
    tensors, table = target.state()
    assert TableTarget.from_state(tensors, table).law.bandwidth == 0.3
    assert real_table("iris", bandwidth=1).law.bandwidth == 1


@pytest.mark.parametrize("t", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_log_density_of_kernels_is_the_sum_of_their_densities(dim, t):
    """As a matrix product against SciPy's normal density, kernel by kernel; far out, between and on the points."""
    from scipy.stats import multivariate_normal

    points = np.random.default_rng(0).normal(size=(60, dim))
    law = Empirical(torch.from_numpy(points), 0.05)
    x = np.concatenate([3 * np.random.default_rng(1).normal(size=(30, dim)), points[:5], np.full((1, dim), 30.0)])
    a, v = np.exp(-t), np.exp(-2 * t) * 0.05**2 - np.expm1(-2 * t)
    each = [multivariate_normal(a * point, v * np.eye(dim)).logpdf(x) for point in points]
    right = np.logaddexp.reduce(np.stack(each)) - np.log(60)
    np.testing.assert_allclose(law.log_prob(torch.from_numpy(x), t), right, rtol=1e-11, atol=1e-9)
    times = torch.full((len(x),), t, dtype=torch.float64)
    np.testing.assert_allclose(law.log_prob(torch.from_numpy(x), times), right, rtol=1e-11, atol=1e-9)


def test_missing_rows_are_left_out_only_when_asked(frame):
    frame.loc[3, "a"] = np.nan
    with pytest.raises(ValueError, match=r"Missing .*'a' \(1, the first in line 5\)"):
        read_table(csv(frame), ["a", "b"])
    target = read_table(csv(frame), ["a", "b"], drop_missing=True)
    assert "1 row with missing" in target.notes[0]


@pytest.mark.parametrize("name", list(REAL_TABLES))
@pytest.mark.parametrize("density", ["kernel_density", "gaussian_mixture"])
def test_real_tables_are_projected(name, density):
    target = real_table(name, dim=3, density=density)
    assert target.dim == 3
    torch.testing.assert_close(target.train.T.cov(correction=0), torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    assert target.to_table(target.train[:5]).shape == (5, len(target.columns))
    torch.testing.assert_close(target.from_table(target.to_table(target.train)), target.train)


def test_the_bandwidth_maximises_the_leave_one_out_likelihood(frame):
    target = read_table(csv(frame), ["a", "b"])
    points, best = target.train, target.law.bandwidth

    def left_out(h):
        n = len(points)
        others = [Empirical(torch.cat([points[:i], points[i + 1 :]]), h) for i in range(n)]
        return float(torch.cat([law.log_prob(points[i : i + 1]) for i, law in enumerate(others)]).mean())

    assert left_out(best) >= max(left_out(0.9 * best), left_out(1.1 * best))


def test_memorisation_knows_copies_from_fresh_samples():
    """Rows from one Gaussian: fresh draws have ratio about 1, training rows have ratio 0."""
    rows = np.random.default_rng(1).normal(size=(1000, 2))
    target = read_table(csv(pd.DataFrame(rows, columns=["a", "b"])), held_out=0.4)
    fresh = target.from_table(torch.from_numpy(np.random.default_rng(2).normal(size=(2000, 2))))
    check = target.memorisation(fresh, seed=0)
    centres = target.law.points
    assert check.expected == 1
    assert check.low <= check.ratio <= check.high
    assert 0.8 < check.ratio < 1.2
    assert target.memorisation(centres, seed=0).ratio == pytest.approx(0, abs=1e-6)
    own = target.sample(2000, generator=torch.Generator().manual_seed(5))
    assert target.memorisation(own, seed=0).ratio == pytest.approx(check.of_the_truth, rel=0.15)


@pytest.mark.parametrize("density", ["kernel_density", "gaussian_mixture"])
def test_a_table_target_can_be_written_down(density, frame):
    target = read_table(csv(frame), density=density)
    tensors, table = target.state()
    again = TableTarget.from_state(tensors, table)
    x = target.train[:10]
    torch.testing.assert_close(again.score(x, 0.1), target.score(x, 0.1))
    assert torch.equal(again.to_table(x), target.to_table(x))
    assert (again.truth, again.columns, again.notes) == (target.truth, target.columns, target.notes)
    for key in ("train", "law.means"):
        with pytest.raises(ValueError, match=r"\.$"):
            TableTarget.from_state({**tensors, key: torch.zeros(4, 7, dtype=torch.float64)}, table)
        with pytest.raises(ValueError, match="lacks"):
            TableTarget.from_state({k: v for k, v in tensors.items() if k != key}, table)


def test_one_column_has_a_quantile_flow(frame):
    flow = ExactFlow(read_table(csv(frame), ["a"]))
    assert flow.method == "quantile map"
    x = flow.target.sample(20, generator=torch.Generator().manual_seed(0), t=2.0)
    assert float((flow(flow(x, 2.0, 0.0), 0.0, 2.0) - x).abs().max()) <= 1e-9


# ---- what is refused --------------------------------------------------------------------------------------------
NUMBERS = [str(i * i) for i in range(30)]


def lines(*rows):
    return "\n".join(rows).encode()


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        (b"", None, "empty"),
        (b"   \n\n", None, "empty"),
        (lines("a", *NUMBERS[:5]), None, "at least 20"),
        (lines("a"), None, "no rows"),
        (lines("a", *["7"] * 30), None, "constant"),
        (lines("a", *NUMBERS, "x"), ["a"], "does not hold numbers"),
        (lines("a,b", *(f"{n},word" for n in NUMBERS)), ["b"], "does not hold numbers"),
        (lines("a,b", *(f"{n},word" for n in NUMBERS)), ["c"], "no column 'c'"),
        (lines("a,b", *(f"{n},word" for n in NUMBERS)), [], "at least one column"),
        (lines("a,b", *(f"{n},word" for n in NUMBERS)), ["a", "a"], "each once"),
        (lines("w", *["word"] * 30), None, "no numeric column"),
        (lines("a", *NUMBERS, ""), ["b"], "no column"),
        (lines("a,b", *(f"{n}," for n in NUMBERS)), ["a", "b"], "'b' .* is empty"),
        (lines("a,b", *(f"{n}," for n in NUMBERS[1:]), "1,2"), ["a", "b"], "Missing"),
        (lines("a", *NUMBERS, "inf"), ["a"], "Missing or infinite"),
        (lines("a,a ", *(f"{n},{n}" for n in NUMBERS)), None, "Two columns"),
        (lines("t", *["true", "false"] * 15), ["t"], "does not hold numbers"),
        (b"\xff\xfe\x00\x01binary", None, "no rows"),
        (b"\x00\x01binary" * 9, None, "UTF-8"),
        (b"PAR1 not really parquet", None, "could not be read"),
        (lines("a,b", *NUMBERS, "1,2,3,4"), None, "line 32"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(content, columns, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_table(content, columns)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"dim": 0},
        {"dim": 3},
        {"held_out": 0.0},
        {"held_out": 1.5},
        {"max_rows": 3},
        {"max_components": 0},
        {"density": "histogram"},
        {"bandwidth": 0},
        {"bandwidth": True},
        {"bandwidth": float("nan")},
        {"bandwidth": 0.3, "density": "gaussian_mixture"},
        {"max_kernels": 3},
        {"max_kernels": 100.0},
        {"seed": 2**70},
        {"seed": -1},
        {"seed": 1.0},
        {"seed": None},
        {"seed": True},
        {"separator": "::"},
        {"decimal": ";"},
        {"header": "yes"},
        {"held_out": "half"},
        {"held_out": float("nan")},
        {"max_rows": 50.5},
        {"max_components": None},
        {"dim": 1.5},
    ],
)
def test_bad_settings_are_refused(frame, settings):
    with pytest.raises(ValueError, match=r"\.$"):
        read_table(csv(frame), ["a", "b"], **settings)


def test_a_missing_file_and_an_address_are_not_fetched(tmp_path):
    for source in (tmp_path / "none.csv", "https://example.com/table.csv", tmp_path):
        with pytest.raises(ValueError, match="no file"):
            read_table(source)


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_BYTES", 100)
    path = tmp_path / "large.csv"
    path.write_bytes(b"a\n" + b"1\n" * 100)
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with pytest.raises(ValueError, match="larger than"):
            read_table(source)


def read_or_refusal(content):
    """The target and no words, or None and the words of the refusal."""
    try:
        return read_table(content), ""
    except ValueError as error:
        return None, str(error)


@settings(max_examples=60)
@given(st.binary(max_size=400) | st.text(alphabet="0123456789.,;-eE \n\t\"'aNinf", max_size=400).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_sentence(content):
    target, refusal = read_or_refusal(content)
    if target is None:
        assert refusal
        assert "\n" not in refusal
    else:
        assert bool(torch.isfinite(target.log_prob(target.train)).all())


numbers = st.floats(min_value=-1e100, max_value=1e100, allow_nan=False)


@settings(max_examples=25)
@given(st.lists(st.tuples(numbers, numbers), min_size=20, max_size=40))
def test_any_numbers_make_a_law_or_are_refused(rows):
    target, refusal = read_or_refusal(csv(pd.DataFrame(rows, columns=["a", "b"])))
    if target is None:
        assert "constant" in refusal
        return
    assert bool(torch.isfinite(target.log_prob(target.held_out)).all())
    back = target.to_table(target.train)
    assert bool(torch.isfinite(back).all())


def test_the_columns_that_can_be_used():
    content = b"word,a,flag,b\n" + b"x,1,true,2.5\n" * 3
    assert tables.numeric_columns(content) == ("a", "b")
    with pytest.raises(ValueError, match="no numeric column"):
        tables.numeric_columns(b"word\nx\n")
