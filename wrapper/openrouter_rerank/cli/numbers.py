"""Option types for numbers."""

from __future__ import annotations

from math import isfinite
from typing import Any

import click


class PositiveNumber(click.FloatRange):
    """A finite number above 0; FloatRange alone accepts NaN and infinity."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with the usage of the command."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
