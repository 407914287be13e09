"""Files as people export them, made here with the right values beside each: read right, or refused in a sentence.

A file that is read gives these columns and these values, and its notes name what was left out. A file that is refused
says where (a line and a column, where there is one) and what to change.
"""

import io
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmcore.targets.tables import open_table, read_numbers, read_table

RNG = np.random.default_rng(7)
N = 40
A = np.round(RNG.normal(3, 4, N), 3)
"""Some of them negative, some below 1."""
B = np.round(RNG.normal(300, 90, N), 1)
WHOLE = RNG.integers(1, 2_000_000, N)
BOTH = {"a": A, "b": B}
WORDS = [("oak", "elm", "ash")[i % 3] for i in range(N)]
DAYS = [f"2024-03-{1 + i % 28:02d}" for i in range(N)]


@dataclass(frozen=True)
class Read:
    """What a file holds: columns and values, and words of its notes; how reading is asked for, where it must be."""

    columns: dict
    notes: tuple[str, ...] = ()
    asked: dict | None = None
    drop_missing: bool = False
    silent: bool = False


@dataclass(frozen=True)
class Refused:
    """Words of the refusal."""

    words: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    asked: dict | None = None


def refused(*words, columns=None):
    return Refused(words, columns)


def number(value, decimal=".", group="", digits=None):
    text = f"{value:,.{digits}f}" if digits is not None else format(value, ",")
    return text.translate({ord(","): group, ord("."): decimal})


def text(rows, *, sep=",", head=("a", "b"), end="\n", last=True):
    """Rows of cells as a text; `head` is the first of them, or none."""
    lines = [sep.join(map(str, row)) for row in ([head] if head else []) + list(rows)]
    return end.join(lines) + (end if last else "")


def pairs(decimal="."):
    return [(number(a, decimal), number(b, decimal)) for a, b in zip(A, B, strict=True)]


FRAME = pd.DataFrame(BOTH)
PAIRS = text(pairs())


def with_line(at, line, base=PAIRS):
    """The text with a line put in as line `at`, or in its place with `at` negative."""
    lines = base.splitlines()
    lines.insert(at - 1, line)
    return "\n".join(lines) + "\n"


def with_cell(line, column, cell):
    lines = [row.split(",") for row in PAIRS.splitlines()]
    lines[line - 1][column] = cell
    return "\n".join(map(",".join, lines)) + "\n"


# ---- text -------------------------------------------------------------------------------------------------------
def separators():
    clean = Read(BOTH, silent=True)
    for name, sep in (
        ("comma", ","),
        ("semicolon", ";"),
        ("tab", "\t"),
        ("bar", "|"),
        ("blank", " "),
        ("blanks", "   "),
    ):
        yield f"{name}", text(pairs(), sep=sep), clean
        if sep != ",":
            yield f"{name}, decimal comma", text(pairs(","), sep=sep), clean
    yield "comma and blank", text(pairs(), sep=", "), clean
    yield "blanks in columns", FRAME.to_string(index=False), clean
    yield "sep=;", "sep=;\n" + text(pairs(","), sep=";"), clean
    yield "markdown", text([("---", "---"), *pairs()], sep=" | "), Read(BOTH, ("Line 2", "units"))
    yield "quoted numbers", FRAME.to_csv(index=False, quoting=1), clean
    yield "quoted decimal commas between commas", text([(f'"{a}"', f'"{b}"') for a, b in pairs(",")]), clean
    yield "single quotes", text([(f"'{a}'", f"'{b}'") for a, b in pairs()], head=("'a'", "'b'")), clean
    yield "a separator asked for", text(pairs(), sep=":"), Read(BOTH, asked={"separator": ":"}, silent=True)
    yield (
        "sixteen columns",
        pd.DataFrame({f"c{j}": A + j for j in range(16)}).to_csv(index=False),
        Read({f"c{j}": A + j for j in range(16)}, silent=True),
    )


