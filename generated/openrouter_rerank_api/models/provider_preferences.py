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
    """Which providers may serve a request, which are preferred, and at which price.

    Example: {'order': ['Cohere'], 'allow_fallbacks': False, 'data_collection': 'deny'}"""

    allow_fallbacks: bool | None | Unset = UNSET
    """Whether others may serve when the primary provider cannot. True when left out.

    Example: True"""
    require_parameters: bool | None | Unset = UNSET
    """Whether only endpoints that support every parameter sent may serve. False when left out.

    Example: False"""
    data_collection: None | ProviderPreferencesDataCollectionType0 | Unset = UNSET
    """`deny` keeps out providers that may store the data or train on it. `allow` when left out. The strictest
    of the account's, the guardrail's and the request's setting holds.

    Example: deny"""
    zdr: bool | None | Unset = UNSET
    """True keeps out every endpoint that retains data. The account's setting can also turn it on.

    Example: True"""
    enforce_distillable_text: bool | None | Unset = UNSET
    """True allows only models whose author permits distillation.

    Example: False"""
    order: list[str] | None | Unset = UNSET
    """Providers to try, in this order, by name or slug (open: `Cohere`, `VoyageAI by MongoDB`, `Nvidia`,
    `Alibaba`, `DeepInfra`, `SiliconFlow`, `Fireworks`, `Together`, `Novita`, ...). Turns load balancing
    off.

    Example: ['Cohere']"""
    only: list[str] | None | Unset = UNSET
    """The only providers that may serve, by name or slug (open); combined with the account's list.

    Example: ['cohere']"""
    ignore: list[str] | None | Unset = UNSET
    """Providers that may not serve, by name or slug (open); combined with the account's list.

    Example: ['deepinfra']"""
    quantizations: list[str] | None | Unset = UNSET
    """The quantizations that are allowed (open: `int4`, `int8`, `fp4`, `mxfp4`, `nvfp4`, `fp6`, `fp8`,
    `mxfp8`, `fp16`, `bf16`, `fp32`, `unknown`).

    Example: ['fp16', 'bf16']"""
    sort: None | ProviderSort | str | Unset = UNSET
    """What to prefer providers by (open: `price`, `throughput`, `latency`, `exacto`), as a word or with a
    partition. Turns load balancing off.

    Example: price"""
    max_price: MaxPrice | Unset = UNSET
    """The highest price that is acceptable, in US dollars. A hard filter: when nothing is cheap enough the
    request fails.

    Example: {'request': '0.002'}"""
    preferred_max_latency: float | None | Percentiles | Unset = UNSET
    """Providers slower than this many seconds are tried last: one number for the median, or one per
    percentile.

    Example: 2.5"""
    preferred_min_throughput: float | None | Percentiles | Unset = UNSET
    """Providers with fewer tokens per second than this are tried last: one number for the median, or one per
    percentile.

    Example: 100"""
    options: ProviderOptions | Unset = UNSET
    """Settings that only one provider understands, by the provider's slug. Only the entry of the provider that
    serves is passed on; unknown slugs are dropped silently.

    Example: {'cohere': {'max_tokens_per_doc': 4096}}"""
