"""`cmcore kl`: how far a run's samples are from the exact truth."""

from pathlib import Path

import click

__all__ = ["kl"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
def kl(run: Path) -> None:
    """KL."""
