"""Every decision of a call, by tables and by hand: arguments into a request, outcomes into a ranking or an error."""

from __future__ import annotations

import copy
import inspect
import json
import math
import re
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import h11
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from driving import DOCUMENTS, answered, body, call, finish, ranked, sent, settings
from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    InvalidResponseError,
    Ranking,
    RateLimitError,
    RequestTimeoutError,
    Reranker,
    RerankError,
    ResponseError,
    Retries,
    ServerError,
    StatusError,
    Usage,
)
from openrouter_rerank.operations import BackOff, Load, Wait
from openrouter_rerank.version import VERSION
from openrouter_rerank_api.models import ProviderPreferences, ProviderSort, Trace
from shells import KEY, SOON, Clock, Shell

# The request


def test_the_smallest_request() -> None:
    """Options that are not set are not sent, not even as null."""
    assert body() == {"model": "cohere/rerank-v3.5", "query": "q", "documents": DOCUMENTS}


ARGUMENTS = [
    ("model", "voyageai/rerank-2.5", "voyageai/rerank-2.5"),
    ("top_n", 2, 2),
    ("provider", {"order": ["cohere"], "zdr": True}, {"order": ["cohere"], "zdr": True}),
    (
        "provider",
        {"sort": {"by": "price", "partition": "none"}},
        {"sort": {"by": "price", "partition": "none"}},
    ),
    ("provider", {"options": {"cohere": {"any": ["thing"]}}}, {"options": {"cohere": {"any": ["thing"]}}}),
    ("provider", ProviderPreferences(sort=ProviderSort(by="price")), {"sort": {"by": "price"}}),
    ("provider", {"sort": "a value of tomorrow"}, {"sort": "a value of tomorrow"}),
    ("session_id", "s", "s"),
    ("user", "u", "u"),
    (
        "trace",
        {"trace_name": "t", "customer_tier": {"any": 1}},
        {"trace_name": "t", "customer_tier": {"any": 1}},
    ),
    ("trace", Trace(span_name="s"), {"span_name": "s"}),
]


@pytest.mark.parametrize(("name", "value", "wire"), ARGUMENTS)
def test_arguments_reach_the_wire(name: str, value: Any, wire: Any) -> None:
    """Each argument is sent under its own name, from the call, from the client, and from the call in place of the client's."""
    expected = {"model": "cohere/rerank-v3.5", "query": "q", "documents": DOCUMENTS, name: wire}
    other = {"model": "other", "top_n": 1, "session_id": "other", "user": "other"}.get(name, {})

    assert body(**{name: value}) == expected
    assert body({name: value}) == expected
    assert body({name: value}, **{name: None}) == expected
    assert body({name: other}, **{name: value}) == expected


class Three:
    """An integer that is none of Python's, as numpy's are."""

    def __index__(self) -> int:
        return 3

    __int__ = __index__


@pytest.mark.parametrize(
    ("top_n", "wire"), [(1, 1), (2, 2), (3, 3), (4, 3), (10**30, 3), (Three(), 3), (None, None)]
)
def test_top_n_is_clamped(top_n: Any, wire: int | None) -> None:
    """More than there are documents is sent as their number: some servers refuse it."""
    assert body(top_n=top_n).get("top_n") == wire
    assert body({"top_n": top_n}).get("top_n") == wire


def test_documents_of_any_kind() -> None:
    """Documents go out in their order, from any iterable, each in its form."""
    documents = ["a", {"text": "b"}, {"text": "c", "image": "https://images.example/c.png"}]

    assert body(documents=iter(documents))["documents"] == documents
    assert body(documents=dict.fromkeys("ab").keys())["documents"] == ["a", "b"]


def test_extra_body_wins() -> None:
    """Extra keys are sent as they are: over the arguments, and the call's over the client's."""
    client = {"extra_body": {"priority": 1, "return_documents": False, "user": "extra"}, "user": "argument"}

    sent_body = body(client, extra_body={"priority": 2, "provider": {"made_up": None}})

    assert sent_body == {
        "model": "cohere/rerank-v3.5",
        "query": "q",
        "documents": DOCUMENTS,
        "priority": 2,
        "return_documents": False,
        "user": "extra",
        "provider": {"made_up": None},
    }


@pytest.mark.parametrize("value", [None, [], {"a": {"b": [1.5, "x", None]}}, 2**70, -1e300, True])
def test_extra_body_takes_any_json(value: Any) -> None:
    """Every JSON value arrives unchanged."""
    assert body(extra_body={"x": value})["x"] == value


@pytest.mark.parametrize(
    "name", ["to_dict", "additional_properties", "_additional_properties", "__class__", "__init__"]
)
def test_extra_body_takes_any_name(name: str) -> None:
    """A key that is the name of something in our models is still only a key."""
    assert body(extra_body={name: 1})[name] == 1


def test_arguments_are_left_alone() -> None:
    """Arguments are not modified, by the client or by a call."""
    client: dict[str, Any] = {
        "provider": {"order": ["a"]},
        "trace": {"x": 1},
        "extra_body": {"y": 2},
        "extra_headers": {"X-A": "1"},
    }
    arguments: dict[str, Any] = {
        "provider": ProviderPreferences(zdr=True),
        "extra_body": {"z": 3},
        "extra_headers": {"X-A": "2"},
        "documents": [{"text": "a"}],
    }
    before = copy.deepcopy((client, arguments))

    sent(client, **arguments)

    assert (client, arguments) == before


# Headers

OURS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Content-Type": "application/json",
    "User-Agent": f"openrouter-rerank/{VERSION}",
    "Authorization": f"Bearer {KEY}",
}


@pytest.mark.parametrize(
    ("client", "arguments", "changes"),
    [
        ({}, {}, {}),
        ({"api_key": ""}, {}, {"Authorization": None}),
        (
            {"app_title": "T", "app_referer": "https://app.example", "app_categories": "a,b"},
            {},
            {
                "X-OpenRouter-Title": "T",
                "HTTP-Referer": "https://app.example",
                "X-OpenRouter-Categories": "a,b",
            },
        ),
        ({"app_categories": ["cli-agent", "search"]}, {}, {"X-OpenRouter-Categories": "cli-agent,search"}),
        ({"extra_headers": {"X-A": "1"}}, {}, {"X-A": "1"}),
        (
            {"extra_headers": {"X-A": "1"}},
            {"extra_headers": {"x-a": "2", "X-B": ""}},
            {"x-a": "2", "X-B": ""},
        ),
        ({}, {"extra_headers": {"user-agent": "mine"}}, {"User-Agent": None, "user-agent": "mine"}),
        (
            {},
            {"extra_headers": {"authorization": "Basic x"}},
            {"Authorization": None, "authorization": "Basic x"},
        ),
        ({"api_key": f"  {KEY}\n"}, {}, {}),
    ],
)
def test_headers(
    client: dict[str, Any], arguments: dict[str, Any], changes: Mapping[str, str | None]
) -> None:
    """Our headers, the client's and the call's: of one name, in any case, the last one is sent."""
    expected = {name: value for name, value in {**OURS, **changes}.items() if value is not None}

    assert dict(sent(client, **arguments).headers) == expected


@given(
    name=st.one_of(st.text(), st.text("abc-_.! \t", min_size=1)),
    value=st.one_of(st.text(), st.text("abc \t\r\n\x7f", max_size=4)),
)
@example("X-Key", " secret")
@example("X-Key", "secret ")
@example("X-Key", "\tsecret")
def test_headers_that_cannot_be_sent(name: str, value: str) -> None:
    """A header that the transport would refuse is a ValueError with its name and not its value; any other passes."""
    client = settings()
    try:
        headers = next(call(client, extra_headers={name: value})).headers
    except ValueError as error:
        assert repr(re.split(r":|\s\S{8}", name)[0]) in str(error)
        assert "secret" not in str(error)
    else:
        h11.Request(method="POST", target="/", headers=[("Host", "h"), (name, headers[name])])


