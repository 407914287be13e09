"""A program in pieces, each with words before it: written as a script to run, or as a notebook to go through."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.quoting import comment, docstring, one_line, plain


@dataclass(frozen=True)
class NotebookCell:
    """A few lines of Python, and what they do in words."""

    words: str
    code: str


def as_script(title: str, about: str, cells: Sequence[NotebookCell]) -> str:
    """One file for `python FILE`."""
    parts = [docstring(f"{one_line(title)}\n\n{about}\n"), *(f"{comment(cell.words)}\n{cell.code}" for cell in cells)]
    return "\n\n".join(parts) + "\n"


def as_notebook(title: str, about: str, cells: Sequence[NotebookCell]) -> str:
    """A Jupyter notebook, format 4.5."""
    written = [_markdown(f"# {plain(title)}\n\n" + "\n".join(map(plain, about.split("\n"))))]
    for cell in cells:
        written += [_markdown(plain(cell.words)), _code(cell.code)]
    named = [{**cell, "id": _name(i, cell)} for i, cell in enumerate(written)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = {"cells": named, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1) + "\n"


def _markdown(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> dict:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": text}


def _name(i: int, cell: dict) -> str:
    return hashlib.sha256(f"{i}{cell['source']}".encode(errors="replace")).hexdigest()[:8]
