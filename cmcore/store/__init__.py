r"""Runs on disk: a folder, or one zip, with a `run.json` and the safetensors files it names, written atomically.

Every tensor file carries the hash of its content in its name, and `run.json`, which names them, is replaced last in one
step: a crash at any moment, or another process that saves to the same folder, leaves the old run or the new one, never
a mixture. What would not be read back is not written. Nothing in a folder is executed, and nothing is believed before
it is checked: kinds of files, sizes, names, shapes, numbers and hashes first.
"""

from cmcore.store.external import ExternalResult, external_from_zip, is_external, load_external, save_external
from cmcore.store.reading import ReadLimits, from_zip, load
from cmcore.store.record import RUN_FILE, BadRun
from cmcore.store.writing import run_files, save, to_zip, write_run

__all__ = [
    "RUN_FILE",
    "BadRun",
    "ExternalResult",
    "ReadLimits",
    "external_from_zip",
    "from_zip",
    "is_external",
    "load",
    "load_external",
    "run_files",
    "save",
    "save_external",
    "to_zip",
    "write_run",
]