@pytest.mark.parametrize("name", ["Content-Length", "content-length", "Transfer-Encoding"])
def test_headers_that_follow_from_the_body(name: str) -> None:
    """A header that would contradict the body is refused, in the constructor and in a call."""
    with pytest.raises(ValueError, match=f"^extra_headers: the header '{name}' follows from the body"):
        settings(extra_headers={name: "5"})
    with pytest.raises(ValueError, match=f"^extra_headers: the header '{name}' follows from the body"):
        next(call(settings(), extra_headers={name: "5"}))


@pytest.mark.parametrize("names", [("Host", "host"), ("X-Key", "x-key"), ("Authorization", "AUTHORIZATION")])
def test_headers_that_appear_twice(names: tuple[str, str]) -> None:
    """Two headers whose names differ only in case are refused, in the constructor and in a call."""
    headers = dict.fromkeys(names, "v")
    with pytest.raises(ValueError, match=f"^extra_headers: the header '{names[1]}' appears twice"):
        settings(extra_headers=headers)
    with pytest.raises(ValueError, match=f"^extra_headers: the header '{names[1]}' appears twice"):
        next(call(settings(), extra_headers=headers))


# The address

HOST = "https://h.example"


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/rerank"),
        ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1/rerank"),
        ("https://openrouter.ai/api/v1//", "https://openrouter.ai/api/v1/rerank"),
        ("https://openrouter.ai/api/v1/rerank", "https://openrouter.ai/api/v1/rerank"),
        ("https://openrouter.ai/api/v1/rerank/", "https://openrouter.ai/api/v1/rerank/"),
        (HOST, f"{HOST}/rerank"),
        (f"{HOST}/", f"{HOST}/rerank"),
        (f"{HOST}/rerank", f"{HOST}/rerank"),
        (f"{HOST}/v2", f"{HOST}/v2/rerank"),
        (f"{HOST}/prerank", f"{HOST}/prerank/rerank"),
        (f"{HOST}/v1?api-version=2", f"{HOST}/v1/rerank?api-version=2"),
        (f"{HOST}/v1/rerank?api-version=2", f"{HOST}/v1/rerank?api-version=2"),
        (f"{HOST}/v1#fragment", f"{HOST}/v1/rerank"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1/rerank"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/rerank"),
        ("HTTPS://H.example/v1", "https://H.example/v1/rerank"),
        ("https://ünïcode.example/v1", "https://ünïcode.example/v1/rerank"),
    ],
)
def test_base_url(base_url: str, url: str) -> None:
    """People paste the address of the API, of the operation, with a slash and without: all of them are right."""
    assert settings(base_url=base_url).url == url


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "openrouter.ai/api/v1",
        "ftp://h.example",
        "https://",
        "https:///v1",
        "/v1",
        "https://h.example:99999/v1",
        "https://h.example:port/v1",
        "https://[::1/v1",
        "https://h example/v1",
        "https://h.example/v1\r\nX-Evil: 1",
        "https://h.example/v1\x00",
        5,
        b"https://h.example",
        httpx.URL(HOST),
    ],
)
def test_base_url_that_is_none(base_url: Any) -> None:
    """An address that can never be called is told when the client is made, with one that can."""
    with pytest.raises((ValueError, TypeError), match=r"base_url.*https://openrouter\.ai/api/v1"):
        settings(base_url=base_url)


@pytest.mark.parametrize("userinfo", ["user:secret", "secret", ":secret"])
def test_base_url_with_a_password(userinfo: str) -> None:
    """A password in the address would show in messages, and is refused without showing it."""
    with pytest.raises(ValueError, match="extra_headers") as caught:
        settings(base_url=f"https://{userinfo}@h.example/v1")

    assert "secret" not in str(caught.value)


@given(st.one_of(st.text(), st.text("htps:/[]@.:%?#1a \n").map("http://".__add__)))
def test_base_url_of_any_text(base_url: str) -> None:
    """Every accepted address is also accepted by the http client."""
    try:
        url = settings(base_url=base_url).url
    except ValueError:
        return
    assert httpx.URL(url).host


# The key


def test_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's key is sent, read when the client is made; one that is passed wins over it."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-environment\n")

    assert sent({"api_key": None}).headers["Authorization"] == "Bearer sk-environment"
    assert sent({"api_key": "sk-argument"}).headers["Authorization"] == "Bearer sk-argument"
    assert "Authorization" not in sent({"api_key": ""}).headers


