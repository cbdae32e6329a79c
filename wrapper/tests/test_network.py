"""The network as people have it: proxies, addresses, redirects, certificates, name resolution, dead addresses."""

from __future__ import annotations

import base64
import errno
import gc
import inspect
import json
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore
import httpx
import pytest
import trustme

from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    AsyncReranker,
    AuthenticationError,
    BadRequestError,
    RateLimitError,
    Reranker,
    RerankError,
    Retries,
    ServerError,
)
from openrouter_rerank.addresses import is_host, redirect_step
from openrouter_rerank.connections import AsyncConnections, Connections, _Body, _Clock
from openrouter_rerank.failures import explain
from openrouter_rerank.network import connect
from openrouter_rerank.operations import Secrets, Send
from openrouter_rerank.proxies import Proxy, environment_proxy
from openrouter_rerank.testing import End, Request, Script, answer, honest, results, serving
from shells import LONG, QUICK, SOON, TIMEOUTS, Clock, Shell

ONCE = Retries(attempts=1)
AUTHORITY = trustme.CA()


def well(request: Request) -> Script:
    """Return a server without a fault."""
    yield honest(request)


def origin(url: str) -> str:
    """Return the URL without its path."""
    return url.removesuffix("/api/v1")


# Which proxy

ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"HTTP_PROXY": "http://p:1"},
    {"http_proxy": "http://p:1"},
    {"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:2"},
    {"HTTP_PROXY": "http://p:1", "http_proxy": ""},
    {"HTTP_PROXY": ""},
    {"Http_Proxy": "http://p:1"},
    {"HTTPS_PROXY": "http://p:1"},
    {"https_proxy": "https://p:1"},
    {"ALL_PROXY": "http://p:1"},
    {"all_proxy": "p:1"},
    {"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://q:2"},
    {"HTTP_PROXY": "p"},
    {"HTTP_PROXY": "p:3128"},
    {"HTTP_PROXY": "HTTP://P.example:3128/"},
    {"HTTP_PROXY": "http://bücher.example:3128"},
    {"HTTP_PROXY": "http://[::1]:3128"},
    {"HTTP_PROXY": "http://user:p%40ss@p:1"},
    {"HTTP_PROXY": "http://user@p:1"},
    {"HTTP_PROXY": "http://:pass@p:1"},
    {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "POST"},
    {"http_proxy": "http://p:1", "REQUEST_METHOD": "POST"},
    {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://q:2", "REQUEST_METHOD": "GET"},
    *(
        {"ALL_PROXY": "http://p:1", "NO_PROXY": entries}
        for entries in (
            "",
            "*",
            "other.example, *",
            "localhost",
            "LOCALHOST",
            "localhost:8000",
            "localhost:8001",
            "127.0.0.1",
            "127.0.0.1:8000",
            "127.0.0.0/8",
            "10.0.0.0/8",
            "10.0.0.0",
            "::1",
            "example.com",
            ".example.com",
            "*.example.com",
            "EXAMPLE.com",
            "example.com:8000",
            ".example.com:8000",
            "api.example.com",
            "xample.com",
            "http://example.com",
            "https://example.com",
            "http://",
            "all://",
            " example.com , localhost ",
            "example.com,",
            "com",
            "bad host",
        )
    ),
    {"ALL_PROXY": "http://p:1", "no_proxy": "example.com"},
    {"ALL_PROXY": "http://p:1", "no_proxy": "example.com", "NO_PROXY": "localhost"},
    {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2", "NO_PROXY": "https://api.example.com"},
    {"NO_PROXY": "example.com"},
]
URLS = [
    f"{scheme}://{host}{port}/v1/rerank"
    for scheme in ("http", "https")
    for host in (
        "localhost",
        "127.0.0.1",
        "10.0.0.0",
        "10.1.2.3",
        "[::1]",
        "example.com",
        "EXAMPLE.COM",
        "api.example.com",
        "notexample.com",
    )
    for port in ("", ":8000", ":80", ":443")
]


def set_environment(monkeypatch: pytest.MonkeyPatch, given: Mapping[str, str]) -> None:
    """Return the variables, and none of those that would stand in their way."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
def test_proxies_are_those_of_httpx(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For each URL the proxy is the one that httpx.Client would take, with the same name and password."""
    set_environment(monkeypatch, environment)

    with httpx.Client(verify=False) as client:  # noqa: S501 - it sends nothing, and contexts are slow
        for url in URLS:
            transport: Any = client._transport_for_url(httpx.URL(url))
            ours = environment_proxy(url)
            if transport is client._transport:
                assert ours is None, url
                continue
            assert ours is not None, url
            made, theirs = ours.to_httpcore(), transport._pool
            assert made.url.origin == theirs._proxy_url.origin, url
            assert made.headers == theirs._proxy_headers, url
            assert environment[ours.variable]


@pytest.mark.parametrize(
    ("entry", "url", "excluded"),
    [
        ("[::1]", "http://[::1]/", True),
        ("[::1]:8000", "http://[::1]:8000/", True),
        ("[::1]:8000", "http://[::1]:8001/", False),
        ("localhost,[::1]", "http://localhost/", True),
        ("fd00::/8", "http://example.com/", False),
        ("fd00::/8,example.com", "http://example.com/", True),
        ("fd00::/8", "http://[fd00::]/", True),
    ],
)
def test_entries_at_which_httpx_fails(
    entry: str, url: str, excluded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An IPv6 address in brackets, or with the length of a prefix, is read as its like of IPv4 is."""
    set_environment(monkeypatch, {"ALL_PROXY": "http://p:1", "NO_PROXY": entry})

    assert (environment_proxy(url) is None) is excluded


SECRET = "s3cret"
BAD_PROXIES = [
    f"http://user:{SECRET}#x@p:80",
    f"http://user:{SECRET}/x@p:80",
    f"http://user:12/{SECRET}@p:80",
    f"http://user:12?{SECRET}@p:80",
    f"http://user:12#{SECRET}@p:80",
    f"user:{SECRET}/x@p:80",
    f"http://user:{SECRET}@p:port",
    f"http://user:{SECRET}@p:99999",
    f"http://user:{SECRET}@p:0",
    f"http://user:{SECRET}@",
    f"http://user:{SECRET}@p q:80",
    f"http://user:{SECRET}@p..q:80",
    f"http://user:{SECRET}@{'p' * 64}:80",
    f"http://user:{SECRET}\x01@p:80",
    f"http://user:{SECRET}\udcff@p:80",
    f"ftp://user:{SECRET}@p:80",
    f"socks://user:{SECRET}@p:80",
    f"socks4://user:{SECRET}@p:80",
    f"//user:{SECRET}@p:80",
    f"{SECRET} ",
    "http://",
]


def texts_of(error: BaseException) -> Iterator[str]:
    """All that could be printed of an error: what it says, and the local variables of our frames."""
    yield from (str(error), repr(error), *map(repr, error.args))
    trace = error.__traceback__
    while trace is not None:
        if "openrouter_rerank" in trace.tb_frame.f_code.co_filename:
            yield from (repr(value) for value in trace.tb_frame.f_locals.values())
        trace = trace.tb_next


@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
@pytest.mark.parametrize("value", BAD_PROXIES)
def test_a_bad_proxy_variable(kind: Any, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one ValueError that names the variable, and shows nothing of what stands in it."""
    set_environment(monkeypatch, {"HTTPS_PROXY": value})

    with pytest.raises(ValueError, match=r"^HTTPS_PROXY: ") as caught:
        kind("k", base_url="https://h.example/v1")

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert not [text for text in texts_of(caught.value) if SECRET in text]


@pytest.mark.parametrize("entry", ["example.com:port", "[::1", "bücher_.example", "h\x01"])
def test_a_bad_entry_of_no_proxy(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused where a proxy could be used at all, as nobody knows which hosts it means."""
    set_environment(monkeypatch, {"NO_PROXY": f"localhost,{entry}"})
    assert environment_proxy("http://h.example") is None

    monkeypatch.setenv("http_proxy", "http://p:1")
    with pytest.raises(ValueError, match=r"^NO_PROXY: "):
        environment_proxy("http://h.example")


def test_a_variable_that_does_not_concern_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be as wrong as it likes: desktops set ALL_PROXY=socks://, which no library takes, beside the others."""
    set_environment(
        monkeypatch, {"ALL_PROXY": "socks://p:1", "HTTP_PROXY": "ftp://p", "HTTPS_PROXY": "http://q:2"}
    )

    assert environment_proxy("https://h.example") == Proxy("http://q:2", "HTTPS_PROXY")


def test_the_proxy_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that no variable names, as on macOS and Windows, is described as such."""
    set_environment(monkeypatch, {})
    monkeypatch.setattr("httpx._utils.getproxies", lambda: {"http": "http://p:1"})

    proxy = environment_proxy("http://h.example")

    assert proxy is not None
    assert proxy.variable == "the proxy settings of the system"


def test_a_proxy_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as text nor in the reranker's own frames."""
    set_environment(monkeypatch, {"HTTP_PROXY": f"http://{SECRET}:{SECRET}@p:1"})
    proxy = environment_proxy("http://h.example")

    assert str(proxy) == "the proxy http://p:1 of HTTP_PROXY"
    assert SECRET not in repr(proxy)


@pytest.mark.parametrize("password", ["p%C3%A4ss", "p%40ss", "p%3Ass", "p:ss", "päss", "p@ss", "%zz", ""])
def test_the_password_of_a_proxy(password: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any user name or password reaches the proxy as httpx would send it."""
    with serving(well) as proxy:
        address = f"http://us%20er:{password}@{urlsplit(proxy.url).netloc}"
        set_environment(monkeypatch, {"HTTP_PROXY": address})
        shell.rank(base_url="http://rerank.invalid/v1")

    auth = httpx.Proxy(address).raw_auth
    assert auth is not None
    expected = base64.b64encode(b":".join(auth)).decode()
    assert proxy.requests[0].headers["proxy-authorization"] == f"Basic {expected}"


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("{host}:{port}", "localhost"),
        ("{host}:{port}", "127.0.0.1"),
        ("{host}", "127.0.0.1"),
        (".1,*", "127.0.0.1"),
    ],
)
def test_what_no_proxy_excludes_is_asked_for_directly(
    entry: str, host: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key does not go through a proxy that was excluded."""
    with serving(well) as proxy, serving(well) as server:
        port = urlsplit(server.url).port
        set_environment(
            monkeypatch, {"HTTP_PROXY": origin(proxy.url), "NO_PROXY": entry.format(host=host, port=port)}
        )

        assert shell.rank(base_url=f"http://{host}:{port}/v1").indices == [2, 1, 0]
    assert proxy.connections == 0


def test_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package the message says what to install; with it the proxy is used."""
    set_environment(monkeypatch, {"ALL_PROXY": f"SOCKS5H://user:{SECRET}@p:1080"})
    monkeypatch.setattr("openrouter_rerank.proxies.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^ALL_PROXY: .*pip install 'httpx\[socks\]'") as caught:
        Reranker("k")
    assert not [text for text in texts_of(caught.value) if SECRET in text]

    monkeypatch.setattr("openrouter_rerank.proxies.find_spec", lambda name: object())
    proxy = environment_proxy("https://h.example")
    assert proxy is not None
    assert proxy == Proxy("socks5h://p:1080", "ALL_PROXY", (b"user", SECRET.encode()))
    assert proxy.to_httpcore().auth == (b"user", SECRET.encode())


class Socks:
    """A SOCKS5 proxy that plays each connection: its answers in turn, and then the server behind it."""

    def __init__(self, *answers: bytes, server: int | None = None, connections: int = 1) -> None:
        self.seen: list[bytes] = []
        self._answers, self._server, self._connections = answers, server, connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(30)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        for _ in range(self._connections):
            self._play(self._listener.accept()[0])

    def _play(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # as clients may end it by a reset
            for said in self._answers:
                self.seen.append(connection.recv(65536))
                connection.sendall(said)
            if self._server is None:
                return
            with socket.create_connection(("127.0.0.1", self._server)) as behind:
                passing = threading.Thread(target=self._pass, args=(connection, behind))
                passing.start()
                self._pass(behind, connection)
                passing.join()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


SOCKS_OK = b"\x05\x00\x00\x01\0\0\0\0\0\0"


def test_a_socks_proxy(any_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name goes to the proxy as it is, and so do user and password."""
    pytest.importorskip("socksio", reason="socksio is not installed")
    with (
        serving(well) as server,
        Socks(b"\x05\x02", b"\x01\x00", SOCKS_OK, server=urlsplit(server.url).port) as proxy,
    ):
        set_environment(monkeypatch, {"ALL_PROXY": f"socks5h://us%20er:p%C3%A4ss@127.0.0.1:{proxy.port}"})
        assert any_shell.rank(base_url="http://rerank.invalid/v1").indices == [2, 1, 0]

    assert proxy.seen[1] == b"\x01\x05us er\x05p\xc3\xa4ss"
    assert b"rerank.invalid" in proxy.seen[2]


# httpcore leaves the connection to a proxy that refused to the garbage collector, which warns of it.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (
            [b"\x05\x02", b"\x01\x01"],
            "the proxy refused to connect to it .* wants a user name and a password",
        ),
        ([b"\x05\xff"], "the proxy refused to connect to it"),
        ([b"\x05\x02", b"\x01\x00", b"\x05\x05" + SOCKS_OK[2:]], "Connection refused"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "the proxy does not speak SOCKS5"),
        ([b""], "the proxy does not speak SOCKS5"),
    ],
)
def test_a_socks_proxy_that_refuses(
    answers: list[bytes], says: str, any_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any answer of the proxy ends in one error that names it and shows no password."""
    pytest.importorskip("socksio", reason="socksio is not installed")
    with Socks(*answers) as proxy:
        set_environment(monkeypatch, {"ALL_PROXY": f"socks5://user:{SECRET}@127.0.0.1:{proxy.port}"})
        with pytest.raises(APIConnectionError, match=says) as caught:
            any_shell.rank(base_url="http://rerank.invalid/v1", retries=ONCE)

    assert f"through the proxy socks5://127.0.0.1:{proxy.port} of ALL_PROXY" in str(caught.value)
    assert "check" in str(caught.value)
    assert SECRET not in str(caught.value)
    del caught
    gc.collect()  # so that the warning comes here


def test_what_is_no_socks_is_told_without_the_library_too() -> None:
    """An injected client may have a SOCKS proxy of its own."""

    class SOCKSError(Exception):
        pass

    found = explain(SOCKSError("Malformed reply"), "http://h/", Proxy("socks5://p:1", "ALL_PROXY"))

    assert found.problem == "the proxy does not speak SOCKS5 (SOCKSError: Malformed reply)"
    assert "ALL_PROXY" in found.step


def test_an_injected_client_has_its_own_proxies(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is not read for it, and not checked."""
    set_environment(monkeypatch, {"ALL_PROXY": "ftp://p"})

    assert shell.rank(lambda _: httpx.Response(200, json=results((0, 0.5)))).indices == [0]


# Servers that send more than their response

AFTER = {
    "a second response": answer(200, results((0, 0.9), model="not asked for")),
    "the rest of a longer body": b'{"more": 1}',
    "a blank line": b"\r\n",
    "the beginning of a response": b"HTTP/1.1 200 OK\r\nContent-",
    "an informational response": b"HTTP/1.1 100 Continue\r\n\r\n",
}
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"


def talkative(rest: bytes, *, chunked: bool = False, status: int = 200) -> Any:
    """Return a server that sends something more behind its first response; its model is the query."""
    served: list[str] = []

    def script(request: Request) -> Script:
        query = json.loads(request.body)["query"]
        served.append(query)
        body = results((0, 0.5), model=query)
        first = len(served) == 1
        if chunked:
            content = json.dumps(body).encode()
            yield CHUNKED % (len(content), content) + (rest if first else b"")
        else:
            yield answer(status if first else 200, body) + (rest if first else b"")

    return script


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("way", ["direct", "proxy", "socks"])
@pytest.mark.parametrize("rest", AFTER.values(), ids=AFTER)
def test_a_server_that_sends_more_than_its_response(
    rest: bytes, way: str, *, chunked: bool, any_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is never taken for the response to the next request, whatever the connection passes through."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(talkative(rest, chunked=chunked)))
        url = server.url
        if way == "proxy":
            set_environment(monkeypatch, {"HTTP_PROXY": origin(server.url)})
            url = "http://rerank.invalid/v1"
        elif way == "socks":
            pytest.importorskip("socksio", reason="socksio is not installed")
            port = urlsplit(server.url).port
            proxy = stack.enter_context(Socks(b"\x05\x00", SOCKS_OK, server=port, connections=2))
            set_environment(monkeypatch, {"ALL_PROXY": f"socks5://127.0.0.1:{proxy.port}"})
            url = "http://rerank.invalid/v1"
        with any_shell.open(base_url=url, retries=ONCE) as rank:
            models = [rank(query, ["a"]).model for query in ("first", "second", "third")]
    assert models == ["first", "second", "third"]
    assert server.connections == 2


def test_an_error_and_more(any_shell: Shell) -> None:
    """The connection of a failed call is no exception."""
    with (
        serving(talkative(AFTER["a second response"], status=500)) as server,
        any_shell.open(base_url=server.url, retries=ONCE) as rank,
    ):
        with pytest.raises(ServerError):
            rank("first", ["a"])
        assert rank("second", ["a"]).model == "second"


def test_a_server_that_sends_more_later() -> None:
    """What was sent between two calls is found before the second."""
    received = threading.Event()

    def script(request: Request) -> Script:
        query = json.loads(request.body)["query"]
        yield answer(200, results((0, 0.5), model=query))
        if query == "first":
            received.wait(SOON)
            yield AFTER["a second response"]

    with serving(script) as server, Reranker("k", base_url=server.url, retries=ONCE) as reranker:
        assert reranker.rerank("first", ["a"]).model == "first"
        received.set()
        (idle,) = reranker._connections._room.idle
        assert select.select([idle.clock._socket], [], [], SOON)[0]
        assert reranker.rerank("second", ["a"]).model == "second"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK"])
def test_a_server_that_waits_for_the_end_of_the_connection(head: bytes, any_shell: Shell) -> None:
    """A connection on which nothing can follow is closed with its response, and not with the next request."""
    body = json.dumps(results((0, 0.5))).encode()
    script = b"%s\r\nContent-Length: %d\r\n\r\n%s" % (head, len(body), body)
    with serving(lambda _: iter([script])) as server, any_shell.open(base_url=server.url) as rank:
        assert rank("q", ["a"]).indices == [0]
        assert server.wait_until(lambda server: server.held == 0)


def test_connections_that_nobody_needs_any_more(any_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls one after the other do not keep what was left over by many at once."""
    clock = Clock()
    monkeypatch.setattr("openrouter_rerank.connections.monotonic", clock)
    monkeypatch.setattr("openrouter_rerank.http11.monotonic", clock)
    both = threading.Barrier(2, timeout=SOON)

    def script(request: Request) -> Script:
        if json.loads(request.body)["query"] == "at once":
            both.wait()
        yield honest(request)

    with serving(script) as server, any_shell.open(base_url=server.url, timeout=LONG) as rank:
        threads = [threading.Thread(target=rank, args=("at once", ["a"])) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.held == 2
        clock.advance(10)
        rank("alone", ["a"])
        assert server.wait_until(lambda server: server.held == 1)


@pytest.mark.parametrize("injected", [False, True])
@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
@pytest.mark.parametrize(
    ("status", "error", "requests"),
    [
        (401, AuthenticationError, 1),
        (413, BadRequestError, 1),
        (429, RateLimitError, 2),
        (503, ServerError, 2),
    ],
)
def test_an_error_whose_body_breaks_off(
    status: int, error: Any, requests: int, end: End, injected: bool, shell: Shell
) -> None:
    """Its status is known without the body: it is that error, retried as that error, and not billed."""
    body = b'{"error": {"message": "%s' % (b"because " * 100)
    head = b"HTTP/1.1 %d \r\nContent-Length: 5000\r\n\r\n" % status
    arguments: dict[str, Any] = {}
    if injected:
        arguments["http_client"] = httpx.Client() if shell.name == "sync" else httpx.AsyncClient()

    def script(_: Request) -> Script:
        yield head + body
        yield end

    policy = Retries(attempts=2, first_wait=0)
    with (
        serving(script) as server,
        shell.open(base_url=server.url, retries=policy, **arguments) as rank,
        pytest.raises(error, match=f"^{status} ") as caught,
    ):
        rank("q", ["a"])
    assert caught.value.status == status
    assert not caught.value.may_be_billed
    assert len(server.requests) == requests


@pytest.mark.parametrize("injected", [False, True])
def test_an_error_whose_body_stalls(injected: bool, shell: Shell) -> None:
    """It is that error too, when the time of the attempt is up."""
    arguments: dict[str, Any] = {}
    if injected:
        arguments["http_client"] = httpx.Client() if shell.name == "sync" else httpx.AsyncClient()

    def script(_: Request) -> Script:
        yield b"HTTP/1.1 401 \r\nContent-Length: 5000\r\n\r\n{"
        yield End.HANG

    with serving(script) as server, shell.open(base_url=server.url, **arguments) as rank:
        for timeout in TIMEOUTS:
            with pytest.raises((AuthenticationError, APITimeoutError)) as caught:
                rank("q", ["a"], timeout=timeout)
            if caught.type is AuthenticationError:
                break
    assert caught.type is AuthenticationError


def test_a_list_is_halved_where_the_refusal_breaks_off(any_shell: Shell) -> None:
    """A server that refuses a large request before it was read resets the connection within its refusal."""

    def script(request: Request) -> Script:
        if len(json.loads(request.body)["documents"]) > 1:
            yield b"HTTP/1.1 413 \r\nContent-Length: 5000\r\n\r\n<html>"
            yield End.RESET
        yield honest(request)

    with serving(script) as server:
        assert sorted(any_shell.rank(base_url=server.url, retries=ONCE).indices) == [0, 1, 2]


def test_a_connection_has_a_repr() -> None:
    """A traceback that shows local variables can show it, before, during and after a request."""
    seen: list[str] = []

    def script(request: Request) -> Script:
        (lane,) = reranker._connections._room.in_use
        seen.append(repr(lane._connection))
        yield honest(request)

    with serving(script) as server, Reranker("k", base_url=server.url) as reranker:
        reranker.rerank("q", ["a"])
        (idle,) = reranker._connections._room.idle
        seen.append(repr(idle._connection))
    assert seen == ["<HTTPConnection [HTTP/1.1]>", "<HTTPConnection [HTTP/1.1, IDLE]>"]


@pytest.mark.parametrize("name", ["Host", "host"])
def test_another_host(name: str, any_shell: Shell) -> None:
    """A header Host of the caller's replaces ours, for a server that has several names at one address."""
    with serving(well) as server:
        with any_shell.open(base_url=server.url, extra_headers={name: "other.example"}) as rank:
            assert rank("q", ["a"]).indices == [0]
        with any_shell.open(base_url=server.url) as rank:
            assert rank("q", ["a"], extra_headers={name: "third.example"}).indices == [0]
    assert [request.headers["host"] for request in server.requests] == ["other.example", "third.example"]


@pytest.mark.parametrize("kind", [Connections, AsyncConnections])
@pytest.mark.parametrize("zone", ["%25eth0", "%eth0"])
def test_the_zone_of_an_address(zone: str, kind: Any) -> None:
    """The resolver gets it as it is, however the URL has it; the server does not get it."""
    connections = kind(f"http://[fe80::1{zone}]:8000/v1", Secrets())
    assert connections._url.host == b"fe80::1%eth0"
    assert connections._host == (b"Host", b"[fe80::1]:8000")


def test_informational_responses(any_shell: Shell) -> None:
    """Those before a response are passed over, and the connection is reused."""

    def script(request: Request) -> Script:
        yield AFTER["an informational response"]
        yield b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + honest(request)

    with serving(script) as server, any_shell.open(base_url=server.url, retries=ONCE) as rank:
        assert [rank("q", ["a"]).indices for _ in range(2)] == [[0], [0]]
        assert server.connections == 1


# What a proxy says


def refusing(status: int, body: Any = b"") -> Any:
    """Return a server that refuses everything."""

    def script(_: Request) -> Script:
        yield answer(status, body, "text/plain")

    return script


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (
            407,
            ["from the proxy {proxy} of HTTP_PROXY, asked for", "user name and the password in HTTP_PROXY"],
        ),
        (
            502,
            ["from the proxy {proxy} of HTTP_PROXY or the server behind it", "check HTTP_PROXY", "NO_PROXY"],
        ),
        (503, ["from the proxy {proxy} of HTTP_PROXY or the server behind it", "check HTTP_PROXY"]),
        (504, ["from the proxy {proxy} of HTTP_PROXY or the server behind it", "check HTTP_PROXY"]),
        (403, ["through the proxy {proxy} of HTTP_PROXY: "]),
        (500, ["through the proxy {proxy} of HTTP_PROXY: "]),
    ],
)
def test_an_error_through_a_proxy(
    status: int, says: list[str], shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that may be the proxy's own says so, and names the variable and no password."""
    with serving(refusing(status)) as proxy:
        address = origin(proxy.url)
        named = address.replace("://", f"://user:{SECRET}@")
        set_environment(monkeypatch, {"HTTP_PROXY": named})
        with pytest.raises(RerankError, match=f"^{status} ") as caught:
            shell.rank(base_url="http://rerank.invalid/v1", retries=ONCE)

    for words in says:
        assert words.format(proxy=address) in str(caught.value)
    assert "http://rerank.invalid/v1/rerank" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "requests", "says"),
    [
        (407, 1, "check HTTPS_PROXY: the proxy wants a user name and a password"),
        (403, 1, "check HTTPS_PROXY"),
        (502, 2, "check HTTPS_PROXY"),
        (503, 2, "check HTTPS_PROXY"),
    ],
)
def test_a_proxy_that_refuses_to_connect(
    status: int, requests: int, says: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as that, tried again where it may pass, and has cost nothing."""
    with serving(refusing(status)) as proxy:
        set_environment(monkeypatch, {"HTTPS_PROXY": origin(proxy.url)})
        with pytest.raises(APIConnectionError) as caught:
            shell.rank(base_url="https://rerank.invalid/v1", retries=Retries(attempts=2, first_wait=0.01))

    assert f"through the proxy {origin(proxy.url)} of HTTPS_PROXY: the proxy refused" in str(caught.value)
    assert f"ProxyError: {status}" in str(caught.value)
    assert str(caught.value).partition(" [")[0].endswith(says)
    assert [request.method for request in proxy.requests] == ["CONNECT"] * requests


def test_a_proxy_that_does_not_listen(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is that of the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    set_environment(monkeypatch, {"ALL_PROXY": f"http://user:{SECRET}@127.0.0.1:{port}"})

    with pytest.raises(APIConnectionError, match="the proxy refused the connection") as caught:
        shell.rank(base_url="https://rerank.invalid/v1", retries=ONCE)

    assert "check ALL_PROXY" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_injected_clients_proxy(shell: Shell) -> None:
    """A 407, and a proxy that refuses to connect, are told as such though nothing is known of the proxy."""

    def refused(_: httpx.Request) -> httpx.Response:
        raise httpx.ProxyError("Invalid username/password")

    with pytest.raises(BadRequestError, match=r"from a proxy, asked for .* in the address of the proxy"):
        shell.rank(lambda _: httpx.Response(407))
    with pytest.raises(
        APIConnectionError, match=r"the proxy refused .* check the proxy settings: .* password"
    ):
        shell.rank(refused)
    with pytest.raises(ServerError) as caught:
        shell.rank(lambda _: httpx.Response(502), retries=ONCE)
    assert "proxy" not in str(caught.value)


def test_an_answer_through_a_tunnel_is_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer through a tunnel cannot be the proxy's, as it reads none of it."""
    assert not Proxy("http://p", "V").forwards("https://h/")
    assert not Proxy("socks5://p", "V").forwards("http://h/")
    assert Proxy("https://p", "V").forwards("http://h/")


# Addresses

SLASHES = [
    ("/v1", "/v1/rerank"),
    ("/v1/", "/v1/rerank"),
    ("/v1//", "/v1/rerank"),
    ("/v1/rerank", "/v1/rerank"),
    ("/v1/rerank/", "/v1/rerank/"),
    ("/v1/rerank/?x=1", "/v1/rerank/?x=1"),
    ("/v1/rerank?x=1", "/v1/rerank?x=1"),
    ("/v1/?x=1", "/v1/rerank?x=1"),
    (" /v1", None),
    ("/v1\n", "/v1/rerank"),
    ("/v1/rerank/ \t\r\n", "/v1/rerank/"),
    ("/a%2Fb/v1%20x", "/a%2Fb/v1%20x/rerank"),
    ("//v1//x", "//v1//x/rerank"),
    ("/v1/rerank/#frag", "/v1/rerank/"),
    ("/v1 x", None),
    ("/v1\nx", None),
    ("/v1?x=a b", None),
    ("/v1\u200b", None),
    ("/v1?k=\x7f", None),
]


@pytest.mark.parametrize(("end", "target"), SLASHES)
def test_the_address_that_is_asked_for(end: str, target: str | None, shell: Shell) -> None:
    """An address given whole keeps its slash; blanks at the ends go, and those inside are refused."""
    with serving(well) as server:
        base_url = f"\n {origin(server.url)}{end}"
        if target is None:
            with pytest.raises(ValueError, match=r"base_url .*blank or a control character"):
                shell.rank(base_url=base_url)
            return
        shell.rank(base_url=base_url)

    assert server.requests[0].target == target


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("localhost", True),
        ("a_b.internal", True),
        ("a.example.", True),
        ("a" * 63, True),
        ("::1", True),
        ("fe80::1%25eth0", True),
        ("1.2.3.4", True),
        ("xn--bcher-kva.example", True),
        ("", False),
        (".", False),
        ("a..b", False),
        (".a", False),
        ("a" * 64, False),
        (".".join(["a" * 60] * 5), False),
        ("a%20b", False),
        ("[::1]", False),
        ("ü", False),
        ("a b", False),
    ],
)
def test_hosts(host: str, good: bool) -> None:
    """A host name that the resolver cannot take is refused when the client is made."""
    assert is_host(host) is good


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64, "ü" * 63, "a%20b", "bü_b.de", "h\\x"])
def test_hosts_that_are_none(host: str) -> None:
    """They are a bad base URL, and no UnicodeError of the first call."""
    with pytest.raises(ValueError, match="base_url must be"):
        Reranker("k", base_url=f"http://{host}/v1")


