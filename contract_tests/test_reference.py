"""The reference server is honest: one table of requests to a function, in process, over ASGI and over TCP."""

import asyncio
import json
import logging
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from schemathesis import Case

from rerank_conformance import contract
from rerank_conformance.reference import Reference, ReferenceRequest, ReferenceResponse, Refusal
from rerank_conformance.reference.asgi import app, running
from rerank_conformance.reference.inprocess import ReferenceTransport
from rerank_conformance.scorers import Scorer

KEY = "sk-or-v1-the-right-key"
JSON = {"content-type": "application/json"}
KEYED = {**JSON, "authorization": f"Bearer {KEY}"}
REQUEST: dict[str, Any] = {
    "model": "cohere/rerank-v3.5",
    "query": "red green blue",
    "documents": ["red", "red green blue", "none of them", "green red"],
}
MAX_BODY = 100_000

Ask = Callable[[str, str, Mapping[str, str], bytes], ReferenceResponse]


def overlap(query: str, texts: Sequence[str]) -> list[float]:
    """Count the words that each text shares with the query."""
    return [float(len(set(query.split()) & set(text.split()))) for text in texts]


def of(response: httpx.Response) -> ReferenceResponse:
    """Convert an httpx response, without the headers that every response has."""
    added = {"content-length", "date", "connection"}
    kept = {name: value for name, value in response.headers.items() if name not in added}
    return ReferenceResponse(response.status_code, kept, response.content)


def over(client: httpx.Client) -> Ask:
    """Ask by an httpx client, with no headers but those given."""
    client.headers.clear()
    return lambda method, path, headers, body: of(client.request(method, path, headers=headers, content=body))


@contextmanager
def over_async(transport: httpx.AsyncBaseTransport) -> Generator[Ask]:
    """Ask by an httpx client of the asynchronous kind, in a loop of its own."""
    client = httpx.AsyncClient(transport=transport, base_url="http://reference")
    client.headers.clear()

    async def send(method: str, path: str, headers: Mapping[str, str], body: bytes) -> ReferenceResponse:
        return of(await client.request(method, path, headers=headers, content=body))

    with asyncio.Runner() as loop:
        yield lambda method, path, headers, body: loop.run(send(method, path, headers, body))
        loop.run(client.aclose())


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Make a server that requires a key."""
    return Reference(overlap, keys={KEY, "another-key"}, max_body=MAX_BODY)


@pytest.fixture(scope="module", params=["function", "in process", "in process, async", "ASGI", "TCP"])
def ask(request: pytest.FixtureRequest, reference: Reference) -> Iterator[Ask]:
    """Every way to reach that server."""
    match request.param:
        case "function":
            yield reference.answer
        case "in process":
            with httpx.Client(transport=ReferenceTransport(reference), base_url="http://reference") as client:
                yield over(client)
        case "in process, async":
            with over_async(ReferenceTransport(reference)) as ask:
                yield ask
        case "ASGI":
            with over_async(httpx.ASGITransport(app(reference))) as ask:
                yield ask
        case _:
            with running(reference) as url, httpx.Client(base_url=url) as client:
                yield over(client)


def judged(answer: ReferenceResponse) -> dict[str, Any]:
    """Return the body of an answer after it is validated by the contract."""
    body: dict[str, Any] = json.loads(answer.body)
    # other methods than the contract's have statuses that it does not list, in the same envelope
    schema = contract.load().responses.get(answer.status, contract.load().responses[404])
    assert schema.violation(body) is None
    assert answer.headers["content-type"] == "application/json"
    if answer.status != 200:
        assert body["error"]["code"] == answer.status
        assert len(body["error"]["message"]) < 500
    assert KEY not in str(answer)
    return body


def post(
    ask: Ask, change: Mapping[str, object] | None = None, path: str = "/api/v1/rerank"
) -> dict[str, Any]:
    """Return the validated body of the answer to a legal request with a change."""
    return judged(ask("POST", path, KEYED, json.dumps({**REQUEST, **(change or {})}).encode()))


def rank(reference: Reference, **change: object) -> dict[str, Any]:
    """Return the validated body of the function's answer."""
    return post(reference.answer, change)


