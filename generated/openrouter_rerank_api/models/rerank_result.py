from __future__ import annotations

from attrs import define

from ..models.result_document import ResultDocument
from ..types import Model


@define
class RerankResult(Model):
    """A document in the ranking.

    Example: {'index': 0, 'relevance_score': 0.98, 'document': {'text': 'Paris is the capital of France.'}}"""

    index: int
    """Position of the document in the request, from 0.

    Example: 0"""
    relevance_score: float
    """Relevance score; higher is more relevant. Any finite number: the scale depends on the model (0 to 1, or
    logits of either sign).

    Example: 0.98"""
    document: ResultDocument
    """The document as it was sent. A string is returned as `text`.

    Example: {'text': 'Paris is the capital of France.'}"""
