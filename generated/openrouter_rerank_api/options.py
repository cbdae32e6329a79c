"""The optional fields of a request, as TypedDicts, and the types by which their values are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from msgspec import Meta

if TYPE_CHECKING:
    from .models import ProviderPreferences, Trace


CONTRACT_VERSION = "1.1.0"
"""The version of the contract that this client follows."""


class ProviderSortDict(TypedDict, total=False):
    """What to prefer providers by, and whether models are kept apart.

    Example: {'by': 'throughput', 'partition': 'model'}"""

    by: str | None
    """What to prefer providers by (open: `price`, `throughput`, `latency`, `exacto`).

    Example: throughput"""
    partition: Literal["model", "none"] | None
    """Whether endpoints are sorted within each model (`model`, the default) or across them (`none`).

    Example: model"""


class MaxPriceDict(TypedDict, total=False):
    """The highest price that is acceptable, in US dollars. A hard filter: when nothing is cheap enough the
    request fails.

    Example: {'request': '0.002'}"""

    prompt: str | float
    """Dollars per million prompt tokens.

    Example: 0.05"""
    completion: str | float
    """Dollars per million completion tokens.

    Example: 0"""
    image: str | float
    """Dollars per image.

    Example: 0.001"""
    audio: str | float
    """Dollars per unit of audio.

    Example: 0"""
    request: str | float
    """Dollars per request.

    Example: 0.002"""


class PercentilesDict(TypedDict, total=False):
    """A bound for each percentile; those left out or null are not bounded.

    Example: {'p50': 1, 'p99': 5}"""

    p50: float | None
    """The bound of the median.

    Example: 1"""
    p75: float | None
    """The bound of the 75th percentile.

    Example: 2"""
    p90: float | None
    """The bound of the 90th percentile.

    Example: 3"""
    p99: float | None
    """The bound of the 99th percentile.

    Example: 5"""


class ProviderPreferencesDict(TypedDict, total=False):
    """Which providers may serve a request, which are preferred, and at which price.

    Example: {'order': ['Cohere'], 'allow_fallbacks': False, 'data_collection': 'deny'}"""

    allow_fallbacks: bool | None
    """Whether others may serve when the primary provider cannot. True when left out.

    Example: True"""
    require_parameters: bool | None
    """Whether only endpoints that support every parameter sent may serve. False when left out.

    Example: False"""
    data_collection: Literal["allow", "deny"] | None
    """`deny` keeps out providers that may store the data or train on it. `allow` when left out. The strictest
    of the account's, the guardrail's and the request's setting holds.

    Example: deny"""
    zdr: bool | None
    """True keeps out every endpoint that retains data. The account's setting can also turn it on.

    Example: True"""
    enforce_distillable_text: bool | None
    """True allows only models whose author permits distillation.

    Example: False"""
    order: list[str] | None
    """Providers to try, in this order, by name or slug (open: `Cohere`, `VoyageAI by MongoDB`, `Nvidia`,
    `Alibaba`, `DeepInfra`, `SiliconFlow`, `Fireworks`, `Together`, `Novita`, ...). Turns load balancing
    off.

    Example: ['Cohere']"""
    only: list[str] | None
    """The only providers that may serve, by name or slug (open); combined with the account's list.

    Example: ['cohere']"""
    ignore: list[str] | None
    """Providers that may not serve, by name or slug (open); combined with the account's list.

    Example: ['deepinfra']"""
    quantizations: list[str] | None
    """The quantizations that are allowed (open: `int4`, `int8`, `fp4`, `mxfp4`, `nvfp4`, `fp6`, `fp8`,
    `mxfp8`, `fp16`, `bf16`, `fp32`, `unknown`).

    Example: ['fp16', 'bf16']"""
    sort: str | ProviderSortDict | None
    """What to prefer providers by (open: `price`, `throughput`, `latency`, `exacto`), as a word or with a
    partition. Turns load balancing off.

    Example: price"""
    max_price: MaxPriceDict
    """The highest price that is acceptable, in US dollars. A hard filter: when nothing is cheap enough the
    request fails.

    Example: {'request': '0.002'}"""
    preferred_max_latency: float | PercentilesDict | None
    """Providers slower than this many seconds are tried last: one number for the median, or one per
    percentile.

    Example: 2.5"""
    preferred_min_throughput: float | PercentilesDict | None
    """Providers with fewer tokens per second than this are tried last: one number for the median, or one per
    percentile.

    Example: 100"""
    options: Mapping[str, Mapping[str, Any]]
    """Settings that only one provider understands, by the provider's slug. Only the entry of the provider that
    serves is passed on; unknown slugs are dropped silently.

    Example: {'cohere': {'max_tokens_per_doc': 4096}}"""


class TraceDict(TypedDict, total=False):
    """Names that observability tools show for the request. Every further key is passed on to them as it is.

    Example: {'trace_name': 'answer-question', 'span_name': 'rerank-candidates'}"""

    trace_id: str
    """The id of the trace that the request belongs to.

    Example: 4bf92f3577b34da6a3ce929d0e0e4736"""
    trace_name: str
    """The name of that trace.

    Example: answer-question"""
    span_name: str
    """The name of the span of the request.

    Example: rerank-candidates"""
    generation_name: str
    """The name of the generation.

    Example: rerank"""
    parent_span_id: str
    """The id of the span that the request happens in.

    Example: 00f067aa0ba902b7"""


class RerankOptions(TypedDict, total=False):
    """A query and the documents to order by their relevance to it."""

    model: str | None
    """The rerank model, as `author/name` with an optional `:variant`. One model; there is no fallback list.

    Example: cohere/rerank-v3.5"""
    top_n: Annotated[int, Meta(ge=1)] | None
    """How many of the most relevant documents to return, from 1. Left out, all are returned; so are they when
    it exceeds their number. Not nullable: leave it out instead.

    Example: 3"""
    provider: ProviderPreferences | ProviderPreferencesDict | None
    """Which providers may serve the request, and which are preferred. Null is as good as absent.

    Example: {'allow_fallbacks': True}"""
    session_id: Annotated[str, Meta(max_length=256)] | None
    """Groups requests of one session for observability, at most 256 characters. Never forwarded to a provider.

    Example: search-session-7f3a"""
    user: str | None
    """Your id of the end user, for observability; not forwarded to a provider. At most 128 characters where it
    is broadcast to observability tools.

    Example: user-1042"""
    trace: Trace | Mapping[str, Any] | TraceDict | None
    """Names that observability tools show for the request. Every further key is passed on to them as it is.

    Example: {'trace_name': 'answer-question', 'span_name': 'rerank-candidates'}"""


WIRE_TYPES: dict[str, Any] = {
    "model": str,
    "top_n": Annotated[int, Meta(ge=1)],
    "provider": ProviderPreferencesDict | None,
    "session_id": Annotated[str, Meta(max_length=256)],
    "user": str,
    "trace": TraceDict,
}
"""The type of each field, with its bounds, for msgspec."""


NAMES: dict[str, str] = {}
"""The names on the wire of the fields whose names are not valid in Python."""


SUMMARIES: dict[str, str] = {
    "model": "The rerank model, as `author/name` with an optional `:variant`.",
    "top_n": "How many of the most relevant documents to return, from 1.",
    "provider": "Which providers may serve the request, and which are preferred.",
    "session_id": "Groups requests of one session for observability, at most 256 characters.",
    "user": "Your id of the end user, for observability; not forwarded to a provider.",
    "trace": "Names that observability tools show for the request.",
}
"""A sentence about each field."""


OPEN: tuple[Any, ...] = (TraceDict,)
"""The objects that accept keys which the contract does not name."""