@pytest.mark.parametrize("value", [None, "", " ", "\n"])
def test_key_missing(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """No key, or a blank one in the environment, is told before any request, with three ways out."""
    if value is not None:
        monkeypatch.setenv("OPENROUTER_API_KEY", value)

    with pytest.raises(ValueError, match="no API key") as caught:
        settings(api_key=None)

    for way in ("OPENROUTER_API_KEY", "api_key=", "Reranker.local()"):
        assert way in str(caught.value)


@pytest.mark.parametrize(
    "key", ["se cret", "se\ncret", "sécret", "se\tcret", "secret\x00", "sec\u2028ret", "   "]
)
def test_key_that_is_none(key: str) -> None:
    """A key that no header can carry is refused, and not shown."""
    with pytest.raises(ValueError, match="API key") as caught:
        settings(api_key=key)

    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("key", [5, b"secret", ["secret"], object()])
def test_key_of_another_type(key: Any) -> None:
    """A key that is no text is a TypeError or ValueError that names its type."""
    with pytest.raises((TypeError, ValueError), match=type(key).__name__) as caught:
        settings(api_key=key)

    assert "secret" not in str(caught.value)


# Arguments that are wrong in themselves

WRONG: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"query": ""}, ValueError, ["query", "blank"]),
    ({"query": " \n"}, ValueError, ["query", "blank"]),
    ({"query": None}, TypeError, ["query", "str", "NoneType"]),
    ({"query": b"q"}, TypeError, ["query", "str", "bytes"]),
    ({"query": "\ud800"}, ValueError, ["query", "surrogate"]),
    ({"documents": "abc"}, TypeError, ["documents", "str", "list"]),
    ({"documents": b"abc"}, TypeError, ["documents", "bytes", "list"]),
    ({"documents": {"text": "a"}}, TypeError, ["documents", "dict", "list"]),
    ({"documents": None}, TypeError, ["documents", "iterable", "NoneType"]),
    ({"documents": 5}, TypeError, ["documents", "iterable", "int"]),
    ({"documents": ["a", "\ud800"]}, ValueError, ["document 1", "surrogate"]),
    ({"documents": ["a", {"text": "\ud800"}]}, ValueError, ["document 1", "surrogate"]),
]
# These are wrong in a call and as a client's default alike.
WRONG_ANYWHERE: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"model": ""}, ValueError, ["model", "blank"]),
    ({"model": 5}, TypeError, ["model", "str", "int"]),
    ({"top_n": 0}, ValueError, ["top_n", "at least 1", "0"]),
    ({"top_n": -1}, ValueError, ["top_n", "at least 1", "-1"]),
    ({"top_n": 1.5}, TypeError, ["top_n", "int", "float"]),
    ({"top_n": "3"}, TypeError, ["top_n", "int", "str"]),
    ({"top_n": True}, TypeError, ["top_n", "int", "bool"]),
    ({"min_score": "0.5"}, TypeError, ["min_score", "number", "str"]),
    ({"min_score": True}, TypeError, ["min_score", "number", "bool"]),
    ({"min_score": math.nan}, ValueError, ["min_score", "finite", "nan"]),
    ({"min_score": -math.inf}, ValueError, ["min_score", "finite", "-inf"]),
    ({"session_id": ""}, ValueError, ["session_id", "blank"]),
    ({"session_id": 5}, TypeError, ["session_id", "str", "int"]),
    ({"user": " "}, ValueError, ["user", "blank"]),
    ({"user": ["u"]}, TypeError, ["user", "str", "list"]),
    ({"user": "\ud800"}, ValueError, ["user has", "surrogate"]),
    ({"model": "\ud800"}, ValueError, ["model has", "surrogate"]),
    ({"session_id": "\ud800"}, ValueError, ["session_id has", "surrogate"]),
    ({"trace": {"\ud800": 1}}, ValueError, ["trace has", "surrogate"]),
    ({"trace": {"a": ["\ud800"]}}, ValueError, ["trace has", "surrogate"]),
    ({"extra_body": {"\ud800": 1}}, ValueError, ["extra_body has", "surrogate"]),
    ({"extra_body": {"user": "\ud800"}}, ValueError, ["extra_body has", "surrogate"]),
    ({"provider": "cohere"}, TypeError, ["provider", "mapping", "str"]),
    ({"provider": {"orderr": ["x"]}}, ValueError, ["provider", "'orderr'", "'order'", "extra_body"]),
    ({"provider": {"data_colection": "deny"}}, ValueError, ["provider", "'data_collection'"]),
    ({"provider": {"xyz": 1}}, ValueError, ["provider", "'xyz'", "zdr", "extra_body"]),
    ({"provider": {1: 2}}, TypeError, ["provider", "str"]),
    ({"provider": {"zdr": "yes"}}, ValueError, ["provider.zdr", "bool", "str"]),
    ({"provider": {"sort": {"bye": "price"}}}, ValueError, ["provider.sort", "'bye'", "'by'"]),
    ({"provider": {"max_price": {"promt": "1"}}}, ValueError, ["provider.max_price", "'prompt'"]),
    ({"provider": {"order": ["\ud800"]}}, ValueError, ["provider has", "surrogate"]),
    ({"trace": "t"}, TypeError, ["trace", "mapping", "str"]),
    ({"trace": {"trace_nam": "t"}}, ValueError, ["trace", "'trace_nam'", "'trace_name'"]),
    ({"trace": {"trace_name": 5}}, ValueError, ["trace.trace_name", "str", "int"]),
    ({"trace": {"mine": {1, 2}.__iter__()}}, TypeError, ["trace", "JSON"]),
    ({"timeout": 0}, ValueError, ["timeout", "positive", "0"]),
    ({"timeout": -1}, ValueError, ["timeout", "positive", "-1"]),
    ({"timeout": math.nan}, ValueError, ["timeout", "positive"]),
    ({"timeout": math.inf}, ValueError, ["timeout", "positive"]),
    ({"timeout": "60"}, TypeError, ["timeout", "number", "str"]),
    ({"timeout": True}, TypeError, ["timeout", "number", "bool"]),
    ({"extra_body": {"query": "q"}}, ValueError, ["extra_body", "query", "rerank()"]),
    ({"extra_body": {"documents": []}}, ValueError, ["extra_body", "documents", "rerank()"]),
    ({"extra_body": {"top_n": 1}}, ValueError, ["extra_body", "top_n", "rerank()"]),
    ({"extra_body": {"x": object()}}, TypeError, ["extra_body", "JSON"]),
    ({"extra_body": {"x": math.nan}}, ValueError, ["extra_body", "JSON"]),
    ({"extra_body": {1: 2}}, TypeError, ["extra_body", "str"]),
    ({"extra_body": ["x"]}, TypeError, ["extra_body", "mapping", "list"]),
    ({"extra_headers": {"X A": "1"}}, ValueError, ["extra_headers", "'X A'"]),
    ({"extra_headers": {"": "1"}}, ValueError, ["extra_headers", "''"]),
    ({"extra_headers": {"X-A": "1\r\nX-B: 2"}}, ValueError, ["extra_headers", "'X-A'"]),
    ({"extra_headers": {"X-A": "é"}}, ValueError, ["extra_headers", "'X-A'"]),
    ({"extra_headers": {"X-A": 5}}, TypeError, ["extra_headers", "'X-A'", "str"]),
    ({"extra_headers": {5: "a"}}, TypeError, ["extra_headers", "str"]),
    ({"extra_headers": "X-A: 1"}, TypeError, ["extra_headers", "mapping", "str"]),
    ({"extra_headers": [("X-A", "1")]}, TypeError, ["extra_headers", "mapping", "list"]),
]
WRONG_CLIENT: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"deadline": 0}, ValueError, ["deadline", "positive", "0"]),
    ({"deadline": "1"}, TypeError, ["deadline", "number", "str"]),
    ({"retries": 3}, TypeError, ["retries", "Retries", "int"]),
    ({"retries": None}, TypeError, ["retries", "Retries(attempts=1)"]),
    ({"app_title": "é"}, ValueError, ["app_title", "'X-OpenRouter-Title'"]),
    ({"app_title": 5}, TypeError, ["app_title", "str", "int"]),
    ({"app_referer": "a\nb"}, ValueError, ["'HTTP-Referer'"]),
    ({"app_categories": 5}, TypeError, ["app_categories"]),
    ({"app_categories": [5]}, TypeError, ["app_categories"]),
    ({"max_image_bytes": "1"}, TypeError, ["max_image_bytes", "int", "str"]),
    ({"max_image_bytes": 0}, ValueError, ["max_image_bytes", "0"]),
]


def _case(row: tuple[dict[str, Any], type[Exception], list[str]]) -> str:
    # without addresses, which each process of the tests has others of
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(row[0]))[:60]


@pytest.mark.parametrize("row", WRONG + WRONG_ANYWHERE, ids=_case)
def test_wrong_in_a_call(row: tuple[dict[str, Any], type[Exception], list[str]]) -> None:
    """An argument that can never work raises before anything is sent, and says what, where, and what would be right."""
    arguments, kind, words = row

    with pytest.raises(kind) as caught:
        next(call(**arguments))

    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("row", WRONG_ANYWHERE + WRONG_CLIENT, ids=_case)
def test_wrong_in_a_client(row: tuple[dict[str, Any], type[Exception], list[str]]) -> None:
    """A default that can never work raises where it is written, not at the first call."""
    arguments, kind, words = row

    with pytest.raises(kind) as caught:
        settings(**arguments)

    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)


def test_wrong_without_documents() -> None:
    """An empty list of documents does not hide that another argument is wrong."""
    with pytest.raises(ValueError, match="top_n"):
        next(call(documents=[], top_n=0))


def test_no_documents() -> None:
    """No documents give an empty ranking, and no request."""
    ranking = finish_without_steps(documents=iter([]), top_n=3)

    assert (len(ranking), ranking.total, ranking.attempts) == (0, 0, ())
    assert ranking.usage == Usage()


def finish_without_steps(**arguments: Any) -> Ranking[Any]:
    """Return the ranking of a call that has nothing to do."""
    with pytest.raises(StopIteration) as done:
        next(call(**arguments))
    return done.value.value


@given(query=st.text(), documents=st.lists(st.text(), min_size=1))
def test_text_is_sent_as_it_is(query: str, documents: list[str]) -> None:
    """Any text arrives as it was, but for a blank query and a lone surrogate, which raise."""
    broken = any("\ud800" <= letter <= "\udfff" for text in [query, *documents] for letter in text)
    if broken or not query.strip():
        with pytest.raises(ValueError, match=r"surrogate|blank"):
            sent(query=query, documents=documents)
    else:
        wire = json.loads(sent(query=query, documents=documents).content)
        assert (wire["query"], wire["documents"]) == (query, documents)


# Answers that are rankings


