"""Documents that a caller may pass, and what is sent for them."""

from __future__ import annotations

import base64
import enum
from collections import UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driving import body, call, finish, ranked, settings
from openrouter_rerank import Document
from openrouter_rerank.operations import Load, Send
from shells import Shell

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 10
URL = "https://images.example/tower.jpg"


def data_uri(media_type: str, content: bytes) -> str:
    """Return the content as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


class Word(str):
    """A str of the caller's own, as numpy has."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not what was meant"


class Colour(enum.StrEnum):
    """A str that is a member."""

    RED = "red"


@pytest.mark.parametrize(
    ("document", "wire"),
    [
        ("a", "a"),
        ("", ""),
        (" \n", " \n"),
        (Word("a"), "a"),
        (Colour.RED, "red"),
        ({"text": "a"}, {"text": "a"}),
        ({"text": ""}, {"text": ""}),
        ({"text": Word("a")}, {"text": "a"}),
        ({"text": "a", "image": None}, {"text": "a"}),
        ({"image": URL}, {"image": URL}),
        ({"image": URL, "text": None}, {"image": URL}),
        ({"text": "a", "image": URL}, {"text": "a", "image": URL}),
        ({"image": "HTTP://images.example/x"}, {"image": "HTTP://images.example/x"}),
        ({"image": "data:image/png;base64,AAAA"}, {"image": "data:image/png;base64,AAAA"}),
        ({"image": PNG}, {"image": data_uri("image/png", PNG)}),
        (MappingProxyType({"text": "a"}), {"text": "a"}),
        (UserDict({"text": "a"}), {"text": "a"}),
        (Document(text="a"), {"text": "a"}),
        (Document(image=URL), {"image": URL}),
        (Document("a", URL), {"text": "a", "image": URL}),
        (Document("a", PNG), {"text": "a", "image": data_uri("image/png", PNG)}),
        (PNG, {"image": data_uri("image/png", PNG)}),
    ],
)
def test_forms(document: Any, wire: Any) -> None:
    """Each form of a document goes out as the contract has it, alone and among others; what comes back is itself."""
    assert body(documents=[document])["documents"] == [wire]
    assert body(documents=["x", document, {"text": "y"}])["documents"] == ["x", wire, {"text": "y"}]
    assert body(documents=[{"id": 7, "what": document}], key="what")["documents"] == [wire]

    ranking = finish(call(documents=["x", document]), ranked((1, 0.5)))
    assert ranking[0].document is document


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("image/png", PNG),
        ("image/jpeg", b"\xff\xd8\xff\xe0\x00\x10JFIF"),
        ("image/gif", b"GIF89a"),
        ("image/gif", b"GIF87a"),
        ("image/webp", b"RIFF\x24\x00\x00\x00WEBPVP8 "),
        ("image/bmp", b"BM\x00\x00"),
        ("image/tiff", b"II*\x00"),
        ("image/tiff", b"MM\x00*"),
        ("image/avif", b"\x00\x00\x00\x1cftypavif"),
        ("image/heic", b"\x00\x00\x00\x18ftypheic"),
    ],
)
def test_images(media_type: str, content: bytes, tmp_path: Path, shell: Shell) -> None:
    """An image goes out as a data URI of what its bytes say that it is, whatever its file is called."""
    path = tmp_path / "picture.txt"
    path.write_bytes(content)
    sent: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(200, json={"results": [{"index": 0, "relevance_score": 1}]})

    with shell.open(handler) as rank:
        ranking = rank("q", [path, content, Document(image=path)])

    uri = data_uri(media_type, content).encode()
    assert sent[0].count(uri) == 3
    assert ranking[0].document is path


