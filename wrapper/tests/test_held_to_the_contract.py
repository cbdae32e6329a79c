"""Hold the generated client and the facade to the contract: a failure names what is missing, and where."""

import importlib
import inspect
import json
import keyword
import re
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import attrs
import msgspec
import pytest

from openrouter_rerank import (
    Hit,
    ModelInfo,
    Ranking,
    Reranker,
    Usage,
    answer,
    defaults,
    errors,
    listing,
    wordings,
)
from openrouter_rerank.bulk.job import RESULTS
from openrouter_rerank.bulk.journal import FinishedRow
from openrouter_rerank.bulk.many import Progress
from openrouter_rerank.bulk.many import RerankRequest as ManyRequest
from openrouter_rerank.cli.output import HIT_NAMES
from openrouter_rerank.dialects import codec
from openrouter_rerank.ledger import Ledger, Totals
from openrouter_rerank.options import LocalOptions
from openrouter_rerank_api import answers, models, options
from openrouter_rerank_api.api.models import list_models
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.dialects import DialectOptions
from openrouter_rerank_api.models import (
    ListedModel,
    ModelArchitecture,
    ModelList,
    ModelPricing,
    RerankResponse,
    RerankResult,
)

contract = pytest.importorskip(
    "rerank_conformance.contract", reason="the contract is read by the kit's extra"
)


ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = {("/rerank", "post"): create_rerank, ("/models", "get"): list_models}


def names(model):
    """Return the fields of a generated model."""
    return {field.name for field in attrs.fields(model) if field.init}


def schemas():
    """Return the named objects of the contract."""
    named = contract.load().document["components"]["schemas"]
    return {name: schema for name, schema in named.items() if schema.get("type") == "object"}


def python_name(field):
    """Return True if an attribute can have the name of a field; others are in `additional_properties`."""
    needed = {"str", "int", "float", "bool", "list", "dict"}  # by the annotations of a model
    return field.isidentifier() and not keyword.iskeyword(field) and field not in needed


def sides(contract_has, client_has):
    """Return the names that only one side has, in words."""
    return [f"the contract alone has {name}" for name in sorted(contract_has - client_has)] + [
        f"the client alone has {name}" for name in sorted(client_has - contract_has)
    ]


def test_the_generated_client_is_that_of_the_contract():
    """Each field of the contract is one of the generated client, as required as there, and so is each status."""
    there, here = set(), set()
    for name, schema in schemas().items():
        required = schema.get("required", [])
        there |= {
            f"{name}.{field}{'!' * (field in required)}"
            for field in schema.get("properties", {})
            if python_name(field)
        }
        here |= {
            f"{name}.{field.name}{'!' * (field.default is attrs.NOTHING)}"
            for field in attrs.fields(getattr(models, name, attrs.make_class("Missing", [])))
            if field.init
        }
    for (path, method), operation in OPERATIONS.items():
        responses = contract.load().document["paths"][path][method]["responses"]
        there |= {f"{method.upper()} {path} {status}" for status in responses}
        here |= {f"{method.upper()} {path} {status}" for status in operation.MODELS}

    assert not sides(there, here), "generated/ is that of another contract. Next: `nox -s generate`"


def test_the_generated_client_has_every_operation():
    """Each operation of the contract is known here, so that what follows looks at all of it."""
    paths = contract.load().document["paths"]
    found = {(path, method) for path, item in paths.items() for method in item if method != "parameters"}

    assert found == set(OPERATIONS), (
        "say in OPERATIONS which module of the client it is, and what the facade makes of it"
    )


def test_the_default_address_is_the_contracts_first_server():
    """A key goes where the contract says, and to no other place."""
    servers = [server["url"] for server in contract.load().document["servers"]]

    assert servers[0] == defaults.BASE_URL
    assert all(map(codec("openrouter").is_of_vendor, servers))


def left_out(model, table):
    """Return the fields of a model that the caller gets in a form of ours."""
    return names(model) - {answers.NAMES.get(name, name) for name in table}


