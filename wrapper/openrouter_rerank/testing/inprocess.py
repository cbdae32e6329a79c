"""A transport for httpx clients, sync and async, that plays a script in the same process.

Each request has its own connection, and the bytes of the script are parsed as HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from time import monotonic, sleep
from typing import Any, TypeAlias, cast

import anyio
import anyio.lowlevel
import h11
import httpx

from openrouter_rerank.arguments import checks_names
from openrouter_rerank.testing.faults import Fault, fault_of
from openrouter_rerank.testing.scripts import PATIENCE, End, Play, ReceivedRequests, Request, Script

_Step: TypeAlias = float | h11.Response | bytes
"""A pause, the head of the answer, a piece of its body."""

# The limit of httpcore; longer headers are a protocol error.
_LONGEST_HEAD = 100 * 1024
# A timeout of this length is over: the timeouts of the facade shrink as time passes, but never to 0.
_NO_TIME = 0.001


class InProcess(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport for `httpx.Client` and `httpx.AsyncClient` that answers from a script.

    Args:
        script: A function that makes the script for a request; or a fault, or its name.

    Raises:
        ValueError: No fault has that name, or the fault needs a socket.

    Example:
        >>> import httpx
        >>> from openrouter_rerank import Reranker, InvalidResponseError
        >>> client = httpx.Client(transport=InProcess("index_negative"))
        >>> try:
        ...     Reranker("", http_client=client).rerank("q", ["a", "b"])
        ... except InvalidResponseError as error:
        ...     print("index -1 is not one of the 2 documents" in str(error))
        True
    """

    @checks_names
    def __init__(self, script: Play | Fault | str) -> None:
        if isinstance(script, str | Fault):
            fault = fault_of(script)
            if not fault.in_process:
                message = f"the fault {fault.name!r} needs a socket, as each request in process has its own connection; use faulty({fault.name!r})"
                raise ValueError(message)
            script = fault.script
        self._play = script
        self._seen = ReceivedRequests()

    @property
    def requests(self) -> list[Request]:
        """The requests that it received so far."""
        return self._seen.requests

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response; its body is read later."""
        request.read()
        steps = _sleep_sync(self._steps(request))
        return _response(next(steps), _ScriptedBody(cast(Generator[bytes, None, None], steps)))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response; its body is read later."""
        await request.aread()
        steps = _sleep_async(self._steps(request))
        return _response(await anext(steps), _AsyncBody(cast(AsyncGenerator[bytes, None], steps)))

    def _steps(self, request: httpx.Request) -> Generator[_Step, None, None]:
        """Yield the steps of a response: pauses, its head, the pieces of its body."""
        wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        # The parser needs a request before it reads the response.
        wire.send(h11.Request(method=request.method, target="/", headers=[("Host", "h")]))
        wire.send(h11.EndOfMessage())
        headers = {name.lower(): value for name, value in request.headers.items()}
        noted = self._seen.note(request.method, request.url.raw_path.decode(), headers, request.content)
        script = self._play(noted)
        timeouts = cast(Mapping[str, float | None], request.extensions.get("timeout", {}))
        end = monotonic() + PATIENCE
        try:
            while True:
                match wire.next_event():
                    case h11.NEED_DATA:
                        yield from _received(wire, script, timeouts, end)
                    case h11.Response() as response:
                        yield response
                    case h11.Data(data=data):
                        yield bytes(data)
                    case h11.EndOfMessage():
                        return
                    case _:  # an informational response, as 100 Continue
                        yield 0.0
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error


def _received(
    wire: h11.Connection, script: Script, timeouts: Mapping[str, float | None], end: float
) -> Generator[float, None, None]:
    """Pass the next bytes of the script to the parser, after the pause that it may make."""
    left = timeouts.get("read")
    step = next(script, End.HANG)
    if step is End.RESET:
        raise httpx.ReadError("the connection was reset")
    if left is not None and (left <= _NO_TIME or step is End.HANG):
        raise httpx.ReadTimeout("the time was up")
    if isinstance(step, int | float) and left is not None and step >= left:
        yield left
        raise httpx.ReadTimeout("the time was up")
    if step is End.HANG:
        yield max(0.0, end - monotonic())
    if isinstance(step, End) or monotonic() > end:
        wire.receive_data(b"")
    elif isinstance(step, int | float):
        yield step
    else:
        wire.receive_data(step)


def _sleep_sync(steps: Generator[_Step, None, None]) -> Generator[h11.Response | bytes, None, None]:
    for step in steps:
        if isinstance(step, int | float):
            sleep(step)
        else:
            yield step


async def _sleep_async(steps: Generator[_Step, None, None]) -> AsyncGenerator[h11.Response | bytes, None]:
    for step in steps:
        if isinstance(step, int | float):
            await anyio.sleep(step)
        else:
            # Lets a call be cancelled while the server sends without a pause.
            await anyio.lowlevel.checkpoint()
            yield step


class _ScriptedBody(httpx.SyncByteStream):
    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._pieces.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        await self._pieces.aclose()


def _response(begin: Any, body: _ScriptedBody | _AsyncBody) -> httpx.Response:
    return httpx.Response(begin.status_code, headers=list(begin.headers), stream=body)
