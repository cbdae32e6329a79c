from __future__ import annotations

from attrs import define

from ..models.rerank_result import RerankResult
from ..models.usage import Usage
from ..types import UNSET, Model, Unset


@define
class RerankResponse(Model):
    """Documents ranked by relevance, most relevant first.

    Example: {'model': 'cohere/rerank-v3.5', 'results': [{'index': 0, 'relevance_score': 0.98, 'document': {'text':
    'Paris is the capital of France.'}}]}"""

    model: str
    """Model that ranked the documents, often by its bare upstream name. Do not compare it with the requested
    model.

    Example: cohere/rerank-v3.5"""
    results: list[RerankResult]
    """Ranked documents, most relevant first. At most `top_n` and at most the number of documents; each index
    appears once at most.

    Example: [{'index': 0, 'relevance_score': 0.98, 'document': {'text': 'Paris is the capital of France.'}}]"""
    id: str | Unset = UNSET
    """Id of the response. The vendor's ids have the form `gen-rerank-<unix seconds>-<letters and digits>`.

    Example: gen-rerank-1786406400-Yh0uTgGqXvN2b7KpLw4s"""
    provider: str | Unset = UNSET
    """Display name of the provider that served the request (open).

    Example: Cohere"""
    usage: Usage | Unset = UNSET
    """Billing of the request. A missing value is unknown; it is not 0.

    Example: {'total_tokens': 17, 'cost': 3.4e-07}"""
