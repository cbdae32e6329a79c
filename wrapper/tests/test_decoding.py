"""A paid answer is read for what a ranking needs, however odd the rest is; and nothing that can hurt is."""

from __future__ import annotations

import gzip
import json
import pickle
import zlib
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driving import answered, call, finish, settings
from openrouter_rerank import InvalidResponseError, Ranking, RerankError, ResponseError, Retries
from openrouter_rerank.bulk.cache import MemoryCache
from openrouter_rerank.decoding import decode, plain, pruned, well_formed
from openrouter_rerank.listing import models
from openrouter_rerank.operations import Answer
from shells import Shell

RESULTS = b'"results":[{"index":1,"relevance_score":0.5}]'
DEEP = b"[" * 10**5 + b"]" * 10**5
DEEP_OBJECTS = b'{"[":' * 2000 + b'"]}"' + b"}" * 2000

# An answer that ranks document 1, odd in a place that no ranking needs.
ODD: dict[str, bytes] = {
    "half a pair in an echo": b'{"results":[{"index":1,"relevance_score":0.5,"document":{"text":"cut \\ud83d"}}]}',
    "the other half": b'{"results":[{"index":1,"relevance_score":0.5,"document":"\\ude00 cut"}]}',
    "half a pair as a name": b'{"\\ud83d":1,' + RESULTS + b"}",
    "half a pair in the id": b'{"id":"a\\ud83d",' + RESULTS + b"}",
    "half a pair, encoded": b'{"x":"\xed\xa0\xbd",' + RESULTS + b"}",
    "no UTF-8 in an echo": b'{"results":[{"index":1,"relevance_score":0.5,"document":{"text":"caf\xe9"}}]}',
    "no UTF-8 in the model": b'{"model":"caf\xe9",' + RESULTS + b"}",
    "NaN": b'{"timing":NaN,' + RESULTS + b"}",
    "Infinity": b'{"timing":[Infinity,-Infinity],' + RESULTS + b"}",
    "NaN in usage": b'{"usage":{"cost":NaN,"total_tokens":Infinity},' + RESULTS + b"}",
    "1e999 in usage": b'{"usage":{"cost":1e999},' + RESULTS + b"}",
    "a number of 5,000 digits": b'{"usage":{"total_tokens":' + b"9" * 5000 + b"}," + RESULTS + b"}",
    "the same in an unknown field": b'{"x":-' + b"9" * 5000 + b"," + RESULTS + b"}",
    "the same as the id": b'{"id":' + b"9" * 5000 + b"," + RESULTS + b"}",
    "usage of another type": b'{"usage":"free","meta":[1],"tokens":true,' + RESULTS + b"}",
    "a line break in an echo": b'{"results":[{"index":1,"relevance_score":0.5,"document":"a\nb\x01"}]}',
    "deep lists": b'{"x":' + DEEP + b"," + RESULTS + b"}",
    "deep lists in usage": b'{"usage":' + DEEP + b"," + RESULTS + b"}",
    "deep objects": b'{"x":' + DEEP_OBJECTS + b"," + RESULTS + b"}",
    "deep and odd": b'{"x":' + DEEP + b',"y":NaN,' + RESULTS + b',"z":' + DEEP_OBJECTS + b"}",
    "deep in an echo": b'{"results":[{"index":1,"relevance_score":0.5,"document":' + DEEP + b"}]}",
    "a byte order mark": b"\xef\xbb\xbf{" + RESULTS + b"}",
    "UTF-16": ("{" + RESULTS.decode() + "}").encode("utf-16"),
    "UTF-16 without a mark": ("{" + RESULTS.decode() + "}").encode("utf-16-le"),
    "UTF-32": ("{" + RESULTS.decode() + "}").encode("utf-32"),
    "zeros behind it": b"{" + RESULTS + b"}\0\0",
    "a line behind it": b"{" + RESULTS + b"}\n<!-- served by 7 -->",
    "the same key twice": b'{"x":1,"x":2,"results":[],' + RESULTS + b"}",
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_part_costs_no_ranking(name: str) -> None:
    """The ranking is there, whatever nobody needs; its body is as it came, and it can be shown, pickled and encoded."""
    ranking = finish(call(), answered(200, ODD[name]))

    assert (ranking.indices, ranking.scores, ranking.documents) == ([1], [0.5], ["b"])
    assert ranking.body == ODD[name]
    assert repr(ranking)
    assert ranking._repr_html_()
    for said in (ranking.id, ranking.model):
        msgspec.json.encode(said)
    try:
        assert ranking.response
    except InvalidResponseError as error:
        assert pickle.loads(pickle.dumps(error)).body == ODD[name]


def test_what_is_odd_is_replaced() -> None:
    """Half a pair is U+FFFD, a number that is not finite or too long unknown."""
    assert finish(call(), answered(200, ODD["half a pair in the id"])).id == "a\ufffd"
    assert finish(call(), answered(200, ODD["no UTF-8 in the model"])).model == "caf\ufffd"
    assert finish(call(), answered(200, ODD["NaN in usage"])).usage.cost is None
    assert finish(call(), answered(200, ODD["a number of 5,000 digits"])).usage.total_tokens is None
    assert finish(call(), answered(200, b'{"id":"\\ud83d\\ude00",' + RESULTS + b"}")).id == "\U0001f600"


# An answer with something wrong in what a ranking needs, or of which nobody knows what it says.
WRONG: dict[str, bytes] = {
    "a score of NaN": b'{"results":[{"index":1,"relevance_score":NaN}]}',
    "a score of Infinity": b'{"results":[{"index":1,"relevance_score":-Infinity}]}',
    "a score of 1e999": b'{"x":NaN,"results":[{"index":1,"relevance_score":1e999}]}',
    "a score of 5,000 digits": b'{"results":[{"index":1,"relevance_score":' + b"9" * 5000 + b"}]}",
    "a score of 400 digits": b'{"x":NaN,"results":[{"index":1,"relevance_score":' + b"9" * 400 + b"}]}",
    "a score that is true": b'{"x":NaN,"results":[{"index":1,"relevance_score":true}]}',
    "a score that is text": b'{"x":NaN,"results":[{"index":1,"relevance_score":"0.5"}]}',
    "no score": b'{"x":NaN,"results":[{"index":1}]}',
    "an index of 5,000 digits": b'{"results":[{"index":' + b"9" * 5000 + b',"relevance_score":0.5}]}',
    "an index of 4,000 digits": b'{"x":NaN,"results":[{"index":' + b"9" * 4000 + b',"relevance_score":0.5}]}',
    "an index of NaN": b'{"results":[{"index":NaN,"relevance_score":0.5}]}',
    "an index that is true": b'{"x":NaN,"results":[{"index":true,"relevance_score":0.5}]}',
    "a fraction": b'{"x":NaN,"results":[{"index":0.5,"relevance_score":0.5}]}',
    "an index out of range": b'{"x":NaN,"results":[{"index":3,"relevance_score":0.5}]}',
    "an index twice": b'{"x":NaN,"results":[{"index":1,"relevance_score":0.5},{"index":1.0,"relevance_score":1}]}',
    "deep results": b'{"results":' + DEEP + b"}",
    "deep results of objects": b'{"results":[' + DEEP_OBJECTS + b"]}",
    "deep without end": b'{"x":' + b"[" * 10**5,
    "a second answer behind it": b"{" + RESULTS + b"} {" + RESULTS + b"}",
    "a list behind it": b"{" + RESULTS + b"}\0[1]",
    "cut off": b'{"x":NaN,' + RESULTS,
    "cut within a text": b'{"x":' + DEEP + b',"y":"',
    "single quotes": b"{'results':[]}",
    "empty": b"",
    "a page": b"<html>",
    "closed too often": b"]" * 10 + DEEP,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_hurt_is_refused(name: str) -> None:
    """Read leniently or not: no ranking without an index and a finite score for each hit, and no guess which value counts."""
    with pytest.raises(InvalidResponseError) as caught:
        finish(call(), answered(200, WRONG[name]))

    assert caught.value.body == WRONG[name]
    assert len(str(caught.value)) < 500
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


@pytest.mark.parametrize("name", ["a score of NaN", "a score of Infinity", "a score of 1e999"])
def test_message_does_not_take_a_number_for_null(name: str) -> None:
    """The message of a number that is not finite says so, though it is read as null."""
    with pytest.raises(
        InvalidResponseError, match=r"`null` or a number that is not finite - at `\$\.results\[0\]"
    ):
        finish(call(), answered(200, WRONG[name]))


def test_a_body_of_brackets_is_given_up() -> None:
    """Nesting is looked for in so many places and no more, as a hostile body has nothing else."""
    content = b'{"x":' + b"[" * 10**4 + b"[],{}," * 10**6 + b"]" * 10**4 + b"," + RESULTS + b"}"

    with pytest.raises(InvalidResponseError, match="not JSON"):
        finish(call(), answered(200, content))


def test_a_page_is_an_address() -> None:
    """A 200 with a page for people says where to look."""
    for content, headers in (
        (b"<!DOCTYPE html>", {}),
        (b"Hello", {"content_type": "text/html; charset=utf-8"}),
    ):
        with pytest.raises(InvalidResponseError, match="check base_url"):
            finish(call(), answered(200, content, **headers))
    with pytest.raises(InvalidResponseError) as caught:
        finish(call(), answered(200, b"Hello"))
    assert "base_url" not in str(caught.value)


def test_an_odd_answer_is_remembered(shell: Shell) -> None:
    """A cache keeps an answer that is nearly JSON, and gives the same ranking again."""
    asked: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=ODD["deep and odd"])

    with shell.open(server, cache=MemoryCache()) as rank:
        first, second = rank("q", ["a", "b"]), rank("q", ["a", "b"])

    assert len(asked) == 1
    assert (first.cached, second.cached) == (False, True)
    assert (first.indices, first.unranked, first.body) == (second.indices, second.unranked, second.body)


@pytest.mark.parametrize(
    "content",
    [
        b'{"data":[{"id":"m","x":"\\ud83d"}],"y":NaN}',
        b'{"data":[{"id":"m","description":"\\ud83d"}]}',
        b'\xef\xbb\xbf{"data":[{"id":"m","created":' + b"9" * 5000 + b"}]}",
        b'{"data":[{"id":"m","pricing":' + DEEP + b"}]}",
    ],
)
def test_an_odd_list_of_models_is_read(content: bytes) -> None:
    """The models are there, whatever nobody needs."""
    listing = models(settings(), timeout=None, extra_headers=None)
    next(listing)

    with pytest.raises(StopIteration) as done:
        listing.send(answered(200, content))

    (model,) = done.value.value
    assert model.id == "m"
    assert model.created is None
    msgspec.json.encode(model)


# Errors


@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize(
    "member",
    [
        b'"code":"' + b"9" * 5000 + b'","message":"x"',
        b'"code":' + b"9" * 5000 + b',"message":"x"',
        b'"code":"\xd9\xa4\xd9\xa0\xd9\xa0","message":"x"',
        b'"code":400,"message":"x","metadata":{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        b'"code":400,"message":"x","metadata":{"a":' + DEEP + b"}",
        b'"code":400,"message":{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        b'"code":400,"message":{"a":1' + b"0" * 40 + b"}",
        b'"code":400,"message":"\\ud83d"',
        b'"code":400,"message":"x","metadata":{"\\ud83d":"\\ud83d"}',
        b'"code":400,"message":"x","metadata":{"raw":"' + b"[" * 900 + b'"}',
        b'"code":400,"message":"x","metadata":{"a":NaN,"b":1e999}',
        b'"code":400,"message":"x","availability":{"retry_after":' + b"9" * 5000 + b"}",
        b'"code":400,"message":"x","availability":{"retry_after":1e300}',
    ],
    ids=lambda member: ascii(member)[:60],
)
def test_errors_at_their_limits(member: bytes, status: int) -> None:
    """Any error body becomes an error of ours that can be shown, pickled, and encoded as JSON."""
    with pytest.raises(ResponseError) as caught:
        finish(call({"retries": Retries(attempts=1)}), answered(status, b'{"error":{' + member + b"}}"))

    error = caught.value
    assert len(str(error)) < 900
    assert str(error).encode()
    assert repr(error)
    assert repr(error.metadata)
    msgspec.json.encode(error.metadata)
    assert pickle.loads(pickle.dumps(error)).metadata == error.metadata


def test_what_is_nested_too_deeply_is_null() -> None:
    """The 64 outermost lists are read, also if their ends are apart from those of the dropped ones."""
    value: Any = plain(b"[" * 100_064 + b"]" * 100_000 + b" " + b"]" * 64)

    for _ in range(64):
        (value,) = value
    assert value is None


def test_pruning() -> None:
    """A part that nests more deeply than the contract is named as such; the rest is kept."""
    deep: Any = "x"
    for _ in range(100):
        deep = [{"a": deep}]

    shallow = pruned({"deep": deep, "rest": [1, None, "a\ud83d"]})

    assert shallow["rest"] == [1, None, "a\ufffd"]
    assert "[nested too deeply]" in json.dumps(shallow)


@given(st.text(st.characters(codec=None, categories=("Cs", "L"))))
def test_well_formed(text: str) -> None:
    """Any text can be encoded after it, and one that could be before is the same."""
    made = well_formed(text)

    made.encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert made == text


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=ANY_JSON)
def test_lenient_is_strict_on_what_is_strict(value: Any) -> None:
    """JSON is read as it is, and with something odd behind it as what it was."""
    content = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")

    assert plain(content + b"\0") == plain(content) == json.loads(json.dumps(value))


@given(content=st.binary(max_size=60) | st.text(alphabet='[]{}":,\\ud83e1NaN-.', max_size=60).map(str.encode))
def test_any_bytes(content: bytes) -> None:
    """No bytes raise anything but that they are no JSON."""
    plain(content)
    with suppress(msgspec.DecodeError):
        decode(content, msgspec.json.Decoder(dict[str, int]))


def test_a_full_stack() -> None:
    """With the caller's stack nearly full the answer is invalid, and Python's own error does not escape."""

    def down(levels: int) -> Any:
        return down(levels - 1) if levels else plain(b'{"x":' + DEEP + b"}")

    found: list[Any] = []
    for levels in range(700, 960, 10):
        try:
            found.append(down(levels))
        except RecursionError:
            break  # our own frame had no place
    assert found


# Compressed


def deflated(content: bytes) -> bytes:
    """Return the content in deflate without the header of zlib."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


# without the time, by which the ids of tests would differ between processes
compressed = partial(gzip.compress, mtime=0)

WHOLE = b"{" + RESULTS + b"}"


def times(number: int) -> bytes:
    """Return the answer, compressed this many times."""
    body = WHOLE
    for _ in range(number):
        body = compressed(body)
    return body


PACKED = {
    "one member": ("gzip", compressed(WHOLE)),
    "two members": ("gzip", compressed(WHOLE[:7]) + compressed(WHOLE[7:])),
    "a member for each byte": ("gzip", b"".join(compressed(WHOLE[i : i + 1]) for i in range(len(WHOLE)))),
    "empty members": ("gzip", compressed(b"") + compressed(WHOLE) + compressed(b"") * 3),
    "padded with zeros": ("gzip", compressed(WHOLE) + bytes(600)),
    "zeros between": ("x-gzip", compressed(WHOLE[:9]) + bytes(600) + compressed(WHOLE[9:])),
    "something behind it": ("gzip", compressed(WHOLE) + b"---"),
    "zlib": ("deflate", zlib.compress(WHOLE)),
    "zlib, padded": ("deflate", zlib.compress(WHOLE) + bytes(3)),
    "deflate alone": ("deflate", deflated(WHOLE)),
    "gzip that says deflate": ("deflate", compressed(WHOLE)),
    "many blocks": ("gzip", compressed(WHOLE + b" " * 5000, 0) + compressed(b" " * 70_000, 0)),
    "gzip twice": ("gzip, gzip", compressed(compressed(WHOLE))),
    "several kinds": ("deflate,X-GZIP", compressed(zlib.compress(WHOLE))),
    "nothing besides": ("gzip, identity,", compressed(WHOLE)),
    "five times": ("gzip, gzip, gzip, gzip, gzip", times(5)),
    "no header": ("", compressed(WHOLE)),
    "not compressed": ("gzip", WHOLE),
    "not compressed by any": ("deflate", WHOLE),
    "an unknown name": ("br", WHOLE),
    "no encoding's name": ("utf-8", WHOLE),
    "none": ("none", WHOLE),
}


@pytest.mark.parametrize("name", PACKED)
def test_compressed(name: str) -> None:
    """A compressed body is whole in all the forms that servers give it."""
    encoding, content = PACKED[name]

    assert finish(call(), answered(200, content, content_encoding=encoding)).indices == [1]


@pytest.mark.parametrize(
    ("encoding", "content", "says"),
    [
        ("gzip", b"", "is truncated"),
        ("gzip", compressed(WHOLE)[:-9], "is truncated"),
        ("gzip", compressed(WHOLE) + compressed(WHOLE)[:-9], "is truncated"),
        ("gzip", compressed(WHOLE) + b"\x1f\x8bxx", "not gzip"),
        ("gzip", deflated(WHOLE), "not gzip"),
        ("deflate", b"\xff\xff", "not deflate"),
        ("deflate", deflated(WHOLE)[:-9], "not deflate"),
        ("gzip", compressed(b"") * 10_001, "10,000 members"),
        ("br", WHOLE[:-9], r"encoding \(br\) was not requested"),
        ("gzip", WHOLE[:-9], "not gzip"),
        ("gzip, br", compressed(WHOLE), r"encoding \(br\) was not requested"),
        ("gzip, " * 9, compressed(WHOLE), r"encoding \(gzip, gzip, .*\) was not requested"),
        ("gzip, gzip, gzip, gzip, gzip, gzip", times(6), r"encoding \(gzip, gzip\) was not requested"),
        ("gzip, gzip", compressed(compressed(WHOLE)[:-9]), "is truncated"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_compressed_wrong(encoding: str, content: bytes, says: str) -> None:
    """A compressed body that is not whole is malformed, and says what is wrong."""
    with pytest.raises(InvalidResponseError, match=says):
        finish(call(), answered(200, content, content_encoding=encoding))


def test_no_body() -> None:
    """A success without a body says so."""
    with pytest.raises(InvalidResponseError, match="answered 204, but it has no body"):
        finish(call(), answered(204, b""))


def test_a_bomb_of_members() -> None:
    """The limit of a body holds over all of its members."""
    member = compressed(b" " * 2**22)
    padded = member * 20 + compressed(WHOLE)

    with pytest.raises(InvalidResponseError, match="larger than a ranking"):
        finish(call(), answered(200, padded, content_encoding="gzip"))
    assert finish(call(), answered(200, member * 4 + compressed(WHOLE), content_encoding="gzip")).indices == [
        1
    ]


# Any server

PLACES = [
    b'"x":%s,' + RESULTS,
    b'"usage":%s,' + RESULTS,
    b'"error":%s',
    b'"detail":%s',
    b'"error":{"metadata":{"a":%s}}',
]
PIECES = st.sampled_from(
    [
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 5000,
        b"-1e308",
        b'"\\ud83d"',
        b'"\xff"',
        DEEP[:5000],
        b"[" * 900 + b"]" * 900,
        b"null",
        b"{}",
        b"[]",
        b'""',
        b"true",
        b'{"code":"' + b"9" * 5000 + b'"}',
        b'{"code":503,"message":"a\nb"}',
    ]
)
HEADERS = st.sampled_from(
    ["retry-after", "x-ratelimit-reset", "location", "content-type", "x-request-id", "content-encoding"]
)
VALUES = st.sampled_from(
    [
        "1e300",
        "-1e300",
        "nan",
        "inf",
        "9" * 5000,
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Fri, 31 Dec 0000 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -9959",
        "Mon, 01 , 10:00",
        "\u0664",
        "//[",
        "gzip",
        "text/html",
        "",
        " ",
    ]
)


@given(
    status=st.sampled_from([200, 204, 301, 400, 404, 405, 413, 422, 429, 500, 503, 529, 599]),
    place=st.sampled_from(PLACES),
    piece=PIECES,
    headers=st.dictionaries(HEADERS, VALUES, max_size=3),
)
def test_whatever_a_server_sends(status: int, place: bytes, piece: bytes, headers: dict[str, str]) -> None:
    """Any body and any headers end in a ranking or in one error of ours, which prints and pickles."""
    content = b"{" + place.replace(b"%s", piece) + b"}"
    given = httpx.Headers({name: value.encode() for name, value in headers.items()})
    try:
        outcome: Ranking[str] | RerankError = finish(
            call({"retries": Retries(attempts=1, longest_wait=float("inf")), "deadline": None}),
            Answer(status, given, content),
        )
    except RerankError as error:
        outcome = error
    assert repr(outcome)
    assert str(outcome).encode()
    if isinstance(outcome, RerankError):
        assert repr(pickle.loads(pickle.dumps(outcome))) == repr(outcome)
