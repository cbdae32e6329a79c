"""`nox -s changes` is right about a change: whom it breaks, where, and the version that it needs."""

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from changes import versions
from changes.contract import Contract, check, load
from changes.decisions import CATEGORIES, DECISIONS
from changes.findings import Finding, find
from changes.run import main
from changes.versions import Version
from compare.documents import CannotReadError, join_pointer, parse
from compare.locations import Location, root
from compare.operations import read_api
from compare.schemas import Schemas, node_of, relate

ROOT = Path(__file__).resolve().parents[1]
CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
CONTRACTS = sorted((ROOT / "contracts").glob("*.yaml"))
Json = dict[str, Any]


def document(data: Json, name: str = "openapi.json") -> Contract:
    """Return a contract that was read from no file."""
    return read(name, json.dumps(data, indent=1).encode())


@lru_cache(maxsize=8)  # most tests change the same contracts
def read(name: str, text: bytes) -> Contract:
    """Return the contract in a text."""
    return check(parse(name, text))


# The table: one change each, and what has to be said of it. `C` breaks callers, `S` servers, `A` adds, `D` documents.


@dataclass(frozen=True)
class Case:
    """One change of the contract, who has to be told of it, and by which decisions."""

    expected: str
    decisions: str
    make: Callable[[Json], object]


def schema(contract: Json, name: str) -> Json:
    """Return a named schema."""
    found: Json = contract["components"]["schemas"][name]
    return found


def member(contract: Json, name: str, of: str) -> Json:
    """Return a property of a named schema."""
    found: Json = schema(contract, of)["properties"][name]
    return found


def rerank(contract: Json) -> Json:
    """Return the operation that ranks."""
    found: Json = contract["paths"]["/rerank"]["post"]
    return found


def models(contract: Json) -> Json:
    """Return the operation that lists the models."""
    found: Json = contract["paths"]["/models"]["get"]
    return found


def parameter(contract: Json, name: str) -> Json:
    """Return a named parameter."""
    found: Json = contract["components"]["parameters"][name]
    return found


def request(contract: Json) -> Json:
    """Return the content of the request of a ranking."""
    found: Json = rerank(contract)["requestBody"]["content"]
    return found


def answer(contract: Json, status: str = "200") -> Json:
    """Return an answer of a ranking."""
    found: Json = rerank(contract)["responses"][status]
    return found


def moved(of: Json, old: str, new: str) -> None:
    """Call a member otherwise."""
    of[new] = of.pop(old)


def closed(contract: Json, name: str) -> Json:
    """Return a named schema, closed before and after: a member of it that no other name may join."""
    found = schema(contract, name)
    assert found["additionalProperties"] is False
    return found["properties"]


TEXT: Json = {"type": "string"}
WIDE_ERROR = {"$ref": "#/components/responses/BadGateway"}