NESTED: Any = json.loads("[" * 500 + "]" * 500)
ILLEGAL: list[tuple[dict[str, object], str]] = [
    ({"top_n": 0}, "top_n: 0 is less than the minimum of 1"),
    ({"top_n": -1}, "top_n: -1 is less than the minimum of 1"),
    ({"top_n": -(10**50)}, "top_n: a huge integer is less than the minimum of 1"),
    ({"top_n": 2.5}, "top_n: 2.5 is not an integer"),
    ({"top_n": "2"}, 'top_n: "2" is not an integer'),
    ({"top_n": True}, "top_n: true is not an integer"),
    ({"top_n": None}, "top_n: null is not an integer"),
    ({"top_n": [1]}, "top_n: an array of 1 is not an integer"),
    ({"documents": []}, "documents: [] has less than 1 item"),
    ({"documents": "text"}, 'documents: "text" is not an array'),
    ({"documents": "x" * 9_999}, f'documents: "{"x" * 40}"... is not an array'),
    ({"documents": {"text": "x" * 9_999}}, "documents: an object is not an array"),
    ({"documents": None}, "documents: null is not an array"),
    (
        {"documents": ["a", None]},
        "documents[1]: null is not a string or an object",
    ),
    (
        {"documents": ["a", {}]},
        'documents[1]: "text" is a required property, or "image" is a required property',
    ),
    ({"documents": ["a", {"text": 5}]}, "documents[1].text: 5 is not a string"),
    ({"documents": ["a", {"text": "b", "image": 5}]}, "documents[1].image: 5 is not a string"),
    ({"query": None}, "query: null is not a string"),
    ({"query": ["red"]}, "query: an array of 1 is not a string"),
    ({"model": 5}, "model: 5 is not a string"),
    ({"provider": "Cohere"}, 'provider: "Cohere" is not an object or null'),
    ({"provider": {"order": "Cohere"}}, 'provider.order: "Cohere" is not an array or null'),
    ({"provider": {"sort": {"by": 1}}}, "provider.sort.by: 1 is not a string or null"),
    ({"documents": NESTED}, "body: a wrong value in it is nested too deeply to say more"),
    ({"trace": {"trace_id": NESTED}}, "body: a wrong value in it is nested too deeply to say more"),
    ({"session_id": "x" * 257}, f'session_id: "{"x" * 40}"... is longer than 256 characters'),
    ({"trace": {"trace_id": 1}}, "trace.trace_id: 1 is not a string"),
]


@pytest.mark.parametrize(("change", "message"), ILLEGAL)
def test_what_the_contract_forbids_is_refused_with_its_place(
    ask: Ask, change: dict[str, object], message: str
) -> None:
    """A body that breaks openapi.yaml gets 400: where it does, what is there, and what should be."""
    assert post(ask, change) == {"error": {"code": 400, "message": message}}


@pytest.mark.parametrize("name", ["model", "query", "documents"])
def test_a_missing_field_is_named(ask: Ask, name: str) -> None:
    """A body without a required field gets 400, and the message names the field."""
    body = json.dumps({key: value for key, value in REQUEST.items() if key != name}).encode()
    answer = judged(ask("POST", "/rerank", KEYED, body))
    assert answer["error"] == {"code": 400, "message": f'body: "{name}" is a required property'}


LEGAL_TEXT = json.dumps(REQUEST)[:-1]
UNREADABLE: list[tuple[bytes, str]] = [
    (b"", "The body is not JSON: Expecting value: line 1 column 1 (char 0)"),
    (b" ", "The body is not JSON: Expecting value: line 1 column 2 (char 1)"),
    (b"{", "The body is not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
    (b"{}{}", "The body is not JSON: Extra data: line 1 column 3"),
    (b"\xef\xbb\xbf{}", "The body is not JSON: Unexpected UTF-8 BOM"),
    (b'{"query": "\xff"}', "The body is not UTF-8: byte 11 "),
    ("{}".encode("utf-16"), "The body is not UTF-8: byte 0 "),
    (LEGAL_TEXT.encode() + b', "top_n": NaN}', "The body is not JSON: NaN is not a number of JSON"),
    (LEGAL_TEXT.encode() + b', "x": -Infinity}', "The body is not JSON: -Infinity is not a number of JSON"),
    (LEGAL_TEXT.encode() + b', "x": 1e999}', "The body is not JSON: a number is too large"),
    (LEGAL_TEXT.encode() + b', "x": ' + b"9" * 9_999 + b"}", "The body is not JSON: "),
    (LEGAL_TEXT.encode() + b', "query": "b"}', 'The body is not JSON: "query" occurs twice in one object'),
    (b'{"\\ud800": 1, "\\ud800": 2}', 'The body is not JSON: "\\ud800" occurs twice in one object'),
    (
        LEGAL_TEXT.encode() + b', "x": "\\uD83D"}',
        "The body is not JSON: a \\u escape is half of a surrogate pair",
    ),
    (
        LEGAL_TEXT.encode() + b', "\\udc00": 1}',
        "The body is not JSON: a \\u escape is half of a surrogate pair",
    ),
    (b"[" * 99_999, "The body is nested too deeply"),
    (b"[]", "body: [] is not an object"),
    (b"null", "body: null is not an object"),
    (b'"text"', 'body: "text" is not an object'),
]


@pytest.mark.parametrize(("body", "message"), UNREADABLE)
def test_what_is_not_a_json_object_is_refused(ask: Ask, body: bytes, message: str) -> None:
    """A body that is not strictly a JSON object gets 400, and the message says what is wrong with it."""
    error = judged(ask("POST", "/api/v1/rerank", KEYED, body))["error"]
    assert error["code"] == 400
    assert error["message"].startswith(message)


LEGAL: list[tuple[dict[str, object], list[int]]] = [
    ({}, [1, 3, 0, 2]),
    ({"top_n": 1}, [1]),
    ({"top_n": 2.0}, [1, 3]),
    ({"top_n": 4}, [1, 3, 0, 2]),
    ({"top_n": 5}, [1, 3, 0, 2]),
    ({"top_n": 10**30}, [1, 3, 0, 2]),
    ({"top_n": 1e300}, [1, 3, 0, 2]),
    ({"query": ""}, [0, 1, 2, 3]),
    ({"model": ""}, [1, 3, 0, 2]),
    ({"provider": None}, [1, 3, 0, 2]),
    ({"provider": {"order": None, "new": 1}}, [1, 3, 0, 2]),
    ({"return_documents": False, "max_tokens_per_doc": 5, "": None, "priority": "x"}, [1, 3, 0, 2]),
    ({"x": NESTED, "trace": {"x": NESTED}}, [1, 3, 0, 2]),
    ({"documents": ["red"] * 3}, [0, 1, 2]),
    ({"documents": ["", " ", "red"]}, [2, 0, 1]),
    ({"documents": ["green", {"text": "red green"}, {"image": "red green blue"}, ""]}, [1, 0, 2, 3]),
]


@pytest.mark.parametrize(("change", "indices"), LEGAL)
def test_what_the_contract_allows_is_ranked(ask: Ask, change: dict[str, object], indices: list[int]) -> None:
    """Every legal body is ranked best first, ties by position, and cut to top_n."""
    results = post(ask, change)["results"]
    assert [result["index"] for result in results] == indices
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)


