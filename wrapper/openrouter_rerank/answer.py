"""Turn an outcome into a ranking or an error; strict on index and score, lenient on everything else."""

from __future__ import annotations

import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from math import isfinite
from operator import attrgetter
from time import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from openrouter_rerank.addresses import redirect_step
from openrouter_rerank.calls import PreparedCall
from openrouter_rerank.decoding import decode, described, plain, prepare, pruned
from openrouter_rerank.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InvalidResponseError,
    RerankError,
    ResponseError,
    ServerError,
    class_of,
    is_retryable,
    next_step,
    request_id_of,
)
from openrouter_rerank.failures import UNSENT, class_names, explain
from openrouter_rerank.operations import LARGEST_ERROR, Answer, Failure, Outcome, Send
from openrouter_rerank.ranking import Content, Hit, Ranking, Usage
from openrouter_rerank.readers import amount, billed, count, flag, members, number, text
from openrouter_rerank.redaction import Redactor
from openrouter_rerank.settings import LIST_PATH, Settings, ranking_path
from openrouter_rerank.wordings import Cause, cause_of, is_no_address, words_of
from openrouter_rerank_api.answers import ANSWER, HIT, NAMES, USAGE
from openrouter_rerank_api.dialects import DIALECTS
from openrouter_rerank_api.types import UNSET, Unset

if TYPE_CHECKING:
    from openrouter_rerank.dialects.codec import Codec

T = TypeVar("T")

log = logging.getLogger("openrouter_rerank")


def read(outcome: Outcome, send: Send, prepared: PreparedCall[T]) -> partial[Ranking[T]] | RerankError:
    """Return the ranking, which the caller completes with the facts of the call, or the error of the outcome."""
    answer = answered(outcome, send, prepared.settings)
    return answer if isinstance(answer, RerankError) else _ranking(answer, prepared)


def answered(outcome: Outcome, send: Send, settings: Settings) -> Answer | RerankError:
    """Return a successful response with its body decompressed, or the error of the outcome."""
    if isinstance(outcome, Failure):
        return _connection_error(outcome, settings, send)
    limit = send.limit(outcome.status)
    content, problem = _unpacked(outcome, limit)
    headers = settings.redactor.headers(outcome.headers)
    if outcome.status >= 300:
        whole = problem is None
        body = content if whole else _beginning(outcome, limit)
        return _status_error(Answer(outcome.status, headers, body, whole=whole), settings)
    answer = outcome._replace(headers=headers, body=content)
    if problem:
        return malformed(problem, answer, settings)
    return answer


def deadline_exceeded(settings: Settings) -> APITimeoutError:
    """Return the error of a call whose deadline passed before anything was sent."""
    return APITimeoutError(
        f"the deadline ({settings.deadline} s) passed before anything was sent to {settings.where}; raise it"
    )


def _unpacked(answer: Answer, largest: int) -> tuple[bytes, str | None]:
    """Return the decompressed body and None, or an empty body and the problem."""
    if not answer.whole:
        return b"", _TOO_LARGE
    body, problem = answer.body, None
    for encoding in reversed(_encodings(answer)):
        body, problem = _decoded(body, encoding, largest)
        if problem is not None:
            break
    if problem in (None, _TOO_LARGE):
        return body, problem
    # If the body is JSON, the header is wrong: a proxy may decompress a body and keep the header.
    return (answer.body, None) if plain(answer.body) is not None else (b"", problem)


def _encodings(answer: Answer) -> list[str]:
    """Return the encodings of a body in the order in which they were applied; empty if it is not encoded."""
    found: list[str] = []
    if "content-encoding" in answer.headers:  # httpx takes longer to read a header than to look for it
        names = answer.headers["content-encoding"].lower().split(",", _MOST_ENCODINGS)
        found = [name for name in map(str.strip, names) if name not in ("", "identity", "none")]
    # A proxy may drop the header; JSON never begins like gzip.
    return found or ["gzip"] * answer.body.startswith(_GZIP)


