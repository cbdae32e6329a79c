"""Make the URL of an operation from a base URL, and explain redirects."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urljoin, urlsplit, urlunsplit

import httpx

from openrouter_rerank.defaults import BASE_URL
from openrouter_rerank.redaction import hides_frames, reveal

# RFC 1035, section 2.3.4; underscores stand in many names of containers.
_LABEL = re.compile(r"[\w-]{1,63}", re.ASCII)
_LONGEST_NAME = 253
# Between brackets, with or without a zone.
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%[\w.%~-]+)?", re.ASCII)


def is_host(host: str) -> bool:
    """Return True if the resolver takes the host: an address, or a name in ASCII."""
    if ":" in host:
        return bool(_IPV6.fullmatch(host))
    labels = host.removesuffix(".").split(".")
    return len(host) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels))


@hides_frames
def operation_url(base_url: str, path: str) -> str:
    """Return the URL of the operation with this path under the base URL.

    Raises:
        ValueError: The base URL can never work. The message does not quote it, as it may hold a secret.
    """
    base_url = reveal(base_url)
    problem = f"base_url must be an http(s) URL such as {BASE_URL}"
    if isinstance(base_url, str):
        base_url = base_url.strip()
        # urlsplit() drops some of these, and httpx quotes others.
        if not base_url.isprintable() or any(map(str.isspace, base_url)):
            message = f"{problem}, and has a blank or a control character in it"
            raise ValueError(message)
    try:
        parts = urlsplit(base_url)
        usable = (
            parts.scheme in ("http", "https")
            and parts.port != 0
            and is_host(httpx.URL(base_url).raw_host.decode("ascii"))
        )
    except (ValueError, TypeError, AttributeError, httpx.InvalidURL):
        parts, usable = urlsplit(""), False
    if not usable:
        if isinstance(base_url, str) and base_url and "://" not in base_url:
            problem += "; write http:// or https:// before the host"
        raise ValueError(problem)
    if parts.username or parts.password:
        message = "base_url holds a user name or password; send them with extra_headers instead"
        raise ValueError(message)
    base = parts.path.rstrip("/")
    # People paste the address of the operation as often as that of the API. Given whole it stays as it is, as there are
    # servers that know it with a slash at its end alone.
    whole = parts.path if base.endswith(path) else base + path
    return urlunsplit((parts.scheme, parts.netloc, whole, parts.query, ""))


def sibling_path(path: str, operation: str, sibling: str) -> str:
    """Return the path of another operation of the same API, from that of the operation given."""
    return path.rstrip("/").removesuffix(operation) + sibling


def redirect_step(asked: str, query: str, location: str | None, operation: str, sibling: str) -> str:
    """Return what the caller can do about a redirect.

    Args:
        asked: The URL that was asked for, without its query.
        query: The query of the caller's base URL, which may hold a secret: its values are not repeated.
        location: Where the server points to.
        operation: The path of the operation that a base URL may be given whole for.
        sibling: The path of the other operation, for which it may not.
    """
    reason = "Redirects are not followed, as the key would go along"
    if not location:
        return f"{reason}, and this one names no address; check base_url"
    try:
        parts = urlsplit(urljoin(asked, location.strip()))
        netloc = parts.netloc.rpartition("@")[2]
    except ValueError:
        return f"{reason}, and this one names no valid address; check base_url"
    target = urlunsplit((parts.scheme, netloc, parts.path, "", ""))
    added = "&".join(_pieces_beyond(parts.query, query))
    base = urlunsplit((parts.scheme, netloc, parts.path, added, ""))
    if parts.path.endswith(sibling):
        base = urlunsplit((parts.scheme, netloc, parts.path.removesuffix(sibling), "", ""))
    elif not parts.path.rstrip("/").endswith(operation):
        return f"{reason}. It leads to {target}, which is not an address of this API; check base_url"
    try:
        operation_url(base, operation)
    except ValueError:
        return f"{reason}, and this one names no valid address; check base_url"
    kept = " (and keep its query)" if query else ""
    return f"{reason}; set base_url{kept} to {base}"


def _pieces_beyond(query: str, known: str) -> list[str]:
    """Return the parameters of a query, as they are written, that share no value with a known one."""
    values = {value for _, value in parse_qsl(known)}
    pairs = parse_qsl(known, keep_blank_values=True)
    return [
        piece
        for piece in query.split("&")
        for name, value in parse_qsl(piece, keep_blank_values=True)
        if (name, value) not in pairs and value not in values
    ]
