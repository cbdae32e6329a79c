"""The reference server as a function from a request to an answer.

A request goes through these steps. Each is a method; a server that differs in one step overrides it.

    admit     route, method, authenticate         check the head of the request
    read      size, media_type, parse, validate   read and validate the body
    rank      texts, scores, order, cut           select the documents to return, best first
    render    result, document, usage             make the answer as JSON
    encode                                        make the answer as bytes

After `admit`, a request for the models goes to `page`, which returns a page of `models`. A step refuses a request by raising
`Refusal`; `envelope` makes the body of every error.
"""

import hmac
import json
import logging
import math
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, urlencode

import msgspec

from rerank_conformance import contract
from rerank_conformance.scorers import Scorer
from rerank_conformance.scorers import scorer as scorer_named

PREFIXES = ("/api/v1", "/v1", "/v2", "")
"""The prefixes of `/rerank` and `/models`: OpenRouter's own, and those that other vendors' clients use."""

MAX_BODY = 64 * 1024 * 1024
"""The default maximum of a body, in bytes; the contract allows images of 30 MB."""

# openapi.yaml#/components/schemas/Usage/properties/search_units
DOCUMENTS_PER_SEARCH = 100
_LONGEST_PAGE = 1_000  # openapi.yaml#/components/parameters/Limit/schema/maximum
CHARACTERS_PER_TOKEN = 4

Body = dict[str, Any]
"""A parsed JSON object."""

_PARAMETERS = frozenset({"output_modalities", "offset", "limit"})
_MODELS_PATHS = frozenset(f"{prefix}/models" for prefix in PREFIXES)
_LONGEST = 40  # characters of a header or a key that a message quotes
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

logger = logging.getLogger("rerank_conformance.reference")


