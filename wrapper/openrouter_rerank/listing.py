"""List the models that rank, from all pages of the server's list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from math import isfinite
from time import monotonic
from typing import Any, NamedTuple, TypeAlias, cast
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from openrouter_rerank.addresses import sibling_path
from openrouter_rerank.answer import CHECK_ADDRESS, ErrorEnvelope, answered, decoded, malformed
from openrouter_rerank.core import attempts
from openrouter_rerank.decoding import well_formed
from openrouter_rerank.errors import RerankError
from openrouter_rerank.models import ModelInfo
from openrouter_rerank.operations import LARGEST_ANSWER, Answer, Outcome, Secrets, Send, Step
from openrouter_rerank.readers import count, members, number, text
from openrouter_rerank.request import seconds
from openrouter_rerank.settings import LIST_PATH, RANKING_PATH, Settings
from openrouter_rerank_api.api.models import list_models
from openrouter_rerank_api.types import UNSET, Unset

log = logging.getLogger("openrouter_rerank")

# The vendor has nine such models, and a page of it has up to a thousand.
_MOST_PAGES = 100
_MODALITY = "rerank"

Listing: TypeAlias = Generator[Step, Any, list[ModelInfo]]
"""Yields steps, as a `Call` does; returns the models."""


def models(settings: Settings, *, timeout: float | None, extra_headers: Mapping[str, str] | None) -> Listing:
    """Return the models of all pages, within one deadline."""
    began = monotonic()
    if settings.codec is not None:
        message = f"models(): the dialect {settings.codec.name!r} has no list of models; see the documentation of the server"
        raise ValueError(message)
    if extra_headers is not None:
        settings = settings.with_headers(extra_headers)
    # There is no content to have a type.
    headers = Secrets(
        {name: value for name, value in settings.headers.items() if name.lower() != "content-type"}
    )
    per_attempt = settings.timeout if timeout is None else seconds("timeout", timeout)
    settings = msgspec.structs.replace(settings, where=_address(settings, {}).partition("?")[0])
    found: dict[str, ModelInfo] = {}
    seen: set[str] = set()
    offset, pages, more = 0, 0, True

    def reading(outcome: Outcome, sent: Send) -> _Page | RerankError:
        answer = answered(outcome, sent, settings)
        return answer if isinstance(answer, RerankError) else _page(answer, seen, pages, settings)

    while more:
        # `links.next` says that there is more and never where to: the key goes to no address that an answer names.
        sent = list_models.get_kwargs(output_modalities=_MODALITY, offset=offset or UNSET)
        url = _address(settings, sent["params"])
        send = Send(headers, b"", per_attempt, LARGEST_ANSWER, sent["method"].upper(), url)
        page, _ = yield from attempts(settings, began, send, reading)
        for model in page.models:
            found.setdefault(model.id, model)
        seen.update(page.ids)
        offset, pages, more = offset + len(page.ids), pages + 1, page.more
    log.debug("listed %d model(s) on %d page(s) in %.3f s", len(found), pages, monotonic() - began)
    return list(found.values())


def _address(settings: Settings, parameters: Mapping[str, Any]) -> str:
    """Return the URL of the list, which is beside that of the ranking."""
    parts = urlsplit(settings.url)
    path = sibling_path(parts.path, RANKING_PATH, LIST_PATH)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


class _Model(msgspec.Struct):
    """A model on a page: strict on its id, lenient on the rest. A test compares it with the contract."""

    id: str
    name: Any = None
    description: Any = None
    created: Any = None
    expiration_date: Any = None
    context_length: Any = None
    architecture: Any = None
    pricing: Any = None


class _List(ErrorEnvelope):
    """A page of the list."""

    data: list[_Model] | Unset = UNSET
    links: Any = None


_decoder = msgspec.json.Decoder(_List)


class _Page(NamedTuple):
    """The models of a page that rank, the ids of all its models, and True if another page follows."""

    models: list[ModelInfo]
    ids: list[str]
    more: bool


def _page(answer: Answer, seen: set[str], pages: int, settings: Settings) -> _Page | RerankError:
    body = decoded(answer, _decoder, settings)
    if isinstance(body, RerankError):
        return body
    if isinstance(body.data, Unset):
        return malformed("it has no data, which is the list of models", answer, settings, CHECK_ADDRESS)
    ids = [model.id for model in body.data]
    if not all(ids):
        return malformed(f"the id of model {ids.index('')} is empty", answer, settings)
    # An empty page is the last, whatever it says.
    more = bool(ids and text(members(body.links).get("next")))
    if more and seen.issuperset(ids):
        return malformed(
            f"page {pages + 1} has nothing that was not on those before, and names a next one",
            answer,
            settings,
        )
    if more and pages + 1 == _MOST_PAGES:
        return malformed(f"its list of models does not end with page {_MOST_PAGES}", answer, settings)
    redact = settings.redactor.text if settings.redactor.is_in(answer.body) else str
    return _Page([_info(model, redact) for model in body.data if _ranks(model)], ids, more)


def _ranks(model: _Model) -> bool:
    """Return True if the model ranks, or if the server does not list its output modalities."""
    given = _texts(members(model.architecture).get("output_modalities"))
    return given is None or _MODALITY in given


def _info(model: _Model, redact: Callable[[str], str]) -> ModelInfo:
    def clean(value: str) -> str:
        return redact(well_formed(value))

    def said(value: object) -> str | None:
        return clean(value) if isinstance(value, str) and value else None

    pricing = members(model.pricing)
    taken = _texts(members(model.architecture).get("input_modalities"))
    return ModelInfo(
        id=clean(model.id),
        name=said(model.name),
        description=said(model.description),
        created=count(model.created),
        expiration_date=said(model.expiration_date),
        context_length=count(model.context_length) or None,
        input_modalities=None if taken is None else tuple(map(clean, taken)),
        price_per_search=_price(pricing.get("request")),
        price_per_token=_price(pricing.get("prompt")),
    )


def _price(given: object) -> float | None:
    """Return a price, in decimal text as the contract has it or as a number.

    Not 0, which the vendor's list has for what is paid for (openapi.yaml#/components/schemas/ModelPricing), and not
    below, by which it says that it depends.
    """
    try:
        price = float(given) if isinstance(given, str) else number(given)
    except ValueError:
        return None
    return price if price is not None and price > 0 and isfinite(price) else None


def _texts(value: object) -> list[str] | None:
    """Return the strings of a list, or None for any other value."""
    return (
        [item for item in cast(list[object], value) if isinstance(item, str)]
        if isinstance(value, list)
        else None
    )
