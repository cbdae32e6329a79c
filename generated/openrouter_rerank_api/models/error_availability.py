from __future__ import annotations

from attrs import define

from ..models.availability_constraint import AvailabilityConstraint
from ..types import UNSET, Model, Unset


@define
class ErrorAvailability(Model):
    """Reason why no endpoint could serve the request. Branch on `retryable`.

    Example: {'code': 'capacity_exhausted', 'retryable': True}"""

    code: str
    """Reason, as a code (open: `model_not_found`, `wrong_endpoint`, `no_endpoints`, `model_deprecated`,
    `model_unavailable_upstream`, `privacy_restricted`, `constraint_filtered`, `free_variant_ended`,
    `region_restricted`, `capacity_exhausted`, `temporarily_unavailable`).

    Example: capacity_exhausted"""
    retryable: bool
    """True if the same request can succeed later.

    Example: True"""
    retry_after: float | None | Unset = UNSET
    """Seconds to wait before the next attempt.

    Example: 2"""
    requested_models: list[str] | Unset = UNSET
    """Models that were requested.

    Example: ['cohere/rerank-v3.5']"""
    affected_providers: list[str] | Unset = UNSET
    """Providers that could not serve the request.

    Example: ['Cohere']"""
    excluded_by: list[str] | Unset = UNSET
    """Settings that excluded endpoints (open: `geo`, `data_region`, `data_policy:zdr`, `data_policy:training`,
    `max_price`, `context_length`, `require_parameters`, `quantization`, `allowed_providers`).

    Example: ['max_price']"""
    fallback_models: list[str] | Unset = UNSET
    """Models that could serve the request instead.

    Example: ['cohere/rerank-4-fast']"""
    constraint: AvailabilityConstraint | Unset = UNSET
    """Setting that excluded every endpoint.

    Example: {'field': 'provider.max_price'}"""
    docs_url: str | Unset = UNSET
    """URL of the vendor's explanation.

    Example: https://openrouter.ai/docs"""
