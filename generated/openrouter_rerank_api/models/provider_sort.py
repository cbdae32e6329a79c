from __future__ import annotations

from attrs import define

from ..models.provider_sort_partition_type_0 import (
    ProviderSortPartitionType0,
)
from ..types import UNSET, Model, Unset


@define
class ProviderSort(Model):
    """What to prefer providers by, and whether models are kept apart.

    Example: {'by': 'throughput', 'partition': 'model'}"""

    by: None | str | Unset = UNSET
    """What to prefer providers by (open: `price`, `throughput`, `latency`, `exacto`).

    Example: throughput"""
    partition: None | ProviderSortPartitionType0 | Unset = UNSET
    """Whether endpoints are sorted within each model (`model`, the default) or across them (`none`).

    Example: model"""
