"""A server that cannot be reached is diagnosed by the cause, and no secret is shown."""

import base64
import json
import logging
import ssl
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from doctor_servers import KEY, Spec
from openrouter_rerank import diagnose
from openrouter_rerank.doctor import Diagnosis, shell
from openrouter_rerank.testing import End, Request, Script, answer, serving, unused_address

AUTHORITY = trustme.CA()


def tls_server(name: str = "127.0.0.1") -> ssl.SSLContext:
    """Return the context of a server with a certificate for the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(context)
    return context


def tls_client() -> ssl.SSLContext:
    """Return the context of a client that trusts the authority."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def code_of(found: Diagnosis) -> str:
    """Return the code of the only problem."""
    (problem,) = found.problems
    return problem.code


def test_a_certificate_that_is_trusted_is_no_problem():
    """`verify` is that of the client."""
    with serving(Spec().play(), tls=tls_server()) as server:
        found = diagnose(server.url.removesuffix("/api/v1") + "/v1", api_key="", verify=tls_client())
    assert found.problems == ()


@pytest.mark.parametrize(
    ("name", "verify", "says"),
    [("127.0.0.1", None, "cannot be trusted"), ("elsewhere.example", tls_client(), "another host")],
    ids=["unknown authority", "another host"],
)
def test_a_wrong_certificate_is_named(name: str, verify: ssl.SSLContext | None, says: str):
    """The reason of the certificate stands in the report."""
    with serving(Spec().play(), tls=tls_server(name)) as server:
        found = diagnose(server.url, api_key="", verify=True if verify is None else verify)
    assert code_of(found) == "tls"
    assert says in found.problems[0].says


def test_http_at_a_port_for_https():
    """The report has the address with https."""
    with serving(Spec().play(), tls=tls_server()) as server:
        found = diagnose(server.url.replace("https:", "http:"), api_key="")
        assert code_of(found) == "tls"
        assert server.url in found.problems[0].do


def test_https_at_a_port_for_http():
    """The report has the address with http, to which no key is sent, as others could read it."""
    with serving(Spec().play()) as server:
        found = diagnose(server.url.replace("http:", "https:"), api_key=KEY, timeout=1)
        assert code_of(found) == "tls"
        assert server.url in found.problems[0].do
        assert not any("authorization" in request.headers for request in server.requests)


def test_a_server_that_says_that_it_wants_https():
    """An nginx answers plain http itself."""

    def script(request: Request) -> Script:
        yield answer(400, b"<html>The plain HTTP request was sent to HTTPS port</html>", "text/html")

    with serving(script) as server:
        found = diagnose(server.url, api_key="")
        assert code_of(found) == "tls"
        assert server.url.replace("http:", "https:") in found.problems[0].do


def hang(request: Request) -> Script:
    """Never answer."""
    yield End.HANG


def drip(request: Request) -> Script:
    """Answer a byte at a time, and never to the end."""
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    while True:
        yield b" "
        yield 0.05


@pytest.mark.parametrize("script", [hang, drip])
def test_a_server_that_does_not_answer_in_time(script: Any):
    """The timeout bounds the whole response."""
    with serving(script) as server:
        found = diagnose(server.url, api_key="", timeout=0.3)
    assert code_of(found) == "timeout"
    assert found.requests == 1


def test_the_time_of_a_response_that_did_not_come(monkeypatch: pytest.MonkeyPatch):
    """It counts from the beginning of the request; the message has the timeout."""
    monkeypatch.setattr(shell, "monotonic", lambda: 105.0)
    late = shell._late(100.0, 60.0)
    assert (late.code, late.says, late.seconds) == ("timeout", "no complete response within 60 s", 5.0)


def test_a_server_that_stops_answering():
    """A timeout after the first answers ends the diagnosis."""

    def script(request: Request) -> Script:
        if request.number > 4:
            yield End.HANG
        yield from healthy(request)

    healthy = Spec().play()
    with serving(script) as server:
        found = diagnose(server.url.removesuffix("/api/v1") + "/v1", api_key="", timeout=3)
    assert code_of(found) == "timeout"


@pytest.mark.parametrize("url", [None, "http://no-such-host.invalid/v1", "no-such-host.invalid"])
def test_an_address_that_nothing_listens_at(url: str | None):
    """Refused, and not resolved."""
    found = diagnose(url or unused_address(), api_key="")
    assert code_of(found) == "unreachable"
    assert found.requests == 1
    assert found.dialect == "unknown"
    assert found.configuration.python is None