def _decoded(packed: bytes, encoding: str, largest: int) -> tuple[bytes, str | None]:
    """Return the body without one encoding and None, or an empty body and the problem."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return b"", f"its content-encoding ({encoding}) was not requested"
    problem = None
    # Some servers leave out the zlib header that deflate requires.
    for form in (_ANY_FORMAT, _RAW) if encoding == "deflate" else (_ANY_FORMAT,):
        try:
            body = _decompressed(packed, form, largest)
            return (body, None) if len(body) <= largest else (b"", _TOO_LARGE)
        except zlib.error as error:
            problem = problem or f"its body is not {encoding}, despite its content-encoding: {error}"
        except EOFError:
            problem = problem or f"its {encoding} body is truncated"
    return b"", problem


def _decompressed(packed: bytes, form: int, largest: int) -> bytes:
    """Decompress all members of a body, up to one byte more than the limit.

    Raises:
        zlib.error: The body does not have this form.
        EOFError: The body is truncated.
    """
    body = bytearray()
    place = 0
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(wbits=form)
        step = _FIRST_STEP
        while not member.eof:
            if place >= len(packed):
                raise EOFError
            # In growing steps, as zlib copies the unused rest, which would take quadratic time for many small members.
            taken = packed[place : place + step]
            body += member.decompress(taken, largest + 1 - len(body))
            if len(body) > largest:
                return bytes(body)
            place += len(taken) - len(member.unused_data)
            step *= 2
        # Zeros are padding; anything else that is not a member is ignored, as gzip does.
        place = cast("re.Match[bytes]", _ZEROS.match(packed, place)).end()
        if form == _RAW or packed[place : place + 2] != _GZIP:
            return bytes(body)
    message = f"it has more than {_MOST_MEMBERS:,} members"
    raise zlib.error(message)


def _beginning(answer: Answer, limit: int) -> bytes:
    """Return the readable beginning of the body of an error that is too large or truncated."""
    if not _encodings(answer):
        return answer.body[:limit]
    try:
        return zlib.decompressobj(wbits=_ANY_FORMAT).decompress(answer.body, limit)
    except zlib.error:
        return b""


def _shown(answer: Answer, settings: Settings) -> Answer:
    """Return the response as an error keeps it: with the beginning of its body, redacted."""
    is_cut = len(answer.body) > LARGEST_ERROR or not answer.whole
    return answer._replace(body=settings.redactor.data(answer.body[:LARGEST_ERROR], is_cut=is_cut))


_TOO_LARGE = "its body is larger than a ranking or a list of models can be, and was not read to its end"
# Values of zlib's wbits: gzip or zlib by the header, and deflate without a header.
_ANY_FORMAT = 47
_RAW = -15
# The first bytes of a gzip member.
_GZIP = b"\x1f\x8b"
_ZEROS = re.compile(rb"\0*")
# The largest body has fewer members of the size that bgzip writes.
_MOST_MEMBERS = 10_000
_FIRST_STEP = 1024
# The rest of the header counts as one more, unknown name.
_MOST_ENCODINGS = 4


# Matches a next step that is about the configuration and does not say what to write.
_CONFIGURATION = re.compile(r"\b[Cc]heck base_url\b|\bdialect=|\bapi_key\b|\bname of the model\b")


def _with_doctor(message: str, step: str, settings: Settings) -> str:
    """Add the command that finds the cause to a message whose next step changes the configuration."""
    if _CONFIGURATION.search(step) is None:
        return message
    return f"{message.rstrip('.')}. `rerank doctor {settings.where}` finds the cause"


_REPORT = "; report it to the server"
CHECK_ADDRESS = "; check base_url: this may be the address of something else"
"""The next step for an answer that is not of this API."""


def malformed(
    problem: str, answer: Answer, settings: Settings, step: str = _REPORT, *, content: object = None
) -> InvalidResponseError:
    """Return the error of a 2xx response that breaks the contract, with the problem and the next step.

    Args:
        problem: The problem of the response.
        answer: The response.
        settings: The settings of the client.
        step: The next step, unless the body belongs to another dialect.
        content: The body as plain data; None if its dialect does not matter.
    """
    other = _other_dialect(content, settings)
    says = f"{problem}. No part of it was used{step if other is None else f'. {other.hint}'}"
    message = f"{settings.where} answered {answer.status}, but {_with_doctor(says, says, settings)}"
    return InvalidResponseError(
        settings.redactor.text(message),
        status=answer.status,
        body=_shown(answer, settings).body,
        request_id=request_id_of(answer.headers),
        dialect=None if other is None else other.name,
    )


S = TypeVar("S", bound=msgspec.Struct)


def _reading(fields: Iterable[str]) -> Callable[[type[S]], type[S]]:
    """Return a decorator that adds fields of any type to a struct; a wrong type of such a field is not an error."""

    def extended(base: type[S]) -> type[S]:
        added = [(name, Any, None) for name in fields]
        made = msgspec.defstruct(
            base.__name__, added, bases=(base,), module=base.__module__, rename=NAMES or None
        )
        return cast("type[S]", made)

    return extended


@_reading(HIT)
class _Result(msgspec.Struct):
    """The fields of a result that a ranking reads, without the echo, which can be megabytes."""

    index: int | float
    relevance_score: float


class ErrorEnvelope(msgspec.Struct):
    """The error that a 2xx body may carry in place of a result."""

    error: Any = None


B = TypeVar("B", bound=ErrorEnvelope)


@_reading(ANSWER)
class _RankingBody(ErrorEnvelope):
    """The fields of an answer that a ranking reads: strict on the results, lenient on the rest."""

    results: list[_Result] | Unset = UNSET
    usage: Any = None
    # The usage as Cohere and SiliconFlow send it.
    meta: Any = None
    tokens: Any = None


_decoder = msgspec.json.Decoder(_RankingBody)
_index = attrgetter("index")
_relevance = attrgetter("relevance_score")


def decoded(answer: Answer, decoder: msgspec.json.Decoder[B], settings: Settings) -> B | ResponseError:
    """Decode a 2xx body; return a ResponseError if it carries an error or is malformed."""
    try:
        body = decode(answer.body, decoder)
    except msgspec.ValidationError as error:
        if _error_of(answer.body) is not None:
            return _status_error(answer, settings)
        content = plain(answer.body)
        return malformed(f"its body breaks the contract: {error}", answer, settings, content=content)
    except msgspec.DecodeError as error:
        return _not_json(error, answer, settings)
    # Some servers send an empty `error` beside the results.
    return _status_error(answer, settings) if body.error else body


def _not_json(error: msgspec.DecodeError, answer: Answer, settings: Settings) -> InvalidResponseError:
    kind = answer.headers.get("content-type", "no content type")
    size = len(answer.body)
    problem = f"its body ({size} bytes, {kind}) is not JSON: {error}" if size else "it has no body"
    return malformed(problem, answer, settings, CHECK_ADDRESS if _is_html(answer) else _REPORT)


_any_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any)


def _translated(answer: Answer, settings: Settings, codec: Codec) -> _RankingBody | ResponseError:
    """Decode a 2xx body of another dialect; return a ResponseError if it carries an error or is malformed."""
    try:
        content = decode(answer.body, _any_decoder)
    except msgspec.DecodeError as error:
        return _not_json(error, answer, settings)
    canonical = codec.decode(answer.headers, content)
    if canonical is None:
        canonical = {"error": members(content).get("error")}
    if canonical.get("error"):
        return _status_error(answer, settings)
    try:
        return msgspec.convert(canonical, _RankingBody)
    except msgspec.ValidationError as error:
        problem = codec.in_its_names(described(error, answer.body))
        return malformed(f"its body breaks the contract: {problem}", answer, settings, content=content)


def _other_dialect(content: object, settings: Settings) -> Codec | None:
    """Return the codec of a body that belongs to another dialect than that of the request, else None."""
    if content is None:
        return None
    from openrouter_rerank.dialects import other_dialect  # noqa: PLC0415 - errors alone need it

    return other_dialect(DIALECTS[0] if settings.codec is None else settings.codec.name, content)


def _ranking(  # noqa: C901, PLR0911 - one branch for each way in which an answer can be invalid
    answer: Answer, prepared: PreparedCall[T]
) -> partial[Ranking[T]] | RerankError:
    own, limit, min_score, settings = prepared.own, prepared.limit, prepared.min_score, prepared.settings
    codec = settings.codec

    def fail(problem: str) -> InvalidResponseError:
        return malformed(problem, answer, settings)

    body = decoded(answer, _decoder, settings) if codec is None else _translated(answer, settings, codec)
    if isinstance(body, ResponseError):
        return body
    if isinstance(body.results, Unset):
        content = plain(answer.body)
        listed = None if codec is None else codec.results
        if listed is not None and listed in members(content):
            return fail(f"it has no results: {listed} is {_shape(members(content)[listed])}")
        problem = f"it has no results: its body is {_shape(content)}"
        return malformed(problem, answer, settings, CHECK_ADDRESS, content=content)

    indices = list(map(_index, body.results))
    scores = list(map(_relevance, body.results))
    if not set(map(type, indices)) <= {int}:
        # JSON does not distinguish integers: 1.0 is valid too.
        fraction = next((value for value in indices if value != int(value)), None)
        if fraction is not None:
            return fail(f"index {fraction} is not an integer")
        indices = list(map(int, indices))
    if len(indices) > len(own):
        return fail(f"it has more results ({len(indices)}) than documents ({len(own)})")
    if indices and not (min(indices) >= 0 and max(indices) < len(own)):
        wrong = next(value for value in indices if not 0 <= value < len(own))
        return fail(f"index {str(wrong)[:40]} is not one of the {len(own)} documents")
    if len(set(indices)) < len(indices):
        twice = Counter(indices).most_common(1)[0][0]
        return fail(f"index {twice} appears twice")
    redactor = settings.redactor
    # Every score is finite: the decoder refuses NaN, Infinity and 1e999.
    # There is one column for each further field of the contract.
    columns = [
        [read_as(kind, getattr(result, name), redactor) for result in body.results]
        for name, kind in HIT.items()
    ]
    hits = list(map(Hit, indices, scores, map(own.__getitem__, indices), *columns))
    reordered = any(map(float.__lt__, scores, scores[1:]))
    if reordered:
        hits.sort(key=lambda hit: (-hit.score, hit.index))
    if len(hits) > limit:
        log.debug("%s ignored top_n: cut %d results to the best %d", settings.where, len(hits), limit)
        hits = hits[:limit]
    unranked: tuple[int, ...] = ()
    if len(hits) < limit:
        unranked = tuple(sorted(set(range(len(own))).difference(indices)))
    if min_score is not None:
        hits = [hit for hit in hits if hit.score >= min_score]
    return partial(
        Ranking,
        hits=tuple(hits),
        total=len(own),
        usage=_usage(body, redactor),
        headers=answer.headers,
        reordered=reordered,
        unranked=unranked,
        _content=Content(
            answer.body, redactor, None if codec is None else _canonical(codec, answer, prepared)
        ),
        **{name: read_as(kind, getattr(body, name), redactor) for name, kind in ANSWER.items()},
    )


def _shape(value: object) -> str:
    """Describe a JSON value of a wrong type."""
    names = ", ".join(sorted(members(value))[:10])
    return f"an object with {names}" if names else _SHAPES.get(type(value), "a number")


_SHAPES: Mapping[type, str] = {
    dict: "an empty object",
    list: "a list",
    str: "a text",
    bool: "a boolean",
    type(None): "null",
}


def _canonical(codec: Codec, answer: Answer, prepared: PreparedCall[Any]) -> Callable[[bytes], bytes]:
    """Return a function that converts the body of a dialect to the canonical one."""
    return partial(codec.canonical, headers=answer.headers, documents=prepared.wire, model=prepared.model)


def _usage(body: _RankingBody, redactor: Redactor) -> Usage:
    """Return the usage, from the contract's fields or from those of other vendors."""
    usage = members(body.usage)
    read = {name: read_as(kind, usage.get(NAMES.get(name, name)), redactor) for name, kind in USAGE.items()}
    if read["search_units"] is None or read["total_tokens"] is None:
        read |= billed(usage, members(body.meta), members(body.tokens))
    return Usage(**read)