def thousands():
    whole, both = Read({"n": WHOLE}, silent=True), Read({"n": WHOLE, "a": A}, silent=True)
    for name, group, sep, decimal in (
        ("comma", ",", ";", "."), ("point", ".", ";", ","), ("blank", " ", ";", ","), ("apostrophe", "'", ";", "."),
        ("thin blank", "\u202f", "\t", ","), ("no-break blank", "\xa0", ";", ","),
    ):  # fmt: skip
        rows = [(number(n, group=group), number(a, decimal)) for n, a in zip(WHOLE, A, strict=True)]
        yield f"thousands by {name}", text(rows, sep=sep, head=("n", "a")), both
    quoted = [(f'"{n:,}"', a) for n, a in zip(WHOLE, A, strict=True)]
    yield "quoted thousands between commas", text(quoted, head=("n", "a")), both
    yield "thousands alone", text([(f"{n:,}",) for n in WHOLE], head=("n",)), whole
    amounts = [(number(n + 0.5, ",", ".", 2),) for n in WHOLE]
    yield "thousands and decimals", text(amounts, head=("n",)), Read({"n": WHOLE + 0.5}, silent=True)
    small = [(number(n, group="."), i) for i, n in enumerate(WHOLE % 9_000 + 7, 5)]
    yield "thousands or decimals", text(small, sep=";"), refused("line", "column 'a'", "decimal sign")
    point = Read({"a": WHOLE % 9_000 + 7, "b": np.arange(5, 5 + N)}, asked={"decimal": ","}, silent=True)
    yield "thousands, as asked", text(small, sep=";"), point
    three = 1.001 + np.arange(N) / 8
    always = [(f"{v:.3f}", f"{v + 7:.3f}") for v in three]
    for sep in ",", " ":
        yield f"three decimals always, {sep!r}", text(always, sep=sep), Read({"a": three, "b": three + 7}, silent=True)
    yield "three decimals always", text(always, sep=";"), refused("'1.001'", "line 2", "'a'", "thousands")
    yield (
        "three decimals always, as asked",
        text(always, sep=";"),
        Read({"a": three, "b": three + 7}, asked={"decimal": "."}, silent=True),
    )
    mixed = text([*pairs()[:20], *pairs(",")[20:]], sep=";")
    yield "both decimal signs", mixed, refused("Two decimal signs", "line", "'a'")
    yield "the other decimal sign asked for", PAIRS, Refused(("Line", "'a'", "decimal comma"), ("a",), {"decimal": ","})


def decimal_commas_between_commas():
    ones = [(number(a, ","),) for a in A]
    yield "one column of decimal commas", text(ones, head=("x",)), Read({"x": A}, silent=True)
    yield "the same without a name", text([("3,02",)] * 2 + ones, head=None), refused("Line 1", "decimal comma")
    yield "two columns of decimal commas", text(pairs(",")), refused("Line 2", "4 cells", "line 1", "semicolons")
    yield (
        "a decimal comma beside whole numbers",
        text([(a, 7 + i) for i, (a,) in enumerate(ones)]),
        refused("Line 2", "3 cells", "2 names", "semicolons"),
    )
    yield (
        "decimals or the row's number",
        text([(f"{i},{i % 7}",) for i in range(1, N)], head=("x",)),
        refused("Line 2", "'1,1'", "decimal comma"),
    )

    holes = [(f"{i % 5}" if i % 4 else "", i % 7) for i in range(N)]
    whole = {"a": [i % 5 for i in range(N) if i % 4], "b": [i % 7 for i in range(N) if i % 4]}
    yield "whole numbers and holes between commas", text(holes), Read(whole, ("10 rows", "line 2"), drop_missing=True)
    yield (
        "names with commas",
        text(pairs(","), sep=";", head=("a, mm", "b, g")),
        Read({"a, mm": A, "b, g": B}, silent=True),
    )


def encodings():
    for name in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield (
            f"{name}",
            text(pairs(), sep="\t", head=("größe", "b")).encode(name),
            Read({"größe": A, "b": B}, silent=True),
        )
    for name in ("cp1252", "latin-1"):
        yield f"{name}", text(pairs(), head=("größe", "b")).encode(name), Read({"größe": A, "b": B}, ("UTF-8",))
    for name, end in (("Windows", "\r\n"), ("Mac", "\r")):
        yield f"line ends of {name}", text(pairs(), end=end), Read(BOTH, silent=True)
    yield "no last line end", text(pairs(), last=False), Read(BOTH, silent=True)
    yield "a true minus sign", PAIRS.replace("-", "\u2212"), Read(BOTH, silent=True)


