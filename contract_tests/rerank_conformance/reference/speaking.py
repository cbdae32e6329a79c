"""The reference server of a dialect: the reference with the dialect's codec at its two ends.

A broken server of the canonical form is one of a dialect as well: `speaking` puts the dialect below what it alters.
"""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from rerank_conformance.dialects import codec as codec_named
from rerank_conformance.dialects.codec import Body, DialectCodec, WrongRequestError
from rerank_conformance.dialects.tei import Tei
from rerank_conformance.reference.server import Reference, ReferenceRequest, ReferenceResponse, Refusal

_PLAIN = "text/plain"


class Speaking(Reference):
    """The reference behind a codec. Its rerank path lies under any prefix, as each vendor has its own."""

    codec: DialectCodec

    # admit

    def admit(self, request: ReferenceRequest) -> None:
        """Refuse by the head of the request; by the body before the key, where the dialect checks it first."""
        self.route(request)
        self.method(request)
        if self.codec.body_first:
            self.read(request)
        self.authenticate(request)

    def route(self, request: ReferenceRequest) -> None:
        """Refuse every path that does not end with one of the dialect's."""
        if not any(request.path.endswith(path) for path in self.codec.contract.document["paths"]):
            raise Refusal(404, "No such path; rerank is at /rerank, under any prefix")

    def method(self, request: ReferenceRequest) -> None:
        """Refuse every method but POST."""
        if request.method != "POST":
            raise Refusal(405, "Method not allowed; rerank takes POST", {"allow": "POST"})

    def authenticate(self, request: ReferenceRequest) -> None:
        """Refuse a request without one of the keys, in the vendor's words."""
        try:
            super().authenticate(request)
        except Refusal as refusal:
            words = self.codec.unauthorized["authorization" in request.headers]
            raise Refusal(401, words, refusal.headers) from refusal

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        """Take a request through the steps, between the codec's ends."""
        self.admit(request)
        body = self.read(request)
        answer = self.render(body, self.rank(body))
        headers = self.codec.headers(answer, body)
        return self.encode(200, self.codec.write(answer, body), headers)

    # read

    def size(self, request: ReferenceRequest) -> None:
        """Refuse a body that is too large."""
        self._in_its_form("size", lambda: super(Speaking, self).size(request))

    def media_type(self, request: ReferenceRequest) -> None:
        """Refuse what is not declared as JSON."""
        self._in_its_form("media_type", lambda: super(Speaking, self).media_type(request))

    def parse(self, body: bytes) -> object:
        """Read JSON strictly."""
        return self._in_its_form("json", lambda: super(Speaking, self).parse(body))

    def validate(self, value: object) -> Body:
        """Refuse what is not legal by the dialect's contract, and return the canonical request."""
        if isinstance(value, dict):
            try:
                self.codec.check(cast("Body", value))
            except WrongRequestError as error:
                raise Refusal(error.status, error.message, error.headers) from error
        violation = self.codec.contract.request.violation(value)
        if violation:
            raise self._wrong("schema", str(violation))
        body = self.codec.read(cast("Body", value))
        return cast("Body", self._in_its_form("schema", lambda: super(Speaking, self).validate(body)))

    def _in_its_form(self, what: str, step: Callable[[], object]) -> object:
        """Take a step of the reference; refuse as the dialect does what it refuses."""
        try:
            return step()
        except Refusal as refusal:
            raise self._wrong(what, refusal.message) from refusal

    def _wrong(self, what: str, message: str) -> Refusal:
        status = self.codec.wrong.get(what, 400)
        return Refusal(status, message, self.codec.refusal_headers(what))

    # rank

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        """Every position with its score, best first; of equal scores the one that the dialect has first."""
        if not self.codec.later_first:
            return super().order(scores)
        return sorted(enumerate(scores), key=lambda ranked: (ranked[1], ranked[0]), reverse=True)

    # encode

    def encode(
        self, status: int, payload: Any, headers: Mapping[str, str] | None = None
    ) -> ReferenceResponse:
        """Return the response as it is sent; an error in the dialect's form."""
        return super().encode(status, self._error(status, payload) if status >= 400 else payload, headers)

    def _error(self, status: int, envelope: Any) -> Any:
        """Return the canonical error in the dialect's form; a server under test may have anything wrong in it."""
        error: object = envelope.get("error") if isinstance(envelope, dict) else None
        message: object = cast("Body", error).get("message") if isinstance(error, dict) else None
        return self.codec.refused(status, message)