# Redirects


def with_location(location: str, status: int = 307) -> Any:
    """Return a server that redirects everything but its target, which is asked for with a query or without."""

    def script(request: Request) -> Script:
        where = location.format(port=request.headers["host"].rpartition(":")[2])
        target = urlsplit(where)
        wanted = target.path + (f"?{target.query}" if target.query else "")
        if request.target == wanted and (
            not target.hostname or request.headers["host"].startswith(target.hostname)
        ):
            yield honest(request)
        else:
            yield answer(status, headers={"Location": where})

    return script


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/v1/rerank/",
        "http://localhost:{port}/v1/rerank",
        "http://localhost:{port}/v2/rerank/",
        "http://127.0.0.1:{port}/rerank",
        "http://127.0.0.1:{port}/v1/rerank/?v=2&w=a%20b",
        "http://127.0.0.1:{port}/v2/rerank?v=2",
        "/v1/rerank/",
        "/api%20v2/rerank/",
        "HTTP://127.0.0.1:{port}/v9/rerank",
    ],
)
def test_the_advice_of_a_redirect_works(location: str, status: int, shell: Shell) -> None:
    """Following the message's advice reaches the target."""
    with serving(with_location(location, status)) as server:
        with pytest.raises(BadRequestError, match="Redirects are not followed") as caught:
            shell.rank(base_url=f"{origin(server.url)}/v1")
        (advice,) = re.findall(r"set base_url to (\S+)$", str(caught.value))

        assert shell.rank(base_url=advice).indices == [2, 1, 0]


