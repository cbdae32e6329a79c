"""Arguments into a request, checked: what can never work raises ValueError or TypeError here. It sends nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec
from attrs import fields

from openrouter_rerank.defaults import BASE_URL, MAX_IMAGE_BYTES
from openrouter_rerank.documents import exact, nearest
from openrouter_rerank.ledger import Ledger
from openrouter_rerank.redaction import (
    Key,
    Masked,
    Redactor,
    hides_frames,
    reveal,
    secrets_in_environment,
    secrets_in_headers,
    secrets_in_url,
)
from openrouter_rerank.retries import Retries
from openrouter_rerank.steps import Secrets
from openrouter_rerank.version import VERSION
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.models import ProviderPreferences, RerankRequest, Trace
from openrouter_rerank_api.types import UNSET, Model, Unset, convert, encode

if TYPE_CHECKING:
    from openrouter_rerank.bulk.cache import Cache

M = TypeVar("M", bound=Model)


class Settings(msgspec.Struct, frozen=True):
    """What all calls of one client share, checked."""

    url: str
    where: str
    headers: Secrets
    redactor: Redactor
    """It knows the secrets of every request: of these headers, of the address and of the proxies."""
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

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Rich shows the fields of a struct, whatever its repr says.
        return [("where", self.where)]

    def with_headers(self, extra: Mapping[str, str]) -> Settings:
        """Return the settings with further headers, whose secrets are redacted as those of the others.

        Raises:
            TypeError, ValueError: A header cannot be sent.
        """
        headers = merged(self.headers, extra, "extra_headers")
        redactor = self.redactor.with_secrets(secrets_in_headers(headers.items()))
        return msgspec.structs.replace(self, headers=headers, redactor=redactor)


def settings(  # noqa: PLR0913 - the client's own arguments, all by keyword
    *,
    key: Key,
    base_url: str,
    timeout: float,
    deadline: float | None,
    retries: Retries,
    app_title: str | None,
    app_referer: str | None,
    app_categories: str | Iterable[str] | None,
    extra_headers: Mapping[str, str] | None,
    max_image_bytes: int | None,
    max_cost: float | None,
    cache: Cache | None,
    defaults: Mapping[str, Any],
) -> Settings:
    """The settings of a client.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that can never work.
    """
    if max_image_bytes is not None:
        _positive("max_image_bytes", max_image_bytes)
    if not isinstance(retries, Retries):
        message = (
            f"retries must be a Retries, not {type(retries).__name__}; Retries(attempts=1) never tries again"
        )
        raise TypeError(message)
    headers = merged(
        _own_headers(key, app_title, app_referer, app_categories), extra_headers, "extra_headers"
    )
    url = Masked(_operation_url(base_url))
    return Settings(
        url=url.reveal(),
        # The address for messages: a query may hold a secret.
        where=url.reveal().partition("?")[0],
        headers=headers,
        redactor=Redactor(
            [
                *secrets_in_headers(headers.items()),
                *secrets_in_url(url.reveal()),
                *secrets_in_environment(),
            ]
        ),
        # Checked here too, so that a wrong default fails where it was written.
        defaults=_checked(defaults),
        timeout=seconds("timeout", timeout),
        deadline=None if deadline is None else seconds("deadline", deadline),
        retries=retries,
        max_image_bytes=MAX_IMAGE_BYTES if max_image_bytes is None else max_image_bytes,
        ledger=Ledger(None if max_cost is None else _dollars("max_cost", max_cost)),
        cache=_cache(cache),
    )


@hides_frames
def _own_headers(key: Key, title: object, referer: object, categories: object) -> Secrets:
    """Return the headers of every request, but for those that the caller adds."""
    title, referer, categories = reveal(title), reveal(referer), reveal(categories)
    for name, value in (("app_title", title), ("app_referer", referer)):
        if not isinstance(value, str | None):
            message = f"{name} must be a str, not {type(value).__name__}"
            raise TypeError(message)
    sent = create_rerank.get_kwargs(
        body=_EMPTY,
        http_referer=_or_unset(cast("str | None", referer)),
        x_open_router_title=_or_unset(cast("str | None", title)),
        x_open_router_categories=_or_unset(_categories(categories)),
    )
    # No encoding but gzip: it is unpacked in answer.py, within a limit.
    own = {"Accept-Encoding": "gzip", "User-Agent": f"openrouter-rerank/{VERSION}"}
    headers = merged(Secrets(own), sent["headers"], "app_title, app_referer or app_categories")
    return Secrets({**headers, **key.header()})


_EMPTY = RerankRequest(model="", query="", documents=[])
_PATH: str = create_rerank.get_kwargs(body=_EMPTY)["url"]


def _categories(value: object) -> str | None:
    if isinstance(value, str | None):
        return value
    names = list(cast("Iterable[object]", value)) if isinstance(value, Iterable) else [value]
    if not all(isinstance(name, str) for name in names):
        message = "app_categories must be a str, or an iterable of str"
        raise TypeError(message)
    return ",".join(cast(list[str], names))


def _checked(defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    body("query", [], defaults)
    score(defaults["min_score"])
    options({name: value for name, value in defaults.items() if value is not None})
    for name in ("max_documents", "max_bytes", "on_part_error"):
        _OPTIONS[name](name, defaults[name])
    return defaults


@hides_frames
def _operation_url(base_url: str) -> str:
    base_url = reveal(base_url)
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
    base = parts.path.rstrip("/").removesuffix(_PATH)
    return urlunsplit((parts.scheme, parts.netloc, base + _PATH, parts.query, ""))


# A name in any script, or an address; what httpx would quote or the resolver choke on is neither.
_HOST = re.compile(r"[\w.:%-]+")


@hides_frames
def merged(base: Secrets, extra: Mapping[str, str] | None, where: str) -> Secrets:
    """The headers with the extra ones in place of those of the same name.

    Raises:
        TypeError, ValueError: A header cannot be sent. The message has its name and not its value.
    """
    added = mapping(where, reveal(extra))
    for name, value in added.items():
        # A whole line that is given as a name holds the value too.
        shown = re.split(r":|\s\S{8}", name, maxsplit=1)[0]
        if not isinstance(value, str):
            message = (
                f"{where}: the header {shown!r} must have a str as its value, not {type(value).__name__}"
            )
            raise TypeError(message)
        # What the transport refuses later it names, value and all, in its message.
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            message = f"{where}: the header {shown!r} has a character, or a blank at an end, that a header cannot carry: printable ASCII alone"
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


def _optional(name: str, value: object) -> str | Unset:
    return UNSET if value is None else _string(name, value)


def _positive(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        message = f"{name} must be an int, not {type(value).__name__}"
        raise TypeError(message)
    number = int(cast(Any, value))
    if number < 1:
        message = f"{name} must be at least 1, not {number}"
        raise ValueError(message)
    return number


def _part_error(name: str, value: object) -> str:
    if value not in ("raise", "partial"):
        message = f"{name} must be 'raise' or 'partial', not {value!r}"
        raise ValueError(message)
    return value


def _splitter(name: str, value: object) -> object:
    if not callable(value):
        message = f"{name} must be a function of a text that gives its pieces, not {type(value).__name__}"
        raise TypeError(message)
    return value


_OPTIONS: Mapping[str, Callable[[str, object], object]] = {
    "tag": _string,
    "max_documents": _positive,
    "max_bytes": _positive,
    "on_part_error": _part_error,
    "chunk": _splitter,
}


def options(given: Mapping[str, Any]) -> None:
    """Check those arguments that say how a call is made, and are never sent.

    Raises:
        TypeError, ValueError: One of them cannot be followed; the message says which.
    """
    for name in given.keys() & _OPTIONS.keys():
        _OPTIONS[name](name, given[name])


def _top_n(value: object, documents: int) -> int | Unset:
    # Some servers refuse what openapi.yaml allows: a top_n above the number of documents.
    return UNSET if value is None else min(_positive("top_n", value), documents)


def _model_of(name: str, value: object, model: type[M]) -> M | Unset:
    if value is None:
        return UNSET
    if not isinstance(value, Mapping | model):
        message = f"{name} must be a mapping or a {model.__name__}, not {type(value).__name__}"
        raise TypeError(message)
    source = value.to_dict() if isinstance(value, Model) else mapping(name, cast(Mapping[str, Any], value))
    _check_json(name, source)
    try:
        made = convert(source, model)
    except msgspec.ValidationError as error:
        message = f"{name}: {error}"
        raise ValueError(message) from None
    _no_unknown(name, made)
    return made


def _no_unknown(name: str, value: Model) -> None:
    known = [attribute.name for attribute in fields(type(value)) if attribute.init]
    for key in value.additional_properties if known else ():
        # A trace takes any key; a misspelling of one that it knows is still a misspelling.
        close = nearest(key, known, 0.85 if isinstance(value, Trace) else 0.4)
        if close or not isinstance(value, Trace):
            hint = f"did you mean {close!r}?" if close else f"it knows {', '.join(known)}."
            message = f"{name}: unknown key {key!r}; {hint} To send it all the same, use extra_body"
            raise ValueError(message)
    for attribute in known:
        child = getattr(value, attribute)
        if isinstance(child, Model):
            _no_unknown(f"{name}.{attribute}", child)


def body(query: object, wire: list[Any], arguments: Mapping[str, Any]) -> bytes:
    """The JSON text of a request with these documents, every argument checked.

    Raises:
        TypeError, ValueError: An argument cannot be sent, or is misspelt; the message says which.
    """
    request = RerankRequest(
        model=_string("model", arguments["model"]),
        query=_string("query", query),
        documents=wire,
        top_n=_top_n(arguments["top_n"], len(wire)),
        provider=_model_of("provider", arguments["provider"], ProviderPreferences),
        session_id=_optional("session_id", arguments["session_id"]),
        user=_optional("user", arguments["user"]),
        trace=_model_of("trace", arguments["trace"], Trace),
    )
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
        message = f"{_holder(request)} has a lone surrogate ({error.object[error.start]!r}), which JSON cannot carry"
        raise ValueError(message) from None


def _check_json(name: str, value: Mapping[str, Any]) -> None:
    """What the encoder would send as something else (a number that is none as null, a date as text), or choke on."""
    if not value:
        return
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{name} holds what JSON cannot (an object of Python, nan, infinity, itself): {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None


def _holder(request: RerankRequest) -> str:
    for index, document in enumerate(request.documents):
        try:
            encode(document)
        except UnicodeEncodeError:
            return f"document {index}"
    return "the query or another argument"
