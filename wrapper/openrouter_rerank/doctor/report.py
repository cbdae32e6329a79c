"""The result of a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

Severity: TypeAlias = Literal["error", "warning"]

WARNINGS = frozenset(
    ["unsorted", "ignores_top_n", "truncates", "drops_documents", "batch_limit", "context_limit"]
)
"""The codes of problems with which a server is usable."""

CODES = (
    "unreachable",
    "tls",
    "timeout",
    "wrong_path",
    "not_rerank",
    "needs_key",
    "wrong_key",
    "unknown_model",
    "rate_limited",
    "loading",
    "server_error",
    "constant_scores",
    "degenerate_scores",
    "invalid_scores",
    "inverted_order",
    "random_scores",
    "shifted_index",
    "proxy_error",
    *sorted(WARNINGS),
)
"""The codes of all problems."""


class Problem(msgspec.Struct, frozen=True):
    """A problem of a server or of its configuration."""

    code: str
    """One of `CODES`."""
    severity: Severity
    """An error makes the server unusable as it is configured; a warning does not."""
    says: str
    """The problem, with its evidence."""
    do: str
    """The next step."""


class Configuration(msgspec.Struct, frozen=True):
    """The lines that use the server; None where it is not known how to."""

    python: str | None = None
    shell: str | None = None


class Diagnosis(msgspec.Struct, frozen=True):
    """The result of `diagnose`."""

    url: str
    """The URL that was given."""
    base_url: str
    """The `base_url` to write."""
    dialect: str
    """The server's dialect; "unknown" where no dialect was recognized."""
    problems: tuple[Problem, ...]
    """The problems, errors first."""
    facts: Mapping[str, Any]
    """The other findings; a fact that was not found out is missing."""
    requests: int
    """The number of requests that were sent."""
    elapsed_s: float
    """The seconds that it took."""
    configuration: Configuration

    @property
    def is_usable(self) -> bool:
        """True if there is no error among the problems."""
        return all(problem.severity != "error" for problem in self.problems)

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0 if usable, else 1."""
        return 0 if self.is_usable else 1

    def to_json(self) -> str:
        """Return the diagnosis as a JSON object, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def problem(code: str, says: str, do: str, severity: Severity | None = None) -> Problem:
    """Return a problem with the severity of its code, unless another is given."""
    return Problem(code, severity or ("warning" if code in WARNINGS else "error"), says, do)