CASES: dict[str, Case] = {
    # Requests.
    "an optional field of the request is new": Case("A", "request.property.added", lambda c: schema(c, "RerankRequest")["properties"].update(lang=TEXT)),
    "a required field of the request is new": Case("CS", "request.narrower", lambda c: (schema(c, "RerankRequest")["properties"].update(lang=TEXT), schema(c, "RerankRequest")["required"].append("lang"))),
    "an optional field of the request is gone": Case("C", "request.property.removed", lambda c: schema(c, "RerankRequest")["properties"].pop("user")),
    "a required field of the request is gone": Case("C", "request.property.removed", lambda c: (schema(c, "RerankRequest")["properties"].pop("query"), schema(c, "RerankRequest")["required"].remove("query"))),
    "a field of the request is called otherwise": Case("CA", "request.property.removed request.property.added", lambda c: moved(schema(c, "RerankRequest")["properties"], "top_n", "limit")),
    "a field of the request becomes required": Case("CS", "request.narrower", lambda c: schema(c, "RerankRequest")["required"].append("top_n")),
    "a field of the request becomes optional": Case("S", "request.wider", lambda c: schema(c, "RerankRequest")["required"].remove("query")),
    "all requirements of the request are gone": Case("S", "request.wider", lambda c: schema(c, "RerankRequest").pop("required")),
    "a nested field of the request is new": Case("A", "request.property.added", lambda c: schema(c, "Percentiles")["properties"].update(p999={"type": "number"})),
    "a nested field of the request is gone": Case("C", "request.property.removed", lambda c: schema(c, "MaxPrice")["properties"].pop("audio")),
    "a field of a closed object of the request is new": Case("S", "request.wider", lambda c: closed(c, "ClosedRequest").update(b=TEXT)),
    "a field of a closed object of the request is gone": Case("CS", "request.narrower", lambda c: closed(c, "ClosedRequest").pop("a")),
    "an object of the request is closed": Case("CS", "request.narrower", lambda c: schema(c, "Trace").update(additionalProperties=False)),
    "a closed object of the request is opened": Case("S", "request.wider", lambda c: schema(c, "ClosedRequest").pop("additionalProperties")),
    "an open object says that it is open": Case("D", "same", lambda c: schema(c, "RerankRequest").update(additionalProperties=True)),
    "a type of the request is another": Case("CS", "request.unlike", lambda c: member(c, "top_n", "RerankRequest").update(type="string")),
    "an integer of the request may be any number": Case("S", "request.wider", lambda c: member(c, "top_n", "RerankRequest").update(type="number")),
    "a number of the request has to be an integer": Case("CS", "request.narrower", lambda c: schema(c, "ProviderPreferences")["properties"]["preferred_max_latency"]["anyOf"][0].update(type="integer")),
    "a field of the request may be null, as a type": Case("S", "request.wider", lambda c: member(c, "user", "RerankRequest").update(type=["string", "null"])),
    "a field of the request may be null, as anyOf": Case("S", "request.wider", lambda c: (member(c, "user", "RerankRequest").pop("type"), member(c, "user", "RerankRequest").update(anyOf=[TEXT, {"type": "null"}]))),
    "a field of the request may not be null, as a type": Case("CS", "request.narrower", lambda c: member(c, "zdr", "ProviderPreferences").update(type="boolean")),
    "a field of the request may not be null, as anyOf": Case("CS", "request.narrower", lambda c: member(c, "provider", "RerankRequest")["anyOf"].pop()),
    "null is written as anyOf instead of as a type": Case("D", "same", lambda c: (member(c, "zdr", "ProviderPreferences").pop("type"), member(c, "zdr", "ProviderPreferences").update(anyOf=[{"type": "boolean"}, {"type": "null"}]))),
    "types in another order": Case("D", "same", lambda c: member(c, "order", "ProviderPreferences")["type"].reverse()),
    "a type of the request is left out": Case("S", "request.wider", lambda c: member(c, "user", "RerankRequest").pop("type")),
    "a form of the request is new": Case("S", "request.wider", lambda c: schema(c, "RerankDocument")["anyOf"].append({"type": "integer"})),
    "a form of the request is gone": Case("CS", "request.narrower", lambda c: schema(c, "RerankDocument")["anyOf"].pop(1)),
    "forms in another order": Case("D", "documentation", lambda c: schema(c, "RerankDocument")["anyOf"].reverse()),
    "forms exclude each other": Case("CS", "request.narrower", lambda c: moved(schema(c, "RerankDocument"), "anyOf", "oneOf")),
    "a condition of the request is new, as allOf": Case("CS", "request.narrower", lambda c: schema(c, "RerankRequest").update(allOf=[{"required": ["user"]}])),
    "a condition of the request is gone from allOf": Case("S", "request.wider", lambda c: schema(c, "Combined")["allOf"].pop()),
    "a condition of the request joins allOf": Case("CS", "request.narrower", lambda c: schema(c, "Combined")["allOf"].append({"maxProperties": 3})),
    "what may not be is new": Case("CS", "request.narrower", lambda c: member(c, "user", "RerankRequest").update({"not": {"enum": ["root"]}})),
    "what may not be is more": Case("CS", "request.narrower", lambda c: member(c, "a", "Combined")["not"]["enum"].append("admin")),
    "a value of an enum of the request is gone": Case("CS", "request.narrower", lambda c: member(c, "partition", "ProviderSort")["anyOf"][0]["enum"].remove("none")),
    "a value of an enum of the request is new": Case("S", "request.wider", lambda c: member(c, "data_collection", "ProviderPreferences")["anyOf"][0]["enum"].append("ask")),
    "an enum of the request is another": Case("CS", "request.unlike", lambda c: member(c, "data_collection", "ProviderPreferences")["anyOf"][0].update(enum=["allow", "ask"])),
    "an enum of the request in another order": Case("D", "same", lambda c: member(c, "data_collection", "ProviderPreferences")["anyOf"][0]["enum"].reverse()),
    "an open field of the request has an enum": Case("CS", "request.narrower", lambda c: member(c, "by", "ProviderSort").update(enum=["price", "latency", None])),
    "a field of the request has one value": Case("CS", "request.narrower", lambda c: member(c, "user", "RerankRequest").update(const="me")),
    "the least value of the request rises": Case("CS", "request.narrower", lambda c: member(c, "top_n", "RerankRequest").update(minimum=2)),
    "the least value of the request falls": Case("S", "request.wider", lambda c: member(c, "top_n", "RerankRequest").update(minimum=0)),
    "the request has a greatest value": Case("CS", "request.narrower", lambda c: member(c, "top_n", "RerankRequest").update(maximum=100)),
    "the longest text of the request is longer": Case("S", "request.wider", lambda c: member(c, "session_id", "RerankRequest").update(maxLength=512)),
    "the longest text of the request has no end": Case("S", "request.wider", lambda c: member(c, "session_id", "RerankRequest").pop("maxLength")),
    "a list of the request may be empty": Case("S", "request.wider", lambda c: member(c, "documents", "RerankRequest").pop("minItems")),
    "a list of the request has an end": Case("CS", "request.narrower", lambda c: member(c, "documents", "RerankRequest").update(maxItems=1000)),
    "a list of the request may begin at no item, which says nothing": Case("D", "same", lambda c: member(c, "order", "ProviderPreferences").update(minItems=0)),
    "the items of a list of the request are of another type": Case("CS", "request.unlike", lambda c: member(c, "order", "ProviderPreferences")["items"].update(type="integer")),
    "the items of a list of the request may be anything": Case("S", "request.wider", lambda c: member(c, "order", "ProviderPreferences").pop("items")),
    "a text of the request has a pattern": Case("CS", "request.narrower", lambda c: member(c, "model", "RerankRequest").update(pattern="^[a-z]+/")),
    "a text of the request has a format": Case("CS", "request.narrower", lambda c: member(c, "user", "RerankRequest").update(format="uuid")),
    "a number has a format that says nothing": Case("D", "same", lambda c: schema(c, "ProviderPreferences")["properties"]["preferred_max_latency"]["anyOf"][0].update(format="double")),
    "a default is new": Case("S", "default.added", lambda c: member(c, "top_n", "RerankRequest").update(default=3)),
    "a default is another": Case("CS", "default.changed", lambda c: member(c, "b", "Combined").update(default=2)),
    "a default is gone": Case("C", "default.removed", lambda c: member(c, "b", "Combined").pop("default")),
    "a field is deprecated": Case("A", "deprecated", lambda c: member(c, "user", "RerankRequest").update(deprecated=True)),
    "a field is not deprecated any more": Case("D", "undeprecated", lambda c: member(c, "b", "Combined").pop("deprecated")),
    "a keyword that nobody knows": Case("CS", "unknown", lambda c: member(c, "user", "RerankRequest").update(frobnicate=3)),
    "the body of the request may be left out": Case("S", "request.wider", lambda c: rerank(c)["requestBody"].update(required=False)),
    "the body of the request is gone": Case("C", "body.removed", lambda c: rerank(c).pop("requestBody")),
    "an operation takes a body": Case("S", "request.wider", lambda c: models(c).update(requestBody={"content": {"application/json": {"schema": TEXT}}})),
    "an operation wants a body": Case("CS", "request.unlike", lambda c: models(c).update(requestBody={"required": True, "content": {"application/json": {"schema": TEXT}}})),
    "a media type of the request is new": Case("S", "request.type.added", lambda c: request(c).update({"application/cbor": {"schema": TEXT}})),
    "a media type of the request is another": Case("CS", "request.type.added request.type.removed", lambda c: moved(request(c), "application/json", "application/cbor")),
    # Parameters.
    "an optional parameter is new": Case("A", "parameter.added", lambda c: models(c)["parameters"].append({"name": "q", "in": "query", "schema": TEXT})),
    "a required parameter is new": Case("CS", "request.narrower", lambda c: models(c)["parameters"].append({"name": "q", "in": "query", "required": True, "schema": TEXT})),
    "a parameter is gone": Case("C", "parameter.removed", lambda c: models(c)["parameters"].pop(0)),
    "all parameters are gone": Case("C", "parameter.removed", lambda c: models(c).pop("parameters")),
    "parameters in another order": Case("D", "documentation", lambda c: models(c)["parameters"].reverse()),
    "a parameter becomes required": Case("CS", "request.narrower", lambda c: parameter(c, "Limit").update(required=True)),
    "a parameter may be left out": Case("S", "request.wider", lambda c: parameter(c, "Needed").update(required=False)),
    "that a parameter may be left out is not said": Case("D", "same", lambda c: parameter(c, "Limit").pop("required")),
    "a parameter has less room": Case("CS", "request.narrower", lambda c: parameter(c, "Limit")["schema"].update(maximum=500)),
    "a parameter is written in another way": Case("CS", "parameter.moved", lambda c: parameter(c, "OutputModalities").update(explode=False)),
    "a parameter is deprecated": Case("A", "deprecated", lambda c: parameter(c, "Title").update(deprecated=True)),
    # Answers.
    "an optional field of an answer is new": Case("A", "response.property.added", lambda c: schema(c, "RerankResponse")["properties"].update(created={"type": "integer"})),
    "a required field of an answer is new": Case("S", "response.narrower", lambda c: (schema(c, "RerankResponse")["properties"].update(created={"type": "integer"}), schema(c, "RerankResponse")["required"].append("created"))),
    "an optional field of an answer is gone": Case("C", "response.property.removed", lambda c: schema(c, "Usage")["properties"].pop("cost")),
    "a required field of an answer is gone": Case("C", "response.property.removed", lambda c: (schema(c, "RerankResult")["properties"].pop("document"), schema(c, "RerankResult")["required"].remove("document"))),
    "a field of an answer becomes required": Case("S", "response.narrower", lambda c: schema(c, "RerankResponse")["required"].append("id")),
    "a field of every error becomes required": Case("S", "response.narrower", lambda c: schema(c, "ErrorResponse")["required"].append("user_id")),
    "a field of an answer becomes optional": Case("C", "response.wider", lambda c: schema(c, "RerankResult")["required"].remove("document")),
    "a field of a closed object of an answer is new": Case("C", "response.wider", lambda c: closed(c, "ClosedAnswer").update(b=TEXT)),
    "a field of a closed object of an answer is gone": Case("CS", "response.property.removed response.narrower", lambda c: closed(c, "ClosedAnswer").pop("a")),
    "an object of an answer is closed": Case("S", "response.narrower", lambda c: schema(c, "Usage").update(additionalProperties=False)),
    "a field of an answer may be null": Case("C", "response.wider", lambda c: member(c, "id", "RerankResponse").update(type=["string", "null"])),
    "a field of an answer may not be null": Case("S", "response.narrower", lambda c: member(c, "context_length", "ListedModel").update(type="integer")),
    "a type of an answer is another": Case("CS", "response.unlike", lambda c: member(c, "relevance_score", "RerankResult").update(type="string")),
    "the least value of an answer rises": Case("S", "response.narrower", lambda c: member(c, "cost", "Usage").update(minimum=1)),
    "the least value of an answer is gone": Case("C", "response.wider", lambda c: member(c, "index", "RerankResult").pop("minimum")),
    "a value of an enum of an answer is new": Case("C", "response.wider", lambda c: member(c, "kind", "ClosedAnswer")["enum"].append("x")),
    "a value of an enum of an answer is gone": Case("S", "response.narrower", lambda c: member(c, "kind", "ClosedAnswer")["enum"].pop()),
    "a field that is only read is marked so": Case("D", "documentation", lambda c: member(c, "id", "RerankResponse").update(readOnly=True)),
    "an answer is of another schema": Case("CA", "response.property.removed response.property.added", lambda c: member(c, "document", "RerankResult").update({"$ref": "#/components/schemas/Percentiles"})),
    "a schema stands where it was referred to": Case("D", "same", lambda c: schema(c, "RerankRequest")["properties"].update(trace=deepcopy(schema(c, "Trace")))),
    "an error status is new": Case("A", "status.error.added", lambda c: rerank(c)["responses"].update({"504": WIDE_ERROR})),
    "an error status is gone": Case("S", "status.error.removed", lambda c: rerank(c)["responses"].pop("402")),
    "an error status is another": Case("SA", "status.error.removed status.error.added", lambda c: moved(rerank(c)["responses"], "524", "504")),
    "a default answer is new": Case("A", "status.error.added", lambda c: rerank(c)["responses"].update(default=WIDE_ERROR)),
    "a status of success is new": Case("C", "status.success.added", lambda c: rerank(c)["responses"].update({"202": {"description": "Later."}})),
    "a status of success is gone": Case("CS", "status.success.removed", lambda c: rerank(c)["responses"].pop("200")),
    "a media type of an answer is new": Case("A", "response.type.added", lambda c: answer(c)["content"].update({"text/event-stream": {"schema": TEXT}})),
    "an answer has no body": Case("CS", "response.type.removed", lambda c: answer(c).pop("content")),
    "a header is new": Case("A", "header.added", lambda c: answer(c)["headers"].update({"x-new": {"schema": TEXT}})),
    "a header that always comes is new": Case("S", "header.required", lambda c: answer(c)["headers"].update({"x-new": {"required": True, "schema": TEXT}})),
    "a header is gone": Case("C", "header.removed", lambda c: answer(c)["headers"].pop("request-id")),
    "all headers are gone": Case("C", "header.removed", lambda c: answer(c).pop("headers")),
    "a header always comes": Case("S", "header.required", lambda c: c["components"]["headers"]["RequestId"].update(required=True)),
    "a header may be missing": Case("C", "header.optional", lambda c: c["components"]["headers"]["Promised"].update(required=False)),
    "a header is of another type": Case("CS", "response.unlike", lambda c: c["components"]["headers"]["RetryAfter"]["schema"].update(type="integer")),
    "a header is written in other letters": Case("D", "same", lambda c: moved(answer(c)["headers"], "request-id", "Request-Id")),
    # Both ways.
    "what is sent both ways grows": Case("A", "request.property.added response.property.added", lambda c: schema(c, "Shared")["properties"].update(b=TEXT)),
    "what is sent both ways asks for more": Case("CS", "request.narrower response.narrower", lambda c: schema(c, "Shared").update(required=["a"])),
    "what nobody can tell the way of asks for more": Case("CS", "both.narrower", lambda c: schema(c, "Called").update(required=["a"])),
    "what nobody can tell the way of asks for less": Case("CS", "both.wider", lambda c: member(c, "a", "Called").pop("maxLength")),
    "what nobody can tell the way of is another": Case("CS", "both.unlike", lambda c: member(c, "a", "Called").update(type="boolean")),
    # Operations.
    "an operationId is another": Case("C", "operation.renamed", lambda c: models(c).update(operationId="other")),
    "an operation is deprecated": Case("A", "deprecated", lambda c: models(c).update(deprecated=True)),
    "a method is new": Case("A", "operation.added", lambda c: c["paths"]["/rerank"].update(put={"responses": {"200": {"description": "x"}}})),
    "a method is gone": Case("C", "operation.removed", lambda c: c["paths"]["/rerank"].pop("post")),
    "an operation asks for no key": Case("S", "security.looser", lambda c: models(c).update(security=[])),
    "an operation takes no key too": Case("S", "security.looser", lambda c: rerank(c)["security"].append({})),
    "an operation asks for a key": Case("CS", "security.stricter", lambda c: c["paths"]["/models"]["head"].pop("security")),
    "an operation asks for two keys": Case("CS", "security.stricter", lambda c: rerank(c)["security"][0].update(other=[])),
    "an operation asks for a scope": Case("CS", "security.stricter", lambda c: rerank(c)["security"][0].update(apiKey=["write"])),
    "an operation asks for another key": Case("CS", "security.unlike", lambda c: rerank(c).update(security=[{"other": []}])),
    "the same keys in another order": Case("D", "documentation", lambda c: c["paths"]["/models"]["head"].update(tags=["A", "B"])),
    # Words.
    "a description is another": Case("D", "documentation", lambda c: member(c, "user", "RerankRequest").update(description="x")),
    "a description beside a $ref is new": Case("D", "documentation", lambda c: member(c, "trace", "RerankRequest").update(description="x")),
    "a description of an answer is another": Case("D", "documentation", lambda c: c["components"]["responses"]["BadGateway"].update(description="x")),
    "a summary is another": Case("D", "documentation", lambda c: rerank(c).update(summary="x")),
    "a title is another": Case("D", "documentation", lambda c: schema(c, "RerankDocument")["anyOf"][0].update(title="x")),
    "an example of a field is another": Case("D", "documentation", lambda c: member(c, "user", "RerankRequest").update(example="x")),
    "the value of a named example is another": Case("D", "documentation", lambda c: c["components"]["examples"]["TextRequest"]["value"].update(query="x")),
    "a named example is gone": Case("D", "documentation", lambda c: request(c)["application/json"]["examples"].pop("images")),
    "an extension is new": Case("D", "documentation", lambda c: schema(c, "RerankRequest").update({"x-note": {"a": 1}})),
    "an extension of an operation is new": Case("D", "documentation", lambda c: rerank(c).update({"x-note": 1})),
    "tags are others": Case("D", "documentation", lambda c: rerank(c).update(tags=["Models"])),
    "requirements in another order": Case("D", "same", lambda c: schema(c, "RerankRequest")["required"].reverse()),
    "a component that nothing refers to is new": Case("D", "unused", lambda c: c["components"]["schemas"].update(Orphan=TEXT)),
    "a component that nothing refers to is another": Case("D", "unused", lambda c: member(c, "a", "Unused").update(type="integer")),
}  # fmt: skip
"""One change each of the prepared contract."""