_READERS: Mapping[type, Callable[[object], Any]] = {str: text, int: count, float: amount, bool: flag}
prepare(kind for kinds in (ANSWER, HIT, USAGE) for kind in kinds.values())


def read_as(kind: Any, value: object, redactor: Redactor) -> Any:
    """Return a value of this type, redacted; None for anything else."""
    if kind in _READERS:
        found = _READERS[kind](value)
        return redactor.text(found) if isinstance(found, str) else found
    if value is None:
        return None
    try:
        content = msgspec.json.encode(msgspec.convert(pruned(value), kind))
        return msgspec.json.decode(redactor.data(content))
    except (ValueError, OverflowError):  # another type, or a number out of range
        return None


def _status_error(answer: Answer, settings: Settings) -> ResponseError:
    # Everything below reads the redacted body.
    answer = _shown(answer, settings)
    whole, codec = plain(answer.body), settings.codec
    if whole is None and not _is_html(answer):
        whole = answer.body.decode("utf-8", "replace")
    envelope = pruned(
        _error_of(answer.body) if codec is None else _canonical_error(codec, answer.status, whole)
    )
    error: dict[str, Any] = cast(dict[str, Any], envelope) if isinstance(envelope, dict) else {}
    code = _code(error.get("code"))
    metadata = {name: value for name, value in error.items() if name not in ("code", "message", "metadata")}
    inner = error.get("metadata")
    if isinstance(inner, dict):
        metadata |= cast(dict[str, Any], inner)
    says = _message(error, answer.body, answer.headers)
    common: dict[str, Any] = {
        "status": answer.status,
        "body": answer.body,
        "request_id": request_id_of(answer.headers) or (codec and text(metadata.get("request_id"))),
        "retry_after": _retry_after(answer, metadata),
        "code": code,
        "metadata": metadata,
    }
    succeeded = answer.status < 300
    if succeeded and (code is None or code < 400):
        hint = ". Check base_url" if is_no_address(words_of(error)) else ""
        message = f"{settings.where} answered {answer.status} with an error and no code for it: {says}{hint}"
        return InvalidResponseError(_with_doctor(message, hint, settings), **common)
    status = answer.status if codec is None and not succeeded else cast(int, code)
    html = _is_html(answer)
    # For a dialect, read the words of the original error.
    words = words_of(error if codec is None else whole) if error else says
    cause = cause_of(status, words, error | metadata, html=html)
    retryable = _retryable(status, metadata, cause)
    inside = f" inside a {answer.status}" if succeeded else ""
    step = _what_next(status, answer, cause, settings, retryable=retryable)
    other = _other_dialect(whole, settings) if class_of(status) in _OF_ANOTHER_DIALECT else None
    if other is not None:
        step = f"{step.rstrip('.')}. {other.hint}"
        common["dialect"] = other.name
    message = _with_doctor(
        f"{_title(status if succeeded else answer.status)}{inside} from {_sender(answer.status, settings)}: {says}. {step}",
        step,
        settings,
    )
    return class_of(status)(message, retryable=retryable, too_large=cause is Cause.SIZE, **common)