def test_ranking() -> None:
    """Everything that the server says is on the ranking, and the documents are the caller's own objects."""
    documents = [object(), object(), object()]
    answer = answered(
        200,
        {
            "id": "gen-rerank-1",
            "model": "rerank-v3.5",
            "provider": "Cohere",
            "results": [
                {"index": 2, "relevance_score": 0.9, "document": {"text": "c"}, "more": 1},
                {"index": 0, "relevance_score": 1e-7, "document": {"text": "a"}},
            ],
            "usage": {"cost": 3.4e-07, "search_units": 1, "total_tokens": 17},
            "more": 1,
        },
        x_generation_id="gen-1",
        x_any="thing",
    )

    ranking = finish(call(documents=documents, key=lambda _: "text"), answer)

    assert ranking.indices == [2, 0]
    assert ranking.scores == [0.9, 1e-7]
    assert ranking.documents[0] is documents[2]
    assert ranking[1].document is documents[0]
    assert (ranking.id, ranking.model, ranking.provider) == ("gen-rerank-1", "rerank-v3.5", "Cohere")
    assert ranking.usage == Usage(cost=3.4e-07, search_units=1, total_tokens=17)
    assert (ranking.request_id, ranking.headers["X-Any"]) == ("gen-1", "thing")
    assert (ranking.total, ranking.reordered) == (3, False)
    assert [attempt.status for attempt in ranking.attempts] == [200]


@pytest.mark.parametrize(
    ("pairs", "indices", "reordered"),
    [
        ([(0, 0.9), (1, 0.5), (2, 0.1)], [0, 1, 2], False),
        ([(2, 0.1), (0, 0.9), (1, 0.5)], [0, 1, 2], True),
        ([(2, 0.5), (0, 0.5), (1, 0.5)], [2, 0, 1], False),  # the server's own order of equals
        ([(2, 0.5), (1, 0.9), (0, 0.5)], [1, 0, 2], True),
        ([(2, -1), (1, -2.5), (0, -30)], [2, 1, 0], False),  # logits
        ([(1, 0), (0, -0.0)], [1, 0], False),
        ([(1.0, 1), (0.0, 0)], [1, 0], False),  # JSON knows no integers
        ([(-0.0, 1)], [0], False),
        ([], [], False),
    ],
)
def test_order(pairs: list[tuple[Any, Any]], indices: list[int], reordered: bool) -> None:
    """The best is first: as the server sorted, or repaired where it did not, and then it is said."""
    ranking = finish(call(), ranked(*pairs))

    assert ranking.indices == indices
    assert ranking.reordered is reordered
    assert all(type(index) is int for index in ranking.indices)
    assert all(type(score) is float for score in ranking.scores)


@pytest.mark.parametrize(
    ("client", "of_call", "indices"),
    [
        (None, None, [0, 1, 2]),
        (None, 0.5, [0, 1]),
        (None, 0.50001, [0]),
        (None, 1, []),
        (0.9, None, [0]),
        (0.9, 0, [0, 1]),
        (0.9, -3, [0, 1, 2]),
    ],
)
def test_min_score(client: float | None, of_call: float | None, indices: list[int]) -> None:
    """A hit of just the least score stays; one below it goes; 0 is a score like any other."""
    ranking = finish(call({"min_score": client}, min_score=of_call), ranked((0, 0.9), (1, 0.5), (2, -3)))

    assert ranking.indices == indices


def test_top_n_is_kept_to() -> None:
    """Of a server that ignores top_n the best are taken, sorted or not; more results than documents are refused."""
    sorted_ = finish(call(top_n=2), ranked((0, 0.9), (1, 0.8), (2, 0.7)))
    unsorted = finish(call(top_n=2), ranked((0, 0.1), (1, 0.8), (2, 0.7)))

    assert (sorted_.indices, sorted_.unranked, sorted_.reordered) == ([0, 1], (), False)
    assert (unsorted.indices, unsorted.unranked, unsorted.reordered) == ([1, 2], (), True)
    assert finish(call(top_n=2, min_score=0.75), ranked((0, 0.1), (1, 0.8), (2, 0.7))).indices == [1]
    with pytest.raises(InvalidResponseError, match=r"more results \(4\) than documents \(3\)"):
        finish(call(top_n=2), ranked((0, 0.9), (1, 0.8), (2, 0.7), (1, 0.6)))
    for pairs in [(0, 0.9), (1, 0.8), (1, 0.7)], [(0, 0.9), (1, 0.8), (3, 0.7)]:
        with pytest.raises(InvalidResponseError, match="index"):
            finish(call(top_n=1), ranked(*pairs))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ([], Usage()),
        ("free", Usage()),
        ({}, Usage()),
        ({"cost": 0}, Usage(cost=0.0)),
        ({"cost": None, "total_tokens": 0}, Usage(total_tokens=0)),
        ({"cost": "0.1", "search_units": 1}, Usage(search_units=1)),
        ({"search_units": 1.0, "total_tokens": 1.5}, Usage(search_units=1)),
        ({"cost": True, "search_units": True}, Usage()),
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(total_tokens=3)),
    ],
)
def test_usage(usage: Any, expected: Usage) -> None:
    """Unknown numbers are None and never 0; 0 is 0."""
    assert finish(call(), ranked((0, 1), usage=usage)).usage == expected


@pytest.mark.parametrize("value", [None, 5, ["x"], {"a": 1}, True, 1.5])
@pytest.mark.parametrize("name", ["id", "model", "provider"])
def test_what_a_ranking_does_not_need(name: str, value: Any) -> None:
    """An id, a model or a provider that is no text is None, and no reason to refuse the ranking."""
    ranking = finish(call(), ranked((0, 1), **{name: value}))

    assert getattr(ranking, name) is None
    assert ranking.indices == [0]


@pytest.mark.parametrize(
    "echo", [None, "a", {}, {"text": None}, {"text": "altered"}, [1], 5, {"multi_modal": None}]
)
def test_any_echo(echo: Any) -> None:
    """The hit has the caller's own document, whatever the answer echoes."""
    result = {"index": 1, "relevance_score": 0.5, "document": echo}

    assert finish(call(), answered(200, {"results": [result]})).documents == ["b"]


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({}, None),
        ({"x_generation_id": "g", "request_id": "r", "x_request_id": "x", "cf_ray": "c"}, "g"),
        ({"request_id": "r", "x_request_id": "x", "cf_ray": "c"}, "r"),
        ({"x_request_id": "x", "cf_ray": "c"}, "x"),
        ({"x_generation_id": "", "cf_ray": "c"}, "c"),
    ],
)
def test_request_id(headers: dict[str, str], request_id: str | None) -> None:
    """The id that the vendor's support asks for, from whichever header has it, on a ranking and on an error."""
    with pytest.raises(ResponseError) as caught:
        finish(call(), answered(400, **headers))

    assert finish(call(), answered(200, {"results": []}, **headers)).request_id == request_id
    assert caught.value.request_id == request_id


# Answers that are none

BY_STATUS = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AuthenticationError,
    404: BadRequestError,
    408: RequestTimeoutError,
    413: BadRequestError,
    422: BadRequestError,
    429: RateLimitError,
}
AGAIN = {408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}


@pytest.mark.parametrize("status", [*range(300, 600), 600, 999])
def test_status(status: int) -> None:
    """Each status has its class, and whether to try again, by itself and as the code inside a 200."""
    kind = BY_STATUS.get(status, BadRequestError if status < 500 else ServerError)
    once = Retries(attempts=1)

    with pytest.raises(ResponseError) as outside:
        finish(call({"retries": once}), answered(status, {"error": {"code": status, "message": "no"}}))

    assert type(outside.value) is kind
    assert (outside.value.status, outside.value.code) == (status, status)
    assert outside.value.retryable is (status in AGAIN)
    if status >= 400:
        with pytest.raises(ResponseError) as inside:
            finish(call({"retries": once}), answered(200, {"error": {"code": status, "message": "no"}}))

        assert type(inside.value) is kind
        assert (inside.value.status, inside.value.code) == (200, status)
        assert inside.value.retryable is (status in AGAIN)


