"""The test kit for other projects: the fake, the servers with faults, record and replay, the pytest plugin."""

from __future__ import annotations

import asyncio
import base64
import gzip
import inspect
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import entry_points
from itertools import repeat
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import anyio
import httpx
import pytest

import openrouter_rerank.testing
from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    AsyncReranker,
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
from openrouter_rerank.testing import (
    FAULTS,
    AsyncFakeReranker,
    End,
    FakeAnswer,
    FakeReranker,
    InProcess,
    Request,
    Script,
    UnmatchedRequest,
    answer,
    envelope,
    faulty,
    head,
    honest,
    recording,
    replaying,
    results,
    serving,
)
from shells import KEY, LONG, SOON, TIMEOUTS, Shell

DOCS = Path(__file__).parents[2] / "docs" / "testing.md"

Fake = FakeReranker | AsyncFakeReranker


@pytest.fixture(params=[FakeReranker, AsyncFakeReranker], ids=["sync", "async"])
def fake_of(request: pytest.FixtureRequest) -> Callable[..., Fake]:
    """Each of the two fakes."""
    return request.param


def rank(reranker: Any, *arguments: Any, **options: Any) -> Ranking[Any]:
    """Return a call of either kind of reranker, by default for the query "q" and the documents "a", "b" and "c"."""
    called = reranker.rerank(*(arguments or ("q", ["a", "b", "c"])), **options)
    return asyncio.run(called) if inspect.iscoroutine(called) else called


# The fake


def test_a_fake_is_a_reranker() -> None:
    """A fake is of the class that it stands in for, and the two fakes take the same arguments."""
    assert issubclass(FakeReranker, Reranker)
    assert issubclass(AsyncFakeReranker, AsyncReranker)
    assert inspect.signature(FakeReranker) == inspect.signature(AsyncFakeReranker)


def test_words_in_common(fake_of: Callable[..., Fake]) -> None:
    """Unscripted it ranks by words in common, alike each time; equal scores stand in the documents' order."""
    fake = fake_of()
    documents = ["Bananas are yellow.", "Where BERLIN is", "Berlin, where?", "Berlin"]

    rankings = [rank(fake, "where is Berlin", documents) for _ in range(2)]

    assert rankings[0].indices == rankings[1].indices == [1, 2, 3, 0]
    assert rankings[0].scores == [1.0, 2 / 3, 1 / 3, 0.0]


@pytest.mark.parametrize(
    "scores",
    [
        {"a": 0.1, "b": 0.9, "c": -2},
        defaultdict(float, {"a": 0.1, "b": 0.9, "c": -2}),
        [0.1, 0.9, -2],
        lambda query, text: {"qa": 0.1, "qb": 0.9, "qc": -2}[query + text],
    ],
    ids=["mapping", "defaultdict", "sequence", "function"],
)
def test_scores(scores: Any, fake_of: Callable[..., Fake]) -> None:
    """Scores come by text, by a function or in order; `top_n` and `min_score` hold as ever."""
    fake = fake_of(scores)

    assert rank(fake).hits == rank(fake_of(script=[scores])).hits
    assert rank(fake).scores == [0.9, 0.1, -2]
    assert rank(fake, "q", ["a", "b", "c"], top_n=2).indices == [1, 0]
    assert rank(fake, "q", ["a", "b", "c"], min_score=0.1).indices == [1, 0]


def test_images_have_scores_too() -> None:
    """A document without a text is scored by its image, and comes back as the caller's own object."""
    image = {"image": "https://images.example.com/a.png"}

    ranking = FakeReranker({"a": 0.1, image["image"]: 0.2}).rerank("q", ["a", image])

    assert ranking[0].document is image


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ({"a": 1, "b": 1}, "no score for the document 'c'"),
        ([1, 2], "2 scores and asked to rank 3"),
        ([1, 2, float("nan")], "nan is no score"),
        ([1, 2, True], "True is no score"),
        ([1, 2, "3"], "'3' is no score"),
    ],
)
def test_scores_that_cannot_be(scores: Any, says: str, fake_of: Callable[..., Fake]) -> None:
    """A script without a usable score raises ValueError: the test is wrong."""
    with pytest.raises(ValueError, match=says):
        rank(fake_of(scores))


@pytest.mark.parametrize("outcome", ["status_502_html", 7, ValueError("down")], ids=str)
def test_a_script_that_says_nothing(outcome: Any) -> None:
    """A script's item that is not scores, an error of ours or a fault is a TypeError that names what is allowed."""
    with pytest.raises(TypeError, match=r"a RerankError, a FakeAnswer or a fault, as FAULTS\["):
        rank(FakeReranker(script=[outcome]))


CLASSES = [
    BadRequestError,
    APIConnectionError,
    InsufficientCreditsError,
    InvalidResponseError,
    RateLimitError,
    RequestTimeoutError,
    APITimeoutError,
    AuthenticationError,
    ServerError,
]


