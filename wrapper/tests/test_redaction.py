"""Secrets in what a server sends are found however they are written, in time proportional to the text."""

from __future__ import annotations

import base64
import html
import json
import ssl
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import quote

import h11
import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_rerank.redaction import (
    REDACTED,
    Key,
    Masked,
    Redactor,
    hides_frames,
    mask,
    mask_arguments,
    reveal,
    secrets_in_environment,
    secrets_in_headers,
    secrets_in_url,
)

# It has what JSON, URLs and HTML escape.
SECRET = "sk-or/v1+0123&'\"<x>=\\%41z"
MEBIBYTE = 2**20


def unicode_escaped(text: str) -> str:
    """Every character as JSON may escape it."""
    return "".join(f"\\u{ord(char):04X}" for char in text)


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in upper case": str.upper,
    "in lower case": str.lower,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON, every character": unicode_escaped,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "JSON in JSON, every character": lambda text: json.dumps(unicode_escaped(text))[1:-1],
    "JSON six times": lambda text: str([text := json.dumps(text)[1:-1] for _ in range(6)][-1]),
    "some characters": lambda text: text.replace("k", "\\u006b").replace("1", "%31").replace("z", "&#x7A;"),
    "repr": lambda text: repr(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "repr of bytes, every character": lambda text: "".join(f"\\x{ord(char):02X}" for char in text),
    "octal": lambda text: "".join(f"\\{ord(char):03o}" for char in text),
    "JavaScript": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "Python": lambda text: "".join(f"\\U{ord(char):08x}" for char in text),
    "a URL": lambda text: quote(text, safe=""),
    "a URL, every character": lambda text: "".join(f"%{ord(char):02x}" for char in text),
    "a URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "a URL in JSON, every character": lambda text: unicode_escaped(quote(text, safe="")),
    "HTML": html.escape,
    "HTML, decimal": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "HTML in HTML": lambda text: html.escape("".join(f"&#{ord(char)};" for char in text)),
    "HTML with names": lambda text: text.replace("/", "&sol;").replace("+", "&plus;").replace("&'", "&amp;'"),
    "hexadecimal": lambda text: text.encode().hex().upper(),
    "hexadecimal with blanks": lambda text: text.encode().hex(" "),
    "hexadecimal with colons": lambda text: text.encode().hex(":").upper(),
    "JavaScript's escape()": lambda text: "".join(f"%u{ord(char):04X}" for char in text),
    "UTF-16 in JSON": lambda text: json.dumps("\0".join(text))[1:-1],
    "UTF-16 in Python": "\\U00000000".join,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 behind one": lambda text: base64.b64encode(b"u" + text.encode() + b"!").decode(),
    "base64 behind two": lambda text: base64.b64encode(b"u:" + text.encode() + b"!").decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "UTF-16": lambda text: text.encode("utf-16-le").decode("latin-1"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
@pytest.mark.parametrize("secret", [SECRET, "sk-or-v1-the-key-that-nobody-may-see", "aaaaaaaaaaaaaaaaaaaa"])
def test_forms(form: Callable[[str], str], secret: str) -> None:
    """The secret is replaced in any form, and what stands around it stays."""
    redactor = Redactor([secret])
    text = f"before {form(secret)} between {form(secret)} after"

    redacted = redactor.text(text)

    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert " between " in redacted
    assert redacted.count(REDACTED) == 2
    # Of base64, the letters at either end are those of the neighbours too.
    assert len(redacted) <= len("before  between  after") + 2 * (len(REDACTED) + 8)
    assert redactor.is_in(text.encode())
    assert not redactor.is_in(redacted.encode())
    assert redactor.data(text.encode()) == redacted.encode()


@pytest.mark.parametrize("dumps", [json.dumps, lambda text: f'"{unicode_escaped(text)}"'])
@pytest.mark.parametrize("before", ["", "\\", "\n", "é", "/", "C:\\\\"])
@pytest.mark.parametrize("secret", [SECRET, "/abcdefgh", "nabcdefg", "\\abcdefgh"])
def test_json_stays_json(dumps: Callable[[str], str], before: str, secret: str) -> None:
    """A body without its secrets can still be read."""
    body = f'{{"name": {dumps(before + secret + before)}, "x": [1.5, "{{}}"]}}'

    read = json.loads(Redactor([secret]).text(body))

    assert read["x"] == [1.5, "{}"]
    assert REDACTED in read["name"]


@given(st.text(), st.text(), st.text(min_size=8))
def test_any_secret_in_any_text(before: str, after: str, secret: str) -> None:
    """A secret of any characters is not in the text any more, and a text without it is untouched."""
    redactor = Redactor([secret])
    clean = f"{before}{after}"

    assert secret not in redactor.text(f"{before}{secret}{after}").replace(REDACTED, "")
    if not redactor.is_in(clean.encode("utf-8", "surrogatepass")):
        assert redactor.text(clean) is clean


def test_nothing_to_redact() -> None:
    """Without a secret, or with placeholders alone, everything stays; so does what only looks like an escape."""
    for redactor in (Redactor(), Redactor(["x", "EMPTY", "1234567", ""])):
        assert redactor.text("x EMPTY 1234567") == "x EMPTY 1234567"
        assert redactor.data(b"x" * 10, is_cut=True) == b"x" * 10
        assert not redactor.is_in(b"x")
    odd = "\\u00e9 \\ud83d \\u7345 %zz 100% &nbsp; &; &unknown; \\ \\\\ \0 &amp;amp;"
    assert Redactor([SECRET]).text(odd) == odd


def test_several_secrets() -> None:
    """Secrets that overlap are replaced as one, and those that are apart each."""
    redactor = Redactor(["abcdefgh", "efghijkl"]).with_secrets(["12345678"])

    assert redactor.text("abcdefghijkl 12345678 abcdefgh") == f"{REDACTED} {REDACTED} {REDACTED}"
    assert repr(redactor) == "<redactor>"


def test_values() -> None:
    """All strings of a JSON value are redacted, names too."""
    told = {SECRET: [SECRET, 1, None, {"a": f"x{SECRET}"}]}

    assert Redactor([SECRET]).value(told) == {REDACTED: [REDACTED, 1, None, {"a": f"x{REDACTED}"}]}


# ------------------------------------------------------------------------------------------------------- large bodies

KEY = "sk-or-v1-" + "0123456789abcdef" * 4
PATTERNS = {
    "letters": b"x",
    "backslashes": b"\\",
    "zeros": b"\0",
    "escaped letters": b"\\u0041",
    "escaped backslashes": b"\\u005c",
    "the beginning of an escape": b"\\u00",
    "backslash u": b"\\\\u",
    "the beginning of the key": KEY[:-1].encode(),
    "the key": KEY.encode(),
    "the escaped key": unicode_escaped(KEY).encode(),
    "the beginning of the escaped key": unicode_escaped(KEY[:-1]).encode(),
    "percents": b"%",
    "escaped percents": b"%25",
    "a long escaped percent": b"25",
    "ampersands": b"&",
    "escaped ampersands": b"&amp;",
    "a long escaped ampersand": b"amp;",
    "long entities": b"&#00000",
    "slashes": b"/",
    "at signs": b"//x@",
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=list(PATTERNS))
@pytest.mark.parametrize("secret", [KEY, "ab" * 2000 + "c", "\\" * 64], ids=lambda secret: secret[:8])
def test_large_bodies(pattern: bytes, secret: str) -> None:
    """A mebibyte that was made to be expensive is redacted at once: with a search that goes back, this takes minutes."""
    body = (b"%&\\" + pattern * (MEBIBYTE // len(pattern) + 1))[:MEBIBYTE]
    redactor = Redactor([secret])

    assert not redactor.is_in(redactor.data(body).replace(REDACTED.encode(), b" "))
    assert len(redactor.data(body, is_cut=True)) <= MEBIBYTE


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_no_part_of_a_secret_at_a_cut(form: Callable[[str], str]) -> None:
    """A body that is cut ends before the last thing that may have become a secret, wherever the cut was."""
    written = form("sk-or-v1-the-key-that-nobody-may-see")
    body = f"{'. ' * 500}{written}".encode()
    redactor = Redactor(["sk-or-v1-the-key-that-nobody-may-see"])

    for cut in range(len(body) - len(written.encode()), len(body)):
        redacted = redactor.data(body[:cut], is_cut=True)
        assert not set(redacted) - set(b". ")
        assert len(redacted) > 100
    assert redactor.data(b"short", is_cut=True) == b""


# ------------------------------------------------------------------------------------------------- headers and errors


def test_headers() -> None:
    """Names and values of headers are redacted, each line by itself; headers without a secret are left as they are."""
    redactor = Redactor(["abcdefgh"])
    clean = httpx.Headers({"x": "y"})
    told = httpx.Headers([(b"X-abcdefgh", b"1"), (b"set-cookie", b"abcdefgh"), (b"set-cookie", b"b\xe9")])

    assert redactor.headers(clean) is clean
    assert redactor.headers(told).multi_items() == [
        (f"x-{REDACTED}", "1"),
        ("set-cookie", REDACTED),
        ("set-cookie", "bé"),
    ]
    assert redactor.headers({"A": "abcdefgh"}) == {"A": REDACTED}


class Awkward(Exception):
    """An error whose class needs arguments."""

    def __new__(cls, needed: object, *args: object) -> Self:
        """Make one."""
        return super().__new__(cls, needed, *args)

    def __str__(self) -> str:
        return f"awkward {self.args[0]}"


def _raised(error: Exception, cause: BaseException | None, context: BaseException | None = None) -> Exception:
    try:
        try:
            raise context or KeyError("no secret")  # noqa: TRY301 - an error needs a context
        except BaseException:  # noqa: BLE001 - whatever it is
            raise error from cause
    except type(error) as raised:
        return raised


ERRORS: list[Exception] = [
    httpcore.RemoteProtocolError(h11.RemoteProtocolError(f"illegal status line: {KEY!r}")),
    httpx.ReadError(KEY),
    OSError(5, KEY),
    ssl.SSLError(1, KEY),
    UnicodeDecodeError("utf-8", KEY.encode(), 0, 1, "bad"),
    Awkward(KEY),
    ExceptionGroup(KEY, [ValueError(KEY)]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["itself", "cause", "context"])
def test_errors(error: Exception, place: str) -> None:
    """An error that shows a secret, or comes from one that does, is a copy without it, of the same class if possible."""
    top = httpcore.ReadError("outer")
    error.add_note(f"a note {KEY}")
    if place == "itself":
        top = _raised(error, None)  # type: ignore[assignment]
    elif place == "cause":
        top = _raised(top, error)  # type: ignore[assignment]
    else:
        top = _raised(top, None, error)  # type: ignore[assignment]

    copy = Redactor([KEY]).exception(top)

    shown = ""
    chain: list[BaseException | None] = [copy]
    while chain:
        one = chain.pop()
        if one is not None:
            shown += f"{one} {one!r} {one.args!r} {vars(one)!r}"
            assert one.__traceback__ is None
            chain += (one.__cause__, one.__context__)
    assert KEY not in shown
    assert REDACTED in shown
    assert place == "itself" or type(copy) is httpcore.ReadError
    assert isinstance(copy, type(top)) or type(top).__name__ in str(copy)


def test_an_error_with_nothing_to_hide() -> None:
    """It stays what it is, without the frames of the library, which hold what was sent; a password in a URL is hidden."""
    error = _raised(httpcore.ReadError("reset"), OSError(5, "reset"))
    redactor = Redactor([KEY])

    assert redactor.exception(error) is error
    assert error.__traceback__ is None
    assert str(redactor.exception(httpx.ProxyError("http://u:p@h and https://x"))) == (
        f"http://{REDACTED}@h and https://x"
    )


# ------------------------------------------------------------------------------------------------- what is a secret


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("Authorization", "Bearer the-secret", "the-secret"),
        ("authorization", "the-secret", "the-secret"),
        ("AUTHORIZATION", "ApiKey the-secret", "the-secret"),
        ("Authorization", f"Basic {base64.b64encode(b'user:the-secret').decode()}", "the-secret"),
        (
            "Proxy-Authorization",
            f"basic {base64.b64encode(b'user:the-secret').decode()}",
            "dXNlcjp0aGUtc2VjcmV0",
        ),
        ("api-key", "the-secret", "the-secret"),
        ("X-API-Key", "the-secret", "the-secret"),
        ("X-Auth", "the-secret", "the-secret"),
        ("Ocp-Apim-Subscription-Key", "the-secret", "the-secret"),
        ("CF-Access-Client-Secret", "the-secret", "the-secret"),
        ("X-Amz-Security-Token", "the-secret", "the-secret"),
        ("Cookie", "a=1; session=the-secret; b=2", "the-secret"),
        ("Authorization", 'Digest username="me", response="the-secret"', "the-secret"),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=AK/x, Signature=the-secret", "the-secret"),
        ("X-Anything", "Bearer the-secret", "the-secret"),
        ("X-Anything", "sk-the-secret", "sk-the-secret"),
        ("X-Passphrase", "the secret words", "the secret words"),
    ],
)
def test_secrets_in_headers(name: str, value: str, secret: str) -> None:
    """A header whose name or value looks like a secret is one; the name of its scheme is not."""
    found = set(secrets_in_headers([(name, value)]))

    assert secret in found
    assert not {"Bearer", "Digest", "AWS4-HMAC-SHA256"} & found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("User-Agent", "openrouter-rerank/1.2.3"),
        ("X-Request-Id", "0b4a2c1e-7a51-4b7e-8f3e-6a5b1d0c9e8f"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("X-Author", "somebody else"),
        ("HTTP-Referer", "https://app.example/a/long/path"),
    ],
)
def test_no_secrets_in_headers(name: str, value: str) -> None:
    """Harmless values of a response, such as the id of a request, are not secrets."""
    assert not list(secrets_in_headers([(name, value)]))


def test_a_basic_that_is_none() -> None:
    """Bad base64 is a secret as it is."""
    assert set(secrets_in_headers([("Authorization", "Basic abcde")])) >= {"abcde"}


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("http://u:the%20secret@h/", {"the secret", "the%20secret"}),
        ("http://token@h/", {"token"}),
        ("https://h/v1?code=abc&api-version=2024-05-01&sig=x%20y&api_key=k", {"abc", "x y", "k"}),
        ("https://h/v1", set[str]()),
    ],
)
def test_secrets_in_urls(url: str, secrets: set[str]) -> None:
    """The password of an address is a secret, and so are the parameters that prove who asks."""
    assert set(secrets_in_url(url)) - {""} == secrets


