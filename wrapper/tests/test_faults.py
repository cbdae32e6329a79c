"""Each fault that servers were seen to have ends in one error, or in a ranking, soon, and alike in both shells."""

from __future__ import annotations

import gc
import pickle
import re
import threading
import time
import tracemalloc
from contextlib import suppress
from dataclasses import dataclass

import httpx
import pytest

from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    InvalidResponseError,
    RateLimitError,
    RerankError,
    ResponseError,
    Retries,
    ServerError,
)
from openrouter_rerank.testing import (
    FAULTS,
    InProcess,
    Request,
    Script,
    answer,
    deaf,
    faulty,
    honest,
    serving,
    unused_address,
)
from shells import KEY, LONG, QUICK, SOON, TIMEOUTS, Shell


@dataclass(frozen=True)
class Ends:
    """The end of a call."""

    error: type[RerankError]
    status: int | None = None
    retryable: bool = False
    requests: int = 1
    code: int | None = None
    says: str = ""


ERRORS = {
    # The status decides, whatever the body is like.
    "status_429_forever": Ends(RateLimitError, 429, True, 3, 429, "Rate limit exceeded"),
    "status_500_forever": Ends(ServerError, 500, True, 3, 500, "Internal server error"),
    "status_503_retry_after_an_hour": Ends(ServerError, 503, True, 1, 503),
    "status_524": Ends(ServerError, 524, True, 3, 524, "Request timed out"),
    "status_529": Ends(ServerError, 529, True, 3, 529, "Provider returned error"),
    "status_502_html": Ends(ServerError, 502, True, 3, says="502 Bad Gateway"),
    "status_503_empty": Ends(ServerError, 503, True, 3),
    "status_400_detail": Ends(BadRequestError, 400, says="field required"),
    "status_400_bare_string": Ends(BadRequestError, 400, says="no such model"),
    "status_400_list": Ends(BadRequestError, 400, says="no such model"),
    "status_400_null": Ends(BadRequestError, 400),
    "status_500_image_not_fetched": Ends(ServerError, 500, False, 1, 500, "Failed to fetch image"),
    "redirect_307_to_another_host": Ends(BadRequestError, 307, says="http://elsewhere.invalid/api/v1/rerank"),
    # A 200 with an error is that error.
    "ok_error_int_code": Ends(RateLimitError, 200, True, 3, 429, "Rate limit exceeded"),
    "ok_error_text_code": Ends(ServerError, 200, True, 3, 503, "busy"),
    "ok_error_no_code": Ends(InvalidResponseError, 200, says="busy"),
    "ok_error_string": Ends(InvalidResponseError, 200, says="no such endpoint"),
    "ok_error_beside_results": Ends(ServerError, 200, True, 3, 502, "died halfway"),
    # A 200 without a ranking says what it is instead.
    "ok_html": Ends(InvalidResponseError, 200, says="text/html"),
    "ok_empty": Ends(InvalidResponseError, 200, says="it has no body"),
    "ok_204": Ends(InvalidResponseError, 204, says="it has no body"),
    "index_beyond": Ends(InvalidResponseError, 200, says="index 99 is not one of the 3 documents"),
    "index_negative": Ends(InvalidResponseError, 200, says="index -1 is not one of the 3 documents"),
    "index_thrice": Ends(InvalidResponseError, 200, says="index 1 appears twice"),
    "index_fraction": Ends(InvalidResponseError, 200, says="index 0.5"),
    "index_text": Ends(InvalidResponseError, 200, says="$.results[0].index"),
    "index_true": Ends(InvalidResponseError, 200, says="$.results[0].index"),
    "index_null": Ends(InvalidResponseError, 200, says="$.results[0].index"),
    "index_missing": Ends(InvalidResponseError, 200, says="index"),
    "score_nan": Ends(InvalidResponseError, 200, says="not finite"),
    "score_infinity": Ends(InvalidResponseError, 200, says="not finite"),
    "score_1e999": Ends(InvalidResponseError, 200, says="not finite"),
    "score_text": Ends(InvalidResponseError, 200, says="$.results[0].relevance_score"),
    "score_null": Ends(InvalidResponseError, 200, says="$.results[0].relevance_score"),
    "score_true": Ends(InvalidResponseError, 200, says="$.results[0].relevance_score"),
    "score_missing": Ends(InvalidResponseError, 200, says="relevance_score"),
    "more_than_asked": Ends(InvalidResponseError, 200, says="more results (4) than documents (3)"),
    "results_object": Ends(InvalidResponseError, 200, says="$.results"),
    "results_null": Ends(InvalidResponseError, 200, says="$.results"),
    "results_missing": Ends(InvalidResponseError, 200, says="no results"),
    "results_of_numbers": Ends(InvalidResponseError, 200, says="$.results[0]"),
    "bare_array": Ends(InvalidResponseError, 200, says="array"),
    "data_for_results": Ends(InvalidResponseError, 200, says="data"),
    "deep_nesting": Ends(InvalidResponseError, 200),
    # Time runs out, and nothing is sent twice: the work may have been billed.
    "silent": Ends(APITimeoutError),
    "stalls_in_body": Ends(APITimeoutError),
    "trickling_body": Ends(APITimeoutError),
    "trickling_chunk_size": Ends(APITimeoutError),
    "trickling_headers": Ends(APITimeoutError),
    "trickling_gzip": Ends(APITimeoutError),
    "continue_forever": Ends(APITimeoutError),
    # A connection that breaks before the answer is tried again, one that breaks within it is not.
    "dropped_always": Ends(APIConnectionError, None, True, 3),
    "dropped_in_headers": Ends(APIConnectionError, None, True, 3),
    "dropped_in_body": Ends(APIConnectionError),
    "reset_in_body": Ends(APIConnectionError),
    "not_http": Ends(APIConnectionError, None, True, 3),
    "length_too_large": Ends(APIConnectionError),
    "length_too_small": Ends(InvalidResponseError, 200),
    "length_not_a_number": Ends(APIConnectionError, None, True, 3),
    "endless_body": Ends(InvalidResponseError, 200, says="larger than a ranking"),
    "endless_error": Ends(ServerError, 500, True, 3),
    "gzip_garbage": Ends(InvalidResponseError, 200, says="gzip"),
    "gzip_garbage_502": Ends(ServerError, 502, True, 3),
    "zip_bomb": Ends(InvalidResponseError, 200),
    "zip_bomb_twice": Ends(InvalidResponseError, 200),
}