@pytest.mark.parametrize("kind", CLASSES)
def test_scripted_errors(kind: type[RerankError], fake_of: Callable[..., Fake]) -> None:
    """The second call ends in the error of the script, at once, with all that a real one has; the third is well."""
    fake = fake_of([3, 2, 1], script=[None, kind])

    assert rank(fake).indices == [0, 1, 2]
    with pytest.raises(kind) as caught:
        rank(fake)
    assert type(caught.value) is kind
    assert len(caught.value.attempts) == 1
    assert caught.value.elapsed < 10
    assert "fake.invalid" in str(caught.value)
    assert rank(fake).indices == [0, 1, 2]
    assert len(fake.calls) == 3


def test_every_error_can_be_scripted() -> None:
    """The table above has each class of error that a server brings about and no subclass stands for."""
    known = {
        error
        for error in vars(openrouter_rerank.errors).values()
        if isinstance(error, type) and issubclass(error, RerankError)
    }
    missing = known - set(CLASSES)

    for error in missing:
        with pytest.raises(TypeError, match="is not what a server can bring about"):
            FakeReranker(script=[error]).rerank("q", ["a"])
    assert {RerankError, ResponseError, StatusError} <= missing


def test_an_error_with_details(fake_of: Callable[..., Fake]) -> None:
    """The attributes of a scripted error are those of the error that is raised."""
    told = RequestTimeoutError(
        "slow down", status=408, retry_after=2.5, request_id="gen-1", metadata={"provider_name": "P"}
    )

    with pytest.raises(APITimeoutError, match="slow down") as caught:
        rank(fake_of(script=[told]))

    error = caught.value
    assert isinstance(error, StatusError)
    assert (error.status, error.retry_after, error.request_id, error.provider) == (408, 2.5, "gen-1", "P")
    assert error.code == 408


def test_an_answer_that_is_none(fake_of: Callable[..., Fake]) -> None:
    """The body of a scripted InvalidResponseError is what the server answers."""
    with pytest.raises(InvalidResponseError, match="not JSON") as caught:
        rank(fake_of(script=[InvalidResponseError("", body=b"<p>hello")]))

    assert caught.value.body == b"<p>hello"


def test_an_error_that_contradicts_itself() -> None:
    """A status that a call would tell as another class is refused."""
    with pytest.raises(
        ValueError, match="answered 500 ends in ServerError, and the script says RateLimitError"
    ):
        FakeReranker(script=[RateLimitError("", status=500)]).rerank("q", ["a"])


@pytest.mark.parametrize(
    "name",
    [
        "status_529",
        "ok_html",
        "index_negative",
        "gzip_garbage",
        "dropped_in_body",
        "silent",
        "trickling_headers",
    ],
)
def test_scripted_faults(name: str, fake_of: Callable[..., Fake]) -> None:
    """A fault can stand in a script, at any place of it, and ends in its error."""
    fault = FAULTS[name]
    assert fault.ends
    fake = fake_of([3, 2, 1], script=[None, fault], timeout=LONG)

    rank(fake)
    with pytest.raises(fault.ends):
        rank(fake, timeout=TIMEOUTS[0] if fault.ends is APITimeoutError else None)


def test_a_scripted_fault_is_the_first_of_its_kind() -> None:
    """A fault that servers have once is there wherever the script has it."""
    fault = FAULTS["status_429_once"]
    fake = FakeReranker(script=[None, fault, None, fault])

    rank(fake)
    for _ in range(2):
        with pytest.raises(RateLimitError):
            rank(fake)
        rank(fake)


def test_retries_take_their_way(fake_of: Callable[..., Fake]) -> None:
    """With retries each attempt takes the next part of the script, and is a call that is kept."""
    fake = fake_of(script=[ServerError, APIConnectionError], retries=Retries(first_wait=0))

    ranking = rank(fake)

    assert [attempt.status for attempt in ranking.attempts] == [503, None, 200]
    assert len(fake.calls) == 3


def test_a_script_without_end(fake_of: Callable[..., Fake]) -> None:
    """A script may be any iterable; a new one takes the place of what is left."""
    fake = fake_of(script=repeat(ServerError))
    for _ in range(3):
        with pytest.raises(ServerError):
            rank(fake)

    fake.script([])

    assert len(rank(fake)) == 3


def test_what_is_kept_of_a_call(fake_of: Callable[..., Fake]) -> None:
    """Query, documents as they were sent, and all options; no documents and wrong arguments send nothing."""
    fake = fake_of()
    rank(fake, "q", [{"text": "a"}, "b"], top_n=1, provider={"only": ["Cohere"]}, user="u", model="a/b")
    rank(fake, "q", [])
    with pytest.raises(ValueError, match="top_n"):
        rank(fake, "q", ["a"], top_n=0)

    [call] = fake.calls
    assert (call.query, call.documents) == ("q", [{"text": "a"}, "b"])
    assert call.options == {"model": "a/b", "top_n": 1, "provider": {"only": ["Cohere"]}, "user": "u"}