def step(location: str | None, asked: str = "http://h/v1/rerank", query: str = "") -> str:
    """Return the message about a redirect."""
    return redirect_step(asked, query, location, "/rerank", "/models")


@pytest.mark.parametrize(
    ("location", "end"),
    [
        (None, "names no address; check base_url"),
        ("", "names no address; check base_url"),
        ("http://[::1/rerank", "names no valid address; check base_url"),
        ("ftp://h/v1/rerank", "names no valid address; check base_url"),
        ("http://a..b/v1/rerank", "names no valid address; check base_url"),
        (
            "https://sso.example/login?state=secret",
            "https://sso.example/login, which is not an address of this API; check base_url",
        ),
        ("http://user:secret@h/v2/rerank", "set base_url to http://h/v2/rerank"),
        ("rerank/", "set base_url to http://h/v1/rerank/"),
        ("models", "set base_url to http://h/v1"),
        ("models/", "http://h/v1/models/, which is not an address of this API; check base_url"),
        ("//o/v1/rerank#x", "set base_url to http://o/v1/rerank"),
        ("https://h/v1/rerank", "set base_url to https://h/v1/rerank"),
    ],
)
def test_redirects(location: str | None, end: str) -> None:
    """The message ends with what can be done, and holds no secret of the target."""
    assert step(location).endswith(end)
    assert "secret" not in step(location)