WRONG: list[tuple[Any, type[Exception], list[str]]] = [
    (None, TypeError, ["document 1", "NoneType", "key="]),
    (5, TypeError, ["document 1", "int", "key="]),
    (["a"], TypeError, ["document 1", "list", "key="]),
    ({}, ValueError, ["document 1", "neither text nor image"]),
    (Document(), ValueError, ["document 1", "neither text nor image"]),
    ({"text": None}, ValueError, ["document 1", "neither text nor image"]),
    ({"content": "a"}, ValueError, ["document 1", "'content'", "key="]),
    ({"txt": "a"}, ValueError, ["document 1", "'txt'", "did you mean 'text'?"]),
    ({"body": "a"}, ValueError, ["document 1", "'body'; to rank by a field of your own objects, pass key="]),
    ({"text": "a", "title": "T"}, ValueError, ["document 1", "'title'", "key="]),
    ({5: "a"}, ValueError, ["document 1", "5"]),
    ({"text": 5}, TypeError, ["document 1", "text", "str", "int"]),
    ({"text": b"a"}, TypeError, ["document 1", "text", "str", "bytes"]),
    ({"image": 5}, TypeError, ["document 1", "image", "Path", "int"]),
    ({"image": "tower.jpg"}, ValueError, ["document 1", "pathlib.Path"]),
    ({"image": ""}, ValueError, ["document 1", "http(s) URL"]),
    ({"image": "data:text/plain,x"}, ValueError, ["document 1", "data:image/"]),
    (b"a text in bytes", ValueError, ["document 1", "not an image of a known type", "image/png"]),
    (b"", ValueError, ["document 1", "not an image of a known type"]),
    (b"RIFF\x24\x00\x00\x00WAVE", ValueError, ["document 1", "not an image of a known type"]),
    ({"text": "\ud800"}, ValueError, ["document 1", "surrogate"]),
]


@pytest.mark.parametrize("row", WRONG, ids=lambda row: ascii(row[0])[:40])
def test_wrong(row: tuple[Any, type[Exception], list[str]]) -> None:
    """An invalid document raises; the message names it, the problem, and the alternative."""
    document, kind, words = row

    with pytest.raises(kind) as caught:
        next(call(documents=["a", document]))

    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)


# key=


@dataclass
class Page:
    """A document of the caller's own."""

    title: str
    content: str

    @property
    def whole(self) -> str:
        """Return the text that is sent for it."""
        return f"{self.title}: {self.content}"


PAGE = Page("T", "C")


@pytest.mark.parametrize(
    ("document", "key", "wire"),
    [
        (PAGE, "content", "C"),
        (PAGE, "whole", "T: C"),
        (PAGE, lambda page: page.title.lower(), "t"),
        (PAGE, lambda page: {"text": page.content, "image": URL}, {"text": "C", "image": URL}),
        (PAGE, lambda page: Document(text=page.content), {"text": "C"}),
        ({"id": 1, "body": "B"}, "body", "B"),
        ({"id": 1, "body": "B"}, lambda row: row["body"], "B"),
        ({1: "B"}, lambda row: row[1], "B"),
        ("text", str.upper, "TEXT"),
        (5, str, "5"),
    ],
)
def test_key(document: Any, key: Any, wire: Any) -> None:
    """`key` says what to send of a document, as a function or as the name of a field; the document itself comes back."""
    assert body(documents=[document], key=key)["documents"] == [wire]
    assert finish(call(documents=[document], key=key), ranked((0, 1)))[0].document is document


@pytest.mark.parametrize(
    ("document", "key", "kind", "words"),
    [
        (PAGE, "contents", ValueError, ["document 0", "key='contents'", "Page", "did you mean 'content'?"]),
        (PAGE, "xyz", ValueError, ["document 0", "key='xyz'", "Page"]),
        ({"body": "B"}, "boddy", ValueError, ["document 0", "key='boddy'", "dict", "did you mean 'body'?"]),
        ({1: "B"}, "xyz", ValueError, ["document 0", "key='xyz'", "dict"]),
        (PAGE, lambda _: None, TypeError, ["document 0", "key= gave is of type NoneType"]),
        (PAGE, lambda _: {"content": "C"}, ValueError, ["document 0", "'content'"]),
        ("text", "upper", TypeError, ["document 0", "key= gave is of type builtin_function_or_method"]),
    ],
)
def test_wrong_key(document: Any, key: Any, kind: type[Exception], words: list[str]) -> None:
    """A key that gives nothing to send raises, and names the document and the nearest field."""
    with pytest.raises(kind) as caught:
        next(call(documents=[document], key=key))

    assert type(caught.value) is kind
    assert caught.value.__cause__ is None
    for word in words:
        assert word in str(caught.value)


def test_errors_of_a_key_are_the_callers() -> None:
    """An error of the caller's own function is raised unchanged."""

    def key(_: str) -> str:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        next(call(key=key))


# Iterables


def test_any_iterable_is_read_once() -> None:
    """A generator of documents is read to its end, once, and its documents come back."""
    drawn: list[str] = []

    def documents() -> Iterator[str]:
        for document in "abc":
            drawn.append(document)
            yield document

    assert finish(call(documents=documents()), ranked((2, 1))).documents == ["c"]
    assert drawn == ["a", "b", "c"]


