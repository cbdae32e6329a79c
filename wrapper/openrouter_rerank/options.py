"""The options of a call and of a client: the fields of the contract's request, and those that say how a call is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from openrouter_rerank.arguments import NoOptions as NoOptions  # noqa: PLC0414 - named by the client
from openrouter_rerank.arguments import did_you_mean, nearest, refuse
from openrouter_rerank.defaults import DEADLINE, MAX_BYTES, MAX_DOCUMENTS, MAX_IMAGE_BYTES, MODEL, TIMEOUT
from openrouter_rerank.retries import Retries
from openrouter_rerank_api.dialects import DialectOptions
from openrouter_rerank_api.options import RerankOptions

if TYPE_CHECKING:
    from openrouter_rerank.protocols import Cache, Splitter


class CallOptions(RerankOptions, DialectOptions, total=False):
    """The options of a call: the fields of a request (openapi.yaml, and contracts/dialects/ for other dialects), and ours.

    None stands for the client's default.
    """

    min_score: float | None
    """The lowest score that a hit may have; the scale is the model's own."""
    timeout: float | None
    """Seconds within which one attempt must be answered completely."""
    extra_body: Mapping[str, Any] | None
    """Further keys of the request, sent as they are. They override the arguments."""
    extra_headers: Mapping[str, str] | None
    """Further headers. They override ours."""
    tag: str | None
    """A name under which the ledger sums up calls. It is never sent."""
    max_documents: int | None
    """The number of documents above which a list is sent in parts; 1,000 by default."""
    max_bytes: int | None
    """The size of a request above which it is sent in parts; 30 MB by default."""
    on_part_error: Literal["raise", "partial"] | None
    """The effect of a failed part: "raise" (the default) ends the call, "partial" leaves its documents unranked."""
    splitter: Splitter | None
    """A function of a text to its pieces, which are ranked in its place; its score is the highest of its pieces."""
    blank: Literal["send", "skip"] | None
    """The handling of documents with a blank text and no image: "send" (the default), or "skip"."""


class ClientOptions(CallOptions, total=False):
    """The options that `with_options` changes."""

    deadline: float | None
    """Seconds within which a call must end, with all its attempts, waits and queueing; None for no limit."""
    retries: Retries
    """The rules for repeating a failed attempt."""
    max_image_bytes: int | None
    """The largest image that is sent from a `Path` or bytes; 20 MiB by default."""


class LocalOptions(ClientOptions, total=False):
    """The options that `local()` shares with the constructor."""

    max_cost: float | None
    """US dollars that the calls of the client may cost."""
    cache: Cache | None
    """The cache of answers."""


CALL = frozenset(CallOptions.__annotations__)
"""The names of the options of a call."""
CLIENT = frozenset(ClientOptions.__annotations__)
"""The names of the options of `with_options`."""
DEFAULTS: Mapping[str, Any] = {
    "model": MODEL,
    "timeout": TIMEOUT,
    "max_documents": MAX_DOCUMENTS,
    "max_bytes": MAX_BYTES,
    "on_part_error": "raise",
    "blank": "send",
    "deadline": DEADLINE,
    "retries": Retries(),
    "max_image_bytes": MAX_IMAGE_BYTES,
}
"""The values of options that neither the caller nor the client sets; those of all others are None."""


RENAMED: Mapping[str, str] = {
    "chunk": "splitter",  # in the first edition
    "max_results": "top_n",
    "max_retries": "retries",
    "threshold": "min_score",
    "token": "api_key",
    "top_k": "top_n",
    "url": "base_url",
}
"""Names of arguments in other libraries and in the first edition, with ours."""

_AT_MAKING = frozenset(
    {"api_key", "base_url", "dialect", "http_client", "verify", *LocalOptions.__annotations__}
)
"""The arguments of the constructor that no call has."""
_WITH_REQUESTS = ("rerank_many", "dry_run")
"""The methods whose requests have options of their own."""

IN_HITS = "it is not needed, as each hit holds your own document"
NEEDLESS: Mapping[str, str] = {
    "rank_fields": "pass key, a function of a document to the text to send",
    "return_documents": IN_HITS,
    "return_text": IN_HITS,
    "texts": "pass the texts as documents",
}
"""Arguments of other libraries that have no counterpart here, with what to do instead."""


def refuse_unknown(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the name of an option that does not exist, as `**options` takes any.

    Raises:
        TypeError: There is no such option; the message has the nearest name.
    """
    refuse(where, given, known, partial(_next_step, where))


def _next_step(where: str, name: str, names: Sequence[str]) -> str:
    """Return what to do instead of passing an argument that does not exist."""
    is_call, is_local = "extra_body" in names, "scorer" in names
    others = _AT_MAKING - {*names} if is_call else frozenset[str]()
    at_making = frozenset[str]() if is_local else others
    wanted = RENAMED.get(name, name)
    close = nearest(wanted, [*names, *sorted(at_making)])
    steps = (
        (
            name == "on_error",
            "pass it to each call of rerank(), as the type of the result depends on it",
        ),
        (name in NEEDLESS, NEEDLESS.get(name, "")),
        (
            where in _WITH_REQUESTS and wanted in CALL,
            f"set {wanted} in each RerankRequest, or as a default by with_options()",
        ),
        (wanted in at_making, "set it where the reranker is made"),
        (wanted in others, "it is for a server; use the constructor in place of local()"),
        (close in at_making, f"did you mean {close!r}? Set it where the reranker is made"),
        (is_call and close is None, "to send it as a key of the request, use extra_body"),
        (True, did_you_mean(wanted, names)),
    )
    return next(step for applies, step in steps if applies)


def names_of(function: Callable[..., Any]) -> set[str]:
    """Return the names of a function's arguments."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name for one in parameters if one.kind is not one.VAR_KEYWORD} - {"self", "cls"}


def document(function: Callable[..., Any], options: type, defaults: Mapping[str, Any]) -> None:
    """Give a function's signature the options by name in place of its `**options`."""
    plain = inspect.signature(function)
    own = [p for p in plain.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    names = {parameter.name for parameter in own}
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name),
            annotation=annotation.__forward_arg__,
        )
        for name, annotation in options.__annotations__.items()
        if name not in names
    ]
    function.__signature__ = plain.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
