"""The encoding of a text file, and files that are no text."""

import codecs
import re

from cmcore.targets.files.bad_table import BadTable

_SIGNATURES = {
    b"PK\x03\x04": "an Excel workbook or another zip archive: save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV",
    b"\x1f\x8b": "compressed: unpack it first",
    b"BZh": "compressed: unpack it first",
    b"\xfd7zXZ": "compressed: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed: unpack it first",
    b"\x89HDF": "an HDF5 file: save the table as CSV or Parquet",
    b"\x93NUMPY": "a NumPy array: save it with numpy.savetxt",
    b"ARROW1": "an Arrow file: save the table as CSV or Parquet",
    **dict.fromkeys((b'{"', b"{\n", b"[{", b"[["), "JSON: save the table as CSV or Parquet"),
    **dict.fromkeys((b"<?xml", b"<html", b"<!DOC"), "a page or another XML document: save the table as CSV"),
}
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_BLOCK = 1 << 20
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x19\x1b]")
"""Characters that no text has."""


def encoding_of(content: bytes) -> str:
    """The encoding of a text: by its mark, by the zeros of UTF-16, UTF-8 where that fits, Windows-1252 otherwise."""
    for start, what in _SIGNATURES.items():
        if content.startswith(start):
            raise BadTable(f"The file is {what}.")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    if not encoding:
        even, odd = content[:4096:2].count(0), content[1:4096:2].count(0)
        utf16 = max(even, odd) > 0.4 * len(content[:4096:2]) and min(even, odd) == 0
        encoding = ("utf-16-le" if odd else "utf-16-be") if utf16 else "utf-8"
    if encoding != "utf-8" and not _decodes(content, encoding):
        raise BadTable(f"The file starts as {encoding.upper()} text and is none; save the table as CSV in UTF-8.")
    return next(each for each in (encoding, "cp1252", "latin-1") if _decodes(content, each))


def _decodes(content: bytes, encoding: str) -> bool:
    """Whether the bytes are text in this encoding. Raises BadTable for characters that no text has."""
    decoder = codecs.getincrementaldecoder(encoding)()
    view = memoryview(content)
    try:
        for start in range(0, len(content), _BLOCK):
            text = decoder.decode(view[start : start + _BLOCK], final=start + _BLOCK >= len(content))
            if _CONTROLS.search(text):
                raise BadTable("The file is neither Parquet nor text; save the table as CSV in UTF-8.")
    except UnicodeError:
        return False
    return True
