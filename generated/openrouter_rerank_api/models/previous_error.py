from __future__ import annotations

from attrs import define

from ..types import Model


@define
class PreviousError(Model):
    """The error of one provider that was tried before, in a form that the vendor leaves open.

    Example: {'code': 503, 'message': 'Provider returned error'}"""
