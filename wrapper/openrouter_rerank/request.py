"""Arguments into a request, checked: what can never work raises ValueError or TypeError here. It sends nothing."""

from __future__ import annotations

import json
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

import msgspec
from attrs import fields

from openrouter_rerank.addresses import operation_url
from openrouter_rerank.certificates import Verify, check_verify
from openrouter_rerank.checks import LONGEST_TIME, as_float, positive, shown
from openrouter_rerank.defaults import MAX_IMAGE_BYTES, TIMEOUT
from openrouter_rerank.documents import exact, nearest
from openrouter_rerank.ledger import Ledger
from openrouter_rerank.options import CALL, DEFAULTS
from openrouter_rerank.proxies import Proxy, environment_proxy
from openrouter_rerank.redaction import (
    Key,
    Masked,
    Redactor,
    hides_frames,
    mask,
    reveal,
    secrets_in_environment,
    secrets_in_headers,
    secrets_in_url,
)
from openrouter_rerank.retries import Retries
from openrouter_rerank.steps import Secrets
from openrouter_rerank.version import VERSION
from openrouter_rerank_api.api.models import list_models
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.models import RerankRequest
from openrouter_rerank_api.options import OPEN, WIRE_TYPES
from openrouter_rerank_api.types import UNSET, Model, Unset, encode

if TYPE_CHECKING:
    from openrouter_rerank.bulk.cache import Cache

_EMPTY = RerankRequest(model="", query="", documents=[])
RANKING_PATH: str = create_rerank.get_kwargs(body=_EMPTY)["url"]
LIST_PATH: str = list_models.get_kwargs()["url"]


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
    verify: Verify
    proxy: Proxy | None
    """The proxy of our own connections, which an injected client does not use."""

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
    deadline: float | None,
    retries: Retries,
    app_title: str | None,
    app_referer: str | None,
    app_categories: str | Iterable[str] | None,
    max_image_bytes: int | None,
    max_cost: float | None,
    cache: Cache | None,
    verify: Verify,
    has_client: bool,
    options: Mapping[str, Any],
) -> Settings:
    """The settings of a client.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that can never work.
    """
    if has_client and verify is not True:
        raise ValueError("verify: the http_client has its own certificates; set them where it is made")
    headers = merged(
        _own_headers(key, app_title, app_referer, app_categories),
        options.get("extra_headers"),
        "extra_headers",
    )
    url = Masked(operation_url(base_url, RANKING_PATH))
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
        defaults=_checked(with_options(_OF_A_CALL, options)),
        timeout=seconds("timeout", TIMEOUT if options.get("timeout") is None else options["timeout"]),
        deadline=None if deadline is None else seconds("deadline", deadline),
        retries=_retries(retries),
        max_image_bytes=_image_bytes(max_image_bytes),
        ledger=Ledger(None if max_cost is None else positive("max_cost", max_cost, " of US dollars")),
        cache=_cache(cache),
        verify=check_verify(verify),
        proxy=None if has_client else environment_proxy(mask(url.reveal())),
    )


_MOST_IMAGE_BYTES = 2**30


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


def _categories(value: object) -> str | None:
    if isinstance(value, str | None):
        return value
    names = list(cast("Iterable[object]", value)) if isinstance(value, Iterable) else [value]
    if not all(isinstance(name, str) for name in names):
        message = "app_categories must be a str, or an iterable of str"
        raise TypeError(message)
    return ",".join(cast(list[str], names))


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
    if given.get("extra_headers") is not None:
        settings = settings.with_headers(given["extra_headers"])
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
    # As much memory is set aside when a file is read.
    return MAX_IMAGE_BYTES if value is None else min(_positive("max_image_bytes", value), _MOST_IMAGE_BYTES)


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
            message = f"{name} must have str keys, and {shown(key)} is none"
            raise TypeError(message)
    return cast(dict[str, Any], given)


def seconds(name: str, value: object) -> float:
    """A time, checked: a positive finite number. What is longer than anything can wait for counts as that long."""
    return min(positive(name, value, " of seconds"), LONGEST_TIME)


def score(value: object) -> float | None:
    """The least score, checked."""
    if value is None:
        return None
    number = as_float("min_score", value, "a number")
    if not isfinite(number):
        message = f"min_score must be a finite number, not {shown(value)}"
        raise ValueError(message)
    return number


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
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _lone_surrogate(name, error) from None
    return exact(value)


def _or_unset(value: str | None) -> str | Unset:
    return UNSET if value is None else value


def _positive(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        message = f"{name} must be an int, not {type(value).__name__}"
        raise TypeError(message)
    number = int(cast(Any, value))
    if number < 1:
        message = f"{name} must be at least 1, not {shown(number)}"
        raise ValueError(message)
    return number


def _one_of(*values: str) -> Callable[[str, object], object]:
    """Return a check that a value is one of these."""

    def check(name: str, value: object) -> object:
        if value not in values:
            message = f"{name} must be {' or '.join(map(repr, values))}, not {shown(value)}"
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
    "splitter": _splitter,
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
        case bool() | None:
            return value
        case Model():
            return _as_json(name, value)
        case Mapping():
            return _as_json(name, mapping(name, cast(object, value)))
        case _ if hasattr(value, "__index__"):  # numpy's integers too
            return int(value)
        case _:
            return _as_json(name, value)


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
        return ValueError(f"{name} must be at least {at_least[1]}, not {shown(value)}")
    return ValueError(f"{name}: {expected}, and it is {shown(value)}")


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
    extra = cast("dict[str, Any]", _as_json("extra_body", mapping("extra_body", arguments["extra_body"])))
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
        # All else was checked before.
        place = next(place for place, document in enumerate(wire) if not _is_encodable(document))
        where = f"document {place if indices is None else indices[place]}"
        raise _lone_surrogate(where, error) from None


# More than any request has; further down Python's own limit is near, and where it lies depends on the caller.
_DEEPEST = 100


def _as_json(name: str, value: object) -> object:
    """Return a value as JSON has it.

    Raises:
        TypeError, ValueError: The encoder would send it as something else (a date as text), or cannot encode it.
    """
    try:
        given = value.to_dict() if isinstance(value, Model) else value
        text = json.dumps(given, allow_nan=False, ensure_ascii=False)
        text.encode()
        plain: object = json.loads(text)
    except UnicodeEncodeError as error:
        raise _lone_surrogate(name, error) from None
    except (TypeError, ValueError) as error:
        message = f"{name} holds what JSON cannot (an object of Python, nan, infinity, itself): {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None
    except RecursionError:
        raise _too_deep(name) from None
    level: list[object] = [plain]
    for _ in range(_DEEPEST):
        level = [item for outer in level for item in _inner(outer)]
        if not level:
            return plain
    raise _too_deep(name)


def _inner(value: object) -> list[object]:
    """The lists and objects right inside a list or an object."""
    if isinstance(value, dict):
        value = list(cast(dict[str, object], value).values())
    if not isinstance(value, list):
        return []
    items = cast(list[Any], value)  # type: ignore[redundant-cast] # pyright needs it
    return [item for item in items if type(item) in (dict, list)]


def _too_deep(name: str) -> ValueError:
    return ValueError(f"{name} is nested more than {_DEEPEST} deep, or holds itself; make it flatter")


def _lone_surrogate(holder: str, error: UnicodeEncodeError) -> ValueError:
    return ValueError(
        f"{holder} has a lone surrogate ({error.object[error.start]!r}), which JSON cannot carry"
    )


def _is_encodable(value: object) -> bool:
    try:
        encode(value)
    except UnicodeEncodeError:
        return False
    return True
