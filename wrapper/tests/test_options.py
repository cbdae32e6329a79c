"""The options of calls and clients: where they are accepted, refused, changed and shown."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Required, TypedDict

import pytest
from msgspec import Meta

from driving import KEY, body, call, settings
from openrouter_rerank import (
    AsyncReranker,
    DiskCache,
    Document,
    MemoryCache,
    Reranker,
    Retries,
    diagnose,
    request,
    split_by_words,
)
from openrouter_rerank.bulk import RerankRequest
from openrouter_rerank.request import REQUIRED
from openrouter_rerank.testing import (
    AsyncFakeReranker,
    FakeAnswer,
    FakeReranker,
    InProcess,
    answer,
    faulty,
    serving,
)

DOCUMENTS = ["a", "b"]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Reranker(KEY, apikey="x"), "Reranker() has no argument 'apikey'; did you mean 'api_key'?"),
        (lambda: AsyncReranker(KEY, top_k=1), "AsyncReranker() has no argument 'top_k'; did you mean"),
        (lambda: Reranker.local(foo=1), "local() has no argument 'foo'; to send it as a key of the request"),
        (lambda: FakeReranker().rerank("q", [], top_k=1), "no argument 'top_k'; did you mean 'top_n'?"),
        (lambda: Reranker(KEY, max_retries=1), "no argument 'max_retries'; did you mean 'retries'?"),
        (lambda: FakeReranker().rerank("q", [], threshold=1), "'threshold'; did you mean 'min_score'?"),
        (
            lambda: FakeReranker().rerank("q", [], return_documents=True),
            "it is not needed, as each hit holds",
        ),
        (lambda: FakeReranker().rerank("q", [], rank_fields=["a"]), "'rank_fields'; pass key, a function of"),
        (lambda: Reranker.local(modle="m"), "local() has no argument 'modle'; did you mean 'model'?"),
        (lambda: FakeReranker().rerank("q", [], quux=1), "rerank() has no argument 'quux'; to send it as a"),
        (lambda: FakeReranker().rerank("q", [], cache=1), "no argument 'cache'; set it where the reranker"),
        (lambda: FakeReranker().with_options(cache=None), "with_options() has no argument 'cache'; set it"),
        (
            lambda: FakeReranker().rerank("q", [], chunk=str.split),
            "rerank() has no argument 'chunk'; did you mean 'splitter'?",
        ),
        (
            lambda: FakeReranker(on_error="keep_order"),
            "no argument 'on_error'; pass it to each call of rerank()",
        ),
        (
            lambda: RerankRequest("q", [], top_m=3),
            "RerankRequest() has no argument 'top_m'; did you mean 'top_n'?",
        ),
        (lambda: Reranker.local(top_k=1), "local() has no argument 'top_k'; did you mean 'top_n'?"),
        (lambda: Reranker.local(api_key=KEY), "'api_key'; it is for a server; use the constructor in place"),
        (lambda: FakeReranker(top_k=1), "FakeReranker() has no argument 'top_k'; did you mean 'top_n'?"),
        (lambda: FakeReranker(scrpt=[]), "FakeReranker() has no argument 'scrpt'; did you mean 'script'?"),
        (
            lambda: FakeReranker().with_options(apikey=KEY),
            "did you mean 'api_key'? Set it where the reranker",
        ),
        (lambda: FakeReranker().rerank("q", [], max_cots=1), "did you mean 'max_cost'? Set it where the"),
        (
            lambda: FakeReranker().rerank_many([], concurency=1),
            "rerank_many() has no argument 'concurency'; did you mean 'concurrency'?",
        ),
        (
            lambda: AsyncFakeReranker().rerank_many([], top_k=1),
            "rerank_many() has no argument 'top_k'; set top_n in each RerankRequest, or as a default",
        ),
        (
            lambda: FakeReranker().rerank_many([], return_documents=True),
            "'return_documents'; it is not needed, as each hit holds",
        ),
        (
            lambda: FakeReranker().rerank_many([], zzz=1),
            "'zzz'; its arguments are concurrency, ordered, prog",
        ),
        (lambda: FakeReranker().dry_run([], top_n=1), "dry_run() has no argument 'top_n'; set top_n in each"),
        (lambda: asyncio.run(AsyncFakeReranker().dry_run([], request=1)), "did you mean 'requests'?"),
        (lambda: FakeReranker().models(tiemout=1), "models() has no argument 'tiemout'; did you mean 'timeo"),
        (lambda: asyncio.run(AsyncFakeReranker().models(extra_header=1)), "did you mean 'extra_headers'?"),
        (
            lambda: diagnose("http://127.0.0.1:9", dialct="tei"),
            "diagnose() has no argument 'dialct'; did you",
        ),
        (lambda: Retries(attemps=1), "Retries() has no argument 'attemps'; did you mean 'attempts'?"),
        (lambda: Document(txt="a"), "Document() has no argument 'txt'; did you mean 'text'?"),
        (lambda: FakeAnswer(score=[1]), "FakeAnswer() has no argument 'score'; did you mean 'scores'?"),
        (
            lambda: MemoryCache(max_entry=1),
            "MemoryCache() has no argument 'max_entry'; did you mean 'max_entr",
        ),
        (
            lambda: DiskCache("x", zzz=1),
            "DiskCache() has no argument 'zzz'; its arguments are max_bytes, path, ttl",
        ),
        (
            lambda: split_by_words(3, overlaps=1),
            "split_by_words() has no argument 'overlaps'; did you mean 'ov",
        ),
        (lambda: serving(scirpt=1), "serving() has no argument 'scirpt'; did you mean 'script'?"),
        (lambda: faulty(falt="x"), "faulty() has no argument 'falt'; did you mean 'fault'?"),
        (lambda: InProcess(scirpt=1), "InProcess() has no argument 'scirpt'; did you mean 'script'?"),
        (lambda: answer(200, bdy="x"), "answer() has no argument 'bdy'; did you mean 'body'?"),
        (
            lambda: Reranker(KEY, "model"),
            "Reranker() takes from 1 to 2 positional arguments but 3 were given",
        ),
        (lambda: Reranker.local("lexical", "model"), "local() takes from 1 to 2 positional arguments"),
    ],
)
def test_a_misspelt_option_is_refused(use: Callable[[], object], message: str) -> None:
    """The error has the function and the nearest name, and no class of ours that is not public."""
    with pytest.raises(TypeError) as caught:
        use()

    assert message in str(caught.value)
    assert "_Base" not in str(caught.value)
    assert "__init__" not in str(caught.value)


def test_a_field_that_the_contract_comes_to_require(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be an option of the client or of a call; without it nothing is sent."""
    monkeypatch.setattr("openrouter_rerank.request.REQUIRED", REQUIRED | {"user"})
    assert body(user="jo")["user"] == "jo"
    assert body({"user": "jo"})["user"] == "jo"
    assert body(extra_body={"user": "jo"})["user"] == "jo"
    with pytest.raises(
        ValueError, match=r"^user is required by the API; pass it to rerank\(\), or to Reranker"
    ):
        body()


