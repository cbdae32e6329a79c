from __future__ import annotations

from attrs import define

from ..types import Model


@define
class ProviderOptions(Model):
    """Settings that only one provider understands, by the provider's slug. Only the entry of the provider that
    serves is passed on; unknown slugs are dropped silently.

    Example: {'cohere': {'max_tokens_per_doc': 4096}}"""
