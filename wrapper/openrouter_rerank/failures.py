"""Explain the errors of transports: the problem, the next step, and whether a retry can help."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from errno import EHOSTUNREACH, ENETDOWN, ENETUNREACH
from typing import NamedTuple, TypeAlias, cast
from urllib.parse import urlsplit

from openrouter_rerank.errors import is_retryable
from openrouter_rerank.proxies import Proxy

# Errors that occur before any byte of the request can reach the server.
UNSENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "SOCKSError"})


class Explanation(NamedTuple):
    """The problem of a request without a response, the next step, and True if the same request can succeed later."""

    problem: str
    step: str
    retryable: bool


class _Peer(NamedTuple):
    """The address of the server, and the proxy of the connection."""

    where: str
    proxy: Proxy | None

    @property
    def host(self) -> str:
        return urlsplit(self.proxy.address if self.proxy else self.where).hostname or ""

    @property
    def name(self) -> str:
        return "the proxy" if self.proxy else "the server"

    @property
    def setting(self) -> str:
        """The setting that has its address."""
        return self.proxy.variable if self.proxy else "base_url"


def class_names(error: BaseException | None) -> set[str]:
    """Return the names of the error's classes, which are the same in httpcore, httpx and httpx2."""
    return {cls.__name__ for cls in type(error).__mro__} if error else set()


