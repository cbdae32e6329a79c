"""The clients of this repository against the reference server: requests made of the contract go through both.

The requests are those of the conformance kit, written by hand and generated, as far as they are legal; what a client
sends is compared with what it was given to send, and the kit's own rules judge the local mode.
"""

import json
from functools import cache

import attrs
import httpx
import pytest

from openrouter_rerank import AsyncReranker, Reranker
from openrouter_rerank.local import LOCAL_URL, reference_transport
from openrouter_rerank_api import Client
from openrouter_rerank_api import models as newest
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.models import RerankResponse
from openrouter_rerank_api.options import NAMES
from openrouter_rerank_api.types import convert
from rerank_conformance import check
from rerank_conformance.generation import generated
from rerank_conformance.probes import IMAGE, MODEL, probes, smoke
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import running
from rerank_conformance.reference.inprocess import ReferenceTransport

FIELDS = tuple(
    field.name
    for field in attrs.fields(newest.RerankRequest)
    if field.init and field.name not in NAMES.values()  # of another name as an argument
)


@cache
def legal():
    """Every different legal body of the kit, by a name."""
    made = [smoke(), *probes(), *generated(MODEL, 0)]
    bodies = {
        json.dumps(probe.body, sort_keys=True): probe for probe in reversed(made) if probe.legal is True
    }
    return {probe.name: probe.body for probe in bodies.values()}


class Recording(Reference):
    """The reference, which keeps the last body that it was sent."""

    body: object = None

    def answer(self, method, path, headers, body):
        """Keep the body, and answer as ever."""
        self.body = json.loads(body)
        return super().answer(method, path, headers, body)


def request_of(body, models=newest):
    """Return the body as a model of a generated client, unknown fields included."""
    fields = [field.name for field in attrs.fields(models.RerankRequest) if field.init]
    known = {name: body[name] for name in fields if name in body}
    known["documents"] = [
        value
        if isinstance(value, str)
        else convert(value, models.TextDocument if "text" in value else models.ImageDocument)
        for value in body["documents"]
    ]
    for name, model in (("provider", models.ProviderPreferences), ("trace", models.Trace)):
        if known.get(name) is not None:
            known[name] = convert(known[name], model)
    request = models.RerankRequest(**known)
    request.additional_properties.update({name: body[name] for name in body if name not in fields})
    return request


def same(sent, given):
    """Return True if two JSON values are equal; numbers are compared as numbers, and true is not 1."""
    match sent, given:
        case dict(), dict():
            return sent.keys() == given.keys() and all(same(sent[name], given[name]) for name in given)
        case list(), list():
            return len(sent) == len(given) and all(map(same, sent, given))
        case _:
            return sent == given and isinstance(sent, bool) == isinstance(given, bool)


def test_there_is_enough_to_try():
    """The kit has some hundred legal requests, generated ones most of all, with every field among them."""
    assert len(legal()) > 100
    assert sum(name.startswith("generated-") for name in legal()) > 50
    assert set(FIELDS) <= set().union(*legal().values())


def test_the_generated_client_sends_what_it_is_given():
    """Every legal request is answered with a ranking, and arrives as it was made, unknown fields and nulls included."""
    server = Recording()
    with Client(LOCAL_URL, httpx_args={"transport": ReferenceTransport(server)}) as client:
        for name, body in legal().items():
            answer = create_rerank.sync(client=client, body=request_of(body))

            assert isinstance(answer, RerankResponse), name
            assert same(server.body, body), name


async def test_the_generated_client_does_so_in_async():
    """The async function of the generated client has the same requests answered."""
    async with Client(LOCAL_URL, httpx_args={"transport": ReferenceTransport(Reference())}) as client:
        for name, body in list(legal().items())[::7]:
            answer = await create_rerank.asyncio(client=client, body=request_of(body))
            assert isinstance(answer, RerankResponse), name


def document(value):
    """Return the document without unknown members, and with a valid image: any other string is refused."""
    known = {name: value[name] for name in ("text", "image") if name in value}
    if not known.get("image", IMAGE).lower().startswith(("http://", "https://", "data:image/")):
        known["image"] = IMAGE
    return known


