"""The codec of a dialect: its differences from the canonical form, as data, and the translation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import msgspec

from openrouter_rerank.decoding import plain
from openrouter_rerank.defaults import KEY_VARIABLE, MAX_BYTES, MAX_DOCUMENTS
from openrouter_rerank.readers import billed, count, items, members, text
from openrouter_rerank_api.dialects import CARRIED, PATHS, REQUESTS, REQUIRED, SUMMARIES
from openrouter_rerank_api.types import UNSET


class Envelope(msgspec.Struct, frozen=True):
    """The error of a dialect in canonical terms."""

    message: str
    """The vendor's message, or an empty text."""
    code: int
    """The equivalent HTTP status."""
    details: Mapping[str, Any] = {}
    """The other members of the error, with the vendor's error type as `error_type`."""


def _unchanged(envelope: Envelope) -> Envelope:
    return envelope


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """The form of requests, answers and errors of a dialect."""

    name: str
    title: str
    """The name of the vendor or server in messages."""
    also: str = ""
    """The names in messages of others with the same form."""
    servers: Sequence[str] = ()
    """The names of servers and vendors with this form, in lower case, which users may pass for that of the dialect."""
    base_url: str | None = None
    """The vendor's base URL; None for software that users run themselves."""
    hosts: Sequence[str] = ()
    """The vendor's hosts. The key in `key_variable` is sent only to these."""
    key_variable: str | None = None
    """The environment variable with the vendor's key."""
    prefixes: Sequence[str] = ()
    """Prefixes with the vendor's name that other APIs put before its models."""
    constants: Mapping[str, Any] = {}
    """Fields that are sent unless the caller sets them."""
    max_documents: int = MAX_DOCUMENTS
    """The default maximum of documents in a request; longer lists are sent in parts."""
    max_bytes: int = MAX_BYTES
    """The default maximum size of a request; larger ones are sent in parts."""
    takes_images: bool = False
    takes_empty: bool = True
    """True if a document may be an empty text."""
    results: str | None = "results"
    """The key of the results in an answer; None if the answer is the list."""
    takes_list: bool = False
    """True if an answer may also be the list itself."""
    index: str = "index"
    """The key of the index in a result."""
    scores: Sequence[str] = ("relevance_score",)
    """The keys of the score in a result; the first present one counts."""
    is_answer: Callable[[object], bool]
    """Return True if a body can only be an answer of this dialect."""
    is_error: Callable[[object], bool]
    """Return True if a body can only be an error of this dialect."""
    usage_header: str | None = None
    """The header with the number of tokens."""
    messages: Sequence[str] = ("message", "detail", "error")
    """The keys of the message in an error; the first that is not empty counts."""
    refine: Callable[[Envelope], Envelope] = _unchanged
    """Return the error with the vendor's specifics applied."""

    @property
    def hint(self) -> str:
        """The sentence for an answer in this dialect to a request in another."""
        return f"The answer looks like {self.title}'s{self.also}; pass dialect={self.name!r}"

    def looks_like(self, body: object) -> bool:
        """Return True if a body (plain data or text) can only be of this dialect."""
        return self.is_answer(body) or self.is_error(body)

    def is_of_vendor(self, url: str) -> bool:
        """Return True if a URL belongs to the vendor itself."""
        parts = urlsplit(url)
        return parts.scheme == "https" and parts.hostname in self.hosts

    # ------------------------------------------------------------------------------------------------------- requests

    @property
    def path(self) -> str:
        """The path of the operation under the base URL."""
        return PATHS[self.name]

    @property
    def fields(self) -> Mapping[str, object]:
        """The fields of a request, with their types."""
        return REQUESTS[self.name]

    def wire_name(self, name: str) -> str | None:
        """Return the key of an option or canonical field in a request, or None if the dialect lacks the field."""
        is_option = name in SUMMARIES and name in self.fields
        return name if is_option else CARRIED[self.name].get(name)

    @property
    def documents(self) -> str:
        """The key of the documents in a request."""
        return CARRIED[self.name]["documents"]

    @property
    def top_n(self) -> str | None:
        """The key of `top_n` in a request; None if the client cuts the answer itself."""
        return CARRIED[self.name].get("top_n")

    @property
    def model(self) -> Literal["required", "optional", "absent"]:
        """The presence of the model in a request."""
        if "model" in REQUIRED[self.name]:
            return "required"
        return "optional" if "model" in CARRIED[self.name] else "absent"

    def encode(self, fields: Mapping[str, Any], indices: Sequence[int] | None = None) -> dict[str, Any]:
        """Return the body of a request for its canonical fields; fields with None are omitted.

        Args:
            fields: The query, the documents, and the options under their canonical names.
            indices: The numbers of the documents in errors; by default their positions.

        Raises:
            ValueError: The dialect cannot carry a field; nothing is dropped.
        """
        documents = cast("Sequence[object]", fields["documents"])
        given = {name: value for name, value in fields.items() if value is not None and name != "documents"}
        if self.model == "required" and "model" not in given:
            message = (
                f"model: the dialect {self.name!r} requires it; pass the name of a model of {self.title}"
            )
            raise ValueError(message)
        wire: dict[str, Any] = {}
        for name, value in given.items():
            if name == "provider" and not value:
                continue  # it has no preference
            if name == "top_n" and self.top_n is None:
                continue  # the client cuts the answer
            known = self.wire_name(name)
            if known is None:
                raise ValueError(self.refusal(name))
            match name:
                case "top_n":
                    wire[known] = min(value, len(documents))
                case "model":
                    wire[known] = self._bare(value)
                case _:
                    wire[known] = value
        places = range(len(documents)) if indices is None else indices
        wire[self.documents] = [
            self._sent(document, place) for place, document in zip(places, documents, strict=True)
        ]
        return {**self.constants, **wire}

    def refusal(self, name: str) -> str:
        """Return the message for a field that this dialect cannot carry."""
        named = SUMMARIES.keys() & {name}
        having = " or ".join(
            repr(other) for other, fields in REQUESTS.items() if name in (fields if named else CARRIED[other])
        )
        return f"{name}: the dialect {self.name!r} has no such field (dialect {having} has it); leave it out"

    def _bare(self, model: Any) -> Any:
        prefix = next((one for one in self.prefixes if str(model).startswith(one)), "")
        return str(model).removeprefix(prefix) if prefix else model

    def document(self, document: object, index: int) -> object:
        """Return a document in the form of the dialect: a text, or an object with an image.

        Raises:
            ValueError: The dialect does not accept its image, or an image together with a text.
        """
        if isinstance(document, str | msgspec.Raw):
            return document
        if isinstance(document, Mapping):
            has = cast("Mapping[str, object]", document)
            own, image = text(has.get("text")), text(has.get("image"))
        else:
            own, image = text(getattr(document, "text", None)), text(getattr(document, "image", None))
        if image is None:
            return own or ""
        if not self.takes_images:
            message = (
                f"document {index}: the dialect {self.name!r} does not accept images; send only the text"
            )
            raise ValueError(message)
        if own is not None:
            message = f"document {index}: the dialect {self.name!r} accepts a text or an image, not both; send one of them"
            raise ValueError(message)
        return {"image": image}

    def _sent(self, document: object, index: int) -> object:
        sent = self.document(document, index)
        if not self.takes_empty and (sent == "" or (isinstance(sent, msgspec.Raw) and bytes(sent) == b'""')):
            message = (
                f"document {index}: {self.title} refuses an empty text; "
                "pass blank='skip' (--blank skip) to omit it"
            )
            raise ValueError(message)
        return sent

    # -------------------------------------------------------------------------------------------------------- answers

    def results_in(self, body: object) -> object:
        """Return the results in an answer: a list, or something else if it has none."""
        if self.results is None or (self.takes_list and items(body)):
            return body
        return members(body).get(self.results)

    def decode(self, headers: Mapping[str, str], body: object) -> dict[str, Any] | None:
        """Return the canonical answer; None if the body has no results of this dialect.

        The results are not validated: an index or a score may have any type.
        """
        fields, listed = members(body), self.results_in(body)
        if not isinstance(listed, list):
            return None
        answer: dict[str, Any] = {
            name: fields[name] for name in ("id", "model", "provider", "error") if name in fields
        }
        if str(answer.get("model")).startswith("/"):
            del answer["model"]  # llama.cpp returns the path of its file if no model was requested
        answer["results"] = [self._result(item) for item in items(cast("object", listed))]
        usage = dict(members(fields.get("usage")))
        usage |= billed(usage, members(fields.get("meta")), members(fields.get("tokens")))
        if self.usage_header is not None:
            usage["total_tokens"] = _digits(headers.get(self.usage_header))
        usage = {name: value for name, value in usage.items() if value is not None}
        return {**answer, "usage": usage} if usage else answer

    def _result(self, item: object) -> object:
        has = members(item)
        if not has:
            return item
        result = {"index": has[self.index]} if self.index in has else {}
        score = next((has[name] for name in self.scores if name in has), UNSET)
        if score is not UNSET:
            result["relevance_score"] = score
        echo = has.get("document", has.get("text"))
        if isinstance(echo, str):
            result["document"] = {"text": echo}
        elif members(echo):
            kept = {name: text(members(echo).get(name)) for name in ("text", "image")}
            result["document"] = {name: value for name, value in kept.items() if value is not None}
        return result

    def in_its_names(self, problem: str) -> str:
        """Return the problem of a canonical answer with the keys of this dialect."""
        place = "$" if self.results is None else f"$.{self.results}"
        problem = problem.replace("$.results", place).replace("relevance_score", self.scores[0])
        return problem.replace("`index`", f"`{self.index}`").replace("].index", f"].{self.index}")

    def canonical(
        self, body: bytes, *, headers: Mapping[str, str], documents: Sequence[object], model: str
    ) -> bytes:
        """Return the canonical JSON of an answer; a missing model or document is taken from the request."""
        answer = self.decode(headers, plain(body))
        if answer is None:
            return body
        answer["model"] = text(answer.get("model")) or model
        for result in map(members, answer["results"]):
            place = count(result.get("index"))
            if place is None:
                continue
            own = cast("dict[str, Any]", result)
            own["index"] = place  # 1.0 is an integer too
            if "document" not in result and place < len(documents):
                sent = documents[place]
                own["document"] = {"text": sent} if isinstance(sent, str) else sent
        return msgspec.json.encode({name: value for name, value in answer.items() if value is not None})

    # --------------------------------------------------------------------------------------------------------- errors

    def next_step(self, sentence: str, url: str) -> str:
        """Return the next step of an error with the key variable of this dialect instead of OpenRouter's."""
        own = f"api_key or {self.key_variable}" if self.is_of_vendor(url) else "api_key"
        return sentence.replace(f"api_key or {KEY_VARIABLE}", own)

    def _message(self, error: Mapping[str, Any]) -> str:
        messages = [_text_of(error.get(name)) for name in self.messages]
        return next(filter(None, messages), "")

    def error(self, status: int, body: object) -> Envelope:
        """Return the error in a body (plain data, or text if it is not JSON)."""
        fields = members(body)
        error = members(fields.get("error")) or fields
        message = body if isinstance(body, str) else self._message(error)
        details = {name: value for name, value in error.items() if name != self.messages[0]}
        kind = next((error[name] for name in ("error_type", "code", "type") if text(error.get(name))), None)
        if kind is not None:
            details["error_type"] = kind
        return self.refine(Envelope(message.strip(), status, details))


def _text_of(value: object) -> str:
    """Return a message as text; FastAPI's lists of problems are joined, each with its location."""
    if isinstance(value, str):
        return value
    problems = [members(item) for item in items(value)]
    return "; ".join(
        f"{'.'.join(map(str, items(problem.get('loc'))))}: {problem['msg']}"
        for problem in problems
        if isinstance(problem.get("msg"), str)
    )


def _digits(value: str | None) -> int | None:
    return count(int(value)) if value is not None and value.isascii() and value.isdecimal() else None
