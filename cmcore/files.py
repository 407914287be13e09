"""Files, read without trusting them and written atomically.

A reader takes plain files alone, and never more bytes than it asked for: a pipe, a device or a folder behind a name
neither hangs it nor fills its memory. A file that is written is there whole or not at all, and writers of one folder
take turns.
"""

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_BESIDE = Path(__file__).parents[1]
LAB = _BESIDE / "consistency_lab" if (_BESIDE / "consistency_lab").is_dir() else _BESIDE
"""What comes with the lab and is no module, as in a checkout: the page's entry, its settings, and the assets.

An installed package has it in a folder of its own beside the modules; pyproject.toml says what goes there.
"""
LOCK_FILE = ".lock"
PATIENCE = 60.0
"""Seconds that a writer waits for the others in its folder, each of which needs well below one."""


class BadFile(ValueError):
    """Something that is no plain file, or one too large; the message says so in a sentence."""


def read_plain(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a plain file of at most `most` bytes.

    Links are followed, since package managers install by them; what they lead to must be a plain file.

    Raises:
        OSError: where there is no file or it may not be read.
        BadFile: for a pipe, a device or a folder, which are not opened, and for a larger file, of which no more is
            read.
    """
    _require_plain(path, os.stat(path).st_mode)  # noqa: PTH116  a path of any kind; opening a device may do something
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        now = os.fstat(handle)
        _require_plain(path, now.st_mode)
        content = b"" if now.st_size > most else file.read(most + 1)
    if now.st_size > most or len(content) > most:
        raise BadFile(f"{path} is larger than any such file of this lab ({_size(most)}).")
    return content


def _require_plain(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise BadFile(f"{path} is {_kind(mode)}, and not a plain file.")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def _size(count: int) -> str:
    return f"{count >> 20:,} MB" if count >= 1 << 20 else f"{count:,} bytes"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens on the way."""
    temporary = path.with_name(f".{path.name[:60]}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # the name that people know
        raise


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk before going on, where the system can do that."""
    with contextlib.suppress(OSError):  # Windows opens no folder, and some network drives sync none
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """While inside, no other writer of the folder is inside, of this process or another; a killed one lets go.

    Raises OSError where the turn does not come within a minute.
    """
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise TimeoutError(f"{folder} has been written to for a minute by another process; try again later.") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / LOCK_FILE).unlink()  # the last act of a turn: who waits for it makes it anew
        lock.release()
