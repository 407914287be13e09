"""Zip archives of a few named files, written and read in memory; reading trusts nothing in them.

Nothing is written to a disk and no name in an archive becomes a path. Sizes are checked where they are declared and
again while reading, so that a small file cannot unfold into a large one.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

Read = TypeVar("Read")

MOST_FILES = 8
_END = struct.Struct("<4s4H2LH")
"""How a zip ends: signature, two disks, entries here and in all, size and place of the directory, comment's length."""
_LOCATOR_BYTES = 20
_WRITTEN = (1980, 1, 1, 0, 0, 0)
"""One date for all files: the same run makes the same archive, byte by byte."""


class BadArchive(ValueError):
    """Bytes that are not an archive of this lab; the message says in one sentence what is wrong."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """The zip of these files, by name; equal files make equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _WRITTEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return out.getvalue()


class Archive(Mapping[str, bytes]):
    """The files of a zip by name, each unpacked where it is asked for and not before."""

    def __init__(self, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> None:
        self._archive, self._entries = archive, entries

    def size(self, name: str) -> int:
        """Bytes that a file says it has; no more of it are ever unpacked."""
        return self._entries[name].file_size

    def __getitem__(self, name: str) -> bytes:
        return _sound(lambda: _read(self._archive, self._entries[name]))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def unpack(content: bytes, *, largest: Callable[[str], int]) -> Archive:
    """The files in a zip, by name; none is unpacked yet.

    Args:
        content: the zip.
        largest: the most bytes that a file of this name may hold; 0 for a name that has no place here.

    Raises:
        BadArchive: for anything but plain files with such names and sizes, unencrypted; one that is damaged raises it
            where it is unpacked.
    """
    _check_end(content)

    def opened() -> Archive:
        archive = zipfile.ZipFile(io.BytesIO(content))
        entries = archive.infolist()
        _check(entries, largest)
        return Archive(archive, {entry.filename: entry for entry in entries})

    return _sound(opened)


def _sound(read: Callable[[], Read]) -> Read:
    """What is read, or BadArchive for whatever zipfile says of bytes that are damaged."""
    try:
        return read()
    except KeyError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, struct.error) as error:
        raise BadArchive(f"The zip is damaged: {str(error)[:120] or type(error).__name__}.") from None
    except (UnicodeDecodeError, ValueError, RuntimeError, OverflowError) as error:
        if isinstance(error, BadArchive):
            raise
        raise BadArchive("The zip is damaged: its directory cannot be read.") from None


def _check_end(content: bytes) -> None:
    """Before anything walks the directory: it is where a plain zip has it, and short."""
    if len(content) < _END.size or content[-_END.size :][:4] != b"PK\x05\x06":
        raise BadArchive("This is not a zip, or it was cut off.")
    _, *_, entries, size, _, _ = _END.unpack(content[-_END.size :])
    extended = content[-_END.size - _LOCATOR_BYTES :][:4] == b"PK\x06\x07"
    if extended or entries > MOST_FILES or size > MOST_FILES * 1024:
        raise BadArchive(f"The zip holds more than the {MOST_FILES} files that a run has at most.")


def _check(entries: list[zipfile.ZipInfo], largest: Callable[[str], int]) -> None:
    names = [entry.filename for entry in entries]
    if not names:
        raise BadArchive("The zip is empty.")
    if len(set(names)) < len(names):
        raise BadArchive("The zip holds two files of one name.")
    for entry in entries:
        most = largest(entry.filename)
        if most <= 0 or entry.orig_filename != entry.filename:
            raise BadArchive(f"The zip holds {entry.filename[:60]!r}, which no run of this lab has.")
        if entry.flag_bits & 0x1:
            raise BadArchive("The zip is encrypted; make one without a password.")
        if entry.file_size > most:
            raise BadArchive(f"{entry.filename} in the zip is larger than {most / 2**20:.3g} MB.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadArchive(f"{entry.filename} is packed in a way that this lab does not read; use a plain zip.")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The content, and never more of it than was declared and allowed."""
    with archive.open(entry) as file:
        content = file.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise BadArchive(f"{entry.filename} in the zip is damaged: it is not as long as it says.")
    return content
