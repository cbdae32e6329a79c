"""The vendor's document beside the contract: each difference is named at its place, and no other spelling is one.

The vendor's document is not here, as it is the vendor's: `published` makes one of its shape from the contract.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from compare import documents
from compare.descriptions import ABSENT
from compare.differences import Comparison, Difference, Place, compare
from compare.locations import root
from compare.operations import read_api
from upstream import accepted, run

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "contract_tests/upstream/run.py"
CONTRACT = documents.read(str(ROOT / "openapi.yaml"))
Json = dict[str, Any]
Plant = Callable[[Json], object]
STRING = {"type": "string"}


# A document of the vendor's shape.


def plain(value: Any) -> Any:
    """Return a value without the objects that YAML's anchors share."""
    return json.loads(json.dumps(value))


def resolved(value: Json) -> Json:
    """Return the target of a reference of the contract."""
    return root(CONTRACT).target(value["$ref"]).value if "$ref" in value else value


def in_place(value: Json) -> Json:
    """Return the target of a reference with another description."""
    return {**resolved(value), "description": "As the vendor says it."}


def vendors() -> Json:
    """Return the contract in the vendor's style: inline bodies, an error for each status, allOf with prose."""
    contract: Json = CONTRACT.data
    schemas: Json = plain(contract["components"]["schemas"])
    post: Json = plain(contract["paths"]["/rerank"]["post"])
    get: Json = plain(contract["paths"]["/models"]["get"])
    for operation in (post, get):
        operation["parameters"] = [plain(in_place(one)) for one in operation["parameters"]]
        for status, answer in operation["responses"].items():
            said = operation["responses"][status] = plain(in_place(answer))
            said["headers"] = {
                name: plain(in_place(header)) for name, header in said.get("headers", {}).items()
            }
            if status != "200":
                name = f"Status{status}Response"
                schemas[f"{name}ErrorData"] = plain(schemas["ErrorDetail"])
                schemas[name] = plain(schemas["ErrorResponse"])
                schemas[name]["properties"]["error"] = {"$ref": f"#/components/schemas/{name}ErrorData"}
                said["content"]["application/json"]["schema"] = {"$ref": f"#/components/schemas/{name}"}
    request = schemas.pop("RerankRequest")
    request["properties"]["provider"] = {
        "allOf": [{"$ref": "#/components/schemas/ProviderPreferences"}, {"description": "Routing."}]
    }
    schemas["ProviderPreferences"]["type"] = ["object", "null"]
    post["requestBody"]["content"]["application/json"]["schema"] = request
    response = schemas.pop("RerankResponse")
    response["properties"]["results"]["items"] = schemas.pop("RerankResult")
    response["properties"]["results"]["items"]["properties"]["document"] = schemas.pop("ResultDocument")
    response["properties"]["usage"] = schemas.pop("Usage")
    post["responses"]["200"]["content"]["application/json"]["schema"] = response
    for name in ("ErrorResponse", "ErrorDetail"):
        del schemas[name]
    return {
        "components": {
            "parameters": {},
            "schemas": schemas,
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": "API key."},
                "management": {"type": "http", "scheme": "bearer"},
            },
        },
        "info": {"title": "The vendor's API", "version": "1.0.0"},
        "openapi": "3.1.0",
        "paths": {"/models": {"get": get}, "/rerank": {"post": post}},
        "security": [{"apiKey": []}],
        "servers": plain(contract["servers"]),
        "tags": [{"name": "Rerank"}],
        "x-retry-strategy": {"maxAttempts": 3},
    }


