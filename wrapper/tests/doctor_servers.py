"""Rerank servers to diagnose, as data: each is a `Spec` with something changed."""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openrouter_rerank.testing import End, Request, Script, answer

Scores = list[Any]
Scorer = Callable[[str, Sequence[str]], Scores]
Result = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]
Rows = list[dict[str, Any]]


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


# ----------------------------------------------------------------------------------------------------------------- scorers


def lexical(query: str, texts: Sequence[str]) -> Scores:
    """Share of the query's words, less for long documents."""
    asked = set(words(query))
    return [len(asked & set(words(text))) / (len(asked) + math.log1p(len(words(text)))) for text in texts]


def weak(query: str, texts: Sequence[str]) -> Scores:
    """Count words, stop words too, and round."""
    asked = words(query)
    return [round(sum(word in words(text) for word in asked) / len(asked), 2) for text in texts]


def trigrams(text: str) -> dict[str, int]:
    """Return the trigrams of a text with their counts."""
    folded = " ".join(words(text))
    counts: dict[str, int] = {}
    for place in range(len(folded) - 2):
        counts[folded[place : place + 3]] = counts.get(folded[place : place + 3], 0) + 1
    return counts


def semantic(query: str, texts: Sequence[str]) -> Scores:
    """Compare trigrams by the cosine, as an embedding does."""

    def cosine(a: dict[str, int], b: dict[str, int]) -> float:
        norm = math.hypot(*a.values()) * math.hypot(*b.values())
        return sum(count * b.get(gram, 0) for gram, count in a.items()) / norm if norm else 0.0

    return [cosine(trigrams(query), trigrams(text)) for text in texts]


def fraction(*of: object) -> float:
    """Return a number from 0 to 1 that looks random and depends on the arguments alone."""
    return int.from_bytes(hashlib.sha256(repr(of).encode()).digest()[:4], "big") / 2**32


def untrained(query: str, texts: Sequence[str]) -> Scores:
    """Score without a meaning, but the same pair always the same."""
    return [2.8 + fraction(query, text) / 10 for text in texts]


def noisy(query: str, texts: Sequence[str]) -> Scores:
    """Score with a meaning that noise hides in most questions."""
    return [
        0.7 * score + fraction(54, query, text) / 2
        for score, text in zip(lexical(query, texts), texts, strict=True)
    ]


def biased(query: str, texts: Sequence[str]) -> Scores:
    """Prefer short documents, and hardly look at the query."""
    return [1 / (1 + len(text)) + fraction(query, text) / 10_000 for text in texts]


def logits(query: str, texts: Sequence[str]) -> Scores:
    """Scores below zero."""
    return [12 * score - 19 for score in lexical(query, texts)]


def sharp(query: str, texts: Sequence[str]) -> Scores:
    """Saturate, as a good cross-encoder does."""
    return [1 / (1 + math.exp(11 - 40 * score)) for score in lexical(query, texts)]


def cut(scorer: Scorer, characters: int) -> Scorer:
    """Read the beginning of a text alone."""
    return lambda query, texts: scorer(query, [text[:characters] for text in texts])


# ------------------------------------------------------------------------------------------------------------- the servers


class Parsed(NamedTuple):
    """A request for a ranking."""

    query: str
    texts: list[str]
    top_n: int | None
    asked: Mapping[str, Any]


def nothing(*_: object) -> None:
    """Change nothing."""


def unchanged(results: Rows, parsed: Parsed) -> Rows:
    """Return the results."""
    return results


