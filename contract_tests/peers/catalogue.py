"""The faults to serve, and the clients to compare."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from openrouter_rerank.testing import Request, Script, honest
from openrouter_rerank.testing.faults import FAULTS, Fault

Translate = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Row:
    """A fault to serve.

    Attributes:
        fault: The fault.
        cause: A regular expression for words in an error that name the cause.
        timeout: The timeout in seconds that the caller sets; None for the client's own default.
    """

    fault: Fault
    cause: str
    timeout: float | None = None

    @property
    def has_error(self) -> bool:
        """True if the fault is an error, so that a ranking hides it."""
        return self.fault.ends is not None


@dataclass(frozen=True)
class Peer:
    """A client, by the name of its distribution on PyPI.

    Attributes:
        name: The name of the distribution.
        translate: Convert a response to the vendor's own form.
    """

    name: str
    translate: Translate = bytes


def to_voyage(sent: bytes) -> bytes:
    """Convert a response to Voyage's form; a wrong Content-Length stays wrong by the same amount."""
    head, separator, body = sent.partition(b"\r\n\r\n")
    usage = b'"object": "list", "usage": {"total_tokens": 1}, "data":'
    changed = body.replace(b'"results":', usage)
    if changed == body and body.startswith(b'{"error": {'):
        changed = json.dumps({"detail": json.loads(body)["error"]["message"]}).encode()
    lines = head.split(b"\r\n")
    for place, line in enumerate(lines):
        name, _, value = line.partition(b": ")
        if name == b"Content-Length" and value.isdigit():
            lines[place] = b"Content-Length: %d" % (int(value) + len(changed) - len(body))
    return b"\r\n".join(lines) + separator + changed


def translated(fault: Fault, translate: Translate) -> Fault:
    """Return the fault with each response in the form of a vendor."""

    def script(request: Request) -> Script:
        for step in fault.script(request):
            yield translate(step) if isinstance(step, bytes) else step

    return replace(fault, script=script)


def _valid(request: Request) -> Script:
    yield honest(request)


def _seven_seconds(request: Request) -> Script:
    yield 7.0
    yield honest(request)


def from_catalogue(name: str, cause: str, timeout: float | None = None) -> Row:
    """Return the row of a fault of the test kit."""
    return Row(FAULTS[name], cause, timeout)


CONTROL = Row(Fault("control", "Return a valid ranking.", None, _valid), "")
"""A valid response, which each client must rank before any fault is served."""

TIMEOUT = 2.0
"""The timeout in seconds that the caller sets for servers that do not finish."""

_SLOW = Fault("slow_7_seconds", "Return a valid ranking after seven seconds.", None, _seven_seconds)
_LOST = r"disconnect|closed|reset|abort|peer|broken|incomplete|remoteprotocol"
_LATE = r"time.?out|timed out"

SECTIONS: dict[str, list[Row]] = {
    "Rate limits and failures": [
        from_catalogue("status_429_once", r"\b429\b|rate.?limit"),
        from_catalogue("status_429_forever", r"\b429\b|rate.?limit"),
        from_catalogue("status_500_forever", r"\b500\b|server.?(error|fail)"),
        from_catalogue("status_503_retry_after_an_hour", r"\b503\b|unavailable"),
        from_catalogue("status_502_html", r"\b502\b|bad gateway"),
        from_catalogue("status_524", r"\b524\b|request timed out"),
        from_catalogue("status_529", r"\b529\b|provider returned error"),
        from_catalogue("status_500_image_not_fetched", "fetch image"),
        from_catalogue("status_400_detail", r"\b400\b"),
        from_catalogue("redirect_307_to_another_host", r"\b307\b|redirect"),
    ],
    "Success statuses without a ranking": [
        from_catalogue("ok_error_int_code", "rate limit exceeded"),
        from_catalogue("ok_error_text_code", "busy"),
        from_catalogue("ok_error_beside_results", "died halfway"),
        from_catalogue("ok_html", "html|json"),
        from_catalogue("ok_empty", "empty|json|expecting value"),
        from_catalogue("results_null", "results"),
        from_catalogue("results_missing", "results"),
    ],
    "Invalid results": [
        from_catalogue("index_negative", r"-1\b|\bindex"),
        from_catalogue("index_beyond", r"\b99\b|\bindex"),
        from_catalogue("index_thrice", r"twice|duplicate|\bindex"),
        from_catalogue("index_fraction", r"\bindex"),
        from_catalogue("index_true", r"\bindex"),
        from_catalogue("index_missing", r"\bindex"),
        from_catalogue("more_than_asked", r"\b4 results|more results|\bindex"),
        from_catalogue("score_nan", r"\bnan\b|finite"),
        from_catalogue("score_text", r"score|'high'"),
        from_catalogue("score_null", "score"),
        from_catalogue("score_missing", "score"),
    ],
    "Valid results in an unusual form": [
        from_catalogue("unsorted", ""),
        from_catalogue("document_missing", "document"),
        from_catalogue("document_null", "document"),
        from_catalogue("document_bare_string", "document"),
        from_catalogue("fewer_than_asked", ""),
        from_catalogue("no_results", ""),
    ],
    "Time": [
        Row(_SLOW, _LATE),
        from_catalogue("silent", _LATE, TIMEOUT),
        from_catalogue("stalls_in_body", _LATE, TIMEOUT),
        from_catalogue("trickling_headers", _LATE, TIMEOUT),
        from_catalogue("trickling_body", _LATE, TIMEOUT),
    ],
    "Connections": [
        from_catalogue("dropped_once", _LOST),
        from_catalogue("dropped_always", _LOST),
        from_catalogue("reset_once", _LOST),
        from_catalogue("dropped_in_body", _LOST),
        from_catalogue("length_too_large", _LOST),
        from_catalogue("not_http", "protocol|status.?line|illegal|not http"),
        from_catalogue("gzip_garbage", "gzip|content.?decod|decodingerror|decompress|header check"),
    ],
}
"""The rows of each table of the page."""

PEERS = (
    Peer("openrouter-rerank"),
    Peer("openrouter"),
    Peer("cohere"),
    Peer("litellm"),
    Peer("voyageai", to_voyage),
)
"""The columns of the page; the first one is this project."""
