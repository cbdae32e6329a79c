"""Real traffic recorded into a file, the key scrubbed, and answered from it again without a network.

A cassette is one JSON file for people to read and to keep beside a test. Of a request it has method, path and body; of an
answer status, body and the headers of a short list. Requests that got no whole answer are not in it.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, cast

import httpx
import msgspec

from openrouter_rerank import forks
from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.protocols import AsyncHttpClient, HttpClient
from openrouter_rerank.redaction import Redactor, secrets_in_headers
from openrouter_rerank.testing.inprocess import InProcess
from openrouter_rerank.testing.scripts import Request, Script, head

VERSION = 1

# Of an answer's headers these are kept: what a call reads, and nothing that could name an account.
_KEPT = frozenset(
    [
        "cf-ray",
        "content-type",
        "request-id",
        "retry-after",
        "x-generation-id",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-request-id",
    ]
)
# No more than this is unpacked; a larger body is kept as it came.
_LARGEST = 2**28


class Exchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request, and the answer to it."""

    method: str
    path: str
    """Without the host and without a query, which may hold a secret."""
    asked: Any
    """The body of the request, read."""
    status: int
    headers: dict[str, str] = {}
    json: Any = msgspec.UNSET
    """The body of the answer where it is JSON that can be written down as such."""
    text: str | None = None
    """The body of the answer where it is another text."""
    base64: str | None = None
    """The body of the answer where it is none."""

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        if self.json is not msgspec.UNSET:
            return json.dumps(self.json, ensure_ascii=False).encode()
        return base64.b64decode(self.base64) if self.base64 is not None else (self.text or "").encode()


class UnmatchedRequest(AssertionError):
    """A request that was not recorded. No error of ours, so that nothing takes it for a failed call."""


class Cassette(ABC):
    """Recorded exchanges, and rerankers to make them with: what a recording and a replay have in common.

    Attributes:
        path: The file.
        exchanges: What is recorded, first to last.
    """

    def __init__(self, path: Path, exchanges: Iterable[Exchange]) -> None:
        self.path = path
        self.exchanges = list(exchanges)
        self._lock = Lock()
        forks.register(self)

    def _after_fork(self) -> None:
        self._lock = Lock()

    @property
    @abstractmethod
    def http_client(self) -> HttpClient:
        """What to give to a `Reranker` as `http_client`."""

    @property
    @abstractmethod
    def async_http_client(self) -> AsyncHttpClient:
        """What to give to an `AsyncReranker` as `http_client`."""

    @abstractmethod
    def reranker(self, api_key: str | None = None, **settings: Any) -> Reranker:
        """A reranker whose traffic is this; with the arguments of `Reranker`. A replay needs no key."""

    @abstractmethod
    def async_reranker(self, api_key: str | None = None, **settings: Any) -> AsyncReranker:
        """The same for asyncio and trio."""


@contextmanager
def recording(
    path: str | os.PathLike[str],
    *,
    http_client: HttpClient | None = None,
    async_http_client: AsyncHttpClient | None = None,
) -> Generator[Recording]:
    """Record what goes through the rerankers of the block; the file is written, or written anew, when the block ends well.

    Args:
        path: The file; its directory is made where it is missing.
        http_client: The `httpx.Client` to send with, for proxies and certificates; it stays yours to close.
        async_http_client: The `httpx.AsyncClient` likewise.

    Raises:
        ValueError: A secret would be in the file all the same; nothing was written.

    Example:
        >>> from openrouter_rerank.testing import honest, replaying, serving
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as home, serving(lambda request: iter([honest(request)])) as server:
        ...     with recording(f"{home}/berlin.json") as cassette:  # real traffic, here to a server on loopback
        ...         reranker = cassette.reranker("sk-or-v1-secret", base_url=server.url)
        ...         recorded = reranker.rerank("capital of Germany", ["Paris", "Berlin"])
        ...     with replaying(f"{home}/berlin.json") as cassette:  # no network, no key
        ...         replayed = cassette.reranker().rerank("capital of Germany", ["Paris", "Berlin"])
        >>> replayed.documents == recorded.documents == ["Berlin", "Paris"]
        True
    """
    cassette = Recording(Path(path), http_client, async_http_client)
    yield cassette
    cassette.save()