@dataclass(frozen=True)
class Spec:
    """A server. Its form is that of a dialect; everything else can be changed."""

    form: str = "openrouter"
    paths: Sequence[str] = ("/v1/rerank",)
    url: str = "/v1"
    """The URL that is given to the doctor, behind the host and the port."""
    scorer: Scorer = lexical
    key: str | None = None
    models: Sequence[str] | None = None
    """The models that it takes; None for any."""
    lists_models: bool = True
    most: int = 10_000
    longest: int = 10**9
    results: Callable[[Rows, Parsed], Rows] = unchanged
    """A change of the sorted results, before top_n cuts them."""
    ignores_top_n: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    """Members of the answer beside its own; None leaves one out."""
    headers: Mapping[str, str] = field(default_factory=dict)
    echo: str | None = None
    """The form of the echo: "object", "string" or None."""
    objects: bool | None = None
    """True if it takes documents as objects; by default those of openrouter do."""
    is_list: bool = False
    """True if the answer is the list of results itself."""
    before: Callable[[Request, int], Result | End | None] = nothing
    """The answer, if it is not the usual one; `number` counts the requests for a ranking, and is 0 for others."""
    refuse: Callable[[Mapping[str, Any]], Result | None] = nothing
    """The answer to a request for a ranking, if it is refused."""
    error: Callable[[int, str], Any] | None = None
    """The form of errors; by default the dialect's."""
    openapi: Mapping[str, Any] | None = None
    pause: float = 0.0

    def play(self) -> Callable[[Request], Script]:
        """Return the script of the server."""
        counter = itertools.count(1)

        def script(request: Request) -> Script:
            path = request.target.partition("?")[0]
            number = next(counter) if request.method == "POST" and path in self.paths else 0
            outcome = self.before(request, number) or self.respond(request, path)
            if isinstance(outcome, End):
                yield outcome
                return
            status, body, *more = outcome
            headers = {**self.headers, **(more[0] if more else {})}
            kind = headers.pop("content-type", "text/plain" if isinstance(body, str) else "application/json")
            if self.pause:
                yield self.pause
            content = body if isinstance(body, str) else json.dumps(body)
            yield answer(status, content.encode(), kind, headers)

        return script

    def respond(self, request: Request, path: str) -> Result:
        """Return the usual answer."""
        if request.method == "GET":
            return self.get(path)
        if path not in self.paths:
            return 404, self.wrong(404, "Not Found")
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return 401, "" if self.form == "tei" else self.wrong(401, "Unauthorized")
        return self.refuse(request.json) or self.problem(request.json) or self.rank(request.json)

    def get(self, path: str) -> Result:
        """Return what is not a ranking."""
        if path == "/openapi.json" and self.openapi is not None:
            return 200, self.openapi
        if path == "/v1/models" and self.models is not None and self.lists_models:
            return 200, {"object": "list", "data": [{"id": name} for name in self.models]}
        return 404, self.wrong(404, "Not Found")

    def problem(self, asked: Mapping[str, Any]) -> Result | None:  # noqa: PLR0911 - one for each rule
        """Return the refusal of a request that breaks the dialect or a limit."""
        documents = asked.get("texts" if self.form == "tei" else "documents")
        if not documents:
            missing = "Failed to deserialize the JSON body into the target type: missing field `texts`"
            return 422, missing if self.form == "tei" else self.wrong(422, "documents: Field required")
        if self.form in STRICT and (unknown := asked.keys() - STRICT[self.form]):
            return 400, self.wrong(400, f"unknown field: parameter {sorted(unknown)} is not a valid field")
        takes = self.form == "openrouter" if self.objects is None else self.objects
        if not takes and not all(isinstance(document, str) for document in documents):
            return 400, self.wrong(400, '"documents" must be a non-empty string array')
        if self.models is not None and asked.get("model") not in self.models:
            return 404, self.wrong(404, f"The model `{asked.get('model')}` does not exist.")
        if len(documents) > self.most:
            too_many = f"batch size {len(documents)} > maximum allowed batch size {self.most}"
            return 422, self.wrong(422, too_many)
        if max(map(len, map(text_of, documents))) > self.longest:
            return 400, self.wrong(400, "input is too long: maximum context length exceeded")
        return None

    def rank(self, asked: Mapping[str, Any]) -> Result:
        """Return the ranking."""
        texts = [text_of(document) for document in asked.get("texts", asked.get("documents", []))]
        parsed = Parsed(
            asked["query"], texts, asked.get("top_k" if self.form == "voyage" else "top_n"), asked
        )
        name = "score" if self.form == "tei" else "relevance_score"
        scores = self.scorer(parsed.query, texts)
        results: Rows = [{"index": place, name: score} for place, score in enumerate(scores)]
        results.sort(key=lambda result: -number_of(result[name]))
        for result in results:
            text = texts[result["index"]]
            if self.echo is not None:
                result["document"] = {"text": text} if self.echo == "object" else text.strip()
        results = self.results(results, parsed)
        if self.form == "tei" or self.is_list:
            return 200, results
        if not self.ignores_top_n:
            results = results[: parsed.top_n]
        listed = {"data" if self.form == "voyage" else "results": results}
        whole = {**MEMBERS[self.form](asked), **listed, **self.more}
        return 200, {member: value for member, value in whole.items() if value is not None}

    def wrong(self, status: int, message: str) -> Any:
        """Return the body of an error."""
        return (self.error or ERRORS[self.form])(status, message)


STRICT = {
    "voyage": {"query", "documents", "model", "top_k", "truncation", "return_documents"},
    "cohere-v2": {"query", "documents", "model", "top_n", "max_tokens_per_doc", "priority"},
}
"""The fields of dialects that refuse all others."""

MEMBERS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "openrouter": lambda asked: {
        "id": "gen-rerank-1",
        "model": asked.get("model"),
        "provider": "Here",
        "usage": {"search_units": 1},
    },
    "jina": lambda asked: {
        "model": asked.get("model", "served"),
        "object": "list",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    },
    "cohere-v2": lambda asked: {
        "id": "9ca94863-3776-45e7-92fc-42a927df30cd",
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    },
    "voyage": lambda asked: {"object": "list", "model": asked.get("model"), "usage": {"total_tokens": 7}},
}

ERRORS: Mapping[str, Callable[[int, str], Any]] = {
    "openrouter": lambda status, message: {"error": {"code": status, "message": message}},
    "jina": lambda status, message: {
        "error": {"code": status, "message": message, "type": "invalid_request_error"}
    },
    "cohere-v2": lambda status, message: {"message": message},
    "voyage": lambda status, message: {"detail": message},
    "tei": lambda status, message: {"error": message, "error_type": "Validation"},
}


def text_of(document: Any) -> str:
    """Return the text of a document."""
    return document if isinstance(document, str) else str(document.get("text", ""))


def number_of(score: Any) -> float:
    """Return a score as something to sort by."""
    return float(score) if isinstance(score, int | float) and not math.isnan(score) else -math.inf


# ------------------------------------------------------------------------------------------------------------- the healthy

KEY = "key-of-the-doctor-0123456789"


def some_429(request: Request, number: int) -> Result | None:
    """Refuse every fourth request."""
    return (429, {"error": {"code": 429, "message": "slow down"}}) if number % 4 == 2 else None


def redirect_to_slash(request: Request, number: int) -> Result | None:
    """Redirect as FastAPI does."""
    return (307, "", {"location": "/v1/rerank/"}) if request.target == "/v1/rerank" else None


