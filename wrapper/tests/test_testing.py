"""The test kit for other projects: the fakes, the servers with faults, the pytest plugin."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import entry_points
from itertools import repeat
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

import openrouter_rerank.testing
from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    AsyncReranker,
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    InvalidResponseError,
    Ranking,
    RateLimitError,
    RequestTimeoutError,
    Reranker,
    RerankError,
    ResponseError,
    Retries,
    ServerError,
    StatusError,
    Usage,
)
from openrouter_rerank.testing import (
    FAULTS,
    AsyncFakeReranker,
    End,
    FakeAnswer,
    FakeReranker,
    InProcess,
    Request,
    Script,
    answer,
    faulty,
    head,
    results,
    serving,
)
from shells import KEY, LONG, SOON, TIMEOUTS, Shell

DOCS = Path(__file__).parents[2] / "docs" / "testing.md"

Fake = FakeReranker | AsyncFakeReranker


@pytest.fixture(params=[FakeReranker, AsyncFakeReranker], ids=["sync", "async"])
def fake_of(request: pytest.FixtureRequest) -> Callable[..., Fake]:
    """Each of the two fakes."""
    return request.param


def rank(reranker: Any, *arguments: Any, **options: Any) -> Ranking[Any]:
    """Return a call of either kind of reranker, by default for the query "q" and the documents "a", "b" and "c"."""
    called = reranker.rerank(*(arguments or ("q", ["a", "b", "c"])), **options)
    return asyncio.run(called) if inspect.iscoroutine(called) else called


# The fake


def test_a_fake_is_a_reranker() -> None:
    """A fake is of the class that it stands in for, and the two fakes take the same arguments."""
    assert issubclass(FakeReranker, Reranker)
    assert issubclass(AsyncFakeReranker, AsyncReranker)
    assert inspect.signature(FakeReranker) == inspect.signature(AsyncFakeReranker)


def test_words_in_common(fake_of: Callable[..., Fake]) -> None:
    """Unscripted it ranks by words in common, alike each time; equal scores stand in the documents' order."""
    fake = fake_of()
    documents = ["Bananas are yellow.", "Where BERLIN is", "Berlin, where?", "Berlin"]

    rankings = [rank(fake, "where is Berlin", documents) for _ in range(2)]

    assert rankings[0].indices == rankings[1].indices == [1, 2, 3, 0]
    assert rankings[0].scores == [1.0, 2 / 3, 1 / 3, 0.0]


@pytest.mark.parametrize(
    "scores",
    [
        {"a": 0.1, "b": 0.9, "c": -2},
        defaultdict(float, {"a": 0.1, "b": 0.9, "c": -2}),
        [0.1, 0.9, -2],
        lambda query, text: {"qa": 0.1, "qb": 0.9, "qc": -2}[query + text],
    ],
    ids=["mapping", "defaultdict", "sequence", "function"],
)
def test_scores(scores: Any, fake_of: Callable[..., Fake]) -> None:
    """Scores come by text, by a function or in order; `top_n` and `min_score` hold as ever."""
    fake = fake_of(scores)

    assert rank(fake).hits == rank(fake_of(script=[scores])).hits
    assert rank(fake).scores == [0.9, 0.1, -2]
    assert rank(fake, "q", ["a", "b", "c"], top_n=2).indices == [1, 0]
    assert rank(fake, "q", ["a", "b", "c"], min_score=0.1).indices == [1, 0]


def test_images_have_scores_too() -> None:
    """A document without a text is scored by its image, and comes back as the caller's own object."""
    image = {"image": "https://images.example.com/a.png"}

    ranking = FakeReranker({"a": 0.1, image["image"]: 0.2}).rerank("q", ["a", image])

    assert ranking[0].document is image


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ({"a": 1, "b": 1}, "no score for the document 'c'"),
        ([1, 2], "2 scores for 3 documents"),
        ([1, 2, float("nan")], "nan is not a score"),
        ([1, 2, True], "True is not a score"),
        ([1, 2, "3"], "'3' is not a score"),
    ],
)
def test_scores_that_cannot_be(scores: Any, says: str, fake_of: Callable[..., Fake]) -> None:
    """A script without a usable score raises ValueError: the test is wrong."""
    with pytest.raises(ValueError, match=says):
        rank(fake_of(scores))


