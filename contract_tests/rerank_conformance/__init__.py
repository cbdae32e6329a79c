"""The conformance kit: judges any server by openapi.yaml; it shares no code with the clients.

`check(target)` gives a `Report`. What it needs is imported when it is first asked for, so that the reference server
alone costs no more than it did.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rerank_conformance.report import Report as Report
    from rerank_conformance.running import check as check

__all__ = ["Report", "check"]


def __getattr__(name: str) -> Any:
    if name == "check":
        from rerank_conformance.running import check  # noqa: PLC0415 - only who checks needs schemathesis

        return check
    if name == "Report":
        from rerank_conformance.report import Report  # noqa: PLC0415 - likewise

        return Report
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
