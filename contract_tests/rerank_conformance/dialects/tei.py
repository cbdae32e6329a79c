"""The codec of Text Embeddings Inference (TEI), which Hugging Face's endpoints speak, too."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from typing import Any, ClassVar

from rerank_conformance.dialects.codec import Body, DialectCodec, WrongRequestError, renamed, results_of

_TEXT = {"content-type": "text/plain; charset=utf-8"}
_SHAPE = "Failed to deserialize the JSON body into the target type: "
_KINDS = {400: "Empty", 422: "Validation", 424: "Backend", 429: "Overloaded"}


class Tei(DialectCodec):
    """`texts` in, a bare array of `index` and `score` out, usage in headers, shape errors as plain text."""

    name = "tei"
    model = ""
    refusals = (400, 413, 415, 422)
    results = ""
    score = "score"
    echo = "return_text"
    wrong: ClassVar[Mapping[str, int]] = {"size": 413, "media_type": 415, "schema": 422}
    later_first = True
    unauthorized = ("", "")
    max_client_batch_size: ClassVar[int] = 32
    """The most texts of a request, as the server has it by default."""

    def check(self, request: Body) -> None:
        """Refuse a missing field, no texts, a query and a text that are both empty, and too many texts."""
        missing = next((name for name in ("query", "texts") if name not in request), None)
        if missing is not None:
            raise WrongRequestError(422, f"{_SHAPE}missing field `{missing}`", _TEXT)
        texts: object = request.get("texts")
        if not isinstance(texts, list):
            return
        if texts == []:
            raise WrongRequestError(400, "`texts` cannot be empty")
        if request.get("query") == "" and "" in texts:
            raise WrongRequestError(400, "`inputs` cannot be empty")
        count = len(texts)
        if count > self.max_client_batch_size:
            message = f"batch size {count} > maximum allowed batch size {self.max_client_batch_size}"
            raise WrongRequestError(422, message)

    def write(self, answer: Body, request: Body) -> Any:
        """Return the array of results; anything else where an answer has none."""
        if "results" not in answer:
            return answer
        echo = "text" if request.get("return_text") is True else None
        return renamed(results_of(answer), score="score", echo=echo)

    def headers(self, answer: Body, request: Body) -> Mapping[str, str]:
        """Return what was computed: tokens, characters, and times that nobody measured."""
        lengths = [len(request["query"]) + len(text) for text in request["documents"]]
        usage: object = answer.get("usage")
        found = {"x-compute-type": "cpu", "x-compute-characters": str(sum(lengths))}
        if isinstance(usage, dict) and "total_tokens" in usage:
            found["x-compute-tokens"] = str(usage["total_tokens"])
        times = ("compute", "total", "tokenization", "queue", "inference")
        return {**found, **{f"x-{name}-time": "0" for name in times}}

    def refused(self, status: int, message: object) -> Any:
        """Return the message and the kind of the error."""
        return {"error": message, "error_type": _KINDS.get(status, "Backend")}

    def refusal_headers(self, what: str) -> Mapping[str, str]:
        """Return the media type of plain text: the shape is refused by the web framework."""
        del what
        return _TEXT

    def decode(self, value: Any, headers: Mapping[str, str]) -> Any:
        """Return the canonical form of an array; anything else is not a ranking."""
        if not isinstance(value, list):
            return value
        found: Body = {"results": [_echoed(one) for one in self.decoded(value)]}
        tokens = headers.get("x-compute-tokens")
        if tokens is not None:
            found["usage"] = {"total_tokens": int(tokens) if tokens.isdecimal() else tokens}
        return found


def _echoed(result: Any) -> Any:
    """Return a result with its `text` as the document."""
    if not isinstance(result, dict) or result.get("text") is None:
        return result
    return {
        **{name: value for name, value in result.items() if name != "text"},
        "document": {"text": result["text"]},
    }


CODEC = Tei()