@pytest.mark.parametrize("outcome", ["status_502_html", 7, ValueError("down")], ids=str)
def test_a_script_that_says_nothing(outcome: Any) -> None:
    """A script's item that is not scores, an error of ours or a fault is a TypeError that names what is allowed."""
    with pytest.raises(TypeError, match=r"a RerankError, a FakeAnswer or a fault such as FAULTS\["):
        rank(FakeReranker(script=[outcome]))


CLASSES = [
    BadRequestError,
    APIConnectionError,
    InsufficientCreditsError,
    InvalidResponseError,
    RateLimitError,
    RequestTimeoutError,
    APITimeoutError,
    AuthenticationError,
    ServerError,
]


@pytest.mark.parametrize("kind", CLASSES)
def test_scripted_errors(kind: type[RerankError], fake_of: Callable[..., Fake]) -> None:
    """The second call ends in the error of the script, at once, with all that a real one has; the third is well."""
    fake = fake_of([3, 2, 1], script=[None, kind])

    assert rank(fake).indices == [0, 1, 2]
    with pytest.raises(kind) as caught:
        rank(fake)
    assert type(caught.value) is kind
    assert len(caught.value.attempts) == 1
    assert caught.value.elapsed < 10
    assert "fake.invalid" in str(caught.value)
    assert rank(fake).indices == [0, 1, 2]
    assert len(fake.calls) == 3


def test_every_error_can_be_scripted() -> None:
    """The table above has each class of error that a server brings about and no subclass stands for."""
    known = {
        error
        for error in vars(openrouter_rerank.errors).values()
        if isinstance(error, type) and issubclass(error, RerankError)
    }
    missing = known - set(CLASSES)

    for error in missing:
        with pytest.raises(TypeError, match="a server cannot cause it"):
            FakeReranker(script=[error]).rerank("q", ["a"])
    assert {RerankError, ResponseError, StatusError} <= missing


def test_an_error_with_details(fake_of: Callable[..., Fake]) -> None:
    """The attributes of a scripted error are those of the error that is raised."""
    told = RequestTimeoutError(
        "slow down", status=408, retry_after=2.5, request_id="gen-1", metadata={"provider_name": "P"}
    )

    with pytest.raises(APITimeoutError, match="slow down") as caught:
        rank(fake_of(script=[told]))

    error = caught.value
    assert isinstance(error, StatusError)
    assert (error.status, error.retry_after, error.request_id, error.provider) == (408, 2.5, "gen-1", "P")
    assert error.code == 408


def test_an_answer_that_is_none(fake_of: Callable[..., Fake]) -> None:
    """The body of a scripted InvalidResponseError is what the server answers."""
    with pytest.raises(InvalidResponseError, match="not JSON") as caught:
        rank(fake_of(script=[InvalidResponseError("", body=b"<p>hello")]))

    assert caught.value.body == b"<p>hello"


def test_an_error_that_contradicts_itself() -> None:
    """A status that a call would tell as another class is refused."""
    with pytest.raises(ValueError, match="RateLimitError: a call with the status 500 raises ServerError"):
        FakeReranker(script=[RateLimitError("", status=500)]).rerank("q", ["a"])


@pytest.mark.parametrize(
    "name",
    [
        "status_529",
        "ok_html",
        "index_negative",
        "gzip_garbage",
        "dropped_in_body",
        "silent",
        "trickling_headers",
    ],
)
def test_scripted_faults(name: str, fake_of: Callable[..., Fake]) -> None:
    """A fault can stand in a script, at any place of it, and ends in its error."""
    fault = FAULTS[name]
    assert fault.ends
    fake = fake_of([3, 2, 1], script=[None, fault], timeout=LONG)

    rank(fake)
    with pytest.raises(fault.ends):
        rank(fake, timeout=TIMEOUTS[0] if fault.ends is APITimeoutError else None)


def test_a_scripted_fault_is_the_first_of_its_kind() -> None:
    """A fault that servers have once is there wherever the script has it."""
    fault = FAULTS["status_429_once"]
    fake = FakeReranker(script=[None, fault, None, fault])

    rank(fake)
    for _ in range(2):
        with pytest.raises(RateLimitError):
            rank(fake)
        rank(fake)


