from __future__ import annotations

from attrs import define

from ..models.model_architecture import ModelArchitecture
from ..models.model_links import ModelLinks
from ..models.model_pricing import ModelPricing
from ..models.model_top_provider import ModelTopProvider
from ..types import UNSET, Model, Unset


@define
class ListedModel(Model):
    """A model, as the list has it.

    Example: {'id': 'cohere/rerank-v3.5', 'canonical_slug': 'cohere/rerank-v3.5', 'name': 'Cohere: Rerank v3.5',
    'created': 1775001600, 'context_length': 4096, 'architecture': {'input_modalities': ['text'],
    'output_modalities': ['rerank'], 'modality': 'text->rerank'}, 'pricing': {'prompt': '0', 'completion':
    '0'}, 'top_provider': {'is_moderated': False, 'context_length': 4096}, 'supported_parameters':
    ['temperature'], 'links': {'details': '/api/v1/models/cohere/rerank-v3.5/endpoints'}}"""

    id: str
    """The name to ask for it by, as `author/name` with an optional `:variant`.

    Example: cohere/rerank-v3.5"""
    canonical_slug: str
    """The name of just this version of it.

    Example: cohere/rerank-v3.5"""
    name: str
    """Its name for people.

    Example: Cohere: Rerank v3.5"""
    created: int
    """When it was added, in seconds since 1970.

    Example: 1775001600"""
    context_length: int | None
    """How many tokens a query and one document may have together. Null where it is not known.

    Example: 4096"""
    architecture: ModelArchitecture
    """What a model takes and gives.

    Example: {'input_modalities': ['text'], 'output_modalities': ['rerank'], 'modality': 'text->rerank'}"""
    pricing: ModelPricing
    """Prices in US dollars, as decimal text. Models that rank come with `prompt` and `completion` of "0"
    although they are paid for: a "0" here is not known, and is no promise. What a call cost is in its
    `usage`.

    Example: {'prompt': '0', 'completion': '0'}"""
    top_provider: ModelTopProvider
    """What holds at the provider that serves a model first.

    Example: {'is_moderated': False}"""
    supported_parameters: list[str]
    """Parameters that it takes (open). Of no use for models that rank.

    Example: []"""
    links: ModelLinks
    """Where more is said of a model.

    Example: {'details': '/api/v1/models/cohere/rerank-v3.5/endpoints'}"""
    description: str | Unset = UNSET
    """What it is, for people.

    Example: A model for ranking documents and semi-structured data."""
    hugging_face_id: None | str | Unset = UNSET
    """Its name on Hugging Face.

    Example: nvidia/llama-nemotron-rerank-vl-1b-v2"""
    knowledge_cutoff: None | str | Unset = UNSET
    """The day up to which it was trained, as YYYY-MM-DD.

    Example: 2025-06-01"""
    expiration_date: None | str | Unset = UNSET
    """The day after which it may be gone, as YYYY-MM-DD; null where none is planned.

    Example: 2027-01-31"""
