"""Legal requests are answered with a ranking: one rule for each thing that is legal and that servers refuse."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator

from rerank_conformance.derived import requirements
from rerank_conformance.exchanges import Answer, Exchange
from rerank_conformance.report import Level
from rerank_conformance.rules.rule import POST, SCHEMA, Finding, Judge, Judgement, Seen, Undecided, rule

_REQUEST = f"{SCHEMA}/RerankRequest/properties"


def judged(exchange: Exchange, expected: str, is_good: Callable[[Answer], bool]) -> Judgement:
    """Return a finding if an answer is not a good one, and say so if there is no whole answer."""
    answer = exchange.answer
    if exchange.undecided or answer is None:
        return Undecided(exchange.undecided or "no whole answer came")
    return None if is_good(answer) else Finding(expected, described(exchange), exchange)


def accepted(exchange: Exchange) -> Judgement:
    """Return a finding if a request was not answered with a ranking."""
    return judged(exchange, "200 with a ranking", _is_ranking)


def _is_ranking(answer: Answer) -> bool:
    return answer.status == 200 and not (isinstance(answer.value, dict) and answer.value.get("error"))


def each(name: str, judge: Callable[[Exchange], Judgement]) -> Judge:
    """Return a judge of a rule's own requests, by the judge of one."""

    def judge_each(seen: Seen) -> Iterator[Judgement]:
        return (judge(exchange) for exchange in seen.exchanges if exchange.probe.rule == name)

    return judge_each


def described(exchange: Exchange) -> str:
    """Return the answer in a line."""
    answer = exchange.answer
    if answer is None:
        return exchange.undecided or "no whole answer"
    text = " ".join(answer.body[:400].decode("utf-8", "replace").split())
    return f"{answer.status} {text[:160]}{'...' if len(text) > 160 else ''}".strip()


_TABLE: tuple[tuple[str, Level, bool, str, str], ...] = (
    (
        "plain",
        "MUST",
        True,
        "A request with model, query and strings as documents is ranked",
        f"{SCHEMA}/RerankRequest",
    ),
    (
        "top-n",
        "MUST",
        True,
        "Any top_n from 1 is taken, also one above the number of documents",
        f"{_REQUEST}/top_n",
    ),
    (
        "top-n-huge",
        "SHOULD",
        False,
        "A top_n beyond 64 bits is taken: the contract sets no maximum",
        f"{_REQUEST}/top_n",
    ),
    (
        "top-n-integral",
        "SHOULD",
        False,
        "A top_n of 2.0 is taken: JSON Schema counts it among the integers",
        f"{_REQUEST}/top_n",
    ),
    ("objects", "MUST", True, "Documents are taken as objects with text", f"{SCHEMA}/RerankDocument"),
    ("mixed", "MUST", True, "Strings and objects are taken in one array", f"{_REQUEST}/documents"),
    (
        "images",
        "SHOULD",
        True,
        "Documents with an image are taken, where the model takes images",
        f"{SCHEMA}/ImageDocument",
    ),
    (
        "blank-documents",
        "MUST",
        True,
        "Empty and blank documents are taken: they are strings",
        f"{SCHEMA}/RerankDocument",
    ),
    (
        "unicode",
        "MUST",
        True,
        "Any character of Unicode is taken, in documents and query",
        f"{SCHEMA}/RerankDocument",
    ),
    (
        "long-document",
        "MUST",
        False,
        "A document of some thousand characters is taken",
        f"{SCHEMA}/RerankDocument",
    ),
    ("many-documents", "MUST", True, "More than a hundred documents are taken", f"{_REQUEST}/documents"),
    (
        "unknown-fields",
        "MUST",
        True,
        "Fields that the contract does not know are ignored, not refused",
        "#/info/description",
    ),
    ("provider-null", "MUST", True, "A provider of null is as good as none", f"{_REQUEST}/provider"),
    (
        "provider",
        "MUST",
        False,
        "Provider preferences are taken, null for each that is nullable",
        f"{SCHEMA}/ProviderPreferences",
    ),
    ("observability", "MUST", False, "session_id, user and trace are taken", f"{SCHEMA}/Trace"),
    ("attribution", "MUST", False, "The headers of attribution are taken", f"{POST}/parameters"),
    (
        "charset",
        "MUST",
        False,
        "A Content-Type with a charset, or in capitals, is JSON too",
        f"{POST}/requestBody",
    ),
    (
        "escapes",
        "MUST",
        False,
        "JSON is read as JSON: escapes, blanks between tokens, any order of names",
        f"{POST}/requestBody",
    ),
)
_ADDED: tuple[tuple[str, Level, bool, str, str], ...] = (
    (
        "look-alikes",
        "MUST",
        True,
        "Texts that look like numbers, JSON, markup or addresses are taken as texts",
        f"{SCHEMA}/RerankDocument",
    ),
    (
        "other-dialects",
        "SHOULD",
        False,
        "Fields that clients of other dialects send, such as return_documents, are taken",
        "#/info/description",
    ),
    (
        "blank-query",
        "SHOULD",
        False,
        "An empty or blank query is taken: it is a string",
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