NEIGHBOURS: dict[str, Case] = {
    # Keywords that nobody knows, wherever they are.
    "an unknown keyword of an operation": Case("CS", "unknown", lambda c: rerank(c).update(frobnicate=1)),
    "an unknown keyword of a path": Case("CS", "unknown", lambda c: c["paths"]["/models"].update(frobnicate=1)),
    "an unknown keyword of a parameter": Case("CS", "unknown", lambda c: parameter(c, "Limit").update(frobnicate=1)),
    "an unknown keyword of a body": Case("CS", "unknown", lambda c: rerank(c)["requestBody"].update(frobnicate=1)),
    "an unknown keyword of a media type": Case("CS", "unknown", lambda c: request(c)["application/json"].update(frobnicate=1)),
    "an unknown keyword of an answer": Case("CS", "unknown", lambda c: answer(c).update(frobnicate=1)),
    "an unknown keyword of the document": Case("CS", "unknown", lambda c: c.update(frobnicate=1)),
    "an unknown keyword of a security scheme": Case("CS", "unknown", lambda c: c["components"]["securitySchemes"]["apiKey"].update(frobnicate=1)),
    "an unknown keyword in one form of several": Case("CS", "unknown", lambda c: member(c, "text", "TextDocument").update(frobnicate=1)),
    "an unknown keyword within a condition": Case("CS", "unknown", lambda c: member(c, "a", "Combined")["not"].update(frobnicate=1)),
    "an unknown keyword with another change": Case("CS", "unknown request.wider", lambda c: member(c, "user", "RerankRequest").update(frobnicate=1, type=["string", "null"])),
    "a property is named as a keyword of prose": Case("A", "request.property.added", lambda c: schema(c, "RerankRequest")["properties"].update(description=TEXT, example=TEXT, tags=TEXT, info=TEXT)),
    "a property is named as an extension": Case("A", "request.property.added", lambda c: schema(c, "RerankRequest")["properties"].update({"x-a": TEXT})),
    # Keywords that the proof decides.
    "a field needs another": Case("CS", "request.narrower", lambda c: schema(c, "RerankRequest").update(dependentRequired={"user": ["trace"]})),
    "fields of a pattern have a type": Case("CS", "request.narrower", lambda c: schema(c, "Trace").update(patternProperties={"^a": TEXT})),
    "a condition with if": Case("CS", "request.narrower", lambda c: schema(c, "RerankRequest").update({"if": {"required": ["user"]}, "then": {"required": ["trace"]}})),
    "a list has to contain something": Case("CS", "request.narrower", lambda c: member(c, "order", "ProviderPreferences").update(contains={"const": "a"})),
    "names of fields have a pattern": Case("CS", "request.narrower", lambda c: schema(c, "Trace").update(propertyNames={"maxLength": 9})),
    "the first elements have a schema": Case("CS", "request.narrower", lambda c: member(c, "order", "ProviderPreferences").update(prefixItems=[{"const": "a"}])),
    "a condition that says nothing": Case("D", "same", lambda c: member(c, "user", "RerankRequest").update({"not": {"type": "null"}})),
    "an object is closed by unevaluatedProperties": Case("CS", "request.narrower", lambda c: schema(c, "Percentiles").update(unevaluatedProperties=False)),
    "a format of an answer is new": Case("S", "response.narrower", lambda c: member(c, "id", "RerankResponse").update(format="uuid")),
    "a number may be less than before, in other words": Case("CS", "request.narrower", lambda c: (member(c, "top_n", "RerankRequest").pop("minimum"), member(c, "top_n", "RerankRequest").update(exclusiveMinimum=3))),
    "a text is encoded": Case("CS", "request.narrower", lambda c: member(c, "user", "RerankRequest").update(contentEncoding="base64")),
    "a discriminator is new": Case("CS", "request.unlike", lambda c: schema(c, "RerankDocument").update(discriminator={"propertyName": "kind"})),
    "a field of a form is deprecated": Case("A", "deprecated", lambda c: member(c, "text", "TextDocument").update(deprecated=True)),
    "a field is marked for XML": Case("D", "documentation", lambda c: member(c, "user", "RerankRequest").update(xml={"name": "u"})),
    "a field that is only sent is marked as only read": Case("CS", "request.narrower", lambda c: member(c, "user", "RerankRequest").update(readOnly=True)),
    # How values are written.
    "a parameter has another style": Case("CS", "parameter.moved", lambda c: parameter(c, "OutputModalities").update(style="spaceDelimited")),
    "a style is said that was the default": Case("D", "same", lambda c: parameter(c, "OutputModalities").update(style="form", explode=True)),
    "a list in a parameter is not exploded": Case("CSD", "parameter.moved request.unlike documentation", lambda c: parameter(c, "OutputModalities").update(explode=False, schema={"type": "array", "items": TEXT})),
    "a parameter may have reserved characters": Case("CS", "parameter.moved", lambda c: parameter(c, "OutputModalities").update(allowReserved=True)),
    "a parameter is written as JSON": Case("CS", "parameter.moved", lambda c: parameter(c, "Limit").update(content={"application/json": {"schema": parameter(c, "Limit").pop("schema")}})),
    "a parameter is in another place": Case("CA", "parameter.removed parameter.added", lambda c: parameter(c, "Limit").update({"in": "header"})),
    "a header is exploded": Case("CS", "response.unlike", lambda c: c["components"]["headers"]["RetryAfter"].update(explode=True)),
    "a header is deprecated": Case("A", "deprecated", lambda c: c["components"]["headers"]["RetryAfter"].update(deprecated=True)),
    "a part of a body is encoded": Case("CS", "request.unlike", lambda c: request(c)["application/json"].update(encoding={"query": {"contentType": "text/plain"}})),
    "all answers of a hundred": Case("A", "status.error.added", lambda c: rerank(c)["responses"].update({"4XX": WIDE_ERROR})),
    # Operations, and what they call.
    "an operationId is gone": Case("C", "operation.renamed", lambda c: models(c).pop("operationId")),
    "a scope is needed no more": Case("S", "security.looser", lambda c: c["paths"]["/models"]["options"]["security"][0].update(flow=[])),
    "an address of a flow is another": Case("CS", "security.unlike", lambda c: c["components"]["securitySchemes"]["flow"]["flows"]["implicit"].update(authorizationUrl="https://example.com/b")),
    "a scope of a flow is explained": Case("D", "documentation", lambda c: c["components"]["securitySchemes"]["flow"]["flows"]["implicit"]["scopes"].update(read="Read.")),
    "a security scheme is called otherwise": Case("D", "documentation same", lambda c: (moved(c["components"]["securitySchemes"], "apiKey", "bearer"), c.update(security=[{"bearer": []}]), rerank(c).update(security=[{"bearer": []}]))),
    "a server of one operation": Case("CA", "server.removed server.added", lambda c: models(c).update(servers=[{"url": "https://models.example.com"}])),
    "a value of a server's variable is new": Case("CS", "unknown", lambda c: c["servers"][0].setdefault("variables", {"region": {"default": "eu", "enum": ["eu", "us"]}})),
    "a callback is new": Case("CS", "unknown", lambda c: models(c).update(callbacks={"done": {"{$url}": {"post": {"responses": {"200": {"description": "x"}}}}}})),
    "a callback is gone": Case("CS", "unknown", lambda c: rerank(c).pop("callbacks")),
    "a callback has another method": Case("CS", "unknown", lambda c: moved(called(c), "post", "put")),
    "a callback answers another status": Case("CS", "both.unlike", lambda c: moved(called(c)["post"]["responses"], "200", "204")),
    "a callback has a parameter": Case("CS", "both.unlike", lambda c: called(c)["post"].update(parameters=[{"in": "query", "name": "a", "schema": TEXT}])),
    "a field of a callback is new": Case("A", "response.property.added", lambda c: schema(c, "Called")["properties"].update(b=TEXT)),
    "a callback refers to its own operation": Case("CS", "unknown", lambda c: called(c).update({"post": {}, "$ref": "#/paths/~1rerank"})),
    "a field of a webhook becomes required": Case("CS", "both.narrower", lambda c: webhook(c)["schema"].update(required=["a"])),
    "a webhook is gone": Case("CS", "unknown", lambda c: c.pop("webhooks")),
    # What documents say beside that.
    "a link is new": Case("D", "documentation", lambda c: answer(c).update(links={"again": {"operationId": "createRerank"}})),
    "a tag of all is new": Case("D", "documentation", lambda c: c["tags"].append({"name": "Other"})),
    "an extension of a path list": Case("D", "documentation", lambda c: c["paths"].update({"x-note": 1})),
    "an extension of the answers": Case("D", "documentation", lambda c: rerank(c)["responses"].update({"x-note": 1})),
    "a property and its requirement stand apart": Case("C", "request.property.removed", lambda c: (schema(c, "Combined")["properties"].pop("a"), schema(c, "Combined")["allOf"].pop())),
    "an empty requirement": Case("D", "same", lambda c: schema(c, "Trace").update(required=[])),
    "an enum of one value is a constant": Case("D", "same", lambda c: (c["components"]["schemas"]["One"].pop("enum"), c["components"]["schemas"]["One"].update(const="a"))),
    "the answer of a status is written in place": Case("D", "same", lambda c: rerank(c)["responses"].update({"502": deepcopy(c["components"]["responses"]["BadGateway"])})),
    "a parameter is written in place": Case("D", "same", lambda c: models(c)["parameters"].__setitem__(2, deepcopy(parameter(c, "Limit")))),
    "a schema that contains itself is another": Case("CS", "request.unlike", lambda c: member(c, "text", "List").update(type="integer")),
    "a schema that contains itself is written differently": Case("D", "same", lambda c: member(c, "text", "List").update(type=["string"])),
}  # fmt: skip
"""Changes of whatever else a document can have."""