def test_an_answer_is_complete(ask: Ask) -> None:
    """An answer has everything that the contract names; its model is what ranked, not what was asked for."""
    answer = post(ask, {"top_n": 1})
    assert re.fullmatch(r"gen-rerank-[0-9]{10}-[0-9a-zA-Z]{20}", answer.pop("id"))
    assert answer == {
        "model": "local/overlap",
        "provider": "reference",
        "results": [{"index": 1, "relevance_score": 3.0, "document": {"text": "red green blue"}}],
        "usage": {"search_units": 1, "total_tokens": 13, "cost": 0},
    }


def test_documents_come_back_as_they_were_sent(ask: Ask) -> None:
    """The echo holds text and image unaltered, whatever characters they are made of, and no other key."""
    texts = [
        "",
        " \t\r\n ",
        "\0\x1f\x7f",
        "\u2028\ufeff",
        "na\u0308ive",
        "日本語",
        "\U0001f469‍\U0001f52c",
        "</script>",
        "x" * 9_999,
    ]
    image = "data:image/png;base64," + "A" * 9_999
    documents = [
        *texts,
        *({"text": text, "extra": 1} for text in texts),
        {"image": image},
        {"image": "", "text": "t"},
    ]
    echoed = sorted(post(ask, {"documents": documents})["results"], key=lambda result: result["index"])
    echo = [{"text": text} for text in texts]
    assert [result["document"] for result in echoed] == [
        *echo,
        *echo,
        {"image": image},
        {"image": "", "text": "t"},
    ]


@pytest.mark.parametrize("prefix", ["/api/v1", "/v1", "/v2", ""])
def test_each_prefix_is_answered(ask: Ask, prefix: str) -> None:
    """The same request is ranked under the vendor's path and under those of other vendors' clients."""
    assert post(ask, path=f"{prefix}/rerank")["results"][0]["index"] == 1


@pytest.mark.parametrize(
    "path", ["/", "/rerank/", "//rerank", "/v3/rerank", "/api/v1/models/", "/v1/RERANK", "/%00"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths_are_not_found(ask: Ask, method: str, path: str) -> None:
    """Every other path gets 404 in the envelope, whatever the method."""
    assert judged(ask(method, path, KEYED, b""))["error"]["code"] == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "BREW"])
def test_other_methods_are_not_allowed(ask: Ask, method: str) -> None:
    """Every method but POST gets 405 in the envelope, with the one that is allowed."""
    answer = ask(method, "/api/v1/rerank", JSON, b"")
    assert judged(answer)["error"]["code"] == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(("path", "status"), [("/v1/rerank", 405), ("/", 404)])
def test_head_has_no_body(ask: Ask, path: str, status: int) -> None:
    """HEAD gets the status that GET gets, and nothing after the headers."""
    answer = ask("HEAD", path, {}, b"")
    assert (answer.status, answer.body) == (status, b"")


LISTS = Draft202012Validator({**contract.load().document, "$ref": "#/components/schemas/ModelList"})


def listed(ask: Ask, query: str = "output_modalities=rerank", path: str = "/api/v1/models") -> dict[str, Any]:
    """Return the list of models after it is validated by the contract."""
    answer = ask("GET", f"{path}?{query}", KEYED, b"")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    body: dict[str, Any] = json.loads(answer.body)
    LISTS.validate(body)
    return body


