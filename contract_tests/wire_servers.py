"""The reference server on connections that are mishandled as naive servers mishandle them: test data, not in the wheel."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, cast

from rerank_conformance.reference import Reference, ReferenceResponse

Fault = Literal[
    "none",
    "closed-silently",
    "head-has-body",
    "refused-unread",
    "http-1.0-refused",
    "http-1.0-chunked",
    "idle-cut",
    "idle-late",
    "key-remembered",
]
"""One thing that a server on a socket gets wrong; no server in process can. `closed-silently` is legal."""


_IDLE = 1  # seconds after which a connection counts as idle


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, reference: Reference, fault: Fault) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reference = reference
        self.connection_fault: Fault = fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5  # seconds that an idle connection is kept, so that a test which fails ends
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base has it
        """Log nothing."""

    key = ""  # that the connection had
    last = 0.0  # when the connection had its last answer
    kept = ReferenceResponse(200, {}, b"")  # and which it was

    @property
    def fault(self) -> Fault:
        """The fault of the server."""
        return cast("_Server", self.server).connection_fault

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self) -> None:
        reference = cast("_Server", self.server).reference
        refused = self.fault == "refused-unread" and "authorization" not in self.headers
        sent = b"" if refused else self._body()
        method = "GET" if self.fault == "head-has-body" and self.command == "HEAD" else self.command
        headers = dict(self.headers)
        if self.fault == "key-remembered":
            self.key = headers["Authorization"] = (
                headers.get("Authorization", "") if not self.key else self.key
            )
        answer = reference.answer(method, self.path, headers, sent)
        self.key = "" if answer.status == 401 else self.key
        idle = self.last and time.monotonic() - self.last > _IDLE
        self.last, earlier, self.kept = time.monotonic(), self.kept, answer
        if idle and self.fault == "idle-cut":
            self.close_connection = True
            return
        answer = earlier if idle and self.fault == "idle-late" else answer
        old = self.request_version == "HTTP/1.0"
        self.close_connection = self.close_connection or self.fault == "closed-silently"
        status = 426 if old and self.fault == "http-1.0-refused" else answer.status
        self.send_response(status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if old and self.fault == "http-1.0-chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(answer.body), answer.body))
        else:
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    # the names are those of the standard library
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_RERANK = _answer  # noqa: N815


@contextmanager
def serving(reference: Reference, fault: Fault = "none") -> Generator[str]:
    """Serve on a free port of loopback; yield the URL."""
    with _Server(reference, fault) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
