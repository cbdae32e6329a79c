"""Keep secrets out of reprs and tracebacks, and redact them from responses."""

from __future__ import annotations

import base64
import binascii
import html
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from itertools import accumulate, chain
from typing import Any, Generic, ParamSpec, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies

from openrouter_rerank.defaults import KEY_VARIABLE

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H", bound=Mapping[str, str])
E = TypeVar("E", bound=BaseException)

REDACTED = "[key]"
"""The text in place of a secret."""

SHORTEST_SECRET = 8
"""Shorter values are placeholders ("x", "EMPTY") that occur in any text; they are never searched for."""

# ------------------------------------------------------------------------------------------------------------- masking


class Masked(Generic[T]):
    """A value that no repr shows. Not a subclass of str or dict, as debuggers show the content of these."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the value."""
        return self._value

    def __repr__(self) -> str:
        return "<masked>"


def mask(value: T) -> T:
    """Mask an argument that may contain a secret; for type checkers its type is unchanged. None stays None."""
    given: Any = value
    return cast(T, given if given is None or isinstance(given, Masked) else Masked(given))


def reveal(value: T) -> T:
    """Return the value of an argument, masked or not."""
    return cast("Masked[T]", value).reveal() if isinstance(value, Masked) else value


_SECRET_ARGUMENTS = ("api_key", "base_url", "extra_headers", "app_title", "app_referer", "app_categories")


def mask_arguments(arguments: dict[str, Any]) -> None:
    """Mask the keyword arguments that may contain a secret."""
    for name in arguments.keys() & set(_SECRET_ARGUMENTS):
        arguments[name] = mask(arguments[name])


