"""Send probes to a server under test and record the exchanges.

Every exchange takes bounded time and space, also if the server hangs, sends slowly or without end, resets the connection, or
sends garbage. No exchange contains the key.
"""

import asyncio
import base64
import html
import inspect
import json
import math
import re
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import anyio.to_thread
import httpx

from rerank_conformance import wire
from rerank_conformance.exchanges import (
    KEY,
    RAW_FORMS,
    WRONG_KEY,
    Exchange,
    Form,
    NoResponse,
    Probe,
    ReceivedResponse,
    transient_status,
)
from rerank_conformance.pace import RequestGate, RequestPace, Turn
from rerank_conformance.reference import Reference
from rerank_conformance.wire import OneConnection

_HEADERS = {"User-Agent": "rerank-conformance", "Accept": "application/json", "Accept-Encoding": "identity"}
_LARGEST = 1024 * 1024  # bytes of an answer, in addition to the echo of the request
_PER_BYTE_SENT = 16
_LARGEST_IN_ALL = 256 * 1024 * 1024  # bytes of all parsed answers, after which nothing more is sent
_PER_VALUE = 64  # bytes that a parsed JSON value takes at least
_RETRIES = 3
_REPEATS = 2  # of a request that was answered with 500; a 500 that comes each time is a fault of the server
_LATER = frozenset({408, 429, 503, 529})  # overload: every request waits; after other statuses, only this one
INTERRUPTED = "was not sent: the check was interrupted"
"""The reason why nothing is known of a request after Ctrl-C."""
_PAUSING: tuple[Form, ...] = ("after-pause",)
_PAUSE = 0.05  # seconds before the first repeat of a request; doubled for each further one
_PAUSES = (_PAUSE, 0.1, 0.25, 0.5, 1.0, 2.0)  # seconds before repeats after refusals without Retry-After
_GIVEN_UP = 3  # refused requests given up in a row; then nothing is repeated until a request is answered
_HANGS = 3  # timeouts in a row of requests that were alone in flight, after which nothing more is sent
_HANGS_IN_ALL = 8  # such timeouts in all, after which nothing more is sent
_SHORTEST_SECRET = 8
_CLOSING = 2  # seconds that connections get to close

Target = Any
"""The base URL of `/rerank`, an ASGI app, an httpx transport, or a `Reference`."""


def is_live(target: Target) -> bool:
    """Return True for a URL of another machine, where calls may cost money."""
    host = urlsplit(target).hostname or "" if isinstance(target, str) else "localhost"
    return not (host in {"localhost", "::1"} or host.startswith("127."))


