"""Read why a server refused a request, from its status and its words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, cast

from openrouter_rerank.doctor.probes import Reply
from openrouter_rerank.errors import class_of
from openrouter_rerank.readers import members
from openrouter_rerank.wordings import Cause, cause_of, is_no_address, words_of


class Reason(Enum):
    """The reason of a refusal."""

    ABSENT = "absent"
    """There is no such operation at the address."""
    PAGE = "page"
    """A web page."""
    OTHER_API = "other API"
    """An answer of another operation."""
    NOT_A_RERANKER = "not a reranker"
    """The operation is there, and the model or the server does not rank."""
    REDIRECT = "redirect"
    KEY = "key"
    CREDITS = "credits"
    MODEL = "model"
    """The model is unknown or missing."""
    TEXTS = "texts"
    """The documents were expected in the field `texts`."""
    OBJECTS = "objects"
    """The documents were expected as objects."""
    SIZE = "size"
    RATE = "rate"
    LOADING = "loading"
    PROXY = "proxy"
    TLS = "tls"
    SERVER = "server"
    """The server failed."""
    REQUEST = "request"
    """The request was refused for another reason."""


class KnownRefusal(NamedTuple):
    """A response that is not a ranking."""

    reason: Reason
    says: str
    """The status and the server's words."""
    reply: Reply


PROBLEMS: Mapping[Reason, tuple[str, str]] = {
    Reason.NOT_A_RERANKER: (
        "not_rerank",
        "start the server with a reranker (llama.cpp: --reranking; vLLM: --runner pooling), or name one with --model",
    ),
    Reason.CREDITS: ("wrong_key", "add credits to the account, or use the key of another one"),
    Reason.MODEL: ("unknown_model", "pass --model with a model of this server"),
    Reason.RATE: ("rate_limited", "wait, and send fewer requests at a time; the key may have a quota"),
    Reason.LOADING: ("loading", "wait until the model is loaded, and run the command again"),
    Reason.PROXY: ("proxy_error", "check the proxy or gateway in front of the server, and that the server behind it runs"),
    Reason.SERVER: ("server_error", "read the server's log"),
    Reason.SIZE: ("server_error", "read the server's log: it refuses eight short documents as too large"),
    Reason.ABSENT: ("wrong_path", "check the address in the server's documentation"),
    Reason.PAGE: ("not_rerank", "use the address of a rerank server"),
    Reason.OTHER_API: ("not_rerank", "use the address of a rerank server in one of the dialects of docs/dialects.md"),
    Reason.REDIRECT: ("wrong_path", "use the address of the API itself"),
    Reason.KEY: ("wrong_key", "check the key, and what its account allows"),
    Reason.TLS: ("tls", "write https:// in base_url"),
    Reason.TEXTS: ("not_rerank", "use a server with one of the dialects of docs/dialects.md"),
    Reason.OBJECTS: ("not_rerank", "use a server with one of the dialects of docs/dialects.md"),
    Reason.REQUEST: ("not_rerank", "check that it is a rerank server; it refuses the plainest request of every dialect"),
}  # fmt: skip
"""The code of the problem and the next step, by the reason of a refusal."""


_LONGEST = 240

_WANTS_TLS = re.compile(
    rb"plain HTTP request was sent to HTTPS|HTTP request to an HTTPS|to an SSL-enabled", re.IGNORECASE
)
_NO_RERANKER = re.compile(
    r"""
    \bnot\ (a\ )?re-?rank | (does|do|did)(\ not|n't)\ support\ (the\ )?[`'"]?(re-?rank|scor) | re-?rank\w*\ (is\ )?(not\ (supported|enabled)|disabled)
    | not\ support\w*\ (by\ |for\ )?re-?rank | --rerank | no\ re-?rank(er|ing)?\ model
    """,
    re.IGNORECASE | re.VERBOSE,
)  # fmt: skip
# A name may have a dot ("rerank-2.5"); only a dot before a blank ends a sentence.
_MODEL = re.compile(
    r"""
    \bmodels?\b(?:[^.]|\.(?=\w)){0,160}?\b(not\ found|(does|do)\ not\ exist|doesn't\ exist|unknown|invalid|unsupported|not\ (supported|available|loaded|served|allowed|a\ valid|recogni[sz]ed|provided)
      |no\ such|required|missing|must\ be|should\ be)
    | \bLLM\ Provider\ NOT\ provided\b
    | \b(unknown|invalid|unsupported|no\ such|missing|(could\ not|cannot|unable\ to)\ find|unrecogni[sz]ed|no\ access\ to
      |not\ (a|an|the\ name\ of\ a)\ (valid|known|existing|supported|available))\b(?:[^.]|\.(?=\w)){0,30}?\bmodels?\b
    """,
    re.IGNORECASE | re.VERBOSE,
)  # fmt: skip
_MODEL_CODES = re.compile(r"model_?not_?found|invalid_?model|unknown_?model|^20012$", re.IGNORECASE)
_KEY = re.compile(
    r"\bapi[ _-]?key\b|\bunauthori[sz]ed\b|\bauthenticat|\bcredentials?\b|\b(invalid|missing|no) (api )?token\b",
    re.IGNORECASE,
)
_LOADING = re.compile(
    r"\bload(ing|s)?\b|\bnot (yet )?(ready|loaded|initiali[sz]ed)|\bwarm(ing)?[ -]?up\b|\bstarting\b|\bunhealthy\b|initiali[sz]ing|being loaded|\bcold start",
    re.IGNORECASE,
)
_CANNOT_LOAD = re.compile(
    r"\b(could not|cannot|can't|couldn't|fail(ed|ure) to|unable to|error) load(ing)?\b|\bload(ing)?( the)?( model)? failed",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"\boverload|\bcapacity\b|\bbusy\b|\btoo many\b|\brate.?limit|\bqueue\b|\bthrottl", re.IGNORECASE
)
_UPSTREAM = re.compile(
    r"\bupstream\b|\bbad gateway\b|\bgateway time|\bno healthy\b|\bproxy\b|\bnginx\b|\bcloudflare\b|^error code: \d+$|ECONNREFUSED",
    re.IGNORECASE,
)


