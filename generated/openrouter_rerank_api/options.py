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
    """Sort key of providers, and the scope of the sort.

    Example: {'by': 'throughput', 'partition': 'model'}"""

    by: str | None
    """Sort key of providers (open: `price`, `throughput`, `latency`, `exacto`).

    Example: throughput"""
    partition: Literal["model", "none"] | None
    """Scope of the sort: within each model (`model`, the default) or across models (`none`).

    Example: model"""


class MaxPriceDict(TypedDict, total=False):
    """Maximum price in US dollars. The request fails if no provider is cheap enough.

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
    """Bounds per percentile. A percentile that is omitted or null has no bound.

    Example: {'p50': 1, 'p99': 5}"""

    p50: float | None
    """Bound of the median.

    Example: 1"""
    p75: float | None
    """Bound of the 75th percentile.

    Example: 2"""
    p90: float | None
    """Bound of the 90th percentile.

    Example: 3"""
    p99: float | None
    """Bound of the 99th percentile.

    Example: 5"""


class ProviderPreferencesDict(TypedDict, total=False):
    """Providers that may serve a request, which of them are preferred, and the maximum price.

    Example: {'order': ['Cohere'], 'allow_fallbacks': False, 'data_collection': 'deny'}"""

    allow_fallbacks: bool | None
    """True to use other providers if the primary provider cannot serve the request. True if omitted.

    Example: True"""
    require_parameters: bool | None
    """True to use only endpoints that support every parameter of the request. False if omitted.

    Example: False"""
    data_collection: Literal["allow", "deny"] | None
    """`deny` excludes providers that may store the data or train on it. `allow` if omitted. The strictest
    setting applies: the account's, the guardrail's or the request's.

    Example: deny"""
    zdr: bool | None
    """True to exclude every endpoint that retains data. The account's setting can also turn this on.

    Example: True"""
    enforce_distillable_text: bool | None
    """True to use only models whose author permits distillation.

    Example: False"""
    order: list[str] | None
    """Providers to try in this order, by name or slug (open: `Cohere`, `VoyageAI by MongoDB`, `Nvidia`,
    `Alibaba`, `DeepInfra`, `SiliconFlow`, `Fireworks`, `Together`, `Novita`, ...). Turns off load
    balancing.

    Example: ['Cohere']"""
    only: list[str] | None
    """Providers that may serve the request, by name or slug (open). Combined with the account's list.

    Example: ['cohere']"""
    ignore: list[str] | None
    """Providers that may not serve the request, by name or slug (open). Combined with the account's list.

    Example: ['deepinfra']"""
    quantizations: list[str] | None
    """Allowed quantizations (open: `int4`, `int8`, `fp4`, `mxfp4`, `nvfp4`, `fp6`, `fp8`, `mxfp8`, `fp16`,
    `bf16`, `fp32`, `unknown`).

    Example: ['fp16', 'bf16']"""
    sort: str | ProviderSortDict | None
    """Sort key of providers (open: `price`, `throughput`, `latency`, `exacto`), or an object with the key and
    a partition. Turns off load balancing.

    Example: price"""
    max_price: MaxPriceDict
    """Maximum price in US dollars. The request fails if no provider is cheap enough.

    Example: {'request': '0.002'}"""
    preferred_max_latency: float | PercentilesDict | None
    """Preferred maximum latency in seconds, as a number for the median or an object with a bound per
    percentile. Slower providers are tried last.

    Example: 2.5"""
    preferred_min_throughput: float | PercentilesDict | None
    """Preferred minimum throughput in tokens per second, as a number for the median or an object with a bound
    per percentile. Slower providers are tried last.

    Example: 100"""
    options: Mapping[str, Mapping[str, Any]]
    """Settings of single providers, by provider slug. Only the entry of the provider that serves the request
    is passed on. Unknown slugs are dropped silently.

    Example: {'cohere': {'max_tokens_per_doc': 4096}}"""


class TraceDict(TypedDict, total=False):
    """Names of the request in observability tools. Any other key is passed on to them unchanged.

    Example: {'trace_name': 'answer-question', 'span_name': 'rerank-candidates'}"""

    trace_id: str
    """Id of the trace that the request belongs to.

    Example: 4bf92f3577b34da6a3ce929d0e0e4736"""
    trace_name: str
    """Name of the trace.

    Example: answer-question"""
    span_name: str
    """Name of the request's span.

    Example: rerank-candidates"""
    generation_name: str
    """Name of the generation.

    Example: rerank"""
    parent_span_id: str
    """Id of the parent span.

    Example: 00f067aa0ba902b7"""


class RerankOptions(TypedDict, total=False):
    """A query, and the documents to rank by their relevance to it."""

    model: str | None
    """Rerank model, as `author/name` with an optional `:variant`. One model only; there is no list of
    fallbacks.

    Example: cohere/rerank-v3.5"""
    top_n: Annotated[int, Meta(ge=1)] | None
    """Number of results to return, from 1; the most relevant are returned. All if omitted or above the number
    of documents. Not nullable: omit it instead.

    Example: 3"""
    provider: ProviderPreferences | ProviderPreferencesDict | None
    """Providers that may serve the request, and which of them are preferred. Null is the same as omitted.

    Example: {'allow_fallbacks': True}"""
    session_id: Annotated[str, Meta(max_length=256)] | None
    """Id that groups the requests of a session for observability, at most 256 characters. Never forwarded to a
    provider.

    Example: search-session-7f3a"""
    user: str | None
    """Your id of the end user, for observability. Not forwarded to a provider. At most 128 characters if it is
    sent on to observability tools.

    Example: user-1042"""
    trace: Trace | Mapping[str, Any] | TraceDict | None
    """Names of the request in observability tools. Any other key is passed on to them unchanged.

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
"""The names on the wire of the fields that have another name in Python."""


SUMMARIES: dict[str, str] = {
    "model": "Rerank model, as `author/name` with an optional `:variant`.",
    "top_n": "Number of results to return, from 1; the most relevant are returned.",
    "provider": "Providers that may serve the request, and which of them are preferred.",
    "session_id": "Id that groups the requests of a session for observability, at most 256 characters.",
    "user": "Your id of the end user, for observability.",
    "trace": "Names of the request in observability tools.",
}
"""A sentence about each field."""


OPEN: tuple[Any, ...] = (TraceDict,)
"""The objects that accept keys which the contract does not name."""