def names_and_indices():
    clean, numbered = Read(BOTH, silent=True), Read(BOTH, ("no name", "numbers the rows"))
    rows = list(enumerate(pairs(), 1))
    named = Read(BOTH, ("name of the row",))
    yield "R write.table", text([(f'"{i}"', *row) for i, row in rows], sep=" ", head=('"a"', '"b"')), named
    yield "R write.table, commas", text([(f'"{i}"', *row) for i, row in rows], head=('"a"', '"b"')), named
    yield "R write.table, unquoted", text([(3 * i, *row) for i, row in rows], sep="\t"), named
    yield "R write.table, words", text([(f'"tree {i}"', *row) for i, row in rows], head=('"a"', '"b"')), named
    yield "R write.csv", text([(f'"{i}"', *row) for i, row in rows], head=('""', '"a"', '"b"')), numbered
    yield (
        "R write.csv2",
        text([(f'"{i}"', a, b) for i, (a, b) in enumerate(pairs(","), 1)], sep=";", head=('""', '"a"', '"b"')),
        numbered,
    )
    yield (
        "R write.csv of some rows",
        text([(f'"{(7 * i) % 41}"', *row) for i, row in rows], head=('""', "a", "b")),
        numbered,
    )
    yield "pandas", FRAME.to_csv(), numbered
    yield (
        "pandas, sorted",
        FRAME.sort_values("a").to_csv(),
        Read(FRAME.sort_values("a").to_dict("list"), ("numbers the",)),
    )
    yield "pandas, twice", FRAME.to_csv().replace(",a,b", "Unnamed: 0,a,b"), numbered
    yield "pandas to_string", FRAME.to_string(), named
    yield (
        "pandas, named index",
        FRAME.rename_axis("i").to_csv(),
        Read({"i": np.arange(N), **BOTH}, ("'i' counts the rows",)),
    )
    yield (
        "pandas, no names",
        pd.DataFrame(np.column_stack([A, B])).to_csv(index=False),
        Read({"0": A, "1": B}, ("line 1", "names")),
    )
    yield (
        "pandas, no names but an index",
        pd.DataFrame(np.column_stack([A, B])).to_csv(),
        Read({"0": A, "1": B}, ("line 1",)),
    )
    yield "years for names", text(pairs(), head=("2021", "2022")), Read({"2021": A, "2022": B}, ("line 1", "names"))
    bare = {"column 1": A, "column 2": B}
    yield "no names", text(pairs(), head=None), Read(bare, ("no names",))
    whole, counted = text(enumerate(WHOLE, 4), head=None), {"column 1": np.arange(4, 4 + N), "column 2": WHOLE}
    yield "no names, pairs of whole numbers", whole, refused("Line 1", "decimal commas", "name them")
    yield "no names, pairs of whole numbers, as asked", whole, Read(counted, ("no names",), {"separator": ","})
    yield "no names, whole numbers", text(enumerate(WHOLE, 4), sep=";", head=None), Read(counted, ("no names",))
    gaps = text([("NA", 7, "elm"), *zip(WHOLE[1:], WHOLE[1:], WORDS[1:], strict=True)], head=None)
    kept = {"column 1": WHOLE[1:], "column 2": WHOLE[1:]}
    yield "no names, a missing value first", gaps, Read(kept, ("no names", "'column 3'", "line 1"), drop_missing=True)
    nothing = text([("", "", "elm"), *zip(WHOLE[1:], WHOLE[1:], WORDS[1:], strict=True)], head=None)
    yield "no names, nothing first", nothing, Read(kept, ("no names", "line 1"), drop_missing=True)
    yield "no names, one column", text([(a,) for a in A], head=None), Read({"column 1": A}, ("no names",))
    yield (
        "no names, words first",
        text([(w, *p) for w, p in zip(WORDS, pairs(), strict=True)], head=None),
        Read({"column 2": A, "column 3": B}, ("no names", "'column 1'", "line 1", "'oak'")),
    )
    yield (
        "names asked for",
        text([(0.5, 0.25), *pairs()], head=None),
        Read({"0.5": A, "0.25": B}, asked={"header": True}, silent=True),
    )
    yield (
        "names in a comment",
        "# made by hand\n# a b\n" + text(pairs(), sep=" ", head=None),
        Read(BOTH, ("comment in line 2",)),
    )
    yield (
        "numpy.savetxt",
        "# a,b\n" + text([(f"{a:.18e}", f"{b:.18e}") for a, b in zip(A, B, strict=True)], head=None),
        Read(BOTH, ("comment in line 1",)),
    )
    yield (
        "quoted names with separators and line ends",
        text(pairs(), head=('"a, in\r\nmm"', '"b;\nc"')),
        Read({"a, in mm": A, "b; c": B}, silent=True),
    )
    yield (
        "a column without a name",
        text([(a, b, 2 * b) for a, b in zip(A, B, strict=True)], head=("a", "", "c")),
        Read({"a": A, "column 2": B, "c": 2 * B}, silent=True),
    )
    yield (
        "a name twice",
        text([(a, b, 1) for a, b in pairs()], head=("a", "b", "a")),
        refused("'a'", "1 and 3", "rename"),
    )
    yield "only names", "a,b\n", refused("no rows")
    yield "one name", "a", refused("no rows")
    yield "a long name", text(pairs(), head=("a" * 5_000, "b")), Read({"a" * 200: A, "b": B}, silent=True)
    yield "clean", PAIRS, clean


