"""The addresses at which a server's rerank operation may lie, by a URL as people have it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from openrouter_rerank.addresses import operation_url
from openrouter_rerank.dialects import codec
from openrouter_rerank.redaction import hides_frames, reveal
from openrouter_rerank_api.dialects import DIALECTS

PATH = "/rerank"


class Candidate(NamedTuple):
    """An address to try."""

    url: str
    """The URL of the operation."""
    is_given: bool = False
    """True if a client with the given URL as its `base_url` uses this address."""
    is_near: bool = True
    """True if the given URL is this address cut, another operation of the same API, or its documentation."""


_BASES = ("", "/v1", "/api/v1", "/v2")
_ONE_SLASH = re.compile(r"^(https?):/(?!/)", re.IGNORECASE)
_VERSION = re.compile(r"/v\d+(beta\d*)?$")
# What may stand in place of the operation: other operations, and pages for people.
_OTHER = re.compile(
    r"""
    /(chat/completions | completions | responses | messages | embeddings? | embed(_all)? | models | reranking | rankings?
    | score | classify | pooling | tokenize | generate | predict | info | health(z)? | metrics | ping | invocations
    | openapi\.json | api-doc/openapi\.json | docs | redoc | swagger(-ui)?(/.*)? | api-docs? | index\.html)/?$
    """,
    re.VERBOSE,
)
# Sites for people, and the vendor whose API they are about.
_SITES = {
    "cohere-v2": ("cohere.com", "docs.cohere.com", "dashboard.cohere.com"),
    "jina": ("jina.ai", "docs.jina.ai"),
    "voyage": (
        "voyageai.com",
        "docs.voyageai.com",
        "www.voyageai.com",
        "dash.voyageai.com",
        "dashboard.voyageai.com",
    ),
}


@hides_frames
def complete(url: str) -> str:
    """Return the URL with a scheme and without blanks, quotes and punctuation around it, checked as a client checks its `base_url`.

    Raises:
        ValueError: It can never work. The message does not quote it, as it may hold a secret.
    """
    url = reveal(url)
    if isinstance(url, str):
        url = _ONE_SLASH.sub(r"\1://", url.strip().strip("<>\"'`(),;").removeprefix("//"))
        if "://" not in url:
            host = urlsplit(f"//{url}").hostname or ""
            url = f"{'http' if _is_local(host) else 'https'}://{url}"
    try:
        operation_url(url, PATH)
    except ValueError as error:
        raise ValueError(str(error).replace("base_url", "URL", 1)) from None
    return urlunsplit((*urlsplit(url)[:4], ""))


def is_live(url: str) -> bool:
    """Return True if the URL is of another machine, where calls may cost money."""
    host = urlsplit(url).hostname or ""
    return not (host in {"localhost", "::1"} or host.startswith("127."))


def _is_local(host: str) -> bool:
    """Return True if a server at the host hardly has a certificate: an address, or a name without a domain."""
    try:
        ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))
    return True


def vendor_of(url: str) -> str | None:
    """Return the dialect of the vendor to whom the URL belongs, or None."""
    return next((name for name in DIALECTS if codec(name).is_of_vendor(url)), None)


def documented_api(url: str) -> str | None:
    """Return the base URL of the vendor's API if the URL is of the vendor's site for people."""
    parts = urlsplit(url)
    for name, hosts in _SITES.items():
        if parts.hostname in hosts:
            return codec(name).base_url
    if vendor_of(url) == "openrouter" and not parts.path.startswith("/api/"):
        return codec("openrouter").base_url
    return None


def names_other(url: str) -> bool:
    """Return True if the URL is that of another operation, or of documentation."""
    return _OTHER.search(urlsplit(url).path.rstrip("/")) is not None


def candidates(url: str, most: int = 10) -> list[Candidate]:
    """Return the addresses to try in order, those that need least change of the URL first.

    Args:
        url: As `complete` returns it.
        most: The largest number of addresses.
    """
    found: dict[str, Candidate] = {}
    for candidate in _candidates(urlsplit(url)):
        found.setdefault(candidate.url, candidate)
    return list(found.values())[:most]


def _candidates(parts: SplitResult) -> Iterator[Candidate]:
    def at(path: str, *, is_given: bool = False, is_near: bool = True) -> Candidate:
        whole = urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
        return Candidate(whole, is_given, is_near)

    given = parts.path.rstrip("/")
    base = given.removesuffix(PATH)
    other = _OTHER.search(base)
    if other is None:
        whole = parts.path if given.endswith(PATH) else base + PATH
        yield at(whole, is_given=True)
        # Some servers know the address with a slash at its end alone, or only without one.
        yield at(f"{base}{PATH}/" if whole.endswith(PATH) else base + PATH)
    near = base if other is None else base[: other.start()]
    vendor = vendor_of(urlunsplit(parts))
    if vendor is not None:
        yield at(urlsplit(codec(vendor).base_url or "").path + PATH)
    # Of an address with a version nothing is missing at its end; of one with the operation, only the version may be.
    for more in ("",) if _VERSION.search(near) else _BASES:
        yield at(near + more + PATH, is_near=given == base or not more)
    for parent in _parents(near):
        for more in _BASES:
            yield at(parent + more + PATH, is_near=False)


def _parents(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def base_of(url: str) -> str:
    """Return the `base_url` with which a client uses this address of the operation."""
    parts = urlsplit(url)
    return urlunsplit((*parts[:2], parts.path.removesuffix(PATH), *parts[3:]))


def with_other_scheme(url: str) -> str:
    """Return the URL with https in place of http, or the other way round."""
    scheme, _, rest = url.partition("://")
    return f"{'https' if scheme == 'http' else 'http'}://{rest}"


def origin(url: str, path: str) -> str:
    """Return the URL of another path of the same server."""
    return urlunsplit((*urlsplit(url)[:2], path, "", ""))


def siblings(url: str, name: str) -> Sequence[str]:
    """Return the URLs at which another operation of the same API may lie."""
    parts = urlsplit(url)
    own = parts.path.rstrip("/").removesuffix(PATH) + name
    paths = dict.fromkeys((own, f"/v1{name}"))
    return [urlunsplit((*parts[:2], path, parts.query, "")) for path in paths]


def redirected(asked: str, location: str) -> str | None:
    """Return the address of a redirect that stays with the server, or upgrades it to TLS; None for any other."""
    try:
        old = urlsplit(asked)
        new = urlsplit(urljoin(asked, location.strip()))
        same = (new.hostname, new.port) == (old.hostname, old.port) and new.scheme == old.scheme
        upgraded = new.hostname == old.hostname and (old.scheme, new.scheme) == ("http", "https")
    except ValueError:
        return None
    if not (same or upgraded) or not new.path.rstrip("/").endswith(PATH) or "@" in new.netloc:
        return None
    return urlunsplit((*new[:3], new.query or old.query, ""))