# The errors of a request in the wrong dialect.
_OF_ANOTHER_DIALECT = (BadRequestError, AuthenticationError)


def _canonical_error(codec: Codec, status: int, whole: object) -> dict[str, Any]:
    """Return the error of another dialect in the canonical envelope."""
    if status < 300:
        status = _code(members(members(whole).get("error")).get("code")) or status
    error = codec.error(status, whole)
    return {"message": error.message, "code": error.code, "metadata": dict(error.details)}


def _sender(status: int, settings: Settings) -> str:
    """Return the name of the server or proxy that answered."""
    proxy, where = settings.proxy, settings.where
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"{proxy or 'a proxy'}, asked for {where}"
    if proxy is None or not proxy.forwards(where):
        return where
    if status in _GATEWAY:
        return f"{proxy} or the server behind it, {where}"
    return f"{where} through {proxy}"


# The statuses of a proxy that cannot reach the server.
_GATEWAY = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)

# The messages of nginx, Go and Apache for an http request at a port for https.
_WANTS_TLS = re.compile(
    rb"plain HTTP request was sent to HTTPS|HTTP request to an HTTPS server|plain HTTP to an SSL-enabled"
)


def _what_next(  # noqa: PLR0911 - one next step for each cause
    status: int, answer: Answer, cause: Cause | None, settings: Settings, *, retryable: bool
) -> str:
    proxy = settings.proxy
    if 300 <= answer.status < 400:
        query = settings.url.partition("?")[2]
        path = ranking_path(settings.codec)
        return redirect_step(settings.where, query, answer.headers.get("location"), path, LIST_PATH)
    if answer.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"Check the user name and the password in {proxy.variable if proxy else 'the address of the proxy'}"
    if answer.status == HTTPStatus.BAD_REQUEST and _WANTS_TLS.search(answer.body):
        return "Write https:// in base_url: the server speaks TLS at this port"
    if cause is not None and not retryable:
        return _STEPS[cause]
    if answer.status in _GATEWAY and proxy is not None and proxy.forwards(settings.where):
        return f"Try again later; or check {proxy.variable}, or name the host in NO_PROXY"
    if retryable and not is_retryable(status):
        return "Try again later"  # the server says so, despite its status
    if class_of(status) is ServerError and not retryable:
        return _STEPS[Cause.REQUEST]
    codec, step = settings.codec, next_step(status)
    return step if codec is None else codec.next_step(step, settings.where)


