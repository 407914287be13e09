"""Write the static site: `app.site.command` calls :func:`write_site`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from app.pages.lessons.catalogue import shelf
from app.pages.scaling.link import questions
from app.quoting import file_stem, one_line
from app.runs.library import read_run, shipped_runs
from app.runs.run import Run
from app.site.explore import explore_pages
from app.site.files import Site, SiteError
from app.site.kl import kl_pages
from app.site.lessons import lesson_pages
from app.site.scaling import scaling_pages
from app.site.shared import share_frame
from cmcore.files import write_atomically

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Written:
    """What was written: how many pages, how many bytes in all, and sentences on what is not as in the lab."""

    pages: int
    size: int
    warnings: tuple[str, ...]


def write_site(folder: Path, *, runs: Sequence[Path], lab: str, report: Report = lambda done, of: None) -> Written:
    """Write the site of these runs, or of the shipped ones, into a new or empty folder.

    Raises:
        SiteError, ValueError: in a sentence, before anything is written, where it cannot be.
        OSError: where the system refuses to write.
    """
    address = lab_address(lab)
    _require_empty(folder)
    warnings: list[str] = []
    offered = runs_of(runs) if runs else shipped_runs()
    if not offered:
        raise SiteError("There is no run to show: name one with --run.")
    site = Site(offered, address, version("consistency-lab"), warnings.append)
    folder.mkdir(parents=True, exist_ok=True)
    pages = size = 0
    total = _count(site)
    for path, content in files_of(site):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)
        size += len(content)
        if path.endswith(".html"):
            pages += 1
            report(pages, total)
    return Written(pages, size, tuple(dict.fromkeys(warnings)))


def files_of(site: Site) -> Iterator[tuple[str, bytes]]:
    """Every file of the site, by path and content."""
    share_frame(site)
    for part in (explore_pages, kl_pages, scaling_pages, lesson_pages):
        for path, content in part(site):
            yield path, content
            yield from site.taken()
    yield ".nojekyll", b""  # GitHub's Pages then serve the files as they are


def _count(site: Site) -> int:
    steps = sum(len(lesson.steps) for lesson in shelf().lessons.values())
    return 2 * (len(site.runs) + 1) + 1 + len(questions()) + 1 + steps


def runs_of(folders: Sequence[Path]) -> Mapping[str, Run]:
    """The runs in these folders, each with a key of its own; ValueError where one cannot be shown."""
    offered: dict[str, Run] = {}
    for folder in folders:
        run = read_run(folder.resolve())
        stem = key = file_stem(run.key, 60)
        while key in offered:
            key = f"{stem}-{sum(other.startswith(stem) for other in offered) + 1}"
        offered[key] = replace(run, key=key)
        offered[key].target.dim  # noqa: B018  says it where a run does not carry its target
    return offered


def lab_address(text: str) -> str:
    """The address of a lab, without a slash at its end."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise SiteError(f"A lab has an address such as https://lab.example.org; got {one_line(text, 80)!r}.")
    return text.rstrip("/")


def _require_empty(folder: Path) -> None:
    """Nothing of anybody's is written over."""
    if folder.is_dir() and any(folder.iterdir()):
        raise SiteError(f"{folder} is not empty. Name a new folder, or empty this one first.")
    if folder.exists() and not folder.is_dir():
        raise SiteError(f"{folder} is a file. Name a folder for the site.")