@pytest.mark.parametrize(
    ("location", "end"),
    [
        ("http://o/v1/rerank/?key=secret", "set base_url (and keep its query) to http://o/v1/rerank/"),
        ("http://o/v1/rerank?key=secret&v=2", "set base_url (and keep its query) to http://o/v1/rerank?v=2"),
        ("http://o/v1/rerank?trial=&v=2", "set base_url (and keep its query) to http://o/v1/rerank?v=2"),
        ("http://o/v1/rerank?token=secret", "set base_url (and keep its query) to http://o/v1/rerank"),
        ("http://o/v1/rerank", "set base_url (and keep its query) to http://o/v1/rerank"),
    ],
)
def test_redirects_of_a_base_url_with_a_query(location: str, end: str) -> None:
    """A secret that the server repeats is not shown."""
    assert step(location, query="key=secret&trial=").endswith(end)


def test_a_redirect_of_the_list_of_models(shell: Shell) -> None:
    """The address that it names is turned into the base URL by which it is reached; one that has none says so."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "new.example":
            return httpx.Response(200, json={"data": [{"id": "m"}]})
        return httpx.Response(
            308, headers={"location": "https://new.example/v2/models?output_modalities=rerank"}
        )

    with (
        shell.open(handler, "models", base_url="http://h.example/v1") as models,
        pytest.raises(BadRequestError) as caught,
    ):
        models()
    (advice,) = re.findall(r"set base_url to (\S+)$", str(caught.value))
    with shell.open(handler, "models", base_url=advice) as models:
        assert [model.id for model in models()] == ["m"]
    assert "not an address of this API" in step("/v1/models/", "http://h/v1/models")


@pytest.mark.parametrize(
    "body",
    [
        b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>",
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
)
def test_a_port_for_https_that_says_so(body: bytes, shell: Shell) -> None:
    """nginx, Go and Apache say it in a 400."""
    with (
        serving(refusing(400, body)) as server,
        pytest.raises(BadRequestError, match="Write https:// in base_url"),
    ):
        shell.rank(base_url=server.url)


# Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of our authority, and a directory of it as OpenSSL wants it."""
    place = tmp_path_factory.mktemp("certificates")
    AUTHORITY.cert_pem.write_to_path(str(place / "authority.pem"))
    (place / "empty.pem").write_bytes(b"")
    (place / "empty").mkdir()
    (place / "named").mkdir()
    shutil.copy(place / "authority.pem", place / "named/1234567.0")  # seven digits, not eight
    hashed = place / "hashed"
    hashed.mkdir()
    if shutil.which("openssl"):
        told = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", str(place / "authority.pem")],
            check=True,
            capture_output=True,
            text=True,
        )
        shutil.copy(place / "authority.pem", hashed / f"{told.stdout.strip()}.0")
    return place


