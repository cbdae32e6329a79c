from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class Trace(Model):
    """Names of the request in observability tools. Any other key is passed on to them unchanged.

    Example: {'trace_name': 'answer-question', 'span_name': 'rerank-candidates'}"""

    trace_id: str | Unset = UNSET
    """Id of the trace that the request belongs to.

    Example: 4bf92f3577b34da6a3ce929d0e0e4736"""
    trace_name: str | Unset = UNSET
    """Name of the trace.

    Example: answer-question"""
    span_name: str | Unset = UNSET
    """Name of the request's span.

    Example: rerank-candidates"""
    generation_name: str | Unset = UNSET
    """Name of the generation.

    Example: rerank"""
    parent_span_id: str | Unset = UNSET
    """Id of the parent span.

    Example: 00f067aa0ba902b7"""
