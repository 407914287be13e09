"""The files that hosts read agree with the project, and let nothing in that they do not name."""

import ast
import fnmatch
import re
import shlex
import tomllib
from pathlib import Path

from benchmarks.image_walk import Image, instructions

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def test_hosts_install_what_the_project_needs_with_torch_as_it_is_pinned():
    wanted = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    lines = (ROOT / "deploy" / "requirements.txt").read_text().splitlines()
    given = {line for line in lines if line and not line.startswith(("#", "--"))}
    assert {re.split("[<>=~]", line)[0] for line in given} == {re.split("[<>=~]", line)[0] for line in wanted}
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert given - wanted == {line for line in pins if line.startswith("torch==")}


def test_the_image_copies_files_that_exist_and_that_docker_is_allowed_to_see():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY")
        for source in shlex.split(line.removeprefix("COPY"))[:-1]
    ]
    assert "hosted.py" in copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source
    assert set(allowed) == set(copied)


def test_the_image_runs_as_nobody_in_particular_and_says_when_it_is_ill():
    lines = [line.strip() for line in DOCKERFILE.splitlines()]
    assert "USER 1000" in lines
    assert lines.index("USER 1000") > max(i for i, line in enumerate(lines) if line.startswith(("COPY", "RUN")))
    assert any(line.startswith("HEALTHCHECK") and "/_stcore/health" in line for line in lines)


def test_the_steps_of_the_image_can_be_walked_without_an_engine(tmp_path):
    image = Image(tmp_path, bind=[])
    for name, rest in instructions((ROOT / "Dockerfile").read_text()):
        if name != "RUN":  # a RUN changes its root
            image.take(name, rest)
    assert (tmp_path / "home/lab/app/app/main.py").exists()
    assert image.command[:2] == ["python", "hosted.py"]
    assert "--userspec=1000:1000" in image.inside(*image.health)


def test_hosted_entries_switch_the_limits_on_before_the_lab_is_imported():
    for entry in ("hosted.py", "deploy/community_cloud.py"):
        text = (ROOT / entry).read_text()
        ast.parse(text)
        assert "CONSISTENCY_LAB_HOSTED" in text
    for name in re.findall(r'"STREAMLIT_(\w+)"', (ROOT / "hosted.py").read_text()):
        from streamlit import config

        assert any(option.env_var == f"STREAMLIT_{name}" for option in config.get_config_options().values()), name
