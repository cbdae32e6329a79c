from __future__ import annotations

from attrs import define

from ..models.model_architecture import ModelArchitecture
from ..models.model_links import ModelLinks
from ..models.model_pricing import ModelPricing
from ..models.model_top_provider import ModelTopProvider
from ..types import UNSET, Model, Unset


@define
class ListedModel(Model):
    """A model in the list.

    Example: {'id': 'cohere/rerank-v3.5', 'canonical_slug': 'cohere/rerank-v3.5', 'name': 'Cohere: Rerank v3.5',
    'created': 1775001600, 'context_length': 4096, 'architecture': {'input_modalities': ['text'],
    'output_modalities': ['rerank'], 'modality': 'text->rerank'}, 'pricing': {'prompt': '0', 'completion':
    '0'}, 'top_provider': {'is_moderated': False, 'context_length': 4096}, 'supported_parameters':
    ['temperature'], 'links': {'details': '/api/v1/models/cohere/rerank-v3.5/endpoints'}}"""

    id: str
    """Name of the model in requests, as `author/name` with an optional `:variant`.

    Example: cohere/rerank-v3.5"""
    canonical_slug: str
    """Name of this exact version of the model.

    Example: cohere/rerank-v3.5"""
    name: str
    """Display name.

    Example: Cohere: Rerank v3.5"""
    created: int
    """Time at which the model was added, in seconds since 1970.

    Example: 1775001600"""
    context_length: int | None
    """Maximum number of tokens of a query with one document. Null if unknown.

    Example: 4096"""
    architecture: ModelArchitecture
    """Inputs and outputs of a model.

    Example: {'input_modalities': ['text'], 'output_modalities': ['rerank'], 'modality': 'text->rerank'}"""
    pricing: ModelPricing
    """Prices in US dollars, as decimal strings. Rerank models are listed with `prompt` and `completion` of "0"
    although they are not free: here "0" means unknown. The cost of a call is in the `usage` of its
    response.

    Example: {'prompt': '0', 'completion': '0'}"""
    top_provider: ModelTopProvider
    """Limits of the provider that is tried first for a model.

    Example: {'is_moderated': False}"""
    supported_parameters: list[str]
    """Parameters that the model accepts (open). Not meaningful for rerank models.

    Example: []"""
    links: ModelLinks
    """Links to more information about a model.

    Example: {'details': '/api/v1/models/cohere/rerank-v3.5/endpoints'}"""
    description: str | Unset = UNSET
    """Human-readable description.

    Example: A model for ranking documents and semi-structured data."""
    hugging_face_id: None | str | Unset = UNSET
    """Name of the model on Hugging Face.

    Example: nvidia/llama-nemotron-rerank-vl-1b-v2"""
    knowledge_cutoff: None | str | Unset = UNSET
    """Last day that the training data covers, as YYYY-MM-DD.

    Example: 2025-06-01"""
    expiration_date: None | str | Unset = UNSET
    """Day after which the model may be removed, as YYYY-MM-DD. Null if no removal is planned.

    Example: 2027-01-31"""
