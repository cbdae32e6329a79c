"""The reference server: the smallest honest server of the contract; it ranks by a scorer, not by a model.

`Reference.answer` is the server, a function without I/O. The shells around it need libraries of their own and
are imported by name: `.asgi` (Starlette and uvicorn) and `.inprocess` (httpx, without a socket).
"""

from rerank_conformance.reference.server import Reference, ReferenceRequest, ReferenceResponse, Refusal

__all__ = ["Reference", "ReferenceRequest", "ReferenceResponse", "Refusal"]
