"""The codec of Cohere's `/v2/rerank`."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import secrets
import uuid
from collections.abc import Mapping
from typing import Any, cast

from rerank_conformance.dialects.codec import Body, DialectCodec, WrongRequestError, renamed, results_of


class Cohere(DialectCodec):
    """Results without documents, what is billed under `meta`, errors as `{message}`."""

    name = "cohere-v2"
    model = "rerank-v3.5"
    unauthorized = ("no api key supplied", "invalid api token")

    def check(self, request: Body) -> None:
        """Refuse an unknown field with 422, and an empty list or a blank query in the vendor's words."""
        unknown = next((name for name in request if name not in self.fields), None)
        if unknown is not None:
            message = f"unknown field: parameter {unknown[:40]!a} is not a valid field"
            raise WrongRequestError(422, message)
        if request.get("documents") == []:
            raise WrongRequestError(400, "invalid request: list of documents must not be empty")
        query = request.get("query")
        if isinstance(query, str) and not query.strip():
            raise WrongRequestError(400, "invalid request: query must not be empty or only whitespace")

    def write(self, answer: Body, request: Body) -> Any:
        """Return id, results and meta."""
        del request
        written: Body = {"id": _uuid(answer["id"])} if "id" in answer else {}
        if "results" in answer:
            written["results"] = renamed(results_of(answer))
        usage: object = answer.get("usage")
        meta: Body = {"api_version": {"version": "2"}}
        if isinstance(usage, dict) and "search_units" in usage:
            meta["billed_units"] = {"search_units": usage["search_units"]}
        return {**written, "meta": meta}

    def headers(self, answer: Body, request: Body) -> Mapping[str, str]:
        """Return the id of the request."""
        del answer, request
        return {"x-debug-trace-id": secrets.token_hex(16)}

    def refused(self, status: int, message: object) -> Any:
        """Return the message."""
        del status
        return {"message": message}

    def unsaid(self, error: Any) -> str | None:
        """Return that the message is missing."""
        return None if isinstance(error, dict) and "message" in error else "message is missing"

    def about(self, answer: Body, headers: Mapping[str, str]) -> Body:
        """Return the id, and the search units of `meta.billed_units`."""
        del headers
        found: Body = {"id": answer["id"]} if "id" in answer else {}
        billed = _member(_member(answer, "meta"), "billed_units")
        if "search_units" in billed:
            found["usage"] = {"search_units": billed["search_units"]}
        return found


def _member(value: Body, name: str) -> Body:
    found: object = value.get(name)
    return cast("Body", found) if isinstance(found, dict) else {}


def _uuid(name: object) -> object:
    """Return a UUID for a name, always the same one; anything else as it is."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name)) if isinstance(name, str) else name


CODEC = Cohere()