def guard_v1(request: Request, number: int) -> Result | None:
    """Want a key under /v1 alone, as vLLM does."""
    wrong = request.headers.get("authorization") != f"Bearer {KEY}"
    return (401, {"error": "Unauthorized"}) if request.target.startswith("/v1") and wrong else None


def as_text(status: int, message: str) -> Any:
    """Return an error as text."""
    return message


def as_detail(status: int, message: str) -> Any:
    """Return an error as FastAPI has it."""
    return {"detail": message}


def as_litellm(status: int, message: str) -> Any:
    """Return an error as LiteLLM has it."""
    return {"error": {"message": message, "type": "None", "param": "None", "code": str(status)}}


def refuse_if(
    condition: Callable[[Mapping[str, Any]], bool], status: int, body: Any
) -> Callable[[Mapping[str, Any]], Result | None]:
    """Refuse so the requests of a kind."""
    return lambda asked: (status, body) if condition(asked) else None


def has_blank(asked: Mapping[str, Any]) -> bool:
    """Return True if a document is blank."""
    return any(not text_of(document).strip() for document in asked["documents"])


def refuse_model(asked: Mapping[str, Any]) -> Result | None:
    """Take no model by name."""
    if "model" not in asked:
        return None
    error = {"message": f"The model `{asked['model']}` does not exist.", "type": "NotFoundError", "code": 404}
    return 404, {"error": {**error, "param": "model"}}


def turn_ties(results: Rows, parsed: Parsed) -> Rows:
    """Turn the order of equal scores, as TEI does."""
    name = "score" if "score" in results[0] else "relevance_score"
    return sorted(results, key=lambda result: (-result[name], -result["index"]))


def blind_to_objects(results: Rows, parsed: Parsed) -> Rows:
    """Give all objects the same score."""
    if isinstance(parsed.asked["documents"][0], str):
        return results
    return [{**one, "relevance_score": 0.5} for one in results]


def renamed(results: Rows, parsed: Parsed) -> Rows:
    """Name the scores as TEI does."""
    return [{"index": one["index"], "score": one["relevance_score"]} for one in results]


def as_sglang(results: Rows, parsed: Parsed) -> Rows:
    """Return the results as SGLang does."""
    return [{**one, "meta_info": {"id": "x"}} for one in renamed(results, parsed)]


def sglang_error(status: int, message: str) -> Any:
    """Return an error as SGLang has it."""
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": status}


class Healthy(NamedTuple):
    """A healthy server, and the expected diagnosis."""

    spec: Spec
    dialect: str
    warns: frozenset[str] = frozenset()
    base: str | None = None
    """The path of the base URL, if it is not that of the URL given."""
    api_key: str = ""
    model: str | None = None


TEI = ("tei", ("/rerank",), "")
MOVED = frozenset({"wrong_path"})
LITELLM_META = {"billed_units": {"search_units": 1}, "tokens": None}
XINFERENCE = {"id": "u-1", "model": None, "usage": None, "object": None, "meta": {"api_version": None}}