# The indices of the ranking, and how many requests it took.
RANKINGS = {
    "status_429_once": ([2, 1, 0], 2),
    "unsorted": ([2, 1, 0], 1),
    "document_missing": ([2], 1),
    "document_null": ([2], 1),
    "document_bare_string": ([2], 1),
    "fewer_than_asked": ([1], 1),
    "no_results": ([], 1),
    "slow": ([2, 1, 0], 1),
    "dropped_once": ([2, 1, 0], 2),
    "reset_once": ([2, 1, 0], 2),
    "dropped_while_idle": ([2, 1, 0], 1),
    "gzip_honest": ([2, 1, 0], 1),
}

HANGS = [name for name, ends in ERRORS.items() if ends.error is APITimeoutError]


def test_every_fault_has_its_end() -> None:
    """The two tables name each fault of the catalogue, each once, with the end that the catalogue says."""
    assert sorted([*ERRORS, *RANKINGS]) == sorted(FAULTS)
    assert {name: fault.ends for name, fault in FAULTS.items() if fault.ends} == {
        name: ends.error for name, ends in ERRORS.items()
    }
    for fault in FAULTS.values():
        assert re.fullmatch(r"[A-Z0-9].*\.", fault.says)


@pytest.mark.parametrize("name", ERRORS)
def test_error(name: str, shell: Shell) -> None:
    """The fault ends in its error, which says all that is known, after as many requests as may help."""
    ends = ERRORS[name]
    for timeout in TIMEOUTS if name in HANGS else (LONG,):
        with faulty(name) as server:
            began = time.monotonic()
            with pytest.raises(RerankError) as caught:
                shell.rank(base_url=server.url, timeout=timeout, deadline=LONG)
            took = time.monotonic() - began
        error = caught.value
        if len(server.requests) == len(error.attempts):  # each was sent in time
            break

    assert type(error) is ends.error
    assert error.retryable is ends.retryable
    assert len(server.requests) == len(error.attempts) == ends.requests
    assert error.attempts[-1].status == ends.status
    assert error.attempts[-1].wait is None
    assert ends.says in str(error)
    assert server.url in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert 0 < error.elapsed <= took < SOON + (timeout if name in HANGS else 0)
    if isinstance(error, ResponseError):
        assert (error.status, error.code) == (ends.status, ends.code)
    elif ends.error is APIConnectionError:
        assert error.__cause__ is not None