def refusal(url: str) -> str | None:
    """Return the reason why a URL cannot be a target, or None; it does not quote the URL, which may contain a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or host
        parts, usable = urlsplit(""), False
    if not usable:
        missing = "" if "://" in url else "; write http:// before it"
        return f"expected a URL that begins with http:// or https:// and names a host{missing}"
    if parts.username is not None or parts.password is not None:
        return "it has a user name or password, which every report would show; remove them, and pass the key in the environment"
    if parts.query or parts.fragment:
        return "it has a query or a fragment; pass the URL that /rerank is appended to"
    return None


def base_path_problem(path: str) -> str | None:
    """Return the reason why a text cannot be the base path of an app; None if it can."""
    if path and not path.startswith("/"):
        return f"{path[:80]!r} does not begin with /"
    if "?" in path or "#" in path:
        return f"{path[:80]!r} has a query or a fragment; pass the path that /rerank is appended to"
    return None


def name_of(target: Target) -> str:
    """Return the name of the target in a report: its URL, or its type."""
    if isinstance(target, str):
        return target
    return f"in process: {getattr(target, '__name__', type(target).__name__)}"


@dataclass(kw_only=True)
class Budget:
    """The budget of a check."""

    max_requests: int | None = None
    """The maximum number of requests, repeats included."""
    max_probes: int | None = None
    """The maximum number of requests, without repeats after transient errors."""
    timeout: float = 10.0
    """Seconds for one answer, from the first byte sent to the last byte read."""
    patience: float = 15.0
    """The total seconds to wait when the server asks to retry later."""
    rate: float | None = None
    """The maximum number of requests per second; None for no limit."""
    concurrency: int = 16
    """The maximum number of requests in flight."""
    interrupted: threading.Event = field(default_factory=threading.Event)
    """An event that stops the sending of requests."""


@dataclass
class _Attempts:
    """The attempts of one request."""

    sent: int = 0
    last: ReceivedResponse | NoResponse | None = None
    alone: bool = False
    """True if the next attempt is sent while no other request is in flight."""
    closed: bool = False
    """True if a connection was closed, so that the next attempt uses a new one."""
    failed: int = 0
    """The number of repeats after a 500."""
    recovers: bool = False
    """True if the last answer was 500; another answer now shows that it was transient."""
    late: int = 0
    """The number of repeats after other transient errors."""
    passing: list[int] = field(default_factory=list[int])


@dataclass
class Session:
    """Connections to one server, and the counters of a check; an async context manager."""

    target: Target
    key: str | None = field(repr=False)
    budget: Budget
    base_path: str = ""
    """The path before `/rerank` in an app or a transport."""
    requests: int = 0
    probes: int = 0
    repeats: int = 0
    """The number of requests repeated because of a 429 or 503, a closed connection or a timeout."""
    base: str = ""

    def __post_init__(self) -> None:
        url = self.target if isinstance(self.target, str) else f"http://localhost{self.base_path}"
        self.base = url.rstrip("/")
        self._stack = AsyncExitStack()
        self._pace = RequestPace(self.budget.concurrency)
        self._gate = RequestGate(self._pace)
        self._next = 0.0
        self._waited = 0.0
        self._hangs = 0
        self._hangs_in_all = 0
        self._given_up = 0
        self._read = 0
        self._secrets = _spellings(self.key or "")

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(_client(self.target, self.budget))
        self._fresh_client = self._client
        self._raw: dict[Form, httpx.AsyncClient] = {}
        if isinstance(self.target, str):
            for form in (*RAW_FORMS, *_PAUSING):
                client = httpx.AsyncClient(transport=OneConnection(form), timeout=self.budget.timeout)
                self._raw[form] = await self._stack.enter_async_context(client)
            self._fresh_client = await self._stack.enter_async_context(
                _client(self.target, self.budget, kept=0)
            )
        return self

    async def __aexit__(self, *raised: object) -> None:
        try:
            async with asyncio.timeout(_CLOSING):
                await self._stack.aclose()
        except Exception:  # noqa: BLE001, S110 - errors at closing are not judged
            pass

    async def send(self, probe: Probe, *, is_repeat: bool = False) -> Exchange:
        """Send the probe and return the exchange; errors of the server are not raised.

        Args:
            probe: The request.
            is_repeat: True if the request was sent before, so that it does not count as another probe.
        """
        if probe.form in RAW_FORMS and probe.form not in self._raw:
            return Exchange(
                probe, NoResponse("unsent", "was not sent: a server in process has no connections")
            )
        if probe.form in _PAUSING and probe.form not in self._raw:
            await asyncio.sleep(wire.PAUSE)  # a server in process has no idle connections
        began = time.monotonic()
        attempts = _Attempts()
        while True:
            async with self._gate.turn(alone=attempts.alone) as turn:
                unsent = self._take(first=attempts.sent == 0 and not is_repeat)
                if unsent is None:
                    await self._due()
                    # the server may have closed every idle connection
                    usual = self._fresh_client if attempts.closed or probe.form == "new" else self._client
                    outcome = await self._once(probe, self._raw.get(probe.form, usual))
                elif attempts.last is not None:
                    outcome = attempts.last
                else:
                    return Exchange(probe, unsent, attempts=0)
            if unsent is None:
                attempts.sent += 1
                attempts.last = outcome
                if await self._is_repeated(probe, outcome, turn, attempts):
                    continue
                if isinstance(outcome, NoResponse) and outcome.kind == "closed":
                    outcome = NoResponse("broken", outcome.message)
            elapsed = time.monotonic() - began
            return Exchange(probe, outcome, elapsed, attempts.sent, tuple(attempts.passing))

    async def _is_repeated(
        self, probe: Probe, outcome: ReceivedResponse | NoResponse, turn: Turn, attempts: "_Attempts"
    ) -> bool:
        """Return True if the request is sent again; wait before returning."""
        if isinstance(outcome, NoResponse):
            return self._is_repeated_after_fault(outcome, turn, attempts)
        self._hangs = 0
        if outcome.status == 500 and attempts.failed < _REPEATS:
            await asyncio.sleep(_PAUSE * 2**attempts.failed)
            attempts.failed += 1
            attempts.recovers = True
            return True
        status = transient_status(probe, outcome)
        if attempts.recovers and outcome.status != 500:
            attempts.passing.append(500)
            attempts.recovers = False
        if status is None:
            self._pace.answer()
            self._given_up = 0
            return False
        if status in _LATER and turn.crowded:
            # a server may accept fewer concurrent requests, which is not an error
            self._refuse(turn, attempts)
            self._postpone(_seconds(outcome.headers.get("retry-after")) or 0.0)
            return True
        attempts.passing.append(status)
        refused = status in _LATER
        if not await self._wait(outcome, attempts.late, refused=refused):
            self._given_up += refused
            return False
        attempts.late += 1
        attempts.alone = attempts.alone or refused
        self.repeats += refused
        return True

    def _is_repeated_after_fault(self, fault: NoResponse, turn: Turn, attempts: "_Attempts") -> bool:
        """Return True if the request is sent again: first on a new connection, then alone."""
        if fault.kind == "closed" and not attempts.closed:
            attempts.closed = True
            return True
        if fault.kind in {"closed", "timeout", "unreachable"} and turn.crowded:
            self._refuse(turn, attempts)
            return True
        hung = fault.kind == "timeout"
        self._hangs = self._hangs + 1 if hung else 0
        self._hangs_in_all += hung
        return False

    def _refuse(self, turn: Turn, attempts: "_Attempts") -> None:
        """Lower the concurrency, and repeat the request while no other one is in flight."""
        self._pace.refuse(turn.halvings)
        self.repeats += 1
        attempts.alone = True

    def _take(self, *, first: bool) -> NoResponse | None:
        if self.budget.interrupted.is_set():
            return NoResponse("unsent", INTERRUPTED)
        if self._hangs >= _HANGS or self._hangs_in_all >= _HANGS_IN_ALL:
            return NoResponse(
                "unsent", f"was not sent: {self._hangs_in_all} requests before it had no answer in time"
            )
        most, spent = self.budget.max_requests, self.requests
        if first and self.budget.max_probes is not None and self.probes >= self.budget.max_probes:
            most, spent = self.budget.max_probes, self.probes
        if most is not None and spent >= most:
            return NoResponse("unsent", f"was not sent: the budget of {most} requests was used up")
        if self._read > _LARGEST_IN_ALL:
            return NoResponse(
                "unsent",
                "was not sent: the answers before it are too large to keep",
            )
        self.requests += 1
        self.probes += first
        return None

    async def _due(self) -> None:
        """Wait until the rate allows the next request."""
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + (1 / self.budget.rate if self.budget.rate else 0)
        await asyncio.sleep(max(0.0, at - now))

    async def _wait(self, answer: ReceivedResponse, repeats: int, *, refused: bool) -> bool:
        """Wait before a repeat, together with every other request if the server is overloaded; False to give up."""
        most = len(_PAUSES) if refused else _RETRIES
        if repeats >= most or (refused and self._given_up >= _GIVEN_UP):
            return False
        hint = _seconds(answer.headers.get("retry-after"))
        if hint is None and not refused:
            await asyncio.sleep(_PAUSE * 2**repeats)
            return True
        if hint is not None and hint > self.budget.patience:
            return False
        if not self._postpone(_PAUSES[repeats] if hint is None else hint):
            # the time for waiting is used up, but the server refuses only now and then
            await asyncio.sleep(_PAUSE)
        return True

    def _postpone(self, wait: float) -> bool:
        """Send nothing for some seconds; False if that exceeds the total time for waiting."""
        if self._waited + wait > self.budget.patience:
            return False
        until = time.monotonic() + wait
        if until > self._next:
            self._waited += max(0.0, until - max(self._next, time.monotonic()))
            self._next = until
        return True

    async def _once(self, probe: Probe, client: httpx.AsyncClient) -> ReceivedResponse | NoResponse:  # noqa: PLR0911 - one for each kind of failure
        try:
            request = self._request(probe, client)
        except Exception as error:  # noqa: BLE001 - nothing was sent, so this is not an error of the server
            return self._own_fault(error)
        limit = _LARGEST + _PER_BYTE_SENT * len(probe.content)
        began = False
        pause = wire.PAUSE if probe.form in _PAUSING else 0
        try:
            async with asyncio.timeout(self.budget.timeout + pause):
                response = await client.send(request, stream=True)
                began = True
                try:
                    body = await _read(response, limit)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            return NoResponse("timeout", f"had no whole answer within {self.budget.timeout:g} s")
        except _CLOSED as error:
            said = self._hide(str(error)) or type(error).__name__
            if isinstance(error, httpx.RemoteProtocolError) and not any(words in said for words in _ENDED):
                return NoResponse("broken", f"was answered with what is not HTTP: {said}"[:300])
            # a server may close an idle connection just as it is reused, but not within an answer
            return NoResponse("broken" if began else "closed", f"was cut off: {said}"[:300])
        except (httpx.ConnectError, OSError) as error:
            return NoResponse("unreachable", f"could not be sent: {self._hide(str(error))}")
        except _TooMuch as error:
            return NoResponse("broken", str(error))
        except Exception as error:  # noqa: BLE001 - an error of a server must not end the check
            return self._failed(error)
        self._read += len(body) + _PER_VALUE * body.count(b",")
        seen = {name.lower(): self._hide(value) for name, value in response.headers.items()}
        return ReceivedResponse(response.status_code, seen, self._hidden(body))

    def _request(self, probe: Probe, client: httpx.AsyncClient) -> httpx.Request:
        headers = {
            **_HEADERS,
            "Content-Type": "application/json",
            **probe.headers,
            **self._authorization(probe),
        }
        url = f"{self.base}{probe.path}"
        content = _chunks(probe.content) if probe.form == "chunked" else probe.content or None
        request = client.build_request(probe.method, url, content=content, headers=_sent(headers))
        for name in [name for name, value in headers.items() if not value]:
            request.headers.pop(name, None)
        return request

    def _failed(self, error: Exception) -> NoResponse:
        """Return the fault for any other error of httpx, an app or a transport."""
        said = f"{type(error).__name__}: {self._hide(str(error))}"
        if not isinstance(error, (httpx.HTTPError, httpx.InvalidURL, zlib.error)):
            # an app or a transport in this process may raise anything
            if isinstance(self.target, str):
                return self._own_fault(error)
            return NoResponse("broken", f"was answered by an exception: {said}"[:300])
        if isinstance(error, httpx.LocalProtocolError) and _UNSENDABLE in str(error):
            return self._own_fault(error)
        return NoResponse("broken", f"was answered with what is not HTTP: {said}"[:300])

    def _own_fault(self, error: Exception) -> NoResponse:
        said = f"{type(error).__name__}: {self._hide(str(error))}"
        return NoResponse("internal", f"could not be sent by the check: {said}"[:300])

    def _authorization(self, probe: Probe) -> dict[str, str]:
        key = self.key
        if probe.auth == "none" or not key:
            return {}
        forms = {
            "key": f"Bearer {key}",
            "lower-case": f"bearer {key}",
            "basic": f"Basic {key}",
            "bare": key,
            "empty": "Bearer",
            "wrong": f"Bearer {WRONG_KEY}",
            "longer": f"Bearer {key}x",
            "shorter": f"Bearer {key[:-1]}",
            "other-end": f"Bearer {key[:-1]}{'-' if key.endswith('~') else '~'}",
            # a key without letters has no other case
            "other-case": f"Bearer {key.swapcase() if key.swapcase() != key else key + 'x'}",
        }
        return {"Authorization": forms[probe.auth]}

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, KEY)
        return text

    def _hidden(self, body: bytes) -> bytes:
        for text in (body, _ESCAPED.sub(_unescaped, body)) if b"\\" in body else (body,):
            hidden = text
            for secret in self._secrets:
                hidden = hidden.replace(secret.encode(), KEY.encode())
            if hidden != text:
                body = hidden
        return body


def _sent(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items() if value]


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    """Yield the content in chunks of odd sizes, the first of one byte."""
    yield content[:1]
    for start in range(1, len(content), 7919):
        yield content[start : start + 7919]


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 16)]) if found[1] else b"/"


_CLOSED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)
_UNSENDABLE = "Illegal header"  # h11's words for a head that it refuses to send
_ENDED = ("without sending", "peer closed")  # h11's and httpcore's words for a connection that ended
_ESCAPED = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|/)")


def _spellings(key: str) -> list[str]:
    """Return the forms in which a server may show the key: whole, altered as in the probes, and encoded."""
    # a short key such as "x" is not a secret, and would be replaced in every answer
    if len(key) < _SHORTEST_SECRET:
        return []
    plain = [key, key.swapcase(), key[:-1], key.swapcase()[:-1]]
    quoted = [json.dumps(one)[1:-1] for one in plain]
    written = [
        form
        for one in (*plain, *quoted)
        for form in (one, json.dumps(one)[1:-1], html.escape(one), quote(one), quote(one, ""))
    ]
    # without the last characters of base64, which depend on what follows
    packed = [base64.b64encode(one.encode()).decode()[:-4] for one in (key, f"Bearer {key}", f"Basic {key}")]
    return sorted({*written, *packed}, key=len, reverse=True)


class _TooMuch(Exception):
    pass


async def _read(response: httpx.Response, limit: int) -> bytes:
    """Return the decompressed body; raise if it exceeds the limit at any step."""
    packing = response.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if response.is_stream_consumed:  # httpx has decompressed what a transport in this process returned
        packing = "identity"
    unpacker = None
    if packing in {"gzip", "x-gzip", "deflate"}:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    body = bytearray()
    is_empty = True  # as the response to HEAD is, whose headers are those of GET
    async for chunk in _raw(response):
        is_empty = is_empty and not chunk
        if chunk and not unpacker and packing != "identity":
            msg = f"was answered with Content-Encoding {packing[:40]!r}, though only identity was accepted"
            raise _TooMuch(msg)
        body += unpacker.decompress(chunk, limit + 1 - len(body)) if unpacker else chunk
        if len(body) > limit:
            msg = f"was answered with more than {limit} bytes, and not read to the end"
            raise _TooMuch(msg)
    if unpacker and not unpacker.eof and not is_empty:
        msg = f"was answered with {packing} that ends in the middle"
        raise _TooMuch(msg)
    return bytes(body)


async def _raw(response: httpx.Response) -> AsyncIterator[bytes]:
    if response.is_stream_consumed or not isinstance(response.stream, httpx.AsyncByteStream):
        yield response.content
        return
    async for chunk in response.aiter_raw():
        yield chunk


def _seconds(retry_after: str | None) -> float | None:
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _client(target: Target, budget: Budget, kept: int | None = None) -> httpx.AsyncClient:
    kept = budget.concurrency if kept is None else kept
    limits = httpx.Limits(max_connections=budget.concurrency, max_keepalive_connections=kept)
    if isinstance(target, str):
        # the proxies of the environment are not meant for this machine
        return httpx.AsyncClient(timeout=budget.timeout, limits=limits, trust_env=is_live(target))
    return httpx.AsyncClient(transport=_transport(target), timeout=budget.timeout)


def _transport(target: Target) -> httpx.AsyncBaseTransport:
    if isinstance(target, Reference):
        from rerank_conformance.reference.inprocess import ReferenceTransport  # noqa: PLC0415 - needs no more than httpx

        return ReferenceTransport(target)
    if isinstance(target, httpx.AsyncBaseTransport):
        return target
    if isinstance(target, httpx.BaseTransport):
        return _InThread(target)
    if callable(target) and not inspect.isclass(target):
        return httpx.ASGITransport(app=cast("Callable[..., Any]", target), raise_app_exceptions=False)
    msg = (
        f"target: expected a URL, an ASGI app, an httpx transport or a Reference, not {type(target).__name__}"
    )
    raise TypeError(msg)


class _InThread(httpx.AsyncBaseTransport):
    """An async transport that runs a sync one in a thread."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        # a thread that hangs is abandoned at the timeout
        return await anyio.to_thread.run_sync(self._answer, request, abandon_on_cancel=True)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        plain = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
        response = self._transport.handle_request(plain)
        body = b"".join(cast("Any", response.stream))
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))
