"""Arguments into a request, checked: what can never work raises ValueError or TypeError here. It sends nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec
from attrs import fields

from openrouter_rerank.defaults import (
    BASE_URL,
    KEY_VARIABLE,
    MAX_IMAGE_BYTES,
    TIMEOUT,
)
from openrouter_rerank.documents import exact, nearest
from openrouter_rerank.ledger import Ledger
from openrouter_rerank.options import CALL, DEFAULTS
from openrouter_rerank.retries import Retries
from openrouter_rerank.steps import Secrets
from openrouter_rerank.version import VERSION
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.models import RerankRequest
from openrouter_rerank_api.options import OPEN, WIRE_TYPES
from openrouter_rerank_api.types import UNSET, Model, Unset, encode

if TYPE_CHECKING:
    from openrouter_rerank.bulk.cache import Cache


class Key:
    """An API key, the one given or that of the environment, which no repr and no traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, given: str | Key | None) -> None:
        # Nothing is refused here: the frames of an error raised now would have the key among their local variables.
        self._value: object = given._value if isinstance(given, Key) else given  # noqa: SLF001 - of its own class
        if given is None:
            self._value = os.environ.get(KEY_VARIABLE, "").strip() or None
        elif isinstance(given, str):
            self._value = given.strip() or given

    def __repr__(self) -> str:
        return "<key>"

    def check(self) -> None:
        """Refuse what cannot be a key.

        Raises:
            TypeError, ValueError: There is none, or it cannot be one. The message never has the key in it.
        """
        if self._value is None:
            message = (
                f"no API key: pass api_key=, or set {KEY_VARIABLE}. To rank without one, use Reranker.local(); "
                "for a server that takes none, pass api_key=''"
            )
            raise ValueError(message)
        if not isinstance(self._value, str):
            message = f"the API key must be a str, not {type(self._value).__name__}"
            raise TypeError(message)
        if not (self._value.isascii() and self._value.isprintable()) or " " in self._value:
            raise ValueError(
                "the API key has a blank, a control character or a letter outside ASCII; is all of it the key?"
            )

    def header(self) -> Secrets:
        """The header that carries it; none for the empty key."""
        return Secrets({"Authorization": f"Bearer {self._value}"} if self._value else {})

    def is_in(self, data: bytes) -> bool:
        """Whether the data has the key as it is."""
        return bool(self._value) and str(self._value).encode() in data

    def blot(self, text: str) -> str:
        """The text without the key, should a server have echoed it, as it is or escaped as JSON may be."""
        return self._echo.sub("[key]", text)

    def blot_bytes(self, data: bytes) -> bytes:
        """The same for bytes."""
        # Latin-1 has a character for each byte, and the key is ASCII.
        return self.blot(data.decode("latin-1")).encode("latin-1")

    def blot_in(self, value: Any) -> Any:
        """The same for all strings of a JSON value."""
        match value:
            case str():
                return self.blot(value)
            case list():
                return [self.blot_in(item) for item in cast(Iterable[Any], value)]
            case dict():
                return {
                    self.blot(name): self.blot_in(item) for name, item in cast(dict[str, Any], value).items()
                }
            case _:
                return value

    @property
    def _echo(self) -> re.Pattern[str]:
        key = str(self._value or "")
        if len(key) < _SHORTEST_SECRET:
            return re.compile(r"(?!)")  # what matches nothing
        # Each may be escaped, and more than once where JSON stands in JSON; how often is bounded, as a body of nothing but
        # backslashes would take for ever otherwise.
        characters = (f"\\\\{{0,8}}(?:{re.escape(char)}|(?<=\\\\)u{ord(char):04x})" for char in key)
        return re.compile("".join(characters), re.IGNORECASE)


# What people give to servers that take any key ("1", "none") stands in every other answer, and protects nothing.
_SHORTEST_SECRET = 8


class Settings(msgspec.Struct, frozen=True):
    """What all calls of one client share, checked."""

    url: str
    where: str
    headers: Secrets
    key: Key
    defaults: Mapping[str, Any]
    timeout: float
    deadline: float | None
    retries: Retries
    max_image_bytes: int
    ledger: Ledger
    cache: Cache | None

    def __repr__(self) -> str:
        # The full address may hold a secret in its query, and the headers do.
        return f"<settings for {self.where}>"