_STEPS: Mapping[Cause, str] = {
    Cause.SIZE: "Send fewer or shorter documents (max_documents, max_bytes, splitter); trying it again will not help",
    Cause.SERVER_KEY: "The server lacks a valid key for its provider; configure it there. Trying it again will not help",
    Cause.MODEL: "Check the name of the model, and that it ranks on this server; trying it again will not help",
    Cause.ADDRESS: "Check base_url: this server has no such operation at that address",
    Cause.REQUEST: "Trying it again will not help; change the request, or the model",
}


def _is_html(answer: Answer) -> bool:
    """Return True if the body is an HTML page."""
    return "html" in answer.headers.get("content-type", "").partition(";")[0] or bool(
        _HTML.match(answer.body[:1000])
    )


_HTML = re.compile(rb"\s*<(!doctype|html)", re.IGNORECASE)


def _title(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _error_of(body: bytes) -> object:
    """Return the value of `error`, or the whole body for other forms of errors."""
    content = plain(body)
    if isinstance(content, dict):
        mapping = cast(dict[str, Any], content)
        if mapping.get("error") is not None:
            return cast(object, mapping["error"]) if isinstance(mapping["error"], dict) else mapping
        if "results" not in mapping and ("detail" in mapping or "message" in mapping):
            return mapping
    return None


def _code(value: object) -> int | None:
    """Return the code as a number, also if it is text, as some servers send it."""
    if isinstance(value, str) and value.isdecimal() and len(value) == _DIGITS:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 1000 else None


_DIGITS = 3
_LONGEST_MESSAGE = 500


def _message(error: Mapping[str, Any], body: bytes, headers: Mapping[str, str]) -> str:
    message = _text_of(error)
    if not message:
        kind = headers.get("content-type", "").partition(";")[0].strip()
        text = body[: 4 * _LONGEST_MESSAGE].decode("utf-8", "replace")
        if "html" in kind or text.lstrip().lower().startswith(("<!doctype", "<html")):
            title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
            message = f"an HTML page{f' titled {title[1].strip()!r}' if title else ''}"
        else:
            message = text if text.strip() else "no body"
    message = " ".join(message.split()).rstrip(".")
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 3] + "..."