def explain(error: BaseException, where: str, proxy: Proxy | None) -> Explanation:
    """Return the explanation of an error from this address, through this proxy."""
    peer = _Peer(where, proxy)
    causes = list(_causes(error))
    for matches, make in _TABLE:
        for cause in causes:
            if matches(cause):
                found = make(cause, peer)
                return found._replace(problem=f"{found.problem} ({_describe(cause)})")
    # The innermost error is the most specific: the errors that libraries wrap around it often have no text.
    return Explanation(
        f"{peer.name} did not answer ({_describe(causes[-1])})",
        f"check {peer.setting} and the network",
        retryable=not class_names(error).isdisjoint({"NetworkError", "RemoteProtocolError"}),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes.

    httpcore's pool drops the __cause__ of its errors but keeps it as an argument. The __context__ is left out, as it may be
    an error that the caller is handling.
    """
    yield error
    inner = [error.__cause__, *error.args]
    if isinstance(error, BaseExceptionGroup):
        inner += cast("BaseExceptionGroup[BaseException]", error).exceptions
    for one in inner:
        if isinstance(one, BaseException):
            yield from _causes(one)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


_Matcher: TypeAlias = Callable[[BaseException], bool]
_Maker: TypeAlias = Callable[[BaseException, _Peer], Explanation]


def _is(*kinds: type[BaseException]) -> _Matcher:
    return lambda error: isinstance(error, kinds)


def _has_errno(*codes: int | None) -> _Matcher:
    return lambda error: isinstance(error, OSError) and error.errno in codes


def _is_refused_certificate(*codes: int) -> _Matcher:
    return lambda error: (
        isinstance(error, ssl.SSLCertVerificationError)
        and (not codes or getattr(error, "verify_code", 0) in codes)
    )


def _is_handshake_cut(error: BaseException) -> bool:
    # EndOfStream is anyio's.
    cut = (ssl.SSLEOFError, ssl.SSLSyscallError, ssl.SSLZeroReturnError)
    return isinstance(error, cut) or "EndOfStream" in class_names(error)


def _is_tls_of_http(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and error.reason in {
        "HTTP_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "WRONG_VERSION_NUMBER",
    }


def _is_called(name: str) -> _Matcher:
    return lambda error: name in class_names(error)


def _is_http_of_tls(error: BaseException) -> bool:
    # h11's message for a first byte that is not a character, such as that of a TLS alert.
    return "RemoteProtocolError" in class_names(error) and "illegal request line" in str(error)


def _is_broken(error: BaseException) -> bool:
    return not class_names(error).isdisjoint({"ReadError", "WriteError", "CloseError"})


def _is_disconnected(error: BaseException) -> bool:
    return "RemoteProtocolError" in class_names(error) and "disconnected" in str(error)


def _explain_proxy(error: BaseException, peer: _Peer) -> Explanation:
    status = str(error)[:3]
    code = int(status) if status.isdecimal() else 0
    step = f"check {peer.setting if peer.proxy else 'the proxy settings'}"
    if code == 407 or "password" in str(error):
        step = f"{step}: the proxy wants a user name and a password"
    return Explanation("the proxy refused to connect to it", step, is_retryable(code))


def _explain_unknown_name(_: BaseException, peer: _Peer) -> Explanation:
    return Explanation(
        f"the name {peer.host!r} could not be resolved, as the host does not exist",
        f"check {peer.setting}, and DNS if the name is right",
        retryable=False,
    )


def _explain_dns_failure(_: BaseException, peer: _Peer) -> Explanation:
    return Explanation(
        f"the name {peer.host!r} could not be resolved, as DNS did not answer",
        f"check the network and its DNS server, and {peer.setting}",
        retryable=True,
    )


def _explain_plain_http(_: BaseException, peer: _Peer) -> Explanation:
    if peer.proxy and peer.proxy.address.startswith("https:"):
        return Explanation(
            "the proxy speaks http, not TLS, at this port",
            f"write http:// in {peer.setting}, for https addresses too",
            retryable=False,
        )
    return Explanation(
        "the server speaks http, not TLS, at this port",
        "write http:// in base_url, or the port for https",
        retryable=False,
    )


def _make_fixed(problem: str, step: str, *, retryable: bool) -> _Maker:
    return lambda _, peer: Explanation(
        problem.format(peer=peer.name), step.format(setting=peer.setting), retryable
    )


def _make_broken(problem: str) -> _Maker:
    def make(_: BaseException, peer: _Peer) -> Explanation:
        plain = peer.where.startswith("http:") and peer.proxy is None
        step = "try again later, and check whether the port wants https" if plain else "try again later"
        return Explanation(problem, step, retryable=True)

    return make


_TRUST = (
    "pass verify= a file of CA certificates or an ssl.SSLContext, set SSL_CERT_FILE, or inject an http_client"
)

# The first row that matches the error, or one that it was raised from.
_TABLE: list[tuple[_Matcher, _Maker]] = [
    (_is_called("ProxyError"), _explain_proxy),
    (
        _is_called("SOCKSError"),
        _make_fixed(
            "the proxy does not speak SOCKS5", "check the scheme and the port in {setting}", retryable=False
        ),
    ),
    # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
    (
        _is_refused_certificate(62, 64),
        _make_fixed("the certificate belongs to another host", "check the host in base_url", retryable=False),
    ),
    # X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED
    (
        _is_refused_certificate(9, 10),
        _make_fixed(
            "the certificate is not valid now",
            "check the clock of this machine, or have the certificate renewed",
            retryable=False,
        ),
    ),
    (
        _is_refused_certificate(),
        _make_fixed("the certificate cannot be trusted", _TRUST, retryable=False),
    ),
    (_is_tls_of_http, _explain_plain_http),
    (
        _is_handshake_cut,
        _make_fixed(
            "the connection was closed during the TLS handshake",
            "check whether the port is one for https",
            retryable=True,
        ),
    ),
    (
        _is(ssl.SSLError),
        _make_fixed(
            "TLS failed",
            "check which TLS versions the server takes, and whether it wants a client certificate "
            "(verify= takes an ssl.SSLContext that has one)",
            retryable=False,
        ),
    ),
    (
        lambda error: isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN,
        _explain_dns_failure,
    ),
    (_is(socket.gaierror), _explain_unknown_name),
    (
        _is(ConnectionRefusedError),
        _make_fixed(
            "{peer} refused the connection",
            "check {setting}, and that something listens on this port",
            retryable=True,
        ),
    ),
    (
        _has_errno(EHOSTUNREACH, ENETDOWN, ENETUNREACH),
        _make_fixed("the network has no route to {peer}", "check the network and {setting}", retryable=True),
    ),
    (
        _is_http_of_tls,
        _make_fixed(
            "the answer is not HTTP but binary, like that of a port for TLS",
            "write https:// in base_url",
            retryable=False,
        ),
    ),
    (_is_disconnected, _make_broken("the connection was closed without an answer")),
    (_is_called("RemoteProtocolError"), _make_broken("the answer is not HTTP")),
    (_is(ConnectionError), _make_broken("the connection was reset")),
    (_is_broken, _make_broken("the connection was lost")),
]


def is_tls(error: BaseException) -> bool:
    """Return True if TLS failed, or if one side spoke TLS and the other did not."""
    return any(
        isinstance(cause, ssl.SSLError) or _is_handshake_cut(cause) or _is_http_of_tls(cause)
        for cause in _causes(error)
    )