def test_a_misspelt_secret_is_in_no_frame() -> None:
    """A traceback with local variables does not show the value of an argument that is refused."""
    uses = (
        lambda: diagnose("http://127.0.0.1:9", apikey="sesame"),
        lambda: FakeReranker().models(extra_header="sesame"),
    )
    for use in uses:
        with pytest.raises(TypeError) as caught:
            use()

        frames = caught.value.__traceback__
        while frames:
            if frames.tb_frame.f_code.co_filename != __file__:
                assert "sesame" not in str(frames.tb_frame.f_locals)
            frames = frames.tb_next


def test_signatures_name_the_options() -> None:
    """`help()` shows each option with its type and default in place of `**options`."""
    for function, default in ((Reranker, 60.0), (Reranker.local, 60.0), (Reranker.rerank, None)):
        parameters = inspect.signature(function).parameters
        assert parameters["timeout"].default == default
        assert "int" in str(parameters["top_n"].annotation)
        assert not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    assert "cache" not in inspect.signature(Reranker.with_options).parameters


def test_the_documented_defaults() -> None:
    """These are the values that the documentation has."""
    parameters = inspect.signature(Reranker).parameters
    values = {
        "model": "cohere/rerank-v3.5",
        "timeout": 60.0,
        "deadline": 120.0,
        "max_documents": 1_000,
        "max_bytes": 30_000_000,
        "on_part_error": "raise",
        "blank": "send",
    }
    assert {name: parameters[name].default for name in values} == values


