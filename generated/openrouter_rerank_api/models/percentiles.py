from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class Percentiles(Model):
    """Bounds per percentile. A percentile that is omitted or null has no bound.

    Example: {'p50': 1, 'p99': 5}"""

    p50: float | None | Unset = UNSET
    """Bound of the median.

    Example: 1"""
    p75: float | None | Unset = UNSET
    """Bound of the 75th percentile.

    Example: 2"""
    p90: float | None | Unset = UNSET
    """Bound of the 90th percentile.

    Example: 3"""
    p99: float | None | Unset = UNSET
    """Bound of the 99th percentile.

    Example: 5"""