def test_what_an_answer_says(fake_of: Callable[..., Fake]) -> None:
    """Usage, model and provider are as set, for all answers or for one; what is not set is not known."""
    silent = rank(fake_of(model="a/b"))
    assert (silent.usage, silent.model, silent.provider) == (Usage(), "a/b", None)

    one = FakeAnswer(billed=Usage(cost=0.5), served_provider="Q", scores=[0, 0, 1])
    billed = Usage(cost=0.002, search_units=1)
    fake = fake_of(billed=billed, served_model="m", served_provider="P", script=[one])
    rankings = [rank(fake), rank(fake)]

    assert [ranking.usage for ranking in rankings] == [Usage(cost=0.5), billed]
    assert [ranking.provider for ranking in rankings] == ["Q", "P"]
    assert [ranking.model for ranking in rankings] == ["m", "m"]
    assert rankings[0].indices[0] == 2


def test_its_answers_hold_to_the_contract() -> None:
    """The low-level client reads all of an answer, the echo of each document included."""
    documents = ["a", {"text": "b", "image": "https://images.example.com/b.png"}]
    ranking = FakeReranker(billed=Usage(total_tokens=3), served_provider="P").rerank("a", documents)

    response = ranking.response
    assert re.fullmatch(r"gen-rerank-\d+-\w{20}", str(response.id))
    assert [result.document.text for result in response.results] == ["a", "b"]
    assert response.results[1].document.image == "https://images.example.com/b.png"


def test_a_fake_on_loopback() -> None:
    """A fake can be served to other processes; what it does not know is a 404."""
    fake = FakeReranker({"a": 0.1, "b": 0.2})
    with serving(fake.play) as server:
        with Reranker(KEY, base_url=server.url) as reranker:
            assert reranker.rerank("q", ["a", "b"]).indices == [1, 0]
        assert httpx.get(f"{server.url}/other", trust_env=False).status_code == 404
    assert len(fake.calls) == 1


def test_a_fake_on_trio() -> None:
    """The async fake runs on trio too."""
    pytest.importorskip("trio", reason="trio is not installed")
    fake = AsyncFakeReranker(script=[None, APITimeoutError])

    assert len(anyio.run(fake.rerank, "q", ["a"], backend="trio")) == 1
    with pytest.raises(APITimeoutError):
        anyio.run(fake.rerank, "q", ["a"], backend="trio")


async def test_calls_at_a_time() -> None:
    """Calls of one fake may run at a time, and each is kept."""
    fake = AsyncFakeReranker()

    rankings = await asyncio.gather(*(fake.rerank(f"{n}", [f"{n}", "x"]) for n in range(200)))

    assert all(ranking.scores == [1, 0] for ranking in rankings)
    assert sorted(int(call.query) for call in fake.calls) == list(range(200))


# Faults and scripts

SCENARIOS = [
    "status_429_forever",
    "status_429_once",
    "status_500_forever",
    "status_503_retry_after_an_hour",
    "slow",
    "dropped_once",
    "status_524",
    "status_529",
    "status_502_html",
    "status_400_detail",
    "ok_error_int_code",
    "ok_html",
    "index_beyond",
    "index_negative",
    "index_thrice",
    "score_nan",
    "score_text",
    "unsorted",
    "document_missing",
    "document_null",
    "trickling_body",
]
"""The faults by which other clients were measured."""


def test_the_catalogue_has_the_scenarios() -> None:
    """Each scenario by which other clients were measured is a fault of the catalogue."""
    assert set(SCENARIOS) <= set(FAULTS)