def around_the_rows():
    yield "units", with_line(2, "mm,kg"), Read(BOTH, ("Line 2", "mm, kg", "units"))
    yield "units, one without", with_line(2, "mm,1"), Read(BOTH, ("Line 2", "units"))
    yield "a title", "My data\n\n" + PAIRS, Read(BOTH, ("line 1", "My data"))
    yield "a title filled up", "Report,\nof May,\n" + PAIRS, Read(BOTH, ("line 1", "Report"))
    commented = "# made\n" + with_line(9, "# a pause") + "# the end\n"
    yield "comments", commented, Read(BOTH, ("3 comment lines", "line 1"))
    yield "blank lines", "\n\n" + PAIRS.replace("\n", "\n\n"), Read(BOTH, silent=True)
    yield "lines of separators", with_line(5, ",") + ",\n", Read(BOTH, ("2 lines", "line 5"))
    yield "a separator after each row", text([(*row, "") for row in pairs()]), Read(BOTH, silent=True)
    yield (
        "a separator after each line",
        text([(*row, "") for row in pairs()], head=("a", "b", "")),
        Read(BOTH, silent=True),
    )
    yield "a separator after the names", text(pairs(), head=("a", "b", "")), Read(BOTH, silent=True)
    yield "a longer row", with_line(12, "1,2,3"), refused("Line 12", "3 cells", "line 1 names 2", "'3'")
    yield "a shorter row", with_line(12, "1"), refused("Line 12", "fewer cells")
    yield "a shorter row, left out", with_line(12, "1"), Read(BOTH, ("1 row", "line 12", "40"), drop_missing=True)
    yield "a last line of words", PAIRS + "41 rows\n", refused("Line 42", "fewer cells")
    yield "a quote that is never closed", with_line(8, '1,"2'), refused("line 8", "quotation mark")
    yield "two stray quotes", with_line(8, '1,"2') + '3,4"\n', refused("Line 8", "quotation mark", "'b'")
    yield "a word after a quote", with_line(8, '"1"x,2'), refused("Line 8", "quotation mark")
    yield "rows of two kinds", PAIRS + text([(1, 2, 3)] * 9, head=None), refused("Line 42", "3 cells")


