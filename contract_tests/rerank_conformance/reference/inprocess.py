"""The reference server behind an httpx client, sync or async, in the same process; no socket is opened."""

import httpx

from rerank_conformance.reference.server import Reference, ReferenceResponse, target
from rerank_conformance.reference.threads import run_abandonable


class ReferenceTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that has the reference server answer: `httpx.Client(transport=ReferenceTransport(Reference()))`.

    Under an `AsyncClient` it ranks in a worker thread, so that the event loop goes on; what a cancelled call
    began runs out there, unless the process ends before.
    """

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in the calling thread."""
        request.read()
        return _response(self._answer(request))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in a worker thread."""
        await request.aread()
        return _response(await run_abandonable(self._answer, request))

    def _answer(self, request: httpx.Request) -> ReferenceResponse:
        place = target(request.url.path, request.url.query.decode("ascii"))
        return self.reference.answer(request.method, place, request.headers, request.content)


def _response(answer: ReferenceResponse) -> httpx.Response:
    return httpx.Response(answer.status, headers=answer.headers, content=answer.body)