def server_context(host: str = "127.0.0.1") -> ssl.SSLContext:
    """Return the certificate of a server of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(host).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    """Return a context that trusts our authority."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.mark.parametrize("form", ["str", "path", "directory", "context", "False"])
def test_verify(form: str, any_shell: Shell, certificates: Path) -> None:
    """A file, a directory, a context or False: the server is trusted, by one call, many, and copies for runs."""
    if form == "directory" and not any((certificates / "hashed").iterdir()):
        pytest.skip("openssl is not installed")
    verify = {
        "str": str(certificates / "authority.pem"),
        "path": certificates / "authority.pem",
        "directory": certificates / "hashed",
        "context": trusting(),
        "False": False,
    }[form]
    with serving(well, tls=server_context()) as server:
        assert any_shell.rank(base_url=server.url, verify=verify).indices == [2, 1, 0]
        if any_shell.name == "sync":
            with Reranker("k", base_url=server.url, verify=verify) as reranker:
                pairs = [("q", ["a", "b"])] * 3
                assert [result.unwrap().indices for result in reranker.rerank_many(pairs)] == [[1, 0]] * 3


@pytest.mark.parametrize(
    ("verify", "error", "says"),
    [
        ("{}/nowhere.pem", ValueError, "no certificates can be read from .*nowhere.pem"),
        ("{}/empty.pem", ValueError, "no certificates can be read from .*empty.pem"),
        ("{}/empty", ValueError, "has no certificates that OpenSSL finds; run `openssl rehash`"),
        ("{}/named", ValueError, "has no certificates that OpenSSL finds; run `openssl rehash`"),
        ("a\0b", ValueError, "no certificates can be read from"),
        ("", ValueError, "the path is empty"),
        (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ValueError, "one for servers"),
        (None, TypeError, "must be True, False, a path or an ssl.SSLContext, not NoneType"),
        (1, TypeError, "not int"),
        (b"ca.pem", TypeError, "not bytes"),
    ],
)
@pytest.mark.parametrize("base_url", ["https://h.example/v1", "http://h.example/v1"])
@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
def test_verify_that_cannot_be(  # noqa: D103 - its table says it
    kind: Any, base_url: str, verify: Any, error: type[Exception], says: str, certificates: Path
) -> None:
    given = verify.format(certificates) if isinstance(verify, str) else verify
    with pytest.raises(error, match=f"^verify.*{says}"):
        kind("k", base_url=base_url, verify=given)


