"""One adapter per client: `adapters.py NAME` makes one call for each line of stdin, in the environment of that client.

A line of stdin is a JSON object with `url` and `timeout`. A line of stdout is the outcome of the call: `ranking`, or the
`error` with its class, status and message. A line of `null` gets the facts of the installed package.
"""

import json
import pickle
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import distribution, distributions
from typing import Any

KEY = "key-of-the-peers-run"
MODEL = "rerank-any"
QUERY = "What is the capital of France?"
DOCUMENTS = ["Berlin is the capital of Germany.", "A whale is a mammal.", "Paris is the capital of France."]

Ranking = list[tuple[Any, Any, Any]]
"""The index, score and document of each result; the document is None if the client does not return the caller's."""


def openrouter_rerank(url: str, timeout: float | None) -> Ranking:
    """Rank with the facade of this project."""
    sdk = import_module("openrouter_rerank")
    options = {} if timeout is None else {"timeout": timeout}
    with sdk.Reranker(KEY, base_url=url, model=MODEL, **options) as reranker:
        return [(hit.index, hit.score, hit.document) for hit in reranker.rerank(QUERY, DOCUMENTS)]


def openrouter(url: str, timeout: float | None) -> Ranking | None:
    """Rank with OpenRouter's SDK."""
    sdk = import_module("openrouter")
    options = {} if timeout is None else {"timeout_ms": round(timeout * 1000)}
    with sdk.OpenRouter(api_key=KEY, server_url=url, **options) as client:
        answer = client.rerank.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)
    return without_documents(answer.results)


def cohere(url: str, timeout: float | None) -> Ranking | None:
    """Rank with Cohere's older client: the newer one posts to /v2/rerank, which OpenRouter does not have."""
    sdk = import_module("cohere")
    client = sdk.Client(api_key=KEY, base_url=url.removesuffix("/v1"), timeout=timeout)
    return without_documents(client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS).results)


def litellm(url: str, timeout: float | None) -> Ranking | None:
    """Rank with LiteLLM's function, which needs the full URL for Cohere's form."""
    sdk = import_module("litellm")
    options = {} if timeout is None else {"timeout": timeout}
    address = {"api_base": f"{url}/rerank", "api_key": KEY}
    answer = sdk.rerank(model=f"cohere/{MODEL}", query=QUERY, documents=DOCUMENTS, **address, **options)
    return without_documents(answer.results)


def voyageai(url: str, timeout: float | None) -> Ranking:
    """Rank with Voyage's SDK, whose results have the documents of the caller."""
    client = import_module("voyageai").Client(api_key=KEY, base_url=url, timeout=timeout)
    results = client.rerank(QUERY, DOCUMENTS, MODEL).results
    return [(result.index, result.relevance_score, result.document) for result in results]


Adapter = Callable[[str, float | None], Ranking | None]
ADAPTERS: dict[str, Adapter] = {
    adapter.__name__.replace("_", "-"): adapter
    for adapter in (openrouter_rerank, openrouter, cohere, litellm, voyageai)
}
"""The adapters by the name of the distribution on PyPI."""


def without_documents(results: Any) -> Ranking | None:
    """Convert results that are objects or mappings; drop their documents, which are the server's echo."""
    if results is None:
        return None
    rows = [result if isinstance(result, Mapping) else vars(result) for result in results]
    return [(row.get("index"), row.get("relevance_score"), None) for row in rows]


def outcome(rank: Adapter, url: str, timeout: float | None) -> dict[str, Any]:
    """Make one call, and return its outcome as JSON data."""
    try:
        return {"ranking": rank(url, timeout)}
    except Exception as error:  # noqa: BLE001 - each error of a client is its outcome
        status = getattr(error, "status_code", getattr(error, "http_status", getattr(error, "status", None)))
        return {
            "error": type(error).__name__,
            "status": status if isinstance(status, int) else None,
            "message": read_message(error)[:4000],
            "pickles": is_picklable(error),
        }


def read_message(error: Exception) -> str:
    """Return the text of an error; an empty string if its `__str__` fails."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a `__str__` of any library may raise anything
        return ""


def is_picklable(error: Exception) -> bool:
    """Return True if an unpickled copy of the error has the same class and message."""
    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled in this line
    except Exception:  # noqa: BLE001 - a class of any library may raise anything here
        return False
    return type(copy) is type(error) and read_message(copy) == read_message(error)


def facts(name: str) -> dict[str, Any]:
    """Return the facts of a package from the metadata of this environment."""
    found = {one.metadata["Name"].lower().replace("_", "-"): one for one in distributions()}
    for installer in ("pip", "setuptools", "wheel"):  # installed by `python -m venv`, not by a client
        found.pop(installer, None)
    recorded = [file.size or 0 for one in found.values() for file in one.files or [] if file.suffix != ".pyc"]
    own = distribution(name)
    return {
        "version": own.version,
        "requires_python": own.metadata["Requires-Python"] or "",
        "packages": len(found) - 1,
        "megabytes": sum(recorded) / 1e6,
        "typed": any(file.name == "py.typed" for file in own.files or []),
    }


def main(name: str) -> None:
    """Answer each line of stdin with a line on stdout; print `ready` after the import of the client."""
    answers, sys.stdout = sys.stdout, sys.stderr  # some clients print
    import_module(name.replace("-", "_"))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        call = json.loads(line)
        result = facts(name) if call is None else outcome(ADAPTERS[name], **call)
        print(json.dumps(result, default=repr), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