def test_with_options_changes_a_copy() -> None:
    """The copy has the new defaults, the original its own; extra entries are added, and both share the ledger."""
    fake = FakeReranker(top_n=2, extra_body={"a": 1}, extra_headers={"X-A": "1"})
    changed = fake.with_options(
        top_n=1,
        extra_body={"b": 2},
        extra_headers={"X-B": "2"},
        timeout=5,
        deadline=None,
        retries=Retries(attempts=2),
        max_image_bytes=7,
    )

    assert [len(client.rerank("q", DOCUMENTS)) for client in (changed, fake)] == [1, 2]
    assert [(sent.options["a"], sent.options.get("b")) for sent in fake.calls] == [(1, 2), (1, None)]
    inside = changed._settings
    assert (inside.headers["X-A"], inside.headers["X-B"]) == ("1", "2")
    assert (inside.timeout, inside.deadline, inside.retries.attempts, inside.max_image_bytes) == (
        5,
        None,
        2,
        7,
    )
    assert fake._settings.deadline == 120
    assert changed.ledger is fake.ledger
    assert fake.ledger.total.calls == 2


def test_with_options_checks() -> None:
    """A value that a call refuses is refused by `with_options` too."""
    for given in ({"top_n": 0}, {"timeout": -1}, {"deadline": "1"}, {"retries": 3}, {"extra_body": 1}):
        with pytest.raises((TypeError, ValueError), match=next(iter(given))):
            FakeReranker().with_options(**given)  # type: ignore[arg-type] # on purpose


def test_closing_a_copy_closes_both() -> None:
    """A copy and its original have one life."""
    fake = FakeReranker()
    fake.with_options(top_n=1).close()

    with pytest.raises(RuntimeError, match="closed"):
        fake.rerank("q", DOCUMENTS)
    with pytest.raises(RuntimeError, match="closed"):
        fake.with_options(top_n=1)


async def test_with_options_of_an_async_client() -> None:
    """The async copy ranks by its own defaults."""
    fake = AsyncFakeReranker()

    assert len(await fake.with_options(top_n=1).rerank("q", DOCUMENTS)) == 1


def test_none_in_the_constructor_is_the_default() -> None:
    """None stands for the default value."""
    sent = body({"model": None, "timeout": None, "max_documents": None})

    assert sent["model"] == "cohere/rerank-v3.5"


class Inner(TypedDict, total=False):
    """A nested object with a bound."""

    size: Annotated[int, Meta(le=3)]


class Closed(TypedDict, total=False):
    """A nested object with a key that is required, and objects in a list and in a mapping."""

    name: Required[str]
    parts: list[Inner]
    named: Mapping[str, Inner]