HEALTHY: Mapping[str, Healthy] = {
    "openrouter": Healthy(Spec(echo="object"), "openrouter"),
    "openrouter, whole address": Healthy(Spec(url="/v1/rerank"), "openrouter", base="/v1"),
    "cohere-v2": Healthy(Spec("cohere-v2", ("/v2/rerank",), "/v2"), "cohere-v2"),
    "jina, its own": Healthy(Spec("jina", objects=True, echo="object", error=as_detail), "jina"),
    "jina, strings alone": Healthy(Spec("jina"), "jina"),
    "tei": Healthy(Spec(*TEI, most=32, results=turn_ties, headers={"x-compute-type": "cpu"}), "tei"),
    "tei, a larger batch": Healthy(Spec(*TEI, scorer=sharp, most=64), "tei"),
    "tei with a key": Healthy(Spec(*TEI, key=KEY), "tei", api_key=KEY),
    "voyage": Healthy(Spec("voyage", models=("rerank-2.5",), lists_models=False), "voyage"),
    "vLLM": Healthy(
        Spec(
            "jina",
            ("/v1/rerank", "/rerank", "/v2/rerank"),
            echo="object",
            more={"id": "score-1"},
            models=("BAAI/bge-reranker-v2-m3",),
            scorer=sharp,
        ),
        "jina",
    ),
    "vLLM with a key": Healthy(
        Spec("jina", ("/v1/rerank", "/rerank"), before=guard_v1, more={"id": "score-1"}), "jina", api_key=KEY
    ),
    "llama.cpp": Healthy(
        Spec(
            "jina",
            ("/v1/rerank", "/rerank", "/reranking", "/v1/reranking"),
            "/v1/reranking",
            scorer=logits,
            headers={"server": "llama.cpp"},
        ),
        "jina",
        MOVED,
        "/v1",
    ),
    "llama.cpp at its root": Healthy(Spec("jina", ("/v1/rerank", "/rerank"), "", scorer=logits), "jina"),
    "infinity": Healthy(
        Spec(
            "jina",
            ("/rerank",),
            "",
            echo="string",
            more={"id": "infinity-1", "object": "rerank", "created": 1},
            error=as_detail,
        ),
        "jina",
    ),
    "scores under another name": Healthy(Spec("jina", results=renamed), "jina"),
    "objects that are not read": Healthy(Spec("jina", objects=True, results=blind_to_objects), "jina"),
    "infinity under a prefix": Healthy(
        Spec("jina", ("/own/prefix/rerank",), "/own/prefix", most=100, error=as_detail),
        "jina",
        frozenset({"batch_limit"}),
    ),
    "LiteLLM": Healthy(
        Spec(
            "cohere-v2",
            ("/rerank", "/v1/rerank", "/v2/rerank"),
            "/v2",
            objects=True,
            more={"meta": LITELLM_META},
            error=as_litellm,
        ),
        "openrouter",
    ),
    "Xinference": Healthy(Spec("jina", models=("bge-reranker",), more=XINFERENCE, error=as_detail), "jina"),
    "SGLang": Healthy(
        Spec("jina", is_list=True, results=as_sglang, echo="string", error=sglang_error),
        "jina",
        frozenset({"ignores_top_n"}),
    ),
    "without echo and usage": Healthy(
        Spec(more={"id": None, "usage": None, "provider": None, "model": None}), "openrouter"
    ),
    "logits": Healthy(Spec(scorer=logits), "openrouter"),
    "ties in another order": Healthy(Spec(scorer=weak, results=turn_ties), "openrouter"),
    "a key": Healthy(Spec(key=KEY), "openrouter", api_key=KEY),
    "a key that is not needed": Healthy(Spec(), "openrouter", api_key=KEY),
    "a batch limit": Healthy(Spec(most=32), "openrouter", frozenset({"batch_limit"})),
    "429 now and then": Healthy(Spec(before=some_429), "openrouter"),
    "a slash at the end alone": Healthy(
        Spec(paths=("/v1/rerank/",), before=redirect_to_slash), "openrouter", MOVED, "/v1/rerank/"
    ),
    "a slash, given": Healthy(
        Spec(paths=("/v1/rerank/",), url="/v1/rerank/"), "openrouter", base="/v1/rerank/"
    ),
    "no slash, given one": Healthy(Spec(url="/v1/"), "openrouter", base="/v1"),
    "errors as text": Healthy(Spec("jina", error=as_text), "jina"),
    "a weak scorer": Healthy(Spec(scorer=weak), "openrouter"),
    "a semantic scorer": Healthy(Spec(scorer=semantic), "openrouter"),
    "a noisy scorer": Healthy(Spec(scorer=noisy), "openrouter"),
    "refuses blank documents": Healthy(
        Spec("jina", refuse=refuse_if(has_blank, 400, "document is empty")), "jina"
    ),
    "fails with blank documents": Healthy(Spec("jina", refuse=refuse_if(has_blank, 500, "panic")), "jina"),
    "a model that is not in the list": Healthy(Spec(models=("chat", "a/b-rerank")), "openrouter"),
    "a sharp scorer": Healthy(Spec(scorer=sharp), "openrouter"),
    "no model in the request": Healthy(Spec("jina", refuse=refuse_model), "jina"),
    "slow": Healthy(Spec(pause=0.05), "openrouter"),
    "a cut address": Healthy(Spec(paths=("/api/v1/rerank",), url=""), "openrouter", MOVED, "/api/v1"),
    "another operation": Healthy(Spec(url="/v1/chat/completions"), "openrouter", MOVED, "/v1"),
    "embeddings": Healthy(Spec("tei", ("/rerank",), "/embed"), "tei", MOVED, ""),
    "documentation": Healthy(Spec("jina", ("/rerank",), "/docs"), "jina", MOVED, ""),
    "a model by name": Healthy(
        Spec(models=("a/b-rerank",), lists_models=False), "openrouter", model="a/b-rerank"
    ),
}


# ----------------------------------------------------------------------------------------------------------------- the odd

HTML = {"content-type": "text/html"}
NGINX = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def always(
    status: int, body: Any, headers: Mapping[str, str] | None = None
) -> Callable[[Request, int], Result]:
    """Answer every request so."""
    return lambda request, number: (status, body, headers or {})


def only_embeddings(request: Request, number: int) -> Result | None:
    """Have the embeddings of OpenAI."""
    return (422, {"detail": "input: Field required"}) if request.target == "/v1/embeddings" else None


def posting(status: int, body: Any) -> Callable[[Request, int], Result | None]:
    """Answer each request for a ranking so."""
    return lambda request, number: (status, body) if number else None


def model_first(request: Request, number: int) -> Result | None:
    """Check the model before the key, as Voyage does."""
    is_known = not number or request.json.get("model") == "rerank-2.5"
    return None if is_known else (400, {"detail": "Model x is not supported."})


def later(status: int, body: Any) -> Callable[[Request, int], Result | None]:
    """Answer so after the first requests."""
    return lambda request, number: (status, body) if number > 3 else None


def refusing(status: int, body: Any) -> Callable[[Mapping[str, Any]], Result]:
    """Refuse so what the dialect allows."""
    return lambda asked: (status, body)


def unless_texts(status: int, body: Any) -> Callable[[Request, int], Result | None]:
    """Answer so a request in the form of TEI; the others are of a wrong form."""
    return lambda request, number: (status, body) if number and "texts" in request.json else None


def without_blank(results: Rows, parsed: Parsed) -> Rows:
    """Leave blank documents out."""
    return [one for one in results if parsed.texts[one["index"]].strip()]


def counted_without_blank(results: Rows, parsed: Parsed) -> Rows:
    """Count the documents that are not blank."""
    kept = [place for place, text in enumerate(parsed.texts) if text.strip()]
    return [{**one, "index": kept.index(one["index"])} for one in results if one["index"] in kept]