def cells():
    for word in ("NA", "N/A", "nan", "NULL", "-", "?", "#N/A", "", "."):
        kept = {"a": np.delete(A, 4), "b": np.delete(B, 4)}
        yield f"missing as {word!r}", with_cell(6, 1, word), Read(kept, ("1 row", "line 6", "39"), drop_missing=True)
    yield "missing, not left out", with_cell(6, 1, "NA"), refused("Missing", "'b'", "1", "line 6")
    yield "missing in one column", pd.DataFrame({"a": [*A, np.nan]}).to_csv(index=False), refused("'a'", "line 42")
    for word in ("inf", "-Inf", "Infinity", "1e999"):
        yield f"{word}", with_cell(6, 1, word), refused("infinite", "'b'", "line 6")
    changed = {"a": A, "b": np.concatenate([B[:4], [1250.0], B[5:]])}
    for word in ("1.25e3", "1.25E+03", "+1250", "1250.", "1.25d3", "0001250", "1250.000"):
        yield f"written as {word}", with_cell(6, 1, word), Read(changed, silent=True)
    for word, why in (
        ("12%", "percent sign"), ("$12", "currency"), ("12 €", "currency"), ("EUR 12", "currency"), ("12 mm", "unit"),
        ("12.03.2024", "date"), ("12:30", "time"), ("abc", "no number"), ("1_000", "unit"), ("0x1F", "unit"),
        ("1.2.3", "date"), ("true", "true or false"), ("１２", "no number"), ("(12)", "no number"),
        ("1/2", "no number"),
    ):  # fmt: skip
        yield f"the cell {word}", with_cell(6, 1, word), Refused(("'b'", "line 6", why), ("a", "b"))
    yield "a column with one word", with_cell(6, 1, "x"), Read({"a": A}, ("'b'", "line 6", "'x'", "39"))
    tagged = [(w, a, d, b) for w, (a, b), d in zip(WORDS, pairs(), DAYS, strict=True)]
    yield (
        "words and dates",
        text(tagged, head=("tree", "a", "day", "b")),
        Read(BOTH, ("'tree'", "line 2", "'oak'", "'day'", "date")),
    )
    yield (
        "words in quotes with separators",
        text([(f'"{w}, ""tall"""', *p) for w, p in zip(WORDS, pairs(), strict=True)], head=("tree", "a", "b")),
        Read(BOTH, ("'tree'", "line 2")),
    )
    yield (
        "words over several lines",
        text([(f'"{w}\n2"', *p) for w, p in zip(WORDS, pairs(), strict=True)], head=("tree", "a", "b")),
        Read(BOTH, ("'tree'", "line 2")),
    )
    yield (
        "percent in all of a column",
        text([(a, f"{b}%") for a, b in pairs()]),
        Read({"a": A}, ("'b'", "line 2", "percent")),
    )
    yield (
        "percent in every column",
        text([(f"{a}%",) for a, _ in pairs()], head=("a",)),
        refused("'a'", "line 2", "percent"),
    )
    yield "only words", text([(w,) for w in WORDS], head=("tree",)), refused("no numeric column", "'tree'", "line 2")
    yield "an empty column", text([(a, "", b) for a, b in pairs()], head=("a", "e", "b")), Read(BOTH, ("'e'", "empty"))
    large = [2**53 + 1 + 2 * i for i in range(N)]
    yield (
        "whole numbers above 2^53",
        text([(n, a) for n, (a, _) in zip(large, pairs(), strict=True)], head=("n", "a")),
        Read({"n": np.array(large, float), "a": A}, ("'n'", "2^53", "rounded")),
    )


def no_tables():
    yield "an empty file", b"", refused("empty")
    yield "white space", b"  \n\t\n ", refused("empty")
    yield "comments alone", b"# a\n# b\n", refused("comment")
    yield "a workbook", b"PK\x03\x04" + bytes(range(256)) * 9, refused("Excel", "CSV")
    yield "a gzip", b"\x1f\x8b" + bytes(range(256)), refused("unpack")
    yield "any bytes", bytes(range(256)) * 20, refused("neither Parquet nor text")
    yield "zeros", bytes(9_999), refused("neither Parquet nor text")
    yield "cut UTF-16", b"\xff\xfe" + text(pairs()).encode("utf-16-le")[:-1], refused("UTF-16")
    yield "JSON", b'{"a": [1, 2], "b": [3, 4]}', refused("JSON", "CSV")
    yield (
        "a header of many columns",
        ",".join(f"c{i}" for i in range(5_000)) + "\n" + "1," * 4_999 + "1\n",
        refused("4,096"),
    )
    yield (
        "many columns behind a line end in quotes",
        '"a\n' + "," * 9 + '",' + "," * 20_000 + "\n1,2\n",
        refused("4,096"),
    )


# ---- Parquet ----------------------------------------------------------------------------------------------------
def parquet(table, **settings):
    out = io.BytesIO()
    table.to_parquet(out, **settings) if isinstance(table, pd.DataFrame) else pq.write_table(table, out, **settings)
    return out.getvalue()