@pytest.mark.skipif(not DOCS.is_file(), reason="there are no docs away from the repository")
def test_the_table_of_the_docs() -> None:
    """The table of the docs is the catalogue: each fault with what the server does and how a call ends."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    ends = {name: f"`{fault.ends.__name__}`" if fault.ends else "a ranking" for name, fault in FAULTS.items()}

    assert [row for row in rows if row[0] in FAULTS] == [
        (name, fault.says, ends[name]) for name, fault in FAULTS.items()
    ]


def test_names_of_faults() -> None:
    """A name may have hyphens; one that is none is answered by the nearest; a fault may be passed itself."""
    with (
        faulty("reset-in-body") as server,
        Reranker(KEY, base_url=server.url) as reranker,
        pytest.raises(APIConnectionError),
    ):
        reranker.rerank("q", ["a"])
    with pytest.raises(ValueError, match="did you mean 'index_negative'"):
        InProcess("index_negativ")
    with pytest.raises(ValueError, match="there are status_429_forever, "):
        InProcess("qqq")
    with faulty(FAULTS["ok_empty"]) as server:
        assert httpx.post(server.url, trust_env=False).content == b""


def test_what_does_not_show_in_process() -> None:
    """A fault that needs a socket says so, and where to have it."""
    with pytest.raises(ValueError, match=r"use faulty\('dropped_while_idle'\)"):
        InProcess("dropped_while_idle")


def test_a_script_that_fails(fake_of: Callable[..., Fake]) -> None:
    """An error of a script is raised by the call in process, and by the block on loopback."""

    def wrong(_: Request) -> Script:
        yield b"HTTP/1.1 "
        message = "the script is wrong"
        raise LookupError(message)

    client = httpx.Client if fake_of is FakeReranker else httpx.AsyncClient
    kind: Any = Reranker if fake_of is FakeReranker else AsyncReranker
    with pytest.raises(LookupError, match="the script is wrong"):
        rank(kind(KEY, http_client=client(transport=InProcess(wrong))))
    with pytest.raises(LookupError, match="the script is wrong"), serving(wrong) as server:
        httpx.post(server.url, trust_env=False)


def test_pauses_and_timeouts_in_process(shell: Shell) -> None:
    """A pause is waited for; one that is longer than the timeout ends in it, and takes as long as the timeout."""

    def pausing(request: Request) -> Script:
        yield 0.3 if request.number == 1 else LONG
        yield answer(200, results((0, 1.0)))

    client: Any = httpx.Client if shell.name == "sync" else httpx.AsyncClient
    with shell.open(http_client=client(transport=InProcess(pausing)), timeout=LONG) as ranks:
        assert ranks("q", ["a"]).elapsed >= 0.3
        with pytest.raises(APITimeoutError) as caught:
            ranks("q", ["a"], timeout=0.1)
        assert 0.1 <= caught.value.elapsed < SOON


def test_any_httpx_client_in_process() -> None:
    """The transport serves an httpx client of any use: whole bodies, timeouts that are none, errors that are httpx's."""

    def script(request: Request) -> Script:
        yield head(200, {"Transfer-Encoding": "chunked"})
        yield b"2\r\nab\r\n"
        yield 0
        yield b"1\r\nc\r\n0\r\n\r\n" if request.target == "/?whole" else End.RESET

    with httpx.Client(transport=InProcess(script), timeout=None) as client:  # noqa: S113 - none is meant
        assert client.put("http://x.invalid/?whole").text == "abc"
        with pytest.raises(httpx.ReadError):
            client.get("http://x.invalid/")


# Record and replay


def well(request: Request) -> Script:
    """Return a server that answers, by turns packed and not, with a header that must not be kept."""
    _, _, body = honest(request).partition(b"\r\n\r\n")
    headers = {"X-Generation-Id": f"gen-{request.number}", "Set-Cookie": "session=secret-of-a-session"}
    if request.number % 2:
        yield answer(200, gzip.compress(body), headers={**headers, "Content-Encoding": "gzip"})
    else:
        yield answer(200, body, headers=headers)


def reranker_of(shell: Shell, cassette: Any, *arguments: Any, **settings: Any) -> Any:
    """Return a reranker of the cassette, of the kind of the shell."""
    kind = cassette.reranker if shell.name == "sync" else cassette.async_reranker
    return kind(*arguments, **settings)


def record(
    shell: Shell,
    path: Path,
    script: Callable[[Request], Script] | str,
    *arguments: Any,
    api_key: str = KEY,
    **options: Any,
) -> None:
    """Record one call, whatever comes of it."""
    play = FAULTS[script].script if isinstance(script, str) else script
    with serving(play) as server, recording(path) as cassette:
        reranker = reranker_of(
            shell, cassette, api_key, base_url=server.url, retries=Retries(attempts=1), timeout=LONG
        )
        with suppress(RerankError):
            rank(reranker, *arguments, **options)


def test_round_trip(shell: Shell, tmp_path: Path) -> None:
    """What was recorded is replayed the same, with no server and no key: packed bodies, ids, the order of equal requests."""
    path = tmp_path / "new" / "cassette.json"
    with serving(well) as server:
        with recording(path) as cassette:
            reranker = reranker_of(shell, cassette, KEY, base_url=server.url)
            recorded = [rank(reranker), rank(reranker), rank(reranker, "other", ["a"], top_n=1)]
            assert len(cassette.exchanges) == 3
        assert len(server.requests) == 3

    with replaying(path) as cassette:
        reranker = reranker_of(shell, cassette)
        other = rank(reranker, "other", ["a"], top_n=1)
        assert [exchange.asked["query"] for exchange in cassette.unused] == ["q", "q"]
        replayed = [rank(reranker), rank(reranker), other]
        assert cassette.unused == []

    for before, after in zip(recorded, replayed, strict=True):
        assert before.hits == after.hits
        assert before.request_id == after.request_id
        assert json.loads(before.body or b"0") or json.loads(after.body)
    assert [ranking.request_id for ranking in replayed] == ["gen-1", "gen-2", "gen-3"]


