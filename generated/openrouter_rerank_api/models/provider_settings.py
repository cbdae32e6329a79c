from __future__ import annotations

from attrs import define

from ..types import Model


@define
class ProviderSettings(Model):
    """Settings of one provider, passed on unchanged.

    Example: {'max_tokens_per_doc': 4096}"""