def hides_frames(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with frames removed from its TypeError and ValueError, as their local variables may contain secrets."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
        del args, kwargs  # this frame is part of the traceback
        raise failure

    return call


class Key:
    """An API key, passed in or from the environment, that is not shown in reprs and tracebacks.

    Without a variable, the key is only the one passed in.
    """

    __slots__ = ("_value", "_variable")

    def __init__(self, given: object, variable: str | None = KEY_VARIABLE) -> None:
        # `check` refuses invalid keys; an error raised here would have the key in its frames.
        given = reveal(given)
        self._value: object = given._value if isinstance(given, Key) else given  # noqa: SLF001 - the same class
        self._variable = variable
        if given is None:
            self._value = "" if variable is None else os.environ.get(variable, "").strip() or None
        elif isinstance(given, str):
            self._value = given.strip() or given

    def __repr__(self) -> str:
        return "<key>"

    def check(self) -> None:
        """Raise if the key is missing or invalid.

        Raises:
            TypeError, ValueError: The key is missing or invalid. The message does not contain it.
        """
        if self._value is None:
            message = (
                f"no API key: pass api_key=, or set {self._variable}. To rank without a key, use Reranker.local(); "
                "for a server that needs no key, pass api_key=''"
            )
            raise ValueError(message)
        if not isinstance(self._value, str):
            message = f"the API key must be a str, not {type(self._value).__name__}"
            raise TypeError(message)
        if not (self._value.isascii() and self._value.isprintable()) or " " in self._value:
            raise ValueError(
                "the API key has a blank, a control character or a non-ASCII letter; pass only the key itself"
            )

    def header(self) -> dict[str, str]:
        """Return the header with the key, or no header for an empty key."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}


# ------------------------------------------------------------------------------------------------------- finding secrets

_SECRET_NAME = re.compile(
    r"auth(?!or(?!i))|key|token|secret|cookie|passw|passphrase|pwd|credential|signature|jwt|bearer",
    re.IGNORECASE,
)
_SECRET_PARAMETER = re.compile(rf"(?:{_SECRET_NAME.pattern}|^code$|^sig$)", re.IGNORECASE)
# Known prefixes of keys, in any header.
_SECRET_VALUE = re.compile(
    r"(?:bearer|basic)\s|(?:sk|pk|rk)[-_]|eyJ|gh[opsur]_|github_pat_|glpat-|hf_|xox|AIza|AKIA", re.IGNORECASE
)
_SCHEME = re.compile(
    r"\s*(?:bearer|basic|digest|token|api-?key|key|negotiate|ntlm|hoba|mutual|dpop|scram-[\w-]+|aws4-[\w-]+|sharedkey\w*)\s+",
    re.IGNORECASE,
)
_BASIC = re.compile(r"\s*basic\s+(\S+)", re.IGNORECASE)


def secrets_in_headers(headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the secrets in headers: the values that authenticate the client."""
    for name, value in headers:
        if not (_SECRET_NAME.search(name) or _SECRET_VALUE.match(value)):
            continue
        # "Bearer <key>", "a=<session>; b=<other>", or only the secret.
        secret = _SCHEME.sub("", value, count=1).strip()
        yield secret
        for part in re.split(r"[\s;,]+", secret):
            yield part.strip("\"'")
            yield part.partition("=")[2].strip("\"'")
        if (basic := _BASIC.match(value)) is not None:
            try:
                decoded = base64.b64decode(basic[1]).decode("utf-8", "replace")
            except binascii.Error:
                continue
            yield decoded.partition(":")[2]


def secrets_in_url(url: str) -> Iterator[str]:
    """Yield the secrets in a URL: the password, and query parameters that authenticate the client."""
    parts = urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    yield from (unquote(password or user), password or user)
    for name, value in parse_qsl(parts.query):
        if _SECRET_PARAMETER.search(name) or _SECRET_VALUE.match(value):
            yield value


def secrets_in_environment() -> Iterator[str]:
    """Yield the passwords of the proxies in the environment."""
    for name, proxy in getproxies().items():
        if name != "no":
            try:
                yield from secrets_in_url(proxy if "://" in proxy else f"http://{proxy}")
            except ValueError:  # `environment_proxy` raises for it
                continue


# ------------------------------------------------------------------------------------------------------------ redacting

# Escapes of ASCII characters in JSON, Python, C, URLs and HTML, and backslashes and NULs before any character. A run of
# backslashes is one match, so that nested JSON takes one pass and the search stays linear.
_ESCAPE = re.compile(
    rb"([\\\0]+(?:(?<=\\)(?:u(?:0000)?00(?:00|[2-7][0-9a-f])|u\{0{0,6}[2-7][0-9a-f]\}|x[2-7][0-9a-f]|[01][0-7]{2}))?"
    rb"|%(?:25)*(?:u00)?[2-7][0-9a-f]"
    rb"|&(?:amp;)*(?:#[0-9]{1,7}|#x[0-9a-f]{1,7}|[a-z]{2,6});)",
    re.IGNORECASE,
)
# The first characters of escapes. Most text has none of them, and this search is faster than that for an escape.
_BEFORE_ESCAPE = re.compile(rb"[\\\0%&]")
_HEX = re.compile(rb"([2-7][0-9a-f])\}?$", re.IGNORECASE)
# The maximum levels of escaping.
_DEPTH = 4
# The maximum length of an incomplete escape at the end of truncated data.
_INCOMPLETE = 16
# A user name and a password before a host, in linear time.
_USERINFO = re.compile(rb"//[^/@\s]+@")


def _unescaped(escape: bytes) -> bytes:
    """Return the character of an escape, or nothing for backslashes and NULs alone."""
    if escape[:1] == b"&":
        name = escape[escape.rfind(b";", 0, -1) + 1 :].lstrip(b"&")  # after the last "amp;"
        text = html.unescape(f"&{name.decode('ascii')}")
        return text.encode("ascii") if len(text) == 1 and text.isascii() else escape
    if escape[-1:] in (b"\\", b"\0") or escape.endswith(b"0000"):
        return b""
    if escape[:1] != b"%" and b"x" not in escape.lower() and b"u" not in escape.lower():
        return bytes([int(escape[-3:], 8)])
    return bytes([int(_HEX.search(escape)[1], 16)])  # type: ignore[index] # as _ESCAPE has it # pyright: ignore[reportOptionalSubscript, reportUnknownArgumentType]


class _Characters(dict[bytes, bytes]):
    """The characters of escapes, each computed once."""

    def __missing__(self, escape: bytes) -> bytes:
        self[escape] = _unescaped(escape)
        return self[escape]


def _decoded(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the data as pieces, every second one an escape, and the same pieces unescaped."""
    raw: list[bytes] = _ESCAPE.split(data)
    plain = list(raw)
    plain[1::2] = map(_Characters().__getitem__, raw[1::2])
    return raw, plain


class Redactor:
    """A redactor of secrets in responses: in any case, escaped, in base64 and in hexadecimal.

    The time is linear in the length of the text.
    """

    __slots__ = ("_longest", "_needles", "_secrets", "_shortest")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
        needles = {form.lower() for secret in self._secrets for form in _forms(secret)}
        self._needles = tuple(sorted(needles, key=len))
        self._longest = max(map(len, needles), default=0)
        self._shortest = min(map(len, needles), default=0)

    def __repr__(self) -> str:
        return "<redactor>"

    def with_secrets(self, secrets: Iterable[str]) -> Redactor:
        """Return a redactor that also redacts these secrets."""
        return Redactor(self._secrets.union(secrets))

    def text(self, text: str) -> str:
        """Return the text with its secrets redacted."""
        data = text.encode("utf-8", "surrogatepass")
        redacted = self.data(data)
        return text if redacted is data else redacted.decode("utf-8", "surrogatepass")

    def data(self, data: bytes, *, is_cut: bool = False) -> bytes:
        """Return the bytes with their secrets redacted; with `is_cut`, remove the end, which may be part of a secret."""
        if not self._needles:
            return data
        spans = self._spans(data, _DEPTH)
        if is_cut:
            spans.append((self._tail(data), len(data)))
        if not spans:
            return data
        pieces: list[bytes] = []
        end = 0
        for start, stop in _merged(spans):
            pieces += (data[end:start], REDACTED.encode() if stop < len(data) or not is_cut else b"")
            end = stop
        return b"".join([*pieces, data[end:]])

    def is_in(self, data: bytes) -> bool:
        """Return True if the bytes contain a secret."""
        return bool(self._needles) and bool(self._spans(data, _DEPTH))

    def value(self, value: Any) -> Any:
        """Return the JSON value with the secrets in its strings redacted."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(item) for item in cast(Iterable[Any], value)]
            case dict():
                return {
                    self.text(name): self.value(item) for name, item in cast(dict[str, Any], value).items()
                }
            case _:
                return value

    def headers(self, headers: H) -> H:
        """Return the headers with the secrets in their names and values redacted."""
        raw = cast("list[tuple[bytes, bytes]] | None", getattr(headers, "raw", None))
        if raw is None:
            return cast(H, {self.text(name): self.text(value) for name, value in headers.items()})
        if not self.is_in(b"\n".join(chain.from_iterable(raw))):
            return headers
        kind = cast(Callable[[list[tuple[bytes, bytes]]], H], type(headers))
        return kind([(self.data(name), self.data(value)) for name, value in raw])

    def exception(self, error: E) -> E:
        """Return the error, or a redacted copy if the error or one of its causes shows a secret.

        The tracebacks are removed, as the frames of HTTP libraries contain the request headers.
        """
        chain = _chain(error)
        for one in chain:
            one.__traceback__ = None
        if not any(self._is_shown_by(one) for one in chain):
            return error
        return cast(E, self._copies(chain)[id(error)])

    def _is_shown_by(self, error: BaseException) -> bool:
        data = _shown(error).encode("utf-8", "surrogatepass")
        return self.is_in(data) or _USERINFO.search(data) is not None

    def _copies(self, chain: list[BaseException]) -> dict[int, BaseException]:
        copies: dict[int, BaseException] = {}
        for error in chain:
            text = _USERINFO.sub(
                f"//{REDACTED}@".encode(), self.data(_text(error).encode("utf-8", "replace"))
            )
            copies[id(error)] = _new(type(error), text.decode("utf-8", "replace"))
        for error in chain:
            copy = copies[id(error)]
            copy.__cause__ = copies.get(id(error.__cause__))
            copy.__context__ = copies.get(id(error.__context__))
            copy.__suppress_context__ = error.__suppress_context__
        return copies

    def _spans(self, data: bytes, depth: int) -> list[tuple[int, int]]:
        """Return the spans of secrets at this depth of escaping and below."""
        if len(data) < self._shortest:  # no escape is shorter than its character
            return []
        folded = data.lower()
        spans: list[tuple[int, int]] = []
        for needle in self._needles:
            if needle in folded:
                spans += _occurrences(folded, needle)
        if depth and _BEFORE_ESCAPE.search(data) is not None and _ESCAPE.search(data) is not None:
            raw, plain = _decoded(data)
            decoded = b"".join(plain)
            if decoded != data:
                places = _Places(raw, plain)
                spans += [places.span(*span) for span in self._spans(decoded, depth - 1)]
        return spans

    def _tail(self, data: bytes) -> int:
        """Return the start of the last characters that may be the beginning of a truncated secret."""
        decoded = data
        levels: list[_Places] = []
        while len(levels) < _DEPTH and _ESCAPE.search(decoded) is not None:
            raw, plain = _decoded(decoded)
            decoded = b"".join(plain)
            levels.append(_Places(raw, plain))
        start = max(len(decoded) - self._longest - _INCOMPLETE, 0)
        for level in reversed(levels):
            start = level.start(start)
        return start


class _Places:
    """A map from positions in unescaped data to positions in the original data."""

    def __init__(self, raw: list[bytes], plain: list[bytes]) -> None:
        self._raw, self._plain = raw, plain
        self._raw_ends = list(accumulate(map(len, raw)))
        self._ends = list(accumulate(map(len, plain)))

    def start(self, place: int) -> int:
        """Return the original start of a character, including the backslashes before it."""
        piece = bisect_right(self._ends, place)
        if piece == len(self._ends):
            return self._raw_ends[-1]
        before = place - (self._ends[piece] - len(self._plain[piece]))
        if before:
            return self._raw_ends[piece] - len(self._raw[piece]) + before
        while piece and not self._plain[piece - 1]:
            piece -= 1
        return self._raw_ends[piece] - len(self._raw[piece])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the original span of the characters from start to end."""
        piece = bisect_right(self._ends, end - 1)
        raw_end = self._raw_ends[piece]
        if len(self._raw[piece]) == len(self._plain[piece]):  # not an escape
            raw_end -= self._ends[piece] - end
        return self.start(start), raw_end


def _occurrences(data: bytes, needle: bytes) -> Iterator[tuple[int, int]]:
    start = data.find(needle)
    while start >= 0:
        yield start, start + len(needle)
        start = data.find(needle, start + len(needle))


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the spans in order; merge spans that overlap or touch."""
    start, end = min(spans)
    for first, last in sorted(spans):
        if first > end:
            yield start, end
            start, end = first, last
        end = max(end, last)
    yield start, end


def _forms(secret: str) -> Iterator[bytes]:
    """Yield the forms of a secret to search for: unchanged, unescaped like the text, in hexadecimal and in base64."""
    data = secret.encode("utf-8", "surrogatepass")
    yield data
    yield data.hex().encode()
    yield from (data.hex(between).encode() for between in " :-")
    plain = data
    for _ in range(_DEPTH):
        plain = b"".join(_decoded(plain)[1])
        if len(plain) >= SHORTEST_SECRET:
            yield plain
    # Base64 at each of the three offsets, without the letters that depend on neighbouring bytes.
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data)
        inner = encoded[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error with all its causes and contexts."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            waiting += (one.__cause__, one.__context__)
    return list(found.values())


def _text(error: BaseException) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def _shown(error: BaseException) -> str:
    """Return all texts of an error."""
    return f"{_text(error)}\n{error.args!r}\n{vars(error)!r}"


def _new(kind: type[BaseException], text: str) -> BaseException:
    """Return an error of this class with the text as its message, or an Exception if that is impossible."""
    with suppress(Exception):  # the class may need other arguments
        copy = kind.__new__(kind)
        copy.args = (text,)
        if str(copy) == text:
            return copy
    return Exception(f"{kind.__name__}: {text}")
