from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ModelArchitecture(Model):
    """Inputs and outputs of a model.

    Example: {'input_modalities': ['text'], 'output_modalities': ['rerank'], 'modality': 'text->rerank'}"""

    input_modalities: list[str]
    """Input modalities (open: `text`, `image`, `file`, `audio`, `video`).

    Example: ['text', 'image']"""
    output_modalities: list[str]
    """Output modalities (open). Rerank models have `rerank`.

    Example: ['rerank']"""
    modality: None | str
    """Input and output modalities in one string.

    Example: text+image->rerank"""
    tokenizer: str | Unset = UNSET
    """Family of the tokenizer (open).

    Example: Cohere"""
    instruct_type: None | str | Unset = UNSET
    """Format of instructions (open). Null if the model accepts none."""
