from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ModelTopProvider(Model):
    """What holds at the provider that serves a model first.

    Example: {'is_moderated': False}"""

    is_moderated: bool
    """Whether it checks what is sent for what it forbids.

    Example: False"""
    context_length: int | None | Unset = UNSET
    """How many tokens fit there.

    Example: 4096"""
    max_completion_tokens: int | None | Unset = UNSET
    """How many tokens come out at most."""