FUTURE: dict[str, Any] = {
    "max_tokens_per_doc": Annotated[int, Meta(ge=1)],
    "ratio": Annotated[float, Meta(gt=0, lt=1)],
    "names": Annotated[list[str], Meta(max_length=2)],
    "flag": bool | None,
    "inner": Inner | None,
    "closed": Closed,
    "level": Literal[1, 2, 3] | None,
    "word": Literal["a", "b"],
    "code": Annotated[str, Meta(pattern="^[a-z]+\\Z")],
    "once": Annotated[list[str], Meta(max_length=9, extra={"unique_items": True})] | None,
    "labels": Mapping[str, str],
}


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_tokens_per_doc", 512, None),
        ("max_tokens_per_doc", 0, (ValueError, "max_tokens_per_doc must be at least 1, not 0")),
        ("max_tokens_per_doc", "5", (TypeError, "max_tokens_per_doc must be an int, not str")),
        ("max_tokens_per_doc", True, (TypeError, "max_tokens_per_doc must be an int, not bool")),
        ("ratio", 0.5, None),
        ("ratio", 1.5, (ValueError, "ratio must be less than 1, not 1.5")),
        ("ratio", float("nan"), (ValueError, "ratio holds what JSON cannot")),
        ("names", ["a"], None),
        ("names", ["a", 5], (ValueError, "names[1] must be a str, not int")),
        ("names", ["a"] * 50, (ValueError, "names must have at most 2 items, not 50")),
        ("names", {"a"}, (TypeError, "names holds what JSON cannot")),
        ("flag", False, None),
        ("flag", 1, (TypeError, "flag must be a bool, not int")),
        ("inner", {"size": 3}, None),
        ("inner", {"size": 4}, (ValueError, "inner.size must be at most 3, not 4")),
        ("inner", {"sise": 3}, (ValueError, "inner: unknown key 'sise'; did you mean 'size'?")),
        ("closed", {"name": "a", "parts": [{"size": 1}], "named": {"x": {}}}, None),
        ("closed", {}, (ValueError, "closed: the key 'name' is missing; it is required")),
        ("closed", {"nmae": "a"}, (ValueError, "closed: unknown key 'nmae'; did you mean 'name'?")),
        (
            "closed",
            {"name": "a", "parts": [{}, {"sise": 1}]},
            (ValueError, "closed.parts[1]: unknown key 'sise'"),
        ),
        (
            "closed",
            {"name": "a", "named": {"x": {"sise": 1}}},
            (ValueError, "closed.named.x: unknown key 'sise'"),
        ),
        ("level", 3, None),
        ("level", 4, (ValueError, "level must be 1, 2 or 3, not 4")),
        ("word", "c", (ValueError, "word must be 'a' or 'b', not 'c'")),
        ("word", "B", (ValueError, "word must be 'a' or 'b', not 'B'; did you mean 'b'?")),
        ("level", "3", (TypeError, "level must be an int, not str")),
        ("code", "a", None),
        ("code", "a\n", (ValueError, "code: expected str matching regex")),
        ("once", ["a", "b"], None),
        ("once", ["a", "b", "a"], (ValueError, "once: 'a' is there twice; leave one of them out")),
        ("labels", {"a": "b"}, None),
        ("labels", {"a": "b", "b": 1}, (ValueError, "labels.b must be a str, not int")),
    ],
)
def test_a_field_is_checked_by_its_type(
    name: str, value: object, error: tuple[type[Exception], str] | None
) -> None:
    """A field is checked by the type that the contract gives it, whatever that is."""
    if error is None:
        assert request._field(name, value, FUTURE[name]) == value
        return
    with pytest.raises(error[0]) as caught:
        request._field(name, value, FUTURE[name])
    assert str(caught.value).startswith(error[1])


def test_a_name_that_python_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field has the name of the wire in the body, and `extra_body` overrides it by that name."""
    monkeypatch.setattr(request, "NAMES", {"from_": "from"})
    monkeypatch.setattr(request, "WIRE_TYPES", {"model": str, "from_": str})
    given = {"model": "m", "from_": "app", "extra_body": {"x": 1}}

    assert json.loads(request.body("q", ["d"], given)) == {
        "model": "m", "query": "q", "documents": ["d"], "from": "app", "x": 1
    }  # fmt: skip
    given["extra_body"] = {"from": "a", "user": "u"}
    assert json.loads(request.body("q", ["d"], given))["from"] == "a"


def test_requests_compare_and_refuse() -> None:
    """A `RerankRequest` equals one with the same fields, has each option as an attribute, and no others."""
    one, other = RerankRequest("q", DOCUMENTS, top_n=1), RerankRequest("q", DOCUMENTS, top_n=2)

    assert one == RerankRequest("q", DOCUMENTS, top_n=1)
    assert one != other
    assert one != "q"
    assert (one.top_n, one.user) == (1, None)
    with pytest.raises(AttributeError, match="top_m"):
        _ = one.top_m


def test_settings_are_shared() -> None:
    """A call without options of its own uses the client's defaults as they are."""
    client = settings(top_n=1)

    assert body(None, top_n=None)["model"] == client.defaults["model"]
    assert next(call(client)) is not None
