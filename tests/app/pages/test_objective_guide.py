"""Which objective? Each has a paper that its docstring cites, a group by what it needs, and its measured KL."""

import inspect
import json

import pytest

from app.pages.train.objective_guide import TABLE, entry, measured_in_words
from cmcore.objectives import OBJECTIVES
from cmcore.objectives.describe import GROUPS, group_of, in_groups


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_each_objective_says_where_it_comes_from_and_what_it_is_known_for(name):
    kind = OBJECTIVES[name]
    assert kind.known_for
    assert (kind.paper is None) == kind.building_block
    if kind.paper:
        text = inspect.getdoc(kind)
        assert kind.paper.arxiv in text
        assert f"20{kind.paper.arxiv[:2]}" in (str(kind.paper.year), str(kind.paper.year - 1)), "posted in its year"


def test_each_objective_is_in_one_group_and_a_group_goes_from_old_to_new():
    groups = in_groups()
    assert list(groups) == list(GROUPS)
    assert sorted(name for group in groups.values() for name in group) == sorted(OBJECTIVES)
    for group, names in groups.items():
        assert all(group_of(OBJECTIVES[name]) == group for name in names)
        papers = [OBJECTIVES[name].paper for name in names if OBJECTIVES[name].paper]
        assert papers == sorted(papers)


def test_what_is_said_of_a_measurement_is_in_the_table():
    cells = json.loads(TABLE.read_text())["cells"]
    for name in OBJECTIVES:
        words = measured_in_words(name)
        mine = [
            cell
            for cell in cells
            if cell["objective"] == name
            and cell["target"] == "eight_gaussians"
            and cell["direction"] == "KL(model‖data)"
            and cell["steps"] in (1, 4)
        ]
        assert bool(words) == bool(mine)
        for cell in mine:
            assert f"{cell['value'] if cell['value'] is not None else cell['low']:.2g}" in words
        assert words in entry(name, OBJECTIVES[name]).replace("&amp;", "&")
