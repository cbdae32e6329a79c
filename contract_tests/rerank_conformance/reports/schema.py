"""The JSON schemas of a report and of a comparison, derived from their types.

`python -m rerank_conformance.reports.schema` writes the files beside this module.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from rerank_conformance.report import Report
from rerank_conformance.reports.comparison import Comparison

_RULE = {
    "id": "The rule: its section, a dot, and its name. An id keeps its meaning.",
    "level": "The requirement level. MUST counts for the verdict; SHOULD counts only with --strict.",
    "conformance_level": "The lowest conformance level that includes the rule. Each level includes the ones before it.",
    "requirement": "The requirement in one sentence.",
}
_RUN = {
    "target": "The base URL of the server, or the name of an app or transport in process.",
    "contract_version": "The version of the contract by which the server was judged.",
    "dialect": "The form of the API by which the server was judged; openrouter is the contract's own.",
    "tool_version": "The version of openrouter-rerank that judged.",
    "verdict": (
        "The verdict of the conformance level that decides. nonconformant: a rule that counts is broken. undecided: no such rule "
        "is broken, but not all could be judged. no-failure-found: a quick check, which cannot prove conformance, found no failure."
    ),
    "conformance_level": "The level that decides the verdict and the exit code, as set by --level.",
    "verdicts": "The verdict of each level; empty in reports of earlier versions.",
    "quick": "True if only the essential rules were judged.",
    "requests": "The number of requests sent, including repeats.",
    "elapsed_s": "The duration of the check in seconds.",
    "seed": "The value for --seed that generates the same requests again.",
}
DESCRIPTIONS: dict[str, dict[str, str]] = {
    "Report": {
        **_RUN,
        "repeats": "The number of repeats, because the server answered 429 or 503, closed the connection or timed out.",
        "rules": "The selected rules, in the order of the kit.",
        "command": "The command line that repeats the check; null if it was run from code.",
        "complete": "The end mark; a report without it is truncated.",
    },
    "RuleResult": {
        **_RULE,
        "source": "The source in the contract: a JSON pointer into openapi.yaml, or the path and a pointer of a dialect's contract.",
        "verdict": (
            "known: an expected failure. undecided: nothing could be concluded, for example because the server was "
            "overloaded. skip: there was nothing to judge. error: a fault of the kit, not of the server."
        ),
        "line": "The line of the source in openapi.yaml, from 1.",
        "expected": "What the rule requires in this case; set on failures.",
        "actual": "What the server did instead; set on failures. It may quote an answer.",
        "curl": "Commands for a POSIX shell that reproduce the failure, one per line. They name the variable of the key, not the key.",
        "mend": "The usual fix; set on failures.",
        "touched": "The rules that fail only by the same cause, and are skipped.",
        "examples": "Further failures of the rule, at most two.",
        "reason": "The reason why it was skipped, undecided, known or in error; on a pass, a note that a failure was expected.",
        "issue": "The link to the issue of an expected failure.",
    },
    "Example": {
        "expected": "What the rule requires in this case.",
        "actual": "What the server did instead.",
        "curl": "A command that reproduces the failure.",
    },
    "Comparison": {
        "contract_versions": "The versions of the contract, each once; with more than one, the rules differ between servers.",
        "servers": "The servers, in the order of the reports.",
        "rules": "The rules of all reports, by section.",
        "complete": "The end mark.",
    },
    "ComparedServer": {
        **_RUN,
        "name": "The target, with the file of the report if two reports have the same target.",
        "file": "The file of the report, as passed to the command.",
    },
    "ComparedRule": {
        **_RULE,
        "outcomes": "The outcome of the rule, by name of the server. A server whose report lacks the rule is absent.",
    },
}
FILES: dict[str, type[msgspec.Struct]] = {
    "report.schema.json": Report,
    "comparison.schema.json": Comparison,
}
_OPTIONAL = {  # fields that reports of earlier versions lack
    "line",
    "conformance_level",
    "verdicts",
    "quick",
    "command",
    "examples",
    "mend",
    "touched",
    "issue",
    "repeats",
}


def of(value: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the output of `to_json`."""
    schema = msgspec.json.schema(value)
    for name, definition in schema["$defs"].items():
        for field, about in definition["properties"].items():
            about["description"] = DESCRIPTIONS[name][field]
            about.pop("default", None)
        # to_json writes every field, also those that the constructor does not require
        definition["required"] = [field for field in definition["properties"] if field not in _OPTIONAL]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:rerank-conformance:{value.__name__.lower()}",
        **schema,
    }


def text(value: type[msgspec.Struct]) -> str:
    """Return the text of the schema file."""
    return json.dumps(of(value), indent=2) + "\n"


if __name__ == "__main__":
    for _name, _value in FILES.items():
        (Path(__file__).parent / _name).write_text(text(_value), "utf-8")