@pytest.mark.parametrize("prefix", ["/api/v1", "/v1", "/v2", ""])
def test_the_model_that_ranks_is_listed(ask: Ask, prefix: str) -> None:
    """The one model of the list is what every ranking is by; nothing is said of its price but 0."""
    body = listed(ask, path=f"{prefix}/models")
    assert [model["id"] for model in body["data"]] == [post(ask)["model"]]
    assert (body["total_count"], body["links"]) == (1, {"next": None})
    (model,) = body["data"]
    assert model["architecture"]["output_modalities"] == ["rerank"]
    assert set(model["pricing"].values()) == {"0"}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("output_modalities=rerank", 1),
        ("output_modalities=text,rerank", 1),
        ("output_modalities=text,%20rerank", 1),
        ("output_modalities=all", 1),
        ("output_modalities=text", 0),
        ("output_modalities=", 0),
        ("output_modalities=rerank&sort=newest&sort=context", 1),
        ("", 0),
    ],
)
def test_models_are_listed_by_what_they_give(ask: Ask, query: str, count: int) -> None:
    """Without `output_modalities`, as at the vendor, only models that write text are listed: here none."""
    body = listed(ask, query)
    assert (len(body["data"]), body["total_count"]) == (count, count)


class Nine(Reference):
    """A server of nine models."""

    def models(self) -> list[dict[str, Any]]:
        """Nine that differ by name."""
        (model,) = super().models()
        return [model | {"id": f"some/model-{number}"} for number in range(9)]


@pytest.mark.parametrize(
    ("query", "numbers", "following"),
    [
        ("", range(9), None),
        ("&limit=9", range(9), None),
        ("&limit=1000", range(9), None),
        ("&limit=4", range(4), {"offset": "4", "limit": "4"}),
        ("&limit=4&offset=4", range(4, 8), {"offset": "8", "limit": "4"}),
        ("&limit=4&offset=8", range(8, 9), None),
        ("&offset=8", range(8, 9), None),
        ("&offset=9", range(0), None),
        ("&offset=99999999999999999999", range(0), None),
    ],
)
def test_models_are_listed_by_page(query: str, numbers: range, following: dict[str, str] | None) -> None:
    """A page has what it is asked for, and the address of the next one, where there is one."""
    body = listed(Nine(overlap).answer, f"output_modalities=rerank{query}")
    assert [model["id"] for model in body["data"]] == [f"some/model-{number}" for number in numbers]
    assert body["total_count"] == 9
    found = body["links"]["next"]
    assert (found is None) == (following is None)
    if found:
        address = httpx.URL(found)
        assert (address.path, dict(address.params)) == (
            "/api/v1/models",
            {"output_modalities": "rerank", **(following or {})},
        )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("offset=-1", 'offset: "-1" is not an integer from 0'),
        ("offset=two", 'offset: "two" is not an integer from 0'),
        ("offset=", 'offset: "" is not an integer from 0'),
        ("offset=%D9%A1", 'offset: "\\u0661" is not an integer from 0'),
        ("limit=0", 'limit: "0" is not an integer from 1 to 1000'),
        ("limit=1001", 'limit: "1001" is not an integer from 1 to 1000'),
        ("limit=1.5", 'limit: "1.5" is not an integer from 1 to 1000'),
        (f"limit={'9' * 9_999}", f'limit: "{"9" * 40}" is not an integer from 1 to 1000'),
        ("offset=1&offset=1", "offset appears twice in the query string"),
    ],
)
def test_an_illegal_page_is_refused(ask: Ask, query: str, message: str) -> None:
    """A parameter that breaks openapi.yaml gets 400, and the message says which, and what it should be."""
    answer = judged(ask("GET", f"/models?{query}", KEYED, b""))
    assert answer == {"error": {"code": 400, "message": message}}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_models_are_not_changed(ask: Ask, method: str) -> None:
    """Every method but GET and HEAD gets 405 for the models, with those that are allowed."""
    answer = ask(method, "/api/v1/models", KEYED, b"{}")
    assert judged(answer)["error"]["code"] == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_the_head_of_the_models_has_no_body(ask: Ask) -> None:
    """HEAD gets the status that GET gets, and nothing after the headers."""
    answer = ask("HEAD", "/v1/models", KEYED, b"")
    assert (answer.status, answer.body) == (200, b"")


def test_the_models_want_the_key_too(ask: Ask) -> None:
    """The list of models needs a key if a ranking does."""
    answer = ask("GET", "/models", {}, b"")
    assert judged(answer)["error"]["code"] == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_query_is_no_part_of_a_path(ask: Ask) -> None:
    """A query string changes no ranking, and a quoted question mark is part of the path."""
    assert post(ask, path="/rerank?a=b")["results"][0]["index"] == 1
    assert post(ask, path="/rerank%3Fa=b")["error"]["code"] == 404


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON ; charset=utf-8", 200),
        ("", 400),
        ("text/plain", 400),
        ("application/x-www-form-urlencoded", 400),
        ("multipart/form-data; boundary=application/json", 400),
        ("application/jsonl", 400),
        ("x" * 9_999, 400),
    ],
)
def test_a_body_has_to_be_declared_as_json(ask: Ask, content_type: str, status: int) -> None:
    """Another Content-Type, or none, gets 400: the contract documents no 415."""
    headers = {**KEYED, "content-type": content_type}
    answer = ask("POST", "/rerank", headers, json.dumps(REQUEST).encode())
    body = judged(answer)
    assert answer.status == status
    if status == 400:
        assert re.match(
            r"Content-Type is (missing|'[^']{1,40}'): expected application/json$", body["error"]["message"]
        )


