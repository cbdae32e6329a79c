from __future__ import annotations

from attrs import define

from ..models.error_availability import ErrorAvailability
from ..models.error_metadata import ErrorMetadata
from ..types import UNSET, Model, Unset


@define
class ErrorDetail(Model):
    """What went wrong.

    Example: {'code': 400, 'message': 'Invalid request parameters'}"""

    code: int
    """The HTTP status that the error stands for, also when the answer itself is a 200.

    Example: 400"""
    message: str
    """What went wrong, for a person. The cause is often in `metadata.raw` instead.

    Example: Invalid request parameters"""
    metadata: ErrorMetadata | None | Unset = UNSET
    """More about the error, in a form that depends on its cause; null or absent when there is nothing.

    Example: {'error_type': 'rate_limit_exceeded'}"""
    availability: ErrorAvailability | None | Unset = UNSET
    """Why no endpoint could serve. Promised by the vendor for its chat operations and not for this one.

    Example: {'code': 'capacity_exhausted', 'retryable': True}"""