def parquet_files():
    clean = Read(BOTH, silent=True)
    yield "parquet", parquet(FRAME), clean
    yield "parquet, small groups", parquet(FRAME, row_group_size=7), clean
    yield "parquet, range index", parquet(FRAME.rename_axis("i")), Read(BOTH, ("'i'", "counts the rows"))
    yield "parquet, named index", parquet(FRAME.set_axis(WHOLE).rename_axis("i")), Read({**BOTH, "i": WHOLE})
    yield "parquet, index without a name", parquet(FRAME.set_axis(WHOLE)), Read(BOTH, ("__index_level_0__", "index"))
    decimals = pa.array([Decimal(f"{a:.3f}") for a in A], pa.decimal128(12, 3))
    yield "parquet, decimals", parquet(pa.table({"a": decimals, "b": B})), clean
    wide = pa.array([Decimal(f"{a:.3f}") for a in A], pa.decimal256(60, 3))
    yield "parquet, wide decimals", parquet(pa.table({"a": wide, "b": B})), clean
    for kind in (np.float16, np.float32, np.int8, np.uint64, np.int64):
        values = WHOLE.astype(kind) if kind != np.float16 else (WHOLE % 500).astype(kind)
        yield (
            f"parquet, {np.dtype(kind)}",
            parquet(pa.table({"n": pa.array(values)})),
            Read({"n": values.astype(float)}),
        )
    missing = pd.DataFrame({"n": pd.array([None, *WHOLE[1:]], "Int64")})
    yield "parquet, whole numbers with a missing one", parquet(missing), refused("'n'", "row 1")
    yield (
        "parquet, the same left out",
        parquet(missing),
        Read({"n": WHOLE[1:]}, ("1 row", "row 1", "39"), drop_missing=True),
    )
    coded = pa.DictionaryArray.from_arrays(pa.array(np.arange(N, dtype=np.int8)), pa.array(A))
    yield "parquet, a dictionary of numbers", parquet(pa.table({"a": coded, "b": B})), clean
    yield "parquet, categories of numbers", parquet(pd.DataFrame({"a": pd.Categorical(A), "b": B})), clean
    others = pa.table(
        {
            **BOTH, "list": [[1.0, 2.0]] * N, "pair": [{"x": 1.0}] * N, "flag": [True] * N, "word": WORDS,
            "digits": ["1.5"] * N, "kind": pa.array(WORDS).dictionary_encode(), "when": pd.to_datetime(DAYS),
            "nothing": pa.nulls(N),
        }
    )  # fmt: skip
    named = (
        "'list' (it is nested",
        "'pair' (it is nested",
        "'flag'",
        "'word'",
        "'digits'",
        "'kind'",
        "'when'",
        "'nothing'",
    )
    yield "parquet, what is no number", parquet(others), Read(BOTH, named)
    yield "parquet, digits asked for", parquet(others), Refused(("'digits'", "text", "save numbers"), ("digits",))
    yield "parquet, words alone", parquet(pa.table({"word": WORDS})), refused("no numeric column", "'word'", "text")
    yield "parquet, no rows", parquet(FRAME.head(0)), refused("no rows")
    yield "parquet, a name twice", parquet(pa.table([pa.array(A), pa.array(B)], ["a", "a"])), refused("'a'", "rename")
    yield "parquet, cut", parquet(FRAME)[:-30], refused("could not be read")


FILES = [
    (name, content if isinstance(content, bytes) else content.encode(), right)
    for files in (
        separators, thousands, decimal_commas_between_commas, encodings, names_and_indices, around_the_rows, cells,
        no_tables, parquet_files,
    )
    for name, content, right in files()
]  # fmt: skip
IDS = [name for name, _, _ in FILES]


def test_there_are_files_of_many_dialects():
    assert len(set(IDS)) == len(IDS) >= 60


def is_sentence(words):
    return 10 < len(words) < 900 and "\n" not in words and words.endswith(".") and "Traceback" not in words


@pytest.mark.parametrize(("content", "right"), [file[1:] for file in FILES], ids=IDS)
def test_a_file_is_read_right_or_refused_in_a_sentence(content, right):
    if isinstance(right, Refused):
        with pytest.raises(ValueError, match=r"\.$") as caught:
            read_table(content, right.columns, **(right.asked or {}))
        said = str(caught.value)
        assert is_sentence(said), said
        assert not [word for word in right.words if word not in said], said
        return
    table = open_table(content, **(right.asked or {}))
    values, columns, notes = read_numbers(table, None, drop_missing=right.drop_missing)
    assert columns == list(right.columns)
    np.testing.assert_allclose(values, np.column_stack(list(right.columns.values())), rtol=1e-12)
    said = " ".join(notes)
    assert not [word for word in right.notes if word not in said], said
    assert all(is_sentence(note) for note in notes), notes
    if right.silent:
        assert not notes