def test_the_list_of_models(shell: Shell, tmp_path: Path) -> None:
    """What is asked for without a body is recorded and replayed too."""
    path = tmp_path / "cassette.json"
    listed = {"data": [{"id": "a/b", "name": "B"}], "total_count": 1, "links": {"next": None}}

    def listing(request: Request) -> Script:
        assert request.method == "GET"
        yield answer(200, listed)

    def models(cassette: Any, *arguments: Any, **settings: Any) -> list[str]:
        called = reranker_of(shell, cassette, *arguments, **settings).models()
        return [model.id for model in (asyncio.run(called) if inspect.iscoroutine(called) else called)]

    with serving(listing) as server, recording(path) as cassette:
        recorded = models(cassette, KEY, base_url=server.url)

    with replaying(path) as cassette:
        assert models(cassette) == recorded == ["a/b"]


def test_the_file_is_for_people(tmp_path: Path) -> None:
    """The file is JSON over lines, with the answer's body as JSON; no header of the request, and few of the answer."""
    path = tmp_path / "cassette.json"
    record(Shell("sync"), path, well)

    text = path.read_text()
    content = json.loads(text)
    [exchange] = content["exchanges"]
    assert content["version"] == 1
    assert set(exchange["request"]) == {"method", "path", "body"}
    assert exchange["request"]["path"] == "/api/v1/rerank"
    assert exchange["answer"]["headers"] == {"content-type": "application/json", "x-generation-id": "gen-1"}
    assert exchange["answer"]["json"]["results"][0]["index"] == 2
    assert len(text.splitlines()) > 20


KINDS = {
    "status_429_forever": ("json", RateLimitError),
    "status_400_null": ("json", BadRequestError),
    "ok_html": ("text", InvalidResponseError),
    "score_nan": ("text", InvalidResponseError),
    "score_1e999": ("text", InvalidResponseError),
    "gzip_garbage": ("text", InvalidResponseError),
    "ok_empty": ("text", InvalidResponseError),
    "status_503_retry_after_an_hour": ("json", ServerError),
}


@pytest.mark.parametrize("name", KINDS)
def test_answers_that_are_none(name: str, shell: Shell, tmp_path: Path) -> None:
    """An answer that is an error, no JSON or no gzip is recorded too, and ends in the same error again."""
    kind, error = KINDS[name]
    path = tmp_path / "cassette.json"
    record(shell, path, name)

    told = json.loads(path.read_text())["exchanges"][0]["answer"]
    assert set(told) - {"status", "headers"} == {kind}
    with replaying(path) as cassette, pytest.raises(error) as caught:
        rank(reranker_of(shell, cassette, retries=Retries(attempts=1)))
    if name == "status_503_retry_after_an_hour":
        assert caught.value.retry_after == 3600


def test_bytes_and_names_twice(tmp_path: Path) -> None:
    """A body that is no text, and one that JSON would read as less than it is, come back byte by byte."""
    bodies = [b"\xff\x00\xfe", b'{"results":[],"results":[]}', "é".encode()]
    path = tmp_path / "cassette.json"
    with (
        serving(lambda request: iter([answer(500, bodies[request.number - 1])])) as server,
        recording(path) as cassette,
        cassette.reranker(KEY, base_url=server.url, retries=Retries(first_wait=0)) as reranker,
        suppress(ServerError),
    ):
        reranker.rerank("q", ["a"])

    with replaying(path) as cassette:
        assert [exchange.body for exchange in cassette.exchanges] == bodies


def forms(key: str) -> list[str]:
    """Return the key in the forms in which a server may echo it."""
    packed = [
        encode(f"{before}{key}!".encode()).decode()
        for before in ("", "a", "ab", "Bearer ")
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    ]
    escaped = "".join(f"\\u{ord(character):04x}" for character in key)
    return [
        key,
        f"Bearer {key}",
        key.upper(),
        quote(key),
        quote(key, safe=""),
        escaped,
        json.dumps(json.dumps(key)),
        *packed,
    ]


