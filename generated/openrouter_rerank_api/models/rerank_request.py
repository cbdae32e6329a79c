from __future__ import annotations

from attrs import define

from ..models.image_document import ImageDocument
from ..models.provider_preferences import ProviderPreferences
from ..models.text_document import TextDocument
from ..models.trace import Trace
from ..types import UNSET, Model, Unset


@define
class RerankRequest(Model):
    """A query and the documents to order by their relevance to it."""

    model: str
    """The rerank model, as `author/name` with an optional `:variant`. One model; there is no fallback list.

    Example: cohere/rerank-v3.5"""
    query: str
    """The search query, as text. Models cut or refuse what is too long for them (Voyage: 8,000 tokens; Cohere:
    2,048 tokens).

    Example: What is the capital of France?"""
    documents: list[ImageDocument | str | TextDocument]
    """The documents to order, at least one. Each is a string, or an object with `text`, `image` or both; the
    kinds may be mixed. Which models take images is a property of the model.

    Example: ['Paris is the capital of France.', 'Berlin is the capital of Germany.']"""
    top_n: int | Unset = UNSET
    """How many of the most relevant documents to return, from 1. Left out, all are returned; so are they when
    it exceeds their number. Not nullable: leave it out instead.

    Example: 3"""
    provider: None | ProviderPreferences | Unset = UNSET
    """Which providers may serve the request, and which are preferred. Null is as good as absent.

    Example: {'allow_fallbacks': True}"""
    session_id: str | Unset = UNSET
    """Groups requests of one session for observability, at most 256 characters. Never forwarded to a provider.

    Example: search-session-7f3a"""
    user: str | Unset = UNSET
    """Your id of the end user, for observability; not forwarded to a provider. At most 128 characters where it
    is broadcast to observability tools.

    Example: user-1042"""
    trace: Trace | Unset = UNSET
    """Names that observability tools show for the request. Every further key is passed on to them as it is.

    Example: {'trace_name': 'answer-question', 'span_name': 'rerank-candidates'}"""
