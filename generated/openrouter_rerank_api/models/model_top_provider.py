from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ModelTopProvider(Model):
    """Limits of the provider that is tried first for a model.

    Example: {'is_moderated': False}"""

    is_moderated: bool
    """True if the provider moderates the input.

    Example: False"""
    context_length: int | None | Unset = UNSET
    """Maximum number of tokens at this provider.

    Example: 4096"""
    max_completion_tokens: int | None | Unset = UNSET
    """Maximum number of output tokens."""