@pytest.mark.parametrize("where", ["message", "name", "text", "binary", "header"])
@pytest.mark.parametrize("key", [KEY, "sk~~~???>>>/with+signs"], ids=["letters", "signs"])
def test_the_key_is_scrubbed(where: str, key: str, shell: Shell, tmp_path: Path) -> None:
    """In no form, in no place of an answer, the key is in the file; nor is a cookie that was sent, or the document's."""
    path = tmp_path / "cassette.json"
    echoed = [*forms(key), "my-session-cookie"]

    def echo(request: Request) -> Script:
        assert request.headers["authorization"] == f"Bearer {key}"
        said = " ".join(echoed)
        match where:
            case "message":
                yield answer(500, envelope(500, said, metadata={"raw": [said]}))
            case "name":
                yield answer(200, {**results((0, 1.0)), said: 1})
            case "text":
                yield answer(502, f"<p>{said}".encode(), "text/html")
            case "binary":
                yield answer(502, b"\xff" + said.encode(), "text/html")
            case _:
                yield answer(500, headers={"X-Request-Id": key, "X-Other": key})

    cookie = {"Cookie": "a=b; s=my-session-cookie"}
    record(shell, path, echo, "q", [f"my key is {key}"], api_key=key, extra_headers=cookie)

    text = path.read_text()
    decoded = b"".join(
        base64.b64decode(exchange["answer"].get("base64", "")) for exchange in json.loads(text)["exchanges"]
    )
    for found in (text, json.dumps(json.loads(text), ensure_ascii=False), decoded.decode("latin-1")):
        assert key.lower() not in found.lower()
        assert "my-session-cookie" not in found
        assert key == KEY or "%3F%3F" not in found
        assert "".join(f"\\u{ord(character):04x}" for character in key[4:8]) not in found
        for encoded in re.findall(r"[\w+/-]{16,}", found.replace("_", "/").replace("-", "+")):
            for start in range(4):
                whole = encoded[start : start + (len(encoded) - start) // 4 * 4]
                assert key[8:16].encode() not in base64.b64decode(whole)
    assert "my key is [key]" in text
    assert "[key]" in (decoded.decode("latin-1") if where == "binary" else text.partition('"answer"')[2])

    # The document had the key in it; with the key it is found again.
    with replaying(path) as cassette:
        with suppress(ResponseError):
            reranker = reranker_of(shell, cassette, key, retries=Retries(attempts=1))
            rank(reranker, "q", [f"my key is {key}"])
        assert cassette.unused == []


def test_a_secret_that_cannot_be_scrubbed(tmp_path: Path) -> None:
    """A key that is a number, and stands in an answer as one, is not written: the file stays as it was."""
    path = tmp_path / "cassette.json"
    path.write_text("before")
    body = json.dumps({**results((0, 1.0)), "account": 1234567890}).encode()

    with (
        serving(lambda _: iter([answer(200, body)])) as server,
        pytest.raises(ValueError, match="nothing was written"),
        recording(path) as cassette,
        cassette.reranker("1234567890", base_url=server.url) as reranker,
    ):
        reranker.rerank("q", ["a"])

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_recording_that_fails(tmp_path: Path) -> None:
    """A block that raises writes nothing, and leaves an older recording as it was."""
    path = tmp_path / "cassette.json"
    record(Shell("sync"), path, well)
    before = path.read_text()

    with serving(well) as server, pytest.raises(ZeroDivisionError), recording(path) as cassette:
        cassette.reranker(KEY, base_url=server.url).rerank("q", ["a"])
        _ = 1 / 0

    assert path.read_text() == before


@pytest.mark.parametrize("name", ["dropped_always", "dropped_in_body", "stalls_in_body", "endless_body"])
def test_answers_that_break_off(name: str, shell: Shell, tmp_path: Path) -> None:
    """A request that got no whole answer is not recorded, and ends while it is recorded as it does otherwise."""
    path = tmp_path / "cassette.json"
    with faulty(name) as server, recording(path) as cassette:
        fault = FAULTS[name]
        assert fault.ends
        timeout = TIMEOUTS[0] if fault.ends is APITimeoutError else LONG
        with pytest.raises(fault.ends):
            rank(
                reranker_of(
                    shell, cassette, KEY, base_url=server.url, timeout=timeout, retries=Retries(attempts=1)
                )
            )
        assert cassette.exchanges == []


def test_an_unmatched_request(shell: Shell, tmp_path: Path) -> None:
    """A request that was not recorded is an AssertionError that names the nearest one and what differs."""
    path = tmp_path / "cassette.json"
    with serving(well) as server, recording(path) as cassette:
        reranker = reranker_of(shell, cassette, KEY, base_url=server.url)
        rank(reranker, "elsewhere", ["x"])
        rank(reranker, "q", ["a", "b", "c"], top_n=2, model="a/b", user="u")

    with pytest.raises(UnmatchedRequest) as caught, replaying(path) as cassette:
        rank(reranker_of(shell, cassette), "q", ["a", "B", "c", "d"], model="a/c", top_n=2, session_id="s")

    message = str(caught.value)
    assert message.splitlines()[0].startswith(f"POST /api/v1/rerank was asked for, and {path} has no such")
    assert "The nearest, exchange 2 of 2, differs in" in message
    for line in (
        "body.documents: recorded with 3 items, and 4 now",
        'body.documents[1]: recorded as "b", and "B" now',
        'body.model: recorded as "a/b", and "a/c" now',
        'body.session_id: "s", and not there when it was recorded',
        'body.user: recorded as "u", and not there now',
    ):
        assert f"\n  {line}\n" in message


def test_an_exchange_is_used_once(tmp_path: Path) -> None:
    """The same request once more than it was recorded is unmatched, and the message says why."""
    path = tmp_path / "cassette.json"
    record(Shell("sync"), path, well)

    with (
        pytest.raises(UnmatchedRequest, match="exchange 1 of 1 is the same, and was used already"),
        replaying(path) as cassette,
        cassette.reranker() as reranker,
    ):
        rank(reranker)
        rank(reranker)


def test_an_unmatched_request_that_is_swallowed(tmp_path: Path) -> None:
    """The end of the block raises what the code under test has caught."""
    path = tmp_path / "cassette.json"
    with recording(path):
        pass

    with pytest.raises(UnmatchedRequest, match="nothing is recorded"), replaying(path) as cassette:
        with pytest.raises(AssertionError):
            cassette.reranker().rerank("q", ["a"])
        assert len(cassette.unmatched) == 1


def test_equal_as_json(tmp_path: Path) -> None:
    """Bodies are compared as JSON: the order of names and the form of a number do not matter, a truth value does."""
    path = tmp_path / "cassette.json"
    with serving(well) as server, recording(path) as cassette:
        cassette.reranker(KEY, base_url=server.url, extra_body={"x": {"a": 1, "b": 2.0}}).rerank("q", ["a"])

    with replaying(path) as cassette:
        cassette.reranker(extra_body={"x": {"b": 2, "a": 1.0}}).rerank("q", ["a"])
    with (
        pytest.raises(UnmatchedRequest, match=r"x\.a: recorded as 1, and true now"),
        replaying(path) as cassette,
    ):
        cassette.reranker(extra_body={"x": {"a": True, "b": 2}}).rerank("q", ["a"])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "exchanges": [{}]}'])
