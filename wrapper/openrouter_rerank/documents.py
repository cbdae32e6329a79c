"""Convert the documents of a caller into those of a request."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from openrouter_rerank_api.models import ImageDocument, TextDocument

from openrouter_rerank.arguments import NamedFields, nearest, suggestion
from openrouter_rerank.operations import Load

T = TypeVar("T")


class Document(msgspec.Struct, frozen=True, metaclass=NamedFields):
    """A document with a text, an image, or both, for models that take images.

    Example:
        >>> Document(text="The Eiffel Tower", image="https://images.example.com/tower.jpg").text
        'The Eiffel Tower'
    """

    text: str | None = None
    """The text."""
    image: str | Path | bytes | None = None
    """The image: an http(s) URL or a data URI as a string, or a `Path` or bytes, which are sent as a data URI."""


Sendable: TypeAlias = str | Mapping[str, Any] | Document | Path | bytes
"""A document that can be sent: a text, a mapping with `text` and/or `image`, a `Document`, an image."""

D = TypeVar("D", bound="str | Mapping[str, Any] | Document | Path | bytes")
D_co = TypeVar("D_co", covariant=True)


class Collected(Protocol[D_co]):
    """A list, tuple, set, array or other collection, but not a str: its `in` takes nothing but a str."""

    def __iter__(self) -> Iterator[D_co]: ...
    def __contains__(self, item: object, /) -> bool: ...


Listed: TypeAlias = Collected[T] | Iterator[T]
"""Documents that can be sent as they are. A type checker reports a single text."""

Wire: TypeAlias = "str | TextDocument | ImageDocument"


def as_list(documents: Iterable[T]) -> list[T]:
    """Return the documents as a list.

    Raises:
        TypeError: The argument is a single document, or not iterable.
    """
    if isinstance(documents, str | bytes | Mapping | Document):
        message = f"documents is one {type(cast(object, documents)).__name__}; pass a list of documents"
        raise TypeError(message)
    if hasattr(documents, "columns"):
        # To iterate over a table gives the names of its columns.
        raise TypeError(
            "documents is a table; pass one column of it as a list, or its rows as mappings with key="
        )
    try:
        return list(documents)
    except TypeError as error:
        if hasattr(documents, "__iter__"):  # the caller's own iterable failed; that is not ours to rename
            raise
        message = f"documents must be an iterable of documents, not {type(documents).__name__}"
        raise TypeError(message) from error


def to_wire(
    documents: Sequence[T],
    key: Callable[[T], Sendable] | str | None,
    max_image_bytes: int,
    *,
    allow_empty: bool = False,
) -> Generator[Load, bytes, list[Wire]]:
    """Return each document as it is sent. The generator yields the files to read, and is sent their content.

    With `allow_empty`, a document with neither text nor image, or for which `key` gives None, is the empty text.

    Raises:
        TypeError: A document has a type that cannot be sent.
        ValueError: A document has an unknown key, neither text nor image, or an invalid image.
    """
    if key is None and set(map(type, documents)) <= {str}:
        return cast(list[Wire], documents)
    wire: list[Wire] = []
    for index, document in enumerate(documents):
        where = f"document {index}"
        sendable = document if key is None else _pick(document, key, where)
        if allow_empty and _is_empty(sendable, keyed=key is not None):
            sendable = ""
        wire.append((yield from _one(sendable, max_image_bytes, where, keyed=key is not None)))
    return wire


def text_of(document: object) -> str | None:
    """Return the text of a document, or the address of its image, for display; None without either."""
    if isinstance(document, str):
        return document
    if isinstance(document, Mapping):
        mapping = cast(Mapping[str, object], document)
        shown = mapping.get("text") or mapping.get("image")
    else:
        shown = getattr(document, "text", None) or getattr(document, "image", None)
    return shown if isinstance(shown, str) else None


def exact(text: str) -> str:
    """Return the text as a plain str: the JSON encoder refuses subclasses (numpy's, an enum's)."""
    return str.__str__(text)


def _pick(document: Any, key: Callable[[Any], Sendable] | str, where: str) -> object:
    if not callable(key) and not isinstance(key, str):
        message = f"key must be a function or the name of a field, not {type(key).__name__}"
        raise TypeError(message)
    if callable(key):
        return key(document)
    try:
        return (
            cast(Mapping[str, object], document)[key]
            if isinstance(document, Mapping)
            else getattr(document, key)
        )
    except (KeyError, AttributeError):
        has = (
            sorted(map(str, cast(Mapping[str, object], document)))
            if isinstance(document, Mapping)
            else dir(document)
        )
        hint = suggestion(nearest(key, has))
        message = f"{where}: key={key!r} is not a field of this {type(cast(object, document)).__name__}{hint}"
        raise ValueError(message) from None


def _is_empty(sendable: object, *, keyed: bool) -> bool:
    """Return True if a document has neither text nor image; a misspelt key of it is not overlooked."""
    match sendable:
        case None:
            return keyed
        case Document():
            return sendable.text is None and sendable.image is None
        case Mapping():
            fields = cast(Mapping[object, object], sendable)
            return fields.keys() <= {"text", "image"} and not any(
                value is not None for value in fields.values()
            )
        case _:
            return False


def _one(sendable: object, limit: int, where: str, *, keyed: bool) -> Generator[Load, bytes, Wire]:
    # Imported by the first call, as all of the generated client is.
    from openrouter_rerank_api.models import ImageDocument, TextDocument  # noqa: PLC0415

    match sendable:
        case str():
            return exact(sendable)
        case Path() | bytes():
            return ImageDocument(image=(yield from _image(sendable, limit, where)))
        case Document():
            text, image = sendable.text, sendable.image
        case Mapping():
            text, image = _known(cast(Mapping[str, Any], sendable), where)
        case _:
            what = "what key= gave is" if keyed else "it is"
            hint = "" if keyed else "; pass key= (a function, or the name of a field) to say what to send"
            message = (
                f"{where}: {what} of type {type(sendable).__name__}, and only str, mappings with text and/or image, "
                f"Document, Path and bytes can be sent{hint}"
            )
            raise TypeError(message)
    if text is not None and not isinstance(text, str):
        message = f"{where}: text must be a str, not {type(text).__name__}"
        raise TypeError(message)
    uri = None if image is None else (yield from _image(image, limit, where))
    if uri is None and text is None:
        message = f"{where}: it has neither text nor image; give it at least one"
        raise ValueError(message)
    if text is None:
        return ImageDocument(image=cast(str, uri))
    return TextDocument(text=exact(text)) if uri is None else TextDocument(text=exact(text), image=uri)


def _known(mapping: Mapping[str, Any], where: str) -> tuple[Any, Any]:
    unknown = [name for name in mapping if name not in ("text", "image")]
    if unknown:
        close = nearest(str(unknown[0]), ["text", "image"])
        hint = f"did you mean {close!r}? To" if close else "to"
        message = (
            f"{where}: unknown key {unknown[0]!r}; {hint} rank by a field of your own objects, pass key="
        )
        raise ValueError(message)
    return mapping.get("text"), mapping.get("image")


def _image(image: object, limit: int, where: str) -> Generator[Load, bytes, str]:
    match image:
        case str():
            if image.lower().startswith(("http://", "https://", "data:image/")):
                return exact(image)
            message = (
                f"{where}: image must be an http(s) URL or a data:image/... URI, and this string is neither; "
                "for a file, pass pathlib.Path(...)"
            )
            raise ValueError(message)
        case Path():
            content = yield Load(image, limit, where)
            where = f"{where} ({image})"
        case bytes():
            content = image
        case _:
            message = f"{where}: image must be a str, Path or bytes, not {type(image).__name__}"
            raise TypeError(message)
    if len(content) > limit:
        message = (
            f"{where}: the image is larger than {limit:,} bytes; make it smaller, or raise max_image_bytes"
        )
        raise ValueError(message)
    return f"data:{_media_type(content, where)};base64,{base64.b64encode(content).decode('ascii')}"


def _media_type(content: bytes, where: str) -> str:
    for media_type, offset, magic in _MAGIC:
        if content[offset : offset + len(magic)] == magic:
            return media_type
    message = f"{where}: the bytes are not an image of a known type ({', '.join(sorted({m[0] for m in _MAGIC}))}); pass a text as str"
    raise ValueError(message)


# The first bytes of the formats that models take; more would only move the refusal to the server.
_MAGIC: Sequence[tuple[str, int, bytes]] = (
    ("image/png", 0, b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/gif", 0, b"GIF8"),
    ("image/webp", 8, b"WEBP"),
    ("image/bmp", 0, b"BM"),
    ("image/tiff", 0, b"II*\x00"),
    ("image/tiff", 0, b"MM\x00*"),
    ("image/avif", 4, b"ftypavif"),
    ("image/heic", 4, b"ftypheic"),
)
