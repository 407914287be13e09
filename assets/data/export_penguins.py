"""Writes penguins.csv from the PyPI package palmerpenguins (`pip install palmerpenguins`)."""

from pathlib import Path

from palmerpenguins import load_penguins  # pyright: ignore[reportMissingImports]

MEASURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]

penguins = load_penguins()[["species", *MEASURES]].dropna()
penguins.to_csv(Path(__file__).with_name("penguins.csv"), index=False, float_format="%g")
