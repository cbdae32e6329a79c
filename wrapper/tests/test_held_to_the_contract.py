"""What the facade repeats of the contract, held against it."""

import re

import attrs
import msgspec
import pytest

from openrouter_rerank import ModelInfo, answer, errors, listing, request
from openrouter_rerank_api.api.models import list_models
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.models import (
    ListedModel,
    ModelArchitecture,
    ModelList,
    ModelPricing,
    RerankRequest,
    RerankResponse,
    RerankResult,
    Usage,
)

contract = pytest.importorskip(
    "rerank_conformance.contract", reason="the contract is read by the kit's extra"
)


def names(model):
    """The fields of a generated model."""
    return {field.name for field in attrs.fields(model) if field.init}


def test_the_default_address_is_the_contracts_first_server():
    """A key goes where the contract says, and to no other place."""
    assert contract.load().document["servers"][0]["url"] == request.BASE_URL


def test_the_projection_names_fields_of_the_model():
    """What a ranking reads of an answer are fields of the contract, but for `error`, which a 200 may carry instead."""
    read = {field.name for field in msgspec.structs.fields(answer._Body)}

    assert read - {"error"} == names(RerankResponse)


def test_the_projection_of_a_result_names_fields_of_the_model():
    """What a ranking reads of a result are fields of the contract; the echo is left out on purpose."""
    read = {field.name for field in msgspec.structs.fields(answer._Result)}

    assert read | {"document"} == names(RerankResult)


def test_the_projection_of_a_list_names_fields_of_the_model():
    """What is read of a page are fields of the contract, but for `error`; that there are more pages is not counted."""
    read = {field.name for field in msgspec.structs.fields(listing._List)}

    assert (read - {"error"}) | {"total_count"} == names(ModelList)


def test_the_projection_of_a_listed_model_names_fields_of_the_model():
    """What is read of a model are fields of the contract; its id, which it cannot do without, is required there too."""
    read = {field.name for field in msgspec.structs.fields(listing._Model)}
    schemas = contract.load().document["components"]["schemas"]

    assert read < names(ListedModel)
    assert "id" in schemas["ListedModel"]["required"]


def test_what_is_known_of_a_model_has_the_names_of_the_contract():
    """A model has the wire's names, but for the prices, which say what they are the price of."""
    shown = {field.name for field in msgspec.structs.fields(ModelInfo)}

    assert shown - {"price_per_search", "price_per_token"} <= names(ListedModel) | names(ModelArchitecture)
    assert {"request", "prompt"} <= names(ModelPricing)


def test_the_list_is_asked_for_what_ranks():
    """The contract knows the modality that is asked for, and the paging that is used."""
    parameters = contract.load().document["components"]["parameters"]
    sent = list_models.get_kwargs(output_modalities=listing._MODALITY, offset=1)

    assert f"`{listing._MODALITY}`" in parameters["OutputModalities"]["description"]
    assert set(sent["params"]) == {"output_modalities", "offset"}


def test_usage_has_every_field_of_the_contract():
    """Whatever the contract bills by, the caller sees."""
    from openrouter_rerank import Usage as Shown

    assert {field.name for field in msgspec.structs.fields(Shown)} == names(Usage)


def test_every_request_field_is_an_argument():
    """Whatever the contract lets a caller ask for, `rerank` takes."""
    import inspect

    from openrouter_rerank import Reranker

    assert names(RerankRequest) <= set(inspect.signature(Reranker.rerank).parameters)


def test_every_documented_status_has_a_class():
    """Each error status of the contract raises the class that says what to do, none the bare base class."""
    for status in create_rerank.MODELS | list_models.MODELS:
        if status >= 400:
            assert errors.next_step(errors.class_of(status))


def test_permanent_kinds_are_kinds_of_the_contract():
    """The kinds of error that are never tried again are among those that the contract lists, with a 4xx status."""
    schema = contract.load().document["components"]["schemas"]["ErrorMetadata"]["properties"]["error_type"]
    known = set(re.findall(r"`([a-z_]+)`", schema["description"]))

    assert known >= answer._PERMANENT
    assert not answer._PERMANENT & {
        "rate_limit_exceeded",
        "server",
        "unmapped",
        "provider_unavailable",
        "timeout",
    }