@pytest.mark.parametrize("name", RANKINGS)
def test_ranking(name: str, shell: Shell) -> None:
    """The fault is overcome: the ranking is whole, and holds the caller's documents."""
    indices, requests = RANKINGS[name]
    with faulty(name) as server:
        ranking = shell.rank(base_url=server.url)

    assert ranking.indices == indices
    assert ranking.documents == ["abc"[index] for index in indices]
    assert ranking.scores == sorted(ranking.scores, reverse=True)
    assert ranking.reordered is (name == "unsorted")
    assert ranking.attempts[-1].elapsed >= (0.3 if name == "slow" else 0)
    assert len(server.requests) == len(ranking.attempts) == requests
    assert [attempt.error is None for attempt in ranking.attempts] == [False] * (requests - 1) + [True]


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.in_process])
def test_in_process(name: str, shell: Shell) -> None:
    """Without a socket the fault ends as it does over one, after as many requests."""
    server = InProcess(name)
    client = (httpx.Client if shell.name == "sync" else httpx.AsyncClient)(transport=server)
    timeout = TIMEOUTS[0] if name in HANGS else LONG
    with shell.open(http_client=client, timeout=timeout, deadline=LONG) as rank:
        if name in RANKINGS:
            indices, requests = RANKINGS[name]

            assert rank("q", ["a", "b", "c"]).indices == indices
        else:
            ends, requests = ERRORS[name], ERRORS[name].requests
            began = time.monotonic()
            with pytest.raises(RerankError) as caught:
                rank("q", ["a", "b", "c"])

            assert type(caught.value) is ends.error
            assert caught.value.retryable is ends.retryable
            assert ends.says in str(caught.value)
            assert time.monotonic() - began < SOON
    assert len(server.requests) == requests
    assert server.requests[0].json["documents"] == ["a", "b", "c"]


@pytest.mark.parametrize("name", HANGS)
def test_deadline(name: str, shell: Shell) -> None:
    """The deadline ends a call whose attempts would have had the time."""
    for deadline in TIMEOUTS:
        with faulty(name) as server:
            began = time.monotonic()
            with pytest.raises(APITimeoutError, match="deadline") as caught:
                shell.rank(base_url=server.url, timeout=LONG, deadline=deadline)

            assert time.monotonic() - began < deadline + SOON
        if server.requests:  # it was sent in time
            break

    assert len(server.requests) == 1
    assert caught.value.attempts[0].elapsed <= caught.value.elapsed
    assert caught.value.elapsed > 0.9 * deadline


def test_timeouts_are_tried_again_when_asked(shell: Shell) -> None:
    """`Retries(timeouts=True)` sends again what was not answered in time."""

    def second_time_lucky(request: Request) -> Script:
        while request.number == 1:
            yield 1.0
        yield honest(request)

    for timeout in TIMEOUTS:
        with serving(second_time_lucky) as server:
            retries = Retries(attempts=2, timeouts=True, first_wait=0.01)
            with suppress(APITimeoutError):
                ranking = shell.rank(base_url=server.url, timeout=timeout, retries=retries)
                if len(server.requests) == 2:  # the first was sent in time, and the second answered
                    break
    else:
        pytest.fail("it was not sent again")

    assert ranking.indices == [2, 1, 0]
    assert len(ranking.attempts) == 2
    assert ranking.attempts[0].status is None


def test_retry_after_is_waited_for(shell: Shell) -> None:
    """The server's own second is waited, not our hundredth; the attempts tell of it."""
    with faulty("status_429_once") as server:
        ranking = shell.rank(base_url=server.url)

    assert ranking.attempts[0].status == 429
    assert ranking.attempts[0].wait == 1.0
    assert ranking.elapsed >= 1.0