@contextmanager
def replaying(path: str | os.PathLike[str]) -> Generator[Replaying]:
    """Answer the rerankers of the block from a recording: no network, no key.

    A request is answered by the first exchange that has its method, path and body (equal as JSON) and was not used yet.

    Args:
        path: The file that `recording` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no cassette.
        UnmatchedRequest: From a call, for a request that was not recorded; and from the end of the block once more, should
            the code under test have swallowed it.
    """
    cassette = Replaying(Path(path))
    yield cassette
    if cassette.unmatched:
        raise cassette.unmatched[0]


# ------------------------------------------------------------------------------------------------------------ recording


class Recording(Cassette):
    """A cassette that records; see `recording`."""

    def __init__(
        self, path: Path, http_client: HttpClient | None, async_http_client: AsyncHttpClient | None
    ) -> None:
        super().__init__(path, ())
        # Connections that are not kept need not be closed.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = _Recorder(http_client or httpx.Client(limits=limits), self._note)
        self._async_client = _AsyncRecorder(async_http_client or httpx.AsyncClient(limits=limits), self._note)
        self._secrets = _Secrets()

    @property
    def http_client(self) -> HttpClient:
        """An http client that sends, and records."""
        return self._client

    @property
    def async_http_client(self) -> AsyncHttpClient:
        """An async http client that sends, and records."""
        return self._async_client

    def reranker(self, api_key: str | None = None, **settings: Any) -> Reranker:
        """A reranker whose calls are recorded."""
        return Reranker(api_key, http_client=self.http_client, **settings)

    def async_reranker(self, api_key: str | None = None, **settings: Any) -> AsyncReranker:
        """A reranker whose calls are recorded."""
        return AsyncReranker(api_key, http_client=self.async_http_client, **settings)

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            ValueError: A secret would be in it all the same.
        """
        content = {"version": VERSION, "exchanges": [_to_file(exchange) for exchange in self.exchanges]}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if self._secrets.text(text) != text:
            message = (
                f"the key, or another secret that was sent, would be in {self.path}; nothing was written"
            )
            raise ValueError(message)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.path)

    def _note(self, request: Any, status: int, headers: Mapping[str, str], body: bytes) -> None:
        with self._lock:
            self._secrets.learn(request.headers)
            secrets = self._secrets
            kept = {name.lower(): value for name, value in headers.items() if name.lower() in _KEPT}
            content, unpacked = _unpacked(headers.get("content-encoding", ""), body)
            if not unpacked:
                kept["content-encoding"] = headers["content-encoding"]
            self.exchanges.append(
                Exchange(
                    method=request.method,
                    path=secrets.text(request.url.path),
                    asked=secrets.value(_json(request.content)),
                    status=status,
                    headers=secrets.value(kept),
                    **_written(content, secrets),
                )
            )


def _unpacked(encoding: str, body: bytes) -> tuple[bytes, bool]:
    """The body as it was before it was compressed, and true; or as it came, and false."""
    if encoding.strip().lower() in ("", "identity"):
        return body, True
    unpacker = zlib.decompressobj(wbits=47)  # gzip or zlib, whichever it is
    try:
        content = unpacker.decompress(body, _LARGEST)
    except zlib.error:
        return body, False
    return (content, True) if unpacker.eof else (body, False)


def _written(content: bytes, secrets: _Secrets) -> dict[str, Any]:
    """The body of an answer as it is written down, without the secrets."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(secrets.data(content)).decode()}
    try:
        value = json.loads(text, object_pairs_hook=_unique)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return {"text": secrets.text(text)}
    return {"json": secrets.value(value)}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