@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
def test_verify_beside_an_injected_client(kind: Any) -> None:
    """It would do nothing, and is refused; the local mode has no certificates either."""
    with pytest.raises(ValueError, match=r"^verify: the http_client has its own"):
        kind("k", verify=False, http_client=httpx.Client() if kind is Reranker else httpx.AsyncClient())
    with pytest.raises(TypeError, match="'verify'"):
        kind.local(verify="ca.pem")


def test_verify_on_the_command_line(certificates: Path, tmp_path: Path) -> None:
    """`--ca-file` is the same, for each command that makes requests."""
    from click.testing import CliRunner

    from openrouter_rerank.cli.app import app

    documents = tmp_path / "documents.txt"
    documents.write_text("a\nb\n")

    def run(*more: str, url: str = "https://h.example/v1") -> Any:
        arguments = ["rank", "q", str(documents), "--base-url", url, *more]
        return CliRunner().invoke(app, arguments, env={"OPENROUTER_API_KEY": "k"})

    with serving(well, tls=server_context()) as server:
        done = run("--ca-file", str(certificates / "authority.pem"), url=server.url)
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)

    assert (
        "--ca-file: no certificates can be read" in run("--ca-file", str(certificates / "empty.pem")).output
    )
    assert run("--ca-file", "nowhere.pem").exit_code == 2
    local = CliRunner().invoke(app, ["rank", "q", str(documents), "--local", "--ca-file", str(documents)])
    assert local.exit_code == 2


# Why no answer came


@contextmanager
def closing(*, reset: bool) -> Generator[str]:
    """Provide a server that ends each connection after its first bytes."""

    def script(_: Request) -> Script:
        yield End.RESET if reset else End.CLOSE

    with serving(script) as server:
        yield server.url


