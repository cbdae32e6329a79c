"""The codec of a dialect: requests and answers of another vendor's form of the API, to the canonical form and back.

Both ends of the kit stand on it. The reference server reads requests of the dialect and writes its answers; the check
writes requests and reads answers.
"""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, cast

from rerank_conformance import contract
from rerank_conformance.contract import OPERATION, Contract
from rerank_conformance.report import Level

Body = dict[str, Any]
"""A JSON object."""


How = Literal["as it is", "own form", "not applicable"]
"""Judged like the canonical form, on the decoded exchanges; judged by the dialect's contract; not judged."""


class Entry(NamedTuple):
    """Rules of a dialect that differ from the canonical form for one reason."""

    how: How
    reason: str
    rules: tuple[str, ...]
    """Ids, and beginnings of ids that end with a dot or a dash."""
    level: Level | None = None
    """The level in the dialect; None if it is the same."""


class WrongRequestError(Exception):
    """A request that the dialect's server refuses: its status, the problem, and the headers of the answer."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class DialectCodec:
    """The codec of a dialect; a subclass for each dialect says how it differs from the canonical form."""

    name: ClassVar[str]
    results: ClassVar[str] = "results"
    """The name of the list of results in an answer."""
    score: ClassVar[str] = "relevance_score"
    """The name of the score in a result."""
    echo: ClassVar[str | None] = None
    """The field of a request that asks for the documents in the answer; None if there is none."""
    wrong: ClassVar[Mapping[str, int]] = {}
    """The status of a body that is wrong, by what is wrong: `size`, `media_type`, `json`, `schema`. 400 for others."""
    body_first: ClassVar[bool] = False
    """True if the body is checked before the key."""
    refusals: ClassVar[tuple[int, ...]] = (400, 422)
    """The statuses with which a wrong body is refused."""
    model: ClassVar[str]
    """The model that a check asks for by default."""
    clamps: ClassVar[bool] = False
    """True if no request asks for more documents than it has."""
    unauthorized: ClassVar[tuple[str, str]]
    """The vendor's words for no key, and for a wrong one."""
    differs: ClassVar[tuple[Entry, ...]] = ()
    """The rules that differ in a dialect which has no entries in applicability.py, beside those of every dialect."""
    later_first: ClassVar[bool] = False
    """True if of equal scores the later document comes first."""

    @cached_property
    def contract(self) -> Contract:
        """The contract of the dialect."""
        return contract.load_dialect(self.name)

    @cached_property
    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The schema of each field of a request, by its name in the dialect."""
        here, request = self.contract.at(f"{OPERATION}/requestBody/content/application~1json/schema")
        return {name: self.contract.at(f"{here}/properties/{name}")[1] for name in request["properties"]}

    @cached_property
    def carried(self) -> Mapping[str, str]:
        """The canonical name of each field that the dialect has, too, by its name in the dialect."""
        canonical = {"model", "query", "documents", "top_n"}
        names = {name: schema.get("x-carries", name) for name, schema in self.fields.items()}
        return {name: of for name, of in names.items() if of in canonical}

    @cached_property
    def own(self) -> Mapping[str, str]:
        """The name in the dialect of each canonical field that it has."""
        return {canonical: name for name, canonical in self.carried.items()}

    # the server: reads requests, writes answers

    def check(self, request: Body) -> None:
        """Refuse what the vendor refuses in words of its own, before the contract is asked.

        Raises:
            WrongRequestError: The request is refused.
        """

    def read(self, request: Body) -> Body:
        """Return the canonical request of a legal one; fields of the dialect alone stay, unknown ones go."""
        known = {
            self.carried.get(name, name): value for name, value in request.items() if name in self.fields
        }
        return {"model": self.name, **known}

    def write(self, answer: Body, request: Body) -> Any:
        """Return the dialect's answer.

        Args:
            answer: The canonical answer, of which a server under test may have anything wrong.
            request: The canonical request, as `read` returns it.
        """
        raise NotImplementedError

    def headers(self, answer: Body, request: Body) -> Mapping[str, str]:
        """Return the headers of a ranking, beside the media type."""
        del answer, request
        return {}

    def refused(self, status: int, message: object) -> Any:
        """Return the body of an error as JSON."""
        raise NotImplementedError

    def refusal_headers(self, what: str) -> Mapping[str, str]:
        """Return the headers of the refusal of a wrong body.

        Args:
            what: See `wrong`.
        """
        del what
        return {}

    # the check: writes requests, reads answers

    def asks_for_echo(self, request: Body) -> bool:
        """Return True if a request of the dialect asks for the documents in the answer."""
        return self.echo is not None and request.get(self.echo) is True

    def adjusted(self, request: Body) -> Body:
        """Return a canonical request without what the dialect is known to refuse, where something else shows the same."""
        return request

    def unsaid(self, error: Any) -> str | None:
        """Return what is missing in the body of an error that its schema leaves optional."""
        del error
        return None

    def encode(self, request: Mapping[str, Any], *, echo: bool = False) -> Body:
        """Return the request in the dialect's names, without the model if it has none; other fields stay as they are.

        Args:
            request: The canonical request.
            echo: Ask for the documents in the answer.
        """
        encoded = {self.own.get(name, name): value for name, value in request.items()}
        if "model" not in self.own:
            encoded.pop("model", None)
        return {**encoded, self.echo: True} if echo and self.echo else encoded

    def decode(self, value: Any, headers: Mapping[str, str]) -> Any:
        """Return the canonical form of an answer; what is not a ranking of the dialect stays as it is.

        Nothing is mended: a value that is wrong is wrong in the canonical form, too.
        """
        if not isinstance(value, dict) or self.results not in value:
            return value
        return {**self.about(value, headers), "results": self.decoded(value[self.results])}

    def about(self, answer: Body, headers: Mapping[str, str]) -> Body:
        """Return the canonical answer without its results."""
        del headers
        return {name: answer[name] for name in ("id", "model", "usage") if name in answer}

    def decoded(self, results: Any) -> Any:
        """Return the results in the canonical form."""
        if not isinstance(results, list):
            return results
        return [_result(one, self.score) if isinstance(one, dict) else one for one in results]


def _result(result: Body, score: str) -> Body:
    """Return a result in the canonical form; an echo that is null is absent, as is a null in it, and a text stands in an object."""
    decoded = {"relevance_score" if name == score else name: value for name, value in result.items()}
    document: object = decoded.get("document")
    if isinstance(document, str):
        return {**decoded, "document": {"text": document}}
    if isinstance(document, dict):
        return {**decoded, "document": {name: value for name, value in document.items() if value is not None}}
    if document is None:
        decoded.pop("document", None)
    return decoded


def results_of(answer: Body) -> list[Any]:
    """Return the results of an answer; none where there is no list of them."""
    results: object = answer.get("results")
    return cast("list[Any]", results) if isinstance(results, list) else []  # type: ignore[redundant-cast] # pyright needs it


def renamed(results: Sequence[Any], *, score: str | None = None, echo: str | None = None) -> list[Any]:
    """Return results with the dialect's names.

    Args:
        results: Canonical results, of which any may be wrong.
        score: The name of the score; None leaves it as it is.
        echo: The name of the echo, as a string; None leaves the echo out.
    """
    return [_renamed(one, score, echo) if isinstance(one, dict) else one for one in results]


def _renamed(result: Body, score: str | None, echo: str | None) -> Body:
    written: Body = {}
    for name, value in result.items():
        if name == "document":
            if echo is not None:
                written[echo] = value.get("text") if isinstance(value, dict) else value
        else:
            written[score if name == "relevance_score" and score else name] = value
    return written