def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch):
    """The proxy of the environment is used, and named."""

    def script(request: Request) -> Script:
        yield answer(407, b"")

    with serving(script) as server:
        monkeypatch.setenv(
            "HTTPS_PROXY", server.url.removesuffix("/api/v1").replace("//", "//user:secret-of-proxy@")
        )
        found = diagnose("https://api.example.invalid/v1", api_key="")
    assert code_of(found) == "proxy_error"
    assert "secret-of-proxy" not in found.to_json()


SECRET = "secret-key/with+signs=0123456789"


@pytest.fixture(params=["plain", "json", "url", "base64", "hex"])
def shown(request: pytest.FixtureRequest) -> str:
    """The key in a form in which a server may send it back."""
    return {
        "plain": SECRET,
        "json": json.dumps(json.dumps(SECRET)),
        "url": quote(SECRET, safe=""),
        "base64": base64.b64encode(f"Bearer {SECRET}".encode()).decode(),
        "hex": SECRET.encode().hex(),
    }[request.param]


@pytest.mark.parametrize("status", [200, 401, 403, 422, 429, 500])
def test_the_key_is_shown_nowhere(shown: str, status: int):
    """A server that sends the key back does not make it appear in the report."""

    def before(request: Request, number: int) -> Any:
        body = {"error": {"message": f"The key {shown} is wrong"}, "id": shown, "model": f"m {shown}"}
        headers = {"x-key": shown, "server": shown, "location": f"/{shown}"}
        if status == 200:
            return None
        return status, body, headers

    more = {"model": f"m {shown}", "id": shown}
    with serving(Spec(before=before, more=more, headers={"server": shown}).play()) as server:
        url = server.url.removesuffix("/api/v1") + f"/v1?token={quote(SECRET, safe='')}"
        found = diagnose(url, api_key=SECRET)
    everything = found.to_json() + repr(found) + str(found)
    for form in (SECRET, shown, quote(SECRET, safe="")):
        assert form not in everything


def tracebacks(error: BaseException) -> Generator[dict[str, Any]]:
    """Yield the local variables of each frame of our own."""
    trace = error.__traceback__
    while trace is not None:
        if "openrouter_rerank" in trace.tb_frame.f_code.co_filename:
            yield trace.tb_frame.f_locals
        trace = trace.tb_next


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "http://localhost:1/v1", "api_key": f"{SECRET} blank"},
        {"url": f"ftp://localhost/{SECRET}", "api_key": SECRET},
        {"url": f"http://user:{SECRET}@localhost/v1", "api_key": SECRET},
        {"url": f"http://localhost/{SECRET} /v1", "api_key": SECRET},
        {"url": "http://localhost:1/v1", "api_key": SECRET, "dialect": "other"},
        {"url": "http://localhost:1/v1", "api_key": SECRET, "max_requests": 0},
        {"url": "http://localhost:1/v1", "api_key": SECRET, "timeout": -1},
        {"url": "http://localhost:1/v1", "api_key": SECRET, "verify": "/no/such/file"},
    ],
)
def test_a_wrong_argument_is_refused_without_a_secret(arguments: dict[str, Any]):
    """Neither the message nor a local variable has the key or the address."""
    with pytest.raises(ValueError, match=r".") as caught:
        diagnose(**arguments)
    assert SECRET not in str(caught.value)
    for variables in tracebacks(caught.value):
        assert SECRET not in repr(variables)


def test_the_key_goes_to_no_other_host():
    """A redirect to another host is not followed."""
    with serving(Spec().play()) as other:

        def before(request: Request, number: int) -> Any:
            return 307, "", {"location": f"{other.url}/rerank"}

        with serving(Spec(before=before).play()) as server:
            found = diagnose(server.url, api_key=KEY)
            assert any(request.headers.get("authorization") for request in server.requests)
        assert not other.requests
    assert code_of(found) == "wrong_path"


def test_a_body_without_end_is_cut():
    """No more than some megabytes are read."""

    def script(request: Request) -> Script:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
        while True:
            yield b" " * 2**20

    with serving(script) as server:
        found = diagnose(server.url, api_key="", max_requests=1)
    assert found.facts["stopped"]


def test_a_url_of_another_type():
    """It is refused."""
    with pytest.raises(ValueError, match="URL"):
        diagnose(5)  # type: ignore[arg-type] # as a caller without a checker may


def test_the_log_has_no_secret(caplog: pytest.LogCaptureFixture):
    """A key in the query of the URL is not logged by the library that sends, nor is one in a header."""
    caplog.set_level(logging.DEBUG)
    with serving(Spec(key=KEY).play()) as server:
        host = server.url.removesuffix("/api/v1")
        found = diagnose(f"{host}/v1?api_key=secret-of-a-query-987", api_key=KEY)
    assert found.is_usable
    assert "secret-of-a-query-987" not in caplog.text + found.to_json()
    assert KEY not in caplog.text
