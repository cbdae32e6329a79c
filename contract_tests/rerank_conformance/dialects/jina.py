"""The codec of the flat form: Jina, vLLM, llama.cpp, infinity, LocalAI, Xinference, SiliconFlow."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from rerank_conformance.dialects.codec import Body, DialectCodec, renamed, results_of


class Jina(DialectCodec):
    """Nearly the canonical form: usage in tokens, documents on request, errors as `{detail}`."""

    name = "jina"
    model = "jina-reranker-v2-base-multilingual"
    refusals = (400, 413, 422)
    echo = "return_documents"
    wrong: ClassVar[Mapping[str, int]] = {"size": 413, "schema": 422}
    unauthorized = ("No API key was sent", "The API key is invalid")

    def write(self, answer: Body, request: Body) -> Any:
        """Return model, object, usage and results; the model is the one that was asked for."""
        written: Body = {"object": "list"}
        if "model" in answer:
            named = request["model"] != self.name
            written["model"] = request["model"] if named else answer["model"]
        usage: object = answer.get("usage")
        if isinstance(usage, dict) and "total_tokens" in usage:
            written["usage"] = {"total_tokens": usage["total_tokens"]}
        # Jina's own documents are silent on what a server does by default; most leave the documents out
        if "results" in answer:
            asked = request.get("return_documents") is True
            written["results"] = results_of(answer) if asked else renamed(results_of(answer))
        return written

    def refused(self, status: int, message: object) -> Any:
        """Return the message as `detail`, with Jina's id of the request and its documented codes."""
        codes = {401: "AUTH_INVALID_API_KEY", 429: "RATE_REQUEST_LIMIT_EXCEEDED"}
        code = {"code": codes[status]} if status in codes else {}
        return {"detail": message, **code, "request_id": secrets.token_hex(8)}

    def decoded(self, results: Any) -> Any:
        """Return the results; a score that is named `score` is one, too."""
        found = super().decoded(results)
        if not isinstance(found, list):
            return found
        return [_with_score(one) if isinstance(one, dict) else one for one in found]


def _with_score(result: Body) -> Body:
    if "relevance_score" in result or "score" not in result:
        return result
    return {"relevance_score" if name == "score" else name: value for name, value in result.items()}


CODEC = Jina()
