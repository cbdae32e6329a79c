from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ModelArchitecture(Model):
    """What a model takes and gives.

    Example: {'input_modalities': ['text'], 'output_modalities': ['rerank'], 'modality': 'text->rerank'}"""

    input_modalities: list[str]
    """What it takes (open: `text`, `image`, `file`, `audio`, `video`).

    Example: ['text', 'image']"""
    output_modalities: list[str]
    """What it gives (open); a model that ranks has `rerank`.

    Example: ['rerank']"""
    modality: None | str
    """The two in one word.

    Example: text+image->rerank"""
    tokenizer: str | Unset = UNSET
    """The family of its tokenizer (open).

    Example: Cohere"""
    instruct_type: None | str | Unset = UNSET
    """The form of its instructions (open); null for models that take none."""
