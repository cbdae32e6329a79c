"""The comparer of OpenAPI documents: `nox -s changes` and `nox -s upstream` stand on it."""
