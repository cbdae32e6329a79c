"""Forms of HTTP that only a server on a socket shows."""

import asyncio

import pytest

from rerank_conformance import check, wire
from rerank_conformance.broken import BROKEN
from rerank_conformance.exchanges import RAW_FORMS, Exchange, NoResponse, Probe, ReceivedResponse
from rerank_conformance.probes import probes, smoke
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import running
from rerank_conformance.rules import RULES, Finding, Recording
from rerank_conformance.running import in_order, with_end
from rerank_conformance.target import Budget, Session
from wire_servers import serving

KEY = "sk-or-v1-the-right-key"


async def exchanges(target: object) -> list[Exchange]:
    """Send the requests in all forms of HTTP."""
    forms = [probe for probe in probes() if (probe.rule or "").startswith("transport.")]
    async with Session(target, KEY, Budget(concurrency=4)) as session:
        return [await session.send(smoke()), *await in_order(forms, session.send)]


def bitten(sent: list[Exchange]) -> dict[str, str]:
    """Return what each rule finds first."""
    seen = Recording(sent)
    found = {
        name: next((one for one in rule.judge(seen) if isinstance(one, Finding)), None)
        for name, rule in RULES.items()
    }
    return {name: finding.exchange.probe.name for name, finding in found.items() if finding is not None}


def test_the_reference_takes_every_form_of_http():
    """The reference behind uvicorn answers each form with the one ranking, and no rule bites it."""
    with running(Reference(keys={KEY})) as url:
        sent = asyncio.run(exchanges(url))
    assert bitten(sent) == {}
    by_form = {one.probe.form: one.answer for one in sent}
    assert {form: by_form[form].status for form in (*RAW_FORMS, "chunked")} == dict.fromkeys(
        (*RAW_FORMS, "chunked"), 200
    )


def test_a_plain_server_takes_every_form_of_http():
    """The same holds for a server of the standard library, whose connections are read by hand."""
    with serving(Reference(keys={KEY})) as url:
        assert bitten(asyncio.run(exchanges(url))) == {}


@pytest.mark.parametrize(
    ("fault", "probe"),
    [
        ("head-has-body", "http-after-head"),
        ("refused-unread", "http-after-refusal"),
        ("http-1.0-refused", "http-http-1.0"),
        ("http-1.0-chunked", "http-http-1.0"),
    ],
)
def test_a_mishandled_connection_is_bitten(fault, probe):
    """Each fault of a connection is found by the request that is made for it, and by its rule."""
    with serving(Reference(keys={KEY}), fault) as url:
        found = bitten(asyncio.run(exchanges(url)))
    assert found == {"transport.connection": probe}


def test_a_server_in_process_is_not_judged_by_its_connections():
    """What needs a connection is not sent in process, takes nothing of the budget, and leaves no rule undecided."""

    async def send() -> list[Exchange]:
        raw = [probe for probe in probes() if probe.form in RAW_FORMS]
        async with Session(Reference(), None, Budget(max_requests=1)) as session:
            sent = [await session.send(probe) for probe in raw]
            assert session.requests == 0
            return sent

    sent = asyncio.run(send())
    assert len(sent) == len(RAW_FORMS)
    assert all(isinstance(one.outcome, NoResponse) and one.outcome.kind == "unsent" for one in sent)
    assert list(RULES["transport.connection"].judge(Recording(sent))) == []


async def paused(target: object) -> list[Exchange]:
    """Send one request before and after a pause."""
    beside = [probe for probe in probes() if probe.phase == "beside"]
    async with Session(target, KEY, Budget(concurrency=4)) as session:
        plain = [await session.send(smoke())]
        return plain + await asyncio.gather(*(session.send(probe) for probe in beside))


@pytest.mark.parametrize("fault", ["none", "idle-cut", "idle-late"])
def test_a_fault_of_an_idle_connection_is_bitten(fault, monkeypatch):
    """A server that cuts a request off after a pause, or sends an earlier answer, is found, and an honest one is not."""
    monkeypatch.setattr(wire, "PAUSE", 1.5)
    with serving(Reference(keys={KEY}), fault) as url:
        sent = asyncio.run(paused(url))
    assert set(bitten(sent)) == ({"robustness.after-pause"} if fault != "none" else set())


def test_a_connection_that_is_closed_in_the_pause_is_legal(monkeypatch):
    """A server may close an idle connection, and the request then goes on another."""
    monkeypatch.setattr(wire, "PAUSE", 6)
    with serving(Reference(keys={KEY})) as url:
        sent = asyncio.run(paused(url))
    assert bitten(sent) == {}
    assert [one.attempts for one in sent] == [1, 1, 1]


def test_a_server_in_process_has_a_pause_too(monkeypatch):
    """State that expires is found without a connection."""
    monkeypatch.setattr(wire, "PAUSE", 2.5)
    rule = "robustness.after-pause"
    assert set(bitten(asyncio.run(paused(BROKEN[rule](keys={KEY}))))) == {rule}
    assert bitten(asyncio.run(paused(Reference(keys={KEY})))) == {}


def test_a_connection_that_is_closed_silently_is_legal():
    """A server may close a connection behind a response without saying so, also after a HEAD and a refusal."""
    with serving(Reference(keys={KEY}), "closed-silently") as url:
        found = bitten(asyncio.run(exchanges(url)))
    assert found == {}


def test_a_connection_that_remembers_a_key_is_bitten():
    """A server that needs a key on new connections alone has keys, and is judged by them."""
    with serving(Reference(keys={KEY}), "key-remembered") as url:
        report = check(url, key=KEY, rules=["authentication"], concurrency=2)
    assert "authentication.no-key" in {rule.id for rule in report.of("fail")}


def test_a_server_that_stops():
    """What is not answered as the server stopped is undecided for that one reason; the pause is not blamed."""
    unreachable = NoResponse("unreachable", "could not be sent: All connection attempts failed")
    cut = NoResponse("broken", "was cut off")
    sent = [
        Exchange(Probe(name="smoke", phase="smoke", legal=True), ReceivedResponse(200, {}, b"{}")),
        Exchange(Probe(name="a", phase="rank"), unreachable),
        Exchange(Probe(name="b", phase="beside", form="after-pause"), cut),
        Exchange(Probe(name="c", phase="rank"), cut),
    ]
    found = [one.outcome for one in with_end(sent)]
    assert {outcome.message for outcome in found[1:3]} == {
        "could not be sent: the server stopped during the check; read its log"
    }
    assert found[3] == cut
    assert with_end([sent[0], *sent[2:]]) == [sent[0], *sent[2:]]