def test_files_that_are_none(content: str, tmp_path: Path) -> None:
    """A file that is no cassette is told as such, with its name; and so is a missing one."""
    path = tmp_path / "cassette.json"
    with pytest.raises(FileNotFoundError) as caught, replaying(path):
        pass
    assert "--rerank-record" in caught.value.__notes__[0]

    path.write_text(content)
    with pytest.raises(ValueError, match="is no cassette that can be read") as refused, replaying(path):
        pass
    assert str(path) in str(refused.value)


def test_clients_of_ones_own(tmp_path: Path) -> None:
    """A recording may send through the caller's own clients, also where a hook reads each answer, and closes none."""
    path = tmp_path / "cassette.json"

    def read(response: httpx.Response) -> None:
        response.read()

    with serving(well) as server, httpx.Client(event_hooks={"response": [read]}) as client:
        with recording(path, http_client=cast(Any, client)) as cassette:
            reranker = Reranker(KEY, base_url=server.url, http_client=cassette.http_client)
            recorded = reranker.rerank("q", ["a", "b"])
        assert not client.is_closed

    with replaying(path) as cassette:
        replayed = Reranker("", http_client=cassette.http_client).rerank("q", ["a", "b"])
    assert replayed.hits == recorded.hits


def test_a_replay_for_another_process(tmp_path: Path) -> None:
    """A replay can be served on loopback."""
    path = tmp_path / "cassette.json"
    record(Shell("sync"), path, well)

    with (
        replaying(path) as cassette,
        serving(cassette.play) as server,
        Reranker(KEY, base_url=server.url) as reranker,
    ):
        assert reranker.rerank("q", ["a", "b", "c"]).indices == [2, 1, 0]


def test_no_network_in_a_replay(tmp_path: Path) -> None:
    """A replay opens no socket, in either shell."""
    path = tmp_path / "cassette.json"
    record(Shell("sync"), path, well)
    code = """
        import asyncio, sys
        from openrouter_rerank.testing import replaying
        def audit(event, arguments):
            if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
                sys.exit(event)
        sys.addaudithook(audit)
        with replaying(sys.argv[1]) as cassette:
            print(cassette.reranker().rerank("q", ["a", "b", "c"]).indices)
        with replaying(sys.argv[1]) as cassette:
            print(asyncio.run(cassette.async_reranker().rerank("q", ["a", "b", "c"])).indices)
    """

    done = python("-c", inspect.cleandoc(code), str(path))

    assert (done.stdout.split("\n"), done.stderr) == (["[2, 1, 0]", "[2, 1, 0]", ""], "")


# The plugin


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the arguments with another Python, and return its output."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**inherited, **environment},
    )


