"""Every chart is saved in the format that was chosen, wherever it stands."""

import json
import re
from pathlib import Path

import pytest

import app
from app.stage.after_picture import OVER
from app.ui.charts import CHOSEN
from tests.app.conftest import page_of, poll

pytestmark = pytest.mark.usefixtures("shipped", "answered")


@pytest.mark.parametrize("name", ["explore", "kl", "inside", "scaling"])
def test_a_chart_is_saved_as_it_was_chosen(name):
    at = page_of(name)
    at.session_state[OVER] = True  # no browser says that Explore's stage has drawn
    poll(at, lambda at: at.get("plotly_chart"))
    for format_ in ("svg", "png"):
        at.session_state[CHOSEN] = format_
        at.run()
        assert not at.exception
        for chart in at.get("plotly_chart"):
            options = json.loads(chart.proto.config)
            assert options["toImageButtonOptions"]["format"] == format_
            assert options["modeBarButtons"] == [["toImage"]]


def test_no_page_shows_a_chart_in_its_own_way():
    files = Path(app.__file__).parent.rglob("*.py")
    assert [path.name for path in files if re.search(r"\bplotly_chart\(", path.read_text())] == ["charts.py"]
