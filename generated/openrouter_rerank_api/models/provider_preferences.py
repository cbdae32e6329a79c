from __future__ import annotations

from attrs import define

from ..models.max_price import MaxPrice
from ..models.percentiles import Percentiles
from ..models.provider_options import ProviderOptions
from ..models.provider_preferences_data_collection_type_0 import (
    ProviderPreferencesDataCollectionType0,
)
from ..models.provider_sort import ProviderSort
from ..types import UNSET, Model, Unset


@define
class ProviderPreferences(Model):
    """Providers that may serve a request, which of them are preferred, and the maximum price.

    Example: {'order': ['Cohere'], 'allow_fallbacks': False, 'data_collection': 'deny'}"""

    allow_fallbacks: bool | None | Unset = UNSET
    """True to use other providers if the primary provider cannot serve the request. True if omitted.

    Example: True"""
    require_parameters: bool | None | Unset = UNSET
    """True to use only endpoints that support every parameter of the request. False if omitted.

    Example: False"""
    data_collection: None | ProviderPreferencesDataCollectionType0 | Unset = UNSET
    """`deny` excludes providers that may store the data or train on it. `allow` if omitted. The strictest
    setting applies: the account's, the guardrail's or the request's.

    Example: deny"""
    zdr: bool | None | Unset = UNSET
    """True to exclude every endpoint that retains data. The account's setting can also turn this on.

    Example: True"""
    enforce_distillable_text: bool | None | Unset = UNSET
    """True to use only models whose author permits distillation.

    Example: False"""
    order: list[str] | None | Unset = UNSET
    """Providers to try in this order, by name or slug (open: `Cohere`, `VoyageAI by MongoDB`, `Nvidia`,
    `Alibaba`, `DeepInfra`, `SiliconFlow`, `Fireworks`, `Together`, `Novita`, ...). Turns off load
    balancing.

    Example: ['Cohere']"""
    only: list[str] | None | Unset = UNSET
    """Providers that may serve the request, by name or slug (open). Combined with the account's list.

    Example: ['cohere']"""
    ignore: list[str] | None | Unset = UNSET
    """Providers that may not serve the request, by name or slug (open). Combined with the account's list.

    Example: ['deepinfra']"""
    quantizations: list[str] | None | Unset = UNSET
    """Allowed quantizations (open: `int4`, `int8`, `fp4`, `mxfp4`, `nvfp4`, `fp6`, `fp8`, `mxfp8`, `fp16`,
    `bf16`, `fp32`, `unknown`).

    Example: ['fp16', 'bf16']"""
    sort: None | ProviderSort | str | Unset = UNSET
    """Sort key of providers (open: `price`, `throughput`, `latency`, `exacto`), or an object with the key and
    a partition. Turns off load balancing.

    Example: price"""
    max_price: MaxPrice | Unset = UNSET
    """Maximum price in US dollars. The request fails if no provider is cheap enough.

    Example: {'request': '0.002'}"""
    preferred_max_latency: float | None | Percentiles | Unset = UNSET
    """Preferred maximum latency in seconds, as a number for the median or an object with a bound per
    percentile. Slower providers are tried last.

    Example: 2.5"""
    preferred_min_throughput: float | None | Percentiles | Unset = UNSET
    """Preferred minimum throughput in tokens per second, as a number for the median or an object with a bound
    per percentile. Slower providers are tried last.

    Example: 100"""
    options: ProviderOptions | Unset = UNSET
    """Settings of single providers, by provider slug. Only the entry of the provider that serves the request
    is passed on. Unknown slugs are dropped silently.

    Example: {'cohere': {'max_tokens_per_doc': 4096}}"""
