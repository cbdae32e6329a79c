from __future__ import annotations

from attrs import define

from ..types import Model


@define
class ProviderOptions(Model):
    """Settings of single providers, by provider slug. Only the entry of the provider that serves the request is
    passed on. Unknown slugs are dropped silently.

    Example: {'cohere': {'max_tokens_per_doc': 4096}}"""
