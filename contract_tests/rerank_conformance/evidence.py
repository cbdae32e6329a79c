"""Commands for a POSIX shell that send the requests of a check again, byte for byte."""

import base64
import gzip
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_conformance import wire
from rerank_conformance.exchanges import WRONG_KEY, Auth, Exchange, Probe

KEY_ENV = "OPENROUTER_API_KEY"
"""The default name of the environment variable that holds the key."""
_INLINE = 1500  # bytes of a body that a command may hold as they are
_EXPECTED = 1000  # bytes of a body above which curl asks for 100-continue by itself


@dataclass(frozen=True, kw_only=True)
class Commands:
    """The commands of one check. No command holds the key: each names the variable, or the file, that has it.

    Args:
        base: The URL under which the operation lies.
        has_key: False if the check had no key, and sent none.
        key_env: The environment variable that holds the key.
        key_file: The file that holds it, if a file does.
        key_has_letters: False if a key in the other case is the same key.
    """

    base: str
    has_key: bool = True
    key_env: str = KEY_ENV
    key_file: str | None = None
    key_has_letters: bool = True

    def of(self, *exchanges: Exchange) -> str:
        """Return a command for each request, on a line of its own."""
        return "\n".join(self._command(exchange.probe) for exchange in exchanges)

    def _command(self, probe: Probe) -> str:
        content = _RequestBody(probe.content)
        authorization = self._authorization(probe.auth)
        key = [f'-H "Authorization: {authorization}"'] if authorization else []
        words = ["curl", "-sS", "-i", *self._before(probe, content, key), *self._request(probe, content, key)]
        command = f"{content.producer(in_chunks=probe.form == 'chunked')}{' '.join(words)}"
        if self.key_file is not None and "$" in authorization:
            return f"{self.key_env}=$(cat {shlex.quote(self.key_file)}); {command}"
        return command

    def _before(self, probe: Probe, content: "_RequestBody", key: Sequence[str]) -> list[str]:
        """Return the request that comes before on the same connection, for the forms that have one."""
        url = self._url(probe)
        match probe.form:
            case "after-head":
                return ["-I", url, *_headers({"Accept": _ACCEPT}), *key, "--next", "-sS", "-i"]
            case "after-refusal":
                # standard input can be read once only
                body = content.argument if content.is_inline else "''"
                sent = [url, *_headers(_with_defaults(probe)), "--data-binary", body]
                return [*sent, "--next", "-sS", "-i"]
            case "after-pause":
                body = _RequestBody(wire.earlier(probe.content)).argument
                sent = [url, *_headers(_with_defaults(probe)), *key, "--data-binary", body]
                # curl sends no more than so many requests in a minute, the second one when its time has come
                return ["--rate", f"{60 / wire.PAUSE:.0f}/m", *sent, "--next", "-sS", "-i"]
            case "http-1.0":
                return ["--http1.0"]
            case _:
                return []

    def _request(self, probe: Probe, content: "_RequestBody", key: Sequence[str]) -> list[str]:
        headers = _with_defaults(probe)
        words: list[str] = []
        in_chunks = probe.form == "chunked"
        if probe.method != "POST" or in_chunks:
            words += ["-X", probe.method]
        if probe.method == "HEAD" and content.sent:
            # curl would wait for the body that the response to HEAD only describes
            words.append("--ignore-content-length")
            headers.setdefault("Connection", "close")
        named = {name.lower() for name in headers}
        if (in_chunks or len(content.sent) > _EXPECTED) and "expect" not in named:
            headers["Expect"] = ""
        words += [self._url(probe), *_headers(headers), *key]
        if in_chunks:
            return [*words, "-T", "-"]
        if content.sent or probe.method == "POST":
            words += ["--data-binary", content.argument]
        return words

    def _url(self, probe: Probe) -> str:
        url = f"{self.base}{probe.path}"
        return f"{'-g ' if set(url) & set('[]{}') else ''}{shlex.quote(url)}"

    def _authorization(self, auth: Auth) -> str:
        """Return the value of the header, to stand between double quotes; nothing if none is sent."""
        if auth == "none" or not self.has_key:
            return ""
        key, cut, longer = f"${self.key_env}", f"${{{self.key_env}%?}}", f"${{{self.key_env}}}x"
        swapped = f'$(printf %s "{key}" | tr a-zA-Z A-Za-z)' if self.key_has_letters else longer
        values: Mapping[Auth, str] = {
            "key": f"Bearer {key}",
            "lower-case": f"bearer {key}",
            "basic": f"Basic {key}",
            "bare": key,
            "empty": "Bearer",
            "wrong": f"Bearer {WRONG_KEY}",
            "longer": f"Bearer {longer}",
            "shorter": f"Bearer {cut}",
            "other-end": f"Bearer {cut}~",
            "other-case": f"Bearer {swapped}",
        }
        return values[auth]


_ACCEPT = "application/json"


def _with_defaults(probe: Probe) -> dict[str, str]:
    """Return the headers of a request with those of every request that curl has other values for."""
    return {"Content-Type": "application/json", "Accept": _ACCEPT, **probe.headers}


def _headers(headers: Mapping[str, str]) -> list[str]:
    return [f"-H {_quoted(f'{name}: {value}'.rstrip())}" for name, value in headers.items()]


def _quoted(header: str) -> str:
    """Quote a header for a shell, in ASCII."""
    if header.isascii():
        return shlex.quote(header)
    return f'"$(printf {_format(header.encode("utf-8"))})"'


@dataclass(frozen=True)
class _RequestBody:
    """The body of a request, in a command."""

    sent: bytes

    @property
    def is_inline(self) -> bool:
        """True if the body may stand in the command as it is."""
        # curl takes what begins with @ for the name of a file
        return len(self.sent) <= _INLINE and _is_printable(self.sent) and not self.sent.startswith(b"@")

    @property
    def argument(self) -> str:
        """The argument of --data-binary."""
        return shlex.quote(self.sent.decode("ascii")) if self.is_inline else "@-"

    def producer(self, *, in_chunks: bool) -> str:
        """Return what writes the body into the command, with a pipe behind it; nothing for a body in the command."""
        if in_chunks:  # the first chunk is one byte
            first, rest = self.sent[:1], self.sent[1:]
            return f"{{ {_printed(first)}; sleep 1; {_printed(rest)}; }} | "
        return "" if self.is_inline else f"{_printed(self.sent)} | "


def _printed(content: bytes) -> str:
    """Return a command that writes the bytes to standard output."""
    if len(content) <= _INLINE:
        return f"printf {_format(content)}"
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode("ascii")
    return f"printf %s {packed} | base64 -d | gunzip"


def _format(content: bytes) -> str:
    """Return a quoted format of printf that stands for the bytes."""
    escaped = "".join(_ESCAPES.get(byte, chr(byte)) for byte in content)
    # a format that begins with a dash would be an option
    return shlex.quote(f"\\055{escaped[1:]}" if escaped.startswith("-") else escaped)


_ESCAPES = {
    **{byte: f"\\{byte:03o}" for byte in range(256) if not 32 <= byte < 127},
    ord("\\"): "\\\\",
    ord("%"): "%%",
}


def _is_printable(content: bytes) -> bool:
    return all(32 <= byte < 127 for byte in content)