def test_the_projection_names_fields_of_the_model():
    """A ranking reads each field of an answer."""
    read = {field.name for field in msgspec.structs.fields(answer._RankingBody)}

    # `error` may replace an answer; other servers have their usage in `meta` and `tokens`.
    assert read == {*answers.ANSWER, "results", "usage", "error", "meta", "tokens"}
    assert set(answers.ANSWER) <= set(Ranking.__struct_fields__)
    assert left_out(RerankResponse, answers.ANSWER) == {"results", "usage"}


def test_the_projection_of_a_result_names_fields_of_the_model():
    """A hit has each field of a result; the echo is left out on purpose."""
    read = {field.name for field in msgspec.structs.fields(answer._Result)}

    assert read == {*answers.HIT, "index", "relevance_score"}
    assert set(answers.HIT) <= set(Hit.__struct_fields__)
    assert left_out(RerankResult, answers.HIT) == {"index", "relevance_score", "document"}


def test_usage_has_every_field_of_the_contract():
    """Whatever the contract bills by, the caller sees; numbers are summed up in the ledger and the progress."""
    assert set(Usage.__struct_fields__) == set(answers.USAGE)
    assert not left_out(models.Usage, answers.USAGE)
    assert set(answers.SUMS) == {name for name, kind in answers.USAGE.items() if kind in (int, float)}
    for kind in (Totals, Progress):
        assert set(answers.SUMS) < set(kind.__struct_fields__)


def test_no_field_of_the_answer_has_a_name_of_ours():
    """A field of the contract hides no attribute of a ranking or a hit, and no two columns have one name."""
    ours = set(dir(Sequence)) | (set(Ranking.__dict__) - set(answers.ANSWER))
    ours |= set(Ranking.__struct_fields__) - set(answers.ANSWER)

    assert not ours & set(answers.ANSWER), "rename the attribute of Ranking"
    assert not {"index", "score", "document", "moved", "file", "line"} & set(answers.HIT), "rename it in Hit"
    columns = {*answers.ANSWER, *answers.USAGE}
    assert len(columns) == len(answers.ANSWER) + len(answers.USAGE), "name one of the columns in bulk/job.py"
    assert not columns & {"ranking", "row", "error", "unranked", "response_id", "indices", "scores"}


def test_the_projection_of_a_list_names_fields_of_the_model():
    """The fields that are read of a page are in the contract, except `error` and those of paging."""
    read = {field.name for field in msgspec.structs.fields(listing._List)}

    assert not sides(names(ModelList), (read - {"error"}) | {"total_count"}), (
        "read it in _List (wrapper/openrouter_rerank/listing.py), or say here why it is left out"
    )


def test_the_projection_of_a_listed_model_names_fields_of_the_model():
    """The fields that are read of a model are in the contract; its id is required there too."""
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


def test_every_request_field_is_an_argument():
    """Every field of the contract's request is an argument of `rerank` and of `RerankRequest`."""
    request = ManyRequest("q", [])
    fields = set(schemas()["RerankRequest"]["properties"])
    arguments = {
        ours: options.NAMES.get(ours, ours) for ours in inspect.signature(Reranker.rerank).parameters
    }
    missing = fields - set(arguments.values())
    missing |= {arguments[ours] for ours in options.WIRE_TYPES if not hasattr(request, ours)}
    assert not missing, f"rerank() does not take {sorted(missing)}. Next: `nox -s generate`"


def parameters(function):
    """Return the arguments of a function that it names itself."""
    return set(
        function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    )


def test_no_field_of_the_request_has_a_name_of_ours():
    """A field of the contract hides no argument of ours, and no option of a command."""
    functions = (Reranker.__init__, Reranker.rerank, Reranker.rerank_many, Reranker.local.__func__)
    ours = set().union(*map(parameters, (*functions, ManyRequest.__init__)))
    ours |= {
        name
        for name, kind in LocalOptions.__annotations__.items()
        if kind != options.RerankOptions.__annotations__.get(name)
        and name not in DialectOptions.__annotations__
    }
    taken = ours & set(options.WIRE_TYPES)
    assert not taken, f"options.py of the facade, client.py: rename the arguments {sorted(taken)}"


@pytest.mark.parametrize("command", ["rank", "batch", "models"])
def test_no_option_of_a_command_is_there_twice(command):
    """The options that follow from the contract have other names than ours."""
    cli = pytest.importorskip("openrouter_rerank.cli.app", reason="the command needs its extra")
    made = cli.app.get_command(None, command)
    names = [name for parameter in made.params for name in parameter.opts]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"openrouter_rerank/cli: rename our options {sorted(twice)}"


