"""Tables that were changed on their way, and files made to be too much: through the reader and through the page."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from streamlit.testing.v1 import AppTest

from cmcore.targets.tables import BadTable, numeric_columns, read_table
from tests.app.conftest import PATIENCE
from tests.bad_input.mutate import a_sentence, bounded, changed_bytes, outcome

PENGUINS = (Path(__file__).parents[2] / "assets" / "data" / "penguins.csv").read_bytes()
CHANGES = 60


def parquet(frame, **settings):
    out = io.BytesIO()
    frame.to_parquet(out, **settings)
    return out.getvalue()


SMALL = pd.read_csv(io.BytesIO(PENGUINS)).head(60)
FILES = {"csv": SMALL.to_csv(index=False).encode(), "parquet": parquet(SMALL)}


def read(content, **settings):
    """The target, or None for a refusal in a sentence; anything else fails."""
    target, words = outcome(lambda: read_table(content, drop_missing=True, **settings))
    if words:
        return None
    assert bool(torch.isfinite(target.log_prob(target.train[:50])).all())
    return target


@pytest.mark.parametrize("kind", FILES)
def test_changed_files_are_read_or_refused(kind):
    read_ones = sum(read(changed_bytes(FILES[kind], seed)) is not None for seed in range(CHANGES))
    assert read_ones < CHANGES, "the changes change too little to try anything"


def bombs():
    word = pa.DictionaryArray.from_arrays(pa.array(np.zeros(300_000, np.int32)), pa.array(["x" * 500_000]))
    one_word = io.BytesIO()
    pq.write_table(pa.table({"a": np.zeros(300_000), "word": word}), one_word)
    yield "150 GB of one word repeated", one_word.getvalue()
    many = io.BytesIO()
    pq.write_table(pa.table({"a": np.zeros(30_000_000, np.float32)}), many, compression="zstd")
    yield "thirty million zeros", many.getvalue()
    nested = io.BytesIO()
    pq.write_table(pa.table({"a": [[[1.0] * 5] * 5] * 30}), nested)
    yield "lists of lists", nested.getvalue()
    yield "a header of a million columns", b"," * 1_000_000 + b"\n" + b"1," * 30
    yield "a million names", b",".join(b"c%d" % i for i in range(300_000)) + b"\n" + b"1,2\n" * 30
    yield "a quote that never ends", b'a,b\n"' + b"1,2\n" * 200_000
    yield "one line of four megabytes", b"a,b\n" + b"1" * 4_000_000
    yield "digits without end", b"a,b\n" + b"\n".join(b"1" * 5_000 + b",2" for _ in range(40))
    yield "numbers that are formulas", b"a,b\n" + b"=1+1,@SUM(A1)\n" * 40
    yield "zeros", bytes(1_000_000)
    yield "a zip that says it is a table", b"PK\x03\x04" + bytes(1000)
    yield "a Parquet that is two magic words", b"PAR1" + b"\xff" * 1000 + b"PAR1"


@pytest.mark.parametrize(("what", "content"), list(bombs()), ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_too_much_is_refused_quickly_and_in_little_memory(what, content):
    target = read(content)
    if what == "150 GB of one word repeated":  # its words are left out, and zeros are no law
        assert target is None
    outcome(lambda: numeric_columns(content), BadTable)


def test_a_column_of_words_is_named_without_reading_all_of_them():
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=50), "word": ["tree"] * 50})
    with pytest.raises(BadTable, match="'word' does not hold numbers"):
        read_table(parquet(frame), ["a", "word"])
    assert read_table(parquet(frame)).dim == 1


def test_index_and_odd_kinds_of_numbers_are_columns_as_before():
    rows = np.random.default_rng(0).normal(size=(50, 2))
    frame = pd.DataFrame(rows.astype(np.float16), columns=["a", "b"], index=pd.RangeIndex(50, name="i"))
    frame["c"] = rows[:, 1]
    frame["when"] = pd.Timestamp("2020-01-01")
    frame["flag"] = True
    assert numeric_columns(parquet(frame)) == ("a", "b", "c")


# ---- through the page -------------------------------------------------------------------------------------------
def _train():
    from app.pages.train.page import train

    train()


@pytest.fixture(scope="module")
def page():
    at = AppTest.from_function(_train, default_timeout=PATIENCE).run()
    at.button_group(key="source").set_value("Your data (CSV)").run()
    assert not at.exception
    return at


def upload(page, name, content):
    with bounded():
        page.file_uploader(key="file").upload(name, content, "text/csv").run()
    assert not page.exception
    return page


@pytest.mark.parametrize("seed", range(12))
def test_the_page_takes_a_changed_upload_or_says_why_not(page, seed):
    kind = list(FILES)[seed % 2]
    upload(page, f"changed.{kind}", changed_bytes(FILES[kind], seed + 500))
    said = [warning.value for warning in page.warning]
    assert all(a_sentence(words) for words in said)
    assert said or page.multiselect or page.caption


def test_the_page_refuses_a_file_above_its_cap(page):
    upload(page, "large.csv", b"a,b\n" + b"1,2\n" * (2 << 20))
    assert any("larger than" in warning.value for warning in page.warning)
    assert page.button(key="start").disabled
