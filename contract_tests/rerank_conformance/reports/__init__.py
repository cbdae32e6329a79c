"""Reports for people and for machines: an HTML page, JUnit, a badge, a terminal, and several reports as a matrix.

Nothing here judges; what became of a rule stands in `rerank_conformance.report`.
"""
