"""What the documentation says to type names things that exist, and its pages lead somewhere."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import cmcore as cm
from cmcore.cli import main
from cmcore.sweep.plan import make_sweep

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def blocks(page, *kinds):
    return [content for kind, content in BLOCK.findall(page.read_text()) if kind in kinds]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_on_a_page_imports_and_names_what_exists(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert not missing, f"{node.module} has no {missing}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cm":
                assert node.attr in cm.__all__, node.attr


def how_to(title):
    """The programs below one heading of the how-to page."""
    text = (ROOT / "docs" / "how-to.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    return [content for kind, content in BLOCK.findall(text) if kind == "python"]


@pytest.mark.parametrize(
    "title",
    [
        "Measure a map of your own",
        "Measure a network trained elsewhere",
        "Measure a model with a density, or samples alone",
        "Show a result from elsewhere beside the lab's own",
    ],
)
def test_how_to_measure_ones_own_model_runs(title, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    programs = how_to(title)
    assert programs
    for program in programs:
        exec(compile(program, title, "exec"), {"__name__": "how_to"})
    assert capsys.readouterr().out


def commands(page):
    text = page.read_text()
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    return lines + re.findall(r"`((?:\.venv/bin/)?(?:cmcore|make|python) [^`]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_a_page_have_these_options(page):
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for line in commands(page):
        words = [word.removeprefix(".venv/bin/") for word in shlex.split(line, comments=True)]
        if words[:1] == ["make"]:
            assert words[1] in made, line
        elif words[:1] == ["cmcore"]:
            command = main.commands[words[1]]
            parameters = command.get_params(click.Context(command))
            options = {option for parameter in parameters for option in parameter.opts}
            if isinstance(command, click.Group) or words[1] == "experiment":
                continue
            assert {word for word in words if word.startswith("-")} <= options, line
        elif words[:2] == ["python", "-m"]:
            module = words[2].replace(".", "/")
            assert (ROOT / f"{module}.py").exists() or (ROOT / module / "__main__.py").exists(), line
        elif words[:1] == ["python"]:
            assert (ROOT / words[1]).exists(), line


def test_the_sweep_on_the_page_is_a_sweep():
    (text,) = blocks(ROOT / "docs" / "how-to.md", "toml")
    assert len(make_sweep(tomllib.loads(text)).cells) == 12


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"], ids=lambda page: page.stem)
def test_local_links_and_named_files_lead_somewhere(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:app|assets|benchmarks|cmcore|deploy|docs|tests)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path


def test_every_page_is_in_the_table_of_contents():
    text = (ROOT / "docs" / "index.md").read_text()
    assert {page.stem for page in PAGES} - {"index"} == set(re.findall(r"^([a-z-]+)$", text, flags=re.MULTILINE))


@pytest.mark.slow
def test_the_examples_of_new_things_run():
    code = "\n".join(blocks(ROOT / "docs" / "extending.md", "python"))
    check = "\nfrom cmcore.samplers import SAMPLERS\nassert target.name == 'cross' and 'ddim_again' in SAMPLERS\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code + check], check=True, cwd=ROOT, env=environment, timeout=300)


@pytest.mark.parametrize("name", ["CITATION.cff", "pyproject.toml"])
def test_nothing_is_invented_about_who_made_it(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"orcid|doi:|10\.\d{4,}/|@[a-z]+\.[a-z]", text, flags=re.IGNORECASE)
