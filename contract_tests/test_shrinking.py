"""A failure is shown by the smallest request that still has it, within what it may cost."""

import json
import shlex

import pytest

from rerank_conformance import check, contract
from rerank_conformance.altered import listing
from rerank_conformance.exchanges import Probe
from rerank_conformance.reference import Reference
from rerank_conformance.running import FULL
from rerank_conformance.shrinking import MOST, shrinkable, smallest

BODY = {
    "model": "cohere/rerank-v3.5",
    "query": "What is the capital of France?",
    "documents": [*["Paris is the capital of France. " * 20] * 3, {"text": "a \x00 bad one"}, *["Lyon"] * 4],
    "top_n": 3,
    "provider": {"allow_fallbacks": True, "order": ["cohere", "nobody"]},
    "trace": {"trace_id": "t"},
    "user": "user-1042",
}


def probe(**change):
    """Make a legal request with every optional part."""
    body = {**BODY, **change}
    return Probe(
        name="generated-fuzzing-1",
        phase="generate",
        body=body,
        legal=contract.load().request.violation(body) is None,
        headers={"X-OpenRouter-Title": "Example"},
    )


def has_nul(candidate):
    """Make a server that fails at NUL."""
    return "\\u0000" in json.dumps(candidate.body["documents"])


def test_what_does_not_matter_is_left_out():
    """Of a request with much in it stays what the contract requires, and the part that the failure is about."""
    least = smallest(probe(), has_nul, contract.load())

    assert set(least.body) == {"model", "query", "documents"}
    assert least.body["documents"] == [{"text": "a \x00 bad one"}]
    assert least.headers == {}


def test_what_matters_stays():
    """A header, a length or a field that the failure needs is not left out."""
    many = probe(documents=["Paris"] * 300)

    least = smallest(
        many, lambda one: len(one.body["documents"]) > 100 and bool(one.headers), contract.load()
    )

    assert 100 < len(least.body["documents"]) < 300
    assert least.headers


def test_an_illegal_request_stays_illegal():
    """The smallest request of a failure to refuse is one that has to be refused."""
    wrong = probe(trace={"span_name": 0, "trace_id": "t"})

    least = smallest(wrong, lambda _: True, contract.load())

    assert contract.load().request.violation(least.body) is not None


@pytest.mark.parametrize("most", [1, 5, MOST])
def test_no_more_requests_than_allowed(most):
    """No more requests are sent than may be spent, and what is returned was sent and failed."""
    sent = []

    def fails(one):
        sent.append(one.content)
        return has_nul(one)

    least = smallest(probe(), fails, contract.load(), most)

    assert len(sent) <= most
    assert least.content == probe().content or least.content in sent


def test_a_failure_that_shows_once():
    """If no smaller request fails, the request that failed is shown unchanged."""
    assert smallest(probe(), lambda _: False, contract.load()) == probe()


def test_what_is_short_stays():
    """A request that is short, or is not an object, is not shrunk."""
    assert shrinkable(probe())
    assert not shrinkable(Probe(name="x", phase="generate", body={"query": 1}, legal=False))
    assert not shrinkable(Probe(name="x", phase="refuse", body=b"{" * 500, legal=False))


def test_in_a_report():
    """The curl line of a failure that generation found has the smallest request, and the report counts what it took."""
    lost = listing(
        "Loses the last result where a trace has a span.",
        lambda results, body: results[:-1] if "span_name" in (body.get("trace") or {}) else results,
    )

    report = check(lost(), seed=0)

    failed = next(rule for rule in report.of("fail") if rule.id == "answer.complete")
    sent = json.loads(shlex.split(failed.curl)[-1])
    assert set(sent) == {"model", "query", "documents", "trace"}
    assert len(sent["documents"]) <= 2
    assert set(sent["trace"]) == {"span_name"}
    assert check(Reference(), seed=0).requests < report.requests <= FULL
