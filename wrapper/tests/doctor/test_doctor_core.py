"""The decisions of an examination, without sockets: addresses, refusals, limits of requests, and rates of false verdicts."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from doctor_servers import (
    HEALTHY,
    KEY,
    ODD,
    Scorer,
    Spec,
    biased,
    fraction,
    inverted,
    lexical,
    logits,
    semantic,
    sharp,
    untrained,
    weak,
)
from openrouter_rerank.dialects import codec
from openrouter_rerank.doctor import Diagnosis, addresses, refusals, verdicts
from openrouter_rerank.doctor.examination import Subject, examine
from openrouter_rerank.doctor.probes import (
    COPIES,
    DOCUMENTS,
    QUESTIONS,
    Ask,
    NoReply,
    Observation,
    Pause,
    Reply,
    ResultRow,
    long_texts,
    rows_of,
)
from openrouter_rerank.doctor.refusals import Reason
from openrouter_rerank.testing import End, Request

HOST = "http://host.test"


def played(
    spec: Spec, *, seconds: float = 0.01, key: str = "", host: str = HOST, **subject: Any
) -> tuple[Diagnosis, list[Ask]]:
    """Run an examination against a server, without sockets and clocks; return the diagnosis and the requests."""
    script = spec.play()
    asked: list[Ask] = []
    examination = examine(Subject(host + spec.url, host + spec.url, bool(key), **subject))
    outcome: Reply | NoReply | None = None
    while True:
        try:
            step = examination.send(outcome)
        except StopIteration as end:
            return end.value, asked
        outcome = None
        if isinstance(step, Pause):
            continue
        asked.append(step)
        headers = {"authorization": f"Bearer {key}"} if step.with_key and key else {}
        body = b"" if step.body is None else json.dumps(step.body).encode()
        request = Request(len(asked), step.method, step.url.removeprefix(host), headers, body)
        outcome = NoReply("unreachable", "closed", "look", seconds)
        for sent in script(request):
            if isinstance(sent, bytes):
                head, _, content = sent.partition(b"\r\n\r\n")
                line, *fields = head.decode().split("\r\n")
                pairs = (field.split(": ", 1) for field in fields)
                outcome = Reply(int(line.split()[1]), {k.lower(): v for k, v in pairs}, content, seconds)


@pytest.mark.parametrize(
    "name", ["openrouter", "tei", "voyage", "vLLM", "a slash at the end alone", "documentation"]
)
def test_any_limit_of_requests_is_kept(name: str):
    """A diagnosis comes of any number of requests, and never calls a healthy server broken."""
    case = HEALTHY[name]
    for most in range(1, 26):
        found, asked = played(case.spec, max_requests=most)
        assert len(asked) == found.requests <= most
        assert {problem.code for problem in found.problems} <= {"wrong_path"}
        assert ("stopped" in found.facts) is (len(asked) == most and most < len(played(case.spec)[1]))


@pytest.mark.parametrize(
    "name", ["constant", "inverted", "shifted", "NaN", "an unknown model", "at the root"]
)
def test_a_fault_is_found_with_a_few_requests(name: str):
    """Twelve are enough for the faults of rankings."""
    case = ODD[name]
    found, _ = played(case.spec, max_requests=12, model=case.model)
    assert case.code in {problem.code for problem in found.problems}


def test_a_slow_server_is_asked_no_more_than_is_needed():
    """Above 20 seconds no optional probe begins."""
    found, asked = played(Spec(), seconds=5.0)
    assert found.problems == ()
    assert len(asked) < len(played(Spec())[1])
    assert all(len(ask.body["documents"]) < 20 for ask in asked if ask.body)


@pytest.mark.parametrize(
    ("scorer", "seconds", "number"),
    [(semantic, 0.01, 0), (semantic, 5.0, 0), (untrained, 0.01, len(COPIES)), (untrained, 5.0, 0)],
)
def test_copies_of_documents_are_asked_for_an_unclear_ranking(scorer: Scorer, seconds: float, number: int):
    """A clear ranking needs no copies, and a slow server is not asked for them."""
    _, asked = played(Spec(scorer=scorer), seconds=seconds)
    copies = {DOCUMENTS[place] for place in COPIES}
    assert sum(ask.body is not None and ask.body.get("query") in copies for ask in asked) == number


def test_only_the_key_probe_is_without_the_key():
    """And it asks for two documents alone."""
    found, asked = played(Spec(key=KEY), key=KEY)
    (probe,) = [ask for ask in asked if not ask.with_key]
    assert probe.body is not None
    assert len(probe.body["documents"]) == 2
    assert found.facts["key"] == "needed and taken"


@pytest.mark.parametrize("name", HEALTHY)
def test_no_healthy_server_takes_more_than_the_requests_allowed(name: str):
    """Most take about half of them."""
    case = HEALTHY[name]
    found, asked = played(case.spec, key=case.api_key, model=case.model)
    assert len(asked) <= 25
    assert {problem.code for problem in found.problems} == case.warns


@pytest.mark.parametrize(
    ("host", "spec", "dialect"),
    [
        ("https://api.cohere.com", Spec("cohere-v2", ("/v2/rerank",), "/v2", objects=True), "cohere-v2"),
        ("https://api.cohere.com", Spec("cohere-v2", ("/v2/rerank",), ""), "cohere-v2"),
        ("https://api.jina.ai", Spec("jina", models=("jina-reranker-v2-base-multilingual",)), "jina"),
        ("https://api.voyageai.com", Spec("voyage", models=("rerank-2.5",)), "voyage"),
        ("https://openrouter.ai", Spec(paths=("/api/v1/rerank",), url="/api/v1"), "openrouter"),
    ],
)
def test_a_vendor_is_known_by_its_host(host: str, spec: Spec, dialect: str):
    """It is asked in its own dialect for its own model, from the first request on."""
    found, asked = played(spec, host=host)
    assert found.dialect == dialect
    assert found.is_usable
    model = (spec.models or [None])[0]
    assert model is None or {ask.body.get("model") for ask in asked if ask.body} - {None} == {model}


def test_a_server_that_takes_objects_alone():
    """It is usable, and not by the command, which sends strings."""

    def refuse(asked: Any) -> Any:
        strings = any(isinstance(document, str) for document in asked["documents"])
        return (400, {"message": "documents must be objects"}) if strings else None

    found, _ = played(Spec(refuse=refuse))
    assert found.problems == ()
    assert found.facts["strings"] is False
    assert found.configuration.python is not None
    assert found.configuration.shell is None


def answering(condition: Any, outcome: Any) -> Spec:
    """Return a server that answers so to the requests of a kind."""
    return Spec(
        key=KEY, before=lambda request, number: outcome if number and condition(request, number) else None
    )


FAILED = (500, {"error": {"code": 500, "message": "Internal error"}})


@pytest.mark.parametrize(
    ("spec", "codes"),
    [
        (answering(lambda request, number: number > 2, FAILED), {"server_error"}),
        (answering(lambda request, number: number > 2, End.CLOSE), {"unreachable"}),
        (answering(lambda request, number: number > 5, End.CLOSE), {"unreachable"}),
        (answering(lambda request, number: "top_n" in request.json, FAILED), set()),
        (answering(lambda request, number: "authorization" not in request.headers, FAILED), set()),
        (answering(lambda request, number: len(request.json["documents"]) > 20, End.CLOSE), set()),
        (answering(lambda request, number: len(request.body) > 50_000, End.CLOSE), set()),
    ],
    ids=["second form", "second form, closed", "later", "top_n", "no key", "many", "long"],
)
def test_a_failure_counts_where_it_shows_that_the_server_is_unusable(spec: Spec, codes: set[str]):
    """What fails for a limit alone is a fact, or nothing."""
    found, _ = played(spec, key=KEY)
    assert {problem.code for problem in found.problems} == codes


def test_a_server_that_answers_one_form_alone():
    """What no dialect gets an answer to again is refused, and the report says that the first request was answered."""
    spec = Spec(
        before=lambda request, number: (
            (400, {"message": "No"})
            if number and "rich" not in request.json["documents"][0] and number > 1
            else None
        )
    )
    found, _ = played(spec)
    assert {problem.code for problem in found.problems} == {"not_rerank"}
    assert "although other requests were answered" in found.problems[0].says


# --------------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "complete"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("tei:80", "http://tei:80"),
        ("my.service.internal/v1", "http://my.service.internal/v1"),
        ("api.cohere.com/v2", "https://api.cohere.com/v2"),
        ("[::1]:8000", "http://[::1]:8000"),
        (" <https://a.example/v1> ", "https://a.example/v1"),
        ("`http://a:1/v1`,", "http://a:1/v1"),
        ("(http://a:1/v1);", "http://a:1/v1"),
        ("http:/a:1/v1", "http://a:1/v1"),
        ("//a:1/v1", "http://a:1/v1"),
        ("https://a.example/v1?x=1#part", "https://a.example/v1?x=1"),
    ],
)
def test_the_url_is_completed(url: str, complete: str):
    """A scheme is added: http for a host that hardly has a certificate."""
    assert addresses.complete(url) == complete


@pytest.mark.parametrize(
    ("url", "live"),
    [
        ("http://localhost:1", False),
        ("http://127.0.0.2", False),
        ("http://[::1]:1", False),
        ("http://10.0.0.1", True),
        ("https://api.jina.ai", True),
        ("http://localhost.example", True),
    ],
)
def test_what_is_live(url: str, live: bool):
    """Any other machine is."""
    assert addresses.is_live(url) is live


@pytest.mark.parametrize(
    ("url", "first", "among"),
    [
        (
            "http://h",
            "http://h/rerank",
            ["http://h/v1/rerank", "http://h/api/v1/rerank", "http://h/v2/rerank"],
        ),
        ("http://h/v1", "http://h/v1/rerank", ["http://h/rerank"]),
        ("http://h/v1/", "http://h/v1/rerank", ["http://h/v1/rerank/"]),
        ("http://h/v1/rerank", "http://h/v1/rerank", ["http://h/v1/rerank/", "http://h/rerank"]),
        ("http://h/v1/rerank/", "http://h/v1/rerank/", ["http://h/v1/rerank"]),
        ("http://h/rerank", "http://h/rerank", ["http://h/v1/rerank", "http://h/v2/rerank"]),
        ("http://h/own/rerank", "http://h/own/rerank", ["http://h/own/v1/rerank", "http://h/rerank"]),
        ("http://h/v1/chat/completions", "http://h/v1/rerank", ["http://h/rerank"]),
        ("http://h/v1/embeddings?k=1", "http://h/v1/rerank?k=1", []),
        ("http://h/docs", "http://h/rerank", ["http://h/v1/rerank"]),
        ("http://h/a/b/openapi.json", "http://h/a/b/rerank", ["http://h/a/rerank"]),
        ("https://api.cohere.com", "https://api.cohere.com/rerank", ["https://api.cohere.com/v2/rerank"]),
        ("https://api.jina.ai/v1/embeddings", "https://api.jina.ai/v1/rerank", []),
    ],
)
def test_the_addresses_to_try(url: str, first: str, among: Sequence[str]):
    """What a client would use comes first; all are of the same server."""
    found = addresses.candidates(url)
    urls = [candidate.url for candidate in found]
    assert urls[0] == first
    assert set(among) <= set(urls)
    assert len(urls) == len(set(urls)) <= 10
    assert all(one.startswith("/".join(url.split("/")[:3])) for one in urls)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://docs.cohere.com/reference/rerank", "https://api.cohere.com/v2"),
        ("https://jina.ai/reranker/", "https://api.jina.ai/v1"),
        ("https://docs.voyageai.com/docs/reranker", "https://api.voyageai.com/v1"),
        ("https://openrouter.ai/docs/api", "https://openrouter.ai/api/v1"),
        ("https://openrouter.ai/api/v1", None),
        ("http://localhost:8000/docs", None),
    ],
)
def test_a_site_of_a_vendor_is_known(url: str, base: str | None):
    """Nothing is sent to it: the report has the address of the API."""
    assert addresses.documented_api(url) == base
    if base is not None:
        examination = examine(Subject(url, url))
        with pytest.raises(StopIteration) as end:
            next(examination)
        (problem,) = end.value.value.problems
        assert problem.code == "wrong_path"
        assert base in problem.do


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v1/rerank/", "http://h:1/v1/rerank/"),
        ("http://h:1/rerank?x=2", "http://h:1/rerank?x=2"),
        ("https://h/v1/rerank", "https://h/v1/rerank"),
        ("http://h:2/v1/rerank", None),
        ("http://other:1/v1/rerank", None),
        ("http://u@h:1/v1/rerank", None),
        ("/login", None),
        ("http://[", None),
        ("", "http://h:1/v1/rerank"),
    ],
)
def test_redirects_stay_with_the_server(location: str, target: str | None):
    """Only to the same server, or to the same host with TLS."""
    assert addresses.redirected("http://h:1/v1/rerank", location) == target


# ---------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, {"detail": "Not Found"}, Reason.ABSENT),
        (405, {"detail": "Method Not Allowed"}, Reason.ABSENT),
        (404, {"message": "model 'xyz' not found"}, Reason.MODEL),
        (400, {"detail": "Model rerank-2.5 is not supported. Supported: rerank-2"}, Reason.MODEL),
        (400, {"error": {"message": "bad", "param": "model"}}, Reason.MODEL),
        (400, {"detail": "INPUT_MODEL_NOT_FOUND", "code": "INPUT_MODEL_NOT_FOUND"}, Reason.MODEL),
        (422, {"detail": [{"loc": ["body", "texts"], "msg": "Field required"}]}, Reason.TEXTS),
        (422, "missing field `texts` at line 1", Reason.TEXTS),
        (422, {"detail": "documents must be objects"}, Reason.OBJECTS),
        (400, {"message": "API key not valid. Please pass a valid API key."}, Reason.KEY),
        (413, {"error": "too large"}, Reason.SIZE),
        (400, {"error": {"message": "The model does not support Rerank (Score) API"}}, Reason.NOT_A_RERANKER),
        (400, {"detail": "query must not be empty"}, Reason.REQUEST),
        (302, "", Reason.REDIRECT),
        (503, {"error": "no healthy upstream"}, Reason.PROXY),
        (503, {"error": "Server is at capacity"}, Reason.RATE),
        (502, {"error": {"code": 502, "message": "Provider returned error"}}, Reason.SERVER),
        (500, {"error": {"message": "This model is not supported", "code": "500"}}, Reason.MODEL),
        (500, {"error": {"message": "the input is too large to process"}}, Reason.SIZE),
        (521, "error code: 521", Reason.PROXY),
        (502, {"error": "connect ECONNREFUSED 127.0.0.1:8080"}, Reason.PROXY),
        (511, "<html>Log in</html>", Reason.PROXY),
        (500, {"error": "model is still loading"}, Reason.LOADING),
        (500, {"error": "could not load model: model x not found"}, Reason.MODEL),
        (500, {"error": "Failed to load dynamic library"}, Reason.SERVER),
        (400, {"error": {"message": "x/y is not a valid model ID"}}, Reason.MODEL),
        (400, {"error": {"message": "LLM Provider NOT provided. You passed model=x"}}, Reason.MODEL),
        (400, {"error": {"message": "model does not support `rerank`"}}, Reason.NOT_A_RERANKER),
        (200, {"error": {"code": 429, "message": "slow"}}, Reason.RATE),
        (200, {"error": "this model does not support reranking"}, Reason.NOT_A_RERANKER),
        (200, {"error": "Unexpected endpoint"}, Reason.ABSENT),
        (200, {"error": "unknown model x"}, Reason.MODEL),
        (200, {"error": "oops"}, Reason.SERVER),
        (200, {"choices": []}, Reason.OTHER_API),
        (200, "<html>", Reason.PAGE),
    ],
)
def test_why_a_server_refuses(status: int, body: Any, reason: Reason):
    """By the status and by the words."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    found = refusals.of(Reply(status, {}, content, 0.0))
    assert found.reason is reason
    assert str(status) in found.says


