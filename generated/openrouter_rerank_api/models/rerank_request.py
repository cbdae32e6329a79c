from __future__ import annotations

from attrs import define

from ..models.image_document import ImageDocument
from ..models.provider_preferences import ProviderPreferences
from ..models.text_document import TextDocument
from ..models.trace import Trace
from ..types import UNSET, Model, Unset


@define
class RerankRequest(Model):
    """A query, and the documents to rank by their relevance to it."""

    model: str
    """Rerank model, as `author/name` with an optional `:variant`. One model only; there is no list of
    fallbacks.

    Example: cohere/rerank-v3.5"""
    query: str
    """Search query, as text. Models truncate or refuse longer queries than they support (Voyage: 8,000 tokens;
    Cohere: 2,048 tokens).

    Example: What is the capital of France?"""
    documents: list[ImageDocument | str | TextDocument]
    """Documents to rank, at least one. Each is a string, or an object with `text`, `image` or both; strings
    and objects may be mixed. Only some models accept images.

    Example: ['Paris is the capital of France.', 'Berlin is the capital of Germany.']"""
    top_n: int | Unset = UNSET
    """Number of results to return, from 1; the most relevant are returned. All if omitted or above the number
    of documents. Not nullable: omit it instead.

    Example: 3"""
    provider: None | ProviderPreferences | Unset = UNSET
    """Providers that may serve the request, and which of them are preferred. Null is the same as omitted.

    Example: {'allow_fallbacks': True}"""
    session_id: str | Unset = UNSET
    """Id that groups the requests of a session for observability, at most 256 characters. Never forwarded to a
    provider.

    Example: search-session-7f3a"""
    user: str | Unset = UNSET
    """Your id of the end user, for observability. Not forwarded to a provider. At most 128 characters if it is
    sent on to observability tools.

    Example: user-1042"""
    trace: Trace | Unset = UNSET
    """Names of the request in observability tools. Any other key is passed on to them unchanged.

    Example: {'trace_name': 'answer-question', 'span_name': 'rerank-candidates'}"""