class _Secrets:
    """What must not be written down: what was sent to prove who sends, in any of the forms that a server may echo."""

    def __init__(self) -> None:
        self._redactor = Redactor()
        self._known: set[str] = set()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take in the secrets of a request."""
        found = set(secrets_in_headers(headers.items()))
        if not found <= self._known:
            self._known |= found
            self._redactor = Redactor(self._known)

    def text(self, text: str) -> str:
        """The text without them."""
        return self._redactor.text(text)

    def data(self, data: bytes) -> bytes:
        """The data without them."""
        return self._redactor.data(data)

    def value(self, value: Any) -> Any:
        """The JSON value without them."""
        return self._redactor.value(value)


_Note: TypeAlias = Callable[[int, Mapping[str, str], bytes], None]


class _Recorder:
    """An http client that tells of each answer that was read to its end."""

    def __init__(self, client: Any, note: Callable[..., None]) -> None:
        self._client = client
        self._note = note

    def build_request(self, *arguments: Any, **options: Any) -> Any:
        """A request."""
        return self._client.build_request(*arguments, **options)

    def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Any:
        """The answer, recorded as it is read."""
        response = self._client.send(request, stream=stream, follow_redirects=follow_redirects)
        return _SyncHeard(response, partial(self._note, request))


class _AsyncRecorder(_Recorder):
    async def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Any:
        """The answer, recorded as it is read."""
        response = await self._client.send(request, stream=stream, follow_redirects=follow_redirects)
        return _AsyncHeard(response, partial(self._note, request))


class _Heard:
    """An answer on its way; what is asked of one is here."""

    def __init__(self, response: Any, note: _Note) -> None:
        self._response = response
        self._note = partial(note, response.status_code)
        self.status_code = response.status_code
        self.headers = response.headers
        self.is_stream_consumed = response.is_stream_consumed
        if self.is_stream_consumed:  # by a hook, which has unpacked it
            self.content = response.content
            plain = {
                name: value for name, value in response.headers.items() if name.lower() != "content-encoding"
            }
            self._note(plain, self.content)


class _SyncHeard(_Heard):
    @property
    def stream(self) -> Generator[bytes]:
        """The body as it comes."""
        pieces: list[bytes] = []
        for piece in self._response.stream:
            pieces.append(piece)
            yield piece
        self._note(self.headers, b"".join(pieces))

    def close(self) -> None:
        """Close the connection."""
        self._response.close()


class _AsyncHeard(_Heard):
    @property
    async def stream(self) -> AsyncGenerator[bytes]:
        """The body as it comes."""
        pieces: list[bytes] = []
        async for piece in self._response.stream:
            pieces.append(piece)
            yield piece
        self._note(self.headers, b"".join(pieces))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._response.aclose()


# ------------------------------------------------------------------------------------------------------------ replaying


class Replaying(Cassette):
    """A cassette that answers; see `replaying`.

    Attributes:
        unmatched: The requests that it had no answer for, as errors.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _read(path))
        self.unmatched: list[UnmatchedRequest] = []
        self._unused = list(range(len(self.exchanges)))
        self._client = httpx.Client(transport=InProcess(self.play))
        self._async_client = httpx.AsyncClient(transport=InProcess(self.play))

    @property
    def unused(self) -> list[Exchange]:
        """What was recorded and not asked for."""
        return [self.exchanges[index] for index in self._unused]

    @property
    def http_client(self) -> HttpClient:
        """An http client that is answered from the file."""
        return self._client

    @property
    def async_http_client(self) -> AsyncHttpClient:
        """An async http client that is answered from the file."""
        return self._async_client

    def reranker(self, api_key: str | None = None, **settings: Any) -> Reranker:
        """A reranker that is answered from the file."""
        return Reranker(api_key or "", http_client=self.http_client, **settings)

    def async_reranker(self, api_key: str | None = None, **settings: Any) -> AsyncReranker:
        """A reranker that is answered from the file."""
        return AsyncReranker(api_key or "", http_client=self.async_http_client, **settings)

    def play(self, request: Request) -> Script:
        """What it does for a request: `serving(cassette.play)` is the recording on loopback, for other processes."""
        secrets = _Secrets()
        secrets.learn(request.headers)
        path = secrets.text(request.target.partition("?")[0])
        asked = _Asked(request.method, path, secrets.value(_json(request.body)))
        with self._lock:
            index = next((i for i in self._unused if _same(asked, self.exchanges[i])), None)
            if index is None:
                error = UnmatchedRequest(self._why(asked))
                self.unmatched.append(error)
                raise error
            self._unused.remove(index)
        exchange = self.exchanges[index]
        body = exchange.body
        yield head(exchange.status, {**exchange.headers, "content-length": str(len(body))}) + body

    def _why(self, asked: _Asked) -> str:
        what = f"{asked.method} {asked.path} was asked for, and {self.path} has no such request left"
        again = "Record it anew where the change is meant."
        if not self.exchanges:
            return f"{what}: nothing is recorded. {again}"
        found = [list(_differences(_matched(exchange), _matched(asked), "")) for exchange in self.exchanges]
        nearest = min(range(len(found)), key=lambda index: (len(found[index]), index))
        number = f"{nearest + 1} of {len(found)}"
        if not found[nearest]:
            return f"{what}: exchange {number} is the same, and was used already. {again}"
        more = len(found[nearest]) - _SHOWN
        shown = [*found[nearest][:_SHOWN], *([f"{more} more"] if more > 0 else [])]
        return f"{what}. The nearest, exchange {number}, differs in\n  " + "\n  ".join(shown) + f"\n{again}"


