from __future__ import annotations

from attrs import define

from ..models.previous_error import PreviousError
from ..types import UNSET, Model, Unset


@define
class ErrorMetadata(Model):
    """More about an error. Five forms are known: a provider's error (`error_type`, `provider_code`; in practice
    also `raw`, `provider_name`, `is_byok`, `limit_source`, `remedy_hint`), moderation (`reasons`,
    `flagged_input`, `provider_name`, `model_slug`), a guardrail (`patterns`), failed fallbacks
    (`previous_errors`), and any other object. Treat it as free-form.

    Example: {'error_type': 'rate_limit_exceeded'}"""

    error_type: None | str | Unset = UNSET
    """The kind of error (open). With 400: `context_length_exceeded`, `max_tokens_exceeded`,
    `token_limit_exceeded`, `string_too_long`, `invalid_request`, `invalid_prompt`,
    `content_policy_violation`, `refusal`, `invalid_image`, `image_too_large`, `image_too_small`,
    `unsupported_image_format`, `image_download_failed`; 401 `authentication`; 402 `payment_required`; 403
    `permission_denied`; 404 `not_found`, `image_not_found`; 412 `precondition_failed`; 413
    `payload_too_large`; 422 `unprocessable`; 429 `rate_limit_exceeded`; 500 `server`, `unmapped`; 502
    `provider_unavailable`; 503 `provider_overloaded`; 504 `timeout`.

    Example: rate_limit_exceeded"""
    provider_code: int | None | str | Unset = UNSET
    """Error code of the provider.

    Example: 429"""
    raw: None | str | Unset = UNSET
    """Original response of the provider, often JSON in a string.

    Example: {"message":"too many requests"}"""
    provider_name: None | str | Unset = UNSET
    """Provider that failed. Null if several failed.

    Example: Cohere"""
    is_byok: bool | None | Unset = UNSET
    """True if the request used the account's own key at the provider.

    Example: False"""
    limit_source: None | str | Unset = UNSET
    """Owner of the limit that was reached (open).

    Example: upstream_provider_shared_pool"""
    remedy_hint: None | str | Unset = UNSET
    """Human-readable hint about the next step.

    Example: Add your own provider key to raise the limit."""
    reasons: list[str] | None | Unset = UNSET
    """Reasons for which the input was flagged.

    Example: ['violence']"""
    flagged_input: None | str | Unset = UNSET
    """Start of the flagged input, at most 100 characters.

    Example: how to"""
    model_slug: None | str | Unset = UNSET
    """Model that the input was meant for.

    Example: cohere/rerank-v3.5"""
    patterns: list[str] | None | Unset = UNSET
    """Patterns of the guardrail that matched.

    Example: ['\\\\d{16}']"""
    previous_errors: list[PreviousError] | None | Unset = UNSET
    """Errors of the providers that were tried before.

    Example: [{'code': 503, 'message': 'Provider returned error'}]"""
