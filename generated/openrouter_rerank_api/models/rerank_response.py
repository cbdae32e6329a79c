from __future__ import annotations

from attrs import define

from ..models.rerank_result import RerankResult
from ..models.usage import Usage
from ..types import UNSET, Model, Unset


@define
class RerankResponse(Model):
    """The documents by relevance, best first.

    Example: {'model': 'cohere/rerank-v3.5', 'results': [{'index': 0, 'relevance_score': 0.98, 'document': {'text':
    'Paris is the capital of France.'}}]}"""

    model: str
    """The model that ranked, often by its bare upstream name. Do not compare it with the model asked for.

    Example: cohere/rerank-v3.5"""
    results: list[RerankResult]
    """The ranked documents, most relevant first: no more than `top_n`, no more than there are documents, no
    position twice.

    Example: [{'index': 0, 'relevance_score': 0.98, 'document': {'text': 'Paris is the capital of France.'}}]"""
    id: str | Unset = UNSET
    """The id of the answer, `gen-rerank-<unix seconds>-<letters and digits>` as the vendor makes them.

    Example: gen-rerank-1786406400-Yh0uTgGqXvN2b7KpLw4s"""
    provider: str | Unset = UNSET
    """The display name of the provider that served (open).

    Example: Cohere"""
    usage: Usage | Unset = UNSET
    """What the request was billed by. What is absent is not known; it is not 0.

    Example: {'total_tokens': 17, 'cost': 3.4e-07}"""