# ---------------------------------------------------------------------------------------------------------------- verdicts

PLAN = ((0, 0), (1, 1), (2, 3), (3, 6), (0, 0), (0, 5), (4, 4), (1, 4))
"""The questions of an examination, each with the rotation of the documents."""


def ranked_rows(scores: Sequence[float]) -> list[ResultRow]:
    """Return results in the order of their scores."""
    return [
        ResultRow(place, scores[place])
        for place in sorted(range(len(scores)), key=lambda place: -scores[place])
    ]


def observed(scorer: Scorer) -> list[Observation]:
    """Return the rankings of a scorer, as an examination asks for them."""
    found: list[Observation] = []
    for number, by in PLAN:
        question = QUESTIONS[number]
        texts = [*DOCUMENTS[by:], *DOCUMENTS[:by]]
        rows = ranked_rows(scorer(question.query, texts))
        found.append(Observation(question.query, (question.relevant - by) % len(DOCUMENTS), texts, rows))
    return found


def codes(scorer: Scorer) -> list[str]:
    """Return the codes of the problems of a scorer."""
    return [problem.code for problem in verdicts.judge(observed(scorer))]


@pytest.mark.parametrize("scorer", [lexical, weak, semantic, untrained, biased, logits, sharp])
def test_a_weak_model_has_no_fault(scorer: Scorer):
    """Whatever its scale and its quality."""
    assert codes(scorer) == []