def _text_of(error: Mapping[str, Any]) -> str:
    """Return the message, with the cause that gateways nest in it."""
    message = next((error[name] for name in ("message", "detail", "error") if error.get(name)), "")
    shown = message if isinstance(message, str) else msgspec.json.encode(message).decode()
    metadata = error.get("metadata")
    raw = cast(dict[str, Any], metadata).get("raw") if isinstance(metadata, dict) else None
    return f"{shown}: {raw}" if isinstance(raw, str) and raw and raw not in shown else shown


def _retryable(status: int, metadata: Mapping[str, Any], cause: Cause | None) -> bool:
    stated = members(metadata.get("availability")).get("retryable")
    if isinstance(stated, bool):
        return stated
    return cause is None and is_retryable(status)


def _retry_after(answer: Answer, metadata: Mapping[str, Any]) -> float | None:
    """Return the seconds to wait, by the header in either form, the body, or the reset of the rate limit."""
    header = answer.headers.get("retry-after")
    seconds = None if header is None else _seconds_or_date(header.strip())
    if seconds is None:
        seconds = number(members(metadata.get("availability")).get("retry_after"))
    if seconds is None and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = _until_reset(answer.headers.get("x-ratelimit-reset"))
    return max(0.0, seconds) if seconds is not None and isfinite(seconds) else None