def any_dialect(seed):
    """A random table, written in a random dialect; the text and the values."""
    chance = np.random.default_rng(seed)
    rows, width = int(chance.integers(20, 60)), int(chance.integers(1, 5))
    digits = chance.integers(0, 5, width)
    values = np.round(chance.normal(size=(rows, width)) * 10.0 ** chance.integers(0, 6, width), 4)
    values = np.column_stack([np.round(values[:, j], digits[j]) for j in range(width)]) + 0.0
    sep = str(chance.choice([",", ";", "\t", "|", " "]))
    decimal = "," if sep != "," and chance.random() < 0.5 else "."
    marks = ["", "", "'", "" if sep == " " else "." if decimal == "," else ","]
    group = str(chance.choice(marks)) if sep != "," else ""
    cells = [[number(v, decimal, group, digits[j]) for j, v in enumerate(row)] for row in values]
    names = [f"v{j}" for j in range(width)]
    head = None if chance.random() < 0.2 else list(names)
    if head and chance.random() < 0.4:
        cells = [[f'"{i}"', *row] for i, row in enumerate(cells, 1)]
        head = head if chance.random() < 0.5 else ['""', *head]
    end = str(chance.choice(["\n", "\r\n", "\r"]))
    return text(cells, sep=sep, head=head, end=end, last=chance.random() < 0.5).encode(), values


def read_or_refusal(content):
    """The values and no words, or None and the words of the refusal."""
    try:
        return read_numbers(open_table(content), None, drop_missing=False)[0], ""
    except ValueError as error:
        return None, str(error)


def test_any_dialect_is_read_right_or_refused():
    """Random values in random dialects: no number is ever read as another one."""
    reads = 0
    for seed in range(200):
        content, right = any_dialect(seed)
        values, refusal = read_or_refusal(content)
        if values is None:
            assert is_sentence(refusal), (seed, refusal)
            continue
        reads += 1
        assert values.shape == right.shape, seed
        np.testing.assert_allclose(values, right, rtol=1e-12, err_msg=str(seed))
    assert reads >= 180


# ---- the faults that these files were made after ----------------------------------------------------------------
def values_of(content, columns=None):
    return read_numbers(
        open_table(content.encode() if isinstance(content, str) else content), columns, drop_missing=False
    )


def test_d1_rows_longer_than_the_names_are_neither_cut_nor_shifted():
    ones, _, _ = values_of(text([(number(a, ","),) for a in A], head=("x",)))
    np.testing.assert_allclose(ones[:, 0], A)
    rows, columns, notes = values_of(text([(f'"{i}"', *row) for i, row in enumerate(pairs(), 1)], sep=" "))
    assert columns == ["a", "b"]
    np.testing.assert_allclose(rows, np.column_stack([A, B]))
    assert "name of the row" in notes[0]
    with pytest.raises(ValueError, match=r"^Line 2 has 4 cells and line 1 names 2: decimal commas need semicolons"):
        values_of(text(pairs(",")))


def test_d2_a_file_without_names_keeps_its_first_row():
    rows, columns, notes = values_of(text([(1.5, 2.5), *pairs()], head=None))
    assert rows.shape == (N + 1, 2)
    assert rows[0].tolist() == [1.5, 2.5]
    assert columns == ["column 1", "column 2"]
    assert "There are no names" in notes[0]


def test_d3_parquet_reads_decimals_and_names_what_it_leaves_out():
    decimals = pa.array([Decimal(f"{a:.3f}") for a in A], pa.decimal128(12, 3))
    frame = pd.DataFrame({"b": B, "word": WORDS}, index=pd.Index(WHOLE, name="i"))
    table = pa.Table.from_pandas(frame).append_column("a", decimals)
    rows, columns, notes = values_of(parquet(table))
    assert columns == ["b", "i", "a"]
    np.testing.assert_allclose(rows, np.column_stack([B, WHOLE, A]))
    assert "'word' (it holds text" in notes[0]
    said = values_of(with_cell(6, 1, "x"))[2]
    assert "'b' (line 6 has 'x', which is no number (1 such cell beside 39 numbers))" in said[0]