def request_of(document: Json) -> Json:
    """Return the schema of the request."""
    schema: Json = document["paths"]["/rerank"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return schema


def sent(document: Json, name: str) -> Json:
    """Return a field of the request."""
    field: Json = request_of(document)["properties"][name]
    return field


def schema_of(document: Json, name: str) -> Json:
    """Return a schema with a name."""
    schema: Json = document["components"]["schemas"][name]
    return schema


def member(document: Json, schema: str, name: str) -> Json:
    """Return a field of a schema with a name."""
    field: Json = schema_of(document, schema)["properties"][name]
    return field


def rerank(document: Json) -> Json:
    """Return the operation that ranks."""
    operation: Json = document["paths"]["/rerank"]["post"]
    return operation


def models(document: Json) -> Json:
    """Return the operation that lists models."""
    operation: Json = document["paths"]["/models"]["get"]
    return operation


def answer_of(document: Json) -> Json:
    """Return the schema of the ranking."""
    schema: Json = rerank(document)["responses"]["200"]["content"]["application/json"]["schema"]
    return schema


def result_of(document: Json) -> Json:
    """Return the schema of one result."""
    schema: Json = answer_of(document)["properties"]["results"]["items"]
    return schema


def used(document: Json, name: str) -> Json:
    """Return a field of the usage."""
    field: Json = answer_of(document)["properties"]["usage"]["properties"][name]
    return field


def parameter(document: Json, name: str) -> Json:
    """Return a parameter of the list of models."""
    return next(one for one in models(document)["parameters"] if one["name"] == name)


def errors_of(document: Json) -> list[Json]:
    """Return the schemas of the error for each status."""
    return [
        schema for name, schema in document["components"]["schemas"].items() if name.endswith("ErrorData")
    ]


def replaced(schema: Json, **by: Any) -> None:
    """Let a schema be another."""
    schema.clear()
    schema.update(by)


def published() -> Json:
    """Return a document that differs from the contract as the vendor's of August 2026 does, with many other operations."""
    document = vendors()
    of_operations(document)
    of_requests(document)
    of_answers(document)
    of_entries(document)
    others(document)
    return document


def of_operations(document: Json) -> None:
    """Return the differences in servers, statuses, headers and media types."""
    document["servers"] = document["servers"][:1]
    for status in ("403", "413"):
        del rerank(document)["responses"][status]
    for status in ("401", "429", "503"):
        del models(document)["responses"][status]
    for operation in (rerank(document), models(document)):
        operation["parameters"] = [one for one in operation["parameters"] if one["in"] != "header"]
        for answer in operation["responses"].values():
            del answer["headers"]
    rerank(document)["responses"]["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    models(document)["responses"]["200"]["content"]["application/rss+xml"] = {"schema": {"type": "string"}}


def of_requests(document: Json) -> None:
    """Return the differences in the request."""
    strings = {"type": "string", "enum": ["exacto", "latency", "price", "throughput"]}
    for name in ("session_id", "user", "trace"):
        del request_of(document)["properties"][name]
    preferences = schema_of(document, "ProviderPreferences")
    del preferences["properties"]["options"]
    preferences["additionalProperties"] = False
    words = [
        "int4",
        "int8",
        "fp4",
        "mxfp4",
        "nvfp4",
        "fp6",
        "fp8",
        "mxfp8",
        "fp16",
        "bf16",
        "fp32",
        "unknown",
    ]
    preferences["properties"]["quantizations"]["items"]["enum"] = words
    preferences["properties"]["sort"]["anyOf"][0] = strings
    member(document, "ProviderSort", "by")["enum"] = [*strings["enum"], None]
    for price in schema_of(document, "MaxPrice")["properties"].values():
        price["type"] = "string"
    text = {"text": {"type": "string"}, "image": {"type": "string"}}
    sent(document, "documents")["items"] = {
        "anyOf": [{"type": "string"}, {"type": "object", "properties": text}]
    }
    parameter(document, "offset")["schema"].update(type=["integer", "null"], default=0)
    parameter(document, "limit")["schema"].update(default=500)


def of_answers(document: Json) -> None:
    """Return the differences in the response."""
    for error in errors_of(document):
        error["properties"]["metadata"] = {"type": ["object", "null"], "additionalProperties": {}}
        del error["properties"]["availability"]
    for field in (result_of(document)["properties"]["index"], member(document, "ModelList", "total_count")):
        del field["minimum"]
    for name in ("cost", "search_units", "total_tokens"):
        del used(document, name)["minimum"]
    for name in ("input_modalities", "output_modalities"):
        words = ["text", "image", "file", "audio", "video"] + ["rerank"] * (name == "output_modalities")
        member(document, "ModelArchitecture", name)["items"]["enum"] = words
    member(document, "ModelArchitecture", "tokenizer")["enum"] = ["Cohere", "Other"]
    member(document, "ModelArchitecture", "instruct_type")["enum"] = ["chatml", None]
    member(document, "ListedModel", "supported_parameters")["items"]["enum"] = ["temperature", "top_p"]


def of_entries(document: Json) -> None:
    """Return the parameters and fields of models that only the vendor has, as the entries name them."""
    for entry in accepted.read_entries(run.HERE / "accepted.yaml"):
        for place in entry.places:
            *_, name = place.split()
            if entry.kind == "parameter" and entry.values[0] == "absent":
                models(document)["parameters"].append(
                    {"in": "query", "name": name, "schema": {"type": "string"}}
                )
            if entry.kind == "field" and entry.values[0] == "absent":
                schema = "ModelPricing" if ".pricing." in name else "ListedModel"
                schema_of(document, schema)["properties"][name.rpartition(".")[2]] = {
                    "type": ["string", "null"]
                }


def others(document: Json, number: int = 300) -> None:
    """Add operations that nobody here wants, one with what would be an error if it were read."""
    for index in range(number):
        name = f"Thing{index}"
        fields = {
            f"field_{letter}": {
                "anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}],
                "description": f"Field {letter} of thing {index}, as the vendor describes it at length.",
                "example": {"nested": {letter: [index, None, "text"]}},
                "x-speakeasy-unknown-values": "allow",
            }
            for letter in "abcdef"
        }
        fields["next"] = {
            "allOf": [{"$ref": f"#/components/schemas/{name}"}, {"description": "The next one."}]
        }
        document["components"]["schemas"][name] = {
            "type": ["object", "null"],
            "properties": fields,
            "required": ["field_a"],
        }
        body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
        document["paths"][f"/things/{index}"] = {
            "get": {"responses": {"200": {"description": "A thing.", "content": body}}}
        }
    broken = {"schema": {"$ref": "elsewhere.yaml#/Missing"}, "name": 5}
    document["paths"]["/broken"] = {"get": {"parameters": [broken], "responses": []}}


# Comparing.


def differences(theirs: Json, ours: documents.Document = CONTRACT, wanted: str | None = None) -> Comparison:
    """Compare a document with the contract, or another document, in all paths or the one that is wanted."""
    mine, other = run.read_vendor(documents.Document("theirs", theirs), ours, None)
    if wanted:
        prefix = run.find_prefix(other.document, None)
        mine, other = read_api(ours, [wanted]), read_api(other.document, [wanted], prefix)
    return compare(mine, other)


def found(compared: Comparison) -> set[tuple[str, str]]:
    """Return kind and place of each difference on the wire."""
    return {(one.kind, str(one.place)) for one in run.differences(compared)}


def few(document: Json) -> Json:
    """Return the document with few statuses, as it is compared often."""
    document = plain(document)
    for operation in (rerank(document), models(document)):
        for status in operation["responses"].keys() - {"200", "400", "413", "429", "500"}:
            del operation["responses"][status]
    return document


VENDORS = vendors()
FEW = documents.Document("openapi.yaml", few(CONTRACT.data)), few(VENDORS)


def test_other_style_is_no_difference():
    """The contract in the vendor's style, with components, allOf and errors of its own, is the contract."""
    assert found(differences(VENDORS)) == set()


def older(value: Any) -> Any:
    """Return the same document in OpenAPI 3.0, which has `nullable` and no lists of types."""
    if isinstance(value, list):
        return [older(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: older(one) for key, one in value.items()}
    named = made.get("type")
    if isinstance(named, list):
        words = [one for one in named if one != "null"]
        made |= {"nullable": True} if "null" in named else {}
        del made["type"]
        made |= {"type": words[0]} if len(words) == 1 else {"anyOf": [{"type": one} for one in words]}
    branches = made.get("anyOf", [])
    if {"type": "null"} in branches:
        branches.remove({"type": "null"})
        made["nullable"] = True
    return made


def test_older_version_is_no_difference():
    """The same in OpenAPI 3.0 is the same, `nullable` beside a reference or a list of alternatives included."""
    document = older(VENDORS) | {"openapi": "3.0.3"}
    assert '"nullable": true' in json.dumps(document)
    assert '"null"' not in json.dumps(document["components"])
    assert found(differences(document)) == set()


# What is planted, the kind of difference that it has to be, and its place; `*` for any.
PLANTS: dict[str, tuple[Plant, str, str]] = {
    "a field of the request gone": (lambda d: request_of(d)["properties"].pop("top_n"), "field", "POST /rerank request top_n"),
    "a field of the request new": (
        lambda d: request_of(d)["properties"].update(return_documents={"type": "boolean"}),
        "field", "POST /rerank request return_documents",
    ),
    "a field without any limit new": (
        lambda d: request_of(d)["properties"].update(planted={}), "field", "POST /rerank request planted"
    ),
    "a field of each result new": (
        lambda d: result_of(d)["properties"].update(rank={"type": "integer"}), "field", "POST /rerank 200 results[].rank"
    ),
    "a field of the usage gone": (
        lambda d: answer_of(d)["properties"]["usage"]["properties"].pop("cost"), "field", "POST /rerank 200 usage.cost"
    ),
    "a field of a provider's settings new": (
        lambda d: schema_of(d, "Percentiles")["properties"].update(p95={"type": "number"}),
        "field", "POST /rerank request provider.preferred_*.p95",
    ),
    "another type": (lambda d: sent(d, "top_n").update(type="string"), "type", "POST /rerank request top_n"),
    "any number in place of a whole one": (
        lambda d: result_of(d)["properties"]["index"].update(type="number"), "type", "POST /rerank 200 results[].index"
    ),
    "one type more": (lambda d: sent(d, "query").update(type=["string", "array"]), "type", "POST /rerank request query"),
    "one type less": (
        lambda d: member(d, "MaxPrice", "image").update(type="string"), "type", "POST /rerank request provider.max_price.image"
    ),
    "another type of elements": (
        lambda d: member(d, "ProviderPreferences", "order")["items"].update(type="integer"),
        "type", "POST /rerank request provider.order[]",
    ),
    "anything at all": (lambda d: replaced(sent(d, "user")), "type", "POST /rerank request user"),
    "null allowed": (lambda d: sent(d, "query").update(type=["string", "null"]), "null", "POST /rerank request query"),
    "null allowed as 3.0 says it": (lambda d: sent(d, "query").update(nullable=True), "null", "POST /rerank request query"),
    "null forbidden through a reference": (
        lambda d: schema_of(d, "ProviderPreferences").update(type="object"), "null", "POST /rerank request provider"
    ),
    "null forbidden": (
        lambda d: member(d, "ModelListLinks", "next").update(type="string"), "null", "GET /models 200 links.next"
    ),
    "a field of the request required": (
        lambda d: request_of(d)["required"].append("top_n"), "required", "POST /rerank request top_n"
    ),
    "a field of the request optional": (
        lambda d: request_of(d)["required"].remove("query"), "required", "POST /rerank request query"
    ),
    "a field of the answer optional": (
        lambda d: result_of(d)["required"].remove("document"), "required", "POST /rerank 200 results[].document"
    ),
    "a field of the answer required": (lambda d: answer_of(d)["required"].append("id"), "required", "POST /rerank 200 id"),
    "neither of two fields needed any more": (
        lambda d: replaced(schema_of(d, "RerankDocument"), anyOf=[STRING, {"type": "object", "properties": {"text": STRING, "image": STRING}}]),
        "required fields", "POST /rerank request documents[]",
    ),
    "one of two fields not enough any more": (
        lambda d: schema_of(d, "ImageDocument")["required"].append("text"),
        "required", "POST /rerank request documents[].text",
    ),
    "a word more": (
        lambda d: member(d, "ProviderPreferences", "data_collection")["anyOf"][0]["enum"].append("ask"),
        "values", "POST /rerank request provider.data_collection",
    ),
    "a word less": (
        lambda d: member(d, "ProviderSort", "partition")["anyOf"][0]["enum"].remove("none"),
        "values", "POST /rerank request provider.sort.partition",
    ),
    "a list of words where all were open": (
        lambda d: answer_of(d)["properties"]["provider"].update(enum=["Cohere"]), "values", "POST /rerank 200 provider"
    ),
    "open words where they were listed": (
        lambda d: member(d, "ProviderPreferences", "data_collection")["anyOf"][0].pop("enum"),
        "values", "POST /rerank request provider.data_collection",
    ),
    "one constant": (
        lambda d: member(d, "ModelTopProvider", "is_moderated").update(const=False),
        "values", "GET /models 200 data[].top_provider.is_moderated",
    ),
    "a lower minimum": (lambda d: sent(d, "top_n").update(minimum=0), "minimum", "POST /rerank request top_n"),
    "a maximum": (lambda d: sent(d, "top_n").update(maximum=100), "maximum", "POST /rerank request top_n"),
    "a bound that is left out itself": (
        lambda d: result_of(d)["properties"]["relevance_score"].update(exclusiveMaximum=1),
        "exclusiveMaximum", "POST /rerank 200 results[].relevance_score",
    ),
    "steps": (lambda d: sent(d, "top_n").update(multipleOf=5), "multipleOf", "POST /rerank request top_n"),
    "an empty array allowed": (lambda d: sent(d, "documents").pop("minItems"), "minItems", "POST /rerank request documents"),
    "fewer elements": (lambda d: sent(d, "documents").update(maxItems=1000), "maxItems", "POST /rerank request documents"),
    "elements that differ": (
        lambda d: sent(d, "documents").update(uniqueItems=True), "uniqueItems", "POST /rerank request documents"
    ),
    "a longer text": (lambda d: sent(d, "session_id").pop("maxLength"), "maxLength", "POST /rerank request session_id"),
    "no empty text": (lambda d: sent(d, "query").update(minLength=1), "minLength", "POST /rerank request query"),
    "a pattern": (lambda d: sent(d, "model").update(pattern="^[a-z]+/"), "pattern", "POST /rerank request model"),
    "no further fields": (
        lambda d: schema_of(d, "ProviderPreferences").update(additionalProperties=False),
        "extra", "POST /rerank request provider",
    ),
    "further fields of one type": (
        lambda d: schema_of(d, "Trace").update(additionalProperties={"type": "string"}), "extra", "POST /rerank request trace"
    ),
    "one field at least": (
        lambda d: schema_of(d, "ProviderPreferences").update(minProperties=1), "minProperties", "POST /rerank request provider"
    ),
    "a form of text": (lambda d: used(d, "cost").update(format="float"), "format", "POST /rerank 200 usage.cost"),
    "a default": (lambda d: sent(d, "top_n").update(default=10), "default", "POST /rerank request top_n"),
    "a field that will go": (lambda d: sent(d, "user").update(deprecated=True), "deprecated", "POST /rerank request user"),
    "a field that is only read": (lambda d: sent(d, "user").update(readOnly=True), "readOnly", "POST /rerank request user"),
    "an operation that will go": (lambda d: rerank(d).update(deprecated=True), "deprecated", "POST /rerank"),
    "a keyword that is not taken apart": (
        lambda d: request_of(d).update(dependentRequired={"top_n": ["user"]}), "dependentRequired", "POST /rerank request"
    ),
    "a value that is excluded": (lambda d: sent(d, "query").update({"not": {"const": ""}}), "not", "POST /rerank request query"),
    "alternatives that exclude each other": (
        lambda d: replaced(sent(d, "user"), oneOf=[{"type": "string"}, {"type": "string", "maxLength": 9}]),
        "meaning", "POST /rerank request user",
    ),
    "a status gone": (lambda d: rerank(d)["responses"].pop("413"), "status", "POST /rerank 413"),
    "a status new": (
        lambda d: rerank(d)["responses"].update({"422": rerank(d)["responses"]["400"]}), "status", "POST /rerank 422"
    ),
    "a range of statuses": (
        lambda d: rerank(d)["responses"].update({"4XX": rerank(d)["responses"]["400"]}), "status", "POST /rerank 4XX"
    ),
    "all other statuses": (
        lambda d: rerank(d)["responses"].update(default=rerank(d)["responses"].pop("500")), "status", "POST /rerank default"
    ),
    "an error of another form in one status": (
        lambda d: next(iter(errors_of(d)))["properties"]["code"].update(type="string"), "type", "* error.code"
    ),
    "an error of another form in all": (
        lambda d: [one["properties"]["message"].update(type=["string", "null"]) for one in errors_of(d)],
        "null", "* error.message",
    ),
    "a media type of the answer new": (
        lambda d: rerank(d)["responses"]["200"]["content"].update({"text/event-stream": {}}),
        "media type", "POST /rerank 200 text/event-stream",
    ),
    "a media type of the request new": (
        lambda d: rerank(d)["requestBody"]["content"].update({"multipart/form-data": {}}),
        "media type", "POST /rerank request multipart/form-data",
    ),
    "a header of the answer gone": (
        lambda d: rerank(d)["responses"]["429"]["headers"].pop("Retry-After"), "header", "POST /rerank 429 header Retry-After"
    ),
    "a header of the answer new": (
        lambda d: rerank(d)["responses"]["200"]["headers"].update({"X-Cost": {"schema": {"type": "number"}}}),
        "header", "POST /rerank 200 header X-Cost",
    ),
    "a header of the answer of another type": (
        lambda d: rerank(d)["responses"]["429"]["headers"]["Retry-After"].update(schema={"type": "integer"}),
        "type", "POST /rerank 429 header Retry-After",
    ),
    "a parameter new": (
        lambda d: rerank(d)["parameters"].append({"in": "query", "name": "region", "schema": {"type": "string"}}),
        "parameter", "POST /rerank query region",
    ),
    "a parameter gone": (lambda d: models(d)["parameters"].remove(parameter(d, "limit")), "parameter", "GET /models query limit"),
    "a parameter required": (
        lambda d: parameter(d, "output_modalities").update(required=True), "required", "GET /models query output_modalities"
    ),
    "a parameter's bound": (lambda d: parameter(d, "limit")["schema"].update(maximum=500), "maximum", "GET /models query limit"),
    "a parameter that will go": (
        lambda d: parameter(d, "offset").update(deprecated=True), "deprecated", "GET /models query offset"
    ),
    "a parameter written as JSON": (
        lambda d: parameter(d, "offset").update(content={"application/json": {"schema": parameter(d, "offset").pop("schema")}}),
        "written", "GET /models query offset",
    ),
    "a key in another header": (
        lambda d: d["components"]["securitySchemes"].update(apiKey={"type": "apiKey", "in": "header", "name": "X-Key"}),
        "security", "* security",
    ),
    "no key at all": (lambda d: models(d).update(security=[]), "security", "GET /models security"),
    "a key if one likes": (lambda d: rerank(d).update(security=[{}, {"apiKey": []}]), "security", "POST /rerank security"),
    "another server": (lambda d: d["servers"].pop(2), "server", "server https://us.openrouter.ai/api/v1"),
    "an operation gone": (lambda d: d["paths"].pop("/models"), "operation", "GET /models"),
    "an operation new": (lambda d: d["paths"]["/rerank"].update(get=models(d)), "operation", "GET /rerank"),
    "a body that can be left out": (lambda d: rerank(d)["requestBody"].pop("required"), "required", "POST /rerank request"),
    "no body": (lambda d: rerank(d).pop("requestBody"), "body", "POST /rerank request"),
    "a keyword that nobody knows": (lambda d: sent(d, "user").update(frobnicate=1), "frobnicate", "POST /rerank request user"),
    "a keyword that nobody knows in one form": (
        lambda d: schema_of(d, "TextDocument")["properties"]["text"].update(frobnicate=1),
        "frobnicate", "POST /rerank request documents[].text",
    ),
    **{
        f"a keyword that nobody knows of {name}": (
            lambda d, part=part: part(d).update(frobnicate=1), "frobnicate", place
        )
        for name, part, place in (
            ("the document", lambda d: d, "document"),
            ("a server", lambda d: d["servers"][0], "server https://openrouter.ai/api/v1"),
            ("a path", lambda d: d["paths"]["/rerank"], "POST /rerank"),
            ("an operation", rerank, "POST /rerank"),
            ("a parameter", lambda d: parameter(d, "limit"), "GET /models query limit"),
            ("a body", lambda d: rerank(d)["requestBody"], "POST /rerank request"),
            ("a media type", lambda d: rerank(d)["requestBody"]["content"]["application/json"], "POST /rerank request"),
            ("an answer", lambda d: rerank(d)["responses"]["200"], "POST /rerank 200"),
            ("a header", lambda d: rerank(d)["responses"]["429"]["headers"]["Retry-After"], "POST /rerank 429 header Retry-After"),
            ("a security scheme", lambda d: d["components"]["securitySchemes"]["apiKey"], "* security"),
        )
    },
    "a note in one form": (
        lambda d: schema_of(d, "TextDocument")["properties"]["text"].update(deprecated=True),
        "deprecated", "POST /rerank request documents[].text",
    ),
    "a discriminator": (
        lambda d: schema_of(d, "Trace").update(discriminator={"propertyName": "kind"}), "discriminator", "POST /rerank request trace"
    ),
    "a parameter of another style": (
        lambda d: parameter(d, "limit").update(style="deepObject"), "written", "GET /models query limit"
    ),
    "a scope": (lambda d: rerank(d).update(security=[{"apiKey": ["write"]}]), "security", "POST /rerank security"),
    "a callback": (
        lambda d: rerank(d).update(callbacks={"done": {"{$request.body#/url}": {"post": {"responses": {}}}}}),
        "callback", "POST /rerank callback done POST {$request.body#/url}",
    ),
    "a server of one operation": (
        lambda d: models(d).update(servers=[*d["servers"], {"url": "https://models.example.com"}]),
        "server", "GET /models server https://models.example.com",
    ),
    "a part of a body in another form": (
        lambda d: rerank(d)["requestBody"]["content"]["application/json"].update(encoding={"query": {"contentType": "text/plain"}}),
        "encoding", "POST /rerank request",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTS)
def test_difference_is_named(name: str):
    """A planted difference is found under its kind at its place, alone, and its places in both documents are there."""
    plant, kind, place = PLANTS[name]
    document = deepcopy(FEW[1])
    plant(document)
    path = place.partition(" ")[2].partition(" ")[0]
    planted = differences(document, FEW[0], path if path in ("/rerank", "/models") else None)
    assert run.differences(planted)
    for one in run.differences(planted):
        assert one.kind == kind
        assert accepted.matches(place, str(one.place)), str(one.place)
        for at in one.at:
            assert root(at.document).target(at.pointer).pointer == at.pointer
        for value in one.values:
            assert value == ABSENT or value in run.describe(one)


NULL = {"type": "null"}
TEXT_OR_NULL = {"type": ["string", "null"]}
THING = {"type": "object", "properties": {"a": STRING}, "required": ["a"]}
LIST: Json = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/List"}, "text": STRING}}
COMPONENTS = {
    "Text": STRING,
    "Thing": THING,
    "List": LIST,
    "MaybeThing": {**THING, "type": ["object", "null"]},
    "Other": THING,
}
PARTS = [{"properties": {"a": STRING}, "type": "object"}, {"required": ["a"]}]

# Two spellings of each thing.
SAME: dict[str, tuple[Any, Any]] = {
    "null as a branch": (TEXT_OR_NULL, {"anyOf": [STRING, NULL]}),
    "null as a branch of oneOf": (TEXT_OR_NULL, {"oneOf": [NULL, STRING]}),
    "null as 3.0 says it": (TEXT_OR_NULL, {"type": "string", "nullable": True}),
    "null as a branch as tools for 3.0 say it": (TEXT_OR_NULL, {"anyOf": [STRING, {"nullable": True}]}),
    "null in a list of values": (
        {"anyOf": [{"enum": ["a"]}, NULL]},
        {"type": ["string", "null"], "enum": ["a", None]},
    ),
    "null through a reference": ({"anyOf": [THING, NULL]}, {"$ref": "#/components/schemas/MaybeThing"}),
    "allOf of one": (STRING, {"allOf": [STRING]}),
    "allOf with prose": (
        THING,
        {"allOf": [{"$ref": "#/components/schemas/Thing"}, {"description": "A thing."}]},
    ),
    "allOf of parts": (THING, {"allOf": PARTS}),
    "anyOf of one": (STRING, {"anyOf": [STRING]}),
    "a reference": (THING, {"$ref": "#/components/schemas/Thing"}),
    "a reference with prose beside it": (
        STRING,
        {"$ref": "#/components/schemas/Text", "description": "Text."},
    ),
    "a constant": ({"enum": ["a"]}, {"const": "a"}),
    "a constant with its type": ({"type": "string", "enum": ["a"]}, {"const": "a"}),
    "the order of values": ({"enum": ["a", "b"]}, {"enum": ["b", "a"]}),
    "values in two branches": ({"enum": ["a", "b"]}, {"anyOf": [{"const": "b"}, {"const": "a"}]}),
    "the order of branches": ({"anyOf": [STRING, THING]}, {"anyOf": [THING, STRING]}),
    "the order of types": ({"type": ["string", "number"]}, {"type": ["number", "string"]}),
    "types as branches": ({"type": ["string", "number"]}, {"anyOf": [{"type": "number"}, STRING]}),
    "a branch within another": ({"anyOf": [STRING, {"enum": ["a"]}]}, STRING),
    "branches that exclude each other anyhow": ({"anyOf": [STRING, THING]}, {"oneOf": [STRING, THING]}),
    "a list of types of one": (STRING, {"type": ["string"]}),
    "anything in words": ({"type": "object"}, {"type": "object", "additionalProperties": {}}),
    "anything in other words": ({"type": "object", "additionalProperties": True}, {"type": "object"}),
    "limits that say nothing": (
        {"type": "array", "items": {}},
        {"type": "array", "minItems": 0, "uniqueItems": False},
    ),
    "a whole number": ({"type": "integer"}, {"type": "number", "multipleOf": 1}),
    "a bound of whole numbers": (
        {"type": "integer", "minimum": 1},
        {"type": "integer", "exclusiveMinimum": 0},
    ),
    "a bound as 3.0 says it": (
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "number", "minimum": 0, "exclusiveMinimum": True},
    ),
    "1 and 1.0": ({"enum": [1, 2]}, {"enum": [1.0, 2]}),
    "a default of 1 and of 1.0": ({"type": "integer", "default": 1}, {"type": "integer", "default": 1.0}),
    "flags that are not set": (STRING, {"type": "string", "deprecated": False, "readOnly": False}),
    "doubles": ({"type": "number"}, {"type": "number", "format": "double"}),
    "prose, examples and extensions": (
        STRING,
        {
            "type": "string",
            "title": "T",
            "example": 1,
            "externalDocs": {"url": "x"},
            "x-speakeasy-name-override": "y",
        },
    ),
    "fields named like keywords": (
        {"type": "object", "properties": {"example": STRING, "nullable": STRING, "x-a": STRING}},
        {"allOf": [{"type": "object", "properties": {"x-a": STRING, "nullable": STRING, "example": STRING}}]},
    ),
    "a schema that contains itself": (
        {"$ref": "#/components/schemas/List"},
        {**LIST, "properties": {"text": STRING, "next": {"allOf": [{"$ref": "#/components/schemas/List"}]}}},
    ),
}
OTHER: dict[str, tuple[Any, Any, set[tuple[str, str]]]] = {
    "below a schema that contains itself": (
        {"$ref": "#/components/schemas/List"},
        {**LIST, "properties": {"text": {"type": "integer"}, "next": LIST["properties"]["next"]}},
        {("type", "POST /rerank request x.text")},
    ),
    "one form of several": (
        {"anyOf": [THING, {"type": "object", "properties": {"b": STRING}, "required": ["b"]}]},
        {"anyOf": [{"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}, THING]},
        {("type", "POST /rerank request x.b")},
    ),
    "a form more": (
        {"anyOf": [THING, {"type": "object", "properties": {"b": STRING}, "required": ["b"]}]},
        {
            "anyOf": [
                THING,
                {"type": "object", "properties": {"b": STRING}, "required": ["b"]},
                {"type": "object", "properties": {"c": STRING}, "required": ["c"]},
            ]
        },
        {("form", "POST /rerank request x")},
    ),
    "true is not 1": ({"enum": [1]}, {"enum": [True]}, {("type", "POST /rerank request x")}),
    "bounds in two branches": (
        {"anyOf": [{"type": "integer", "maximum": 1}, {"type": "integer", "minimum": 5}]},
        {"type": "integer", "minimum": 5},
        {("form", "POST /rerank request x")},
    ),
    "nothing at all": (False, STRING, {("type", "POST /rerank request x")}),
    "branches named by their schemas": (
        {"oneOf": [{"$ref": "#/components/schemas/Thing"}], "discriminator": {"propertyName": "a"}},
        {"oneOf": [{"$ref": "#/components/schemas/Other"}], "discriminator": {"propertyName": "a"}},
        {("discriminator", "POST /rerank request x")},
    ),
    "a second name of a mapped branch": (
        {
            "oneOf": [{"$ref": "#/components/schemas/Thing"}],
            "discriminator": {"propertyName": "a", "mapping": {"t": "#/components/schemas/Thing"}},
        },
        {
            "oneOf": [{"$ref": "#/components/schemas/Thing"}],
            "discriminator": {
                "propertyName": "a",
                "mapping": {"t": "#/components/schemas/Thing", "Thing": "#/components/schemas/Thing"},
            },
        },
        {("discriminator", "POST /rerank request x")},
    ),
    "values of a map": (
        {"type": "object", "additionalProperties": THING},
        {"type": "object", "additionalProperties": {**THING, "required": []}},
        {("required", "POST /rerank request x.*.a")},
    ),
}


def compared(ours: Any, theirs: Any) -> set[tuple[str, str]]:
    """Return the differences between two schemas of one field."""
    return found(differences(around(theirs), documents.Document("ours", around(ours))))


def around(schema: Any) -> Json:
    """Make a document with one field of this schema."""
    body = {"application/json": {"schema": {"type": "object", "properties": {"x": schema}}}}
    answer = {"200": {"description": "Well."}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1"},
        "paths": {"/rerank": {"post": {"requestBody": {"content": body}, "responses": answer}}},
        "components": {"schemas": COMPONENTS},
    }


@pytest.mark.parametrize("name", SAME)
def test_other_spelling_is_no_difference(name: str):
    """Two spellings of the same values are no difference, whichever of the two is the contract's."""
    one, other = SAME[name]
    assert compared(one, other) == set()
    assert compared(other, one) == set()


def test_what_stands_beside_a_reference_counts_since_3_1():
    """OpenAPI 3.0 ignores what stands beside a reference, and 3.1 does not."""
    theirs = around({"$ref": "#/components/schemas/Text", "maxLength": 9})
    ours = documents.Document("ours", around(STRING))
    assert found(differences(theirs, ours)) == {("maxLength", "POST /rerank request x")}
    assert found(differences(theirs | {"openapi": "3.0.3"}, ours)) == set()


def test_named_branch_is_no_difference():
    """A discriminator that maps a branch by the name of its schema means the same as one without a mapping."""
    ours = {"oneOf": [{"$ref": "#/components/schemas/Thing"}], "discriminator": {"propertyName": "a"}}
    mapping = {"Thing": "#/components/schemas/Thing"}
    theirs = {**ours, "discriminator": {"propertyName": "a", "mapping": mapping}}
    assert compared(ours, theirs) == compared(theirs, ours) == set()


@pytest.mark.parametrize(
    ("part", "keyword", "is_idle"),
    [
        ("request", "readOnly", False),
        ("request", "writeOnly", True),
        ("request", "xml", True),
        ("request application/xml", "xml", False),
        ("200", "readOnly", True),
        ("200", "writeOnly", False),
        ("200", "format", False),
    ],
)
def test_keyword_without_a_meaning_at_its_place_is_no_difference(part: str, keyword: str, is_idle: bool):
    """What only a server may send says nothing in a response, what only a caller may send nothing in a request."""
    at = root(CONTRACT)
    one = Difference(keyword, Place("POST /rerank", part), ("none", "true"), (None, None), (at, at), "unlike")
    assert one.is_idle == is_idle
    compared = replace(
        differences(around(STRING), documents.Document("ours", around(STRING))), differences=[one]
    )
    assert run.differences(compared) == ([] if is_idle else [one])


@pytest.mark.parametrize("name", OTHER)
def test_difference_within_a_spelling_is_named(name: str):
    """Differences within alternatives, maps and recursive schemas are named at their locations."""
    ours, theirs, expected = OTHER[name]
    assert compared(ours, theirs) == expected


def renamed(document: Json) -> None:
    """Name the security scheme otherwise."""
    document["components"]["securitySchemes"]["bearer"] = document["components"]["securitySchemes"].pop(
        "apiKey"
    )
    document["security"] = [{"bearer": []}]


def shared(document: Json) -> None:
    """Give the parameters to the path."""
    document["paths"]["/models"]["parameters"] = models(document).pop("parameters")


def moved(document: Json) -> None:
    """Let the prefix stand before the paths in place of the servers."""
    document["servers"] = [{"url": one["url"].removesuffix("/api/v1")} for one in document["servers"]]
    document["paths"] = {f"/api/v1{path}": item for path, item in document["paths"].items()}


def lower(document: Json) -> None:
    """Write all headers in lower case."""
    for operation in (rerank(document), models(document)):
        for one in operation["parameters"]:
            one["name"] = one["name"].lower()
        for answer in operation["responses"].values():
            answer["headers"] = {name.lower(): header for name, header in answer["headers"].items()}


def named(document: Json) -> None:
    """Make an answer a component, behind two references."""
    document["components"]["responses"] = {
        "One": {"$ref": "#/components/responses/Two"},
        "Two": rerank(document)["responses"]["400"],
    }
    rerank(document)["responses"]["400"] = {"$ref": "#/components/responses/One"}


EQUAL: dict[str, Plant] = {
    "another name of the security scheme": renamed,
    "parameters of the path": shared,
    "a prefix of the paths": moved,
    "headers in lower case": lower,
    "an answer behind two references": named,
    "a media type with parameters": lambda d: rerank(d)["requestBody"].update(
        content={"Application/JSON; charset=utf-8": rerank(d)["requestBody"]["content"]["application/json"]}
    ),
    "security at the operation": lambda d: rerank(d).update(security=[{"management": []}]),
    "headers that say nothing": lambda d: rerank(d)["parameters"].append(
        {"in": "header", "name": "Authorization", "schema": {"type": "string"}}
    ),
    "another order": lambda d: d.update(json.loads(json.dumps(d, sort_keys=True))),
    "a style that is the default": lambda d: parameter(d, "limit").update(style="form", explode=False),
    "a server with variables": lambda d: d["servers"][1].update(
        url="https://{region}.openrouter.ai/api/v1", variables={"region": {"default": "eu", "enum": ["eu"]}}
    ),
    "operations of others": lambda d: others(d, 3),
    "another operationId": lambda d: rerank(d).update(operationId="other"),
    "a single value that is not exploded": lambda d: parameter(d, "output_modalities").update(explode=False),
    "webhooks": lambda d: d.update(webhooks={"told": {"post": {"responses": {}}}}),
}


@pytest.mark.parametrize("name", EQUAL)
def test_other_arrangement_is_no_difference(name: str):
    """Other locations and names of a document's parts are not differences."""
    document = deepcopy(FEW[1])
    EQUAL[name](document)
    assert found(differences(document, FEW[0])) == set()


def test_same_difference_at_all_places_is_one():
    """A difference in the body that all errors share is reported once with all its locations; one entry accepts it."""
    document = deepcopy(VENDORS)
    for error in errors_of(document):
        error["properties"]["hint"] = STRING
    all_of_them = differences(document)
    (group,) = accepted.group(all_of_them.differences, all_of_them.visits)
    operations = [operation for item in CONTRACT.data["paths"].values() for operation in item.values()]
    assert len(group.all) == sum(len(operation["responses"]) - 1 for operation in operations)  # all but 200
    assert "place: '* error.hint'" in accepted.format_entries([group])
    document = deepcopy(VENDORS)
    errors_of(document)[0]["properties"]["hint"] = STRING
    one_of_them = differences(document)
    (group,) = accepted.group(one_of_them.differences, one_of_them.visits)
    assert "'*" not in accepted.format_entries([group])


def test_who_is_the_worse_off_is_said():
    """If one side provably allows more, the sentence says what that means for a caller."""
    document = deepcopy(VENDORS)
    sent(document, "top_n")["maximum"] = 100
    result_of(document)["properties"]["index"].pop("minimum")
    sentences = [run.describe(one) for one in differences(document).differences]
    assert sentences == [
        "`maximum` differs: none in the contract, 100 in the vendor's document. The vendor may refuse values that the contract allows.",
        "`minimum` differs: 0 in the contract, none in the vendor's document. The vendor may send values that the contract forbids.",
    ]


# The command.


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a file like the vendor's."""
    file = tmp_path_factory.mktemp("vendor") / "openapi.yaml"
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    file.write_text(yaml.dump(published(), Dumper=dumper, sort_keys=True), "utf-8")
    return file


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command; return its exit code and its output."""
    code = run.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_document_like_the_vendors_has_only_accepted_differences(vendor: Path):
    """Of a document with tens of thousands of lines all differences are accepted, and no entry is stale."""
    assert len(vendor.read_text("utf-8").splitlines()) > 30_000
    done = subprocess.run(
        [sys.executable, SCRIPT, vendor], capture_output=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert "OpenAPI 3.1.0, 303 paths, " in line
    assert line.endswith(" accepted, 0 stale entries")
    assert ": 0 new, " in line


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Write the contract in the vendor's style with two differences, as JSON."""
    document = deepcopy(VENDORS)
    sent(document, "top_n")["maximum"] = 77
    rerank(document)["responses"]["422"] = rerank(document)["responses"]["400"]
    file = tmp_path / "vendor.json"
    file.write_text(json.dumps(document, indent=1), "utf-8")
    return file


def test_new_difference_is_reported(changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A new difference ends in exit code 1 and shows where it is on the wire and in both documents."""
    (tmp_path / "none.yaml").touch()
    code, out, _ = ran(capsys, changed, "--accepted", tmp_path / "none.yaml")
    assert code == 1
    assert "POST /rerank request top_n: maximum\n" in out
    assert "#/components/schemas/RerankRequest/properties/top_n\n" in out
    (line,) = (
        number
        for number, said in enumerate(changed.read_text("utf-8").splitlines(), 1)
        if '"maximum": 77' in said
    )
    assert (
        f"vendor:   {changed}:{line} #/paths/~1rerank/post/requestBody/content/application~1json/schema"
        "/properties/top_n/maximum\n" in out
    )
    assert "2 new differences. If the vendor is right, change openapi.yaml." in out
    assert ": 2 new, 0 accepted, 0 stale entries" in out


def test_accepting_is_a_copy_and_a_sentence(
    changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The output of --accept, with reasons, accepts the differences; without a reason its line is refused."""
    file = tmp_path / "accepted.yaml"
    file.touch()
    code, entries, _ = ran(capsys, changed, "--accepted", file, "--accept")
    assert code == 1
    file.write_text(entries, "utf-8")
    code, _, error = ran(capsys, changed, "--accepted", file)
    assert code == 2
    assert (
        error
        == f"upstream: {file}:1 #/0: this entry has no `reason`: add it, one sentence on why the contract differs\n"
    )
    file.write_text(entries.replace("reason:", "reason: It is better so."), "utf-8")
    assert ran(capsys, changed, "--accepted", file)[0] == 0
    code, out, _ = ran(capsys, changed, "--accepted", file, "--all")
    assert code == 0
    assert out.count("  accepted: It is better so.\n") == 2
    code, out, _ = ran(capsys, changed, "--accepted", file, "--accept")
    assert (code, out) == (0, "")


def test_entry_that_fits_nothing_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """An entry for a difference that is gone is reported with its line and fails nothing."""
    same = tmp_path / "same.yaml"
    same.write_text(yaml.safe_dump(VENDORS), "utf-8")
    file = tmp_path / "accepted.yaml"
    entry = {
        "place": ["POST /rerank 413", "POST /rerank 4*"],
        "kind": "status",
        "contract": "*",
        "vendor": "absent",
        "reason": "So.",
    }
    file.write_text(yaml.safe_dump([entry]), "utf-8")
    code, out, _ = ran(capsys, same, "--accepted", file)
    assert code == 0
    assert f"{file}:1 #/0: no difference at `POST /rerank 413` matches this entry; remove it" in out
    assert out.endswith("0 new, 0 accepted, 2 stale entries\n")


def test_other_value_of_an_accepted_difference_is_new(
    changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """An entry accepts what both sides said when it was written, and nothing that the vendor says later."""
    file = tmp_path / "accepted.yaml"
    file.touch()
    file.write_text(
        ran(capsys, changed, "--accepted", file, "--accept")[1].replace("reason:", "reason: So."), "utf-8"
    )
    changed.write_text(changed.read_text("utf-8").replace('"maximum": 77', '"maximum": 78'), "utf-8")
    code, out, _ = ran(capsys, changed, "--accepted", file)
    assert code == 1
    assert ": 1 new, 1 accepted, 1 stale entry\n" in out


def test_report_for_programs(changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """--json prints the same as one object."""
    file = tmp_path / "none.yaml"
    file.touch()
    code, out, _ = ran(capsys, changed, "--accepted", file, "--json")
    report = json.loads(out)
    assert code == 1
    assert [one["kind"] for one in report["new"]] == ["maximum", "status"]
    assert report["new"][0]["contract_line"] > 1
    assert report["accepted"] == report["stale"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1,\n", ":2:1: not YAML: "),
        ("a: b: c\n", ":1:5: not YAML: mapping values are not allowed"),
        ("x: !python y\n", "could not determine a constructor"),
        ("- a\n", "not an OpenAPI document"),
        ("", "not an OpenAPI document"),
        ("openapi: [3.1\n", "not YAML"),
        ("title: x\n", "there is no key `openapi`"),
        ("openapi: 4.0.0\n", "`openapi` is '4.0.0'"),
        ("swagger: '2.0'\npaths: {}\n", "it is Swagger 2.0, not OpenAPI 3: convert it first"),
        ("<!DOCTYPE html><html></html>", "is a web page: name the file behind it"),
        ("openapi: 3.1.0\n", "it has no paths"),
        ("openapi: 3.1.0\npaths: {/chat: {}, /rank: {}}\n", "none of its 2 paths ends in /rerank; the nearest is /rank"),
        ("openapi: 3.1.0\npaths: {/a/rerank: {}, /b/rerank: {}}\n", "2 paths end in /rerank (/a/rerank, /b/rerank): choose one with --prefix, as --prefix /a"),
        ("openapi: 3.1.0\npaths: []\n", "#/paths: expected an object, found an array"),
        ("openapi: 3.1.0\npaths: {/rerank: {post: {responses: 5}}}\n", "/responses: expected an object, found a number"),
        ("openapi: 3.1.0\npaths: {/rerank: {post: {parameters: {}}}}\n", "expected an array, found an object"),
        ("openapi: 3.1.0\npaths: {/rerank: {post: {parameters: [{}]}}}\n", "expected a string under 'in', found nothing"),
        ("openapi: 3.1.0\npaths: {/rerank: {$ref: 'paths.yaml#/rerank'}}\n", "it refers to another document, 'paths.yaml#/rerank'"),
        ("openapi: 3.1.0\npaths: {/rerank: {$ref: '#/nothing'}}\n", "it refers to '#/nothing', which does not exist"),
        ("openapi: 3.1.0\npaths: {/rerank: {$ref: '#/paths/~1rerank'}}\n", "the references form a circle"),
        ("openapi: 3.1.0\npaths: {/rerank: {post: {security: [{a: []}]}}}\n", "the security scheme 'a' is not defined"),
    ],
)  # fmt: skip
def test_bad_document_is_one_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A document that cannot be compared ends in exit code 2 and one line that says what is wrong."""
    file = tmp_path / "vendor.yaml"
    file.write_text(text, "utf-8")
    code, out, error = ran(capsys, file)
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert error.startswith("upstream: ")
    assert str(file) in error
    assert message in error


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "other.yaml#/X"}, "it refers to another document"),
        ({"$ref": "https://example.com/x.yaml"}, "it refers to another document"),
        ({"$ref": "#thing"}, "it refers to the anchor '#thing', which is not read; use a JSON pointer"),
        (
            {"$ref": "#/components/schemas/Nothing"},
            "it refers to '#/components/schemas/Nothing', which does not exist",
        ),
        (
            {"$ref": "#/components/schemas/Itself"},
            "this schema is defined only by itself",
        ),
        ({"type": "text"}, 'not a JSON Schema, properties x type: "text"'),
        ({"type": "object", "required": True}, "not a JSON Schema"),
        ({"anyOf": {}}, "not a JSON Schema"),
        ({"properties": []}, "not a JSON Schema"),
        (5, "expected an object, found a number"),
        ({"allOf": [{"anyOf": [{"maximum": one} for one in range(30)]}] * 3}, "more than 512 alternatives"),
    ],
)
def test_bad_schema_is_one_line(
    schema: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A schema that cannot be compared ends in exit code 2 and one line with its place."""
    document = around(schema)
    document["components"] = {"schemas": {"Itself": {"allOf": [{"$ref": "#/components/schemas/Itself"}]}}}
    file = tmp_path / "vendor.json"
    file.write_text(json.dumps(document), "utf-8")
    code, out, error = ran(capsys, file)
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert f"{file}:1 #/" in error
    assert message in error


def test_deep_or_endless_document_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nesting without an end ends in one line, not in a traceback."""
    file = tmp_path / "vendor"
    deep = "openapi: 3.1.0\npaths: {/rerank: {post: {requestBody: {content: {application/json: {schema: &a {not: *a}}}}}}}\n"
    for text, problem in (
        ("[" * 100_000, "not YAML: while increasing flow level, exceeded maximum nesting depth"),
        ('{"a":' * 100_000, "nested too deeply for an OpenAPI document: more than 200 levels"),
        (deep, "contains itself; remove the alias"),
    ):
        file.write_text(text, "utf-8")
        code, _, error = ran(capsys, file)
        assert code == 2
        assert error.count("\n") == 1
        assert problem in error


def test_file_that_is_no_document_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A file that is missing, a folder, packed or far too large is refused before it is parsed."""
    packed, large = tmp_path / "packed", tmp_path / "large.yaml"
    packed.write_bytes(b"\x1f\x8b\x08\x00\xff")
    with large.open("wb") as file:
        file.truncate(100_000_000)
    for path, message in (
        (tmp_path / "missing", "does not exist: name the file"),
        (tmp_path, "is a folder: name the file"),
        (packed, "is not UTF-8 text (byte 1): unpack it first"),
        (large, "is larger than 10 MB"),
    ):
        code, _, error = ran(capsys, path)
        assert code == 2
        assert error.count("\n") == 1
        assert message in error


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("a: b\n", "expected a list of accepted differences"),
        ("- 5\n", "#/0: expected an object, found a number"),
        ("- {kind: type, contract: a, vendor: b, reason: c}\n", "this entry has no `place`"),
        (
            "- {place: a, kind: type, contract: a, vendor: b, reason: c, because: d}\n",
            "unknown key `because`",
        ),
        ("- {place: a, kind: {}, contract: a, vendor: b, reason: c}\n", "each part of an entry is a text"),
    ],
)
def test_bad_entry_is_one_line(
    entries: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A file of accepted differences that is not right ends in exit code 2 and one line."""
    file = tmp_path / "accepted.yaml"
    file.write_text(entries, "utf-8")
    code, _, error = ran(capsys, ROOT / "openapi.yaml", "--accepted", file)
    assert code == 2
    assert error.count("\n") == 1
    assert message in error


def test_prefix_chooses(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """If several paths end in /rerank, --prefix selects one; one that does not exist is refused."""
    document = deepcopy(VENDORS)
    moved(document)
    document["paths"]["/v2/rerank"] = {"post": {"responses": {}}}
    file = tmp_path / "vendor.json"
    file.write_text(json.dumps(document), "utf-8")
    empty = tmp_path / "none.yaml"
    empty.touch()
    assert ran(capsys, file, "--accepted", empty)[0] == 2
    assert ran(capsys, file, "--accepted", empty, "--prefix", "/api/v1")[0] == 0
    code, _, error = ran(capsys, file, "--accepted", empty, "--prefix", "/v3")
    assert code == 2
    assert "it has no path /v3/rerank" in error


def test_yaml_is_read_as_openapi_wants_it():
    """Keys and words are text: a status, `no`, a day; numbers and true are not."""
    text = b"200: no\nday: 2026-08-22\ntrue: yes\nnumbers: [1, -2, 1e3, 3.4e-7, 0x1f]\nreal: [true, ~]\n"
    assert documents.parse("x.yaml", text).data == {
        "200": "no",
        "day": "2026-08-22",
        "true": "yes",
        "numbers": [1, -2, 1000.0, 3.4e-7, 31],
        "real": [True, None],
    }


def test_line_is_that_of_the_place():
    """The line of a place is that of its key; of one that is missing, that of what is around it."""
    document = documents.parse("x.yaml", b"a:\n  - b: 1\n    c/d:\n      e: 2\n")
    assert [document.line(pointer) for pointer in ("#/a", "#/a/0", "#/a/0/c~1d/e", "#/a/0/nothing/e")] == [
        1,
        2,
        4,
        2,
    ]
    assert documents.parse("x.json", b'{"a": 1}').place("#/a") == "x.json:1 #/a"


# Addresses.


class Vendor(BaseHTTPRequestHandler):
    """A server of documents, good and bad."""

    protocol_version = "HTTP/1.1"
    ended = threading.Event()

    def do_GET(self):
        """Answer as the path says."""
        path = self.path.partition("?")[0]
        if path == "/hangs":
            self.ended.wait(600)
        elif path == "/drips":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            while not self.ended.wait(0.005):
                self.wfile.write(b"#")
        elif path == "/large":
            self.send_response(200)
            self.end_headers()
            for _ in range(500):  # far more than comes in time
                self.wfile.write(b" " * 1_000_000)
        elif path == "/moved":
            self.answer(302, b"", Location="/openapi.json?token=secret")
        elif path == "/astray":
            self.answer(302, b"", Location="http://[::1:secret")
        elif path == "/openapi.json":
            self.answer(200, json.dumps(VENDORS).encode())
        elif path == "/page":
            self.answer(200, b"<html>Sign in</html>")
        else:
            self.answer(404, b"no")
        self.close_connection = True

    def answer(self, status: int, body: bytes, **headers: str):
        """Send an answer whole."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server that takes it in silence when a client goes."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve documents, and yield the address."""
    server = Server(("127.0.0.1", 0), Vendor)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Vendor.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_document_behind_an_address_is_compared(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A document behind an address is compared as a file is, and a secret in the address is not shown."""
    (tmp_path / "none.yaml").touch()
    url = f"{address}/openapi.json?token=secret"
    code, out, error = ran(capsys, url, "--accepted", tmp_path / "none.yaml")
    assert (code, error) == (0, "")
    assert out.startswith(f"{address}/openapi.json (OpenAPI 3.1.0, 2 paths, ")
    assert "secret" not in out


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/missing",
            "/missing answers 404: check the URL in a browser, or download the document yourself",
        ),
        ("/moved?token=secret", "/openapi.json: name that URL if it is the right one"),
        (
            "/astray",
            "/astray sends a response that cannot be read (RemoteProtocolError): check it in a browser",
        ),
        ("/page", "/page is a web page: name the file behind it"),
        ("/hangs", "/hangs sent nothing for {silence:g} s: try again, or download it yourself"),
        ("/drips", "/drips was not complete after {patience:g} s: download it yourself"),
        ("/large", "/large is larger than 10 MB"),
    ],
)
def test_bad_address_is_one_line(address: str, path: str, message: str, capsys: pytest.CaptureFixture[str]):
    """An address that hangs, drips, sends on, or has no document ends soon in exit code 2 and one line."""
    for patience in (0.6, 6, 60) if path in ("/hangs", "/drips") else (600,):
        code, out, error = ran(capsys, address + path, "--patience", patience)
        expected = message.format(patience=patience, silence=patience / 3)
        if expected in error:  # this machine is quick enough to tell which of the two limits was reached
            break
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert expected in error
    assert "secret" not in error


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://127.0.0.1/openapi.yaml", "is not an http or https URL"),
        ("http://someone:secret@127.0.0.1/openapi.yaml", "was given with a password"),
        ("http://127.0.0.1:1/openapi.yaml", "cannot be reached: "),
        ("http://[::1/openapi.yaml", "is not a URL"),
    ],
)
def test_address_that_is_none_is_one_line(url: str, message: str, capsys: pytest.CaptureFixture[str]):
    """An invalid or unreachable address ends with exit code 2 and one line without a secret."""
    code, _, error = ran(capsys, url)
    assert code == 2
    assert error.count("\n") == 1
    assert message in error
    assert "secret" not in error


# The contracts of the dialects.

SHARED = ROOT.parent / "shared/data/dialects"
OFFICIAL = {"cohere-v2": "cohere-v2", "jina": "flat-jina", "tei": "tei", "voyage": "voyage"}
"""For each dialect, the vendor's document in SHARED, which is the vendor's and so not in the repository."""


@pytest.mark.parametrize("dialect", run.DIALECTS)
def test_contract_of_a_dialect_differs_from_the_vendors_on_purpose_alone(
    dialect: str, capsys: pytest.CaptureFixture[str]
):
    """Every difference from the vendor's document has a reason, and no entry is stale."""
    file = SHARED / f"{OFFICIAL.get(dialect, dialect)}-official.yaml"
    if not file.is_file():
        pytest.skip(f"{file} is not here: it is the vendor's")
    code, out, error = ran(capsys, file, "--dialect", dialect)
    assert (code, error) == (0, ""), out
    (line,) = out.splitlines()
    assert ": 0 new, " in line
    assert line.endswith(" accepted, 0 stale entries")


def of_request(document: Json) -> Json:
    """Return the schema of the request of a dialect."""
    (post,) = (item["post"] for item in document["paths"].values() if "post" in item)
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    found: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


@pytest.mark.parametrize("dialect", run.DIALECTS)
def test_change_of_a_vendor_is_found(dialect: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A new field, a new bound, a new type and a new status of a vendor are found, with the files to change."""
    document: Json = plain(documents.read(str(run.DIALECTS[dialect])).data)
    fields = of_request(document)["properties"]
    fields["query"]["maxLength"] = 77
    fields["min_score"] = {"type": "number"}
    name = next(name for name, field in fields.items() if field.get("type") == "array")
    fields[name] = {"type": "string"}
    responses = document["paths"]["/rerank"]["post"]["responses"]
    responses["418"] = responses["429"]
    file = tmp_path / "vendor.json"
    file.write_text(json.dumps(document), "utf-8")
    code, out, _ = ran(capsys, file, "--dialect", dialect)
    assert code == 1
    assert "POST /rerank request query: maxLength\n" in out
    assert "POST /rerank request min_score: field\n" in out
    assert f"POST /rerank request {name}: type\n" in out
    assert "POST /rerank 418: status\n" in out
    assert f"change {documents.shorten_path(run.DIALECTS[dialect])}. " in out
    assert f"to {documents.shorten_path(run.HERE)}/dialects/{dialect}.yaml, each" in out


def test_new_dialect_needs_no_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """A dialect without a list of accepted differences is compared like any other."""
    monkeypatch.setitem(run.DIALECTS, "new", run.DIALECTS["tei"])
    assert ran(capsys, run.DIALECTS["tei"], "--dialect", "new")[0] == 0
    file = tmp_path / "none.yaml"
    code, _, error = ran(capsys, run.DIALECTS["tei"], "--dialect", "new", "--accepted", file)
    assert (code, error.startswith(f"upstream: {file} does not exist")) == (2, True)


def test_unknown_dialect_is_one_line(capsys: pytest.CaptureFixture[str]):
    """A dialect without a contract is refused, and the others are named."""
    with pytest.raises(SystemExit):
        run.main(["vendor.yaml", "--dialect", "nobody"])
    assert "invalid choice: 'nobody'" in capsys.readouterr().err
