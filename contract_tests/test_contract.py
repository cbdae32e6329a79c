"""The contract says what it should: openapi.yaml against tables of its own examples and of legal and illegal bodies."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import given, settings
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.core.result import Ok

FILE = Path(__file__).resolve().parents[1] / "openapi.yaml"
CONTRACT: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
OPERATION: dict[str, Any] = CONTRACT["paths"]["/rerank"]["post"]
ENVELOPE = "#/components/schemas/ErrorResponse"
REQUEST = "#/paths/~1rerank/post/requestBody/content/application~1json/schema"
RESPONSE = "#/paths/~1rerank/post/responses/200/content/application~1json/schema"
LISTING: dict[str, Any] = CONTRACT["paths"]["/models"]["get"]
LIST = "#/paths/~1models/get/responses/200/content/application~1json/schema"
LISTING_STATUSES = set(LISTING["responses"])
STATUSES = set(OPERATION["responses"])
ONE, MANY, NAMED = ("items", "additionalProperties"), ("anyOf", "oneOf", "allOf"), ("properties",)
ABSENT = object()


def at(pointer: str) -> Any:
    """Return the node that a pointer into the contract leads to, through every $ref."""
    node: Any = CONTRACT
    for step in pointer.removeprefix("#/").split("/"):
        node = resolved(node)
        name = step.replace("~1", "/").replace("~0", "~")
        node = node[int(name)] if isinstance(node, list) else node[name]
    return resolved(node)


def resolved(node: Any) -> Any:
    """Return a node, or its $ref's target with the keys beside the $ref."""
    if not isinstance(node, Mapping) or "$ref" not in node:
        return node
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return {**at(node["$ref"]), **beside}


