"""An outcome into a ranking or into one error: strict on index and score, lenient on all the rest. It does no I/O."""

from __future__ import annotations

import re
import ssl
import zlib
from collections import Counter
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import isfinite
from operator import attrgetter
from time import time
from typing import Any, TypeVar, cast

import msgspec

from openrouter_rerank.errors import (
    ConnectionFailed,
    MalformedResponse,
    RerankError,
    ResponseError,
    StatusError,
    TimedOut,
    Unavailable,
    class_of,
    is_retryable,
    next_step,
    request_id_of,
)
from openrouter_rerank.ranking import Hit, Ranking, Usage
from openrouter_rerank.request import Settings
from openrouter_rerank.steps import LARGEST_ERROR, Answer, Failure, Outcome, Send
from openrouter_rerank_api.types import UNSET, Unset

T = TypeVar("T")


def read(  # noqa: PLR0913, PLR0917 - what was asked, and what came
    outcome: Outcome, send: Send, own: list[T], limit: int, min_score: float | None, settings: Settings
) -> Ranking[T] | RerankError:
    """The ranking, joined with the caller's own documents; or the error that the outcome amounts to."""
    answer = answered(outcome, send, settings)
    return answer if isinstance(answer, RerankError) else _ranking(answer, own, limit, min_score, settings)


def answered(outcome: Outcome, send: Send, settings: Settings) -> Answer | RerankError:
    """The answer of a success, with its body unpacked; or the error that the outcome amounts to."""
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
        return broken(problem, answer, settings)
    return answer


def late(settings: Settings) -> TimedOut:
    """The error of a call whose deadline passed before anything was sent."""
    return TimedOut(
        f"the deadline ({settings.deadline} s) passed before anything was sent to {settings.where}. Raise it"
    )


def _unpacked(answer: Answer, largest: int) -> tuple[bytes, str | None]:
    """The body as it was before it was compressed; or none, and why it cannot be had."""
    if not answer.whole:
        return b"", _TOO_LARGE
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return answer.body, None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return b"", f"its content-encoding ({encoding}) is none that was asked for"
    unpacker = zlib.decompressobj(wbits=_ANY_FORMAT)
    try:
        body = unpacker.decompress(answer.body, largest + 1)
    except zlib.error as error:
        return b"", f"its body is not {encoding}, though it says so: {error}"
    if len(body) > largest:
        return b"", _TOO_LARGE
    return (body, None) if unpacker.eof else (b"", f"its body breaks off in the middle of the {encoding}")


def _beginning(answer: Answer, limit: int) -> bytes:
    """Return what can be read of the body of an error that is too large, or breaks off."""
    if answer.headers.get("content-encoding", "identity").strip().lower() in ("", "identity"):
        return answer.body[:limit]
    try:
        return zlib.decompressobj(wbits=_ANY_FORMAT).decompress(answer.body, limit)
    except zlib.error:
        return b""


def _shown(answer: Answer, settings: Settings) -> Answer:
    """Return what an error keeps of the response: the beginning of its body, without secrets."""
    is_cut = len(answer.body) > LARGEST_ERROR or not answer.whole
    return answer._replace(body=settings.redactor.data(answer.body[:LARGEST_ERROR], is_cut=is_cut))


_TOO_LARGE = "its body is larger than a ranking or a list of models can be, and was not read to its end"
# Of zlib: gzip or zlib, whichever it is.
_ANY_FORMAT = 47


def broken(problem: str, answer: Answer, settings: Settings) -> MalformedResponse:
    """The error of a success that breaks the contract, by what is wrong with it."""
    message = f"{settings.where} answered {answer.status}, but {problem}. Nothing of it was used; report it to the server"
    return MalformedResponse(
        settings.redactor.text(message),
        status=answer.status,
        body=_shown(answer, settings).body,
        request_id=request_id_of(answer.headers),
    )


class _Result(msgspec.Struct):
    """What a ranking needs of a result. The echo of the document, perhaps megabytes, is skipped and never built."""

    index: int | float
    relevance_score: float


class Told(msgspec.Struct):
    """What every success may carry in place of what was asked for."""

    error: Any = None


B = TypeVar("B", bound=Told)


class _Body(Told):
    """What a ranking needs of an answer; strict on the results, lenient on the rest. A test holds it to the contract."""

    results: list[_Result] | Unset = UNSET
    model: Any = None
    id: Any = None
    provider: Any = None
    usage: Any = None


_decoder = msgspec.json.Decoder(_Body)
_index = attrgetter("index")
_relevance = attrgetter("relevance_score")