def test_a_body_in_small_pieces() -> None:
    """It takes the memory of its bytes, and not of an object for each piece."""
    body = _Body(200, {}, Send(Secrets(), b"", LONG, 2**20))
    tracemalloc.start()
    try:
        for number in range(200_000):
            assert body.add(number.to_bytes(3))
        received = body.answer().body
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received == b"".join(number.to_bytes(3) for number in range(200_000))
    assert peak < 3 * len(received)


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a reset may discard what was received before it"
)
@pytest.mark.parametrize("tls", [False, True])
def test_a_refusal_before_the_request_was_read(tls: bool, any_shell: Shell) -> None:
    """A response is read although the connection broke while the request was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            # As servers do. Otherwise the response may wait for the client to acknowledge a TLS ticket, and the reset drops it.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            context = server_context() if tls else None
            with (
                accepted if context is None else context.wrap_socket(accepted, server_side=True) as connection
            ):
                connection.recv(100)
                connection.sendall(answer(413, {"error": {"message": "no more than a megabyte"}}))

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}/v1"
        with (
            any_shell.open(base_url=url, retries=ONCE, verify=trusting() if tls else True) as rank,
            pytest.raises(BadRequestError, match="no more than a megabyte"),
        ):
            rank("q", ["more than the buffers of a connection hold" * 1_000_000], max_bytes=2**30)
        thread.join()


@contextmanager
def speaking(first: bytes) -> Generator[str]:
    """Provide a server that says this to whatever it is sent first, and closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):  # as clients may end it by a reset
                if connection.recv(65536):
                    connection.sendall(first)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def unresolved(code: int) -> Any:
    """Return a resolver that fails."""

    def getaddrinfo(host: Any, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(code, "the resolver's words")

    return getaddrinfo


@pytest.mark.parametrize(
    ("code", "retryable", "says"),
    [
        (socket.EAI_NONAME, False, "as the host does not exist"),
        (socket.EAI_FAIL, False, "as the host does not exist"),
        (socket.EAI_AGAIN, True, "as DNS did not answer"),
    ],
)
def test_names_that_are_not_resolved(
    code: int, retryable: bool, says: str, any_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is quoted; a failure that may pass is tried again, and an unknown name is not."""
    with any_shell.open(base_url="http://rerank.example:8/v1", retries=QUICK) as rank:
        monkeypatch.setattr(socket, "getaddrinfo", unresolved(code))
        with pytest.raises(APIConnectionError) as caught:
            rank("q", ["a"])
        monkeypatch.undo()

    message = str(caught.value)
    assert f"the name 'rerank.example' could not be resolved, {says} (gaierror: " in message
    assert "base_url" in message
    assert "DNS" in message
    assert caught.value.retryable is retryable
    assert len(caught.value.attempts) == (QUICK.attempts if retryable else 1)


def test_the_name_of_a_proxy_that_is_not_resolved(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the proxy's name that is quoted, and its variable."""
    set_environment(monkeypatch, {"HTTP_PROXY": "http://proxy.example:8"})
    with shell.open(base_url="http://rerank.example/v1", retries=ONCE) as rank:
        monkeypatch.setattr(socket, "getaddrinfo", unresolved(socket.EAI_NONAME))
        with pytest.raises(APIConnectionError, match=r"'proxy\.example' could not .*; check HTTP_PROXY"):
            rank("q", ["a"])
        monkeypatch.undo()


OS_ERRORS = [
    (errno.ECONNREFUSED, "the server refused the connection", True),
    (errno.EHOSTUNREACH, "the network has no route to the server", True),
    (errno.ENETUNREACH, "the network has no route to the server", True),
    (errno.ECONNRESET, "the connection was reset", True),
    (errno.EPIPE, "the connection was reset", True),
    (errno.EACCES, "the server did not answer", True),
]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(("code", "says", "retryable"), OS_ERRORS)
def test_errors_of_the_system(code: int, says: str, retryable: bool, wrapped: bool, shell: Shell) -> None:
    """Each is told by its own words, however deep a library has buried it."""

    def handler(_: httpx.Request) -> httpx.Response:
        error: Exception = OSError(code, os.strerror(code))
        if wrapped:  # as anyio does, and then httpcore's pool, which takes the cause away
            outer = OSError("All connection attempts failed")
            outer.__cause__ = ExceptionGroup("several", [ValueError("else"), error])
            error = httpcore.ConnectError(outer)
        raise httpx.ConnectError("") from error

    with pytest.raises(APIConnectionError, match=f": {says}") as caught:
        shell.rank(handler, retries=ONCE)

    assert os.strerror(code) in str(caught.value)
    assert caught.value.retryable is retryable


def test_what_a_caller_was_handling_is_no_cause(shell: Shell) -> None:
    """An error that a caller handles while it calls has nothing to do with ours."""

    def handler(_: httpx.Request) -> httpx.Response:
        try:
            raise ssl.SSLCertVerificationError("of something else")
        except ssl.SSLError:
            raise httpx.ConnectError("refused")  # noqa: B904 - that is the case

    with pytest.raises(APIConnectionError, match=r"did not answer \(ConnectError: refused\)"):
        shell.rank(handler, retries=ONCE)


def test_nobody_listens(any_shell: Shell) -> None:
    """A refused connection is told as that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(APIConnectionError, match=r"refused the connection \(.*; check base_url, and that"):
        any_shell.rank(base_url=f"http://127.0.0.1:{port}/v1")


def test_tls_to_a_port_for_http(any_shell: Shell) -> None:
    """A server that answers in plain http is told as one, and not tried again."""
    with (
        speaking(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as place,
        pytest.raises(
            APIConnectionError, match=r"speaks http, not TLS, .*; write http:// in base_url"
        ) as caught,
    ):
        any_shell.rank(base_url=f"https://{place}/v1")

    assert not caught.value.retryable


def test_a_proxy_for_http_named_with_https(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """People write https:// in HTTPS_PROXY for a proxy that speaks http."""
    with speaking(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as place:
        set_environment(monkeypatch, {"HTTPS_PROXY": f"https://{place}"})
        with pytest.raises(
            APIConnectionError, match=r"the proxy speaks http, not TLS, .*; write http:// in HTTPS_PROXY"
        ):
            shell.rank(base_url="https://rerank.invalid/v1")


def test_http_to_a_port_for_tls(any_shell: Shell) -> None:
    """The alert of a TLS server is known by its first bytes."""
    with (
        speaking(b"\x15\x03\x01\x00\x02\x02\x46") as place,
        pytest.raises(
            APIConnectionError, match=r"like that of a port for TLS .*; write https:// in base_url"
        ) as caught,
    ):
        any_shell.rank(base_url=f"http://{place}/v1")

    assert not caught.value.retryable


def test_no_http(any_shell: Shell) -> None:
    """An answer that is none."""
    with (
        speaking(b"SSH-2.0-OpenSSH_9.7\r\n\r\n") as place,
        pytest.raises(APIConnectionError, match="is not HTTP"),
    ):
        any_shell.rank(base_url=f"http://{place}/v1", retries=ONCE)


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_ends_without_an_answer(reset: bool, any_shell: Shell) -> None:
    """Closed or reset, the message says so, and that the port may want https."""
    with (
        closing(reset=reset) as url,
        pytest.raises(APIConnectionError, match="whether the port wants https") as caught,
    ):
        any_shell.rank(base_url=url)

    assert re.search("connection was (closed without an answer|reset|lost)", str(caught.value))
    assert caught.value.retryable


def test_a_handshake_that_is_cut(any_shell: Shell) -> None:
    """A server that closes instead of shaking hands."""
    with (
        speaking(b"") as place,
        pytest.raises(APIConnectionError, match="closed during the TLS handshake") as caught,
    ):
        any_shell.rank(base_url=f"https://{place}/v1", retries=ONCE)

    assert caught.value.retryable


def test_a_handshake_that_fails(any_shell: Shell) -> None:
    """Two sides with no TLS version in common."""
    theirs, ours = server_context(), trusting()
    theirs.minimum_version = ssl.TLSVersion.TLSv1_3
    ours.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(well, tls=theirs) as server, pytest.raises(APIConnectionError, match="TLS failed") as caught:
        any_shell.rank(base_url=server.url, verify=ours)

    assert not caught.value.retryable


def test_a_certificate_of_another_host(any_shell: Shell) -> None:
    """No certificate that is added would help."""
    with (
        serving(well, tls=server_context("other.example")) as server,
        pytest.raises(
            APIConnectionError, match=r"belongs to another host .*; check the host in base_url"
        ) as caught,
    ):
        any_shell.rank(base_url=server.url, verify=trusting())

    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (9, r"not valid now .* clock"),
        (10, r"not valid now .* clock"),
        (62, "belongs to another host"),
        (64, "belongs to another host"),
        (18, "cannot be trusted"),
    ],
)
def test_a_refused_certificate(code: int, says: str, shell: Shell) -> None:
    """OpenSSL's code says why: not yet valid, expired, the name or the address of another host; or else the issuer."""

    def handler(_: httpx.Request) -> httpx.Response:
        error = ssl.SSLCertVerificationError("certificate verify failed")
        error.verify_code = code
        raise httpx.ConnectError("") from error

    with pytest.raises(APIConnectionError, match=says):
        shell.rank(handler)


def test_a_certificate_that_nobody_vouches_for(any_shell: Shell) -> None:
    """The message says what takes a certificate."""
    with (
        serving(well, tls=server_context()) as server,
        pytest.raises(APIConnectionError, match=r"cannot be trusted .*; pass verify= .*SSL_CERT_FILE"),
    ):
        any_shell.rank(base_url=server.url)


# Several addresses


@contextmanager
def black_hole() -> Generator[int]:
    """Provide a port of 127.0.0.1 that takes no more connections, and says nothing of that."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(16):  # one is taken, or a few; the others wait like those of the test
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def resolving(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Let a name have these ports of 127.0.0.1 as its addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
def test_a_dead_address_before_a_live_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live address is reached though the first is dead, within an attempt that the first alone would use up."""
    with black_hole() as dead, serving(well) as server:
        resolving(monkeypatch, dead, dead, urlsplit(server.url).port or 0)
        with Reranker("k", base_url="http://many.example/v1", timeout=8.0, retries=ONCE) as reranker:
            assert reranker.rerank("q", ["a"]).indices == [0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
def test_all_addresses_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty dead addresses take no longer than one."""
    with black_hole() as dead:
        resolving(monkeypatch, *[dead] * 60)
        began = time.monotonic()
        with (
            Reranker("k", base_url="http://many.example/v1", timeout=2.0, retries=ONCE) as reranker,
            pytest.raises(APITimeoutError, match="no connection to"),
        ):
            reranker.rerank("q", ["a"])

    assert time.monotonic() - began < 60  # by one after the other, 120


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
def test_connecting_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not take a connection in that time does not have the rest of a long attempt."""
    monkeypatch.setattr("openrouter_rerank.connections._CONNECT", 0.5)
    clock = _Clock()
    clock.end = time.monotonic() + 600
    with black_hole() as dead, pytest.raises(httpcore.ConnectTimeout):
        clock.connect_tcp("127.0.0.1", dead)

    assert clock.left(httpcore.ConnectTimeout) > 300


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
def test_a_run_that_is_cut_while_it_connects() -> None:
    """Leaving a run does not wait for its connections to be made."""
    clock = _Clock()
    clock.end = time.monotonic() + 600
    asked: list[float] = []
    left = clock.left

    def cutting(*arguments: Any) -> float:
        asked.append(0)
        if len(asked) == 3:
            clock.cut()
        return left(*arguments)

    clock.left = cutting  # type: ignore[method-assign]
    with black_hole() as dead, pytest.raises(httpcore.ConnectTimeout):
        clock.connect_tcp("127.0.0.1", dead)

    assert len(asked) == 3


def test_addresses_of_both_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next address to be tried is of the other family; each error is told once, and all are kept."""
    tried: list[str] = []

    class Refused(socket.socket):
        def connect(self, address: Any) -> None:
            tried.append(address[0])
            code = errno.ENETUNREACH if ":" in address[0] else errno.ECONNREFUSED
            raise OSError(code, os.strerror(code))

    six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"::{n}", 9, 0, 0)) for n in (1, 2, 3)]
    four = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 9)) for n in (1, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*six, *four])
    monkeypatch.setattr(socket, "socket", Refused)

    with pytest.raises(OSError, match=r"^.*unreachable; .*refused$") as caught:
        connect("many.example", 9, lambda: 5.0)

    assert tried == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert len(caught.value.__cause__.exceptions) == 5


@pytest.mark.parametrize("count", [1, 2])
def test_errors_of_addresses(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a single address is raised as it is; that of several has each message once."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * count)
        with pytest.raises(OSError, match=r"^[^;]*refused$") as caught:
            connect("some.example", port, lambda: 5.0)
    assert isinstance(caught.value, ConnectionRefusedError) == (count == 1)


def test_a_name_without_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that finds nothing and says nothing."""
    resolving(monkeypatch)

    with pytest.raises(OSError, match=r"none\.example has no address"):
        connect("none.example", 9, lambda: 5.0)


@pytest.mark.parametrize("kind", [Connections, AsyncConnections])
def test_the_number_of_connections(kind: Any) -> None:
    """A client has a hundred connections, as an httpx client has."""
    assert inspect.signature(kind).parameters["limit"].default == 100


def test_the_options_of_a_connection() -> None:
    """It has httpcore's options, goes from the address that is asked for, and waits for what it reads."""
    clock = _Clock()
    clock.end = time.monotonic() + 60
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = clock.connect_tcp(
            host="127.0.0.1",
            port=listener.getsockname()[1],
            timeout=None,
            local_address="127.0.0.1",
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        )
        made = stream.get_extra_info("socket")
        try:
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert made.getsockname()[0] == "127.0.0.1"
        finally:
            stream.close()


def test_an_address_to_come_from_that_is_not_ours() -> None:
    """A socket that cannot be bound is closed, and the error is that of a connection."""
    clock = _Clock()
    clock.end = time.monotonic() + 60
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(httpcore.ConnectError),
    ):
        clock.connect_tcp("127.0.0.1", listener.getsockname()[1], local_address="192.0.2.1")


def test_an_address_that_the_system_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own timeout is one of ours."""

    def late(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(socket, "getaddrinfo", late)
    clock = _Clock()
    clock.end = time.monotonic() + 60
    with pytest.raises(httpcore.ConnectTimeout):
        clock.connect_tcp("127.0.0.1", 9)


def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SSL_CERT_FILE that leads nowhere is told by its name when the reranker is made."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")

    with pytest.raises(ValueError, match="SSL_CERT_FILE"):
        Reranker("k")


def test_a_socks_proxy_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy in the environment says what it needs when the reranker is made."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setattr("openrouter_rerank.proxies.find_spec", lambda _: None)

    with pytest.raises(ValueError, match=r"httpx\[socks\]"):
        Reranker("k")
