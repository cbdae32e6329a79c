from __future__ import annotations

from attrs import define

from ..models.provider_sort_partition_type_0 import (
    ProviderSortPartitionType0,
)
from ..types import UNSET, Model, Unset


@define
class ProviderSort(Model):
    """Sort key of providers, and the scope of the sort.

    Example: {'by': 'throughput', 'partition': 'model'}"""

    by: None | str | Unset = UNSET
    """Sort key of providers (open: `price`, `throughput`, `latency`, `exacto`).

    Example: throughput"""
    partition: None | ProviderSortPartitionType0 | Unset = UNSET
    """Scope of the sort: within each model (`model`, the default) or across models (`none`).

    Example: model"""