def test_retry_after_beyond_the_deadline(shell: Shell) -> None:
    """If the server's wait does not fit into the deadline, the call fails at once."""

    def wait_for_long(_: Request) -> Script:
        yield answer(429, headers={"Retry-After": f"{LONG}"})

    with serving(wait_for_long) as server:
        retries = Retries(longest_wait=LONG)
        with pytest.raises(RateLimitError) as caught:
            shell.rank(base_url=server.url, timeout=LONG, deadline=0.9 * LONG, retries=retries)

        assert len(server.requests) == 1
    assert caught.value.retry_after == LONG
    assert caught.value.attempts[0].wait is None
    assert caught.value.elapsed < SOON


def test_refused(shell: Shell) -> None:
    """If nothing listens, each attempt is refused, and the error has the address."""
    url = unused_address()

    with pytest.raises(APIConnectionError, match="refused the connection") as caught:
        shell.rank(base_url=url)

    assert type(caught.value) is APIConnectionError
    assert caught.value.retryable
    assert len(caught.value.attempts) == QUICK.attempts
    assert url in str(caught.value)


def test_not_resolved(shell: Shell) -> None:
    """A host that does not exist is a failed connection."""
    with pytest.raises(APIConnectionError):
        shell.rank(base_url="http://no-such-host.invalid/api/v1", deadline=20.0)


def test_server_that_reads_nothing(shell: Shell) -> None:
    """A request that the server does not take is given up in time."""
    with deaf() as url, shell.open(base_url=url, timeout=TIMEOUTS[0]) as rank:
        began = time.monotonic()
        with pytest.raises(APITimeoutError):
            rank("q", ["x" * 2**25])

        assert time.monotonic() - began < SOON


def test_redirect_takes_no_key_along(shell: Shell) -> None:
    """A redirect to another server is not followed, so that the key does not go there."""
    with serving(lambda request: iter([honest(request)])) as elsewhere:

        def redirect(_: Request) -> Script:
            yield answer(307, headers={"Location": f"{elsewhere.url}/rerank?from=here"})

        with serving(redirect) as server:
            with pytest.raises(BadRequestError, match="Redirects are not followed"):
                shell.rank(base_url=server.url)

            assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert elsewhere.connections == 0


def test_every_status(shell: Shell) -> None:
    """Each status from 300 to 599 is an error of its class, with and without the contract's envelope."""
    statuses = iter([status for status in range(300, 600) for _ in range(2)])

    def next_status(request: Request) -> Script:
        status = next(statuses)
        body = {"error": {"code": status, "message": "no"}} if request.number % 2 else b"<p>no"
        yield answer(status, b"" if status == 304 else body)  # which has none

    with serving(next_status) as server, shell.open(base_url=server.url, retries=Retries(attempts=1)) as rank:
        for status in range(300, 600):
            for _ in range(2):
                with pytest.raises(ResponseError, match=str(status)) as caught:
                    rank("q", ["a"])
                assert caught.value.status == status


def test_the_next_call_is_well(any_shell: Shell) -> None:
    """After each fault that breaks a connection, the same reranker ranks."""
    broken = ["length_too_small", "dropped_in_body", "endless_body", "stalls_in_body", "trickling_headers"]
    for name in broken:
        healed = threading.Event()

        def script(request: Request, name: str = name, healed: threading.Event = healed) -> Script:
            return iter([honest(request)]) if healed.is_set() else FAULTS[name].script(request)

        with serving(script) as server, any_shell.open(base_url=server.url, timeout=LONG) as rank:
            with pytest.raises(RerankError):
                rank("q", ["a", "b", "c"], timeout=TIMEOUTS[0] if name in HANGS else None)
            healed.set()
            gc.collect()  # what was left half read warns now and here

            assert rank("q", ["a", "b", "c"]).indices == [2, 1, 0]


@pytest.mark.parametrize("name", ["zip_bomb", "zip_bomb_twice"])
def test_zip_bombs_are_not_unpacked(name: str, shell: Shell) -> None:
    """Unpacking stops at about what a ranking of the documents can hold, 64 MiB for these."""
    with faulty(name) as server:
        next(FAULTS[name].script(Request(1, "POST", "/", {}, b"")))  # packed before it is measured
        tracemalloc.start()
        try:
            with pytest.raises(InvalidResponseError):
                shell.rank(base_url=server.url, timeout=LONG, deadline=LONG)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 200 * 2**20
