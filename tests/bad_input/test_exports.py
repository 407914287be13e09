"""Hostile names in every place that a name comes from, through everything that is taken away: they stay names."""

import ast
import csv
import io
import json
import random
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

import cmcore as cm
from app.export.html_page import page
from app.export.notebook import NotebookCell, as_notebook, as_script
from app.export.program import Shown, about, curves_cells, explore_cells, title, zip_name
from app.export.snippet import curves_snippet, snippet
from app.export.svg_chart import chart
from app.export.tables import csv_of, parquet_of, points
from app.figures.kl_curve import Line, Point, curve, name_ends
from app.figures.theme import LIGHT
from app.kl.curves import DIRECTIONS, View, curves_of
from app.kl.table import as_csv, as_rows, notes_list
from app.pages.inside.snippet import inside_snippet
from app.quoting import file_stem, in_figure, keywords, literal, named_picture, one_line, plain
from app.runs.library import Run, new_key
from app.stage.scene import grids_of, make_scene
from cmcore import spreadsheet
from cmcore.config import SamplerConfig, TargetConfig
from cmcore.spreadsheet import FORMULA, cell
from cmcore.store import to_zip
from tests.app.conftest import untrained

PIECES = (
    *("'", '"', "`", "'''", '"""', "\\", "\\x1", "\\N{BULLET}", "\\u", "#", "# coding: rot13", "lambda: 0", "None"),
    *(
        "\n",
        "\r",
        "\r\n",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x85",
        "\u2028",
        "\u2029",
        "\nimport os\n",
        "\0",
        "\x1b[2J",
        "",
        " ",
    ),
    *("{}", "{0}", "{steps}", "%s", "%(a)s", "%{x}", "$style", "${x}", "$$x$$", "\ud800", "\udfff", "\ufffe", "\u200f"),
    *("\u202eabc\u202c", "x" * 10_000, "é" * 200, "\U0001f4a3", "../../etc/passwd", "C:\\x.csv", "CON", "."),
    *("<!--", "-->", "]]>", "<![CDATA[", "</script>", "</template>", "</style>", "</title>", "&lt;", "&#60;"),
    *("<img src=x onerror=alert(1)>", "<a href='https://evil.example'>", '" onload="x', "<https://evil.example>"),
    *("');__import__('os').system('x')#", '");__import__("os").system("x")#', "'+__import__('os').system('x')+'"),
    *("[a](https://evil.example)", "![a](https://evil.example/x.png)", "https://evil.example/login"),
    *(
        "www.evil.example",
        "a@evil.example",
        ":material/home:",
        ":red[x]",
        "~~a~~",
        "- a",
        "1. a",
        "| a | b |",
        "    code",
    ),
    *('=HYPERLINK("https://evil.example")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "＝1"),
)
FORMULAS = re.compile(r"[=+\-@\t\r\n＝＋－＠]")


def names() -> list[str]:
    """Each piece, and 40 of them joined."""
    chance = random.Random(7)
    return [*PIECES, *("".join(chance.sample(PIECES, 3)) for _ in range(40))]


# ---- a run with such a name everywhere --------------------------------------------------------------------------
MODEL = untrained("gaussian")
TABLE = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.2], [0.1, 0.9], [0.7, 0.7]], dtype=torch.float64).repeat(6, 1)
SCENE_CONFIG = SamplerConfig(sampler="deterministic", grid="uniform_angle", steps=2, delta=0.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    file = tmp_path_factory.mktemp("table") / "t.csv"
    file.write_text("a,b\n" + "\n".join(f"{x},{y}" for x, y in (TABLE + torch.arange(30)[:, None] / 97).tolist()))
    return cm.read_table(file)


def runs_of(name: str, table: cm.TableTarget) -> Iterator[Run]:
    """A run of a table, of a toy and of a target made by hand, called so in all they hold."""
    config = MODEL.config.model_copy(update={"objective_parameters": {f" {name}": name}})
    columns = replace_state(table, name=name, columns=(name, f"{name}b"), notes=(name,))
    toy = replace_state(cm.make_target("gaussian"), name=name)
    toy.config = TargetConfig.model_construct(name=name, parameters={f" {name}": name, "dim": 2})
    alone = replace_state(cm.GaussianMixture([1.0], [[0.0, 0.0]], 1.0), name=name, config=None)
    for kind, target in {"table": columns, "toy": toy, "alone": alone}.items():
        run = Run(f"{kind}-{name}", "", replace(MODEL, target=target, config=config, device=name))
        object.__setattr__(run, "label", name)  # past what makes one line of it
        yield run


def replace_state(target: Any, **state: Any) -> Any:
    new = object.__new__(type(target))
    new.__dict__.update(target.__dict__)
    for name, value in state.items():
        setattr(new, name, value)
    return new


def programs(run: Run) -> dict[str, str]:
    """Every program that the lab writes of a run."""
    step = 0.18 if run.key.startswith("alone") else None
    view = View((run.key,), ("ddim",), "model", "renoise", 1.0, "uniform_angle", 3.0, step, 0.02, DIRECTIONS[1], 2)
    curves = curves_of(view, {run.key: run})
    shown = shown_of(run)
    head = title([run]), about([run])
    made = {}
    for name, cells in {"explore": explore_cells(shown), "kl": curves_cells(view, curves)}.items():
        made[name] = as_script(*head, cells)
        notebook = json.loads(as_notebook(*head, cells))
        code = ["".join(one["source"]) for one in notebook["cells"] if one["cell_type"] == "code"]
        assert code == [cell.code for cell in cells], "a notebook's code is the script's"
    made["snippet"] = snippet(run, shown.config, DIRECTIONS[0])
    made["curves"] = curves_snippet(view, curves)
    for part in ("map", "times", "determinant", "bends", "masses"):
        made[part] = inside_snippet(run, part, quantity="map_error", t=3.0, s=0.0, steps=2)
    return made


def shown_of(run: Run) -> Shown:
    return Shown(run, SCENE_CONFIG, grids_of(SCENE_CONFIG), DIRECTIONS[0], {}, 3, 8)


# ---- programs ---------------------------------------------------------------------------------------------------
def skeleton(program: str) -> tuple[list[Any], list[Any]]:
    """A program's syntax tree without its constants, and these."""
    shape, constants = [], []

    def visit(node: Any) -> None:
        if isinstance(node, ast.Constant):
            constants.append(node.value)
            shape.append(type(node.value))
        elif isinstance(node, ast.AST):
            shape.append(type(node))
            for name in node._fields:
                visit(getattr(node, name, None))
        elif isinstance(node, list):
            shape.append(len(node))
            for one in node:
                visit(one)
        else:
            shape.append(node)

    visit(ast.parse(program))
    return shape, constants


def test_s7_no_name_becomes_code(table):
    """Every program compiles, and differs from that of a harmless name in the constants that hold the name alone."""
    first, other = (list(map(programs, runs_of(name, table))) for name in ("an x", "another y"))
    ours = [{kind: skeleton(text) for kind, text in made.items()} for made in first]
    free = [
        {
            kind: [a != b for a, b in zip(skeleton(text)[1], skeleton(other[i][kind])[1], strict=True)]
            for kind, text in made.items()
        }
        for i, made in enumerate(first)
    ]
    assert len(names()) >= 100
    for number, name in enumerate(names()):
        i = number % 3
        for kind, text in programs(list(runs_of(name, table))[i]).items():
            text.encode()  # it can be sent
            shape, constants = skeleton(text)
            assert shape == ours[i][kind][0], (name[:40], kind)
            for value, own, may in zip(constants, ours[i][kind][1], free[i][kind], strict=True):
                assert may or value == own, (name[:40], kind)
        columns = ast.literal_eval(ast.parse(programs_table(name, table)).body[0].value.args[1])
        assert columns == [name, f"{name}b"], "and it is still the name"


def programs_table(name: str, table: cm.TableTarget) -> str:
    from app.export.snippet import target_code

    return target_code(next(runs_of(name, table)))


def test_s7_a_comment_and_a_docstring_end_where_they_should():
    for name in names():
        program = as_script(name, f"{name}\n{name}", [NotebookCell(f"{name}\n{name}", "a = 1")])
        assert [type(node).__name__ for node in ast.parse(program).body] == ["Expr", "Assign"]
        compile(program.encode(), "the script", "exec")


def test_s7_literals_are_values_and_nothing_else():
    for value in (*names(), 1.5, -0.0, 1e300, True, None, 3, [1, "a"], (1,), (), {"a": (1, 2)}):
        assert ast.literal_eval(literal(value)) == value
    assert eval(literal(float("-inf"))) == float("-inf")
    with pytest.raises(TypeError):
        literal(object())
    made = ast.parse(f"f({', '.join(keywords(dict.fromkeys([*names(), 'class', 'x'], 1)))})").body[0].value
    assert len(made.keywords) == len({*names(), "class", "x"})


# ---- pages and pictures -----------------------------------------------------------------------------------------
class Elements(HTMLParser):
    """The elements of a page, with the names of their attributes and what scripts hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Any] = []
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, *(name for name, _ in attrs), *(v for n, v in attrs if n in ("href", "src", "style"))))
        self.inside = tag if dict(attrs).get("id") != "scene" else ""

    def handle_endtag(self, tag):
        self.found.append(f"/{tag}")

    def handle_comment(self, data):
        self.found.append(data)

    def handle_data(self, data):
        if self.inside in ("script", "style"):
            self.found.append(data)

    handle_decl = unknown_decl = handle_pi = handle_comment


def line_of(label: str) -> Line:
    return Line(label, "model", (Point(1, 0.1, 0.09, 0.11, 0.01, 500, label, label), Point(2, 0.02, 0.0, 0.03)))


def test_s7_no_name_becomes_an_element(monkeypatch):
    run = Run("x", "x", MODEL)
    scene = make_scene(MODEL, run.target, key="x", **shown_of(run).drawn)

    def whole(name: str) -> str:
        words = {"heading": name, "facts": name, "about": name.replace("\n", " ")}
        return page(replace(scene, key=name), {}, [line_of(name)], steps=2, **words)

    view = View(("x",), (), "model", "deterministic", 1.0, "uniform_angle", 3.0, None, 0.0, DIRECTIONS[0], 2)

    def rows(name: str) -> str:
        curves = [replace(curve, label=name) for curve in curves_of(view, {"x": run})]
        monkeypatch.setattr("app.kl.table.problem", lambda run, question: name or "-")
        shown, notes = as_rows(view, curves)
        return shown + notes_list(notes)

    for make in (whole, rows, lambda name: chart([line_of(name)], steps=(1, 2))):
        ours = Elements(make("an x")).found
        for name in names():
            made = make(name)
            made.encode()
            assert Elements(made).found == ours, name[:40]


def test_s9_a_figure_makes_no_link_of_a_name():
    """plotly reads `<a href>` and fills in %{…}."""
    for name in names():
        figure = go.Figure(curve(line_of(name), 1e-4, LIGHT, markers=True))
        name_ends(figure, [line_of(name)], (1e-4, 1.0), LIGHT)
        texts = [figure.data[-1].name, *(note.text for note in figure.layout.annotations), *figure.data[-1].customdata]
        told = f"{figure.data[-1].hovertemplate} {in_figure(name)}".replace("<extra>", "").replace("</extra>", "")
        assert all("<" not in text.replace("<br>", "") for text in texts)
        assert "<" not in told
        assert "%{" not in told.replace("%{customdata}", "", 1)


def test_no_cell_is_a_formula_where_semicolons_part_cells():
    for sign in FORMULA:
        (line,) = spreadsheet.as_csv([f"a;{sign}1+1;", f"b; \t{sign}SUM(1), c;;{sign}x"], []).splitlines()
        assert not [piece for piece in line.split(";") if FORMULAS.match(piece.lstrip(" "))], line
    assert cell("one; two;3") == "one; two;3"


# ---- tables -----------------------------------------------------------------------------------------------------
def test_s9_no_cell_is_a_formula_and_no_number_changes(table):
    for name in names():
        run = next(runs_of(name, table))
        frame = points(shown_of(run))
        read = list(csv.reader(io.StringIO(csv_of(frame).decode(), newline="")))
        assert len(read) == 1 + len(frame)
        assert [[float(x) for x in row] for row in read[1:]] == frame.to_numpy().tolist()
        view = View((run.key,), (), "model", "deterministic", 1.0, "uniform_angle", 3.0, None, 0.0, DIRECTIONS[0], 2)
        read += csv.reader(io.StringIO(as_csv(view, curves_of(view, {run.key: run})), newline=""))
        for one in (one for row in read for one in row):
            assert not FORMULAS.match(one.lstrip(" ")) or is_number(one), name[:40]
    frame = pd.DataFrame({"a": [-1.5, float("nan"), 1e-300], "b": ["=1", "-1", "b"], "c": [-1, 2, 3]})
    assert csv_of(frame).decode() == "a,b,c\n-1.5,'=1,-1\n,-1,2\n1e-300,b,3\n"
    assert list(pd.read_parquet(io.BytesIO(parquet_of(frame)))["b"]) == ["=1", "-1", "b"]
    assert cell(-1.5) == -1.5
    assert {cell(f"{sign}a") for sign in FORMULA} == {f"'{sign}a" for sign in FORMULA}


def is_number(text: str) -> bool:
    try:
        return isinstance(float(text), float)
    except ValueError:
        return False


# ---- names of files ---------------------------------------------------------------------------------------------
def test_s7_files_and_members_are_named_by_a_strict_pattern(table):
    for name in names():
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", file_stem(name))
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}-[0-9a-f]{8}", new_key(name))
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}\.zip", zip_name(Run(name, name, MODEL)))
        label = Run("x", name, MODEL).label
        assert label == one_line(label)
        assert len(label) <= 120
    hostile = replace(MODEL, target=next(runs_of("../x", table)).target, device="../x")
    names_in = zipfile.ZipFile(io.BytesIO(to_zip(hostile))).namelist()
    assert all(re.fullmatch(r"[a-z0-9_.-]+", member) for member in names_in)


# ---- Markdown ---------------------------------------------------------------------------------------------------
RECOGNISED = re.compile(r"(https?://|www\.)[-.\w]|[-.\w+]@[-\w]+\.|:[\w/+-]+:", re.IGNORECASE)
"""What Streamlit's page looks for in text, after its escapes were resolved."""


def test_s9_markdown_shows_a_name_as_it_is():
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for name in names():
        tokens = reader.parse(plain(name))
        inline = [token for block in tokens for token in block.children or []]
        assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}, name[:40]
        assert {token.type for token in inline} <= {"text", "text_special"}, name[:40]
        text = "".join(token.content for token in inline)
        assert text.replace("\u2060", "") == one_line(name)
        assert not RECOGNISED.search(text), name[:40]
        (picture,) = reader.parse(named_picture(name, "data:image/png;base64,AAAA"))[1].children or []
        assert (picture.type, picture.attrs["src"]) == ("image", "data:image/png;base64,AAAA"), name[:40]
        assert str(picture.attrs.get("title", "")).replace("\u2060", "") == one_line(name)
