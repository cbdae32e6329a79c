"""Find the cause of an error from its message.

Servers use statuses differently: llama.cpp answers 500 to a document that is too long, TEI 422 to a list that is too long,
and LiteLLM 500 if the server itself lacks a key. The tables below have wordings of real servers, which the tests quote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, cast

import msgspec

from openrouter_rerank.errors import BadRequestError, class_of


class Cause(Enum):
    """The cause of an error that a retry cannot fix."""

    SIZE = "size"
    """The list or one of its texts is too large; fewer or shorter documents may succeed."""
    SERVER_KEY = "server key"
    """The server has no valid key for the provider behind it."""
    MODEL = "model"
    """The model does not exist or does not rank."""
    ADDRESS = "address"
    """The URL has no such operation."""
    REQUEST = "request"
    """The request itself; the same request fails again."""


# --------------------------------------------------------------------------------------------------------------- tables

_ABOUT_SIZE = re.compile(
    r"""
    \bbatch[ _-]?size[^.]{0,60}?(>|exceed|(larger|greater|more)\ than|at\ most|too\ (large|big)|max)
    | \b(exceed\w*|above|over)[^.]{0,30}\bbatch[ _-]?size
    | \bmax(imum)?(\ allowed)?[ _](batch|client[ _]batch|input|token|context|model|sequence|request|payload)s?[ _](size|len|length|tokens)
    | \bmax(imum)?(\ allowed)?\ tokens?\ per
    | \bmax(imum)?(\ allowed)?\ number\ of\ (input\ )?(documents|texts|passages|inputs|items|sources|chunks)
    | \bnumber\ of\ (input\ )?(documents|texts|passages|inputs|items|sources|chunks)\b[^.]{0,30}?
      (exceed|must\ be|must\ not|should|can(not|\ not|'t)|(greater|larger|more)\ than|limit)
    | \btoo\ many\ (input\ )?(documents|texts|passages|inputs|items|sources|chunks|tokens)
    | \b(documents?|texts|passages|sources)\b[^.]{0,60}?
      (too\ (long|large|big|many)|(longer|larger|greater)\ than|exceed|at\ most|no\ more\ than|<=\s?\d|up\ to\ \d)
    | \b(list|array|tuple)\b[^.]{0,30}?(at\ most|<=)\ ?\d+\ ?(item|element)
    | \b(input|inputs|prompt|request|payload|body|entity|content|sequence|pair)\b[^.]{0,60}?too\ (long|large|big)
    | \b(exceed\w*|(longer|larger|greater)\ than)[^.]{0,60}?
      (tokens?\b|context|\blength\b|\bbytes?\b|\b[kmg]i?b\b|\bcharacters?\b|chunk|\bsize\b)
    | \bmust\ have\ (less|fewer)\ than\ \d+\ tokens
    | \bstring\ should\ have\ at\ most\ \d+\ character
    | \bmust\ have\ length\ less\ than\ or\ equal\ to\ \d+
    | \b(reduce|lower)\ the\ (length|number|size)\ of
    | \btoo\ (long|large|big)\ to\ process
    | \b(content|entity|payload)\ too\ large
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Limits that fewer or shorter documents do not help with.
_OTHER_LIMIT = re.compile(
    r"""
    quota | credit | balance | billing | budget | \brate | \bper\ (second|minute|hour|day|month) | \b[rt]p[md]\b | concurren
    | \btop_?[nk]\b | \b(user|session_id|trace|header)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_QUERY = re.compile(r"\bquer(y|ies)\b", re.IGNORECASE)
_DOCUMENTS = re.compile(r"\b(documents?|texts?|passages?|sources?|inputs?|batch)\b", re.IGNORECASE)
_SIZE_KINDS = frozenset(
    [
        "payload_too_large",
        "context_length_exceeded",
        "token_limit_exceeded",
        "input_token_limit_exceeded",
        "exceed_context_size_error",
    ]
)

_SERVER_KEY = re.compile(
    r"""
    \bno\ (valid\ )?(api[ _-]?)?key\b[^.]{0,30}?(configured|provided|supplied|set|found|given)
    | \b(api[ _-]?key|credentials?)\b[^.]{0,60}?
      \b(is|are|was)?\ ?(required|missing|invalid|incorrect|must\ be\ set|not\ (set|configured|provided|found|supplied|valid))
    | \b(missing|invalid|incorrect|no)\ ([\w-]+\ ){0,2}(api[ _-]?key|credentials)\b
    | \bkey\b[^.]{0,20}?\bnot\ (configured|set)\b
    | \bauthentication(\ ?error|\ failed)\b | \bunauthorized\b
    | \binsufficient[ _](balance|credits?|funds)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A name may have a dot ("rerank-2.5"); only a dot before a blank ends a sentence.
_MODEL = re.compile(
    r"""
    \b(does|do|is)\ not\ support(ed)?\b(?:[^.]|\.(?=\w)){0,40}?\b(re-?rank(ing|er)?|model)\b
    | \bnot\ a\ re-?rank(er|ing)?\b
    | \bmodels?\b(?:[^.]|\.(?=\w)){0,120}?\b(does\ not\ exist|not\ found|(is|are)\ not\ (supported|available\ for|a\ re-?rank)|not\ support(ed)?)
    | \b(unsupported|unknown|invalid|no\ such)\ (model|provider)\b
    | \bnot_supported_error\b | \bnot\ implemented\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Only an unknown model: other messages about a model concern the request, which another model name does not fix.
_NO_SUCH_MODEL = re.compile(
    r"""
    \bmodels?\b(?:[^.]|\.(?=\w)){0,80}?\b((does|do)\ not\ exist|not\ found|(is|are)\ not\ (supported|available|loaded)\ *(by|on|for|[.,;]|$))
    | \b(unsupported|unknown|no\ such)\ model\b
    | \bnot\ a\ re-?rank(er|ing)?\b
    """,
    re.IGNORECASE | re.VERBOSE,
)  # fmt: skip
_MODEL_KINDS = frozenset(["input_model_not_found", "model_not_found"])
_IMAGE = re.compile(r"fetch\w* (the |an )?image", re.IGNORECASE)
# Words of transient errors; they take precedence over all others.
_TRANSIENT = re.compile(
    r"""
    overload | \btry(ing)?\ (it\ |this\ )?again(?!\ with\ (a\ )?(few|short|small|less)) | \bretry\b | \b(re)?load(ing|ed)?\b
    | time(d)?[ -]?out | temporar | \bbusy\b | \bcapacity | \bunavailable | \brate | too\ many\ requests | \bwarm
    | \b(re)?starting\b | \bnot\ ready | connection | \bqueue | \bcurrently\b | \bmoment
    """,
    re.IGNORECASE | re.VERBOSE,
)

_NO_ADDRESS = re.compile(
    r"""
    ^\W*(404\W*)?(page\ |file\ |resource\ |method\ )?not\ (found|allowed)\W*$
    | \bcannot\ (post|get)\b
    | \b(invalid|unknown|unexpected|unrecognized|no\ such)\ (request\ )?(url|uri|path|route|endpoint|page)\b
    | \b(url|uri|path|route|page|endpoint)\b[^.]{0,80}?\bnot\ (found|exist)
    | \bno\ (matching\ )?(route|path|handler)s?\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_A_MODEL = re.compile(
    r"\bmodels?\b|\bdeployment|\bno (allowed )?(endpoints|providers)\b|\bprovider\b", re.IGNORECASE
)

# Error types that a repeated request gets again, even with a 5xx from a gateway. The contract lists them in
# components/schemas/ErrorMetadata.
_PERMANENT = frozenset(
    [
        "not_found",
        "precondition_failed",
        "max_tokens_exceeded",
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
        "unprocessable",
    ]
)


# -------------------------------------------------------------------------------------------------------------- deciding


def cause_of(status: int, words: str, members: Mapping[str, Any], *, html: bool = False) -> Cause | None:
    """Return the cause of an error; None if its status is enough, or if the request may succeed later.

    Args:
        status: The status of the error, or the code in a 200.
        words: The message of the server, without quotes of the request.
        members: The members of the error and of its metadata.
        html: True if the body is an HTML page.
    """
    kinds = {str(members.get(name)).lower() for name in ("error_type", "type", "code")}
    if status >= 500:
        return _behind_5xx(status, words, kinds, html=html)
    # A gateway may send an HTML page with 403 or 413 at the right URL too.
    if html and status != 413 and class_of(status) is BadRequestError:
        return Cause.ADDRESS
    if status in (404, 405, 410):
        return _missing(words, members)
    if status == 413:
        return Cause.SIZE
    if status in (400, 422) and (kinds & _SIZE_KINDS or _is_about_size(words)):
        return Cause.SIZE
    is_about_model = status in (400, 422, 424) and (kinds & _MODEL_KINDS or _NO_SUCH_MODEL.search(words))
    return Cause.MODEL if is_about_model else None


def _behind_5xx(status: int, words: str, kinds: set[str], *, html: bool) -> Cause | None:
    if kinds & _SIZE_KINDS:
        return Cause.SIZE
    if kinds & _PERMANENT or _IMAGE.search(words):
        return Cause.REQUEST
    if html and status == 501:
        return Cause.ADDRESS  # a server of files, which has no POST
    if html or _TRANSIENT.search(words):
        return None
    found = (
        (Cause.SIZE, _is_about_size(words)),
        (Cause.SERVER_KEY, _SERVER_KEY.search(words)),
        (Cause.MODEL, _MODEL.search(words)),
    )
    return next((cause for cause, is_there in found if is_there), None)


def _is_about_size(words: str) -> bool:
    if _OTHER_LIMIT.search(words) or not _ABOUT_SIZE.search(words):
        return False
    # Halving the documents does not shorten a query.
    return _QUERY.search(words) is None or _DOCUMENTS.search(words) is not None


def _missing(words: str, members: Mapping[str, Any]) -> Cause:
    """Return the cause of a 404: the model or the address."""
    if _NO_ADDRESS.search(words):
        return Cause.ADDRESS
    names_model = members.get("param") == "model" or "availability" in members or _A_MODEL.search(words)
    return Cause.MODEL if names_model else Cause.ADDRESS


def is_no_address(words: str) -> bool:
    """Return True if the words say that the URL has no such operation."""
    return _NO_ADDRESS.search(words) is not None


def words_of(error: object) -> str:
    """Return the words of an error, without quotes of the request.

    In a list of details (`{"loc": ..., "msg": ..., "input": ...}`), only details about the documents count.
    """
    # LiteLLM appends a traceback, which may contain any words.
    return "; ".join(_words(error, 4)).partition("Traceback (most recent")[0]


_WORDS = ("message", "msg", "detail", "error", "errors", "title", "type", "metadata", "raw")
_LISTS = frozenset({"documents", "texts", "passages", "input", "inputs"})


def _words(error: object, depth: int) -> Iterator[str]:
    if isinstance(error, str):
        inner = _decode_inner(error)
        if depth and isinstance(inner, dict | list):
            yield from _words(cast(object, inner), depth - 1)
        elif error:
            yield error
    elif depth and isinstance(error, list):
        for item in cast(list[object], error)[:20]:
            yield from _words(item, depth - 1)
    elif depth and isinstance(error, dict):
        members = cast(dict[str, object], error)
        place = members.get("loc", members.get("path"))
        if isinstance(place, list) and _LISTS.isdisjoint(map(str, cast(list[object], place))):
            return
        for name in _WORDS:
            if name in members:
                yield from _words(members[name], depth - 1)


def _decode_inner(text: str) -> object:
    """Return the JSON in a text, or None; gateways nest the error of another server there."""
    if text[:1] not in ("{", "["):
        return None
    try:
        return cast(object, msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
