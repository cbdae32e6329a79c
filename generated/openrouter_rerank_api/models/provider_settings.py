from __future__ import annotations

from attrs import define

from ..types import Model


@define
class ProviderSettings(Model):
    """One provider's own settings, passed on as they are.

    Example: {'max_tokens_per_doc': 4096}"""
