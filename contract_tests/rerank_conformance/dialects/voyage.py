"""The codec of Voyage's `/v1/rerank`."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import secrets
from collections.abc import Mapping
from typing import Any

from rerank_conformance.dialects.codec import Body, DialectCodec, WrongRequestError, renamed, results_of

_WRONG = "The request body is not valid JSON, or some arguments were not specified properly. In particular, "


class Voyage(DialectCodec):
    """`top_k` in, results as `data`, usage in tokens, errors as `{detail}`; the body is checked before the key."""

    name = "voyage"
    model = "rerank-2.5"
    clamps = True
    results = "data"
    echo = "return_documents"
    body_first = True
    unauthorized = ("Unauthorized", "Provided API key is invalid.")

    def check(self, request: Body) -> None:
        """Refuse an unknown field and an empty text in the vendor's words."""
        unknown = next((name for name in request if name not in self.fields), None)
        if unknown is not None:
            raise WrongRequestError(400, f"{_WRONG}Argument {unknown[:40]!a} is not supported by our API")
        documents: object = request.get("documents")
        if isinstance(documents, list) and ("" in documents or not documents):
            raise WrongRequestError(400, "Input cannot contain empty strings or empty lists")

    def read(self, request: Body) -> Body:
        """Return the canonical request; a `top_k` of null is none."""
        canonical = super().read(request)
        return {name: value for name, value in canonical.items() if name != "top_n" or value is not None}

    def write(self, answer: Body, request: Body) -> Any:
        """Return object, data, the model that was asked for, and usage."""
        written: Body = {"object": "list"}
        if "results" in answer:
            echo = "document" if request.get("return_documents") is True else None
            written["data"] = renamed(results_of(answer), echo=echo)
        if "model" in answer:
            written["model"] = request["model"]
        usage: object = answer.get("usage")
        if isinstance(usage, dict) and "total_tokens" in usage:
            written["usage"] = {"total_tokens": usage["total_tokens"]}
        return written

    def headers(self, answer: Body, request: Body) -> Mapping[str, str]:
        """Return the id of the request."""
        del answer, request
        return {"x-request-id": secrets.token_hex(16)}

    def adjusted(self, request: Body) -> Body:
        """Return the request with a blank for each empty text of a list: an empty one is refused, and blank is legal."""
        documents: object = request.get("documents")
        if not isinstance(documents, list):
            return request
        return {**request, "documents": [" " if text == "" else text for text in documents]}

    def refused(self, status: int, message: object) -> Any:
        """Return the message as `detail`."""
        del status
        return {"detail": message}


CODEC = Voyage()