class SpeakingTei(Speaking):
    """The reference of TEI: it has `/info` and `/health` beside `/rerank`, and errors without a body or in plain text."""

    def admit(self, request: ReferenceRequest) -> None:
        """Let everyone see `/health`."""
        if not request.path.endswith("/health"):
            super().admit(request)

    def route(self, request: ReferenceRequest) -> None:
        """Refuse every path that TEI does not have."""
        if not request.path.endswith(("/rerank", "/info", "/health")):
            raise Refusal(404, "")

    def method(self, request: ReferenceRequest) -> None:
        """Refuse every method but POST, and to get the information every one but GET and HEAD."""
        if request.path.endswith("/info"):
            if request.method not in ("GET", "HEAD"):
                raise Refusal(405, "", {"allow": "GET,HEAD"})
        else:
            super().method(request)

    def authenticate(self, request: ReferenceRequest) -> None:
        """Compare the scheme letter by letter; a refusal names no scheme."""
        try:
            super().authenticate(request)
        except Refusal as refusal:
            raise Refusal(refusal.status, refusal.message) from refusal
        if self._keys is not None and not request.headers.get("authorization", "").startswith("Bearer "):
            raise Refusal(401, "")

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        """Show what the server is, or rank."""
        if request.path.endswith("/rerank"):
            return super().respond(request)
        self.admit(request)
        if request.path.endswith("/health"):
            return ReferenceResponse(200, {}, b"")
        return self.encode(200, self.info())

    def info(self) -> Body:
        """Return what the server says of itself."""
        # contracts/dialects/tei.yaml#/components/schemas/Info
        return {
            "model_id": self.model,
            "model_sha": None,
            "model_dtype": "float32",
            "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
            "max_concurrent_requests": 512,
            "max_input_length": 512,
            "max_batch_tokens": 16384,
            "max_client_batch_size": Tei.max_client_batch_size,
            "auto_truncate": True,
            "tokenization_workers": 1,
            "version": "1.9.3",
        }

    def encode(
        self, status: int, payload: Any, headers: Mapping[str, str] | None = None
    ) -> ReferenceResponse:
        """Return the response: 401, 404 and 405 without a body, errors of the shape as plain text."""
        answer = super().encode(status, payload, headers)
        if status in {401, 404, 405}:
            kept = {name: value for name, value in answer.headers.items() if name != "content-type"}
            return ReferenceResponse(status, kept, b"")
        if status >= 400 and answer.headers["content-type"].startswith(_PLAIN):
            return answer._replace(body=str(self._error(status, payload)["error"]).encode())
        return answer


def speaking(dialect: str, server: type[Reference] = Reference) -> type[Reference]:
    """Return the server of a dialect.

    Args:
        dialect: The name of the dialect; the canonical form leaves the server as it is.
        server: The reference, or a server that alters it.

    Raises:
        ValueError: There is no dialect of that name.
    """
    codec = codec_named(dialect)
    if codec is None:
        return server
    below = SpeakingTei if isinstance(codec, Tei) else Speaking
    bases = (below,) if server is Reference else (server, below)
    return type(f"{server.__name__}_{below.__name__}", bases, {"codec": codec, "__doc__": server.__doc__})


def example(dialect: str, request: Body) -> Body:
    """Return a canonical request in a dialect.

    Args:
        dialect: The name of the dialect.
        request: The canonical request.
    """
    codec = codec_named(dialect)
    return request if codec is None else codec.encode(request)
