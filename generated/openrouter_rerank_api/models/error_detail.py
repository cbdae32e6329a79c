from __future__ import annotations

from attrs import define

from ..models.error_availability import ErrorAvailability
from ..models.error_metadata import ErrorMetadata
from ..types import UNSET, Model, Unset


@define
class ErrorDetail(Model):
    """Details of an error.

    Example: {'code': 400, 'message': 'Invalid request parameters'}"""

    code: int
    """HTTP status of the error, also if the response itself has status 200.

    Example: 400"""
    message: str
    """Human-readable message. The cause is often in `metadata.raw` instead.

    Example: Invalid request parameters"""
    metadata: ErrorMetadata | None | Unset = UNSET
    """More about the error; the form depends on the cause. Null or omitted if there is nothing more.

    Example: {'error_type': 'rate_limit_exceeded'}"""
    availability: ErrorAvailability | None | Unset = UNSET
    """Reason why no endpoint could serve the request. The vendor documents it for chat operations only.

    Example: {'code': 'capacity_exhausted', 'retryable': True}"""
