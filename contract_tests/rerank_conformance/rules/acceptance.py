"""Valid requests get a ranking: one rule for each valid form that some servers refuse."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator

from rerank_conformance.derived import requirements
from rerank_conformance.exchanges import Exchange, ReceivedResponse
from rerank_conformance.report import Level
from rerank_conformance.rules.rule import POST, SCHEMA, Finding, Judge, Judgement, Recording, Undecided, rule

_REQUEST = f"{SCHEMA}/RerankRequest/properties"


def judged(exchange: Exchange, expected: str, is_good: Callable[[ReceivedResponse], bool]) -> Judgement:
    """Return a finding if the answer is not good, and Undecided if there is no complete answer."""
    answer = exchange.answer
    if exchange.undecided or answer is None:
        return Undecided(exchange.undecided or "there is no complete answer")
    return None if is_good(answer) else Finding(expected, described(exchange), exchange)


def accepted(exchange: Exchange) -> Judgement:
    """Return a finding if a request was not answered with a ranking."""
    return judged(exchange, "200 with a ranking", _is_ranking)


def _is_ranking(answer: ReceivedResponse) -> bool:
    return answer.status == 200 and not (isinstance(answer.value, dict) and answer.value.get("error"))


def each(name: str, judge: Callable[[Exchange], Judgement]) -> Judge:
    """Return a judge of all requests of a rule, from the judge of one exchange."""

    def judge_each(seen: Recording) -> Iterator[Judgement]:
        return (judge(exchange) for exchange in seen.exchanges if exchange.probe.rule == name)

    return judge_each


def described(exchange: Exchange) -> str:
    """Return a description of the answer in one line."""
    answer = exchange.answer
    if answer is None:
        return exchange.undecided or "no complete answer"
    text = " ".join(answer.body[:400].decode("utf-8", "replace").split())
    return f"{answer.status} {text[:160]}{'...' if len(text) > 160 else ''}".strip()


_TABLE: tuple[tuple[str, Level, bool, str, str], ...] = (
    (
        "plain",
        "MUST",
        True,
        "A request with a model, a query and strings as documents is ranked",
        f"{SCHEMA}/RerankRequest",
    ),
    (
        "top-n",
        "MUST",
        True,
        "Every top_n from 1 is accepted, also one above the number of documents",
        f"{_REQUEST}/top_n",
    ),
    (
        "top-n-huge",
        "SHOULD",
        False,
        "A top_n that needs more than 32 or 64 bits is accepted: the contract sets no maximum",
        f"{_REQUEST}/top_n",
    ),
    (
        "top-n-integral",
        "SHOULD",
        False,
        "A top_n of 2.0 is accepted: JSON Schema counts it as an integer",
        f"{_REQUEST}/top_n",
    ),
    ("objects", "MUST", True, "Documents are accepted as objects with text", f"{SCHEMA}/RerankDocument"),
    ("mixed", "MUST", True, "Strings and objects are accepted in one array", f"{_REQUEST}/documents"),
    (
        "images",
        "SHOULD",
        True,
        "Documents with an image are accepted if the model accepts images",
        f"{SCHEMA}/ImageDocument",
    ),
    (
        "blank-documents",
        "MUST",
        True,
        "Empty and blank documents are accepted: they are strings",
        f"{SCHEMA}/RerankDocument",
    ),
    (
        "unicode",
        "MUST",
        True,
        "Every Unicode character is accepted, in documents and query",
        f"{SCHEMA}/RerankDocument",
    ),
    (
        "long-document",
        "MUST",
        False,
        "A document of several thousand characters is accepted",
        f"{SCHEMA}/RerankDocument",
    ),
    ("many-documents", "MUST", True, "More than a hundred documents are accepted", f"{_REQUEST}/documents"),
    (
        "unknown-fields",
        "MUST",
        True,
        "Fields that the contract does not know are ignored, not refused",
        "#/info/description",
    ),
    (
        "provider-null",
        "MUST",
        True,
        "A provider of null is accepted like a missing one",
        f"{_REQUEST}/provider",
    ),
    (
        "provider",
        "MUST",
        False,
        "Provider preferences are accepted, also null for each nullable one",
        f"{SCHEMA}/ProviderPreferences",
    ),
    ("observability", "MUST", False, "session_id, user and trace are accepted", f"{SCHEMA}/Trace"),
    ("attribution", "MUST", False, "The attribution headers are accepted", f"{POST}/parameters"),
    (
        "charset",
        "MUST",
        False,
        "A JSON Content-Type with a charset, or in capitals, is accepted",
        f"{POST}/requestBody",
    ),
    (
        "escapes",
        "MUST",
        False,
        "Every spelling of JSON is accepted: escapes, whitespace between tokens, names in any order",
        f"{POST}/requestBody",
    ),
)
_ADDED: tuple[tuple[str, Level, bool, str, str], ...] = (
    (
        "look-alikes",
        "MUST",
        True,
        "Texts that look like numbers, JSON, markup or addresses are accepted as texts",
        f"{SCHEMA}/RerankDocument",
    ),
    (
        "other-dialects",
        "SHOULD",
        False,
        "Fields that clients of other dialects send, such as return_documents, are accepted",
        "#/info/description",
    ),
    (
        "blank-query",
        "SHOULD",
        False,
        "An empty or blank query is accepted: it is a string",
        f"{_REQUEST}/query/type",
    ),
)
for _since, _rules in (("1.0.0", _TABLE), ("1.1.0", _ADDED)):
    for _slug, _level, _quick, _requirement, _source in _rules:
        _id = f"acceptance.{_slug}"
        rule(_id, _requirement, _source, level=_level, quick=_quick, thorough=True, since=_since)(
            each(_id, accepted)
        )
for _one in requirements():
    if _one.kind == "acceptance":
        rule(_one.id, _one.requirement, _one.source, quick=False, thorough=True, since=_one.since)(
            each(_one.id, accepted)
        )