def called(contract: Json) -> Json:
    """Return what the callback of a ranking calls."""
    found: Json = rerank(contract)["callbacks"]["done"]["{$request.body#/url}"]
    return found


def webhook(contract: Json) -> Json:
    """Return the body of the webhook."""
    found: Json = contract["webhooks"]["told"]["post"]["requestBody"]["content"]["application/json"]
    return found


def prepared() -> Json:
    """Return the contract with more kinds of keywords to change: closed objects, conditions, defaults."""
    contract = deepcopy(CONTRACT)
    named = contract["components"]["schemas"]
    named["ClosedRequest"] = {"type": "object", "additionalProperties": False, "properties": {"a": TEXT}}
    named["ClosedAnswer"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"a": TEXT, "kind": {"type": "string", "enum": ["one", "two"]}},
    }
    named["Combined"] = {
        "allOf": [{"type": "object"}, {"required": ["a"]}],
        "properties": {
            "a": {"type": "string", "not": {"enum": ["root"]}},
            "b": {"type": "integer", "default": 1, "deprecated": True},
        },
    }
    named["Shared"] = {"type": "object", "properties": {"a": TEXT}}
    named["Called"] = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}}
    named["Unused"] = {"type": "object", "properties": {"a": TEXT}}
    fields = schema(contract, "RerankRequest")["properties"]
    for name in ("ClosedRequest", "Combined", "Shared"):
        fields[f"t_{name}"] = {"$ref": f"#/components/schemas/{name}"}
    fields = schema(contract, "RerankResponse")["properties"]
    for name in ("ClosedAnswer", "Shared"):
        fields[f"t_{name}"] = {"$ref": f"#/components/schemas/{name}"}
    contract["components"]["headers"]["Promised"] = {"required": True, "schema": TEXT}
    answer(contract)["headers"]["promised"] = {"$ref": "#/components/headers/Promised"}
    contract["components"]["parameters"]["Needed"] = {
        "name": "needed",
        "in": "query",
        "required": True,
        "schema": TEXT,
    }
    models(contract)["parameters"].append({"$ref": "#/components/parameters/Needed"})
    called = {"post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Called"}}}}, "responses": {"200": {"description": "x"}}}}  # fmt: skip
    rerank(contract)["callbacks"] = {"done": {"{$request.body#/url}": called}}
    rerank(contract)["security"] = [{"apiKey": []}]
    contract["paths"]["/models"]["head"] = {
        "security": [],
        "tags": ["B", "A"],
        "responses": {"200": {"description": "x"}},
    }
    contract["components"]["securitySchemes"]["other"] = {"type": "apiKey", "in": "header", "name": "k"}
    return json.loads(json.dumps(contract))  # without objects that are shared