def run(home: Path, source: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a test module of another project."""
    (home / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -q\n")
    (home / "test_other.py").write_text(inspect.cleandoc(source))
    arguments = ("-p", "openrouter_rerank.testing.plugin", *arguments, str(home / "test_other.py"))
    # Other plugins take seconds to load.
    return python(
        "-m", "pytest", f"--rootdir={home}", *arguments, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **environment
    )


def test_the_plugin_is_light() -> None:
    """Loading the plugin, as each pytest run does, imports nothing that a fixture of it needs."""
    heavy = [
        "httpx",
        "httpcore",
        "anyio",
        "h11",
        "attrs",
        "openrouter_rerank_api.client",
        "rerank_conformance",
    ]
    code = f"""
        import sys, pytest
        before = set(sys.modules)
        import openrouter_rerank.testing.plugin
        new = set(sys.modules) - before
        print([name for name in {heavy} if name in new])
        print(sorted(name for name in new if name.startswith("openrouter_rerank.testing")))
    """

    done = python("-c", inspect.cleandoc(code))

    loaded = ["openrouter_rerank.testing", "openrouter_rerank.testing.plugin"]
    assert (done.stdout.splitlines(), done.stderr) == (["[]", str(loaded)], "")


def test_pytest_finds_the_plugin() -> None:
    """The installed package tells pytest of its plugin."""
    [entry] = entry_points(group="pytest11", name="openrouter_rerank")

    assert entry.value == "openrouter_rerank.testing.plugin"


def test_fixtures(tmp_path: Path) -> None:
    """The fixtures give a fake of either kind and servers with faults, anew for each test."""
    done = run(
        tmp_path,
        """
        import asyncio
        import pytest
        from openrouter_rerank import Reranker, AsyncReranker, RateLimitError, ServerError, Retries

        @pytest.mark.parametrize("_", [1, 2])
        def test_fake(fake_reranker, _):
            assert isinstance(fake_reranker, Reranker)
            fake_reranker.scores = [1, 2]
            fake_reranker.script([RateLimitError])
            with pytest.raises(RateLimitError):
                fake_reranker.rerank("q", ["a", "b"])
            assert fake_reranker.rerank("q", ["a", "b"]).documents == ["b", "a"]
            assert len(fake_reranker.calls) == 2

        def test_async_fake(async_fake_reranker):
            assert isinstance(async_fake_reranker, AsyncReranker)
            assert asyncio.run(async_fake_reranker.rerank("a b", ["a", "a b"])).indices == [1, 0]

        def test_servers(faulty_server):
            for name in ("status_524", "status-529"):
                server = faulty_server(name)
                with Reranker("", base_url=server.url, retries=Retries(attempts=1)) as reranker:
                    with pytest.raises(ServerError):
                        reranker.rerank("q", ["a"])
                assert len(server.requests) == 1
        """,
    )

    assert "4 passed" in done.stdout, done.stdout + done.stderr


CASSETTES = """
    import os
    import pytest

    SETTINGS = {"base_url": os.environ.get("URL", "http://nowhere.invalid/api/v1")}

    class TestIt:
        @pytest.mark.parametrize("query", ["a/b", "ü" * 200])
        def test_sync(self, rerank_cassette, query):
            with rerank_cassette.reranker(**SETTINGS) as reranker:
                assert reranker.rerank(query, ["a", "b"]).indices == [1, 0]

    def test_async(rerank_cassette):
        import asyncio
        async def main():
            async with rerank_cassette.async_reranker(**SETTINGS) as reranker:
                return await reranker.rerank("q", ["a", "b"])
        assert asyncio.run(main()).indices == [1, 0]
"""


def test_cassettes_of_tests(tmp_path: Path) -> None:
    """Recorded once with the option, each test replays its own file, which lies beside it; without the file it says how."""
    missing = run(tmp_path, CASSETTES)
    assert "3 errors" in missing.stdout
    assert "--rerank-record" in missing.stdout

    with serving(well) as server:
        recorded = run(tmp_path, CASSETTES, "--rerank-record", URL=server.url, OPENROUTER_API_KEY=KEY)
        assert len(server.requests) == 3
    assert "3 passed" in recorded.stdout, recorded.stdout + recorded.stderr
    files = sorted((tmp_path / "cassettes" / "test_other").iterdir())
    assert [file.suffix for file in files] == [".json"] * 3
    assert {"TestIt.test_sync[a%2Fb].json", "test_async.json"} < {file.name for file in files}
    assert not [file for file in files if KEY in file.read_text()]

    replayed = run(tmp_path, CASSETTES)
    assert "3 passed" in replayed.stdout, replayed.stdout + replayed.stderr


@pytest.mark.skipif(not DOCS.is_file(), reason="there are no docs away from the repository")
def test_the_tests_of_the_docs(tmp_path: Path) -> None:
    """The tests that the docs show pass."""
    shown = re.findall(r"```python\n(?!>>>)(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    source = "\n".join(shown)
    names = re.findall(r"def (test_\w+)", source)
    with serving(well) as server:
        recorded = run(
            tmp_path,
            source.replace(".reranker()", f".reranker(base_url={server.url!r})"),
            "--rerank-record",
            OPENROUTER_API_KEY=KEY,
        )
    assert f"{len(names)} passed" in recorded.stdout, recorded.stdout + recorded.stderr

    replayed = run(tmp_path, source)

    assert len(names) >= 4
    assert f"{len(names)} passed" in replayed.stdout, replayed.stdout + replayed.stderr


# The package


def test_exported_names() -> None:
    """`__all__` is sorted as the linter has it, each name is there, says what it is, and stands in `dir`."""
    kit = openrouter_rerank.testing
    for name in kit.__all__:
        assert getattr(kit, name) is not None
        assert name in dir(kit)
        assert name in ("FAULTS", "Script") or inspect.getdoc(getattr(kit, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kit.nothing


def test_nothing_of_ours_imports_the_kit() -> None:
    """The facade does not know its test kit."""
    root = Path(openrouter_rerank.__file__).parent
    for path in root.rglob("*.py"):
        if "testing" not in path.parts:
            assert "openrouter_rerank.testing" not in path.read_text(encoding="utf-8"), path