def settings(  # noqa: PLR0913 - the client's own arguments, all by keyword
    *,
    key: Key,
    base_url: str,
    deadline: float | None,
    retries: Retries,
    app_title: str | None,
    app_referer: str | None,
    app_categories: str | Iterable[str] | None,
    max_image_bytes: int | None,
    max_cost: float | None,
    cache: Cache | None,
    options: Mapping[str, Any],
) -> Settings:
    """The settings of a client.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that can never work.
    """
    for name, value in (("app_title", app_title), ("app_referer", app_referer)):
        if not isinstance(value, str | None):
            message = f"{name} must be a str, not {type(value).__name__}"
            raise TypeError(message)
    categories = _categories(app_categories)
    sent = create_rerank.get_kwargs(
        body=RerankRequest(model="", query="", documents=[]),
        http_referer=_or_unset(app_referer),
        x_open_router_title=_or_unset(app_title),
        x_open_router_categories=_or_unset(categories),
    )
    # No encoding but gzip: it is unpacked in answer.py, within a limit.
    own = {"Accept-Encoding": "gzip", "User-Agent": f"openrouter-rerank/{VERSION}"}
    headers = merged(Secrets(own), sent["headers"], "app_title, app_referer or app_categories")
    headers = merged(Secrets(headers | key.header()), options.get("extra_headers"), "extra_headers")
    return Settings(
        url=(url := _operation_url(base_url, sent["url"])),
        # The address for messages: a query may hold a secret.
        where=url.partition("?")[0],
        headers=headers,
        key=key,
        # Checked here too, so that a wrong default fails where it was written.
        defaults=_checked(with_options(_OF_A_CALL, options)),
        timeout=seconds("timeout", TIMEOUT if options.get("timeout") is None else options["timeout"]),
        deadline=None if deadline is None else seconds("deadline", deadline),
        retries=_retries(retries),
        max_image_bytes=_image_bytes(max_image_bytes),
        ledger=Ledger(None if max_cost is None else _dollars("max_cost", max_cost)),
        cache=_cache(cache),
    )


def _categories(value: str | Iterable[str] | None) -> str | None:
    if isinstance(value, str | None):
        return value
    names = list(value) if isinstance(value, Iterable) else [value]
    if not all(isinstance(name, str) for name in names):
        message = "app_categories must be a str, or an iterable of str"
        raise TypeError(message)
    return ",".join(names)


_OF_A_CALL: Mapping[str, Any] = {name: DEFAULTS.get(name) for name in CALL - {"timeout", "extra_headers"}}
"""The options of a call where nobody sets them; timeout and headers are settings of their own."""