def test_models_without_a_meaning_have_no_fault():
    """None of 300 untrained models is called inverted or shifted, with a bias for documents or without."""
    for seed in range(150):
        assert codes(lambda query, texts, seed=seed: [fraction(seed, query, text) for text in texts]) == []
        assert (
            codes(
                lambda query, texts, seed=seed: [
                    fraction(seed, text) + fraction(seed, query, text) / 20 for text in texts
                ]
            )
            == []
        )


def with_copies(scorer: Scorer) -> list[str]:
    """Return the codes of the problems of a scorer that was asked with copies too, if it is unclear."""
    found = observed(scorer)
    if verdicts.is_unclear(found):
        for by, place in enumerate(COPIES):
            texts = [*DOCUMENTS[by:], *DOCUMENTS[:by]]
            rows = ranked_rows(scorer(DOCUMENTS[place], texts))
            found.append(Observation(DOCUMENTS[place], (place - by) % len(DOCUMENTS), texts, rows))
    return [problem.code for problem in verdicts.judge(found)]


def test_models_without_a_meaning_are_told_from_weak_ones():
    """Copies of the query show it: of 100 untrained models at least 75 are found, of 100 weak ones none but one or two."""

    def mixed(share: float) -> list[list[str]]:
        return [
            with_copies(
                lambda query, texts, seed=seed: [
                    share * score + fraction(seed, query, text)
                    for score, text in zip(lexical(query, texts), texts, strict=True)
                ]
            )
            for seed in range(100)
        ]

    assert mixed(0).count(["random_scores"]) >= 75
    weak_ones = mixed(1.5)
    assert weak_ones.count([]) >= 98