def test_retries_take_their_way(fake_of: Callable[..., Fake]) -> None:
    """With retries each attempt takes the next part of the script, and is a call that is kept."""
    fake = fake_of(script=[ServerError, APIConnectionError], retries=Retries(first_wait=0))

    ranking = rank(fake)

    assert [attempt.status for attempt in ranking.attempts] == [503, None, 200]
    assert len(fake.calls) == 3


def test_a_script_without_end(fake_of: Callable[..., Fake]) -> None:
    """A script may be any iterable; a new one takes the place of what is left."""
    fake = fake_of(script=repeat(ServerError))
    for _ in range(3):
        with pytest.raises(ServerError):
            rank(fake)

    fake.script([])

    assert len(rank(fake)) == 3


def test_what_is_kept_of_a_call(fake_of: Callable[..., Fake]) -> None:
    """Query, documents as they were sent, and all options; no documents and wrong arguments send nothing."""
    fake = fake_of()
    rank(fake, "q", [{"text": "a"}, "b"], top_n=1, provider={"only": ["Cohere"]}, user="u", model="a/b")
    rank(fake, "q", [])
    with pytest.raises(ValueError, match="top_n"):
        rank(fake, "q", ["a"], top_n=0)

    [call] = fake.calls
    assert (call.query, call.documents) == ("q", [{"text": "a"}, "b"])
    assert call.options == {"model": "a/b", "top_n": 1, "provider": {"only": ["Cohere"]}, "user": "u"}


def test_what_an_answer_says(fake_of: Callable[..., Fake]) -> None:
    """Usage, model and provider are as set, for all answers or for one; what is not set is not known."""
    silent = rank(fake_of(model="a/b"))
    assert (silent.usage, silent.model, silent.provider) == (Usage(), "a/b", None)

    one = FakeAnswer(billed=Usage(cost=0.5), served_provider="Q", scores=[0, 0, 1])
    billed = Usage(cost=0.002, search_units=1)
    fake = fake_of(billed=billed, served_model="m", served_provider="P", script=[one])
    rankings = [rank(fake), rank(fake)]

    assert [ranking.usage for ranking in rankings] == [Usage(cost=0.5), billed]
    assert [ranking.provider for ranking in rankings] == ["Q", "P"]
    assert [ranking.model for ranking in rankings] == ["m", "m"]
    assert rankings[0].indices[0] == 2


def test_its_answers_hold_to_the_contract() -> None:
    """The low-level client reads all of an answer, the echo of each document included."""
    documents = ["a", {"text": "b", "image": "https://images.example.com/b.png"}]
    ranking = FakeReranker(billed=Usage(total_tokens=3), served_provider="P").rerank("a", documents)

    response = ranking.response
    assert re.fullmatch(r"gen-rerank-\d+-\w{20}", str(response.id))
    assert [result.document.text for result in response.results] == ["a", "b"]
    assert response.results[1].document.image == "https://images.example.com/b.png"


def test_a_fake_on_loopback() -> None:
    """A fake can be served to other processes; what it does not know is a 404."""
    fake = FakeReranker({"a": 0.1, "b": 0.2})
    with serving(fake.play) as server:
        with Reranker(KEY, base_url=server.url) as reranker:
            assert reranker.rerank("q", ["a", "b"]).indices == [1, 0]
        assert httpx.get(f"{server.url}/other", trust_env=False).status_code == 404
    assert len(fake.calls) == 1


def test_a_fake_on_trio() -> None:
    """The async fake runs on trio too."""
    pytest.importorskip("trio", reason="trio is not installed")
    fake = AsyncFakeReranker(script=[None, APITimeoutError])

    assert len(anyio.run(fake.rerank, "q", ["a"], backend="trio")) == 1
    with pytest.raises(APITimeoutError):
        anyio.run(fake.rerank, "q", ["a"], backend="trio")


async def test_calls_at_a_time() -> None:
    """Calls of one fake may run at a time, and each is kept."""
    fake = AsyncFakeReranker()

    rankings = await asyncio.gather(*(fake.rerank(f"{n}", [f"{n}", "x"]) for n in range(200)))

    assert all(ranking.scores == [1, 0] for ranking in rankings)
    assert sorted(int(call.query) for call in fake.calls) == list(range(200))


# Faults and scripts

