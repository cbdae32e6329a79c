from typing import Literal

ProviderPreferencesDataCollectionType0 = Literal["allow", "deny"]

PROVIDER_PREFERENCES_DATA_COLLECTION_TYPE_0_VALUES: set[ProviderPreferencesDataCollectionType0] = {
    "allow",
    "deny",
}


def check_provider_preferences_data_collection_type_0(value: str) -> ProviderPreferencesDataCollectionType0:
    if value in PROVIDER_PREFERENCES_DATA_COLLECTION_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PROVIDER_PREFERENCES_DATA_COLLECTION_TYPE_0_VALUES!r}"
    )