def test_models_that_look_at_the_list_have_no_fault():
    """Scores that change a little with the order are not random."""
    for seed in range(100):

        def listwise(query: str, texts: Sequence[str], seed: int = seed) -> list[float]:
            noise = [fraction(seed, query, tuple(texts), place) for place in range(len(texts))]
            return [score + one / 20 for score, one in zip(lexical(query, texts), noise, strict=True)]

        assert codes(listwise) == []


def test_random_scores_are_found():
    """Those of 99 of 100 models that draw them by the request, and of all that draw them anew."""
    by_request = [
        codes(
            lambda query, texts, seed=seed: [
                fraction(seed, query, tuple(texts), place) for place in range(len(texts))
            ]
        )
        for seed in range(200)
    ]
    assert by_request.count(["random_scores"]) >= 190


def test_inverted_models_are_found():
    """With any scorer that separates."""
    for scorer in (lexical, semantic, sharp, logits):
        assert codes(inverted(scorer)) == ["inverted_order"]


def test_one_right_answer_is_no_inversion():
    """A model that answers one question is not called inverted, though the others come last."""
    for right in QUESTIONS:
        assert "inverted_order" not in codes(
            lambda query, texts, right=right: (lexical if query == right.query else inverted(lexical))(
                query, texts
            )
        )


