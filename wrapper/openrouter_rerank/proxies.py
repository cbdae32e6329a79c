"""Proxies of the environment, chosen as httpx chooses them."""

from __future__ import annotations

import os
import re
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import httpcore
import httpx

# Private, but what decides in httpx.Client; the version of httpx is bounded, and a table of tests holds us to its choice.
from httpx._utils import URLPattern, get_environment_proxies

from openrouter_rerank.addresses import is_host
from openrouter_rerank.redaction import hides_frames, reveal

SOCKS_ERRORS: tuple[type[Exception], ...] = (
    (import_module("socksio").SOCKSError,) if find_spec("socksio") is not None else ()
)
"""The errors that httpcore lets through of a proxy that does not speak SOCKS."""


class Proxy(NamedTuple):
    """A proxy, and the variable of the environment that names it."""

    address: str
    """Its URL without credentials."""
    variable: str
    auth: tuple[bytes, bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return f"the proxy {self.address} of {self.variable}"

    def forwards(self, url: str) -> bool:
        """Return True if it reads requests to the URL and forwards them, so that it may answer itself."""
        return url.startswith("http:") and self.address.startswith("http")

    def to_httpcore(self) -> httpcore.Proxy:
        """Return the proxy as httpcore takes it."""
        url = httpx.URL(self.address)
        return httpcore.Proxy(
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port),
            auth=self.auth,
            # By default httpcore reads the certificates again for each connection.
            ssl_context=httpcore.default_ssl_context() if url.scheme == "https" else None,
        )


@hides_frames
def environment_proxy(url: str) -> Proxy | None:
    """Return the proxy that the environment names for the URL, as `httpx.Client` would use it.

    A variable that does not concern the URL is not read, though httpx refuses to start for any that is wrong.

    Raises:
        ValueError: The variable cannot be understood. The message names it and quotes nothing of it.
    """
    found = _find(httpx.URL(reveal(url)))
    # Raised here, where no local variable holds the variable's value.
    if isinstance(found, str):
        raise ValueError(found)  # noqa: TRY004 - it is the problem
    return found


def _find(url: httpx.URL) -> Proxy | str | None:
    """Return the proxy, or what is wrong with its variable."""
    proxies = get_environment_proxies()
    if not proxies.keys() & {f"{url.scheme}://", "all://"}:
        return None
    patterns: dict[URLPattern, str | None] = {}
    for key, address in proxies.items():
        try:
            patterns[_pattern(key)] = address
        except (ValueError, httpx.InvalidURL):
            return f"{_variable('no')}: it has an entry that is neither a host nor an address; correct or remove it"
    # From the most specific to the least, as httpx.Client sorts them.
    matching = (pattern for pattern in sorted(patterns) if pattern.matches(url))
    first = next(matching, None)
    address = None if first is None else patterns[first]
    if first is None or address is None:
        return None
    return _parse(address, _variable(first.scheme or "all"))


def _pattern(key: str) -> URLPattern:
    # httpx refuses an IPv6 address in brackets, and one with the length of a prefix. It reads 10.0.0.0/8 as 10.0.0.0.
    key = re.sub(r"^all://\*\[", "all://[", key)
    key = re.sub(r"/\d+\]$", "]", key)
    return URLPattern(key)


def _variable(scheme: str) -> str:
    """Return the name of the variable, in the case in which it is set; lower case wins, as in urllib."""
    name = f"{scheme}_proxy"
    if os.environ.get(name):
        return name
    fallback = "the proxy settings of the system"
    return next((key for key, value in os.environ.items() if value and key.lower() == name), fallback)


def _parse(value: str, variable: str) -> Proxy | str:
    problem = (
        f"{variable}: it is not the URL of a proxy; write it as http://USER:PASSWORD@HOST:PORT (or https, socks5, "
        "socks5h), special characters of the password percent-encoded, or unset it"
    )
    try:
        given = httpx.Proxy(value)
        auth, url = given.raw_auth, given.url
        host = url.raw_host.decode("ascii")
    except (ValueError, httpx.InvalidURL):
        return problem
    # An "@" left over is that of a password with a "/", "?" or "#" in it, and the host then a part of that.
    if "@" in str(url) or not is_host(host) or (url.port is not None and not 0 < url.port < 65536):
        return problem
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        return f"{variable}: a SOCKS proxy needs one more package; pip install 'httpx[socks]', or unset it"
    return Proxy(str(httpx.URL(scheme=url.scheme, host=url.host, port=url.port)), variable, auth)
