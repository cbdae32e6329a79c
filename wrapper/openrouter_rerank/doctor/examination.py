"""Decide which requests to send to a server, and diagnose it by the outcomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec

from openrouter_rerank.defaults import KEY_VARIABLE, MODEL
from openrouter_rerank.dialects import Codec, codec
from openrouter_rerank.doctor import addresses, configuration, probes, refusals, verdicts
from openrouter_rerank.doctor.probes import (
    COPIES,
    DOCUMENTS,
    QUESTIONS,
    Ask,
    NoReply,
    Observation,
    Pause,
    Question,
    Reply,
    ResultRow,
    rows_of,
)
from openrouter_rerank.doctor.refusals import KnownRefusal, Reason
from openrouter_rerank.doctor.report import Configuration, Diagnosis, Problem, problem
from openrouter_rerank.readers import items, members, text

Step: TypeAlias = Ask | Pause
Outcome: TypeAlias = Reply | NoReply
Examination: TypeAlias = Generator[Step, Any, Diagnosis]

MAX_REQUESTS = 25

# Seconds after which optional probes are skipped, so that a slow server is diagnosed in reasonable time.
_LATE_AFTER = 20.0
_TRIES, _MORE_TRIES = 3, 5
_PAUSE = 0.4
_LONGEST_PAUSE = 2.0
_MANY = 300
_LONG = 32_000
_SHORTER = (8_000, 2_000)
# Errors that are transient on most servers.
_TRANSIENT = frozenset({Reason.RATE, Reason.LOADING, Reason.SERVER, Reason.PROXY})
# Refusals that do not depend on the model and the form of the request.
_SAME_FOR_ALL = frozenset({Reason.KEY, Reason.CREDITS, Reason.RATE, Reason.LOADING, Reason.PROXY})
_NO_ANSWER_HERE = frozenset({Reason.ABSENT, Reason.PAGE, Reason.OTHER_API, Reason.REDIRECT})
_SPLIT = "split longer documents: splitter=split_by_words(...), or --chunk-words"
_OTHER_HEADER = re.compile(r"\bsubscription key\b|\b(x-)?api-key\b", re.IGNORECASE)
_MODELS: Mapping[str, str] = {
    "openrouter": MODEL,
    "cohere-v2": "rerank-v3.5",
    "jina": "jina-reranker-v2-base-multilingual",
    "voyage": "rerank-2.5",
}


class Subject(NamedTuple):
    """The server to examine, and the settings of the examination."""

    url: str
    """As `addresses.complete` returns it."""
    shown: str
    """The original URL, for the report."""
    has_key: bool = False
    key_variable: str = KEY_VARIABLE
    """The environment variable with the key, for the lines to paste."""
    model: str | None = None
    dialect: str | None = None
    max_requests: int = MAX_REQUESTS


class _Finished(Exception):
    """Ends the examination after a problem, or at the limit of requests."""


class Ranked(NamedTuple):
    """An answer with results."""

    rows: list[ResultRow]
    reply: Reply


def examine(subject: Subject) -> Examination:
    """Examine a server: yield requests and pauses, receive their outcomes, and return the diagnosis."""
    return _Examiner(subject).run()


class _Examiner:
    """The state of an examination."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._problems: list[Problem] = []
        self._facts: dict[str, Any] = {}
        self._requests = 0
        self._elapsed = 0.0
        self._times: list[float] = []
        self._url = addresses.candidates(subject.url)[0].url
        self._codec: Codec | None = codec(subject.dialect) if subject.dialect else None
        self._knows_dialect = False
        self._model = subject.model
        self._asked_model: str | None = subject.model
        self._wraps = False
        self._max_documents: int | None = None
        self._observed: list[Observation] = []
        self._blank: Observation | None = None

    def run(self) -> Examination:
        """Run the examination to its end."""
        try:
            ranked = yield from self._find()
            yield from self._recognize(ranked)
            self._describe(ranked)
            yield from self._probe()
        except _Finished:
            pass
        self._judge()
        return self._diagnosis()

    # -------------------------------------------------------------------------------------------------------- requests

    def _send(self, ask: Ask) -> Generator[Step, Any, Outcome]:
        if self._requests >= self._subject.max_requests:
            self._facts["stopped"] = f"the limit of {self._subject.max_requests} requests was reached"
            raise _Finished
        self._requests += 1
        outcome = cast(Outcome, (yield ask))
        self._elapsed += outcome.seconds
        return outcome

    def _rank(
        self,
        url: str,
        body: Mapping[str, Any],
        read: Callable[[Reply], list[ResultRow] | None],
        *,
        with_key: bool = True,
        is_optional: bool = False,
    ) -> Generator[Step, Any, Ranked | KnownRefusal | NoReply]:
        """Send a request for a ranking; repeat it after transient errors, or only after a rate limit if it is optional."""
        tries = 0
        while True:
            outcome = yield from self._send(Ask("POST", url, body, with_key))
            if isinstance(outcome, NoReply):
                return outcome
            rows = read(outcome) if outcome.status < 300 else None
            if rows is not None:
                self._times.append(outcome.seconds)
                return Ranked(rows, outcome)
            refusal = refusals.of(outcome)
            tries += 1
            # A server that has answered before is retried more often.
            transient = {Reason.RATE} if is_optional else _TRANSIENT
            if refusal.reason not in transient or tries == (_MORE_TRIES if self._times else _TRIES):
                return refusal
            if refusal.reason is Reason.RATE:
                self._facts["rate_limited"] = True
            pause = min(_retry_after(outcome) or tries * _PAUSE, _LONGEST_PAUSE)
            self._elapsed += pause
            yield Pause(pause)

    def _get(self, url: str) -> Generator[Step, Any, Outcome]:
        return (yield from self._send(Ask("GET", url, is_quick=True)))

    def _report(self, code: str, says: str, do: str, **more: Any) -> None:
        self._problems.append(problem(code, says, do, **more))

    def _fail(self, code: str, says: str, do: str) -> _Finished:
        self._report(code, says, do)
        return _Finished()

    # --------------------------------------------------------------------------------------------------------- address

    def _find(self) -> Generator[Step, Any, Ranked]:
        """Find the address of the rerank operation."""
        site = addresses.documented_api(self._subject.url)
        if site is not None:
            self._url = site + addresses.PATH
            raise self._fail(
                "wrong_path",
                f"{self._subject.shown}: a site for people, not the API",
                f"use {site} as the base_url; `rerank doctor {site}` examines it",
            )
        waiting = addresses.candidates(self._subject.url)
        first: KnownRefusal | None = None
        pages = redirects = 0
        tried: set[str] = set()
        has_looked = False
        while waiting:
            candidate = waiting.pop(0)
            if candidate.url in tried:
                continue
            tried.add(candidate.url)
            outcome = yield from self._greet(candidate.url)
            if isinstance(outcome, Ranked):
                self._settle(candidate)
                return outcome
            if isinstance(outcome, NoReply):
                yield from self._explain_silence(outcome, candidate.url)
            elif outcome.reason not in _NO_ANSWER_HERE:
                self._settle(candidate)
                return (yield from self._overcome(outcome))
            else:
                first = first or outcome
                pages += outcome.reason in (Reason.PAGE, Reason.OTHER_API)
                target = addresses.redirected(candidate.url, outcome.reply.headers.get("location", ""))
                if outcome.reason is Reason.REDIRECT:
                    redirects += 1
                    if target is not None:
                        waiting.insert(0, candidate._replace(url=target, is_given=False))
            if not waiting and not has_looked:
                has_looked = True
                waiting += yield from self._look_up(tried)
        raise (yield from self._nothing_found(first, pages=pages, redirects=redirects))

    def _settle(self, candidate: addresses.Candidate) -> None:
        """Record the address of the operation."""
        self._url = candidate.url
        if candidate.is_given:
            return
        base = addresses.base_of(candidate.url)
        self._report(
            "wrong_path",
            f"{self._subject.shown}: /rerank is not there, but at {candidate.url}",
            f"write base_url={base!r}",
            severity="warning" if candidate.is_near else "error",
        )

    def _greet(self, url: str) -> Generator[Step, Any, Ranked | KnownRefusal | NoReply]:
        """Request a first ranking in the form that most servers accept, and then in other forms."""
        vendor = addresses.vendor_of(url)
        forced = self._codec or (codec(vendor) if vendor else None)
        if forced is not None:
            model = self._model or _MODELS.get(forced.name)
            self._asked_model = None if forced.model == "absent" else model
            body = self._body(QUESTIONS[0].query, DOCUMENTS, by=forced, model=model)
            outcome = yield from self._rank(url, body, self._read_any)
            if not isinstance(outcome, KnownRefusal) or outcome.reason not in (Reason.REQUEST, Reason.TEXTS):
                return outcome
        self._asked_model = self._model or MODEL
        outcome = yield from self._rank(url, _plain(self._asked_model), self._read_any)
        if isinstance(outcome, KnownRefusal) and outcome.reason in (
            Reason.TEXTS,
            Reason.REQUEST,
            Reason.OBJECTS,
        ):
            return (yield from self._try_forms(url, outcome))
        return outcome

    def _try_forms(
        self, url: str, refused: KnownRefusal
    ) -> Generator[Step, Any, Ranked | KnownRefusal | NoReply]:
        """Try `texts` instead of `documents`, and objects instead of strings."""
        query = QUESTIONS[0].query
        objects = {**_plain(self._asked_model), "documents": _objects(DOCUMENTS)}
        forms: list[Mapping[str, Any]] = [{"query": query, "texts": list(DOCUMENTS)}, objects]
        if refused.reason is Reason.OBJECTS:
            forms.reverse()
        for form in forms:
            outcome = yield from self._rank(url, form, self._read_any)
            if isinstance(outcome, Ranked):
                self._wraps = form is objects
                return outcome
            if refused.reason is Reason.TEXTS or _ends_search(outcome):
                # This error is about the request, not about its form.
                return outcome
        return refused

    def _read_any(self, reply: Reply) -> list[ResultRow] | None:
        """Return the results of an answer in any dialect."""
        for name in ("openrouter", "tei", "voyage", "jina"):
            rows = rows_of(codec(name), reply)
            if rows is not None:
                return rows
        return None

    def _explain_silence(self, outcome: NoReply, url: str) -> Generator[Step, Any, None]:
        """Report a request without a response; first try the other scheme, without the key, if that may be the cause."""
        if outcome.is_cut:
            found = yield from self._send(
                Ask("GET", addresses.with_other_scheme(url), with_key=False, is_quick=True)
            )
            speaks = isinstance(found, Reply) and refusals.of(found).reason is not Reason.TLS
            if speaks or (isinstance(found, NoReply) and found.code == "tls" and "certificate" in found.says):
                raise self._other_scheme(url)
        raise self._fail(outcome.code, f"{_bare(url)}: {outcome.says}", outcome.do)

    def _other_scheme(self, url: str) -> _Finished:
        other = addresses.with_other_scheme(url)
        says = f"{_bare(url)}: the port speaks {urlsplit(other).scheme}, not {urlsplit(url).scheme}"
        return self._fail("tls", says, f"write base_url={addresses.base_of(other)!r}")

    def _look_up(self, tried: set[str]) -> Generator[Step, Any, list[addresses.Candidate]]:
        """Return further addresses from the server's OpenAPI document."""
        reply = yield from self._get(addresses.origin(self._subject.url, "/openapi.json"))
        if not isinstance(reply, Reply) or reply.status != 200:
            return []
        paths = members(members(reply.json).get("paths"))
        if paths:
            self._facts["operations"] = sorted(map(str, paths))[:20]
        ranking = [path for path in paths if path.rstrip("/").endswith(addresses.PATH)]
        found = [addresses.origin(self._subject.url, path) for path in ranking]
        return [addresses.Candidate(url, is_near=False) for url in found if url not in tried][:3]

    def _nothing_found(
        self, first: KnownRefusal | None, *, pages: int, redirects: int
    ) -> Generator[Step, Any, _Finished]:
        """Report that there is no rerank operation, and what the server offers instead."""
        url = self._subject.url
        listed = yield from self._list_models(self._url)
        if listed:
            self._facts["models"] = listed
        page = yield from self._get(url)
        is_page = isinstance(page, Reply) and page.status == 200
        shown = self._subject.shown
        says = f" ({first.says})" if first else ""
        if redirects and not pages and not listed and first is not None:
            location = first.reply.headers.get("location", "")
            return self._fail(
                "wrong_path",
                f"{shown}: it redirects to {_bare(location)}",
                "use the address of the API itself; redirects are not followed, as they would send the key along",
            )
        if not (listed or pages or "operations" in self._facts):
            listed = yield from self._find_operations()
        if listed or "operations" in self._facts:
            kind = "an API without a rerank operation"
        elif pages or (isinstance(page, Reply) and is_page and page.is_html):
            kind = "a web page or another API"
        elif addresses.names_other(url) or is_page:
            kind = "another API"
        else:
            return self._fail(
                "wrong_path",
                f"{shown}: no rerank operation at this address or near it{says}",
                "check the address in the server's documentation; pass the base URL, or the URL that ends in /rerank",
            )
        return self._fail(
            "not_rerank",
            f"{shown}: {kind}{says}",
            "use the address of a rerank server, or start this one with a reranker",
        )

    def _find_operations(self) -> Generator[Step, Any, list[str]]:
        """Return the operations of other APIs; an empty request is refused before it costs anything."""
        for name in ("/chat/completions", "/embeddings", "/embed"):
            for place in addresses.siblings(self._url, name):
                reply = yield from self._send(Ask("POST", place, {}, is_quick=True))
                if isinstance(reply, Reply) and refusals.of(reply).reason not in (
                    Reason.ABSENT,
                    Reason.REDIRECT,
                    Reason.PAGE,
                    Reason.PROXY,
                ):
                    self._facts["operations"] = [urlsplit(place).path]
                    return [name]
        return []

    # ------------------------------------------------------------------------------------------------------- refusals

    def _overcome(self, refusal: KnownRefusal) -> Generator[Step, Any, Ranked]:
        """Get a ranking after a refusal, or report the problem."""
        if refusal.reason in (Reason.MODEL, Reason.REQUEST):
            ranked = yield from self._find_model(refusal)
            if ranked is not None:
                return ranked
        raise self._refused(refusal)

    def _stopped(self, outcome: KnownRefusal | NoReply, while_doing: str = "") -> _Finished:
        """Report the problem of a request without a ranking."""
        if isinstance(outcome, KnownRefusal):
            return self._refused(outcome, while_doing)
        return self._fail(outcome.code, f"{_bare(self._url)}: {outcome.says}", outcome.do)

    def _refused(self, refusal: KnownRefusal, while_doing: str = "") -> _Finished:
        """Report the problem of a refusal."""
        reason, says = refusal.reason, f"{_bare(self._url)}: {refusal.says}{while_doing}"
        variable = self._subject.key_variable
        if reason is Reason.TLS:
            return self._other_scheme(self._url)
        if reason is Reason.KEY:
            self._facts["key"] = "needed"
            if self._subject.has_key:
                do = f"check the key in {variable}, and what its account allows"
                if (
                    _OTHER_HEADER.search(says)
                    or "basic" in refusal.reply.headers.get("www-authenticate", "").lower()
                ):
                    do = "the server wants the key in another header than Authorization: Bearer; pass extra_headers={...}"
                return self._fail("wrong_key", says, do)
            return self._fail("needs_key", says, f"set {variable}, or name another variable with --key-env")
        code, do = refusals.PROBLEMS[reason]
        return self._fail(code, says, do)

    def _find_model(self, refusal: KnownRefusal) -> Generator[Step, Any, Ranked | None]:
        """Find a model that ranks: try the server's list, then the default models of vendors."""
        listed = yield from self._list_models(self._url)
        if listed:
            self._facts["models"] = listed
        given = self._subject.model
        about_model = refusal.reason is Reason.MODEL
        wording = f"{_bare(self._url)}: {refusal.says}"
        names = f"one of {', '.join(listed[:8])}" if listed else "the name in the server's documentation"
        if given is not None:
            if about_model:
                raise self._fail("unknown_model", wording, f"pass --model with {names}")
            return None
        rerankers = sum("rank" in name.lower() for name in listed)
        by_vendor = [] if listed else [name for name in _MODELS.values() if name != self._asked_model]
        tries: list[str | None] = [*listed[:rerankers][:3], *listed[rerankers:][:2], None, *by_vendor]
        for name in tries if about_model or listed else tries[:1]:
            outcome = yield from self._rank(self._url, _plain(name), self._read_any)
            if isinstance(outcome, Ranked):
                self._model = self._asked_model = name
                return outcome
            if _ends_search(outcome):
                raise self._stopped(outcome)
        if about_model:
            raise self._fail("unknown_model", wording, f"pass --model with {names}")
        return None

    def _list_models(self, url: str) -> Generator[Step, Any, list[str]]:
        """Return the names of the server's models from `/models`, if it has that."""
        for place in addresses.siblings(url, "/models"):
            reply = yield from self._get(place)
            if not isinstance(reply, Reply) or reply.status != 200:
                continue
            body = reply.json
            listed = members(body).get("data", members(body).get("models", body))
            if isinstance(listed, list):
                items = [members(item) for item in cast("list[object]", listed)]
                found = [text(item.get("id", item.get("name"))) for item in items]
                names = [name for name in found if name]
                return sorted(names, key=lambda name: "rank" not in name.lower())[:50]
        return []

    # --------------------------------------------------------------------------------------------------------- dialect

    def _recognize(self, ranked: Ranked) -> Generator[Step, Any, None]:
        """Determine the dialect that works best with this client."""
        self._observe(QUESTIONS[0], DOCUMENTS, ranked.rows)
        body = ranked.reply.json
        vendor = addresses.vendor_of(self._url)
        given = self._subject.dialect
        if isinstance(body, list):
            found = "jina" if _is_of_sglang(ranked.reply) else "tei"
        elif "results" not in members(body):
            found = "voyage"
        elif vendor is not None:
            found = vendor
        else:
            takes = yield from self._takes_objects()
            found = _flat_dialect(body, takes_objects=takes)
        if given is not None and _shape(given) == _shape(found):
            found = given
        elif given is not None:
            self._report(
                "not_rerank",
                f"{_bare(self._url)}: it speaks the dialect {found!r}, not {given!r}",
                f"pass dialect={found!r} (--dialect {found})",
            )
        for name in dict.fromkeys(
            (found, *(("jina", "cohere-v2", "openrouter") if _shape(found) == "results" else ()))
        ):
            self._codec = codec(name)
            if (yield from self._works()):
                break
        else:
            self._codec = codec(found)
        self._knows_dialect = True

    def _takes_objects(self) -> Generator[Step, Any, bool]:
        """Find out if the server accepts documents as objects and reads their texts."""
        question, documents = _moved(QUESTIONS[0], 5)
        body = {**_plain(self._asked_model), "query": question.query, "documents": _objects(documents)}
        outcome = yield from self._rank(self._url, body, lambda reply: rows_of(codec("openrouter"), reply))
        if not isinstance(outcome, Ranked) or len(outcome.rows) != len(self._observed[0].rows):
            self._facts["objects"] = False
            return False
        observation = Observation(question.query, question.relevant, documents, outcome.rows)
        whole = self._observed[0]
        # A server that does not read the text of objects gives them all the same score.
        takes = len(set(observation.scores.values())) > 1 or len(set(whole.scores.values())) < 2
        if takes:
            self._observed.append(observation)
        self._facts["objects"] = takes
        if self._wraps:
            self._facts["strings"] = False
        return takes

    def _works(self) -> Generator[Step, Any, bool]:
        """Ask a question in the dialect; False if the server refuses its form."""
        by = cast(Codec, self._codec)
        question, documents = _moved(QUESTIONS[1], 1)
        names = [self._model]
        if by.model == "required":
            names = [
                self._model
                or (None if by.name == "openrouter" and self._asked_model == MODEL else self._asked_model)
            ]
        elif by.model == "optional" and self._model is None:
            names = [None, self._asked_model]
        for name in dict.fromkeys(names):
            body = self._body(question.query, documents, by=by, model=name)
            outcome = yield from self._rank(self._url, body, lambda reply: rows_of(by, reply))
            if isinstance(outcome, Ranked):
                self._model = name
                self._observe(question, documents, outcome.rows)
                return True
            if isinstance(outcome, NoReply) or outcome.reason in _TRANSIENT:
                raise self._stopped(outcome, ", although the first request was answered")
        return False

    # ---------------------------------------------------------------------------------------------------------- probes

    def _probe(self) -> Generator[Step, Any, None]:
        """Send requests that test the ranking, then requests that find limits."""
        yield from self._ask(QUESTIONS[2], 3)
        yield from self._ask(QUESTIONS[3], 6)
        yield from self._ask(QUESTIONS[0], 0)
        if not self._facts.get("objects"):
            yield from self._ask(QUESTIONS[0], 5)
        yield from self._ask(QUESTIONS[4], 4)
        yield from self._ask(QUESTIONS[1], 4)
        if verdicts.is_unclear(self._observed) and not self._is_late():
            yield from self._ask_copies()
        yield from self._ask_top_n()
        yield from self._ask_blank()
        yield from self._check_key()
        yield from self._check_many()
        yield from self._check_long()
        if "models" not in self._facts and not self._is_late():
            listed = yield from self._list_models(self._url)
            if listed:
                self._facts["models"] = listed

    def _ask(self, question: Question, by: int) -> Generator[Step, Any, None]:
        moved, documents = _moved(question, by)
        outcome = yield from self._query(moved.query, documents)
        if not isinstance(outcome, Ranked):
            raise self._stopped(outcome, ", although other requests were answered")
        self._observe(moved, documents, outcome.rows)

    def _ask_copies(self) -> Generator[Step, Any, None]:
        """Use documents as queries: even a weak model recognizes a copy of the query."""
        for by, place in enumerate(COPIES):
            yield from self._ask(Question(DOCUMENTS[place], place), by)

    def _query(
        self, query: str, documents: Sequence[str], top_n: int | None = None, **how: bool
    ) -> Generator[Step, Any, Ranked | KnownRefusal | NoReply]:
        by = cast(Codec, self._codec)
        body = self._body(query, documents, by=by, model=self._model, top_n=top_n)
        return (yield from self._rank(self._url, body, lambda reply: rows_of(by, reply), **how))

    def _body(
        self, query: str, documents: Sequence[str], *, by: Codec, model: str | None, top_n: int | None = None
    ) -> Mapping[str, Any]:
        fields: dict[str, Any] = {"query": query, "documents": list(documents), "top_n": top_n}
        if by.model != "absent":
            fields["model"] = model or (MODEL if by.model == "required" else None)
        body = by.encode(fields)
        # Only the default dialect sends objects unchanged.
        return {**body, "documents": _objects(documents)} if self._wraps and by.name == "openrouter" else body

    def _observe(
        self,
        question: Question,
        documents: Sequence[str],
        rows: Sequence[ResultRow],
        top_n: int | None = None,
    ) -> None:
        self._observed.append(Observation(question.query, question.relevant, documents, rows, top_n))

    def _ask_top_n(self) -> Generator[Step, Any, None]:
        by = cast(Codec, self._codec)
        if by.top_n is None:
            return
        question, documents = _moved(QUESTIONS[3], 6)
        outcome = yield from self._query(question.query, documents, 2)
        if isinstance(outcome, Ranked):
            self._observe(question, documents, outcome.rows, 2)
        elif isinstance(outcome, KnownRefusal) and outcome.reason not in _TRANSIENT:
            self._report(
                "ignores_top_n",
                f"top_n: the server refuses it: {outcome.says}",
                "leave top_n out, and cut the ranking yourself",
            )

    def _ask_blank(self) -> Generator[Step, Any, None]:
        """Find out if a blank document and a duplicate each get a result."""
        if self._is_late():
            return
        question = QUESTIONS[2]
        blank = "" if cast(Codec, self._codec).takes_empty else " "
        documents = [blank, *DOCUMENTS, DOCUMENTS[question.relevant]]
        outcome = yield from self._query(question.query, documents, is_optional=True)
        if isinstance(outcome, Ranked):
            self._facts["blank"] = "taken"
            self._blank = Observation(question.query, None, documents, outcome.rows)
        elif isinstance(outcome, KnownRefusal) and outcome.reason not in _TRANSIENT:
            self._facts["blank"] = "refused"

    def _check_key(self) -> Generator[Step, Any, None]:
        if not self._subject.has_key:
            self._facts["key"] = "not needed"
            return
        outcome = yield from self._query(QUESTIONS[0].query, DOCUMENTS[:2], with_key=False)
        if isinstance(outcome, Ranked):
            self._facts["key"] = "not needed"
        elif isinstance(outcome, KnownRefusal) and outcome.reason is Reason.KEY:
            self._facts["key"] = "needed and taken"

    def _is_late(self) -> bool:
        return self._elapsed > _LATE_AFTER

    def _check_many(self) -> Generator[Step, Any, None]:
        """Find the maximum number of documents in a request."""
        by = cast(Codec, self._codec)
        passing, refused = len(DOCUMENTS), 0
        says = ""
        count = _MANY
        while not self._is_late() and count > passing:
            documents = probes.many(count)
            outcome = yield from self._query(QUESTIONS[0].query, documents)
            if isinstance(outcome, Ranked):
                self._observed.append(Observation(QUESTIONS[0].query, None, documents, outcome.rows))
                passing = count
                break
            if isinstance(outcome, NoReply) or outcome.reason in _TRANSIENT - {Reason.SERVER}:
                self._facts["documents_note"] = f"{count} documents: {outcome.says}"
                break
            refused, says = count, outcome.says
            named = _limit_in(outcome.says, count)
            count = named if named and named < count else count // 2
        self._facts["documents"] = passing
        if not refused:
            return
        self._max_documents = passing
        if passing < by.max_documents:
            self._report(
                "batch_limit",
                f"documents: {passing} in one request are accepted, {refused} are not: {says}",
                f"pass max_documents={passing}; longer lists are then sent in parts",
            )

    def _check_long(self) -> Generator[Step, Any, None]:
        """Find the maximum length of a document, and check that its end is read."""
        refused: tuple[int, str] | None = None
        taken = 0
        cut_at = 0
        for size in (_LONG, *_SHORTER):
            if self._is_late():
                break
            documents = probes.long_texts(size).documents()
            outcome = yield from self._query(probes.LONG_QUERY, documents)
            if isinstance(outcome, Ranked):
                long = Observation(probes.LONG_QUERY, None, documents, outcome.rows)
                self._observed.append(long)
                taken = taken or size
                if not verdicts.is_cut(long):
                    break
                cut_at = size
            elif isinstance(outcome, NoReply) or outcome.reason in _TRANSIENT - {Reason.SERVER}:
                self._facts["characters_note"] = f"documents of {size:,} characters: {outcome.says}"
            else:
                refused = (size, outcome.says)
        if taken:
            self._facts["characters"] = taken
            self._facts["cuts"] = bool(cut_at)
        if refused is not None:
            limit = (
                f"{taken:,} characters are accepted, {refused[0]:,} are not"
                if taken
                else f"{refused[0]:,} characters are too many"
            )
            self._report(
                "context_limit",
                f"documents: {limit}: {refused[1]}",
                _SPLIT,
            )
        if cut_at:
            self._report(
                "truncates",
                f"documents: the end of a text of {cut_at:,} characters has no effect on its score",
                _SPLIT,
            )

    # --------------------------------------------------------------------------------------------------------- results

    def _describe(self, ranked: Ranked) -> None:
        """Record facts from the first answer."""
        reply = ranked.reply
        body = members(reply.json)
        software = _software(reply)
        if software:
            self._facts["software"] = software
        named = text(body.get("model"))
        if named and named[:1] != "/":
            self._facts["model"] = named
        usage = cast(Codec, self._codec).decode(reply.headers, reply.json) or {}
        self._facts["usage"] = sorted(members(usage.get("usage")))
        echo = next((row.echo for row in ranked.rows if row.echo is not None), None)
        self._facts["echo"] = echo is not None

    def _judge(self) -> None:
        """Add the problems that the rankings prove."""
        if not self._observed:
            return
        found = verdicts.judge(self._observed)
        if self._blank is not None and {one.code for one in found} <= {"unsorted", "ignores_top_n"}:
            found += verdicts.judge_blank(self._blank)
        if any(one.severity == "error" for one in found):
            # Wrong scores prove nothing about the end of a text.
            self._problems = [one for one in self._problems if one.code != "truncates"]
            self._facts.pop("cuts", None)
        self._problems += found
        first, asked = verdicts.separation(self._observed)
        if asked:
            self._facts["relevant_first"] = f"{first} of {asked}"
            self._facts["separation"] = "clear" if first * 5 >= asked * 4 else "no clear separation"
        scale = verdicts.scale_of(self._observed)
        if scale is not None:
            scores = [score for one in self._observed for score in one.scores.values()]
            self._facts["scale"] = scale
            self._facts["scores"] = [min(scores), max(scores)]
        self._facts["seconds_per_call"] = round(median(self._times), 4)

    def _diagnosis(self) -> Diagnosis:
        base = addresses.base_of(self._url)
        known = self._codec if self._knows_dialect else None
        return Diagnosis(
            url=self._subject.shown,
            base_url=base,
            dialect=known.name if known else "unknown",
            problems=tuple(sorted(self._problems, key=lambda one: one.severity != "error")),
            facts=self._facts,
            requests=self._requests,
            elapsed_s=round(self._elapsed, 3),
            configuration=self._configuration(base, known) if known else Configuration(),
        )

    def _configuration(self, base: str, by: Codec) -> Configuration:
        limit = self._max_documents
        return configuration.lines_for(
            base,
            by,
            model=self._model,
            max_documents=limit if limit is not None and limit < by.max_documents else None,
            key_variable=self._subject.key_variable
            if self._subject.has_key and self._facts.get("key") != "not needed"
            else None,
            takes_strings=not self._wraps,
        )


