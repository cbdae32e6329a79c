"""Send the requests of an examination with httpx."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from contextlib import closing
from time import monotonic, sleep
from typing import Any, cast

import httpx
import msgspec

from openrouter_rerank.certificates import Verify, check_verify, ssl_context
from openrouter_rerank.decoding import prepare
from openrouter_rerank.dialects import codec
from openrouter_rerank.doctor import addresses
from openrouter_rerank.doctor.examination import MAX_REQUESTS, Subject, examine, with_elapsed
from openrouter_rerank.doctor.probes import Ask, NoReply, Pause, Reply
from openrouter_rerank.doctor.report import Diagnosis
from openrouter_rerank.failures import class_names, explain, is_tls
from openrouter_rerank.proxies import Proxy, environment_proxy
from openrouter_rerank.redaction import (
    Key,
    Masked,
    Redactor,
    hides_frames,
    mask,
    secrets_in_environment,
    secrets_in_headers,
    secrets_in_url,
)
from openrouter_rerank.request import seconds, whole_number
from openrouter_rerank.version import VERSION

_LARGEST = 4 * 2**20
"""The maximum bytes to read of a body; 300 echoed documents are far smaller."""
_HEADERS = {
    "User-Agent": f"openrouter-rerank/{VERSION}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
}
_QUICK = 2.0
"""The timeout of a request without a ranking."""


def examine_url(  # noqa: PLR0913 - the arguments of `diagnose`
    url: str,
    *,
    key: Key | None,
    key_variable: str,
    model: str | None,
    dialect: str | None,
    max_requests: int = MAX_REQUESTS,
    timeout: float,
    verify: Verify,
) -> Diagnosis:
    """Examine a server over the network.

    Raises:
        TypeError, ValueError: An argument is invalid; nothing was sent.
    """
    given: Masked[str] = Masked(addresses.complete(mask(url)))
    if dialect is not None:
        codec(dialect)
    whole_number("max_requests", max_requests)
    seconds("timeout", timeout)
    header = Masked({} if key is None else key.header())
    redactor = Redactor(
        [
            *secrets_in_headers(header.reveal().items()),
            *secrets_in_url(given.reveal()),
            *secrets_in_environment(),
        ]
    )
    subject = Subject(
        given.reveal(),
        given.reveal().partition("?")[0],
        bool(header.reveal()),
        key_variable,
        model,
        dialect,
        max_requests,
    )
    proxy = environment_proxy(mask(given.reveal()))
    context = ssl_context(check_verify(verify))
    began = monotonic()
    with _transport(context, proxy) as transport:
        sender = _Sender(transport, header, redactor, timeout, proxy)
        diagnosis = _run(subject, sender)
    return _redacted(with_elapsed(diagnosis, monotonic() - began), redactor)


def _transport(context: ssl.SSLContext, proxy: Proxy | None) -> httpx.HTTPTransport:
    """Return a transport; httpx clients log URLs, whose query may contain a secret."""
    through = None if proxy is None else httpx.Proxy(proxy.address, auth=_credentials(proxy))
    return httpx.HTTPTransport(verify=context, proxy=through, trust_env=False)


def _credentials(proxy: Proxy) -> tuple[str, str] | None:
    return None if proxy.auth is None else (proxy.auth[0].decode(), proxy.auth[1].decode())


def _run(subject: Subject, sender: _Sender) -> Diagnosis:
    examination = examine(subject)
    outcome: Reply | NoReply | None = None
    while True:
        try:
            step = examination.send(outcome)
        except StopIteration as end:
            return cast(Diagnosis, end.value)
        if isinstance(step, Pause):
            sleep(step.seconds)
            outcome = None
        else:
            outcome = sender.send(step)


class _Sender:
    """Sends requests one at a time, and redacts the responses."""

    def __init__(
        self,
        transport: httpx.HTTPTransport,
        header: Masked[dict[str, str]],
        redactor: Redactor,
        timeout: float,
        proxy: Proxy | None,
    ) -> None:
        self._transport = transport
        self._header = header
        self._redactor = redactor
        self._timeout = timeout
        self._proxy = proxy

    def send(self, ask: Ask) -> Reply | NoReply:
        """Send a request and return its outcome."""
        began = monotonic()
        timeout = min(self._timeout, _QUICK) if ask.is_quick else self._timeout
        try:
            return self._exchange(ask, began, timeout)
        except httpx.TimeoutException as error:
            # A server without TLS reads the handshake as an incomplete request, and waits for the rest.
            return _late(began, timeout)._replace(is_cut=isinstance(error, httpx.ConnectTimeout))
        except httpx.HTTPError as error:
            return self._failure(error, ask, monotonic() - began)

    def _exchange(self, ask: Ask, began: float, timeout: float) -> Reply | NoReply:
        headers = {**_HEADERS, **(self._header.reveal() if ask.with_key else {})}
        content = None
        if ask.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(ask.body).encode()
        pieces: list[bytes] = []
        size = 0
        limits = {"timeout": httpx.Timeout(timeout).as_dict()}
        request = httpx.Request(ask.method, ask.url, headers=headers, content=content, extensions=limits)
        with closing(self._transport.handle_request(request)) as response:
            # A timeout of httpx limits single reads, so a slow server could send for a long time.
            for piece in response.iter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size > _LARGEST:
                    break
                if monotonic() - began > timeout:
                    return _late(began, timeout)
        found: Mapping[str, str] = self._redactor.headers(
            {name.lower(): value for name, value in response.headers.items()}
        )
        return Reply(response.status_code, found, self._redactor.data(b"".join(pieces)), monotonic() - began)

    def _failure(self, error: httpx.HTTPError, ask: Ask, elapsed: float) -> NoReply:
        error = self._redactor.exception(error)
        where = ask.url.partition("?")[0]
        explanation = explain(error, where, self._proxy)
        names = class_names(error)
        code = "unreachable"
        if "ProxyError" in names:
            code = "proxy_error"
        elif is_tls(error):
            code = "tls"
        is_cut = not names.isdisjoint({"ReadError", "WriteError", "RemoteProtocolError"})
        return NoReply(code, explanation.problem, explanation.step, elapsed, is_cut)


def _late(began: float, timeout: float) -> NoReply:
    return NoReply(
        "timeout",
        f"no complete response within {timeout:g} s",
        "check that the server is up and not overloaded; a first call may load the model",
        monotonic() - began,
    )


prepare([Diagnosis])


def _redacted(diagnosis: Diagnosis, redactor: Redactor) -> Diagnosis:
    built: Any = msgspec.to_builtins(diagnosis)
    return msgspec.convert(redactor.value(built), Diagnosis)


@hides_frames
def given_key(api_key: str | None) -> Key | None:
    """Return the key; None if there is no key.

    Raises:
        TypeError, ValueError: It cannot be sent. The message does not contain it.
    """
    key = Key(api_key)
    key.check()
    return key