def decoded(answer: Answer, decoder: msgspec.json.Decoder[B], settings: Settings) -> B | ResponseError:
    """The body of a success; or the error that it tells in place of what was asked for, or that it is none."""
    try:
        body = decoder.decode(answer.body)
    except msgspec.ValidationError as error:
        if _error_of(answer.body) is not None:
            return _status_error(answer, settings)
        return broken(f"its body breaks the contract: {error}", answer, settings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        kind = answer.headers.get("content-type", "no content type")
        return broken(f"its body ({len(answer.body)} bytes, {kind}) is not JSON: {error}", answer, settings)
    # some servers send an empty one beside what was asked for
    return _status_error(answer, settings) if body.error else body


def _ranking(  # noqa: C901, PLR0911 - one branch for each way in which an answer can be none
    answer: Answer, own: list[T], limit: int, min_score: float | None, settings: Settings
) -> Ranking[T] | RerankError:
    def malformed(problem: str) -> MalformedResponse:
        return broken(problem, answer, settings)

    body = decoded(answer, _decoder, settings)
    if isinstance(body, ResponseError):
        return body
    if isinstance(body.results, Unset):
        told = _json(answer.body)
        names = (
            ", ".join(sorted(cast(dict[str, Any], told))[:10])
            if isinstance(told, dict) and told
            else "nothing"
        )
        return malformed(f"it has no results (it has {names}); is base_url an API of this contract?")

    indices = list(map(_index, body.results))
    scores = list(map(_relevance, body.results))
    if not set(map(type, indices)) <= {int}:
        # JSON knows no integers: 1.0 is one too.
        fraction = next((value for value in indices if value != int(value)), None)
        if fraction is not None:
            return malformed(f"the index {fraction} is no integer")
        indices = list(map(int, indices))
    if len(indices) > limit:
        return malformed(f"it has {len(indices)} results where at most {limit} were asked for")
    if indices and not (min(indices) >= 0 and max(indices) < len(own)):
        wrong = next(value for value in indices if not 0 <= value < len(own))
        return malformed(f"the index {wrong} is none of the {len(own)} documents")
    if len(set(indices)) < len(indices):
        twice = Counter(indices).most_common(1)[0][0]
        return malformed(f"the index {twice} is there twice")
    redactor = settings.redactor

    def said(value: object) -> str | None:
        found = text(value)
        return None if found is None else redactor.text(found)

    # The decoder refuses NaN, Infinity and 1e999, so every score is finite.
    hits = list(map(Hit, indices, scores, map(own.__getitem__, indices)))
    reordered = any(map(float.__lt__, scores, scores[1:]))
    if reordered:
        hits.sort(key=lambda hit: (-hit.score, hit.index))
    if min_score is not None:
        hits = [hit for hit in hits if hit.score >= min_score]
    return Ranking(
        hits=tuple(hits),
        total=len(own),
        id=said(body.id),
        model=said(body.model),
        provider=said(body.provider),
        usage=_usage(body.usage),
        headers=answer.headers,
        reordered=reordered,
        body=answer.body,
        redactor=redactor,
    )


def _usage(given: object) -> Usage:
    if not isinstance(given, dict):
        return Usage()
    usage = cast(dict[str, object], given)
    return Usage(
        cost=number(usage.get("cost")),
        search_units=count(usage.get("search_units")),
        total_tokens=count(usage.get("total_tokens")),
    )


def number(value: object) -> float | None:
    """A number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def count(value: object) -> int | None:
    """An integer, also as 1.0; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def text(value: object) -> str | None:
    """A string; None for anything else."""
    return value if isinstance(value, str) else None


def _status_error(answer: Answer, settings: Settings) -> ResponseError:
    # All that follows is read of what is redacted.
    answer = _shown(answer, settings)
    envelope = _error_of(answer.body)
    told: dict[str, Any] = cast(dict[str, Any], envelope) if isinstance(envelope, dict) else {}
    code = _code(told.get("code"))
    metadata = {name: value for name, value in told.items() if name not in ("code", "message", "metadata")}
    inner = told.get("metadata")
    if isinstance(inner, dict):
        metadata |= cast(dict[str, Any], inner)
    says = _message(told, answer.body, answer.headers)
    common: dict[str, Any] = {
        "status": answer.status,
        "body": answer.body,
        "request_id": request_id_of(answer.headers),
        "retry_after": _retry_after(answer, metadata),
        "code": code,
        "metadata": metadata,
    }
    succeeded = answer.status < 300
    if succeeded and (code is None or code < 400):
        message = f"{settings.where} answered {answer.status} with an error and no code for it: {says}"
        return MalformedResponse(message, **common)
    status = cast(int, code) if succeeded else answer.status
    kind = class_of(status)
    retryable = _retryable(status, metadata, says)
    inside = f" inside a {answer.status}" if succeeded else ""
    message = f"{_title(status)}{inside} from {settings.where}: {says}. {_what_next(kind, answer, retryable)}"
    return kind(message, retryable=retryable, **common)


def _what_next(kind: type[StatusError], answer: Answer, retryable: bool) -> str:  # noqa: FBT001
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "somewhere that it does not name").partition("?")[0]
        where = re.sub(r"//[^/@]*@", "//", where)
        return f"Redirects are not followed, as the key would go along; set base_url for {where}"
    if kind is Unavailable and not retryable:
        return "Trying it again will not help; change the request, or the model"
    return next_step(kind)