def with_options(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call: those that are given in place of the defaults, `extra_body` added to its default."""
    chosen = {
        **defaults,
        **{name: given[name] for name in given.keys() & defaults.keys() if given[name] is not None},
    }
    if given.get("extra_body") is not None:
        chosen["extra_body"] = mapping("extra_body", defaults["extra_body"]) | mapping(
            "extra_body", given["extra_body"]
        )
    return chosen


def changed(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """Return the settings with other options, checked.

    Raises:
        TypeError, ValueError: An option cannot be followed; the message says which.
    """
    changes: dict[str, Any] = {"defaults": _checked(with_options(settings.defaults, given))}
    if given.get("timeout") is not None:
        changes["timeout"] = seconds("timeout", given["timeout"])
    if "deadline" in given:
        changes["deadline"] = None if given["deadline"] is None else seconds("deadline", given["deadline"])
    if "retries" in given:
        changes["retries"] = _retries(given["retries"])
    if given.get("max_image_bytes") is not None:
        changes["max_image_bytes"] = _image_bytes(given["max_image_bytes"])
    changes["headers"] = merged(settings.headers, given.get("extra_headers"), "extra_headers")
    return msgspec.structs.replace(settings, **changes)


def _checked(defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    body("query", [], defaults)
    score(defaults["min_score"])
    check_options({name: value for name, value in defaults.items() if value is not None})
    return defaults


def _retries(value: object) -> Retries:
    if not isinstance(value, Retries):
        message = (
            f"retries must be a Retries, not {type(value).__name__}; Retries(attempts=1) never tries again"
        )
        raise TypeError(message)
    return value


def _image_bytes(value: object) -> int:
    return MAX_IMAGE_BYTES if value is None else _positive("max_image_bytes", value)


def _operation_url(base_url: str, path: str) -> str:
    try:
        httpx.URL(base_url)
        parts = urlsplit(base_url)
        usable = (
            parts.scheme in ("http", "https")
            and bool(_HOST.fullmatch(parts.hostname or ""))
            and parts.port != 0
        )
    except (ValueError, TypeError, AttributeError, httpx.InvalidURL):
        parts, usable = urlsplit(""), False
    if not usable:
        message = f"base_url must be an http(s) URL such as {BASE_URL}"
        raise ValueError(message)
    if parts.username or parts.password:
        message = "base_url holds a user name or password; send them with extra_headers instead"
        raise ValueError(message)
    # People paste the address of the operation as often as that of the API.
    base = parts.path.rstrip("/").removesuffix(path)
    return urlunsplit((parts.scheme, parts.netloc, base + path, parts.query, ""))


# A name in any script, or an address; what httpx would quote or the resolver choke on is neither.
_HOST = re.compile(r"[\w.:%-]+")


def merged(base: Secrets, extra: Mapping[str, str] | None, where: str) -> Secrets:
    """The headers with the extra ones in place of those of the same name.

    Raises:
        TypeError, ValueError: A header cannot be sent. The message has its name and not its value.
    """
    added = Secrets(mapping(where, extra))
    for name, value in added.items():
        if not isinstance(value, str):
            message = f"{where}: the header {name!r} must have a str as its value, not {type(value).__name__}"
            raise TypeError(message)
        # What the transport refuses later it names, value and all, in its message.
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            message = f"{where}: the header {name!r} has a character, or a blank at an end, that a header cannot carry: printable ASCII alone"
            raise ValueError(message)
    replaced = {name.lower() for name in added}
    return Secrets({name: value for name, value in base.items() if name.lower() not in replaced} | added)


# RFC 9110, sections 5.1 and 5.5; of the values only what is ASCII, as servers disagree on the rest.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?|")


def mapping(name: str, value: object) -> dict[str, Any]:
    """A mapping with strings as its keys, checked; empty for None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        message = f"{name} must be a mapping, not {type(value).__name__}"
        raise TypeError(message)
    given = dict(cast(Mapping[object, Any], value))
    for key in given:
        if not isinstance(key, str):
            message = f"{name} must have str keys, and {key!r} is none"
            raise TypeError(message)
    return cast(dict[str, Any], given)


def seconds(name: str, value: object) -> float:
    """A time, checked: a positive finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{name} must be a number of seconds, not {type(value).__name__}"
        raise TypeError(message)
    if not (value > 0 and isfinite(value)):
        message = f"{name} must be a positive number of seconds, not {value}"
        raise ValueError(message)
    return float(value)


def score(value: object) -> float | None:
    """The least score, checked."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"min_score must be a number, not {type(value).__name__}"
        raise TypeError(message)
    if not isfinite(value):
        message = f"min_score must be a finite number, not {value}"
        raise ValueError(message)
    return float(value)


def _dollars(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{name} must be a number of US dollars, not {type(value).__name__}"
        raise TypeError(message)
    if not (value > 0 and isfinite(value)):
        message = f"{name} must be a positive number of US dollars, not {value}"
        raise ValueError(message)
    return float(value)


def _cache(value: object) -> Cache | None:
    if value is not None and not (
        callable(getattr(value, "get", None)) and callable(getattr(value, "set", None))
    ):
        message = f"cache must have the methods get and set of openrouter_rerank.bulk.cache.Cache, and {type(value).__name__} does not"
        raise TypeError(message)
    return cast("Cache | None", value)


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        message = f"{name} must be a str, not {type(value).__name__}"
        raise TypeError(message)
    if not value.strip():
        message = f"{name} is blank"
        raise ValueError(message)
    return exact(value)


def _or_unset(value: str | None) -> str | Unset:
    return UNSET if value is None else value


def _positive(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        message = f"{name} must be an int, not {type(value).__name__}"
        raise TypeError(message)
    number = int(cast(Any, value))
    if number < 1:
        message = f"{name} must be at least 1, not {number}"
        raise ValueError(message)
    return number


def _one_of(*values: str) -> Callable[[str, object], object]:
    """Return a check that a value is one of these."""

    def check(name: str, value: object) -> object:
        if value not in values:
            message = f"{name} must be {' or '.join(map(repr, values))}, not {value!r}"
            raise ValueError(message)
        return value

    return check


def _splitter(name: str, value: object) -> object:
    if not callable(value):
        message = f"{name} must be a function of a text that gives its pieces, not {type(value).__name__}"
        raise TypeError(message)
    return value


_OPTIONS: Mapping[str, Callable[[str, object], object]] = {
    "tag": _string,
    "max_documents": _positive,
    "max_bytes": _positive,
    "on_part_error": _one_of("raise", "partial"),
    "blank": _one_of("send", "skip"),
    "chunk": _splitter,
}


def check_options(given: Mapping[str, Any]) -> None:
    """Check those arguments that say how a call is made, and are never sent.

    Raises:
        TypeError, ValueError: One of them cannot be followed; the message says which.
    """
    for name in given.keys() & _OPTIONS.keys():
        _OPTIONS[name](name, given[name])


def _field(name: str, value: object) -> Any:
    """Return the value of a field of the request as plain data, checked against the contract.

    Raises:
        TypeError: It has the wrong type.
        ValueError: It is blank, out of bounds, misspelt, or JSON cannot carry it.
    """
    plain: Any = _plain(name, value)
    if not isinstance(plain, str | int):
        _check_json(name, plain)
    try:
        msgspec.convert(plain, WIRE_TYPES[name])
    except msgspec.ValidationError as error:
        raise _refusal(name, plain, str(error)) from None
    _refuse_unknown_keys(name, plain, WIRE_TYPES[name])
    return plain


def _plain(name: str, value: Any) -> Any:
    """Return a value without subclasses of Python's own types, which the JSON encoder refuses."""
    match value:
        case str():
            return _string(name, value)
        case Model():
            return value.to_dict()
        case Mapping():
            return mapping(name, cast(object, value))
        case bool() | None:
            return value
        case float():
            return float(value)
        case _:  # numpy's integers have an index
            return int(value) if hasattr(value, "__index__") else value


def _refusal(name: str, value: object, problem: str) -> TypeError | ValueError:
    """Return the error for a value that the contract does not allow, by msgspec's description of the problem."""
    expected, _, place = problem.partition(" - at `$")
    expected = expected.replace("`", "")
    expected = expected[0].lower() + expected[1:]
    is_type = ", got " in expected
    if place:
        return ValueError(f"{name}{place.rstrip('`')}: {expected}")
    if is_type:
        wanted = expected.partition(", got ")[0].removeprefix("expected ")
        wanted = wanted.replace("object", "mapping").replace(" | null", "").replace(" | ", " or ")
        article = "an" if wanted[0] in "aeiou" else "a"
        return TypeError(f"{name} must be {article} {wanted}, not {type(value).__name__}")
    at_least = re.fullmatch(r"expected int >= (\d+)", expected)
    if at_least:
        return ValueError(f"{name} must be at least {at_least[1]}, not {value}")
    return ValueError(f"{name}: {expected}, and it is {_shortened(value)}")


def _shortened(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _refuse_unknown_keys(name: str, value: object, expected: object) -> None:
    """Refuse a misspelt key: every key that the contract does not name, or of an open object one that is nearly a name."""
    if not isinstance(value, dict):
        return
    for kind in _typed_dicts(expected):
        hints = get_type_hints(kind, include_extras=True)
        for key, item in cast(dict[str, Any], value).items():
            if key in hints:
                _refuse_unknown_keys(f"{name}.{key}", item, hints[key])
                continue
            is_open = kind in OPEN
            close = nearest(key, hints, 0.85 if is_open else 0.4)
            if close or not is_open:
                hint = f"did you mean {close!r}?" if close else f"it knows {', '.join(hints)}."
                message = f"{name}: unknown key {key!r}; {hint} To send it all the same, use extra_body"
                raise ValueError(message)


def _typed_dicts(expected: object) -> list[Any]:
    """Return the objects that a type allows."""
    if is_typeddict(expected):
        return [expected]
    if get_origin(expected) in (Union, UnionType, Annotated):
        return [kind for part in get_args(expected) for kind in _typed_dicts(part)]
    return []


def body(
    query: object, wire: list[Any], arguments: Mapping[str, Any], indices: Sequence[int] | None = None
) -> bytes:
    """The JSON text of a request with these documents, every argument checked.

    `indices` are the caller's, by which an error names a document; by default the places in the list.

    Raises:
        TypeError, ValueError: An argument cannot be sent, or is misspelt; the message says which.
    """
    given: dict[str, Any] = {
        name: _field(name, value) for name in WIRE_TYPES if (value := arguments[name]) is not None
    }
    if "top_n" in given:
        # Some servers refuse what openapi.yaml allows: a top_n above the number of documents.
        given["top_n"] = min(given["top_n"], len(wire))
    request = RerankRequest(query=_string("query", query), documents=wire, **given)
    extra = mapping("extra_body", arguments["extra_body"])
    _check_json("extra_body", extra)
    for name in ("query", "documents", "top_n"):
        if name in extra:
            message = f"extra_body: {name} is an argument of rerank(); pass it there, where the answer is checked by it"
            raise ValueError(message)
    known = {attribute.name for attribute in fields(RerankRequest) if attribute.init}
    for name, value in extra.items():
        if name in known:
            setattr(request, name, value)
        else:
            request.additional_properties[name] = value
    try:
        return cast(bytes, create_rerank.get_kwargs(body=request)["content"])
    except UnicodeEncodeError as error:
        message = f"{_holder(request, indices)} has a lone surrogate ({error.object[error.start]!r}), which JSON cannot carry"
        raise ValueError(message) from None


def _check_json(name: str, value: object) -> None:
    """What the encoder would send as something else (a number that is none as null, a date as text), or choke on."""
    if not value:
        return
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{name} holds what JSON cannot (an object of Python, nan, infinity, itself): {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None


def _holder(request: RerankRequest, indices: Sequence[int] | None) -> str:
    for place, document in enumerate(request.documents):
        try:
            encode(document)
        except UnicodeEncodeError:
            return f"document {place if indices is None else indices[place]}"
    return "the query or another argument"
