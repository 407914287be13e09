"""Answer the lab's questions with their default configs, and keep the answers the lab ships with.

    python assets/make_experiments.py                     every experiment
    python assets/make_experiments.py dimension           one of them

Each answer, with the config and the seed that make it again, goes to assets/experiments/NAME.json, its points to
NAME.csv, and a line with the day, the command and the seconds to assets/experiments/README.md.
"""

import argparse
import datetime as dt
import re
import sys
from pathlib import Path

import torch

from cmcore.experiments import EXPERIMENTS, Result
from cmcore.files import write_atomically

FOLDER = Path(__file__).parent / "experiments"

SHIPPED: dict[str, dict[str, object]] = {
    "discretization": {"steps": 8_000},
    "equal_calls": {"steps": 4_000},
    "one_time": {"objectives": ("ct", "ect", "lsd"), "samples": 16_384, "learned_jumps": (1, 2, 4, 8, 16, 32)},
    "time_grids": {"training_steps": 8_000, "trials": 80},
}
"""Fields that differ from an experiment's defaults: other budgets for the answers that are shipped."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"all by default: {', '.join(EXPERIMENTS)}")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name in choices.names or EXPERIMENTS:
        result = EXPERIMENTS[name](**SHIPPED.get(name, {})).run(lambda p, name=name: _say(name, p.share, p.words))
        print(file=sys.stderr)
        write_atomically(FOLDER / f"{name}.json", (result.to_json() + "\n").encode())
        write_atomically(FOLDER / f"{name}.csv", result.to_csv().encode())
        note(name, result)
        print(f"{name}: {result.reading}\n")


def note(name: str, result: Result) -> None:
    """The line of this experiment in the folder's README, in place of an older one."""
    path = FOLDER / "README.md"
    head = (
        "# Answers the lab ships with\n\nEach is made again by its command; its JSON holds the config and the seed.\n\n"
        "| experiment | made by | on | seconds, one thread |\n|---|---|---|---|\n"
    )
    text = path.read_text() if path.exists() else head
    text = re.sub(rf"^\| `{name}` .*\n", "", text, flags=re.MULTILINE)
    day = dt.datetime.now(tz=dt.UTC).date()
    line = f"| `{name}` | `python assets/make_experiments.py {name}` | {day} | {result.seconds:.0f} |\n"
    write_atomically(path, (text + line).encode())


def _say(name: str, share: float, words: str) -> None:
    print(f"\r{name}: {share:4.0%} {words:60}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