def _title(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _error_of(body: bytes) -> object:
    """What stands under `error`, or the whole body where errors are told in another form."""
    told = _json(body)
    if isinstance(told, dict):
        mapping = cast(dict[str, Any], told)
        if mapping.get("error") is not None:
            return cast(object, mapping["error"]) if isinstance(mapping["error"], dict) else mapping
        if "results" not in mapping and ("detail" in mapping or "message" in mapping):
            return mapping
    return None


def _json(body: bytes) -> object:
    """The body as plain data; None where it is no JSON."""
    try:
        return cast(object, msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _code(value: object) -> int | None:
    """The code as a number: some servers send it as text."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 1000 else None


_LONGEST_MESSAGE = 500


def _message(told: Mapping[str, Any], body: bytes, headers: Mapping[str, str]) -> str:
    said = _said(told)
    if not said:
        kind = headers.get("content-type", "").partition(";")[0].strip()
        text = body[: 4 * _LONGEST_MESSAGE].decode("utf-8", "replace")
        if "html" in kind or text.lstrip().lower().startswith(("<!doctype", "<html")):
            title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
            said = f"an HTML page{f' titled {title[1].strip()!r}' if title else ''}"
        else:
            said = text if text.strip() else "no body"
    said = " ".join(said.split()).rstrip(".")
    return said if len(said) <= _LONGEST_MESSAGE else said[: _LONGEST_MESSAGE - 3] + "..."


def _said(told: Mapping[str, Any]) -> str:
    """The message for a person, with the cause that gateways bury below it."""
    message = next((told[name] for name in ("message", "detail", "error") if told.get(name)), "")
    said = message if isinstance(message, str) else msgspec.json.encode(message).decode()
    metadata = told.get("metadata")
    raw = cast(dict[str, Any], metadata).get("raw") if isinstance(metadata, dict) else None
    return f"{said}: {raw}" if isinstance(raw, str) and raw and raw not in said else said


# Kinds of error that the same request will meet again, though a gateway may dress them as a 5xx. The contract lists
# them all: components/schemas/ErrorMetadata.
_PERMANENT = frozenset(
    [
        "not_found",
        "precondition_failed",
        "context_length_exceeded",
        "max_tokens_exceeded",
        "token_limit_exceeded",
        "string_too_long",
        "invalid_request",
        "invalid_prompt",
        "content_policy_violation",
        "refusal",
        "invalid_image",
        "image_too_large",
        "image_too_small",
        "unsupported_image_format",
        "image_download_failed",
        "image_not_found",
        "authentication",
        "payment_required",
        "permission_denied",
        "payload_too_large",
        "unprocessable",
    ]
)


def _retryable(status: int, metadata: Mapping[str, Any], says: str) -> bool:
    availability = metadata.get("availability")
    if isinstance(availability, dict):
        said = cast(dict[str, Any], availability).get("retryable")
        if isinstance(said, bool):
            return said
    kind = metadata.get("error_type")
    if (isinstance(kind, str) and kind in _PERMANENT) or re.search(
        r"fetch\w* (the |an )?image", says, re.IGNORECASE
    ):
        return False
    return is_retryable(status)


def _retry_after(answer: Answer, metadata: Mapping[str, Any]) -> float | None:
    """Seconds to wait: from the header in either form, or from what the body says, or from the limit's reset."""
    header = answer.headers.get("retry-after")
    seconds = None if header is None else _seconds_or_date(header.strip())
    availability = metadata.get("availability")
    if seconds is None and isinstance(availability, dict):
        seconds = number(cast(dict[str, Any], availability).get("retry_after"))
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
    """Its unit is not documented: milliseconds or seconds since 1970, or seconds from now, by its size."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    if number > 1e12:
        return number / 1000 - time()
    return number - time() if number > 1e9 else number


# Errors raised before anything of the request can have reached the server.
UNSENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


def _connection_error(failure: Failure, settings: Settings, send: Send) -> RerankError:
    error = None if failure.error is None else settings.redactor.exception(failure.error)
    begun = failure.status is not None
    names = {cls.__name__ for cls in type(failure.error).__mro__} if error else set[str]()
    if error is None or "TimeoutException" in names:
        unsent = bool(names & UNSENT)
        phase = "no connection" if unsent else "no whole answer"
        fewer = ", or send fewer documents at a time" if send.content else ""
        message = (
            f"{phase} from {settings.where} within {send.timeout:.4g} s. "
            f"Raise timeout (an attempt) or deadline (the whole call){fewer}"
        )
        result: RerankError = TimedOut(message, retryable=unsent)
    else:
        words = str(error)[:_LONGEST_MESSAGE]
        what = f"{type(error).__name__}: {words}" if words else type(error).__name__
        when = "the connection broke in the middle of its answer" if begun else "it did not answer"
        hint = (
            "The certificate cannot be trusted; see SSL_CERT_FILE, or inject an http_client that knows it"
            if _untrusted(failure.error)
            else "Check base_url, the network and the proxy settings"
        )
        message = f"cannot reach {settings.where}, {when} ({what}). {hint}"
        retryable = (
            not begun
            and bool(names & {"NetworkError", "RemoteProtocolError"})
            and not _untrusted(failure.error)
        )
        result = ConnectionFailed(message, retryable=retryable)
    result.__cause__ = error
    return result


def _untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
