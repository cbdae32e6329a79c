"""The reference server over HTTP: an ASGI app, and what serves it; every answer is decided elsewhere."""

import asyncio
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Router, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from rerank_conformance.reference.server import Reference, target
from rerank_conformance.reference.threads import run_abandonable

_GRACE = 3  # seconds that a request in flight gets to end when the server is told to stop


def app(reference: Reference) -> ASGIApp:
    """Make the reference server an ASGI app; it ranks in worker threads, so that the event loop is not blocked."""

    async def respond(request: Request) -> Response:
        try:
            body = await _body(request, reference.max_body)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        place = target(request.scope["path"], request.url.query)
        head = request.method, place, request.headers
        answer = await run_abandonable(reference.answer, *head, body)
        return Response(answer.body, answer.status, answer.headers)

    # every path and method is the reference's to answer
    return Router(default=request_response(respond), redirect_slashes=False)


def serve(
    reference: Reference,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then end the requests in flight, abandon those that do not end, and return.

    Args:
        reference: What answers.
        host: The address to listen at; the default lets in this machine alone.
        port: 0 takes any that is free.
        ready: Called with the base URL of `/rerank` once the server accepts requests.

    Raises:
        OSError: The address cannot be had.
    """
    with _listen(host, port) as listener:
        _Server(reference, listener, ready).run([listener])


@contextmanager
def running(reference: Reference, host: str = "127.0.0.1") -> Generator[str]:
    """Serve the reference server from a thread on a free port, and yield its URL."""
    with _listen(host, 0) as listener:
        server = _Server(reference, listener)
        thread = threading.Thread(target=server.run, args=([listener],), name="rerank-reference", daemon=True)
        thread.start()
        try:
            yield _url(listener)  # the kernel queues connections until the thread has come up
        finally:
            server.should_exit = True
            thread.join()


class _Server(uvicorn.Server):
    def __init__(
        self, reference: Reference, listener: socket.socket, ready: Callable[[str], None] | None = None
    ) -> None:
        # the process' logging is its own; nothing is asked of the app at startup; no websocket is spoken
        super().__init__(
            uvicorn.Config(
                _until_stopped(reference),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self._listener = listener
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None:
            self._ready(_url(self._listener))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own also raises the signal again after a clean end, which would kill the process after all
        del sig, frame
        self.force_exit = self.should_exit
        self.should_exit = True


def _until_stopped(reference: Reference) -> ASGIApp:
    """Return the app; a request that uvicorn cancels, as the server stops, is answered 503 instead of logged as a fault."""
    respond = app(reference)
    stopping = reference.encode(503, reference.envelope(503, "The server was stopped before it had ranked"))

    async def until_stopped(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await respond(scope, receive, send)
        except asyncio.CancelledError:
            await Response(stopping.body, stopping.status, stopping.headers)(scope, receive, send)

    return until_stopped


async def _body(request: Request, limit: int) -> bytes:
    """Read the body, but no more of it than shows that it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    # Connections inherit it. asyncio sets it only if the listener was made with a protocol number, and without it
    # each answer waits 40 ms for the client's delayed acknowledgement of the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