def without_copies(results: Rows, parsed: Parsed) -> Rows:
    """Give documents with the same text one result."""
    return [one for one in results if parsed.texts.index(parsed.texts[one["index"]]) == one["index"]]


def without_blank_and_copies(results: Rows, parsed: Parsed) -> Rows:
    """Leave blank documents out, and those that are there twice."""
    return without_copies(without_blank(results, parsed), parsed)


def null_for_blank(query: str, texts: Sequence[str]) -> Scores:
    """Score what is not blank."""
    return [score if text.strip() else None for score, text in zip(lexical(query, texts), texts, strict=True)]


def untrained_head(query: str, texts: Sequence[str]) -> Scores:
    """Score as a model whose classifier was not loaded."""
    return [fraction("h", query, text) for text in texts]


def shifted(by: int, *, around: bool) -> Callable[[Rows, Parsed], Rows]:
    """Miscount the documents."""

    def change(results: Rows, parsed: Parsed) -> Rows:
        size = len(parsed.texts) if around else 10**6
        return [
            {**one, "index": (one["index"] + by) % size if around else one["index"] + by} for one in results
        ]

    return change


def mirrored(results: Rows, parsed: Parsed) -> Rows:
    """Count from the end."""
    return [{**one, "index": len(parsed.texts) - 1 - one["index"]} for one in results]


def numbered(results: Rows, parsed: Parsed) -> Rows:
    """Number the results in place of the documents."""
    return [{**one, "index": place} for place, one in enumerate(results)]


def echo_next(results: Rows, parsed: Parsed) -> Rows:
    """Echo the next document."""
    texts = [*parsed.texts[1:], parsed.texts[0]]
    return [{**one, "document": {"text": texts[one["index"]]}} for one in results]


def repeated(results: Rows, parsed: Parsed) -> Rows:
    """Return the best twice, and the last not at all."""
    return [*results[:-1], results[0]]


def as_strings(results: Rows, parsed: Parsed) -> Rows:
    """Send indices as text."""
    return [{**one, "index": str(one["index"])} for one in results]


def by_index(results: Rows, parsed: Parsed) -> Rows:
    """Keep the order of the request."""
    return sorted(results, key=lambda one: one["index"])


def reversed_scores(results: Rows, parsed: Parsed) -> Rows:
    """Give the best score to the worst document."""
    scores = [one["relevance_score"] for one in results]
    return [{**one, "relevance_score": score} for one, score in zip(results[::-1], scores, strict=True)]


def without_scores(results: Rows, parsed: Parsed) -> Rows:
    """Send indices alone."""
    return [{"index": one["index"]} for one in results]


def ascending(results: Rows, parsed: Parsed) -> Rows:
    """Sort the wrong way."""
    return results[::-1]


def without_low(results: Rows, parsed: Parsed) -> Rows:
    """Leave out what has a low score."""
    return [one for one in results if one["relevance_score"] > 0.1]


def first_ten(results: Rows, parsed: Parsed) -> Rows:
    """Cut to ten, whatever was asked for."""
    return results[:10]


def cut_first(results: Rows, parsed: Parsed) -> Rows:
    """Rank the first documents alone."""
    return [one for one in results if parsed.top_n is None or one["index"] < parsed.top_n]


def constant(value: Any) -> Scorer:
    """Give each document this score."""
    return lambda query, texts: [value] * len(texts)


def by_query(query: str, texts: Sequence[str]) -> Scores:
    """Score by the query alone."""
    return [len(query) / 100] * len(texts)


def by_document(query: str, texts: Sequence[str]) -> Scores:
    """Score by the document alone."""
    return lexical("highest mountain strings bread", texts)


def by_place(query: str, texts: Sequence[str]) -> Scores:
    """Score by the place alone."""
    return [1 / (1 + place) for place in range(len(texts))]


def nudged(base: float, by: float, scorer: Scorer = lexical) -> Scorer:
    """Squeeze the scores."""
    return lambda query, texts: [base + by * score for score in scorer(query, texts)]


def inverted(scorer: Scorer) -> Scorer:
    """Turn the sign."""
    return lambda query, texts: [-score for score in scorer(query, texts)]


def distance(query: str, texts: Sequence[str]) -> Scores:
    """Distances, of which the lowest is the best."""
    return [1 - score for score in lexical(query, texts)]


_CALLS = itertools.count()


def random(query: str, texts: Sequence[str]) -> Scores:
    """Other scores for each call."""
    call = next(_CALLS)
    return [fraction(call, place) for place in range(len(texts))]


def random_by_request(query: str, texts: Sequence[str]) -> Scores:
    """Random scores, the same for the same request."""
    return [fraction(query, list(texts), place) for place in range(len(texts))]


def spoiled(value: Any) -> Scorer:
    """Spoil one score."""
    return lambda query, texts: [value, *lexical(query, texts)[1:]]


def spoiled_if_long(value: Any) -> Scorer:
    """Spoil the scores of long documents."""

    def scores(query: str, texts: Sequence[str]) -> Scores:
        return [value if len(t) > 1000 else s for t, s in zip(texts, lexical(query, texts), strict=True)]

    return scores


def as_words(query: str, texts: Sequence[str]) -> Scores:
    """Scores as text."""
    return [f"{score:.3f}" for score in lexical(query, texts)]


class Odd(NamedTuple):
    """A server with a fault, and the code of the fault."""

    spec: Spec
    code: str
    api_key: str = ""
    model: str | None = None
    says: str = ""
    """A part of the report."""
    more: frozenset[str] = frozenset()
    """Other codes that may stand beside it."""
    host: str | None = None