class _Asked(msgspec.Struct, frozen=True):
    method: str
    path: str
    asked: Any


_SHOWN = 5


def _matched(told: Exchange | _Asked) -> dict[str, Any]:
    """What has to be the same, by the names that a message has for it."""
    return {"method": told.method, "path": told.path, "body": told.asked}


def _same(asked: _Asked, exchange: Exchange) -> bool:
    return next(_differences(_matched(exchange), _matched(asked), ""), None) is None


def _differences(recorded: Any, asked: Any, where: str) -> Iterator[str]:
    """Where two JSON values differ, each place as a line."""
    if isinstance(recorded, dict) and isinstance(asked, dict):
        old, new = cast(dict[str, Any], recorded), cast(dict[str, Any], asked)
        for name in sorted({*old, *new}):
            place = f"{where}.{name}" if where else name
            if name not in new:
                yield f"{place}: recorded as {_short(old[name])}, and not there now"
            elif name not in old:
                yield f"{place}: {_short(new[name])}, and not there when it was recorded"
            else:
                yield from _differences(old[name], new[name], place)
    elif isinstance(recorded, list) and isinstance(asked, list):
        olds, news = cast(Sequence[Any], recorded), cast(Sequence[Any], asked)
        if len(olds) != len(news):
            yield f"{where}: recorded with {len(olds)} items, and {len(news)} now"
        for index, (one, other) in enumerate(zip(olds, news, strict=False)):
            yield from _differences(one, other, f"{where}[{index}]")
    # JSON has one kind of number; a truth value is none.
    elif recorded != asked or isinstance(recorded, bool) is not isinstance(asked, bool):
        yield f"{where}: recorded as {_short(recorded)}, and {_short(asked)} now"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _json(content: bytes) -> Any:
    """The body of a request, read; as text where it is no JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")


# ------------------------------------------------------------------------------------------------------------- the file


def _to_file(exchange: Exchange) -> dict[str, Any]:
    told = cast(dict[str, Any], msgspec.to_builtins(exchange))
    names = ("method", "path", "asked")
    request = {"method": told["method"], "path": told["path"], "body": told["asked"]}
    return {"request": request, "answer": {name: told[name] for name in told if name not in names}}


def _read(path: Path) -> list[Exchange]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        error.add_note("Nothing is recorded here yet: run once under `recording`, or with --rerank-record.")
        raise
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            message = f"its version is {content['version']!r}, and this package reads {VERSION}"
            raise ValueError(message)  # noqa: TRY301 - told like the others
        return [_from_file(told) for told in content["exchanges"]]
    except (KeyError, TypeError, ValueError) as error:
        message = f"{path} is no cassette that can be read ({type(error).__name__}: {error}); record it anew"
        raise ValueError(message) from error


def _from_file(told: Any) -> Exchange:
    request = told["request"]
    flat = {"method": request["method"], "path": request["path"], "asked": request["body"], **told["answer"]}
    return msgspec.convert(flat, Exchange)
