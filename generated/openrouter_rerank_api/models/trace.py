from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class Trace(Model):
    """Names that observability tools show for the request. Every further key is passed on to them as it is.

    Example: {'trace_name': 'answer-question', 'span_name': 'rerank-candidates'}"""

    trace_id: str | Unset = UNSET
    """The id of the trace that the request belongs to.

    Example: 4bf92f3577b34da6a3ce929d0e0e4736"""
    trace_name: str | Unset = UNSET
    """The name of that trace.

    Example: answer-question"""
    span_name: str | Unset = UNSET
    """The name of the span of the request.

    Example: rerank-candidates"""
    generation_name: str | Unset = UNSET
    """The name of the generation.

    Example: rerank"""
    parent_span_id: str | Unset = UNSET
    """The id of the span that the request happens in.

    Example: 00f067aa0ba902b7"""