# ---------------------------------------------------------------------------------------------------------------- helpers


def _ends_search(outcome: KnownRefusal | NoReply) -> bool:
    """Return True if other models and forms would have the same outcome."""
    return isinstance(outcome, NoReply) or outcome.reason in _SAME_FOR_ALL


def _plain(model: str | None) -> dict[str, Any]:
    """Return a request that most dialects accept."""
    named = {} if model is None else {"model": model}
    return {**named, "query": QUESTIONS[0].query, "documents": list(DOCUMENTS)}


def _objects(documents: Sequence[str]) -> list[dict[str, str]]:
    return [{"text": document} for document in documents]


def _moved(question: Question, by: int) -> tuple[Question, list[str]]:
    """Return the question for the rotated documents, and these documents."""
    return question._replace(relevant=(question.relevant - by) % len(DOCUMENTS)), probes.rotated(by)


def _shape(dialect: str) -> str:
    return codec(dialect).results or "list"


def _flat_dialect(body: object, *, takes_objects: bool) -> str:
    """Return the dialect of an answer with results.

    The default dialect has the most features, so it is preferred if all of it works. Jina's answers have an `object`.
    """
    fields = members(body)
    versioned = members(members(fields.get("meta")).get("api_version"))
    if takes_objects:
        has_own = fields.keys() & {"id", "provider"}
        if "object" in fields and not has_own:
            return "jina"
        return "cohere-v2" if versioned and "model" not in fields else "openrouter"
    return "cohere-v2" if codec("cohere-v2").is_answer(body) else "jina"