def neighbouring() -> Json:
    """Return the prepared contract with further parts of an OpenAPI document."""
    contract = prepared()
    contract["webhooks"] = {"told": {"post": {"requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"a": TEXT}}}}}, "responses": {"200": {"description": "x"}}}}}  # fmt: skip
    flow = {"authorizationUrl": "https://example.com/a", "scopes": {"read": "x"}}
    contract["components"]["securitySchemes"]["flow"] = {"type": "oauth2", "flows": {"implicit": flow}}
    contract["paths"]["/models"]["options"] = {"security": [{"flow": ["read"]}], "responses": {"200": {"description": "x"}}}  # fmt: skip
    named = contract["components"]["schemas"]
    named["One"] = {"type": "string", "enum": ["a"]}
    named["List"] = {
        "type": "object",
        "properties": {"next": {"$ref": "#/components/schemas/List"}, "text": TEXT},
    }
    for name in ("One", "List"):
        schema(contract, "RerankRequest")["properties"][f"t_{name}"] = {
            "$ref": f"#/components/schemas/{name}"
        }
    return json.loads(json.dumps(contract))


PREPARED, NEIGHBOURING = prepared(), neighbouring()


def letters(findings: list[Finding]) -> str:
    """Return the categories of some findings, as the table has them."""
    found = {category for finding in findings for category in finding.categories}
    return "".join(category[0].upper() for category in CATEGORIES if category in found)


def judged(case: Case, base: Json) -> list[Finding]:
    """Return the findings of one change of a contract."""
    changed = deepcopy(base)
    case.make(changed)
    return find(document(base), document(changed))


def check_case(case: Case, base: Json) -> None:
    """Compare the findings of a change with those that are expected, and look at their places."""
    found = judged(case, base)
    assert letters(found) == case.expected, found
    assert {finding.decision for finding in found} == set(case.decisions.split()), found
    for finding in found:
        places = [at for at in (finding.old, finding.new) if at]
        assert places
        assert all(root(at.document).target(at.pointer).value == at.value for at in places)


@pytest.mark.parametrize("name", CASES)
def test_each_change_is_sorted(name):
    """One change of the contract is told to those whom it breaks and to nobody else, by the decision that is meant."""
    check_case(CASES[name], PREPARED)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_each_neighbour_is_sorted(name):
    """Every other part of a document is reported too; an unknown part affects everyone."""
    check_case(NEIGHBOURS[name], NEIGHBOURING)


WHOLE: dict[str, Case] = {
    "a path is gone": Case("C", "operation.removed", lambda c: c["paths"].pop("/models")),
    "a path is new": Case("A", "operation.added", lambda c: c["paths"].update({"/new": {"get": {"responses": {"200": {"description": "x"}}}}})),
    "a path is called otherwise": Case("CA", "operation.removed operation.added", lambda c: moved(c["paths"], "/rerank", "/v2/rerank")),
    "no key is asked for": Case("S", "security.looser", lambda c: c.pop("security")),
    "another scheme lets in": Case("CS", "security.unlike", lambda c: c["components"]["securitySchemes"]["apiKey"].update(scheme="basic")),
    "a server is new, a tag and the title are others": Case("AD", "server.added documentation", lambda c: (c["servers"].append({"url": "https://asia.example.com"}), c["tags"][0].update(description="x"), c["info"].update(title="x"))),
    "a server is gone": Case("C", "server.removed", lambda c: c["servers"].pop()),
    "a component is called otherwise": Case("D", "documentation", lambda c: (moved(c["components"]["schemas"], "Trace", "Tracing"), member(c, "trace", "RerankRequest").update({"$ref": "#/components/schemas/Tracing"}))),
    "another version of OpenAPI": Case("D", "documentation", lambda c: c.update(openapi="3.1.1")),
    "a component that nothing refers to any more is gone": Case("C", "request.property.removed", lambda c: (c["components"]["schemas"].pop("Trace"), schema(c, "RerankRequest")["properties"].pop("trace"))),
    "all components are gone with what referred to them": Case("CD", "operation.removed documentation", lambda c: c.update(paths={}, components={"securitySchemes": c["components"]["securitySchemes"]})),
    "a webhook is new": Case("CS", "unknown", lambda c: c.update(webhooks={"done": {"post": {"responses": {"200": {"description": "x"}}}}})),
    "the version alone": Case("", "", lambda c: c["info"].update(version="9.0.0")),
}  # fmt: skip
"""Changes of what a document has once."""


@pytest.mark.parametrize("name", WHOLE)
def test_a_change_of_the_whole_is_sorted(name):
    """One change above all operations is told to those whom it breaks and to nobody else."""
    check_case(WHOLE[name], CONTRACT)


def test_every_decision_is_taken():
    """Each row of the table of decisions is what some change here comes to, and has a reason."""
    taken = {decision for case in [*CASES.values(), *WHOLE.values()] for decision in case.decisions.split()}
    assert set(DECISIONS) == taken
    assert all(decision.why for decision in DECISIONS.values())


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return the pointers of the plain values of a document."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(child, (*path, str(key)))
    else:
        yield path


def at(value: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path."""
    for step in path:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    return value + ("x" if isinstance(value, str) else 1) if value is not None else "x"


@pytest.mark.parametrize("part", range(3))
def test_no_change_of_a_value_goes_unseen(part):
    """Every third plain value of the contract is changed at once, and each of the changes is told."""
    structure = {"$ref", "type", "name", "in", "openapi", "version"}
    every = [path for path in leaves(CONTRACT) if not structure & {path[-1]} and "type" not in path[-2:]]
    chosen = every[part::3]
    assert len(chosen) > 200
    changed: Json = json.loads(json.dumps(CONTRACT))
    for path in chosen:
        at(changed, path[:-1]).__setitem__(
            int(path[-1]) if isinstance(at(changed, path[:-1]), list) else path[-1], other(at(changed, path))
        )
    old, new = document(CONTRACT), document(changed)
    told = {at.pointer for finding in find(old, new) for at in (finding.old, finding.new) if at}
    unseen = [
        path
        for path in chosen
        if not any(join_pointer(path[:length]) in told for length in range(1, len(path) + 1))
    ]
    assert unseen == []


def objects(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the objects of a document, but for examples and the lists of security schemes."""
    if isinstance(value, dict):
        yield path
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(child, dict | list) and key not in ("example", "examples", "security"):
            yield from objects(child, (*path, str(key)))


KEYS = [(*path, key) for path in objects(NEIGHBOURING) for key in at(NEIGHBOURING, path)]


def is_told(change: Callable[[Json, str], object], path: tuple[str, ...]) -> bool:
    """Return True if the only change of a document has a finding, or makes the document malformed."""
    changed = deepcopy(NEIGHBOURING)
    change(at(changed, path[:-1]), path[-1])
    try:
        return bool(find(document(NEIGHBOURING), document(changed)))
    except CannotReadError:
        return True


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(KEYS))
def test_no_removal_goes_unseen(path):
    """Removing any key is reported, or the document is refused."""
    assert is_told(lambda holder, key: holder.pop(key), path)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(KEYS))
def test_no_unknown_keyword_goes_unseen(path):
    """An unknown keyword is reported at any location, or the document is refused."""
    assert is_told(lambda holder, _: holder.update(frobnicate=1), path)


def test_sentences_name_what_the_user_knows():
    """A sentence has the field as it is sent and the operation as it is called, and the place its line."""
    changed = deepcopy(CONTRACT)
    schema(changed, "ProviderSort")["properties"]["partition"]["anyOf"][0]["enum"].remove("none")
    schema(changed, "ErrorDetail")["required"].append("metadata")
    old, new = document(CONTRACT), document(changed)
    found = {finding.sentence: finding for finding in find(old, new)}
    enum = "`provider.sort.partition` in the request of `POST /rerank` no longer allows `none`."
    assert set(found) == {
        enum,
        "`error.metadata` in the errors of `GET /models` and `POST /rerank` is now always present.",
    }
    assert found[enum].new.pointer == "#/components/schemas/ProviderSort/properties/partition/anyOf/0/enum"
    line = new.line(found[enum].new.pointer)
    assert '"enum": [' in new.text.splitlines()[line - 1]


@pytest.mark.parametrize(
    ("part", "subject"),
    [
        (lambda c: c, "The document"),
        (lambda c: c["servers"][0], "The server `https://openrouter.ai/api/v1`"),
        (lambda c: c["paths"]["/models"], "`GET /models`"),
        (lambda c: c["components"]["securitySchemes"]["apiKey"], "The security of `GET /models` and `POST /rerank`"),
        (lambda c: parameter(c, "Limit"), "The query parameter `limit` of `GET /models`"),
        (answer, "The response 200 of `POST /rerank`"),
    ],
)  # fmt: skip
def test_sentences_name_the_part_that_has_an_unknown_keyword(part, subject):
    """The part is named as the user knows it."""
    changed = deepcopy(CONTRACT)
    part(changed).update(frobnicate=1)
    (finding,) = find(document(CONTRACT), document(changed))
    assert finding.sentence == f"{subject} has `frobnicate` `1` now."


# Schemas within schemas.

VALUES: list[Any] = [None, True, False, 0, 1, 2, 2.5, -1, 7, "", "a", "ab", "abc", [], [1], ["a"], [1, 2, 3], {}, {"a": 1}, {"a": "a"}, {"b": None}, {"a": "ab", "b": 2}, {"c": []}]  # fmt: skip
PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "null", "boolean", "array", "object"]).flatmap(
            lambda one: st.sampled_from([one, [one, "null"], ["string", one]] if one not in ("string", "null") else [one])
        ),
        "minimum": st.integers(-1, 3),
        "maximum": st.integers(0, 7),
        "multipleOf": st.integers(1, 4),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 3),
        "minItems": st.integers(0, 2),
        "enum": st.lists(st.sampled_from([None, 1, 2, "a", "ab", True]), min_size=1, max_size=3, unique_by=repr),
        "const": st.sampled_from([None, 1, "a"]),
        "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
    },
)  # fmt: skip
SCHEMAS = st.recursive(
    PLAIN | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", ["object", "null"]]),
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
        },
    ),
    max_leaves=4,
)


