"""The rules of each dialect: which apply as they are, which as advice, which in a form of the dialect's own, and which not."""

from rerank_conformance.dialects import CODECS
from rerank_conformance.dialects.codec import Entry
from rerank_conformance.report import Level


def _not(reason: str, *rules: str) -> Entry:
    return Entry("not applicable", reason, rules)


def _advice(reason: str, *rules: str) -> Entry:
    return Entry("as it is", reason, rules, "SHOULD")


def _own(reason: str, *rules: str, level: Level | None = None) -> Entry:
    return Entry("own form", reason, rules, level)


_EVERYWHERE = (
    _not(
        "the field is one of OpenRouter alone",
        "acceptance.provider",
        "acceptance.provider-null",
        "acceptance.observability",
        "acceptance.limits-in-characters",
        "acceptance.limits-in-code-points",
        "refusal.provider-type",
        "refusal.provider-field-type",
        "refusal.session-id",
        "refusal.user-type",
        "refusal.trace-type",
        "answer.provider",
    ),
    _not("the headers are those of OpenRouter alone", "acceptance.attribution"),
    _not(
        "the fields are those of several dialects, of which each knows its own", "acceptance.other-dialects"
    ),
    _own(
        "errors have the dialect's statuses and forms",
        "error.status-documented",
        "error.content-type",
        "error.envelope",
        "refusal.status",
        "robustness.large-request",
    ),
    _own("an answer has the dialect's form", "answer.schema"),
)
_ANY_MODEL = _own("a model that the server does not have may be a 422, too", "model.any-name")
_NO_OBJECTS = _not(
    "documents are strings",
    "acceptance.objects",
    "acceptance.mixed",
    "acceptance.images",
    "answer.echo-image",
    "relation.string-or-object",
    "relation.document-forms",
    "relation.images",
    "relation.text-beside-image",
)
_REFUSES_UNKNOWN = _not(
    "the vendor refuses fields that it does not know; see refusal.unknown-fields", "acceptance.unknown-fields"
)
_UNTRIED_MEDIA_TYPE = _not("nobody has tried another Content-Type", "refusal.content-type")

