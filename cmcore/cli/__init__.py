"""The command line: `cmcore train`, `sample`, `kl`, `experiment`, `sweep`, lists, the lab itself, and its static site.

Results go to standard output, and everything else to standard error. Exit codes: 0 done; 1 failed, for example a run
that diverged; 2 bad usage or input; 130 interrupted.
"""

import click

from cmcore.cli.experiment import experiment
from cmcore.cli.lab import app
from cmcore.cli.lists import estimators, objectives, samplers, targets
from cmcore.cli.measure import kl
from cmcore.cli.outcome import OneSentence
from cmcore.cli.sample import sample
from cmcore.cli.site import site
from cmcore.cli.sweep import sweep
from cmcore.cli.train import train

__all__ = ["main"]


@click.group(cls=OneSentence, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="consistency-lab", prog_name="cmcore")
def main() -> None:
    """Train multi-step consistency models and measure them against the exact truth."""


for _command in (train, sample, kl, experiment, sweep, targets, objectives, samplers, estimators, app, site):
    main.add_command(_command)
