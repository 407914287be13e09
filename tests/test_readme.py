"""What the README says to type works."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.slow
def test_the_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    quick = snippet.replace("steps=8_000", "steps=50").replace("[1, 2, 4, 8, 16]", "[1, 2]")
    assert quick.count("steps=50") == 1
    monkeypatch.chdir(tmp_path)
    exec(quick, {})
    assert "[2 rows" in capsys.readouterr().out
    assert (tmp_path / "runs" / "rings").is_dir()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_local_link_leads_somewhere(link: str) -> None:
    assert (Path(__file__).parents[1] / link).exists()
