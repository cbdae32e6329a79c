"""Arguments into a request, checked: what can never work raises ValueError or TypeError here. It sends nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from attrs import fields

from openrouter_rerank.addresses import operation_url
from openrouter_rerank.certificates import Verify, check_verify
from openrouter_rerank.defaults import KEY_VARIABLE, MAX_IMAGE_BYTES
from openrouter_rerank.documents import exact, nearest
from openrouter_rerank.ledger import Ledger
from openrouter_rerank.proxies import Proxy, environment_proxy
from openrouter_rerank.retries import Retries
from openrouter_rerank.steps import Secrets
from openrouter_rerank.version import VERSION
from openrouter_rerank_api.api.models import list_models
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.models import ProviderPreferences, RerankRequest, Trace
from openrouter_rerank_api.types import UNSET, Model, Unset, convert, encode

if TYPE_CHECKING:
    from openrouter_rerank.bulk.cache import Cache

M = TypeVar("M", bound=Model)

RANKING_PATH: str = create_rerank.get_kwargs(body=RerankRequest(model="", query="", documents=[]))["url"]
LIST_PATH: str = list_models.get_kwargs()["url"]


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
    verify: Verify
    proxy: Proxy | None
    """The proxy of our own connections, which an injected client does not use."""

    def __repr__(self) -> str:
        # The full address may hold a secret in its query, and the headers do.
        return f"<settings for {self.where}>"


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
    verify: Verify,
    has_client: bool,
    defaults: Mapping[str, Any],
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
    if max_image_bytes is not None:
        _positive("max_image_bytes", max_image_bytes)
    categories = _categories(app_categories)
    sent = create_rerank.get_kwargs(
        body=RerankRequest(model="", query="", documents=[]),
        http_referer=_or_unset(app_referer),
        x_open_router_title=_or_unset(app_title),
        x_open_router_categories=_or_unset(categories),
    )
    if not isinstance(retries, Retries):
        message = (
            f"retries must be a Retries, not {type(retries).__name__}; Retries(attempts=1) never tries again"
        )
        raise TypeError(message)
    if has_client and verify is not True:
        raise ValueError("verify: the http_client has its own certificates; set them where it is made")
    # No encoding but gzip: it is unpacked in answer.py, within a limit.
    own = {"Accept-Encoding": "gzip", "User-Agent": f"openrouter-rerank/{VERSION}"}
    headers = merged(Secrets(own), sent["headers"], "app_title, app_referer or app_categories")
    headers = merged(Secrets(headers | key.header()), extra_headers, "extra_headers")
    return Settings(
        url=(url := operation_url(base_url, RANKING_PATH)),
        # The address for messages: a query may hold a secret.
        where=url.partition("?")[0],
        headers=headers,
        key=key,
        # Checked here too, so that a wrong default fails where it was written.
        defaults=_checked(defaults),
        timeout=seconds("timeout", timeout),
        deadline=None if deadline is None else seconds("deadline", deadline),
        retries=retries,
        max_image_bytes=MAX_IMAGE_BYTES if max_image_bytes is None else max_image_bytes,
        ledger=Ledger(None if max_cost is None else _dollars("max_cost", max_cost)),
        cache=_cache(cache),
        verify=check_verify(verify),
        proxy=None if has_client else environment_proxy(url),
    )


def _categories(value: str | Iterable[str] | None) -> str | None:
    if isinstance(value, str | None):
        return value
    names = list(value) if isinstance(value, Iterable) else [value]
    if not all(isinstance(name, str) for name in names):
        message = "app_categories must be a str, or an iterable of str"
        raise TypeError(message)
    return ",".join(names)


def _checked(defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    body("query", [], defaults)
    score(defaults["min_score"])
    options({name: value for name, value in defaults.items() if value is not None})
    for name in ("max_documents", "max_bytes", "on_part_error"):
        _OPTIONS[name](name, defaults[name])
    return defaults


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