def relation(one: Any, other: Any) -> str:
    """Return the proved effect of replacing one schema by another."""
    proofs = []
    for side, schema in (("one", one), ("other", other)):
        at = Location(parse("a", b"openapi: 3.1.0"), "#/schema", schema)
        proofs.append(Schemas(side, at.document, [at]).proof(node_of(at)))
    return relate(*proofs)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(SCHEMAS, SCHEMAS)
def test_what_is_within_is_legal(one, other):
    """If one schema is said to allow no more than another, a validator finds no value that contradicts it."""
    first, second = Draft202012Validator(one), Draft202012Validator(other)
    effect = relation(one, other)
    if effect in ("same", "wider"):
        assert [value for value in VALUES if first.is_valid(value) and not second.is_valid(value)] == []
    if effect in ("same", "narrower"):
        assert [value for value in VALUES if second.is_valid(value) and not first.is_valid(value)] == []


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(SCHEMAS)
def test_a_schema_is_within_itself(one):
    """A schema allows what it allows, and so does it with what adds nothing."""
    added = one if isinstance(one, bool) else one | {"description": "x", "x-note": 1}
    assert relation(one, added) == "same"


TEXTS, NUMBERS = {"type": "string"}, {"type": "number"}
FEW = {"properties": {"a": TEXTS}, "additionalProperties": False}
MANY = {"properties": {"a": TEXTS, "b": NUMBERS}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("one", "other", "effect"),
    [
        ({"type": "integer"}, NUMBERS, "wider"),
        (TEXTS, NUMBERS, "unlike"),
        (TEXTS, {"anyOf": [TEXTS, {"type": "null"}]}, "wider"),
        ({"type": ["string", "null"]}, {"anyOf": [TEXTS, {"type": "null"}]}, "same"),
        ({"oneOf": [TEXTS, NUMBERS]}, {"anyOf": [TEXTS, NUMBERS]}, "same"),
        ({"not": TEXTS}, {"not": {"type": ["string", "null"]}}, "narrower"),
        ({"not": {"enum": [1, 2]}}, {"not": {"enum": [1]}}, "wider"),
        ({"enum": [1, 2]}, {"const": 1}, "narrower"),
        (FEW, MANY, "wider"),
        (FEW, {"properties": {"a": TEXTS}}, "wider"),
        ({"required": ["a"]}, {"required": ["a", "b"]}, "narrower"),
        ({"multipleOf": 2}, {"multipleOf": 6}, "narrower"),
        ({"items": {"maxLength": 2}}, {"items": {"maxLength": 3}}, "wider"),
        (True, TEXTS, "narrower"),
        (False, TEXTS, "wider"),
        ({"minLength": 0, "format": "double"}, {}, "same"),
    ],
)
def test_relation_of_schemas(one, other, effect):
    """The effect on the allowed values is reported for each kind of keyword, in both directions."""
    back = {"wider": "narrower", "narrower": "wider"}
    assert relation(one, other) == effect
    assert relation(other, one) == back.get(effect, effect)


# Documents.