@pytest.mark.parametrize(
    ("body", "found"),
    [(b'{"a": 1}', {"a": 1}), (b'{"a": 1%s}' % (b"0" * 5_000), {"a": None}), (b"[1", None)],
    ids=["small", "huge", "cut"],
)
def test_json_of_a_reply(body: bytes, found: object):
    """A number that Python does not read costs nothing else."""
    assert Reply(200, {}, body, 0.0).json == found


@pytest.mark.parametrize("keep", [400, 4_000, 20_000, None])
@pytest.mark.parametrize("scorer", [lexical, semantic, sharp, logits, untrained, biased])
def test_truncation_needs_proof(scorer: Scorer, keep: int | None):
    """It is reported for a text whose end is not read, and never for one that is read."""
    texts = long_texts(8_000).documents()
    query = "Which lighthouse keeper discovered the sunken treasure?"
    scores = scorer(query, [text[:keep] for text in texts])
    long = Observation(query, None, texts, [ResultRow(place, score) for place, score in enumerate(scores)])
    if keep in (None, 20_000):
        assert not verdicts.is_cut(long)
    elif scorer not in (untrained, biased):
        assert verdicts.is_cut(long)


@pytest.mark.parametrize("scores", [[0.0] * 4, [0.5, 0.5, 0.5, 0.9], [1e-4, 1e-4, 1e-4, 0.0]])
def test_diluted_scores_prove_nothing(scores: list[float]):
    """The same score wherever the answer is may be that of rounding."""
    texts = long_texts(2_000).documents()
    rows = [ResultRow(place, score) for place, score in enumerate(scores)]
    assert not verdicts.is_cut(Observation("q", None, texts, rows))
    assert not verdicts.is_cut(Observation("q", None, texts, rows[:2]))