def _seconds_or_date(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(value).timestamp() - time()
    except (ValueError, OverflowError):
        return None


def _until_reset(value: str | None) -> float | None:
    """Return the seconds until a reset, in milliseconds or seconds since 1970, or seconds from now, by its size.

    The unit is not documented.
    """
    try:
        number = float(value or "")
    except ValueError:
        return None
    if number > 1e12:
        return number / 1000 - time()
    return number - time() if number > 1e9 else number


def _connection_error(failure: Failure, settings: Settings, send: Send) -> RerankError:
    error = failure.error
    names = class_names(error)
    route = f"{settings.where} through {settings.proxy}" if settings.proxy else settings.where
    if error is None or "TimeoutException" in names:
        unsent = bool(names & UNSENT)
        phase = "no connection to" if unsent else "no whole answer from"
        fewer = ", or send fewer documents at a time" if send.content else ""
        message = (
            f"{phase} {route} within {send.timeout:.4g} s. "
            f"Raise timeout (an attempt) or deadline (the whole call){fewer}"
        )
        result: RerankError = APITimeoutError(message, retryable=unsent)
    else:
        problem, step, retryable = explain(error, settings.where, settings.proxy)
        if failure.status is not None:
            detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            problem = f"the connection broke in the middle of its answer ({detail})"
            step, retryable = "try again later", False
        problem = settings.redactor.text(problem)
        if len(problem) > _LONGEST_MESSAGE:
            problem = f"{problem[:_LONGEST_MESSAGE]}..."
        message = _with_doctor(f"cannot reach {route}: {problem}; {step}", step, settings)
        result = APIConnectionError(message, retryable=retryable)
    result.__cause__ = None if error is None else settings.redactor.exception(error)
    return result