@contextmanager
def serving(handle: Callable[[BaseHTTPRequestHandler], object]) -> Iterator[str]:
    """Serve the same answer to every GET on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            handle(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def answering(body: bytes, status: int = 200) -> Callable[[BaseHTTPRequestHandler], object]:
    """Make a handler that sends a body whole."""

    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return handle


def dripping(stop: threading.Event) -> Callable[[BaseHTTPRequestHandler], object]:
    """Make a handler whose headers never end."""

    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.05):
            try:
                handler.wfile.write(b"X-More: 1\r\n")
            except OSError:
                return

    return handle


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a git repository with two versions of a contract."""
    home = tmp_path_factory.mktemp("repository")

    def git(*words: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", home, *who, *words], check=True, capture_output=True)

    git("init", "-q")
    for version in ("1.0.0", "1.1.0"):
        text = (ROOT / "openapi.yaml").read_text("utf-8")
        text = re.sub(r"^  version: .*$", f"  version: {version}", text, flags=re.MULTILINE)
        (home / "openapi.yaml").write_text(text, "utf-8")
        (home / "other.yaml").write_text(text.replace(version, "7.0.0", 1), "utf-8")
        git("add", ".")
        git("commit", "-q", "-m", version)
        git("tag", f"v{version}")
    return home


@pytest.mark.parametrize(
    ("source", "version"),
    [("v1.0.0", "1.0.0"), ("HEAD", "1.1.0"), ("HEAD~1", "1.0.0"), ("v1.0.0:other.yaml", "7.0.0")],
)
def test_a_revision_is_read(source, version, repository):
    """A tag, a revision and a path of a revision name the document as it was then."""
    assert load(source, repository).version == version


def test_a_url_is_read():
    """A URL is read, and shown without what could be secret."""
    text = (ROOT / "openapi.yaml").read_bytes()
    with serving(answering(text)) as url:
        secret = url.replace("//", "//user:hunter2@") + "/openapi.yaml?token=s3cret"
        with pytest.raises(CannotReadError, match="was given with a password") as told:
            load(secret, ROOT)
        read_in = load(f"{url}/openapi.yaml?token=s3cret", ROOT)
    assert read_in.version == CONTRACT["info"]["version"]
    assert read_in.name == f"{url}/openapi.yaml"
    assert "hunter2" not in str(told.value)
    assert "s3cret" not in str(told.value)


def test_a_url_that_hangs_is_given_up():
    """A server whose headers come in drops is given up when the time is up, and the message says what to do."""
    stop = threading.Event()
    with serving(dripping(stop)) as url:
        try:
            for patience in (0.5, 5, 50):  # in a third of which a drop comes on this machine
                with pytest.raises(CannotReadError) as told:
                    load(url, ROOT, patience=patience)
                if "sent nothing" not in str(told.value):
                    break
        finally:
            stop.set()
    assert f"was not complete after {patience:g} s: download it" in str(told.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"<!DOCTYPE html><html></html>", "a web page: name the file behind it"),
        (b"openapi: 3.1.0\ninfo: [a", r"a\.yaml:3:1: not YAML: while parsing a flow sequence"),
        (b"hello", "not an OpenAPI document"),
        (b"", "not an OpenAPI document"),
        (b"[1, 2]", "not an OpenAPI document"),
        (b"swagger: '2.0'\ninfo: {}", r"is OpenAPI 2\.0, not 3\.1"),
        (b"openapi: 3.0.3\ninfo: {version: 1}", r"is OpenAPI 3\.0\.3, not 3\.1"),
        (b"openapi: 3.1.0\ninfo: {title: a}", "no info.version"),
        (b"openapi: 3.1.0\ninfo: {version: 1.0.0}\npaths: []", "`paths` is not an object"),
        (
            b"openapi: 3.1.0\ninfo: {version: 1, version: 2}",
            r"a\.yaml:2:\d+: not YAML: the key 'version' appears twice",
        ),
        (b"openapi: 3.1.0\ninfo: {version: 1}\npaths:\n  /a: {$ref: other.yaml}", "another document"),
        (b"openapi: 3.1.0\ninfo: {version: 1}\npaths:\n  /a: {$ref: file:///etc/passwd}", "another document"),
        (b"openapi: 3.1.0\ninfo: {version: 1}\npaths:\n  /a: {$ref: '#/no'}", "which does not exist"),
        (b"{" * 100_000, "nested too deeply|not YAML: .* nesting depth"),
        (b"openapi: 3.1.0\ninfo: {version: \xff}", r"not UTF-8 text \(byte 31\)"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1]\n"
            + b"".join(
                b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (n, n, *[n - 1] * 8) for n in range(98, 108)
            )
            + b"openapi: 3.1.0\ninfo: {version: 1}\n",
            "more than 300,000 keys and values",
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_contract_is_told(text, told):
    """Each text that is no OpenAPI 3.1 document ends in one line that says what it is."""
    with pytest.raises(CannotReadError, match=told) as error:
        read("a.yaml", text)
    assert str(error.value).startswith("a.yaml")
    assert "\n" not in str(error.value)


def test_keys_and_days_are_read_as_written():
    """Numbers, booleans and dates of YAML 1.1 are read as OpenAPI means them; merged keys may be overridden."""
    text = "openapi: 3.1.0\ninfo: {version: 1.0.0}\nx-a: &a {b: 1}\nx-b:\n  <<: *a\n  b: 2\n  200: yes\n  on: 2026-11-25\n  t: true\n"
    assert read("a", text.encode()).data["x-b"] == {"b": 2, "200": "yes", "on": "2026-11-25", "t": True}


def test_a_reference_may_be_written_as_a_uri():
    """A reference is a URI, so it may write a brace as %7B; it leads to the same place, whose uses are found."""
    text = b"openapi: 3.1.0\ninfo: {version: 1.0.0}\npaths: {/a: {get: {responses: {'200': {$ref: '#/components/responses/%7BA%7D'}}}}}\ncomponents: {responses: {'{A}': {description: x}}}\n"
    contract = read("a.yaml", text)
    assert root(contract).target("#/components/responses/%7BA%7D").value == {"description": "x"}
    (finding,) = find(
        contract, read("b.yaml", text.replace(b"description: x", b"description: x, content: {a/b: {}}"))
    )
    assert finding.sentence == "The response 200 as `a/b` of `GET /a` is new."


# Versions and changelogs.


@pytest.mark.parametrize(
    ("was", "level", "next_one"),
    [
        ("1.2.3", "major", "2.0.0"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "patch", "1.2.4"),
        ("1.2.3", "none", "1.2.3"),
        ("0.2.3", "major", "0.3.0"),
        ("0.2.3", "minor", "0.2.4"),
        ("0.2.3", "patch", "0.2.4"),
        ("0.2.3", "none", "0.2.3"),
    ],
)
def test_next_version(was, level, next_one):
    """From 1.0.0 each kind raises its own part, and below it the next lower one."""
    assert str(versions.parse_version(was).raised(level)) == next_one


@pytest.mark.parametrize(
    "text", ["1.0", "v1.0.0", "1.0.0-rc.1", "01.0.0", "1.0.0\n", "\u0661.\u0660.\u0660", ""]
)
def test_what_is_no_version(text):
    """A version that is not three plain numbers is refused."""
    assert versions.parse_version(text) is None


@pytest.mark.parametrize(
    ("line", "is_named"),
    [
        ("- Contract 1.1.0: `GET /models`.", True),
        ("First version. Contract 1.1.0.", True),
        ("- contract `1.1.0`", True),
        ("- Contract 1.1.01", False),
        ("- Contract 1.1.0-rc.1", False),
        ("- Contract 11.1.0", False),
        ("- Version 1.1.0", False),
    ],
)
def test_a_changelog_names_a_contract(line, is_named):
    """A line names a version of the contract if it says so, and not if it names another that looks like it."""
    changelog = f"# Changelog\n\n## Unreleased\n\n{line}\n"
    assert versions.find_contract(changelog, "1.1.0", "0.1.0") == (5 if is_named else None)


def test_an_older_section_names_nothing():
    """A version named in a released section is not the one to be released."""
    changelog = "## Unreleased\n\n- x\n\n## [0.1.0] - 2026-11-25\n\n- Contract 1.1.0\n"
    assert versions.find_contract(changelog, "1.1.0", "0.2.0") is None
    assert versions.find_contract(changelog, "1.1.0", "0.1.0") == 7
    assert versions.last_package(changelog) == Version(0, 1, 0)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from(["# Changelog", "## Unreleased", "## 0.1.0", "- a", "  - b", "", "text"])))
def test_a_draft_is_inserted_and_nothing_is_lost(lines):
    """The changelog keeps its contents in order, and the entry is added to the unreleased section."""
    before = "\n".join(lines)
    after = versions.insert(before, "- Contract 9.9.9.\n  - Additive: x.")
    assert versions.find_contract(after, "9.9.9", "none")
    kept = iter(after.splitlines())
    assert all(any(line == other for other in kept) for line in lines if line.strip())


# The command.


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project with a released contract, the same one in work, and a changelog."""
    (tmp_path / "contracts").mkdir()
    text = (ROOT / "openapi.yaml").read_text("utf-8")
    text = re.sub(r"^  version: .*$", "  version: 1.1.0", text, flags=re.MULTILINE)
    (tmp_path / "contracts" / "1.1.0.yaml").write_text(text, "utf-8")
    (tmp_path / "contracts" / "1.0.0.yaml").write_text(
        text.replace("version: 1.1.0", "version: 1.0.0"), "utf-8"
    )
    (tmp_path / "openapi.yaml").write_text(text, "utf-8")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- Contract 1.1.0.\n", "utf-8")
    (tmp_path / "wrapper/openrouter_rerank").mkdir(parents=True)
    (tmp_path / "wrapper/openrouter_rerank/version.py").write_text('VERSION = "0.1.0"\n', "utf-8")
    return tmp_path


def edited(project: Path, *pairs: tuple[str, str], file: str = "openapi.yaml") -> None:
    """Change some words of a file, each of them there once or more."""
    text = (project / file).read_text("utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    (project / file).write_text(text, "utf-8")


@pytest.fixture
def ran(project, capsys):
    """Run the command in the project: its exit code, its output, and its errors."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words), project)
        out, err = capsys.readouterr()
        return code, out, err

    return run


