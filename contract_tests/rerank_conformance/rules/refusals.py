"""Invalid requests are refused with a 4xx: one rule for each way in which a request can be invalid."""

import json
from collections.abc import Iterator

from rerank_conformance.contract import Contract
from rerank_conformance.derived import requirements
from rerank_conformance.exchanges import Probe, not_json
from rerank_conformance.report import Level
from rerank_conformance.rules.acceptance import described, judged
from rerank_conformance.rules.rule import (
    POST,
    RESPONSES,
    SCHEMA,
    Finding,
    Judge,
    Judgement,
    Recording,
    rule,
)

_REQUEST = f"{SCHEMA}/RerankRequest"
_OF = f"{_REQUEST}/properties"


def refused(name: str) -> Judge:
    """Return a judge of all requests of a rule: a 4xx refuses them; another rule judges which one."""

    def judge(seen: Recording) -> Iterator[Judgement]:
        for exchange in seen.exchanges:
            if exchange.probe.rule == name:
                yield judged(
                    exchange, to_refuse(exchange.probe, seen.by), lambda answer: 400 <= answer.status < 500
                )

    return judge


def to_refuse(probe: Probe, by: Contract) -> str:
    """Return the expected refusal of an invalid request, with the offending field and its value."""
    media_type = probe.headers.get("Content-Type")
    if media_type is not None:
        return f"400 (Content-Type {media_type})"
    if wrong := not_json(probe.content, constants=False):
        return f"400 ({wrong})"
    violation = by.request.violation(json.loads(probe.content))
    return f"400 ({violation})" if violation else "400"


_TABLE: tuple[tuple[str, Level, bool, str, str], ...] = (
    ("documents-missing", "MUST", True, "A request without documents is refused", f"{_REQUEST}/required"),
    ("documents-empty", "MUST", True, "An empty array of documents is refused", f"{_OF}/documents/minItems"),
    ("documents-type", "MUST", True, "documents that are not an array are refused", f"{_OF}/documents/type"),
    ("document-type", "MUST", True, "A document that is neither string nor object is refused", f"{SCHEMA}/RerankDocument"),
    ("document-empty-object", "MUST", True, "A document with neither text nor image is refused", f"{SCHEMA}/RerankDocument"),
    ("document-text-type", "MUST", False, "A document whose text or image is not a string is refused", f"{SCHEMA}/TextDocument/properties/text"),
    ("query-missing", "MUST", True, "A request without a query is refused", f"{_REQUEST}/required"),
    ("query-type", "MUST", True, "A query that is not a string is refused", f"{_OF}/query/type"),
    ("model-missing", "MUST", True, "A request without a model is refused", f"{_REQUEST}/required"),
    ("model-type", "MUST", False, "A model that is not a string is refused", f"{_OF}/model/type"),
    ("top-n-zero", "MUST", True, "A top_n of 0 is refused", f"{_OF}/top_n/minimum"),
    ("top-n-negative", "MUST", True, "A negative top_n is refused", f"{_OF}/top_n/minimum"),
    ("top-n-fraction", "MUST", True, "A fractional top_n is refused, not rounded", f"{_OF}/top_n/type"),
    ("top-n-text", "MUST", True, "A top_n as text is refused, not read as a number", f"{_OF}/top_n/type"),
    ("top-n-boolean", "MUST", True, "A boolean top_n is refused, not counted as 0 or 1", f"{_OF}/top_n/type"),
    ("top-n-null", "MUST", True, "A top_n of null is refused: it is not nullable", f"{_OF}/top_n/description"),
    ("top-n-type", "MUST", False, "A top_n that is an array or an object is refused", f"{_OF}/top_n/type"),
    ("provider-type", "MUST", False, "A provider that is neither object nor null is refused", f"{_OF}/provider"),
    ("provider-field-type", "MUST", False, "Provider preferences of wrong types are refused", f"{SCHEMA}/ProviderPreferences"),
    ("session-id", "MUST", False, "A session_id that is not a string, or longer than 256 characters, is refused", f"{_OF}/session_id"),
    ("user-type", "MUST", False, "A user that is not a string is refused", f"{_OF}/user/type"),
    ("trace-type", "MUST", False, "A trace that is not an object, or has values that are not strings, is refused", f"{SCHEMA}/Trace"),
    ("malformed-json", "MUST", True, "A body that is not JSON is refused", f"{POST}/requestBody"),
    ("not-utf-8", "MUST", False, "A body that is not UTF-8 is refused", f"{POST}/requestBody"),
    ("empty-body", "MUST", False, "An empty body is refused", f"{POST}/requestBody/required"),
    ("not-an-object", "MUST", True, "A JSON body that is not an object is refused", f"{_REQUEST}/type"),
    ("content-type", "MUST", True, "A body with a Content-Type other than JSON is refused", f"{POST}/requestBody/content"),
    ("deep-nesting", "MUST", False, "A very deeply nested body is refused, and the server does not fail", f"{SCHEMA}/RerankDocument"),
)  # fmt: skip
for _slug, _level, _quick, _requirement, _source in _TABLE:
    _id = f"refusal.{_slug}"
    rule(_id, _requirement, _source, level=_level, quick=_quick, thorough=True)(refused(_id))


for _one in requirements():
    if _one.kind == "refusal":
        rule(_one.id, _one.requirement, _one.source, quick=False, thorough=True, since=_one.since)(
            refused(_one.id)
        )


@rule(
    "refusal.status",
    "An invalid body is refused with 400, or with 413 if it is too large",
    f"{RESPONSES}/400",
)
def status(seen: Recording) -> Iterator[Judgement]:
    """Judge which of the documented statuses it is."""
    documented = seen.by.responses
    for exchange in seen.exchanges:
        probe, answer = exchange.probe, exchange.answer
        if probe.legal is not False or probe.auth != "key" or exchange.undecided or answer is None:
            continue
        if 400 <= answer.status < 500 and answer.status in documented:
            # generated requests name models that no server has
            fitting = {400, 413, 404} if probe.phase == "generate" else {400, 413}
            good = answer.status in fitting
            yield None if good else Finding(to_refuse(probe, seen.by), described(exchange), exchange)
