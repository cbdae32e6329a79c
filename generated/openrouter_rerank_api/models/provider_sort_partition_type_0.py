from typing import Literal

ProviderSortPartitionType0 = Literal["model", "none"]

PROVIDER_SORT_PARTITION_TYPE_0_VALUES: set[ProviderSortPartitionType0] = {
    "model",
    "none",
}


def check_provider_sort_partition_type_0(value: str) -> ProviderSortPartitionType0:
    if value in PROVIDER_SORT_PARTITION_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PROVIDER_SORT_PARTITION_TYPE_0_VALUES!r}")