@pytest.mark.parametrize("inside", [False, True])
def test_408_is_a_timeout(inside: bool) -> None:
    """A 408 is caught as a timeout, and has what an error response has; it is retried."""
    content = {"error": {"code": 408, "message": "too slow"}}
    said = answered(200 if inside else 408, content, x_request_id="r", retry_after="2")
    with pytest.raises(APITimeoutError) as caught:
        finish(call({"retries": Retries(attempts=2)}), said, said)

    error = caught.value
    assert isinstance(error, StatusError)
    assert (error.status, error.code, error.request_id) == (200 if inside else 408, 408, "r")
    assert json.loads(error.body) == content
    assert [attempt.wait for attempt in error.attempts] == [2, None]
    assert error.message.endswith("Send fewer documents at a time, or try again later.")


@pytest.mark.parametrize(
    ("status", "retryable", "advice"),
    [
        (400, True, "Try again later"),
        (429, True, "Send fewer requests at a time, or wait."),
        (501, True, "Try again later"),
        (501, None, "change the request, or the model"),
        (503, False, "change the request, or the model"),
    ],
)
def test_advice_agrees_with_the_server(status: int, retryable: bool | None, advice: str) -> None:
    """An error whose message says that it can be retried advises to retry, whatever its status; and the reverse."""
    content = {"error": {"message": "no", "availability": {"retryable": retryable}}}
    with pytest.raises(StatusError) as caught:
        finish(call({"retries": Retries(attempts=1)}), answered(status, content))

    assert caught.value.message.endswith(advice)


def test_the_status_wins_over_the_code() -> None:
    """If status and code both report a failure, the status decides and the code is kept."""
    with pytest.raises(ResponseError) as caught:
        finish(call(), answered(401, {"error": {"code": 500, "message": "no"}}))

    assert type(caught.value) is AuthenticationError
    assert (caught.value.status, caught.value.code) == (401, 500)


PAGE = b"<html><head><title>\n Bad  gateway </title></head></html>"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        ({"error": {"code": 400, "message": "M"}}, 400, "M"),
        ({"error": {"code": 400, "message": "M", "metadata": {"raw": "the cause"}}}, 400, "M: the cause"),
        ({"error": {"code": 400, "message": "the cause", "metadata": {"raw": "cause"}}}, 400, ": the cause."),
        ({"error": {"code": 400, "message": "M", "metadata": None}}, 400, "M"),
        ({"error": {"code": 400, "message": "M", "metadata": "text"}}, 400, "M"),
        ({"error": {"code": "400", "message": "M", "type": "None", "param": "None"}}, 400, "M"),
        ({"error": {"code": "bad_request", "message": "M"}}, None, "M"),
        ({"error": {"code": 20012, "message": "M"}}, None, "M"),
        ({"error": {"code": True, "message": "M"}}, None, "M"),
        ({"error": {"code": 400}}, 400, "400 Bad Request"),
        ({"error": {}}, None, "400 Bad Request"),
        ({"error": {"message": ["M", 1]}}, None, '["M",1]'),
        ({"error": "M", "error_type": "Empty"}, None, "M"),
        ({"error": None, "message": "M"}, None, "M"),
        ({"object": "error", "message": "M", "code": 400}, 400, "M"),
        ({"code": 20012, "message": "M", "data": None}, None, "M"),
        ({"detail": "M"}, None, "M"),
        ({"detail": {"error": "M"}}, None, "M"),
        ({"detail": [{"loc": ["body", "top_n"], "msg": "M"}]}, None, "top_n"),
        ({"anything": "else"}, None, '{"anything":"else"}'),
        (["M"], None, "M"),
        ("M", None, "M"),
        (None, None, "null"),
        (5, None, "5"),
        (b"M in plain text", None, "M in plain text"),
        (b"", None, "no body"),
        (b" \n ", None, "no body"),
        (PAGE, None, "an HTML page titled 'Bad gateway'"),
        (b"<!DOCTYPE html><p>no title", None, "an HTML page."),
        (b"\xff\xfe\x00", None, "\ufffd"),
        (b"[" * 10**5, None, "[[["),
        (b"many\n\n  blanks\t.", None, ": many blanks"),
        (b"x" * 10**6, None, "x..."),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_forms_of_errors(content: Any, code: int | None, says: str) -> None:
    """The message quotes the server's words from every form of error, in a line of bounded length."""
    with pytest.raises(BadRequestError) as caught:
        finish(call(), answered(400, content))

    message = str(caught.value)
    assert says in message
    assert caught.value.code == code
    assert message.startswith("400 Bad Request from https://openrouter.ai/api/v1/rerank: ")
    page = "HTML" in message
    step = message.partition(". The answer looks like")[0].partition(". `rerank doctor")[0].rstrip(".")
    assert step.endswith("address" if page else "Change the request; trying it again will not help")
    assert len(message) < 700
    assert "\n" not in message


def test_what_an_error_carries() -> None:
    """All that the envelope says is on the error, under the vendor's names."""
    content = {
        "error": {
            "code": 429,
            "message": "Provider returned error",
            "metadata": {"error_type": "rate_limit_exceeded", "provider_name": "Cohere", "is_byok": False},
            "availability": {"code": "capacity_exhausted", "retryable": True, "retry_after": 2},
        },
        "user_id": "user_1",
    }
    with pytest.raises(RateLimitError) as caught:
        finish(call({"retries": Retries(attempts=1)}), answered(429, content, x_request_id="r"))

    error = caught.value
    assert (error.error_type, error.provider) == ("rate_limit_exceeded", "Cohere")
    assert error.metadata["is_byok"] is False
    assert error.metadata["availability"]["code"] == "capacity_exhausted"
    assert error.retry_after == 2
    assert json.loads(error.body) == content


@pytest.mark.parametrize("metadata", [{}, {"error_type": 5, "provider_name": None}])
def test_what_an_error_does_not_know(metadata: dict[str, Any]) -> None:
    """Fields that the envelope lacks, or gives in another type, are None."""
    with pytest.raises(BadRequestError) as caught:
        finish(call(), answered(400, {"error": {"code": 400, "message": "M", "metadata": metadata}}))

    assert caught.value.error_type is None
    assert caught.value.provider is None
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (503, {}, True),
        (404, {}, False),
        (404, {"availability": {"retryable": True}}, True),
        (503, {"availability": {"retryable": False}}, False),
        (503, {"availability": {"retryable": "no"}}, True),
        (503, {"availability": None}, True),
        (502, {"metadata": {"error_type": "context_length_exceeded"}}, False),
        (502, {"metadata": {"error_type": "provider_unavailable"}}, True),
        (502, {"metadata": {"error_type": ["a", "list"]}}, True),
        (500, {"message": "Could not fetch the image at https://x"}, False),
        (500, {"metadata": {"raw": "failed fetching image"}}, False),
        (500, {"message": "Could not fetch the model"}, True),
    ],
)
def test_retryable(status: int, error: dict[str, Any], retryable: bool) -> None:
    """The vendor's word on whether to try again goes before the status; what is the request's fault is not tried again."""
    with pytest.raises(ResponseError) as caught:
        finish(
            call({"retries": Retries(attempts=1)}),
            answered(status, {"error": {"code": status, "message": "M", **error}}),
        )

    assert caught.value.retryable is retryable


@pytest.mark.parametrize("found", [None, "none", {"0": 1}, [{"index": "x"}]])
def test_an_error_beside_results_that_are_none(found: Any) -> None:
    """A 200 whose results cannot be read is the error that it carries, where it carries one."""
    content = {"results": found, "error": {"code": 503, "message": "died halfway"}}

    with pytest.raises(ServerError, match="died halfway"):
        finish(call({"retries": Retries(attempts=1)}), answered(200, content))