@pytest.mark.parametrize(
    ("authorization", "message", "challenge"),
    [
        (None, "No key was sent: send the header Authorization: Bearer <key>", "Bearer"),
        ("", "No key was sent: send the header Authorization: Bearer <key>", "Bearer"),
        (KEY, "No key was sent: send the header Authorization: Bearer <key>", "Bearer"),
        (f"Basic {KEY}", "No key was sent: send the header Authorization: Bearer <key>", "Bearer"),
        ("Bearer", "The key is unknown to this server", 'Bearer error="invalid_token"'),
        (f"Bearer {KEY}x", "The key is unknown to this server", 'Bearer error="invalid_token"'),
        (f"Bearer {KEY[:-1]}", "The key is unknown to this server", 'Bearer error="invalid_token"'),
        (f"Bearer {KEY} {KEY}", "The key is unknown to this server", 'Bearer error="invalid_token"'),
        (f"Bearer {KEY}, Bearer {KEY}", "The key is unknown to this server", 'Bearer error="invalid_token"'),
        (f"Bearer {KEY.upper()}", "The key is unknown to this server", 'Bearer error="invalid_token"'),
    ],
)
@pytest.mark.parametrize("body", [b"", b"{", b"x" * (MAX_BODY + 1), json.dumps(REQUEST).encode()])
def test_a_key_is_asked_for_before_the_body_is_read(
    ask: Ask, authorization: str | None, message: str, challenge: str, body: bytes
) -> None:
    """Without a right key nothing but 401 is answered, whatever the body, and it tells what to send."""
    headers = {} if authorization is None else {"authorization": authorization}
    answer = ask("POST", "/api/v1/rerank", {**JSON, **headers}, body)
    assert answer.status == 401
    error = json.loads(answer.body)["error"]
    assert error == {"code": 401, "message": message}
    assert answer.headers["www-authenticate"] == challenge
    assert KEY not in str(answer)


@pytest.mark.parametrize("authorization", [f"Bearer {KEY}", f"bearer  {KEY} ", "BEARER another-key"])
def test_each_key_is_let_in(reference: Reference, authorization: str) -> None:
    """Any of the keys opens, under the scheme in upper or lower case."""
    headers = {"Content-Type": "application/json", "Authorization": authorization}
    assert reference.answer("POST", "/rerank", headers, json.dumps(REQUEST).encode()).status == 200


def test_an_open_server_asks_for_no_key() -> None:
    """Without keys every request is let in, with any key or none."""
    for headers in (JSON, KEYED, {**JSON, "authorization": "Basic x"}):
        answer = Reference(overlap).answer("POST", "/rerank", headers, json.dumps(REQUEST).encode())
        assert judged(answer)["results"][0]["index"] == 1


@pytest.mark.parametrize("keys", [[], [""], "a-key", {KEY, ""}])
def test_keys_that_would_open_to_nobody_or_anybody_are_refused(keys: Collection[str]) -> None:
    """No keys, an empty key, or a text in place of a collection raise before anything is served."""
    with pytest.raises(ValueError, match="at least one key and no empty ones") as raised:
        Reference(overlap, keys=keys)
    assert KEY not in str(raised.value)


def test_the_key_is_in_no_repr(reference: Reference) -> None:
    """Neither the server nor a request to it shows a key."""
    seen: list[str] = []

    class Watched(Reference):
        def route(self, request: ReferenceRequest) -> None:
            seen.append(repr(request))

    Watched(overlap, keys={KEY}).answer("POST", "/rerank", KEYED, KEY.encode())
    assert len(seen) == 1
    assert KEY not in f"{seen} {reference!r}"


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 400), (MAX_BODY + 1, 413), (3 * MAX_BODY, 413)])
def test_a_body_over_the_limit_is_refused(ask: Ask, size: int, status: int) -> None:
    """A body of the largest size is read, and a byte more gets 413 with the limit."""
    answer = judged(ask("POST", "/rerank", KEYED, b" " * size))
    assert answer["error"]["code"] == status
    assert (f"larger than {MAX_BODY} bytes" in answer["error"]["message"]) == (status == 413)