def arguments(body):
    """Return the arguments of the facade for the body; unknown fields go into `extra_body`."""
    known = {name: body[name] for name in FIELDS if body.get(name) is not None}
    if "top_n" in known:
        known["top_n"] = int(known["top_n"])
    extra = {name: value for name, value in body.items() if name not in FIELDS}
    for name in ("provider", "trace"):  # as the facade refuses what it takes for a slip of the pen
        if name in known:
            extra[name] = known.pop(name)
    for name in known.keys() - {"model", "query"}:  # a blank one is refused too
        if isinstance(known[name], str) and not known[name].strip():
            extra[name] = known.pop(name)
    known["documents"] = [value if isinstance(value, str) else document(value) for value in body["documents"]]
    return {**known, "extra_body": extra}


def wanted(body):
    """Return what the facade sends for the body: it bounds top_n, and leaves out null and unknown members."""
    given = arguments(body)
    sent = {**{name: value for name, value in given.items() if name != "extra_body"}, **given["extra_body"]}
    if "top_n" in sent:
        sent["top_n"] = min(sent["top_n"], len(sent["documents"]))
    return sent


def is_blank(body):
    """Return True if the facade refuses it before sending: a blank query or model asks for nothing."""
    return not body["query"].strip() or not body.get("model", "-").strip()


def check_ranking(ranking, body):
    """Assert that a ranking has the documents that were given, each at its index."""
    given = arguments(body)["documents"]
    count = min(int(body.get("top_n", len(given))), len(given))
    assert len(ranking) == count
    assert [hit.document for hit in ranking] == [given[hit.index] for hit in ranking]
    assert ranking.scores == sorted(ranking.scores, reverse=True)


def test_the_facade_ranks_what_the_contract_allows():
    """Every legal request goes through the facade without an error, but for a blank query or model, which it refuses by name."""
    server = Recording()
    client = httpx.Client(transport=ReferenceTransport(server))
    # in one part each, however large, so that what arrives can be compared
    with Reranker("", base_url=LOCAL_URL, http_client=client, max_documents=100_000) as reranker:
        for name, body in legal().items():
            if is_blank(body):
                with pytest.raises(ValueError, match=r"(query|model) is blank"):
                    reranker.rerank(**arguments(body))
                continue
            check_ranking(reranker.rerank(**arguments(body)), body)
            assert same(server.body, wanted(body)), name


async def test_the_facade_does_so_in_async():
    """The async facade ranks the same requests."""
    client = httpx.AsyncClient(transport=ReferenceTransport(Reference()))
    async with AsyncReranker("", base_url=LOCAL_URL, http_client=client) as reranker:
        for body in list(legal().values())[::7]:
            if not is_blank(body):
                check_ranking(await reranker.rerank(**arguments(body)), body)


def test_over_real_http():
    """Both clients rank over a socket what they rank in process, with a key that the server asks for."""
    key = "sk-or-v1-clients-over-http"
    with (
        running(Reference(keys={key})) as url,
        Reranker(key, base_url=url) as reranker,
        Client(url, headers={"Authorization": f"Bearer {key}"}) as client,
    ):
        for body in list(legal().values())[::11]:
            assert isinstance(create_rerank.sync(client=client, body=request_of(body)), RerankResponse)
            if not is_blank(body):
                check_ranking(reranker.rerank(**arguments(body)), body)


@pytest.mark.parametrize("scorer", [None, "lexical"])
def test_the_local_mode_is_conformant(scorer):
    """`Reranker.local()` ranks by a server that passes every rule of a full check."""
    report = check(reference_transport(scorer), seed=0)

    assert report.verdict == "conformant"
    assert report.of("fail", "error", "undecided") == ()


def test_the_local_mode_by_ones_own_scorer():
    """With a function of the caller's the local mode is judged as any server: one that ignores the query fails by that alone."""
    report = check(reference_transport(lambda _, texts: [1 / (1 + len(text)) for text in texts]), seed=0)

    assert {rule.id for rule in report.of("fail") if rule.level == "MUST"} == {"relation.query-matters"}
