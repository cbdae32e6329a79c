"""Make requests with other vendors' Python clients: `callers.py NAME ROOT REQUESTS` prints an outcome for each.

REQUESTS is a list of objects with `key`, `query`, `documents` and `top_n`. An outcome is the result that the client returns to its
user: `ranking` as pairs of index and score, and `usage`; or `error` and `status`. clients.py judges the outcomes.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

MODEL = "rerank-any"
TIMEOUT = 20  # seconds, for one request

Request = dict[str, Any]
Outcome = dict[str, Any]


def openrouter(root: str, request: Request) -> Outcome:
    """Rank with the vendor's SDK."""
    import openrouter as sdk  # noqa: PLC0415 - the other packages may be missing
    from openrouter.utils.retries import BackoffStrategy, RetryConfig  # noqa: PLC0415 - as above

    never = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), retry_connection_errors=False)
    with sdk.OpenRouter(api_key=request["key"], server_url=f"{root}/api/v1", retry_config=never) as client:
        answer = client.rerank.rerank(**fields_of(request), timeout_ms=TIMEOUT * 1000)
    return outcome(answer.results, answer.usage and answer.usage.model_dump())


def cohere_v1(root: str, request: Request) -> Outcome:
    """Rank with Cohere's older client, which appends /v1/rerank."""
    import cohere  # noqa: PLC0415 - the other packages may be missing

    client = cohere.Client(api_key=request["key"], base_url=f"{root}/api", timeout=TIMEOUT)
    answer = client.rerank(**fields_of(request), request_options={"max_retries": 0})
    return outcome(answer.results, answer.meta and answer.meta.billed_units)


def cohere_v2(root: str, request: Request) -> Outcome:
    """Rank with Cohere's newer client, which appends /v2/rerank."""
    import cohere  # noqa: PLC0415 - the other packages may be missing

    client = cohere.ClientV2(api_key=request["key"], base_url=root, timeout=TIMEOUT)
    answer = client.rerank(**fields_of(request), request_options={"max_retries": 0})
    return outcome(answer.results, answer.meta and answer.meta.billed_units)


def litellm(root: str, request: Request) -> Outcome:
    """Rank with LiteLLM's function, which needs the full URL for Cohere's form."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise it is fetched on import
    import litellm as sdk  # noqa: PLC0415 - the other packages may be missing

    sdk.suppress_debug_info = True
    address = {"api_base": f"{root}/api/v1/rerank", "api_key": request["key"], "timeout": TIMEOUT}
    answer = sdk.rerank(**fields_of(request) | {"model": f"cohere/{MODEL}"}, **address)
    return outcome(answer.results, answer.meta and answer.meta.get("billed_units"))


def voyage(root: str, request: Request) -> Outcome:
    """Rank with Voyage's SDK."""
    import voyageai  # noqa: PLC0415 - the other packages may be missing

    client = voyageai.Client(api_key=request["key"], base_url=f"{root}/v1", timeout=TIMEOUT, max_retries=0)
    answer = client.rerank(request["query"], request["documents"], model=MODEL, top_k=request["top_n"])
    results = [result._asdict() for result in answer.results]
    return outcome(results, {"total_tokens": answer.total_tokens})


def litellm_route(provider: str, path: str) -> Callable[[str, Request], Outcome]:
    """Return LiteLLM's function for the dialect of another vendor.

    Args:
        provider: The vendor, as the prefix of the model's name.
        path: The path of the base URL.
    """

    def call(root: str, request: Request) -> Outcome:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise it is fetched on import
        import litellm as sdk  # noqa: PLC0415 - the other packages may be missing

        sdk.suppress_debug_info = True
        address = {"api_base": f"{root}{path}", "api_key": request["key"], "timeout": TIMEOUT}
        answer = sdk.rerank(**fields_of(request) | {"model": f"{provider}/{MODEL}"}, **address)
        return outcome(answer.results, answer.meta and answer.meta.get("billed_units"))

    return call


def fields_of(request: Request) -> dict[str, Any]:
    """Return the request in the common form; `top_n` is left out if it is None."""
    given = {name: request[name] for name in ("query", "documents", "top_n") if request[name] is not None}
    return {"model": MODEL, **given}


def outcome(results: Iterable[Any], usage: Any) -> Outcome:
    """Convert the client's ranking, whose results are objects or mappings."""
    rows = [result if isinstance(result, dict) else vars(result) for result in results]
    usage = usage if isinstance(usage, dict) or usage is None else vars(usage)
    return {
        "ranking": [[row["index"], row["relevance_score"]] for row in rows],
        "usage": {name: value for name, value in (usage or {}).items() if isinstance(value, int | float)},
    }


def failure(error: Exception) -> Outcome:
    """Convert the error that the client raised."""
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    message = " ".join(str(error).split())[:300]
    return {"error": type(error).__name__, "status": status, "message": message}


CALLERS: dict[str, Callable[[str, Request], Outcome]] = {
    "openrouter": openrouter,
    "cohere_v1": cohere_v1,
    "cohere_v2": cohere_v2,
    "litellm": litellm,
    "litellm_jina": litellm_route("jina_ai", "/v1"),
    "litellm_tei": litellm_route("huggingface", ""),
    "litellm_voyage": litellm_route("voyage", "/v1"),
    "voyage": voyage,
}


def main(name: str, root: str, requests: str) -> None:
    """Make the requests one after the other, and print the outcomes as one line of JSON."""
    outcomes: list[Outcome] = []
    for request in json.loads(requests):
        try:
            outcomes.append(CALLERS[name](root, request))
        except Exception as error:  # noqa: BLE001 - any error of a client is its outcome
            outcomes.append(failure(error))
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