def schemas(node: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema that can be reached from one, with its path, the path going through each $ref."""
    schema = resolved(node)
    if not isinstance(schema, dict):  # additionalProperties: true
        return
    yield place, schema
    for keyword in ONE:
        yield from schemas(schema.get(keyword), f"{place}/{keyword}")
    for keyword in MANY:
        for number, branch in enumerate(schema.get(keyword, [])):
            yield from schemas(branch, f"{place}/{keyword}/{number}")
    for keyword in NAMED:
        for name, member in schema.get(keyword, {}).items():
            yield from schemas(member, f"{place}/{keyword}/{name}")


def apart(contract: Iterable[str], table: Iterable[str], where: str) -> str:
    """Return how the contract and a table of this file differ."""
    more, less = (
        ", ".join(sorted(set(one) - set(other))) for one, other in ((contract, table), (table, contract))
    )
    said = [f"{some} {how}" for some, how in ((more, "more"), (less, "less")) if some]
    found = f"openapi.yaml has {' and '.join(said)} than {where}: look it up in the source once more, and say so there"
    return found if said else ""


def bodies() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every body of the contract: a label, the pointer to its schema, and its media type."""
    yield "request", REQUEST, at(REQUEST.removesuffix("/schema"))
    for status in OPERATION["responses"]:
        pointer = f"#/paths/~1rerank/post/responses/{status}"
        for media_type, body in at(pointer)["content"].items():
            assert media_type == "application/json", "a second media type turns every answer into a union"
            yield status, f"{pointer}/content/application~1json/schema", body
    yield "models", LIST, at(LIST.removesuffix("/schema"))


def validator(pointer: str) -> Draft202012Validator:
    """Return a validator of the schema at a pointer; draft 2020-12 is the dialect of OpenAPI 3.1."""
    return Draft202012Validator({**CONTRACT, **at(pointer)})


def with_unknown_keys(value: Any) -> Any:
    """Return a JSON value with one more key in each of its objects."""
    if isinstance(value, list):
        return [with_unknown_keys(item) for item in value]
    if isinstance(value, dict):
        return {key: with_unknown_keys(item) for key, item in value.items()} | {
            "x_unknown": {"of": ["later"]}
        }
    return value


BODIES = {label: (pointer, body) for label, pointer, body in bodies()}
EXAMPLES = [
    pytest.param(pointer, resolved(example)["value"], id=f"{label}-{name}")
    for label, (pointer, body) in BODIES.items()
    for name, example in body.get("examples", {}).items()  # a missing one fails below
]
HEADERS = [
    (f"response {status} header {name}", resolved(header))
    for status in OPERATION["responses"]
    for name, header in at(f"#/paths/~1rerank/post/responses/{status}").get("headers", {}).items()
]
PARAMETERS = [
    (f"parameter {resolved(each)['name']}", resolved(each))
    for each in [*OPERATION["parameters"], *LISTING["parameters"]]
]
SCHEMAS = [found for label, (_, body) in BODIES.items() for found in schemas(body["schema"], label)]
PROPERTIES = [(place, schema) for place, schema in SCHEMAS if place.split("/")[-2:-1] == ["properties"]]


@pytest.fixture(scope="module")
def loaded() -> BaseSchema:
    """Load the contract with Schemathesis."""
    return schemathesis.openapi.from_path(FILE)


def test_openapi_spec_validator_accepts_it() -> None:
    """The contract is OpenAPI 3.1."""
    assert CONTRACT["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(CONTRACT).iter_errors()] == []


def test_schemathesis_finds_the_operations(loaded: BaseSchema) -> None:
    """Schemathesis reads the contract, and finds two operations in it."""
    found = {(method.upper(), path) for path in loaded for method in loaded[path]}
    assert found == {("POST", "/rerank"), ("GET", "/models")}
    assert all(isinstance(operation, Ok) for operation in loaded.get_all_operations())


def test_schemathesis_makes_legal_requests(loaded: BaseSchema) -> None:
    """Requests that Schemathesis generates as legal are legal to another validator."""
    strategy = loaded["/rerank"]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE)
    request, made = validator(REQUEST), list[Any]()

    @settings(max_examples=5, deadline=None, derandomize=True, database=None)
    @given(strategy)
    def make(case: Case[Any]) -> None:
        made.append(case.body)
        request.validate(case.body)

    make()
    assert made


def test_operation_is_named_and_guarded() -> None:
    """The operation has the name that the generated client follows, and asks for a bearer token."""
    assert OPERATION["operationId"] == "createRerank"
    assert "security" not in OPERATION, "the operation would not use what the contract asks for"
    assert len(CONTRACT["security"]) == 1
    (name,) = CONTRACT["security"][0]
    scheme = at(f"#/components/securitySchemes/{name}")
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert CONTRACT["servers"][0]["url"] == "https://openrouter.ai/api/v1"
    assert OPERATION["requestBody"]["required"] is True
    assert list(OPERATION["requestBody"]["content"]) == ["application/json"]


def test_statuses_are_written_out() -> None:
    """No status is a range or a default, and each of the first release is still there."""
    assert all(status.isdecimal() and len(status) == 3 for status in STATUSES | LISTING_STATUSES)
    first = yaml.safe_load((FILE.parent / "contracts/1.0.0.yaml").read_text("utf-8"))
    assert set(first["paths"]["/rerank"]["post"]["responses"]) <= STATUSES
    assert {"200", "400", "401", "403", "429", "500", "503"} <= LISTING_STATUSES


def test_errors_of_the_list_are_those_of_the_ranking() -> None:
    """Each error of the list of models is the one that a ranking has under the same status."""
    for status in LISTING_STATUSES - {"200"}:
        assert LISTING["responses"][status] == OPERATION["responses"][status]


def test_the_list_is_read_only_and_named() -> None:
    """The list of models has the name that the generated client follows, no body, and the vendor's paging."""
    assert LISTING["operationId"] == "listModels"
    assert "requestBody" not in LISTING
    queries = {node["name"]: node["schema"] for _, node in PARAMETERS if node["in"] == "query"}
    assert {name: schema["type"] for name, schema in queries.items()} == {
        "output_modalities": "string",
        "offset": "integer",
        "limit": "integer",
    }
    assert "enum" not in queries["output_modalities"], "the list of modalities grows"
    assert (queries["limit"]["minimum"], queries["limit"]["maximum"]) == (1, 1000)
    assert "rerank" in queries["output_modalities"]["description"]


def test_no_parameter_of_the_list_is_required() -> None:
    """A request for the list may leave everything out."""
    assert not any(node["required"] for _, node in PARAMETERS)


@pytest.mark.parametrize("status", sorted(STATUSES - {"200"}))
def test_error_uses_the_one_envelope(status: str) -> None:
    """Every error has the one envelope, and its examples carry the code of their status."""
    _, body = BODIES[status]
    assert body["schema"] == {"$ref": ENVELOPE}
    codes = {
        name: resolved(example)["value"]["error"]["code"]
        for name, example in body.get("examples", {}).items()
    }
    assert codes == dict.fromkeys(codes, int(status))


@pytest.mark.parametrize("label", ["request", "models", *sorted(STATUSES)])
def test_body_has_named_examples(label: str) -> None:
    """Every body shows named examples, each with a summary; requests and rankings show several."""
    _, body = BODIES[label]
    examples = body.get("examples", {})
    wanted = 3 if label in {"request", "200", "models"} else 1
    assert len(examples) >= wanted, (
        f"openapi.yaml: the body of {label} has {len(examples)} examples, not {wanted}"
    )
    assert all(resolved(example)["summary"] for example in examples.values())


@pytest.mark.parametrize(("pointer", "value"), EXAMPLES)
def test_named_example_is_valid(pointer: str, value: Any) -> None:
    """Every named example is valid against the schema that it stands beside."""
    validator(pointer).validate(value)


@pytest.mark.parametrize(("pointer", "value"), EXAMPLES)
def test_named_example_with_unknown_keys_is_valid(pointer: str, value: Any) -> None:
    """One unknown key more in every object of an example leaves it legal, in requests and in answers."""
    validator(pointer).validate(with_unknown_keys(value))


def test_no_object_is_closed() -> None:
    """No schema forbids unknown keys."""
    closed = [
        place
        for place, schema in SCHEMAS
        if schema.get("additionalProperties") is False or "unevaluatedProperties" in schema
    ]
    assert closed == []


def test_everything_has_a_description() -> None:
    """Every property, parameter and response header says what it is."""
    assert len(PROPERTIES) > 100, "the walk through the contract ended early"
    told = [*PROPERTIES, *PARAMETERS, *HEADERS]
    assert [place for place, node in told if not node.get("description", "").strip()] == []


def test_everything_has_an_example() -> None:
    """Every property shows a value; so does every parameter and response header, itself or in its schema."""
    shown = [*PROPERTIES, *((place, {**node["schema"], **node}) for place, node in [*PARAMETERS, *HEADERS])]
    assert [place for place, node in shown if not {"example", "examples", "enum", "const"} & set(node)] == []


def test_every_example_and_default_is_valid() -> None:
    """Every example and every default in a schema is valid against that schema."""
    wrong = list[str]()
    for place, schema in [
        *SCHEMAS,
        *((place, {**node["schema"], **node}) for place, node in PARAMETERS + HEADERS),
    ]:
        shown = [schema[key] for key in ("example", "default") if key in schema] + schema.get("examples", [])
        judge = Draft202012Validator({**CONTRACT, **schema.get("schema", schema)})
        wrong += [f"{place}: {value!r}" for value in shown if not judge.is_valid(value)]
    assert wrong == []


def test_every_schema_has_a_type() -> None:
    """Every schema names its type or its branches: nothing is left to mean anything at all."""
    assert [place for place, schema in SCHEMAS if not {"type", "anyOf", "oneOf"} & set(schema)] == []


def test_every_component_has_a_description() -> None:
    """Every named schema says what it is: the generated classes take their docstrings from it."""
    components = CONTRACT["components"]["schemas"]
    assert [name for name, schema in components.items() if not schema.get("description", "").strip()] == []


PREFERENCES = f"{REQUEST}/properties/provider/anyOf/0"
DETAIL_SCHEMA = f"{ENVELOPE}/properties/error"
AVAILABILITY = f"{DETAIL_SCHEMA}/properties/availability/anyOf/0"
PREFERENCE_FIELDS = """allow_fallbacks? require_parameters? data_collection? zdr? enforce_distillable_text? order? only?
    ignore? quantizations? sort? max_price preferred_max_latency? preferred_min_throughput? options"""
METADATA_FIELDS = """error_type? provider_code? raw? provider_name? is_byok? limit_source? remedy_hint? reasons?
    flagged_input? model_slug? patterns? previous_errors?"""
MODEL = f"{LIST}/properties/data/items"
MODEL_FIELDS = """id! canonical_slug! name! description created! context_length!? architecture! pricing! top_provider!
    supported_parameters! hugging_face_id? knowledge_cutoff? expiration_date? links!"""
AVAILABILITY_FIELDS = """code! retryable! retry_after? requested_models affected_providers excluded_by fallback_models
    constraint docs_url"""


@pytest.mark.parametrize(
    ("pointer", "fields"),
    [
        (REQUEST, "model! query! documents! top_n provider? session_id user trace"),
        (f"{REQUEST}/properties/trace", "trace_id trace_name span_name generation_name parent_span_id"),
        (PREFERENCES, PREFERENCE_FIELDS),
        (f"{PREFERENCES}/properties/sort/anyOf/1", "by? partition?"),
        (f"{PREFERENCES}/properties/max_price", "prompt completion image audio request"),
        (f"{PREFERENCES}/properties/preferred_max_latency/anyOf/1", "p50? p75? p90? p99?"),
        (f"{PREFERENCES}/properties/preferred_min_throughput/anyOf/1", "p50? p75? p90? p99?"),
        (RESPONSE, "id model! provider results! usage"),
        (f"{RESPONSE}/properties/results/items", "index! relevance_score! document!"),
        (f"{RESPONSE}/properties/results/items/properties/document", "text image"),
        (f"{RESPONSE}/properties/usage", "cost search_units total_tokens"),
        (ENVELOPE, "error! user_id? openrouter_metadata?"),
        (DETAIL_SCHEMA, "code! message! metadata? availability?"),
        (f"{DETAIL_SCHEMA}/properties/metadata/anyOf/0", METADATA_FIELDS),
        (AVAILABILITY, AVAILABILITY_FIELDS),
        (f"{AVAILABILITY}/properties/constraint", "field detail"),
        (LIST, "data! total_count! links!"),
        (f"{LIST}/properties/links", "next!?"),
        (MODEL, MODEL_FIELDS),
        (
            f"{MODEL}/properties/architecture",
            "input_modalities! output_modalities! modality!? tokenizer instruct_type?",
        ),
        (f"{MODEL}/properties/pricing", "prompt! completion! request image discount"),
        (f"{MODEL}/properties/top_provider", "is_moderated! context_length? max_completion_tokens?"),
        (f"{MODEL}/properties/links", "details!"),
    ],
)
def test_fields_are_those_of_the_vendor(pointer: str, fields: str) -> None:
    """Each object has exactly these fields; those with ! are required, and those with ? alone may be null."""
    schema = at(pointer)
    required, nullable = schema.get("required", []), set[str]()
    for name in schema["properties"]:
        if validator(f"{pointer}/properties/{name}").is_valid(None):
            nullable.add(name)
    said = [f"{name}{'!' * (name in required)}{'?' * (name in nullable)}" for name in schema["properties"]]
    assert not apart(said, fields.split(), "the table above")


@pytest.mark.parametrize(
    ("pointer", "limit", "value"),
    [
        (f"{REQUEST}/properties/documents", "minItems", 1),
        (f"{REQUEST}/properties/top_n", "minimum", 1),
        (f"{REQUEST}/properties/session_id", "maxLength", 256),
        (f"{RESPONSE}/properties/results/items/properties/index", "minimum", 0),
        (f"{RESPONSE}/properties/usage/properties/search_units", "minimum", 0),
        (f"{RESPONSE}/properties/usage/properties/total_tokens", "minimum", 0),
        (f"{RESPONSE}/properties/usage/properties/cost", "minimum", 0),
    ],
)
def test_limit_is_told(pointer: str, limit: str, value: int) -> None:
    """The limits that the vendor states, or that follow from a field's meaning, stand in the contract as keywords."""
    assert at(pointer)[limit] == value


@pytest.mark.parametrize(
    ("pointer", "limits"),
    [
        (f"{REQUEST}/properties/documents", {"maxItems", "uniqueItems"}),
        (f"{REQUEST}/properties/top_n", {"maximum", "exclusiveMaximum"}),
        (f"{REQUEST}/properties/model", {"enum", "pattern"}),
        (f"{REQUEST}/properties/query", {"minLength", "maxLength"}),
        (f"{RESPONSE}/properties/results", {"minItems", "maxItems"}),
        (f"{RESPONSE}/properties/results/items/properties/relevance_score", {"minimum", "maximum"}),
        (f"{RESPONSE}/properties/model", {"enum", "pattern"}),
        (f"{RESPONSE}/properties/id", {"pattern", "format"}),
    ],
)
def test_limit_is_not_invented(pointer: str, limits: set[str]) -> None:
    """The contract has no limit where the vendor states none."""
    assert set(at(pointer)) & limits == set()


def test_document_branches_stand_alone() -> None:
    """Each branch of a document repeats type and properties, for tools that look at one branch at a time."""
    branches = [resolved(branch) for branch in at(f"{REQUEST}/properties/documents/items")["anyOf"]]
    assert [branch["type"] for branch in branches] == ["string", "object", "object"]
    assert [set(branch.get("properties", ())) for branch in branches] == [
        set(),
        {"text", "image"},
        {"text", "image"},
    ]
    assert [branch.get("required") for branch in branches] == [None, ["text"], ["image"]]


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with some members replaced, and those that become ABSENT left out."""
    return {key: value for key, value in {**base, **changes}.items() if value is not ABSENT}


PIXEL = "data:image/png;base64,iVBORw0KGgo="
LEGAL_REQUESTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "model: unknown": {"model": "someone/else:later"},
    "query: empty": {"query": ""},
    "query: any text": {"query": "naïve 漢字 🗼 \x00 \u200b"},
    "documents: one": {"documents": ["one"]},
    "documents: twice the same": {"documents": ["one", "one"]},
    "documents: an empty string": {"documents": [""]},
    "documents: 1,500": {"documents": ["one"] * 1500},
    "documents: mixed": {
        "documents": ["one", {"text": "two"}, {"image": PIXEL}, {"text": "", "image": PIXEL}]
    },
    "documents: an unknown key": {"documents": [{"text": "one", "title": None}]},
    "top_n: 1": {"top_n": 1},
    "top_n: an integer written as 2.0": {"top_n": 2.0},
    "top_n: above the number of documents": {"top_n": 1_000_000_000_000},
    "provider: null": {"provider": None},
    "provider: empty": {"provider": {}},
    "provider: an unknown key": {"provider": {"since": 2027}},
    "provider: every null": {
        "provider": dict.fromkeys(name.strip("?") for name in PREFERENCE_FIELDS.split() if name.endswith("?"))
    },
    "order: an unknown provider": {
        "provider": {"order": ["Someone", "deepinfra/turbo"], "only": [], "ignore": []}
    },
    "quantizations: an unknown one": {"provider": {"quantizations": ["fp16", "int3"]}},
    "sort: a known word": {"provider": {"sort": "exacto"}},
    "sort: an unknown word": {"provider": {"sort": "kindness"}},
    "sort: with a partition": {"provider": {"sort": {"by": "price", "partition": "none"}}},
    "sort: by an unknown word": {"provider": {"sort": {"by": "kindness", "partition": None}}},
    "sort: empty": {"provider": {"sort": {}}},
    "max_price: text": {"provider": {"max_price": {"prompt": "0.05", "request": "1e-3"}}},
    "max_price: numbers": {"provider": {"max_price": {"prompt": 0.05, "request": 1}}},
    "preferred_max_latency: a number": {"provider": {"preferred_max_latency": 2.5}},
    "preferred_max_latency: by percentile": {"provider": {"preferred_max_latency": {"p50": 1, "p99": None}}},
    "preferred_min_throughput: by percentile": {"provider": {"preferred_min_throughput": {"p90": 100.5}}},
    "options: of an unknown provider": {
        "provider": {"options": {"someone/else": {"any": [{"thing": None}]}}}
    },
    "session_id: 256 characters": {"session_id": "🗼" * 256},
    "user: long": {"user": "u" * 300},
    "trace: empty": {"trace": {}},
    "trace: any further key": {"trace": {"trace_id": "1", "experiment": {"arm": 2}}},
    "a field of another vendor": {
        "return_documents": True,
        "max_tokens_per_doc": 512,
        "rank_fields": ["title"],
    },
}
ILLEGAL_REQUESTS: dict[str, dict[str, Any]] = {
    "model: absent": {"model": ABSENT},
    "model: null": {"model": None},
    "model: a list": {"model": ["cohere/rerank-v3.5"]},
    "query: absent": {"query": ABSENT},
    "query: null": {"query": None},
    "query: a number": {"query": 1},
    "query: an image": {"query": {"image": PIXEL}},
    "documents: absent": {"documents": ABSENT},
    "documents: null": {"documents": None},
    "documents: none": {"documents": []},
    "documents: a string": {"documents": "one"},
    "documents: one object": {"documents": {"text": "one"}},
    "documents: null in it": {"documents": ["one", None]},
    "documents: a number in it": {"documents": ["one", 2]},
    "documents: a list in it": {"documents": [["one"]]},
    "documents: an empty object in it": {"documents": ["one", {}]},
    "documents: neither text nor image": {"documents": [{"title": "one"}]},
    "documents: text null": {"documents": [{"text": None}]},
    "documents: text null beside an image": {"documents": [{"text": None, "image": PIXEL}]},
    "documents: image null beside a text": {"documents": [{"text": "one", "image": None}]},
    "documents: text a number": {"documents": [{"text": 1}]},
    "documents: image an object": {"documents": [{"image": {"url": PIXEL}}]},
    "top_n: 0": {"top_n": 0},
    "top_n: -1": {"top_n": -1},
    "top_n: null": {"top_n": None},
    "top_n: true": {"top_n": True},
    "top_n: text": {"top_n": "2"},
    "top_n: 2.5": {"top_n": 2.5},
    "top_n: a list": {"top_n": [2]},
    "provider: text": {"provider": "Cohere"},
    "provider: a list": {"provider": ["Cohere"]},
    "allow_fallbacks: text": {"provider": {"allow_fallbacks": "true"}},
    "data_collection: unknown": {"provider": {"data_collection": "maybe"}},
    "order: text": {"provider": {"order": "Cohere"}},
    "order: null in it": {"provider": {"order": [None]}},
    "quantizations: null in it": {"provider": {"quantizations": [None]}},
    "sort: a number": {"provider": {"sort": 1}},
    "sort: an unknown partition": {"provider": {"sort": {"by": "price", "partition": "region"}}},
    "max_price: a number": {"provider": {"max_price": 1}},
    "max_price: true": {"provider": {"max_price": {"request": True}}},
    "preferred_max_latency: text": {"provider": {"preferred_max_latency": "2"}},
    "preferred_max_latency: text by percentile": {"provider": {"preferred_max_latency": {"p50": "2"}}},
    "options: a list": {"provider": {"options": [{}]}},
    "options: not an object for a provider": {"provider": {"options": {"cohere": 1}}},
    "session_id: 257 characters": {"session_id": "s" * 257},
    "session_id: null": {"session_id": None},
    "user: a number": {"user": 7},
    "trace: text": {"trace": "answer"},
    "trace: an id that is a number": {"trace": {"trace_id": 7}},
}
RESULT: dict[str, Any] = {"index": 0, "relevance_score": 0.5, "document": {"text": "one"}}
LEGAL_RESPONSES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "model: not the one asked for": {"model": "rerank-2.5-lite"},
    "results: none": {"results": []},
    "relevance_score: negative": {"results": [RESULT | {"relevance_score": -11.25}]},
    "relevance_score: above 1": {"results": [RESULT | {"relevance_score": 1e300}]},
    "relevance_score: an integer": {"results": [RESULT | {"relevance_score": 0}]},
    "index: an integer written as 0.0": {"results": [RESULT | {"index": 0.0}]},
    "document: empty": {"results": [RESULT | {"document": {}}]},
    "document: an image": {"results": [RESULT | {"document": {"image": PIXEL}}]},
    "document: an unknown key": {"results": [RESULT | {"document": {"text": "one", "multi_modal": None}}]},
    "usage: empty": {"usage": {}},
    "usage: by token": {"usage": {"total_tokens": 17, "cost": 3.4e-7}},
    "usage: by search": {"usage": {"search_units": 2, "cost": 0}},
    "provider: unknown": {"provider": "Someone"},
    "id: of another form": {"id": "1"},
    "a field of another vendor": {"meta": {"billed_units": {"search_units": 1}}, "object": "list"},
}
ILLEGAL_RESPONSES: dict[str, dict[str, Any]] = {
    "model: absent": {"model": ABSENT},
    "model: null": {"model": None},
    "results: absent": {"results": ABSENT},
    "results: null": {"results": None},
    "results: an object": {"results": {"0": RESULT}},
    "results: null in it": {"results": [None]},
    "an error in place of the results": {
        "results": ABSENT,
        "error": {"code": 502, "message": "Provider returned error"},
    },
    "index: absent": {"results": [changed(RESULT, {"index": ABSENT})]},
    "index: negative": {"results": [RESULT | {"index": -1}]},
    "index: text": {"results": [RESULT | {"index": "0"}]},
    "index: 0.5": {"results": [RESULT | {"index": 0.5}]},
    "index: true": {"results": [RESULT | {"index": True}]},
    "relevance_score: absent": {"results": [changed(RESULT, {"relevance_score": ABSENT})]},
    "relevance_score: null": {"results": [RESULT | {"relevance_score": None}]},
    "relevance_score: text": {"results": [RESULT | {"relevance_score": "0.5"}]},
    "document: absent": {"results": [changed(RESULT, {"document": ABSENT})]},
    "document: null": {"results": [RESULT | {"document": None}]},
    "document: a string": {"results": [RESULT | {"document": "one"}]},
    "document: text null": {"results": [RESULT | {"document": {"text": None}}]},
    "id: a number": {"id": 1},
    "provider: null": {"provider": None},
    "usage: null": {"usage": None},
    "usage: negative": {"usage": {"total_tokens": -1}},
    "usage: half a token": {"usage": {"total_tokens": 0.5}},
    "usage: half a search": {"usage": {"search_units": 0.5}},
    "usage: cost as text": {"usage": {"cost": "0.001"}},
}
LISTED: dict[str, Any] = resolved(at(f"{LIST.removesuffix('/schema')}/examples/last_page"))["value"]["data"][
    0
]
LEGAL_LISTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "data: none": {"data": []},
    "links: a next page": {"links": {"next": "/api/v1/models?offset=1"}},
    "context_length: not known": {"data": [LISTED | {"context_length": None}]},
    "pricing: by search": {
        "data": [LISTED | {"pricing": {"prompt": "0", "completion": "0", "request": "0.001"}}]
    },
    "architecture: a modality of later": {
        "data": [
            LISTED
            | {
                "architecture": {
                    "input_modalities": ["smell"],
                    "output_modalities": ["rerank"],
                    "modality": None,
                }
            }
        ]
    },
    "supported_parameters: unknown ones": {"data": [LISTED | {"supported_parameters": ["kindness"]}]},
}
ILLEGAL_LISTS: dict[str, dict[str, Any]] = {
    "data: absent": {"data": ABSENT},
    "data: null": {"data": None},
    "data: null in it": {"data": [None]},
    "data: names": {"data": ["cohere/rerank-v3.5"]},
    "total_count: absent": {"total_count": ABSENT},
    "total_count: negative": {"total_count": -1},
    "links: absent": {"links": ABSENT},
    "links: next absent": {"links": {}},
    "links: next a number": {"links": {"next": 1}},
    "id: absent": {"data": [changed(LISTED, {"id": ABSENT})]},
    "id: null": {"data": [LISTED | {"id": None}]},
    "created: text": {"data": [LISTED | {"created": "2026-04-01"}]},
    "context_length: text": {"data": [LISTED | {"context_length": "4096"}]},
    "pricing: absent": {"data": [changed(LISTED, {"pricing": ABSENT})]},
    "pricing: a number": {"data": [LISTED | {"pricing": {"prompt": 0, "completion": "0"}}]},
    "architecture: text": {"data": [LISTED | {"architecture": "text->rerank"}]},
    "output_modalities: text": {
        "data": [
            LISTED
            | {"architecture": {"input_modalities": [], "output_modalities": "rerank", "modality": None}}
        ]
    },
}
DETAIL: dict[str, Any] = {"code": 400, "message": "no"}
LEGAL_ERRORS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "message: empty": {"error": {"code": 400, "message": ""}},
    "metadata: null": {"error": DETAIL | {"metadata": None}},
    "metadata: free": {"error": DETAIL | {"metadata": {"headers": {"X-RateLimit-Limit": "20"}}}},
    "metadata: an unknown error_type": {"error": DETAIL | {"metadata": {"error_type": "moon_phase"}}},
    "metadata: previous_errors as documented": {
        "error": DETAIL
        | {"metadata": {"previous_errors": [{"provider": "Cohere", "code": "x", "status": 503}]}}
    },
    "user_id: null": {"user_id": None, "openrouter_metadata": None},
    "openrouter_metadata: free": {"openrouter_metadata": {"region": "iad"}},
}
ILLEGAL_ERRORS: dict[str, dict[str, Any]] = {
    "error: absent": {"error": ABSENT},
    "error: null": {"error": None},
    "error: text": {"error": "no"},
    "code: absent": {"error": {"message": "no"}},
    "code: text": {"error": DETAIL | {"code": "400"}},
    "code: null": {"error": DETAIL | {"code": None}},
    "message: absent": {"error": {"code": 400}},
    "message: null": {"error": DETAIL | {"message": None}},
    "metadata: previous_errors as text": {"error": DETAIL | {"metadata": {"previous_errors": ["no"]}}},
    "metadata: text": {"error": DETAIL | {"metadata": "no"}},
    "a detail in place of the envelope": {"error": ABSENT, "detail": [{"msg": "Field required"}]},
}
TABLES: list[tuple[str, str, dict[str, Any], bool, dict[str, dict[str, Any]]]] = [
    ("request", REQUEST, {"model": "m", "query": "q", "documents": ["one", "two"]}, True, LEGAL_REQUESTS),
    ("request", REQUEST, {"model": "m", "query": "q", "documents": ["one", "two"]}, False, ILLEGAL_REQUESTS),
    ("response", RESPONSE, {"model": "m", "results": [RESULT]}, True, LEGAL_RESPONSES),
    ("response", RESPONSE, {"model": "m", "results": [RESULT]}, False, ILLEGAL_RESPONSES),
    ("models", LIST, {"data": [LISTED], "total_count": 1, "links": {"next": None}}, True, LEGAL_LISTS),
    ("models", LIST, {"data": [LISTED], "total_count": 1, "links": {"next": None}}, False, ILLEGAL_LISTS),
    ("error", ENVELOPE, {"error": DETAIL}, True, LEGAL_ERRORS),
    ("error", ENVELOPE, {"error": DETAIL}, False, ILLEGAL_ERRORS),
]
VERDICTS = [
    pytest.param(
        pointer, changed(base, changes), legal, id=f"{what}, {'legal' if legal else 'illegal'}, {label}"
    )
    for what, pointer, base, legal, table in TABLES
    for label, changes in table.items()
]


@pytest.mark.parametrize(("pointer", "body", "legal"), VERDICTS)
def test_verdict(pointer: str, body: dict[str, Any], legal: bool) -> None:
    """The contract accepts what is legal and refuses what is not; each illegal body differs from a legal one once."""
    assert validator(pointer).is_valid(body) is legal


@pytest.mark.parametrize("pointer", [REQUEST, RESPONSE, LIST, ENVELOPE])
@pytest.mark.parametrize("body", [None, [], "text", 1, True, {}])
def test_body_is_an_object(pointer: str, body: Any) -> None:
    """A body that is not an object, or is an empty one, is illegal everywhere."""
    assert not validator(pointer).is_valid(body)