SCENARIOS = [
    "status_429_forever",
    "status_429_once",
    "status_500_forever",
    "status_503_retry_after_an_hour",
    "slow",
    "dropped_once",
    "status_524",
    "status_529",
    "status_502_html",
    "status_400_detail",
    "ok_error_int_code",
    "ok_html",
    "index_beyond",
    "index_negative",
    "index_thrice",
    "score_nan",
    "score_text",
    "unsorted",
    "document_missing",
    "document_null",
    "trickling_body",
]
"""The faults by which other clients were measured."""


def test_the_catalogue_has_the_scenarios() -> None:
    """Each scenario by which other clients were measured is a fault of the catalogue."""
    assert set(SCENARIOS) <= set(FAULTS)


@pytest.mark.skipif(not DOCS.is_file(), reason="there are no docs away from the repository")
def test_the_table_of_the_docs() -> None:
    """The table of the docs is the catalogue: each fault with what the server does and how a call ends."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    ends = {name: f"`{fault.ends.__name__}`" if fault.ends else "a ranking" for name, fault in FAULTS.items()}

    assert [row for row in rows if row[0] in FAULTS] == [
        (name, fault.says, ends[name]) for name, fault in FAULTS.items()
    ]


def test_names_of_faults() -> None:
    """A name may have hyphens; one that is none is answered by the nearest; a fault may be passed itself."""
    with (
        faulty("reset-in-body") as server,
        Reranker(KEY, base_url=server.url) as reranker,
        pytest.raises(APIConnectionError),
    ):
        reranker.rerank("q", ["a"])
    with pytest.raises(ValueError, match="did you mean 'index_negative'"):
        InProcess("index_negativ")
    with pytest.raises(ValueError, match="the faults are status_429_forever, "):
        InProcess("qqq")
    with faulty(FAULTS["ok_empty"]) as server:
        assert httpx.post(server.url, trust_env=False).content == b""


def test_what_does_not_show_in_process() -> None:
    """A fault that needs a socket says so, and where to have it."""
    with pytest.raises(ValueError, match=r"use faulty\('dropped_while_idle'\)"):
        InProcess("dropped_while_idle")


def test_a_script_that_fails(fake_of: Callable[..., Fake]) -> None:
    """An error of a script is raised by the call in process, and by the block on loopback."""

    def wrong(_: Request) -> Script:
        yield b"HTTP/1.1 "
        message = "the script is wrong"
        raise LookupError(message)

    client = httpx.Client if fake_of is FakeReranker else httpx.AsyncClient
    kind: Any = Reranker if fake_of is FakeReranker else AsyncReranker
    with pytest.raises(LookupError, match="the script is wrong"):
        rank(kind(KEY, http_client=client(transport=InProcess(wrong))))
    with pytest.raises(LookupError, match="the script is wrong"), serving(wrong) as server:
        httpx.post(server.url, trust_env=False)


def test_pauses_and_timeouts_in_process(shell: Shell) -> None:
    """A pause is waited for; one that is longer than the timeout ends in it, and takes as long as the timeout."""

    def pausing(request: Request) -> Script:
        yield 0.3 if request.number == 1 else LONG
        yield answer(200, results((0, 1.0)))

    client: Any = httpx.Client if shell.name == "sync" else httpx.AsyncClient
    with shell.open(http_client=client(transport=InProcess(pausing)), timeout=LONG) as ranks:
        assert ranks("q", ["a"]).elapsed >= 0.3
        with pytest.raises(APITimeoutError) as caught:
            ranks("q", ["a"], timeout=0.1)
        assert 0.1 <= caught.value.elapsed < SOON


def test_any_httpx_client_in_process() -> None:
    """The transport serves an httpx client of any use: whole bodies, timeouts that are none, errors that are httpx's."""

    def script(request: Request) -> Script:
        yield head(200, {"Transfer-Encoding": "chunked"})
        yield b"2\r\nab\r\n"
        yield 0
        yield b"1\r\nc\r\n0\r\n\r\n" if request.target == "/?whole" else End.RESET

    with httpx.Client(transport=InProcess(script), timeout=None) as client:  # noqa: S113 - none is meant
        assert client.put("http://x.invalid/?whole").text == "abc"
        with pytest.raises(httpx.ReadError):
            client.get("http://x.invalid/")


