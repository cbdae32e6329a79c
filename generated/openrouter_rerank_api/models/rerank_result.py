from __future__ import annotations

from attrs import define

from ..models.result_document import ResultDocument
from ..types import Model


@define
class RerankResult(Model):
    """One document in the ranking.

    Example: {'index': 0, 'relevance_score': 0.98, 'document': {'text': 'Paris is the capital of France.'}}"""

    index: int
    """The position of the document in the request, from 0.

    Example: 0"""
    relevance_score: float
    """How relevant the document is, higher is more: any finite number. The scale is the model's own (0 to 1,
    or logits of either sign).

    Example: 0.98"""
    document: ResultDocument
    """The document as it was sent; a plain string comes back as `text`.

    Example: {'text': 'Paris is the capital of France.'}"""