def test_a_body_is_refused_before_its_end() -> None:
    """Once a body is over the limit it gets its 413, though the client would send more."""
    with (
        running(Reference(overlap, max_body=10)) as url,
        socket.create_connection(_address(url), timeout=60) as peer,
    ):
        peer.sendall(b"POST /rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.sendall(b"b\r\n" + b"x" * 11 + b"\r\n")
        assert peer.recv(1_000).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_in_the_middle_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends before its body does is not logged as a fault, and the next one is served."""
    with running(Reference(overlap)) as url:
        with socket.create_connection(_address(url), timeout=60) as peer:
            peer.sendall(b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert httpx.post(f"{url}/rerank", json=REQUEST).status_code == 200
    assert caplog.records == []


def _address(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


def faulty(scores: Sequence[float]) -> Scorer:
    """Make a scorer that returns these scores for any texts."""
    return lambda _query, _texts: scores


def raising(query: str, texts: Sequence[str]) -> Sequence[float]:
    """Make a scorer that fails with a secret in its message."""
    message = f"a secret about {query} and {texts}"
    raise RuntimeError(message)


@pytest.mark.parametrize(
    ("scorer", "logged"),
    [
        (faulty([1, 2, 3]), "gave 3 scores for 4 documents"),
        (faulty([1, 2, 3, 4, 5]), "gave 5 scores for 4 documents"),
        (faulty([]), "gave 0 scores for 4 documents"),
        (faulty([1, 2, math.nan, 4]), "a score that is not a finite number"),
        (faulty([1, 2, math.inf, 4]), "a score that is not a finite number"),
        (faulty([1, 2, -math.inf, 4]), "a score that is not a finite number"),
        (raising, "a secret about red"),
    ],
)
def test_a_scorer_at_fault_is_a_500_that_only_the_log_explains(
    scorer: Scorer, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A scorer that fails or gives bad scores makes a 500; the reason goes to the log, not to the client."""
    with caplog.at_level(logging.ERROR, "rerank_conformance.reference"):
        answer = rank(Reference(scorer))
    assert answer == {"error": {"code": 500, "message": "The server failed; its log says why"}}
    assert logged in caplog.text
    assert "secret" not in str(answer)


def test_a_scorer_can_refuse() -> None:
    """A scorer that raises a refusal decides status, message and headers of the answer."""

    def busy(query: str, texts: Sequence[str]) -> list[float]:
        raise Refusal(429, f"{len(texts)} is too many for {query}", {"retry-after": "2"})

    answer = Reference(busy).answer("POST", "/rerank", JSON, json.dumps(REQUEST).encode())
    assert judged(answer) == {"error": {"code": 429, "message": "4 is too many for red green blue"}}
    assert answer.headers["retry-after"] == "2"


def test_the_scorer_gets_each_text_once_and_in_order() -> None:
    """The scorer sees one text per document, none merged or dropped; an image alone has an empty one."""
    seen: list[object] = []

    def watching(query: str, texts: Sequence[str]) -> list[float]:
        seen.append((query, list(texts)))
        return [0.0] * len(texts)

    documents = ["b", {"text": "a", "image": "i"}, {"image": "i"}, "b", ""]
    rank(Reference(watching), documents=documents, top_n=1)
    assert seen == [("red green blue", ["b", "a", "", "b", ""])]


def test_any_finite_number_is_a_score() -> None:
    """Scores need not lie between 0 and 1: negative, huge, tiny and integral ones come back as they are."""
    scores = [-5, 1e300, 5e-324, 7]
    results = rank(Reference(faulty(scores)))["results"]
    assert [(result["index"], result["relevance_score"]) for result in results] == [
        (1, 1e300),
        (3, 7),
        (2, 5e-324),
        (0, -5),
    ]


@pytest.mark.parametrize(("documents", "searches"), [(1, 1), (100, 1), (101, 2), (1_000, 10)])
def test_a_search_is_a_hundred_documents(documents: int, searches: int) -> None:
    """Usage counts one search for every hundred documents begun, and one token for every four characters begun."""
    usage = rank(Reference(overlap), query="q", documents=["12345678"] * documents)["usage"]
    assert usage == {"search_units": searches, "total_tokens": 2 * documents + 1, "cost": 0}


def test_compat_adds_what_other_clients_insist_on() -> None:
    """In compatibility mode an answer also has Cohere's meta and the token counts of others."""
    plain, compat = (rank(Reference(overlap, compat=compat, new_id=lambda: "id")) for compat in (False, True))
    assert compat.pop("meta") == {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    assert (compat["usage"].pop("prompt_tokens"), compat["usage"].pop("completion_tokens")) == (13, 0)
    assert compat == plain


def test_one_step_is_overridden_alone() -> None:
    """A server that differs in one step is a subclass that overrides one method."""

    class Unsorted(Reference):
        def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
            return list(enumerate(scores))

    assert [result["index"] for result in rank(Unsorted(overlap))["results"]] == [0, 1, 2, 3]


def over_asgi(reference: Reference) -> httpx.AsyncBaseTransport:
    """Make a transport to the server as an ASGI app."""
    return httpx.ASGITransport(app(reference))


@pytest.mark.parametrize("transport", [ReferenceTransport, over_asgi])
def test_ranking_does_not_hold_up_the_event_loop(
    transport: Callable[[Reference], httpx.AsyncBaseTransport],
) -> None:
    """While a scorer works, the event loop that asked goes on: here it is what lets the scorer end."""
    end = threading.Event()

    def waiting(_query: str, texts: Sequence[str]) -> list[float]:
        loop.call_soon_threadsafe(end.set)
        return [1.0 if end.wait(60) else math.nan] * len(texts)

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport(Reference(waiting)), base_url="http://x") as client:
            return await client.post("/rerank", json=REQUEST)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        assert runner.run(main()).status_code == 200


def test_a_server_serves_many_at_once() -> None:
    """Over TCP one slow ranking does not hold up another."""
    both = threading.Barrier(2, timeout=60)

    def meeting(_query: str, texts: Sequence[str]) -> list[float]:
        both.wait()
        return [0.0] * len(texts)

    async def main(url: str) -> list[int]:
        async with httpx.AsyncClient(base_url=url) as client:
            answers = await asyncio.gather(*(client.post("/rerank", json=REQUEST) for _ in range(2)))
        return [answer.status_code for answer in answers]

    with running(Reference(meeting)) as url:
        assert asyncio.run(main(url)) == [200, 200]


def python(code: str, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Run a Python process that finds the packages where this one does."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=cwd,
    )


SERVE = """
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import serve
serve(Reference(lambda query, texts: [0.0] * len(texts)), port=0, ready=print)
print("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_says_its_port_and_ends_when_told(number: signal.Signals) -> None:
    """`serve` reports the port that it got once it answers there, and a signal ends it without a trace."""
    with python(SERVE) as process:
        assert process.stdout
        try:
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]+", url)
            assert httpx.post(f"{url}/rerank", json=REQUEST).status_code == 200
            process.send_signal(number)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (output, errors, process.returncode) == ("ended\n", "", 0)


# A scorer that never ends, and a client that may wait for it for ever.
ENDLESS = """
import threading
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import serve

def score(query, texts):
    print("scoring", flush=True)
    threading.Event().wait()

serve(Reference(score), port=0, ready=lambda url: print(url, flush=True))
print("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("leaves", [True, False], ids=["the client has left", "the client waits"])
def test_a_server_ends_whatever_it_scores(number: signal.Signals, leaves: bool) -> None:
    """A request whose scorer does not end keeps neither `serve` nor its process, though nobody waits for it any more."""
    with python(ENDLESS) as process, ExitStack() as stack:
        assert process.stdout
        try:
            host, _, port = process.stdout.readline().strip().removeprefix("http://").partition(":")
            client = stack.enter_context(socket.create_connection((host, int(port))))
            body = json.dumps(REQUEST).encode()
            head = f"POST /rerank HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            client.sendall(head.encode() + b"\r\n\r\n" + body)
            assert process.stdout.readline() == "scoring\n"
            if leaves:
                client.close()
            process.send_signal(number)
            output, errors = process.communicate(timeout=60)
            answer = b"" if leaves else client.recv(65536)
        finally:
            process.kill()
    assert (output, process.returncode) == ("ended\n", 0)
    assert "Traceback" not in errors
    assert leaves or answer.startswith(b"HTTP/1.1 503 ")


CANCELLED = """
import sys, threading
import anyio, httpx
from rerank_conformance.reference import Reference
from rerank_conformance.reference.inprocess import ReferenceTransport

async def main():
    async with anyio.create_task_group() as group:
        def score(query, texts):
            signal.set()
            threading.Event().wait()
        signal = threading.Event()
        async def ask():
            async with httpx.AsyncClient(transport=ReferenceTransport(Reference(score))) as client:
                await client.post("http://h/rerank", json={"model": "m", "query": "q", "documents": ["a"]}, timeout=None)
        group.start_soon(ask)
        while not signal.is_set():
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    print("cancelled")

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_call_keeps_no_process(backend: str) -> None:
    """A local call that was cancelled while its scorer runs does not keep the process from ending."""
    if backend == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    with python(CANCELLED, backend) as process:
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (output, errors, process.returncode) == ("cancelled\n", "", 0)


def test_a_server_frees_its_port() -> None:
    """After the block of `running` nobody listens at its URL."""
    with running(Reference(overlap)) as url:
        assert httpx.get(url).status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


LAZY = """
import sys
import rerank_conformance.reference
print(*sorted({"anyio", "httpx", "starlette", "uvicorn"} & set(sys.modules)))
"""


def test_the_server_itself_needs_no_web_library() -> None:
    """Importing the reference server imports none of the libraries that its shells need."""
    with python(LAZY) as process:
        assert process.communicate(timeout=60) == ("\n", "")


FIND = "from rerank_conformance import contract; print(contract.find())"


@pytest.mark.parametrize(
    ("places", "found"),
    [
        (["openapi.yaml"], "openapi.yaml"),
        (
            ["contract_tests/rerank_conformance/openapi.yaml"],
            "contract_tests/rerank_conformance/openapi.yaml",
        ),
        (
            ["openapi.yaml", "contract_tests/rerank_conformance/openapi.yaml"],
            "contract_tests/rerank_conformance/openapi.yaml",
        ),
        ([], None),
    ],
)
def test_the_contract_is_found_beside_the_package_or_at_the_root(
    tmp_path: Path, places: list[str], found: str | None
) -> None:
    """The packaged contract wins over the checkout's; without either, the error says where it was sought."""
    package = tmp_path / "contract_tests" / "rerank_conformance"
    package.mkdir(parents=True)
    shutil.copy(contract.__file__, package)
    (package / "__init__.py").touch()
    for place in places:
        (tmp_path / place).touch()
    with python(FIND, cwd=tmp_path / "contract_tests") as process:
        output, errors = process.communicate(timeout=60)
    if found:
        assert (output.strip(), errors) == (str(tmp_path / found), "")
    else:
        assert (
            f"openapi.yaml is neither in {package} nor in {tmp_path}: install openrouter-rerank again"
            in errors
        )


def test_the_contract_has_a_version_and_a_schema_for_each_status() -> None:
    """The loaded contract has its version, and the schema of each documented status with its place in it."""
    loaded = contract.load()
    assert loaded.version == loaded.document["info"]["version"]
    assert loaded.request.pointer == "#/components/schemas/RerankRequest"
    assert loaded.responses[200].pointer == "#/components/schemas/RerankResponse"
    assert {schema.pointer for schema in loaded.responses.values()} == {
        "#/components/schemas/RerankResponse",
        "#/components/schemas/ErrorResponse",
    }


def test_a_server_speaks_the_contract_that_it_is_told_to() -> None:
    """A server of an older contract has the paths of that one alone, and what there is no contract of is refused."""
    older, newest = Reference(contract_version="1.0.0"), Reference()
    assert (older.contract.version, newest.contract.version) == ("1.0.0", contract.load().version)
    assert older.answer("GET", "/v1/models", {}, b"").status == 404
    assert newest.answer("GET", "/v1/models", {}, b"").status == 200
    with pytest.raises(
        ValueError, match=r"there is no contract '\.\./openapi': this kit has those of 1\.0\.0"
    ):
        Reference(contract_version="../openapi")


def test_a_violation_knows_the_place_in_the_contract() -> None:
    """A violation points to the keyword of openapi.yaml that it breaks, and the pointer leads there."""
    violation = contract.load().request.violation({**REQUEST, "top_n": 0})
    assert violation
    assert violation.source == "#/components/schemas/RerankRequest/properties/top_n/minimum"
    parent, _, keyword = violation.source.rpartition("/")
    assert contract.load().at(parent)[1][keyword] == 1


def test_a_body_that_is_wrong_throughout_is_refused_at_once() -> None:
    """Of a million wrong documents the first is told, in the time that it takes to read the body."""
    body = b'{"model": "m", "query": "q", "documents": [' + b"{}," * 1_000_000 + b"{}]}"
    begun = time.monotonic()
    error = judged(Reference(overlap).answer("POST", "/rerank", JSON, body))["error"]
    assert error["message"].startswith("documents[0]: ")
    assert time.monotonic() - begun < 60


CONFIG = schemathesis.Config.from_dict(
    {
        "generation": {"max-examples": 15, "deterministic": True},
        "auth": {"openapi": {"apiKey": {"bearer": KEY}}},
        "checks": {
            # by default a server that refuses everything passes, and one that refuses with any 4xx
            "positive_data_acceptance": {"expected-statuses": ["200"]},
            "negative_data_rejection": {"expected-statuses": ["400", "401", "405", "413"]},
        },
    }
)
SCHEMA = schemathesis.openapi.from_dict(dict(contract.load().document), config=CONFIG)
SCHEMA.app = app(Reference(overlap, keys={KEY}))


@SCHEMA.parametrize()
def test_generated_requests_find_nothing(case: "Case[Any]") -> None:
    """Requests that schemathesis makes from the contract, legal or not, are answered as the contract says."""
    case.call_and_validate()


OPEN = Reference(overlap, max_body=MAX_BODY)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def never_fails(body: bytes) -> None:
    """Any body is ranked or refused as the contract says."""
    answer = OPEN.answer("POST", "/rerank", JSON, body)
    judged(answer)
    assert answer.status in {200, 400, 413}


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_bytes_break_it(body: bytes) -> None:
    """Bytes of any kind get a documented answer that is no fault of the server's."""
    never_fails(body)


@given(st.dictionaries(st.sampled_from([*REQUEST, "top_n", "provider", "trace", "x"]), ANYTHING))
@settings(max_examples=200, deadline=None)
def test_no_json_breaks_it(change: dict[str, object]) -> None:
    """JSON of any shape, NaN and halves of surrogate pairs included, gets a documented answer."""
    never_fails(json.dumps({**REQUEST, **change}).encode())


@given(
    st.integers(0, len(LEGAL_TEXT)),
    st.integers(0, len(LEGAL_TEXT)),
    st.binary(max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_no_damage_breaks_it(start: int, end: int, put: bytes) -> None:
    """A legal body with a part cut out and bytes put in its place gets a documented answer."""
    body = (LEGAL_TEXT + "}").encode()
    never_fails(body[:start] + put + body[end:])


@given(
    method=st.text(max_size=5),
    path=st.sampled_from(["/rerank", "/"]) | st.text(max_size=9),
    headers=st.dictionaries(st.sampled_from(["content-type", "Authorization"]), st.text(max_size=9)),
)
@settings(max_examples=200, deadline=None)
def test_no_head_breaks_it(method: str, path: str, headers: dict[str, str]) -> None:
    """Methods, paths and headers of any text get an error in the envelope."""
    answer = Reference(overlap, keys={KEY}).answer(method, path, headers, b"")
    judged(answer)
    assert answer.status in {401, 404, 405}
