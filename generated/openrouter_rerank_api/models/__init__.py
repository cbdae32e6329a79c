"""Contains all the data models used in inputs/outputs"""

from .availability_constraint import AvailabilityConstraint
from .error_availability import ErrorAvailability
from .error_detail import ErrorDetail
from .error_metadata import ErrorMetadata
from .error_response import ErrorResponse
from .image_document import ImageDocument
from .listed_model import ListedModel
from .max_price import MaxPrice
from .model_architecture import ModelArchitecture
from .model_links import ModelLinks
from .model_list import ModelList
from .model_list_links import ModelListLinks
from .model_pricing import ModelPricing
from .model_top_provider import ModelTopProvider
from .open_router_metadata import OpenRouterMetadata
from .percentiles import Percentiles
from .previous_error import PreviousError
from .provider_options import ProviderOptions
from .provider_preferences import ProviderPreferences
from .provider_preferences_data_collection_type_0 import ProviderPreferencesDataCollectionType0
from .provider_settings import ProviderSettings
from .provider_sort import ProviderSort
from .provider_sort_partition_type_0 import ProviderSortPartitionType0
from .rerank_request import RerankRequest
from .rerank_response import RerankResponse
from .rerank_result import RerankResult
from .result_document import ResultDocument
from .text_document import TextDocument
from .trace import Trace
from .usage import Usage

__all__ = (
    "AvailabilityConstraint",
    "ErrorAvailability",
    "ErrorDetail",
    "ErrorMetadata",
    "ErrorResponse",
    "ImageDocument",
    "ListedModel",
    "MaxPrice",
    "ModelArchitecture",
    "ModelLinks",
    "ModelList",
    "ModelListLinks",
    "ModelPricing",
    "ModelTopProvider",
    "OpenRouterMetadata",
    "Percentiles",
    "PreviousError",
    "ProviderOptions",
    "ProviderPreferences",
    "ProviderPreferencesDataCollectionType0",
    "ProviderSettings",
    "ProviderSort",
    "ProviderSortPartitionType0",
    "RerankRequest",
    "RerankResponse",
    "RerankResult",
    "ResultDocument",
    "TextDocument",
    "Trace",
    "Usage",
)
