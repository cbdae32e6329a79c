"""Option types for one of several values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click


class OneOf(click.Choice[str]):
    """One of several values, in any case; the error for another value suggests the most similar one."""

    def __init__(self, choices: Sequence[str], nearest: Callable[[str], str | None] | None = None) -> None:
        """Set the values.

        Args:
            choices: The values.
            nearest: Returns the value that a wrong one may mean; by default the most similar one.
        """
        super().__init__(choices, case_sensitive=False)
        self._nearest = nearest

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return the message for another value."""
        del ctx
        from openrouter_rerank.arguments import nearest, suggestion  # noqa: PLC0415 - only needed for a wrong value

        asked = str(value)
        close = self._nearest(asked) if self._nearest else nearest(asked.lower(), self.choices)
        return f"{asked!r} is not one of {', '.join(map(repr, self.choices))}{suggestion(close)}"