def test_a_200_that_says_what_it_has() -> None:
    """An answer of another API is refused with the names that it has, and a hint at the address."""
    with pytest.raises(
        InvalidResponseError, match=r"no results: its body is an object with data, object.*check base_url"
    ):
        finish(call(), answered(200, {"object": "list", "data": []}))

    with pytest.raises(InvalidResponseError, match=r"no results: its body is an empty object"):
        finish(call(), answered(200, {}))


@pytest.mark.parametrize(
    "content",
    [
        b'{"x":1e999}',
        b'{"x":"\xff"}',
        b'{"\xff":1}',
        b'{"usage":{"cost":1' + b"0" * 400 + b'},"results":[]}',
        b'{"usage":{"search_units":1e300,"total_tokens":1' + b"0" * 400 + b'},"results":[]}',
        b'{"results":[{"index":1' + b"0" * 400 + b',"relevance_score":1}]}',
        b'{"results":[{"index":1e300,"relevance_score":1}]}',
        b'{"results":[{"index":0,"relevance_score":1' + b"0" * 400 + b"}]}",
        b'{"error":{"code":1' + b"0" * 400 + b"}}",
        b'{"error":{"code":429,"metadata":{"availability":{"retry_after":1' + b"0" * 400 + b"}}}}",
        b'{"x":' + b"[" * 10**5 + b"]" * 10**5 + b',"results":[]}',
        b'{"usage":' + b"[" * 10**5 + b"]" * 10**5 + b',"results":[]}',
        b'{"results":[],"results":null}',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"\x00",
        "{}".encode("utf-16"),
    ],
    ids=lambda content: ascii(content)[:40],
)
@pytest.mark.parametrize("status", [200, 429])
def test_json_at_its_limits(status: int, content: bytes) -> None:
    """JSON that is legal and extreme, or all but JSON, is a ranking or an error of ours."""
    try:
        ranking = finish(call({"retries": Retries(attempts=1)}), answered(status, content))
    except RerankError:
        return
    assert status == 200
    assert set(ranking.indices) <= {0, 1, 2}


def test_a_late_duplicate_among_many() -> None:
    """A duplicate at the end of a quarter of a million results is found without comparing all with all, which takes minutes."""
    count = 250_000
    found = [{"index": index, "relevance_score": 1.0} for index in [*range(count - 1), count - 2]]
    running = call(documents=["d"] * count)
    next(running)
    began = time.monotonic()

    with pytest.raises(InvalidResponseError, match=f"index {count - 2} appears twice"):
        running.send(answered(200, {"results": found}))

    assert time.monotonic() - began < SOON


# Retries


def unavailable(retry_after: float | None = None, *, retryable: bool = True) -> RerankError:
    """Return a 503, with or without a Retry-After."""
    return ServerError("m", status=503, retryable=retryable, retry_after=retry_after)


def refused() -> RerankError:
    """Return a connection that was refused."""
    return APIConnectionError("m", retryable=True)


def late() -> RerankError:
    """Return an attempt that timed out after it was sent."""
    return APITimeoutError("m")


@pytest.mark.parametrize(
    ("retries", "attempt", "error", "delay"),
    [
        ({}, 1, refused(), 0.5),
        ({}, 2, refused(), 1.0),
        ({}, 3, refused(), None),
        ({"attempts": 1}, 1, refused(), None),
        ({"attempts": 9}, 7, refused(), 30.0),
        ({"attempts": 9, "longest_wait": 2}, 3, refused(), 2.0),
        ({"attempts": 9, "longest_wait": 2}, 8, refused(), 2.0),
        ({"first_wait": 0}, 1, refused(), 0.0),
        ({"longest_wait": 0}, 1, refused(), 0.0),
        ({}, 1, unavailable(), 0.5),
        ({}, 1, unavailable(retryable=False), None),
        ({}, 1, unavailable(7, retryable=False), None),
        ({}, 1, unavailable(0), 0.0),
        ({}, 1, unavailable(7), 7.0),
        ({}, 2, unavailable(7.5), 7.5),
        ({}, 3, unavailable(7), None),
        ({}, 1, unavailable(30), 30.0),
        ({}, 1, unavailable(30.1), None),
        ({"longest_wait": math.inf}, 1, unavailable(86400), 86400.0),
        ({}, 1, late(), None),
        ({"timeouts": True}, 1, late(), 0.5),
        ({"timeouts": True}, 1, APITimeoutError("m", retryable=True), 0.5),
        ({}, 1, APITimeoutError("m", retryable=True), 0.5),
        ({}, 1, InvalidResponseError("m", status=200), None),
        ({"attempts": 10**4}, 5000, refused(), 30.0),
    ],
)
def test_delay(retries: dict[str, Any], attempt: int, error: RerankError, delay: float | None) -> None:
    """The wait doubles up to its cap; Retry-After is waited exactly, or not at all if it is too long."""
    assert Retries(fraction=lambda: 1.0, **retries).delay(attempt, error) == delay


@given(
    attempts=st.integers(1, 10**6),
    attempt=st.integers(1, 10**6),
    first=st.floats(0, 1e308),
    longest=st.floats(0, 1e308),
    fraction=st.floats(0, 1),
    retry_after=st.none() | st.floats(0, 1e308),
)
def test_delay_is_bounded(
    attempts: int, attempt: int, first: float, longest: float, fraction: float, retry_after: float | None
) -> None:
    """Every wait lies between zero and the longest, for any policy and answer."""
    retries = Retries(attempts, first, longest, fraction=lambda: fraction)

    delay = retries.delay(attempt, unavailable(retry_after))

    assert delay is None or (attempt < attempts and 0 <= delay <= longest)


def test_jitter_is_full() -> None:
    """The wait is spread from nothing to its cap, so that clients do not come back all at once."""
    delays = [Retries().delay(1, refused()) for _ in range(500)]

    assert all(delay is not None and 0 <= delay <= 0.5 for delay in delays)
    assert min(delays) < 0.1
    assert max(delays) > 0.4


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"attempts": 0}, ValueError),
        ({"attempts": 1.5}, TypeError),
        ({"attempts": "3"}, TypeError),
        ({"first_wait": -1}, ValueError),
        ({"first_wait": math.nan}, ValueError),
        ({"longest_wait": -1}, ValueError),
        ({"longest_wait": math.nan}, ValueError),
        ({"longest_wait": "1"}, TypeError),
    ],
)
def test_wrong_retries(arguments: dict[str, Any], kind: type[Exception]) -> None:
    """A policy that can never work raises when it is made, and names its part."""
    with pytest.raises(kind, match=next(iter(arguments)) if kind is ValueError else None):
        Retries(**arguments)


def _date(hours: float, zone: timezone = UTC) -> str:
    return format_datetime(datetime.now(zone) + timedelta(hours=hours))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("0.25", 0.25),
        ("-3", 0),
        ("86400", 86400),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("soon", None),
        ("", None),
        ("7 seconds", None),
        (lambda: _date(hours=1), 3600),
        (lambda: _date(hours=1, zone=timezone(timedelta(hours=5))), 3600),
        (lambda: _date(hours=-1), 0),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0),
        ("Mon, 01 Jan 0001 00:00:00 +2300", 0),
        ("Mon, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(header: str | Callable[[], str], seconds: float | None) -> None:
    """Seconds, whole or not, or a date; the past is now, and what is neither is not there."""
    value = header if isinstance(header, str) else header()

    with pytest.raises(ServerError) as caught:
        finish(call({"retries": Retries(attempts=1)}), answered(503, retry_after=value))

    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=120))


