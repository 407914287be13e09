"""JSON from outside: what would cost too much is refused before it is made, and every door reads by one function."""

import ast
import json
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcore.json_input import BadJSON, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)
TOP = Path(__file__).parents[2]


def read(content, **bounds):
    return parse_json(content, **{"largest": 1 << 20, "most_values": 10_000, **bounds})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" + "[]," * 20 + "1]", "more than 10 lists and objects"),
        ('["' + '","' * 200 + '"]', "more than 20 words"),
        ('["' + '","' * 60 + '"]', None),
        ("[" + "1," * 200 + "1]", None),
    ],
)
def test_s3_lists_and_words_have_bounds_of_their_own(content, words):
    if words is None:
        assert read(content, most_lists=10, most_words=20)
        return
    with pytest.raises(BadJSON, match=words):
        read(content, most_lists=10, most_words=20)
    assert read(content)


@given(VALUES, st.booleans())
def test_ordinary_json_is_read_as_it_stands(value, escaped):
    text = json.dumps(value, ensure_ascii=escaped)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert read(text) == read(text.encode()) == value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 33 + "]" * 33, "nested more than 32 deep"),
        ("[" * 900_000, "nested|values"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested"),
        ('["' + r"\"" * 400_000, "valid JSON|words"),
        ("[" + "1," * 20_000 + "1]", "more than 10,000 values"),
        ('["\\ud800"]', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
        ("\ud800", "not valid JSON"),
        (b'["\xed\xa0\x80"]', "not valid JSON"),
        ("[" + "9" * 5_000 + "]", "digits"),
        ('{"a": 1, "a": 2}', "'a' twice"),
        ('{"a": 1', "not valid JSON"),
        (b"\xff", "not valid JSON"),
        ("", "not valid JSON"),
        (" " * (2 << 20), "larger than 1 MB"),
    ],
)
def test_s9_what_would_cost_or_break_is_refused_in_a_clause(content, words):
    before = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(BadJSON, match=words):
            read(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert time.process_time() - before < 0.5


def test_brackets_and_commas_in_words_count_nothing():
    word = '[{,"\\' * 5_000
    assert read(json.dumps([word, "😀", "\\ud800"])) == [word, "😀", "\\ud800"]


OWN_TEXT = {"app/components/buffer.py", "cmcore/cli/measure.py", "cmcore/sweep/cell.py"}
"""Files that read back JSON which the same code wrote a moment ago."""
ELSEWHERE = {"cmcore/targets/files/parquet_file.py"}  # a key of the footer, bounded with it


def test_s9_nothing_from_outside_is_read_as_json_by_another_function():
    for path in [*TOP.glob("cmcore/**/*.py"), *TOP.glob("app/**/*.py")]:
        name = path.relative_to(TOP).as_posix()
        if name in OWN_TEXT | ELSEWHERE | {"cmcore/json_input.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                called = f"{ast.unparse(node.value)}.{node.attr}"
                assert called not in ("json.loads", "json.load"), f"{name}:{node.lineno}"