ADDED = ("        user:\n          type: string\n", "        lang:\n          type: string\n        user:\n          type: string\n")  # fmt: skip
NARROWED = ("          maxLength: 256\n", "          maxLength: 255\n")
REWORDED = ("Id that groups the requests of a session", "Id shared by the requests of a session")
NEXT = ("  version: 1.1.0\n", "  version: 1.2.0\n")


def test_nothing_changed(ran):
    """A contract that is the released one needs no version and no entry."""
    assert ran("--check")[0] == 0
    code, out, _ = ran()
    assert code == 0
    assert "Nothing changed." in out


def test_comments_change_nothing(project, ran):
    """A comment and the layout are no change, so that neither version nor changelog has to follow."""
    edited(project, ("openapi: 3.1.0\n", "openapi:   3.1.0  # as ever\n"))
    assert ran("--check")[0] == 0
    assert "Nothing changed but comments and layout." in ran()[1]


@pytest.mark.parametrize(
    ("edit", "asked"),
    [(ADDED, "1.2.0"), (NARROWED, "2.0.0"), (REWORDED, "1.1.1")],
    ids=["additive", "breaking for callers", "words"],
)
def test_a_change_without_a_version_fails(edit, asked, project, ran):
    """A changed contract with the released version fails, with the line, the version to set and the command that lists why."""
    edited(project, edit)
    code, out, _ = ran("--check")
    assert code == 1
    assert re.search(rf"openapi\.yaml:29: info\.version is 1\.1\.0, .* need {asked} .*set it to {asked}; `nox -s changes`", out)  # fmt: skip
    assert f"neither Unreleased nor 0.1.0 names contract {asked}: `nox -s changes -- --write`" in out


def test_a_version_that_is_too_small_fails(project, ran):
    """A minor version is not enough for what breaks callers."""
    edited(project, NARROWED, NEXT)
    code, out, _ = ran("--check")
    assert code == 1
    assert "info.version is 1.2.0, and the changes since" in out
    assert "set it to 2.0.0" in out


def test_a_version_below_the_released_fails(project, ran):
    """A contract may not go back behind the released one."""
    edited(project, ("  version: 1.1.0\n", "  version: 1.0.9\n"))
    code, out, _ = ran("--check")
    assert code == 1
    assert "below the released 1.1.0" in out


def test_a_version_without_an_entry_fails_and_write_writes_it(project, ran):
    """A raised version needs an entry in the changelog; --write drafts it there once, and leaves what it finds."""
    edited(project, ADDED, NEXT)
    code, out, _ = ran("--check")
    assert code == 1
    assert out.startswith("CHANGELOG.md: neither Unreleased nor 0.1.0 names contract 1.2.0")
    assert ran("--write")[0] == 0
    changelog = (project / "CHANGELOG.md").read_text("utf-8")
    assert changelog == (
        "# Changelog\n\n## Unreleased\n\n- Contract 1.1.0.\n- Contract 1.2.0.\n"
        "  - Additive: `lang` in the request of `POST /rerank` is new.\n"
    )
    assert ran("--check")[0] == 0
    code, _, err = ran("--write")
    assert code == 2
    assert "CHANGELOG.md:6 names contract 1.2.0 already: edit it by hand" in err
    assert (project / "CHANGELOG.md").read_text("utf-8") == changelog


def test_a_released_contract_may_not_change(project, ran):
    """A file of contracts/ whose version is not its name is told."""
    edited(project, ("version: 1.1.0", "version: 1.3.0"), file="contracts/1.1.0.yaml")
    code, _, err = ran("--check")
    assert code == 2
    assert "a released contract is named by its version" in err


def test_the_last_release_is_the_highest(project, ran):
    """1.10.0 is after 1.9.0, whatever the order of their names."""
    text = (project / "openapi.yaml").read_text("utf-8")
    for version in ("1.9.0", "1.10.0"):
        (project / "contracts" / f"{version}.yaml").write_text(text.replace("version: 1.1.0", f"version: {version}"), "utf-8")  # fmt: skip
    assert "contracts/1.10.0.yaml (1.10.0) -> " in ran()[1]


def test_json_says_what_the_text_says(project, ran):
    """The JSON has every difference with its categories, its sentence, its reason and its places."""
    edited(project, ADDED, NARROWED)
    _, out, _ = ran("--json", str(project / "changes.json"))
    said = json.loads((project / "changes.json").read_text("utf-8"))
    assert (said["level"], said["contract"]) == ("major", {"asked": "2.0.0", "is": "1.1.0", "enough": False})
    assert [each["categories"] for each in said["differences"]] == [["callers", "servers"], ["additive"]]
    for each in said["differences"]:
        assert each["says"] in out
        assert each["why"]
        assert f"openapi.yaml:{each['new']['line']} {each['new']['pointer']}" in out
    narrowed = said["differences"][0]
    assert (narrowed["old"]["value"], narrowed["new"]["value"]) == (256, 255)
    assert said["changelog"] in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing-of-that-name"], "neither a file nor a git revision"),
        (["contracts"], "neither a file nor a git revision|is a folder"),
        (["http://127.0.0.1:1/openapi.yaml"], "cannot be reached"),
        (["http://"], "is not a URL: write it as https://host/path"),
        (["http://[user:hunter2@"], "is not a URL: write it as https://host/path"),
    ],
)
def test_bad_input_is_told_in_one_line(words, told, ran):
    """Unreadable input ends with exit code 2 and one line on stderr."""
    code, out, err = ran(*words)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"changes: .*({told}).*\n", err)


@pytest.mark.parametrize("status", [404, 500])
def test_a_url_that_answers_an_error_is_told(status, ran):
    """An answer that is an error, and one that is a page, end in exit code 2 and one line."""
    with serving(answering(b"<html>no</html>", status)) as url:
        code, _, err = ran(url)
    assert code == 2
    assert f"answers {status}: check the URL" in err


def test_a_url_that_answers_a_page_is_told(ran):
    """A page of HTML, as of a repository's web page, is told as such."""
    with serving(answering(b"\n<!doctype html><html>hello</html>")) as url:
        code, _, err = ran(url)
    assert code == 2
    assert "is a web page: name the file behind it" in err


# How a parameter is read.

WRITTEN: dict[str, tuple[Json, str, bool, str | None]] = {
    "a schema": ({"schema": TEXT}, "form", True, "/schema"),
    "a schema of another style": (
        {"schema": TEXT, "style": "pipeDelimited"},
        "pipeDelimited",
        False,
        "/schema",
    ),
    "a schema, and a content that it rules out": (
        {"schema": TEXT, "content": {"application/json": {"schema": {"type": "integer"}}}},
        "form",
        True,
        "/schema",
    ),
    "content": (
        {"content": {"application/json": {"schema": TEXT}}},
        "application/json",
        False,
        "/content/application~1json/schema",
    ),
    "neither": ({}, "form", True, None),
    "neither, with another style": (
        {"style": "spaceDelimited", "explode": True},
        "spaceDelimited",
        True,
        None,
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_the_form_of_a_parameter(case):
    """A parameter is written by its style unless it has only a content, which has a media type in place of a style."""
    raw, serialization, explode, pointer = WRITTEN[case]
    written = {
        "openapi": "3.1.0",
        "paths": {"/x": {"get": {"parameters": [{"in": "query", "name": "q", **raw}], "responses": {}}}},
    }
    read = read_api(parse("a", json.dumps(written).encode())).operations["GET /x"].parameters["query q"]
    assert (read.serialization, read.explode) == (serialization, explode)
    assert (read.schema.pointer if read.schema else None) == (pointer and f"{read.at.pointer}{pointer}")


# This project.


@pytest.mark.parametrize("file", CONTRACTS, ids=lambda file: file.stem)
def test_a_kept_contract_is_what_its_name_says(file):
    """Each contract that is kept is of the version that it is named by, and OpenAPI 3.1."""
    kept = yaml.safe_load(file.read_text("utf-8"))
    assert kept["info"]["version"] == file.stem
    assert [error.message for error in OpenAPIV31SpecValidator(kept).iter_errors()] == []


def test_version_and_changelog_follow_the_contract(capsys):
    """If openapi.yaml is not the last released contract, its version is high enough and CHANGELOG.md names it."""
    code = main(["--check"], ROOT)
    out, err = capsys.readouterr()
    assert code == 0, f"{out}{err}"