@pytest.mark.parametrize(
    ("status", "headers", "availability", "seconds"),
    [
        (429, {}, {"retry_after": 2.5}, 2.5),
        (429, {"retry_after": "1"}, {"retry_after": 2.5}, 1),
        (429, {"retry_after": "soon"}, {"retry_after": 2.5}, 2.5),
        (429, {}, {"retry_after": True}, None),
        (429, {}, {"retry_after": None}, None),
        (429, {}, {"retry_after": "2"}, None),
        (429, {"x_ratelimit_reset": "20"}, None, 20),
        (429, lambda: {"x_ratelimit_reset": f"{time.time() + 600:.0f}"}, None, 600),
        (429, lambda: {"x_ratelimit_reset": f"{(time.time() + 600) * 1000:.0f}"}, None, 600),
        (429, {"x_ratelimit_reset": "soon"}, None, None),
        (429, {"x_ratelimit_reset": "nan"}, None, None),
        (429, {"x_ratelimit_reset": "inf"}, None, None),
        (503, {"x_ratelimit_reset": "20"}, None, None),
        (429, {"retry_after": "1", "x_ratelimit_reset": "20"}, None, 1),
    ],
)
def test_other_words_for_retry_after(
    status: int, headers: Any, availability: Any, seconds: float | None
) -> None:
    """Without a header that says when, the body may; for a 429, the limit's reset, whatever its unit."""
    fields = headers() if callable(headers) else headers
    content = {"error": {"code": status, "message": "M", "availability": availability}}

    with pytest.raises(ResponseError) as caught:
        finish(call({"retries": Retries(attempts=1)}), answered(status, content, **fields))

    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=120))


def test_a_call_of_several_attempts() -> None:
    """Each attempt is told of, on the ranking and on the error alike, with what was waited after it."""
    waits: list[float] = []
    failures = [answered(500), answered(429, retry_after="3")]

    ranking = finish(call(), *failures, ranked((0, 1)), waits=waits)
    with pytest.raises(ServerError) as caught:
        finish(call(), *failures, answered(529))

    assert waits == [0.5, 3.0]
    assert [attempt.wait for attempt in ranking.attempts] == [0.5, 3.0, None]
    assert [attempt.status for attempt in ranking.attempts] == [500, 429, 200]
    assert [attempt.status for attempt in caught.value.attempts] == [500, 429, 529]
    assert "[3 attempts in" in str(caught.value)
    assert "429 RateLimitError after" in str(caught.value)
    assert ranking.elapsed >= sum(attempt.elapsed for attempt in ranking.attempts)


def test_the_same_request_is_sent_again() -> None:
    """An attempt after the first sends the same bytes under the same headers, even if the caller's list has changed."""
    documents = ["a", "b"]
    running = call(documents=documents)
    first = next(running)
    documents.clear()

    assert isinstance(running.send(answered(500)), Wait)
    assert running.send(None)._replace(timeout=0) == first._replace(timeout=0)


@pytest.mark.parametrize(
    ("status", "content", "backs_off"),
    [
        (429, b"", True),
        (503, b"", True),
        (529, b"", True),
        (200, {"error": {"code": 429, "message": "slow down"}}, True),
        (500, b"", False),
        (502, b"", False),
        (503, {"error": {"code": 503, "message": "the input is too large"}}, False),
    ],
)
def test_overload_is_reported(status: int, content: Any, backs_off: bool) -> None:
    """A call reports overload, and no other failure, with the seconds that the server asks for."""
    running = call({"max_bytes": 10**6}, documents=["a"])
    next(running)

    try:
        step: Any = running.send(answered(status, content, retry_after="3"))
    except RerankError:
        step = None

    assert (isinstance(step, BackOff) and step.retry_after == 3.0) is backs_off


def test_the_pause_of_a_run_costs_no_attempt() -> None:
    """A call that is told the pause of its run waits so long and keeps its attempts; told None it goes by its retries."""
    running = call({"retries": Retries(attempts=2, fraction=lambda: 1.0), "deadline": None})
    next(running)
    for pause in (7.0, 0.0, 9.0):
        assert running.send(answered(429)) == BackOff(None)
        assert running.send(pause) == Wait(pause)
        running.send(None)

    assert running.send(answered(429)) == BackOff(None)
    assert running.send(None) == Wait(0.5)
    running.send(None)
    running.send(answered(429))
    with pytest.raises(RateLimitError) as caught:
        running.send(None)
    assert [attempt.wait for attempt in caught.value.attempts] == [7.0, 0.0, 9.0, 0.5, None]


@pytest.mark.parametrize(
    ("retries", "retry_after", "waits"),
    [
        (Retries(attempts=1), None, False),
        (Retries(longest_wait=5), "6", False),
        (Retries(longest_wait=5), "5", True),
        (Retries(longest_wait=5), None, True),
    ],
)
def test_a_policy_limits_the_pause_of_a_run(retries: Retries, retry_after: str | None, waits: bool) -> None:
    """A call without further attempts, or with too long a Retry-After, reports overload and then fails."""
    running = call({"retries": retries})
    next(running)
    headers = {} if retry_after is None else {"retry_after": retry_after}
    assert isinstance(running.send(answered(503, **headers)), BackOff)

    if waits:
        assert running.send(8.0) == Wait(8.0)
    else:
        with pytest.raises(ServerError):
            running.send(8.0)


def test_timeouts_of_a_call() -> None:
    """An attempt gets its timeout, the call's over the client's, and no more than is left of the deadline."""
    assert sent().timeout == 60
    assert sent({"timeout": 5}).timeout == 5
    assert sent({"timeout": 5}, timeout=7).timeout == 7
    assert sent({"timeout": 500, "deadline": None}).timeout == 500
    assert 4 < sent({"deadline": 5}).timeout <= 5


@pytest.mark.parametrize(("retry_after", "waits"), [("4", True), ("6", False)])
def test_a_wait_fits_into_the_deadline(retry_after: str, waits: bool) -> None:
    """A wait that would end after the deadline is not begun: the call fails with what it has."""
    running = call({"deadline": 5})
    next(running)

    if waits:
        assert running.send(answered(500, retry_after=retry_after)) == Wait(4.0)
    else:
        with pytest.raises(ServerError):
            running.send(answered(500, retry_after=retry_after))


def test_a_wait_that_ends_at_the_deadline_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a wait of all the time that is left, no attempt is possible."""
    monkeypatch.setattr("openrouter_rerank.core.monotonic", lambda: 100.0)
    running = call({"deadline": 5})
    next(running)
    with pytest.raises(ServerError):
        running.send(answered(500, retry_after="5"))


@pytest.mark.parametrize(("status", "is_error"), [(299, False), (300, True), (500, True)])
def test_bytes_that_are_read(status: int, is_error: bool) -> None:
    """Of an error a mebibyte is read; of a success 64 of them, and the echo with six bytes for each byte of the request."""
    send = sent()
    largest = 64 * 2**20 + 6 * len(send.content)
    assert send.limit(status) == (2**20 if is_error else largest)


def test_the_deadline_passes_during_a_wait(clock: Clock) -> None:
    """After a wait that took longer than planned nothing is sent: the call ends."""
    running = call({"deadline": 200, "retries": Retries(first_wait=0.01)})
    next(running)
    assert isinstance(running.send(answered(500)), Wait)
    clock.advance(250)

    with pytest.raises((ServerError, APITimeoutError)):
        running.send(None)


def test_the_deadline_passes_before_anything_is_sent(clock: Clock) -> None:
    """If reading the files takes all the time, nothing is sent, and the error says so."""
    running = call({"deadline": 100}, documents=[Path("slow.png")])
    assert isinstance(next(running), Load)
    clock.advance(150)

    with pytest.raises(APITimeoutError, match="before anything was sent") as caught:
        running.send(b"GIF89a")

    assert caught.value.attempts == ()
    assert caught.value.elapsed >= 150


# What the transport raises

TRANSPORT: list[tuple[Exception, type[RerankError], int, str]] = [
    (httpx.ConnectError("refused"), APIConnectionError, 3, "ConnectError: refused"),
    (httpx.ConnectTimeout("t"), APITimeoutError, 3, "no connection"),
    (httpx.PoolTimeout(""), APITimeoutError, 3, "no connection"),
    (httpx.ReadTimeout(""), APITimeoutError, 1, "no whole answer"),
    (httpx.WriteTimeout(""), APITimeoutError, 1, "no whole answer"),
    (httpx.ReadError(""), APIConnectionError, 3, "ReadError"),
    (httpx.WriteError("broken pipe"), APIConnectionError, 3, "broken pipe"),
    (httpx.CloseError(""), APIConnectionError, 3, "CloseError"),
    (httpx.RemoteProtocolError("disconnected"), APIConnectionError, 3, "disconnected"),
    (httpx.LocalProtocolError("ours"), APIConnectionError, 1, "ours"),
    (httpx.ProxyError("407 Proxy Authentication Required"), APIConnectionError, 1, "proxy"),
    (httpx.UnsupportedProtocol("gopher"), APIConnectionError, 1, "gopher"),
]


@pytest.mark.parametrize("row", TRANSPORT, ids=lambda row: type(row[0]).__name__)
def test_transport_errors(row: tuple[Exception, type[RerankError], int, str], shell: Shell) -> None:
    """The transport's error is the cause of ours, and is retried if nothing was answered."""
    raised, kind, requests, says = row
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise raised

    with pytest.raises(RerankError) as caught:
        shell.rank(handler)

    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised
    assert len(seen) == requests
    assert says in str(caught.value)
    assert caught.value.attempts[0].status is None


