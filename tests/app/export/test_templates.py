"""What stands in a template is quoted, whatever it is, unless it says that it is code or HTML."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from app.export.templates import _HTML, _PYTHON
from app.quoting import Code

HOSTILE = "x'); import os  # <script>{{ 1 + 1 }}"


def test_a_value_in_a_program_is_a_literal_unless_it_is_code():
    program = _PYTHON.from_string("a = {{ value }}\nb = f({{ {value: 1, 'y': value}|arguments }})\nc = {{ code }}")
    made = program.render(value=HOSTILE, code=Code("a"))
    scope = {"f": lambda **given: given}
    exec(made, scope)
    assert (scope["a"], scope["b"], scope["c"]) == (HOSTILE, {HOSTILE: 1, "y": HOSTILE}, HOSTILE)


def test_a_value_in_a_page_is_text_unless_it_is_html():
    page = _HTML.from_string("<p title='{{ value }}'>{{ value }}{{ html }}</p>")
    made = page.render(value=f"{HOSTILE}\0\ud800", html=Markup("<br>"))
    assert made.count("<") == made.count(">") == 3
    made.encode()


@pytest.mark.parametrize("templates", [_PYTHON, _HTML])
def test_what_is_missing_is_an_error(templates):
    with pytest.raises((UndefinedError, TypeError)):
        templates.from_string("{{ nothing }}").render()