def test_every_documented_status_has_a_row():
    """The table of statuses names each error status of the contract, beside its ranges."""
    named = {
        status for row in errors.STATUSES if not isinstance(row.statuses, range) for status in row.statuses
    }
    documented = {status for operation in OPERATIONS.values() for status in operation.MODELS if status >= 400}
    undecided = sorted(documented - named)

    assert not undecided, (
        f"STATUSES in wrapper/openrouter_rerank/errors.py: no row has {undecided}; add what a caller does about it"
    )


def test_permanent_kinds_are_kinds_of_the_contract():
    """The kinds of error that are never tried again are among those that the contract lists, with a 4xx status."""
    schema = contract.load().document["components"]["schemas"]["ErrorMetadata"]["properties"]["error_type"]
    known = set(re.findall(r"`([a-z_]+)`", schema["description"]))

    permanent = wordings._PERMANENT | (
        wordings._SIZE_KINDS - {"input_token_limit_exceeded", "exceed_context_size_error"}
    )
    assert known >= permanent
    assert not permanent & {
        "rate_limit_exceeded",
        "server",
        "unmapped",
        "provider_unavailable",
        "timeout",
    }


def public(*owners):
    """Return the public attributes of some classes."""
    return {
        name
        for owner in owners
        for name in (*dir(owner), *getattr(owner, "__struct_fields__", ()))
        if name[0] != "_"
    }


def arguments(*functions):
    """Return the names of the arguments of some functions."""
    return {name for function in functions for name in inspect.signature(function).parameters} - {"self"}


@pytest.mark.parametrize(
    ("schema", "ours", "fields"),
    [
        (
            "RerankRequest",
            arguments(Reranker, Reranker.local, Reranker.rerank, ManyRequest) | public(ManyRequest),
            {*options.WIRE_TYPES, *DialectOptions.__annotations__, "query", "documents"},
        ),
        (
            "RerankResponse",
            public(Ranking, FinishedRow, answer.ErrorEnvelope) | {*RESULTS},
            {*answers.ANSWER, *answers.USAGE, "usage"},
        ),
        ("RerankResult", public(Hit) | {*HIT_NAMES}, {*answers.HIT}),
        (
            "Usage",
            (public(Usage, Ledger, Totals, Progress, FinishedRow) | {*RESULTS}) - {*answers.ANSWER},
            {*answers.USAGE},
        ),
    ],
)
def test_names_of_the_facade_are_kept_from_the_contract(schema, ours, fields, monkeypatch):
    """A field that a later contract adds takes no name that the facade has for something else: it gets an underscore."""
    pytest.importorskip("ruamel.yaml", reason="the templates read the contract with it")
    monkeypatch.syspath_prepend(ROOT / "generator-templates")
    templates = importlib.import_module("write_options")

    assert sides(ours - fields, set(templates.OWN[schema])) == []
    assert {templates.python_name(name, schema) for name in fields} <= fields
    assert all(templates.python_name(name, schema) == f"{name}_" for name in ours - fields)


def test_a_field_of_usage_with_the_name_of_a_field_of_the_answer(monkeypatch, tmp_path):
    """It gets an underscore, as a row of `rerank batch` has the fields of both."""
    pytest.importorskip("ruamel.yaml", reason="the templates read the contract with it")
    monkeypatch.syspath_prepend(ROOT / "generator-templates")
    templates = importlib.import_module("write_answers")
    monkeypatch.setitem(templates.OWN, "Usage", templates.OWN["Usage"])  # it is changed
    document = deepcopy(contract.load().document)
    document["components"]["schemas"]["Usage"]["properties"]["provider"] = {"type": "string"}
    (tmp_path / "openapi.yaml").write_text(json.dumps(document), "utf-8")

    templates.main(tmp_path / "openapi.yaml", tmp_path / "answers.py")

    written = (tmp_path / "answers.py").read_text("utf-8")
    assert "    provider_: str | None = None\n" in written
    assert "    'provider_': 'provider',\n" in written
