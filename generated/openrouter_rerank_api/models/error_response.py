from __future__ import annotations

from attrs import define

from ..models.error_detail import ErrorDetail
from ..models.open_router_metadata import OpenRouterMetadata
from ..types import UNSET, Model, Unset


@define
class ErrorResponse(Model):
    """Body of every error response.

    Example: {'error': {'code': 400, 'message': 'Invalid request parameters'}}"""

    error: ErrorDetail
    """Details of an error.

    Example: {'code': 400, 'message': 'Invalid request parameters'}"""
    user_id: None | str | Unset = UNSET
    """Account of the request, if known.

    Example: user_2xKq"""
    openrouter_metadata: None | OpenRouterMetadata | Unset = UNSET
    """Routing of the request, if it was asked for; otherwise null or omitted."""