def test_secrets_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The passwords of proxies are secrets, with or without a scheme; a proxy that is no URL has none."""
    monkeypatch.setenv("HTTP_PROXY", "u:the-first@127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://u:the-second@h:9")
    monkeypatch.setenv("ALL_PROXY", "http://[u")
    monkeypatch.setenv("NO_PROXY", "u:never@h")

    assert set(secrets_in_environment()) - {""} == {"the-first", "the-second"}


# ------------------------------------------------------------------------------------------------------------- masking


def test_masks() -> None:
    """A masked value shows nowhere, is what it was when it is revealed, and is masked once."""
    masked: Any = mask("secret")

    assert isinstance(masked, Masked)
    assert "secret" not in repr(masked)
    assert mask(masked) is masked
    assert (reveal(masked), reveal("plain"), mask(None)) == ("secret", "plain", None)
    arguments = {"api_key": "secret", "model": "m"}
    mask_arguments(arguments)
    assert "secret" not in repr(arguments)
    assert arguments["model"] == "m"


def test_a_key_may_be_masked() -> None:
    """A key is the same from a str, masked, or from another key."""
    for given_key in ("the-key", mask("the-key"), Key("the-key"), " the-key\n"):
        assert Key(given_key).header() == {"Authorization": "Bearer the-key"}


def test_hidden_frames() -> None:
    """An error of such a function has neither its frames nor a cause."""

    @hides_frames
    def refuse(value: str) -> None:
        secret = reveal(value)
        try:
            raise KeyError(secret)  # noqa: TRY301 - the error needs a context
        except KeyError:
            raise ValueError("refused") from None

    with pytest.raises(ValueError, match="refused") as caught:
        refuse(mask("secret"))

    names = [entry.name for entry in caught.traceback]
    assert "refuse" not in names
    assert caught.value.__context__ is None