OTHER_KEY = "key-of-someone-else-987654"
LLAMA_501 = {"code": 501, "message": "This server does not support reranking. Start it with `--reranking`"}
LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
ENUM = {"detail": [{"loc": ["body", "model"], "msg": "Input should be 'jina-reranker-v3'", "type": "enum"}]}
NO_MODEL = {"code": 20012, "message": "Model does not exist. Please check it carefully.", "data": None}
TOO_LARGE = {"error": {"code": 500, "message": "input is too large to process. increase the batch size"}}
LITELLM_MODEL = as_litellm(
    400, "rerank: Invalid model name passed in model=x. Call `/v1/models` to view them"
)

ODD: Mapping[str, Odd] = {
    # the address
    "nothing at any address": Odd(Spec(paths=()), "wrong_path"),
    "at another version": Odd(Spec(paths=("/v2/rerank",)), "wrong_path", says="/v2"),
    "at the root": Odd(Spec(paths=("/rerank",), url="/api/v7"), "wrong_path"),
    "whole, without the version": Odd(Spec("jina", url="/rerank"), "wrong_path", says="/v1"),
    "whole, at the root": Odd(Spec("tei", ("/rerank",), "/v1/rerank"), "wrong_path"),
    "at an address that OpenAPI tells": Odd(
        Spec(paths=("/x/y/rerank",), openapi={"paths": {"/x/y/rerank": {}, "/z": {}}}),
        "wrong_path",
        says="/x/y",
    ),
    "redirects elsewhere": Odd(
        Spec(before=always(301, "", {"location": "https://elsewhere.example/rerank"})),
        "wrong_path",
        says="elsewhere.example",
    ),
    "404 pages": Odd(Spec(before=always(404, "<html>nginx</html>", HTML)), "wrong_path"),
    "a chat API": Odd(Spec(paths=(), url="/v1/chat/completions", models=("gpt",)), "not_rerank"),
    "a chat API that answers anything": Odd(
        Spec(before=always(200, {"object": "chat.completion", "choices": []})), "not_rerank"
    ),
    "embeddings alone": Odd(Spec(paths=(), url="/v1/embeddings"), "not_rerank"),
    "embeddings at another operation": Odd(
        Spec(paths=(), before=only_embeddings), "not_rerank", says="without a rerank operation"
    ),
    "embeddings in place of a ranking": Odd(
        Spec(before=posting(200, {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]})),
        "not_rerank",
    ),
    "a web page": Odd(Spec(before=always(200, "<!doctype html><p>Hello</p>", HTML), url=""), "not_rerank"),
    "a server of files": Odd(
        Spec(before=posting(501, "<!doctype html><p>Unsupported method")), "not_rerank", says="a web page"
    ),
    "an API without rerank": Odd(Spec(paths=(), openapi={"paths": {"/v1/embeddings": {}}}), "not_rerank"),
    "LM Studio": Odd(
        Spec(before=always(200, {"error": "Unexpected endpoint or method. (POST /v1/rerank)"})), "not_rerank"
    ),
    "llama.cpp without --reranking": Odd(
        Spec("jina", before=posting(501, {"error": LLAMA_501})), "not_rerank"
    ),
    "TEI with an embedding model": Odd(
        Spec(*TEI, before=posting(424, {"error": "model is not a re-ranker model", "error_type": "Backend"})),
        "not_rerank",
    ),
    "another form of answers": Odd(
        Spec(before=posting(200, {"rankings": [{"index": 0, "logit": 1.5}]})), "not_rerank"
    ),
    "another form of requests": Odd(
        Spec(before=posting(422, {"detail": [{"loc": ["body", "passages"], "msg": "Field required"}]})),
        "not_rerank",
    ),
    "TEI with an embedding model, in the form of TEI": Odd(
        Spec(
            *TEI,
            before=unless_texts(424, {"error": "model is not a re-ranker model", "error_type": "Backend"}),
        ),
        "not_rerank",
        says="start the server with a reranker",
    ),
    "wants texts and refuses them": Odd(Spec(before=posting(422, "texts: invalid")), "not_rerank"),
    "refuses everything": Odd(Spec(before=posting(400, {"message": "No"})), "not_rerank", model="x"),
    # the key
    "no key": Odd(Spec(key=KEY), "needs_key"),
    "no key, TEI": Odd(Spec(*TEI, key=KEY), "needs_key"),
    "no key, as 403": Odd(Spec(before=posting(403, {"detail": "Forbidden"})), "needs_key"),
    "no key, as 400": Odd(Spec(before=posting(400, {"message": "API key not valid"})), "needs_key"),
    "no key, after the model": Odd(Spec("voyage", key=KEY, before=model_first), "needs_key"),
    "another key": Odd(Spec(key=KEY), "wrong_key", OTHER_KEY),
    "another key, Voyage": Odd(
        Spec("voyage", before=posting(401, {"detail": "Provided API key is invalid."})),
        "wrong_key",
        OTHER_KEY,
    ),
    "a key in another header": Odd(
        Spec(before=posting(401, {"message": "Access denied due to missing subscription key"})),
        "wrong_key",
        OTHER_KEY,
        says="extra_headers",
    ),
    "a password": Odd(
        Spec(before=always(401, "<html>nginx</html>", {**HTML, "www-authenticate": 'Basic realm="x"'})),
        "wrong_key",
        OTHER_KEY,
        says="extra_headers",
    ),
    "no credits": Odd(
        Spec(before=posting(402, {"error": {"code": 402, "message": "Insufficient credits"}})),
        "wrong_key",
        OTHER_KEY,
    ),
    # the model
    "an unknown model": Odd(Spec(models=("a/rerank",)), "unknown_model", model="b/other", says="a/rerank"),
    "an unknown model, no list": Odd(
        Spec("jina", models=("a/rerank",), lists_models=False), "unknown_model", model="b/other"
    ),
    "an unknown model, Jina": Odd(Spec("jina", refuse=refusing(422, ENUM)), "unknown_model", model="x"),
    "an unknown model, SiliconFlow": Odd(Spec("jina", refuse=refusing(400, NO_MODEL)), "unknown_model"),
    "an unknown model, LiteLLM": Odd(Spec(refuse=refusing(400, LITELLM_MODEL)), "unknown_model"),
    "an unknown model, OpenRouter": Odd(
        Spec(refuse=refusing(400, {"error": {"code": 400, "message": "x/y is not a valid model ID"}})),
        "unknown_model",
    ),
    "an unknown model, LocalAI": Odd(
        Spec("jina", refuse=refusing(500, {"error": {"message": "could not load model: model x not found"}})),
        "unknown_model",
    ),
    # the state of the server
    "too many requests, in the form of TEI": Odd(
        Spec(*TEI, before=unless_texts(429, {"error": "Model is overloaded", "error_type": "Overloaded"})),
        "rate_limited",
    ),
    "too many requests, while a model is looked for": Odd(
        Spec(
            "voyage",
            before=lambda request, number: (
                (400, "unknown model") if number == 1 else (429, "slow down") if number else None
            ),
        ),
        "rate_limited",
    ),
    "a model that cannot be loaded": Odd(
        Spec("jina", before=posting(500, {"error": {"message": "failed to load weights: out of memory"}})),
        "server_error",
    ),
    "511 of a captive portal": Odd(Spec(before=always(511, "<html>Log in</html>", HTML)), "proxy_error"),
    "too many requests": Odd(
        Spec(before=posting(429, {"error": {"code": 429, "message": "Rate limit exceeded"}})), "rate_limited"
    ),
    "too many requests, later": Odd(
        Spec(before=later(429, {"error": {"code": 429, "message": "Rate limit exceeded"}})), "rate_limited"
    ),
    "loading, llama.cpp": Odd(Spec("jina", before=posting(503, LOADING)), "loading"),
    "loading, TEI": Odd(
        Spec(*TEI, before=posting(503, {"error": "unhealthy", "error_type": "unhealthy"})), "loading"
    ),
    "loading, Hugging Face": Odd(
        Spec(*TEI, before=posting(503, {"error": "Model x is currently loading", "estimated_time": 20.0})),
        "loading",
    ),
    "loading, empty": Odd(Spec(before=posting(503, "")), "loading"),
    "500": Odd(
        Spec(before=posting(500, {"error": {"code": 500, "message": "Internal error"}})), "server_error"
    ),
    "500 as text": Odd(Spec(before=posting(500, "Internal Server Error")), "server_error"),
    "500 later": Odd(
        Spec(before=later(500, {"error": {"code": 500, "message": "Internal error"}})), "server_error"
    ),
    "500 inside a 200": Odd(
        Spec(before=posting(200, {"error": {"code": 500, "message": "Internal error"}})), "server_error"
    ),
    "502 of nginx": Odd(Spec(before=always(502, NGINX, HTML)), "proxy_error"),
    "503 of nginx": Odd(Spec(before=always(503, NGINX, HTML)), "proxy_error"),
    "504 of nginx": Odd(Spec(before=always(504, NGINX, HTML)), "proxy_error"),
    "407": Odd(Spec(before=always(407, "<html>Authentication Required</html>", HTML)), "proxy_error"),
    "403 of a firewall": Odd(Spec(before=always(403, "<html>Cloudflare</html>", HTML)), "proxy_error"),
    "503 of Envoy": Odd(Spec(before=posting(503, "no healthy upstream")), "proxy_error"),
    "502, empty": Odd(Spec(before=posting(502, "")), "proxy_error"),
    "hangs up": Odd(Spec(before=lambda request, number: End.CLOSE), "unreachable"),
    "resets": Odd(Spec(before=lambda request, number: End.RESET), "unreachable"),
    # the scores
    "constant": Odd(Spec(scorer=constant(0.5)), "constant_scores"),
    "constant, zero": Odd(
        Spec(*TEI, scorer=constant(0.0)), "constant_scores", more=frozenset({"degenerate_scores"})
    ),
    "constant, one": Odd(
        Spec(scorer=constant(1.0)), "degenerate_scores", more=frozenset({"constant_scores"})
    ),
    "constant, 1e-30": Odd(
        Spec(scorer=constant(1e-30)), "degenerate_scores", more=frozenset({"constant_scores"})
    ),
    "constant for a query": Odd(Spec(scorer=by_query), "constant_scores"),
    "the same for all queries": Odd(Spec("jina", scorer=by_document), "constant_scores"),
    "vanishing": Odd(Spec("jina", scorer=nudged(0, 1e-30)), "degenerate_scores"),
    "vanishing, without a meaning": Odd(
        Spec("jina", scorer=nudged(0, 1e-20, untrained)), "degenerate_scores"
    ),
    "saturated": Odd(Spec(scorer=nudged(1 - 1e-9, 1e-10)), "degenerate_scores"),
    "nearly constant": Odd(Spec(scorer=nudged(0.5, 1e-9)), "degenerate_scores"),
    "nearly constant, of an untrained classifier": Odd(
        Spec("jina", scorer=nudged(0.4999, 2e-4, untrained_head)), "degenerate_scores"
    ),
    "NaN": Odd(Spec(scorer=spoiled(math.nan)), "invalid_scores"),
    "NaN for all": Odd(Spec("jina", scorer=constant(math.nan)), "invalid_scores"),
    "null": Odd(Spec(scorer=spoiled(None)), "invalid_scores"),
    "null for all": Odd(Spec("voyage", scorer=constant(None)), "invalid_scores"),
    "text": Odd(Spec(scorer=as_words), "invalid_scores"),
    "infinite": Odd(Spec(scorer=spoiled(math.inf)), "invalid_scores"),
    "NaN for long texts": Odd(Spec(scorer=spoiled_if_long(math.nan)), "invalid_scores"),
    "no scores": Odd(Spec(results=without_scores), "invalid_scores"),
    "null, TEI": Odd(Spec(*TEI, scorer=spoiled(None)), "invalid_scores"),
    "inverted": Odd(Spec(scorer=inverted(lexical)), "inverted_order"),
    "inverted, distances": Odd(Spec(scorer=distance), "inverted_order"),
    "inverted, ranks alone": Odd(Spec(results=reversed_scores), "inverted_order"),
    "inverted, Voyage": Odd(Spec("voyage", scorer=inverted(sharp)), "inverted_order"),
    "random": Odd(Spec(scorer=random), "random_scores"),
    "random, TEI": Odd(Spec(*TEI, scorer=random), "random_scores"),
    "random by the request": Odd(Spec("jina", scorer=random_by_request), "random_scores"),
    "without a meaning": Odd(Spec("jina", scorer=untrained_head), "random_scores", says="copy"),
    "prefers short documents alone": Odd(Spec(*TEI, scorer=biased), "random_scores", says="copy"),
    "by the place": Odd(Spec(scorer=by_place), "random_scores"),
    # the indices
    "shifted": Odd(Spec(results=shifted(1, around=True)), "shifted_index"),
    "shifted back": Odd(Spec("jina", results=shifted(-1, around=True), scorer=sharp), "shifted_index"),
    "counted from 1": Odd(Spec(results=shifted(1, around=False)), "shifted_index", says="from 1"),
    "below zero": Odd(Spec(results=shifted(-1, around=False)), "shifted_index"),
    "mirrored": Odd(Spec(results=mirrored, scorer=semantic), "shifted_index"),
    "numbered": Odd(Spec(results=numbered), "shifted_index"),
    "the next echo": Odd(Spec(results=echo_next), "shifted_index"),
    "twice": Odd(Spec(results=repeated), "shifted_index"),
    "indices as text": Odd(Spec(results=as_strings), "shifted_index"),
    # warnings
    "unsorted": Odd(Spec(results=by_index), "unsorted", more=frozenset({"ignores_top_n"})),
    "ascending": Odd(Spec(results=ascending), "unsorted", more=frozenset({"ignores_top_n"})),
    "ignores top_n": Odd(Spec(ignores_top_n=True), "ignores_top_n"),
    "ranks the first top_n": Odd(Spec(results=cut_first), "ignores_top_n"),
    "refuses top_n": Odd(
        Spec(refuse=refuse_if(lambda asked: "top_n" in asked, 422, {"detail": "top_n: not permitted"})),
        "ignores_top_n",
    ),
    "truncates": Odd(Spec(scorer=cut(lexical, 2_500)), "truncates"),
    "truncates soon": Odd(Spec("jina", scorer=cut(semantic, 500)), "truncates"),
    "truncates late": Odd(Spec(scorer=cut(sharp, 20_000)), "truncates"),
    "drops low scores": Odd(Spec(results=without_low), "drops_documents"),
    "drops all but ten": Odd(Spec(results=first_ten), "drops_documents"),
    "drops blank documents": Odd(Spec(results=without_blank), "drops_documents", says="blank"),
    "drops blank documents, and counts without them": Odd(
        Spec("jina", results=counted_without_blank), "drops_documents", says="indices after it are shifted"
    ),
    "drops copies": Odd(Spec("voyage", results=without_copies), "drops_documents", says="same text"),
    "drops blank documents and copies": Odd(
        Spec(*TEI, results=without_blank_and_copies), "drops_documents", says="one repeated"
    ),
    "no score for blank documents": Odd(Spec(scorer=null_for_blank), "invalid_scores", says="blank"),
    "a batch limit": Odd(Spec(most=16), "batch_limit", says="max_documents=16"),
    "a batch limit, TEI": Odd(Spec(*TEI, most=10), "batch_limit", says="max_documents=10"),
    "a batch limit without a number": Odd(
        Spec("jina", refuse=refuse_if(lambda asked: len(asked["documents"]) > 50, 413, "Payload Too Large")),
        "batch_limit",
        says="max_documents=37",
    ),
    "a context limit": Odd(Spec(longest=4_000), "context_limit"),
    "a context limit, llama.cpp": Odd(
        Spec(
            "jina",
            refuse=refuse_if(
                lambda asked: max(map(len, map(text_of, asked["documents"]))) > 5_000, 500, TOO_LARGE
            ),
        ),
        "context_limit",
    ),
}
