from __future__ import annotations

from attrs import define

from ..models.error_detail import ErrorDetail
from ..models.open_router_metadata import OpenRouterMetadata
from ..types import UNSET, Model, Unset


@define
class ErrorResponse(Model):
    """The one envelope of every error.

    Example: {'error': {'code': 400, 'message': 'Invalid request parameters'}}"""

    error: ErrorDetail
    """What went wrong.

    Example: {'code': 400, 'message': 'Invalid request parameters'}"""
    user_id: None | str | Unset = UNSET
    """The account that the request was made for, where it is known.

    Example: user_2xKq"""
    openrouter_metadata: None | OpenRouterMetadata | Unset = UNSET
    """How the request was routed, where that was asked for; null or absent otherwise."""