def of(reply: Reply) -> KnownRefusal:
    """Return the reason why a response has no ranking."""
    body = reply.content
    return KnownRefusal(_reason(reply, body), _says(reply, body), reply)


def _reason(reply: Reply, body: object) -> Reason:  # noqa: C901, PLR0911, PLR0912 - one branch for each reason
    status = reply.status
    words = _words(body)
    fields = members(body)
    error = members(cast("object", fields.get("error"))) or fields
    if status < 300:
        return _in_success(reply, body, words)
    if status < 400:
        return Reason.REDIRECT
    if status == 400 and _WANTS_TLS.search(reply.body):
        return Reason.TLS
    if status in (407, 511):
        return Reason.PROXY
    if status in (401, 403):
        return Reason.PROXY if reply.is_html and status == 403 else Reason.KEY
    if status == 402:
        return Reason.CREDITS
    if status == 429:
        return Reason.RATE
    if status == 501 and reply.is_html:
        return Reason.PAGE
    if _NO_RERANKER.search(words) or status == 501:
        return Reason.NOT_A_RERANKER
    cause = None if status < 300 else cause_of(status, words, {**fields, **error}, html=reply.is_html)
    if status >= 500:
        return _behind_5xx(reply, words, cause)
    if cause is Cause.ADDRESS:
        return Reason.ABSENT
    names_model = error.get("param") == "model" or _MODEL_CODES.search(
        str(error.get("code") or error.get("type") or "")
    )
    if cause is Cause.MODEL or names_model or _located(body, "model"):
        return Reason.MODEL
    if cause is Cause.SIZE:
        return Reason.SIZE
    if "texts" in words or _located(body, "texts"):
        return Reason.TEXTS
    if _MODEL.search(words):
        return Reason.MODEL
    if class_of(status).__name__ == "BadRequestError" and _KEY.search(words):
        return Reason.KEY
    if re.search(r"documents.{0,40}\b(object|dict|map|struct)", words, re.IGNORECASE):
        return Reason.OBJECTS
    return Reason.REQUEST


def _in_success(reply: Reply, body: object, words: str) -> Reason:
    fields = members(body)
    error = fields.get("error")
    if error:
        code = members(cast("object", error)).get("code")
        if isinstance(code, int) and 400 <= code < 600 and not isinstance(code, bool):
            return _reason(reply._replace(status=code), body)
        if _NO_RERANKER.search(words):
            return Reason.NOT_A_RERANKER
        if is_no_address(words) or re.search(r"\b(endpoint|method|route|path)\b", words, re.IGNORECASE):
            return Reason.ABSENT
        if _MODEL.search(words):
            return Reason.MODEL
        return Reason.SERVER
    return Reason.PAGE if reply.is_html else Reason.OTHER_API


def _behind_5xx(reply: Reply, words: str, cause: Cause | None) -> Reason:
    if cause is Cause.SIZE:
        return Reason.SIZE
    if _LOADING.search(words) and not _CANNOT_LOAD.search(words) and not reply.is_html:
        return Reason.LOADING
    if reply.status in (502, 503, 504) or reply.status >= 520:
        if reply.is_html or _UPSTREAM.search(words) or (reply.status != 503 and not reply.body.strip()):
            return Reason.PROXY
        if reply.status == 503 and not _BUSY.search(words):
            return Reason.LOADING
        return Reason.RATE if _BUSY.search(words) else Reason.SERVER
    return Reason.MODEL if cause is Cause.MODEL or _MODEL.search(words) else Reason.SERVER


def _words(body: object) -> str:
    return body if isinstance(body, str) else words_of(body) or str(body)[:1000]


def _located(body: object, name: str) -> bool:
    """Return True if a list of problems, as FastAPI has it, is about this field."""
    detail = members(body).get("detail")
    if not isinstance(detail, list):
        return False
    places = [members(item).get("loc") for item in cast("list[object]", detail)]
    return any(isinstance(place, list) and name in place for place in cast("list[Any]", places))


def _says(reply: Reply, body: object) -> str:
    words = "a web page" if reply.is_html else " ".join(_words(body).split())
    shown = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
    return f"{reply.status} ({shown})" if shown else str(reply.status)