def _is_of_sglang(reply: Reply) -> bool:
    """Return True for a list of results as SGLang sends it: an answer in another form than the request."""
    return bool(items(reply.json)) and codec("jina").is_answer(reply.json)


def _software(reply: Reply) -> str | None:
    """Return the server's software, if the answer shows it."""
    headers, body = reply.headers, members(reply.json)
    name = str(body.get("id"))
    for found, is_there in (
        ("LiteLLM", any(header.startswith("x-litellm") for header in headers)),
        ("TEI", "x-compute-type" in headers),
        ("llama.cpp", "llama.cpp" in headers.get("server", "")),
        ("infinity", name.startswith("infinity-")),
        # Other servers use such ids too, but do not count tokens.
        ("SGLang", _is_of_sglang(reply)),
        ("vLLM", name.startswith(("score-", "rerank-")) and "total_tokens" in members(body.get("usage"))),
    ):
        if is_there:
            return found
    return headers.get("server")


def _retry_after(reply: Reply) -> float | None:
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def _limit_in(words: str, sent: int) -> int | None:
    """Return the limit that an error names: the largest number below the number of documents sent."""
    words = words.partition("(")[2]
    numbers = [int(found) for found in re.findall(r"(?<![\d.])\d{1,6}(?![\d.]*\d)", words)]
    return max((number for number in numbers if 0 < number < sent), default=None)


def _bare(url: str) -> str:
    """Return the URL without its query, which may contain a secret."""
    return url.partition("?")[0]


def with_elapsed(diagnosis: Diagnosis, seconds: float) -> Diagnosis:
    """Return the diagnosis with the measured duration."""
    return msgspec.structs.replace(diagnosis, elapsed_s=round(seconds, 3))