def test_a_certificate_that_is_not_trusted(shell: Shell) -> None:
    """A certificate that cannot be trusted is not tried again, and the message says where trust comes from."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise httpx.ConnectError("self-signed") from ssl.SSLCertVerificationError("self-signed certificate")

    with pytest.raises(APIConnectionError, match="SSL_CERT_FILE"):
        shell.rank(handler)

    assert len(seen) == 1


def test_our_own_bugs_are_not_network_errors(shell: Shell) -> None:
    """Only what the transport raises for a request is caught; any other error is not renamed."""

    def handler(_: httpx.Request) -> httpx.Response:
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        shell.rank(handler)


# Whatever comes

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(data=st.data(), count=st.integers(1, 30))
def test_any_valid_results_are_joined(data: st.DataObject, count: int) -> None:
    """Any subset in any order with any finite scores: each document comes back with its own score, best first."""
    documents = [object() for _ in range(count)]
    indices = data.draw(st.permutations(range(count)))[: data.draw(st.integers(0, count))]
    pairs = [(index, data.draw(FINITE | st.integers(-(2**53), 2**53))) for index in indices]
    least = data.draw(st.none() | FINITE)

    ranking = finish(call(documents=documents, key=lambda _: "x", min_score=least), ranked(*pairs))

    expected = {index: float(score) for index, score in pairs if least is None or score >= least}
    assert {hit.index: hit.score for hit in ranking} == expected
    assert all(hit.document is documents[hit.index] for hit in ranking)
    assert ranking.scores == sorted(ranking.scores, reverse=True)


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 5)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([200, 400, 429, 503, "503", 10**400, 1e300, "high", "http://x", "error"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text()
            | st.sampled_from(
                [
                    "results",
                    "index",
                    "relevance_score",
                    "error",
                    "code",
                    "message",
                    "metadata",
                    "detail",
                    "usage",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
PLACES: list[tuple[str | int, ...]] = [
    (),
    ("results",),
    ("results", 0),
    ("results", 0, "index"),
    ("results", 0, "relevance_score"),
    ("results", 0, "document"),
    ("results", 0, "more"),
    ("results", 1, "index"),
    ("error",),
    ("error", "code"),
    ("error", "message"),
    ("error", "metadata"),
    ("error", "metadata", "raw"),
    ("error", "metadata", "error_type"),
    ("error", "availability"),
    ("error", "availability", "retry_after"),
    ("usage",),
    ("usage", "cost"),
    ("usage", "total_tokens"),
    ("model",),
    ("id",),
    ("detail",),
    ("more",),
]


def _valid() -> dict[str, Any]:
    return {
        "model": "m",
        "results": [
            {"index": 1, "relevance_score": 0.9, "document": {"text": "b"}},
            {"index": 0, "relevance_score": 0.8, "document": {"text": "a"}},
        ],
        "usage": {"cost": 0.1},
    }


def _put(place: tuple[str | int, ...], value: Any) -> Any:
    if not place:
        return value
    whole: Any = _valid()
    if place[0] == "error" and len(place) > 1:
        whole = {"error": {"code": 503, "message": "M", "metadata": {}, "availability": {}}}
    inner = whole
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return whole


def _holds(ranking: Ranking[Any]) -> None:
    assert len(set(ranking.indices)) == len(ranking) <= 3
    for hit in ranking:
        assert type(hit.index) is int
        assert 0 <= hit.index < 3
        assert math.isfinite(hit.score)
        assert hit.document == DOCUMENTS[hit.index]
    assert ranking.scores == sorted(ranking.scores, reverse=True)
    assert repr(ranking)
    assert ranking._repr_html_()
    try:
        ranking.response  # noqa: B018 - that it ends in one of two ways is the fact
    except InvalidResponseError:
        return


@given(place=st.sampled_from(PLACES), value=ANY_JSON, status=st.sampled_from([200, 200, 201, 400, 429, 503]))
def test_any_json_at_any_place(place: tuple[str | int, ...], value: Any, status: int) -> None:
    """Every answer of a server ends in a valid ranking or in an error of ours."""
    content = json.dumps(_put(place, value)).encode()
    try:
        ranking = finish(call({"retries": Retries(attempts=1)}), answered(status, content))
    except RerankError as error:
        assert str(error)
        assert error.attempts
    else:
        assert 200 <= status < 300
        _holds(ranking)


@given(content=st.binary(max_size=200), status=st.integers(200, 999), header=st.text(max_size=30))
def test_any_bytes(content: bytes, status: int, header: str) -> None:
    """No bytes, status or headers raise anything but an error of ours."""
    headers = {"content-type": header, "retry-after": header, "x-ratelimit-reset": header, "location": header}
    try:
        ranking = finish(
            call({"retries": Retries(attempts=1)}), answered(status, content)._replace(headers=headers)
        )
    except RerankError as error:
        assert str(error)
    else:
        _holds(ranking)


def test_the_constructor_names_its_arguments() -> None:
    """Everything but the key is passed by name."""
    kinds = {p.name: p.kind for p in inspect.signature(Reranker).parameters.values()}

    assert kinds.pop("api_key") is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("nothing", [None, "", False, {}, 0])
def test_an_error_that_says_none(nothing: Any) -> None:
    """An empty `error` beside results is none."""
    body = {"results": [{"index": 0, "relevance_score": 1}], "error": nothing}

    assert finish(call(documents=["a"]), answered(200, body)).indices == [0]


def test_what_will_not_help() -> None:
    """An error that the server calls permanent does not say to try again."""
    body = {"error": {"code": 503, "message": "no", "metadata": {"error_type": "not_found"}}}

    with pytest.raises(ServerError, match="will not help") as caught:
        finish(call(), answered(503, body))

    assert len(caught.value.attempts) == 1


@pytest.mark.parametrize("key", ["trace_state", "generation_id", "trace_date", "environment"])
def test_a_trace_takes_other_keys(key: str) -> None:
    """A key of a trace that only resembles a known one is the caller's own."""
    assert json.loads(next(call(documents=["a"], trace={key: "x"})).content)["trace"] == {key: "x"}


@pytest.mark.parametrize("key", ["trace_idd", "trace_nmae", "span_nam", "parent_spanid"])
def test_a_trace_refuses_misspellings(key: str) -> None:
    """A key that is one slip away from a known one is a slip."""
    with pytest.raises(ValueError, match="did you mean"):
        next(call(documents=["a"], trace={key: "x"}))