TABLE: dict[str, tuple[Entry, ...]] = {
    "cohere-v2": (
        *_EVERYWHERE,
        _ANY_MODEL,
        _NO_OBJECTS,
        _REFUSES_UNKNOWN,
        _UNTRIED_MEDIA_TYPE,
        _not("an answer does not name the model", "answer.model"),
        _not("an answer never has the documents", "answer.echo-", "answer.index-points-at-echo"),
        _not("a blank query is refused; see refusal.query-blank", "acceptance.blank-query"),
        _not("an error has no code", "error.code"),
        _advice(
            "the vendor's list of errors says that a document cannot be empty", "acceptance.blank-documents"
        ),
        _advice("nobody has tried it", "refusal.top-n-null", "authentication.before-body"),
        _own("a refusal has the dialect's form", "method.envelope"),
    ),
    "jina": (
        *_EVERYWHERE,
        _ANY_MODEL,
        _not("the model is optional", "refusal.model-missing"),
        _not(
            "servers differ in numbers like these, and clients do not send them",
            "acceptance.top-n-huge",
            "acceptance.top-n-integral",
        ),
        _not("servers of this form may leave it out", "answer.id-present", "answer.usage-present"),
        _advice(
            "only Jina takes objects and images",
            "acceptance.objects",
            "acceptance.mixed",
            "relation.document-forms",
            "relation.images",
            "relation.text-beside-image",
        ),
        _advice("servers with one model take any type of it", "refusal.model-type"),
        _advice(
            "some servers read it as all or none, or as a number",
            "refusal.top-n-zero",
            "refusal.top-n-null",
            "refusal.top-n-text",
            "refusal.top-n-boolean",
        ),
        _advice("vLLM takes one string or object", "refusal.query-type", "refusal.documents-type"),
        _advice("a server may take any Content-Type for JSON", "refusal.content-type"),
        _advice("Jina's cloud may refuse fields that it does not know", "acceptance.unknown-fields"),
        _advice("Xinference and SiliconFlow do not name the model", "answer.model"),
        _advice("infinity strips the space around a text", "answer.echo-blanks"),
        _advice("a server may refuse a blank text", "acceptance.blank-documents"),
        _advice("llama.cpp answers other methods with 404", "method."),
        _own("not every server returns documents", "answer.echo-present", level="SHOULD"),
        _own("a server may have a limit of documents, and refuse more", "acceptance.many-documents"),
        _own("only where the code is an integer", "error.code", level="SHOULD"),
        _own("a refusal has the dialect's form", "method.envelope"),
    ),
    "tei": (
        *_EVERYWHERE,
        _NO_OBJECTS,
        _not(
            "a request has no top_n",
            "acceptance.top-n",
            "acceptance.top-n-huge",
            "acceptance.top-n-integral",
            "answer.at-most-top-n",
            "answer.top-n-filled",
            "answer.top-n-above-count",
            "relation.top-n-",
            "refusal.top-n-",
        ),
        _not("a request has no model", "refusal.model-missing", "refusal.model-type", "model.any-name"),
        _not(
            "an answer has positions and scores alone",
            "answer.model",
            "answer.id",
            "answer.id-present",
            "answer.id-unique",
        ),
        _not("usage stands in headers, which are not promised", "answer.usage-present"),
        _not("a key is compared letter by letter", "authentication.challenge", "authentication.scheme-case"),
        _not("the refusal of a method has no body", "method.envelope"),
        _own("an answer is an array", "answer.json"),
        _own(
            "texts are returned if return_text is true, and only then",
            "answer.echo-present",
            "answer.echo-nothing-added",
        ),
        _own("GET /info names the limit, and more texts are refused", "acceptance.many-documents"),
        _own("a server that does not cut refuses a text that is too long", "acceptance.long-document"),
        _own("the kind of an error fits its status", "error.code"),
    ),
    "voyage": (
        *_EVERYWHERE,
        _ANY_MODEL,
        _NO_OBJECTS,
        _REFUSES_UNKNOWN,
        _UNTRIED_MEDIA_TYPE,
        _not("an answer has no id", "answer.id", "answer.id-present", "answer.id-unique"),
        _not("the body is checked before the key", "authentication.before-body"),
        _not("nobody has tried it", "refusal.top-n-zero", "refusal.top-n-negative"),
        _not("a top_k of null means all; see acceptance.top-n-null", "refusal.top-n-null"),
        _not(
            "a top_k above the number of documents was taken once and refused later",
            "acceptance.top-n-huge",
            "answer.top-n-above-count",
        ),
        _not("nobody has tried it", "acceptance.blank-query"),
        _not("an error has no code", "error.code"),
        _own(
            "documents are returned if return_documents is true, and only then",
            "answer.echo-present",
            "answer.echo-nothing-added",
        ),
        Entry("as it is", "every answer has it", ("answer.usage-present",), "MUST"),
        _own("a refusal has the dialect's form", "method.envelope"),
    ),
}
"""For each dialect the rules that differ; every other rule applies as it is."""


def entries(dialect: str) -> tuple[Entry, ...]:
    """Return the rules that differ in a dialect: those of the table, or of its codec beside those of every dialect."""
    return TABLE.get(dialect, (*_EVERYWHERE, *CODECS[dialect].differs))


def entry(dialect: str, rule: str) -> Entry | None:
    """Return how a rule differs in a dialect; None if it applies as it is.

    Args:
        dialect: The name of the dialect.
        rule: The id of the rule.
    """
    named = {name: one for one in entries(dialect) for name in one.rules}
    if rule in named:
        return named[rule]
    beginnings = [name for name in named if name.endswith((".", "-")) and rule.startswith(name)]
    return named[max(beginnings, key=len)] if beginnings else None