def test_nothing_follows_from_nothing():
    """Without rankings there is neither a verdict nor a scale."""
    assert verdicts.judge([]) == []
    assert verdicts.separation([]) == (0, 0)
    assert verdicts.scale_of([]) is None


@pytest.mark.parametrize(
    "body",
    [{"results": "text"}, {"results": [{"index": 0, "score": 1}]}, {"data": [{"embedding": []}]}, None, [1]],
)
def test_what_is_no_ranking(body: Any):
    """A list without scores of the dialect's name."""
    reply = Reply(200, {}, json.dumps(body).encode(), 0.0)
    assert all(rows_of(codec(name), reply) is None for name in ("openrouter", "voyage", "tei"))


def test_a_search_for_a_model_ends_with_the_connection():
    """The next model would have no answer either."""
    closing = Spec(
        "voyage",
        before=lambda request, number: (
            (400, "unknown model") if number == 1 else End.CLOSE if number else None
        ),
    )
    diagnosis, asked = played(closing)
    assert [problem.code for problem in diagnosis.problems] == ["unreachable"]
    assert sum(ask.method == "POST" for ask in asked) == 2


def test_addresses_that_redirect_to_each_other() -> None:
    """A circle of redirects ends: no address is asked twice."""

    def script(request: Request) -> list[bytes]:
        other = "/rerank" if request.target.endswith("/") else "/rerank/"
        return [f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {HOST}{other}\r\n\r\n".encode()]

    circle: Any = SimpleNamespace(url="/rerank", play=lambda: script)
    diagnosis, asked = played(circle)

    posts = [ask.url for ask in asked if ask.method == "POST"]
    assert len(posts) == len(set(posts))
    assert [problem.severity for problem in diagnosis.problems] == ["error"]