@dataclass(frozen=True, slots=True)
class ReferenceRequest:
    """A request, as the steps receive it."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)  # contains the key
    """The headers, by name in lower case."""
    body: bytes = field(repr=False)
    query: str = ""
    """The query string of the URL."""


class ReferenceResponse(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Refusal(Exception):
    """Raised by a step, or by a scorer, to answer with an error instead of a ranking."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class Reference:
    """A server that conforms to the contract.

    Args:
        scorer: The scorer, by name or as a thread-safe function. Its name is the `model` of every answer, also if
            another model was requested.
        keys: The accepted keys; None accepts requests without a key.
        compat: Add the fields that other vendors' clients require. Every answer still conforms to the contract.
        new_id: A function that returns the `id` of an answer.
        max_body: The maximum of a body, in bytes.
        contract_version: The version of the contract; the newest if None.

    Raises:
        ValueError: There is no such scorer or contract, or `keys` is empty or has an empty key.
    """

    def __init__(  # noqa: PLR0913 - all but the scorer by keyword
        self,
        scorer: str | Scorer | None = None,
        *,
        keys: Collection[str] | None = None,
        compat: bool = False,
        new_id: Callable[[], str] | None = None,
        max_body: int = MAX_BODY,
        contract_version: str | None = None,
    ) -> None:
        if keys is not None and (isinstance(keys, str) or not keys or not all(keys)):
            message = (
                "keys: expected at least one key and no empty ones, or None to accept requests without a key"
            )
            raise ValueError(message)
        self.scorer = scorer_named(scorer)
        self.model = self.scorer.name
        self.compat = compat
        self.max_body = max_body
        self.contract = contract.load(contract_version)
        self._paths = {f"{prefix}{path}" for prefix in PREFIXES for path in self.contract.document["paths"]}
        self._keys = None if keys is None else [key.encode() for key in keys]
        self._new_id = new_id or _new_id
        self._began = int(time.time())

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ReferenceResponse:
        """Answer any request with a ranking, the models, or an error in the contract's envelope.

        The path may include a query string, see `target`.
        """
        place, _, query = path.partition("?")
        lower = {name.lower(): value for name, value in headers.items()}
        request = ReferenceRequest(method, place, lower, body, query)
        try:
            answer = self.respond(request)
        except Refusal as refusal:
            envelope = self.envelope(refusal.status, refusal.message)
            answer = self.encode(refusal.status, envelope, refusal.headers)
        except Exception:
            logger.exception("%s %s could not be answered", method, path)
            answer = self.encode(500, self.envelope(500, "The server failed; its log says why"))
        return answer._replace(body=b"") if method == "HEAD" else answer

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        """Run the steps in order."""
        self.admit(request)
        if request.path in _MODELS_PATHS:
            return self.encode(200, self.page(request))
        body = self.read(request)
        return self.encode(200, self.render(body, self.rank(body)))

    # admit

    def admit(self, request: ReferenceRequest) -> None:
        """Refuse a request by its head, before the body is read."""
        self.route(request)
        self.method(request)
        self.authenticate(request)

    def route(self, request: ReferenceRequest) -> None:
        """Refuse every path but those of the contract (`/rerank`, `/models`), with one of the prefixes."""
        if request.path not in self._paths:
            raise Refusal(404, f"No such path; the paths are {', '.join(sorted(self._paths))}")

    def method(self, request: ReferenceRequest) -> None:
        """Refuse every method but POST, or for the models but GET and HEAD."""
        if request.path in _MODELS_PATHS:
            if request.method not in ("GET", "HEAD"):
                raise Refusal(405, "Method not allowed: models takes GET", {"allow": "GET, HEAD"})
        elif request.method != "POST":
            raise Refusal(405, "Method not allowed: rerank takes POST", {"allow": "POST"})

    def authenticate(self, request: ReferenceRequest) -> None:
        """Refuse a request without one of the keys, if the server has keys."""
        if self._keys is None:
            return
        scheme, _, key = request.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            message = "No key was sent: send the header Authorization: Bearer <key>"
            raise Refusal(401, message, {"www-authenticate": "Bearer"})
        # every key is compared, each in constant time, so that the time reveals nothing about a key
        if not any([hmac.compare_digest(key.strip().encode(), known) for known in self._keys]):  # noqa: C419
            message = "The key is unknown to this server"
            raise Refusal(401, message, {"www-authenticate": 'Bearer error="invalid_token"'})

    # read

    def read(self, request: ReferenceRequest) -> Body:
        """Return the body as an object that is valid by the contract."""
        self.size(request)
        self.media_type(request)
        return self.validate(self.parse(request.body))

    def size(self, request: ReferenceRequest) -> None:
        """Refuse a body that is too large."""
        if len(request.body) > self.max_body:
            message = f"The body is larger than {self.max_body} bytes: send fewer or smaller documents"
            raise Refusal(413, message)

    def media_type(self, request: ReferenceRequest) -> None:
        """Refuse any other media type than JSON, with 400, as the contract does not document 415."""
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            found = f"is {content_type[:_LONGEST]!a}" if content_type else "is missing"
            raise Refusal(400, f"Content-Type {found}: expected application/json")

    def parse(self, body: bytes) -> object:
        """Read JSON strictly: refuse bytes that are not UTF-8, NaN, duplicate names and lone surrogates."""
        try:
            value = json.loads(
                body.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite
            )
            # a lone surrogate from an escape cannot be echoed; encoding raises for it
            if _SURROGATE.search(body):
                json.dumps(value, ensure_ascii=False).encode()
        except UnicodeDecodeError as error:
            raise Refusal(400, f"The body is not UTF-8: byte {error.start} is invalid") from error
        except UnicodeEncodeError as error:
            raise Refusal(400, "The body is not JSON: a \\u escape is half of a surrogate pair") from error
        except ValueError as error:
            raise Refusal(400, f"The body is not JSON: {error}") from error
        except RecursionError as error:
            raise Refusal(400, "The body is nested too deeply") from error
        return cast("object", value)

    def validate(self, value: object) -> Body:
        """Refuse a body that is not valid by `openapi.yaml`."""
        violation = self.contract.request.violation(value)
        if violation:
            raise Refusal(400, str(violation))
        return cast("Body", value)

    # rank

    def rank(self, body: Body) -> list[tuple[int, float]]:
        """Return the positions of the documents to return with their scores, best first."""
        scores = self.scores(body["query"], self.texts(body["documents"]))
        return self.cut(self.order(scores), body.get("top_n"))

    def texts(self, documents: Iterable[str | Body]) -> list[str]:
        """Return the text of each document for the scorer; empty for a document with only an image."""
        return [document if isinstance(document, str) else document.get("text", "") for document in documents]

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text; raise unless there is one finite score for each."""
        scores = [float(score) for score in self.scorer(query, texts)]
        if len(scores) != len(texts):
            message = f"the scorer {self.model} gave {len(scores)} scores for {len(texts)} documents"
            raise ValueError(message)
        if not all(map(math.isfinite, scores)):
            message = f"the scorer {self.model} gave a score that is not a finite number"
            raise ValueError(message)
        return scores

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        """Return every position with its score, best first; documents with equal scores stay in order."""
        return sorted(enumerate(scores), key=lambda ranked: -ranked[1])

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        """Return the best `top_n`, or all of them if there are no more."""
        # JSON Schema counts 2.0 among the integers
        return ranked if top_n is None else ranked[: int(top_n)]

    # render

    def render(self, body: Body, ranked: Iterable[tuple[int, float]]) -> Body:
        """Return the response body as JSON."""
        documents = body["documents"]
        answer: Body = {
            "id": self._new_id(),
            "model": self.model,
            "provider": "reference",
            "results": [self.result(index, score, documents[index]) for index, score in ranked],
            "usage": self.usage(body),
        }
        if self.compat:
            billed = {"search_units": answer["usage"]["search_units"]}
            answer["meta"] = {"api_version": {"version": "2"}, "billed_units": billed}
        return answer

    def result(self, index: int, score: float, document: str | Body) -> Body:
        """Return one result of the ranking."""
        return {"index": index, "relevance_score": score, "document": self.document(document)}

    def document(self, document: str | Body) -> Body:
        """Return the echo of a document: its text and image as sent."""
        if isinstance(document, str):
            return {"text": document}
        return {name: document[name] for name in ("text", "image") if name in document}

    def usage(self, body: Body) -> Body:
        """Return the number of searches and an estimate of the tokens, with a cost of zero."""
        texts = self.texts(body["documents"])
        tokens = math.ceil((len(body["query"]) + sum(map(len, texts))) / CHARACTERS_PER_TOKEN)
        usage: Body = {
            "search_units": math.ceil(len(texts) / DOCUMENTS_PER_SEARCH),
            "total_tokens": tokens,
            "cost": 0,
        }
        if self.compat:
            usage |= {"prompt_tokens": tokens, "completion_tokens": 0}
        return usage

    # the models

    def models(self) -> list[Body]:
        """Return the models of this server: only the scorer."""
        # openapi.yaml#/components/schemas/ListedModel
        return [
            {
                "id": self.model,
                "canonical_slug": self.model,
                "name": self.model,
                "description": "Ranks offline by a scorer. Use it for development and tests.",
                "created": self._began,
                "context_length": None,
                "architecture": {
                    "input_modalities": ["text"],
                    "output_modalities": ["rerank"],
                    "modality": "text->rerank",
                },
                "pricing": {"prompt": "0", "completion": "0"},
                "top_provider": {"is_moderated": False},
                "supported_parameters": [],
                "links": {"details": "/models"},
            }
        ]

    def page(self, request: ReferenceRequest) -> Body:
        """Return a page of the models with the requested output modalities."""
        given = parse_qs(request.query, keep_blank_values=True)
        parameters = {name: _once(name, given[name]) for name in _PARAMETERS & given.keys()}
        offset = _whole("offset", parameters.get("offset", "0"), 0, None)
        wanted = set(parameters.get("output_modalities", "text").replace(" ", "").split(","))
        found = [
            model
            for model in self.models()
            if "all" in wanted or wanted & set(model["architecture"]["output_modalities"])
        ]
        limit = (
            _whole("limit", parameters["limit"], 1, _LONGEST_PAGE) if "limit" in parameters else len(found)
        )
        end = offset + limit
        following = urlencode({**parameters, "offset": end})
        return {
            "data": found[offset:end],
            "total_count": len(found),
            "links": {"next": f"{request.path}?{following}" if end < len(found) else None},
        }

    # encode

    def envelope(self, status: int, message: str) -> Body:
        """Return the error in the contract's envelope."""
        # openapi.yaml#/components/schemas/ErrorResponse
        return {"error": {"code": status, "message": message}}

    def encode(
        self, status: int, payload: Body, headers: Mapping[str, str] | None = None
    ) -> ReferenceResponse:
        """Return the response with its payload as JSON."""
        return ReferenceResponse(
            status, {"content-type": "application/json", **(headers or {})}, msgspec.json.encode(payload)
        )


def target(path: str, query: str) -> str:
    """Return path and query string in one, for `Reference.answer`; a question mark in the path is escaped."""
    return path.replace("?", "%3F") + (f"?{query}" if query else "")


def _once(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise Refusal(400, f"{name} appears twice in the query string")
    return values[0]


def _whole(name: str, value: str, least: int, most: int | None) -> int:
    # int() raises for more digits
    if not re.fullmatch("[0-9]{1,4000}", value) or int(value) < least or (most and int(value) > most):
        bounds = f"from {least} to {most}" if most else f"from {least}"
        raise Refusal(400, f"{name}: {json.dumps(value[:_LONGEST])} is not an integer {bounds}")
    return int(value)


def _new_id() -> str:
    return f"gen-rerank-{int(time.time())}-{secrets.token_hex(10)}"


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        # in ASCII, as the name may have a lone surrogate, which no answer can carry
        message = f"{json.dumps(twice[:_LONGEST])} occurs twice in one object"
        raise ValueError(message)
    return read


def _constant(name: str) -> float:
    message = f"{name} is not a number of JSON"
    raise ValueError(message)


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        message = "a number is too large"
        raise ValueError(message)
    return number
