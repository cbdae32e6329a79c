"""The settings of a client: its arguments, validated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from openrouter_rerank.addresses import operation_url
from openrouter_rerank.certificates import Verify, check_verify
from openrouter_rerank.checks import positive
from openrouter_rerank.defaults import BASE_URL, KEY_VARIABLE, MAX_IMAGE_BYTES, TIMEOUT
from openrouter_rerank.ledger import Ledger
from openrouter_rerank.operations import Secrets
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
from openrouter_rerank.request import (
    REQUIRED,
    body,
    check_options,
    mapping,
    score,
    seconds,
    whole_number,
    with_options,
)
from openrouter_rerank.retries import Retries
from openrouter_rerank.version import VERSION
from openrouter_rerank_api.api.models import list_models
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.dialects import DIALECTS, SUMMARIES
from openrouter_rerank_api.models import RerankRequest
from openrouter_rerank_api.types import UNSET, Unset

if TYPE_CHECKING:
    from openrouter_rerank.dialects.codec import Codec
    from openrouter_rerank.protocols import Cache

_EMPTY = RerankRequest(**cast(Any, dict.fromkeys(REQUIRED, "")))
RANKING_PATH: str = create_rerank.get_kwargs(body=_EMPTY)["url"]
LIST_PATH: str = list_models.get_kwargs()["url"]


class Settings(msgspec.Struct, frozen=True):
    """The validated settings that all calls of a client share."""

    codec: Codec | None
    """The codec of another dialect."""
    url: str
    where: str
    headers: Secrets
    redactor: Redactor
    """Redacts the secrets of every request: of these headers, of the address and of the proxies."""
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
    dialect: str,
    base_url: str | None,
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
    """Return the settings of a client.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that can never work.
    """
    if has_client and verify is not True:
        raise ValueError("verify: the http_client has its own certificates; set them where it is made")
    codec = codec_of(dialect)
    if codec is not None:
        _refuse_attribution(
            codec, app_title=app_title, app_referer=app_referer, app_categories=app_categories
        )
    headers = merged(
        _own_headers(key, app_title, app_referer, app_categories),
        options.get("extra_headers"),
        "extra_headers",
    )
    url = Masked(operation_url(_address(codec, base_url), ranking_path(codec)))
    return Settings(
        codec=codec,
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
        defaults=_checked(with_options(_defaults(codec), options), options, codec),
        timeout=seconds("timeout", TIMEOUT if options.get("timeout") is None else options["timeout"]),
        deadline=None if deadline is None else seconds("deadline", deadline),
        retries=_retries(retries),
        max_image_bytes=_image_bytes(max_image_bytes),
        ledger=Ledger(None if max_cost is None else positive("max_cost", max_cost, " of US dollars")),
        cache=_cache(cache),
        verify=check_verify(verify),
        proxy=None if has_client else environment_proxy(mask(url.reveal())),
    )


def ranking_path(codec: Codec | None) -> str:
    """Return the path of the operation under the base URL."""
    return RANKING_PATH if codec is None else codec.path


def codec_of(dialect: object) -> Codec | None:
    """Return the codec of a dialect; None for that of openapi.yaml, which needs none.

    Raises:
        ValueError: There is no such dialect.
    """
    if dialect == DIALECTS[0]:
        return None
    from openrouter_rerank.dialects import codec  # noqa: PLC0415 - other dialects alone need it

    return codec(dialect)


@hides_frames
def key_variable(codec: Codec | None, base_url: object) -> str | None:
    """Return the environment variable of the key. A vendor's key goes to the vendor alone, and OpenRouter's to no other dialect."""
    if codec is None:
        return KEY_VARIABLE
    url = reveal(base_url)
    is_vendor = codec.base_url is not None if url is None else codec.is_of_vendor(str(url))
    return codec.key_variable if is_vendor else None


@hides_frames
def _address(codec: Codec | None, base_url: str | None) -> str:
    if reveal(base_url) is not None:
        return cast(str, base_url)
    if codec is None:
        return BASE_URL
    if codec.base_url is None:
        message = f"base_url: the dialect {codec.name!r} has no address of its own; pass that of your server"
        raise ValueError(message)
    return codec.base_url


def _refuse_attribution(codec: Codec, **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            message = f"{name}: the dialect {codec.name!r} has no such header; leave it out"
            raise ValueError(message)


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


_OF_A_CALL: Mapping[str, Any] = {
    name: DEFAULTS.get(name) for name in CALL - {"timeout", "extra_headers", *SUMMARIES}
}
"""The default options of a call; timeout and headers are settings of their own."""


def _defaults(codec: Codec | None) -> Mapping[str, Any]:
    """Return the default options of a call. OpenRouter's default model is none of another dialect's."""
    if codec is None:
        return _OF_A_CALL
    fields = dict.fromkeys(SUMMARIES)
    return {
        **_OF_A_CALL,
        **fields,
        "model": None,
        "max_documents": codec.max_documents,
        "max_bytes": codec.max_bytes,
    }


def changed(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """Return the settings with other options, checked.

    Raises:
        TypeError, ValueError: An option cannot be followed; the message says which.
    """
    defaults = with_options(settings.defaults, given)
    changes: dict[str, Any] = {"defaults": _checked(defaults, given, settings.codec)}
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


def _checked(defaults: Mapping[str, Any], given: Mapping[str, Any], codec: Codec | None) -> Mapping[str, Any]:
    """Return the default options of a call, validated with those that were given."""
    checked = defaults
    if codec is not None and codec.model == "required" and defaults["model"] is None:
        checked = {**defaults, "model": codec.title}  # a call may name one
    named = {**defaults, **given}
    check_options({name: value for name, value in named.items() if value is not None}, codec)
    body("query", [], checked, codec=codec)
    score(defaults["min_score"])
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
    return (
        MAX_IMAGE_BYTES if value is None else min(whole_number("max_image_bytes", value), _MOST_IMAGE_BYTES)
    )


@hides_frames
def merged(base: Secrets, extra: Mapping[str, str] | None, where: str) -> Secrets:
    """Return the headers with the extra ones in place of those of the same name.

    Raises:
        TypeError, ValueError: A header cannot be sent. The message has its name and not its value.
    """
    added = mapping(where, reveal(extra))
    replaced: set[str] = set()
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
            message = (
                f"{where}: the header {shown!r} is not printable ASCII, or has a blank at an end; change it"
            )
            raise ValueError(message)
        if name.lower() in _FRAMING:
            message = f"{where}: the header {shown!r} follows from the body of each request; leave it out"
            raise ValueError(message)
        if name.lower() in replaced:
            message = f"{where}: the header {shown!r} appears twice, in different case; leave one out"
            raise ValueError(message)
        replaced.add(name.lower())
    return Secrets({name: value for name, value in base.items() if name.lower() not in replaced} | added)


_FRAMING = ("content-length", "transfer-encoding")
# RFC 9110, sections 5.1 and 5.5; of the values only what is ASCII, as servers disagree on the rest.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?|")


def _cache(value: object) -> Cache | None:
    if value is not None and not (
        callable(getattr(value, "get", None)) and callable(getattr(value, "set", None))
    ):
        message = f"cache must have the methods get and set of openrouter_rerank.bulk.cache.Cache, and {type(value).__name__} does not"
        raise TypeError(message)
    return cast("Cache | None", value)


def _or_unset(value: str | None) -> str | Unset:
    return UNSET if value is None else value
