"""The conformance level of each rule, with the reason.

A rule belongs to the level of what a client loses when a server breaks it: the ranking, the interface, or only the letter of the
contract. Rules are grouped, and each group has one reason.
"""

from functools import cache
from typing import NamedTuple

from rerank_conformance import derived
from rerank_conformance.report import ConformanceLevel


class Group(NamedTuple):
    """Rules that have their level for one reason."""

    level: ConformanceLevel
    reason: str
    rules: tuple[str, ...]
    """Ids, and beginnings of ids that end with a dot."""


GROUPS: tuple[Group, ...] = (
    Group(
        "ranking",
        "A client that sends texts needs a ranking of any texts, of short and long lists, and with any top_n.",
        (
            "acceptance.plain",
            "acceptance.top-n",
            "acceptance.blank-documents",
            "acceptance.unicode",
            "acceptance.long-document",
            "acceptance.many-documents",
            "acceptance.escapes",
            "acceptance.look-alikes",
            "acceptance.special-tokens",
            "acceptance.query-ends",
        ),
    ),
    Group(
        "ranking",
        "A client that cannot parse the response, or parses it differently from another client, has no ranking.",
        ("answer.json", "answer.one-reading"),
    ),
    Group(
        "ranking",
        "A client finds each document by its index; a wrong index returns the wrong document.",
        (
            "answer.index-integer",
            "answer.index-in-range",
            "answer.index-unique",
            "answer.index-points-at-echo",
        ),
    ),
    Group(
        "ranking",
        "A client sorts, cuts and compares by the score and by the order of the results.",
        ("answer.score-number", "answer.descending"),
    ),
    Group(
        "ranking",
        "A client loses documents, or gets more than it asked for, when the number of results is wrong.",
        (
            "answer.not-empty",
            "answer.at-most-top-n",
            "answer.at-most-documents",
            "answer.top-n-filled",
            "answer.top-n-above-count",
            "answer.complete",
            "answer.one-document",
            "answer.many-documents",
            "answer.blank-documents",
            "answer.identical-documents",
        ),
    ),
    Group(
        "ranking",
        "Only a comparison of responses shows that a well-formed ranking is wrong.",
        ("relation.",),
    ),
    Group(
        "interface",
        "The object form of a document is a form of the interface; a client that sends strings does not need it.",
        (
            "acceptance.objects",
            "acceptance.mixed",
            "relation.string-or-object",
            "relation.document-forms",
            "relation.images",
            "relation.text-beside-image",
        ),
    ),
    Group(
        "interface",
        "A client that sends only texts does not send these fields.",
        ("relation.other-fields",),
    ),
    Group(
        "interface",
        "Every documented form of a request is accepted, so that a client can use all that the contract documents.",
        ("acceptance.",),
    ),
    Group(
        "strict",
        "Clients do not send numbers or queries like these on purpose.",
        ("acceptance.top-n-huge", "acceptance.top-n-integral", "acceptance.blank-query"),
    ),
    Group(
        "interface",
        "A typed client reads every documented field of a response and fails on a wrong one.",
        ("answer.",),
    ),
    Group(
        "strict",
        "A client works without this optional field.",
        ("answer.id-present", "answer.id-unique", "answer.usage-present"),
    ),
    Group(
        "interface",
        "A client learns from an error that its request cannot be ranked or is beyond a limit.",
        ("refusal.",),
    ),
    Group(
        "strict",
        "A server that reads a value of a wrong type leniently harms no client that sends the right type.",
        (
            "refusal.document-text-type",
            "refusal.model-missing",
            "refusal.model-type",
            "refusal.top-n-fraction",
            "refusal.top-n-text",
            "refusal.top-n-boolean",
            "refusal.top-n-null",
            "refusal.top-n-type",
            "refusal.provider-type",
            "refusal.provider-field-type",
            "refusal.session-id",
            "refusal.user-type",
            "refusal.trace-type",
        ),
    ),
    Group(
        "strict",
        "Only a faulty or hostile client sends a body like this.",
        ("refusal.not-utf-8", "refusal.content-type", "refusal.deep-nesting"),
    ),
    Group(
        "interface",
        "A client decides by the status, the code and the message of an error whether to retry.",
        ("refusal.status", "error."),
    ),
    Group(
        "interface",
        "A key that does not protect, or that leaks, costs its owner money.",
        ("authentication.",),
    ),
    Group(
        "strict",
        "A client with a valid key does not notice this detail of authentication.",
        ("authentication.before-body", "authentication.challenge", "authentication.scheme-case"),
    ),
    Group("strict", "Clients of this contract send POST only.", ("method.",)),
    Group(
        "interface",
        "A client may ask for any model, and has to learn that a server does not have it.",
        ("model.",),
    ),
    Group(
        "ranking",
        "Common HTTP clients send every request in this way, and have no ranking if the server refuses it.",
        (
            "transport.accept",
            "transport.chunked-body",
            "transport.client-headers",
            "transport.connection",
        ),
    ),
    Group(
        "interface",
        "Some HTTP clients send requests in this way, by their defaults or for large bodies.",
        ("transport.",),
    ),
    Group(
        "strict",
        "Few HTTP clients send requests in this way.",
        (
            "transport.compressed-body",
            "transport.event-stream",
            "transport.expect",
            "transport.header-bytes",
            "transport.long-headers",
        ),
    ),
    Group(
        "interface",
        "A client needs a complete HTTP response to every request, and has to know the limits.",
        (
            "robustness.answered",
            "robustness.after-pause",
            "robustness.large-request",
            "robustness.transient-errors",
        ),
    ),
    Group(
        "strict",
        "Generated and unusual requests cover every value of the schema, far beyond what clients send.",
        ("robustness.", "schema."),
    ),
    Group("strict", "The contract says so; no client is known to depend on it.", ("",)),
)
"""Every group; the longest entry that a rule's id begins with, or is, decides."""


@cache
def group_of(name: str) -> Group:
    """Return the group of a rule.

    Args:
        name: The id of the rule.
    """
    named = {entry: group for group in GROUPS for entry in group.rules}
    if name in named:
        return named[name]
    if any(one.id == name and one.refuses_type for one in derived.requirements()):
        return named["refusal.model-type"]
    return named.get(name.partition(".")[0] + ".", named[""])