def test_errors_of_an_iterable_are_the_callers() -> None:
    """An error of the caller's own iterable is raised unchanged, a TypeError too."""

    class Broken:
        def __iter__(self) -> Iterator[str]:
            raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        next(call(documents=Broken()))


@pytest.mark.parametrize("document", [Document(text="a"), Path("a.png"), UserDict(text="a")])
def test_one_document_is_no_list_of_documents(document: Any) -> None:
    """A single document in place of a list is told as just that."""
    with pytest.raises(TypeError, match="documents"):
        next(call(documents=document))


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["text", "image", "title"]), st.text() | st.none() | st.binary())
    )
)
def test_any_mappings(documents: list[Any]) -> None:
    """Of any mappings, either each is sent as the contract has it, or nothing is and the first wrong one is named."""
    try:
        sent = body(documents=documents)["documents"] if documents else []
    except (TypeError, ValueError) as error:
        assert "document " in str(error)
    else:
        assert len(sent) == len(documents)
        for one in sent:
            assert {"text", "image"} >= set(one) > set()
            assert all(isinstance(value, str) for value in one.values())


# Files


def test_files_are_asked_for() -> None:
    """The core reads no file: it asks its shell for each, with the limit."""
    running = call({"max_image_bytes": 100}, documents=[Path("a.png"), "text", Path("b.png")])

    assert next(running) == Load(Path("a.png"), 100, "document 0")
    assert running.send(PNG) == Load(Path("b.png"), 100, "document 2")
    assert isinstance(running.send(PNG), Send)


@pytest.mark.parametrize("size", [8, 9])
def test_the_limit_of_images(size: int, tmp_path: Path, shell: Shell) -> None:
    """An image of just the limit is sent; a larger one raises, with its name, its limit, and how to raise that."""
    path = tmp_path / "picture.png"
    path.write_bytes(PNG[:size])

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"results": []})

    with shell.open(handler, max_image_bytes=8) as rank:
        if size == 8:
            assert rank("q", [path, PNG[:size]]).total == 2
            return
        with pytest.raises(ValueError, match=r"document 1 .*picture\.png.*8 bytes.*max_image_bytes"):
            rank("q", ["a", path])
        with pytest.raises(ValueError, match=r"document 0: .*8 bytes.*max_image_bytes"):
            rank("q", [PNG[:size]])


def test_the_default_limit_of_images() -> None:
    """20 MiB, which stays below 30 MB as base64."""
    assert settings().max_image_bytes == 20 * 2**20
    assert len(base64.b64encode(bytes(20 * 2**20))) < 30_000_000


def test_files_that_cannot_be_read(tmp_path: Path, shell: Shell) -> None:
    """A file that is not there, or is a directory, is an OSError that names it, and nothing is sent."""
    sent: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"results": []})

    with shell.open(handler) as rank:
        with pytest.raises(FileNotFoundError, match=r"no-such\.png"):
            rank("q", [tmp_path / "no-such.png"])
        with pytest.raises(OSError, match=tmp_path.name):
            rank("q", [tmp_path])

    assert sent == []


def test_documents_are_values() -> None:
    """A `Document` is compared by what it holds, and cannot be changed."""
    document = Document(text="a", image=URL)

    assert document == Document("a", URL)
    assert hash(document) == hash(Document("a", URL))
    with pytest.raises(AttributeError):
        document.text = "b"  # type: ignore[misc] # that it cannot be set is the fact


def test_a_file_that_is_not_there(shell: Shell, tmp_path: Path) -> None:
    """An image file that cannot be read is named with its document, and nothing was sent."""
    with shell.open() as rank, pytest.raises(FileNotFoundError, match=r"nope\.png") as caught:
        rank("q", ["a", tmp_path / "nope.png"])

    assert "document 1" in caught.value.__notes__[0]


def test_a_table_is_no_list_of_documents() -> None:
    """What iterates over the names of its columns is refused, with the way to pass it."""

    class Table:
        columns = ("text",)

        def __iter__(self) -> Any:
            return iter(self.columns)

    with pytest.raises(TypeError, match="column of it"):
        next(call(documents=Table()))


@pytest.mark.parametrize("key", [3, ["text"]])
def test_a_key_is_a_function_or_a_name(key: Any) -> None:
    """Anything else as key= is refused by its name."""
    with pytest.raises(TypeError, match="key must be"):
        next(call(documents=[{"text": "a"}], key=key))