# The plugin


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the arguments with another Python, and return its output."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**inherited, **environment},
    )


def run(home: Path, source: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a test module of another project."""
    (home / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -q\n")
    (home / "test_other.py").write_text(inspect.cleandoc(source))
    arguments = ("-p", "openrouter_rerank.testing.plugin", *arguments, str(home / "test_other.py"))
    # Other plugins take seconds to load.
    return python(
        "-m", "pytest", f"--rootdir={home}", *arguments, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **environment
    )


def test_the_plugin_is_light() -> None:
    """Loading the plugin, as each pytest run does, imports nothing that a fixture of it needs."""
    heavy = [
        "httpx",
        "httpcore",
        "anyio",
        "h11",
        "attrs",
        "openrouter_rerank_api.client",
        "rerank_conformance",
    ]
    code = f"""
        import sys, pytest
        before = set(sys.modules)
        import openrouter_rerank.testing.plugin
        new = set(sys.modules) - before
        print([name for name in {heavy} if name in new])
        print(sorted(name for name in new if name.startswith("openrouter_rerank.testing")))
    """

    done = python("-c", inspect.cleandoc(code))

    loaded = ["openrouter_rerank.testing", "openrouter_rerank.testing.plugin"]
    assert (done.stdout.splitlines(), done.stderr) == (["[]", str(loaded)], "")


def test_pytest_finds_the_plugin() -> None:
    """The installed package tells pytest of its plugin."""
    [entry] = entry_points(group="pytest11", name="openrouter_rerank")

    assert entry.value == "openrouter_rerank.testing.plugin"


def test_fixtures(tmp_path: Path) -> None:
    """The fixtures give a fake of either kind and servers with faults, anew for each test."""
    done = run(
        tmp_path,
        """
        import asyncio
        import pytest
        from openrouter_rerank import Reranker, AsyncReranker, RateLimitError, ServerError, Retries

        @pytest.mark.parametrize("_", [1, 2])
        def test_fake(fake_reranker, _):
            assert isinstance(fake_reranker, Reranker)
            fake_reranker.scores = [1, 2]
            fake_reranker.script([RateLimitError])
            with pytest.raises(RateLimitError):
                fake_reranker.rerank("q", ["a", "b"])
            assert fake_reranker.rerank("q", ["a", "b"]).documents == ["b", "a"]
            assert len(fake_reranker.calls) == 2

        def test_async_fake(async_fake_reranker):
            assert isinstance(async_fake_reranker, AsyncReranker)
            assert asyncio.run(async_fake_reranker.rerank("a b", ["a", "a b"])).indices == [1, 0]

        def test_servers(faulty_server):
            for name in ("status_524", "status-529"):
                server = faulty_server(name)
                with Reranker("", base_url=server.url, retries=Retries(attempts=1)) as reranker:
                    with pytest.raises(ServerError):
                        reranker.rerank("q", ["a"])
                assert len(server.requests) == 1
        """,
    )

    assert "4 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(not DOCS.is_file(), reason="there are no docs away from the repository")
def test_the_tests_of_the_docs(tmp_path: Path) -> None:
    """The tests that the docs show pass; test_mocking.py runs the recipe for vcrpy."""
    shown = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    source = "\n".join(code for code in shown if "def test_" in code and "import vcr" not in code)
    names = re.findall(r"def (test_\w+)", source)

    done = run(tmp_path, source)

    assert len(names) >= 3
    assert f"{len(names)} passed" in done.stdout, done.stdout + done.stderr


# The package


def test_exported_names() -> None:
    """`__all__` is sorted as the linter has it, each name is there, says what it is, and stands in `dir`."""
    kit = openrouter_rerank.testing
    for name in kit.__all__:
        assert getattr(kit, name) is not None
        assert name in dir(kit)
        assert name in ("FAULTS", "Script") or inspect.getdoc(getattr(kit, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kit.nothing


def test_nothing_of_ours_imports_the_kit() -> None:
    """The facade does not know its test kit."""
    root = Path(openrouter_rerank.__file__).parent
    for path in root.rglob("*.py"):
        if "testing" not in path.parts:
            imports = r"^\s*(from|import) openrouter_rerank\.testing"  # an example in a docstring may use it
            assert not re.search(imports, path.read_text(encoding="utf-8"), re.MULTILINE), path
