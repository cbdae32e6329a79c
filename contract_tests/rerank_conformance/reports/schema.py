"""The JSON schemas of a report and of a comparison, made from the values themselves.

`python -m rerank_conformance.reports.schema` writes the files beside this module; a test says when they are old.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from rerank_conformance.report import Report
from rerank_conformance.reports.comparison import Comparison

_RULE = {
    "id": "The rule: its section, a dot, and its name. An id keeps its meaning.",
    "level": "The requirement level. MUST counts for the verdict; SHOULD does only where --strict was given.",
    "conformance_level": "The lowest conformance level that includes the rule. Each level includes the ones before it.",
    "requirement": "What is asked, in one sentence.",
}
_RUN = {
    "target": "The URL under which /rerank lies, without user and query; or what was checked in process.",
    "contract_version": "The version of the contract whose rules were judged.",
    "dialect": "The form of the API by which the server was judged; openrouter is that of the contract.",
    "tool_version": "The version of openrouter-rerank that judged.",
    "verdict": (
        "Of the conformance level that decides. nonconformant: a rule that counts is broken. undecided: none is, but not "
        "all could be judged. no-failure-found: a quick check, which cannot show that a server is conformant, found none."
    ),
    "conformance_level": "The level that decides verdict and exit code, as --level says.",
    "verdicts": "The verdict of each level; empty if the report was written without.",
    "quick": "True if only the essential rules were judged.",
    "requests": "How many requests were sent, the repeats included.",
    "elapsed_s": "How long the check took, in seconds.",
    "seed": "What --seed takes to send the same generated requests again.",
}
DESCRIPTIONS: dict[str, dict[str, str]] = {
    "Report": {
        **_RUN,
        "repeats": "How many of them were sent again, as the server refused them by 429 or 503, closed the connection or timed out.",
        "rules": "Every rule that was asked for, in the order of the kit.",
        "command": "The command line that runs the same check again; null if none ran it.",
        "complete": "The end mark, which comes last: a report without it was cut off.",
    },
    "RuleResult": {
        **_RULE,
        "source": "Where the contract says so: a JSON pointer into openapi.yaml; into the contract of a dialect, with its path in the repository before it.",
        "verdict": (
            "known: it failed, and that was expected. undecided: nothing could be concluded, as when the server was "
            "overloaded. skip: nothing to judge it by. error: a fault of the kit, never of the server."
        ),
        "line": "The line of that place in openapi.yaml, from 1.",
        "expected": "What the rule asks for in the case at hand; set on failures.",
        "actual": "What came instead; set on failures. It may quote what the server sent.",
        "curl": "Commands for a POSIX shell that show it again, one on a line. In place of the key they name its variable.",
        "mend": "How servers usually mend it; set on failures.",
        "touched": "The rules that fail by the same cause alone, and are skipped.",
        "examples": "Further failures of the rule, at most two.",
        "reason": "Why it was skipped, undecided, known or in error; on a pass, that a failure had been expected.",
        "issue": "The link to the issue of an expected failure.",
    },
    "Example": {
        "expected": "What the rule asks for in this case.",
        "actual": "What came instead.",
        "curl": "A command that shows it again.",
    },
    "Comparison": {
        "contract_versions": "The versions of the contract, each once. More than one: other rules for other servers.",
        "servers": "One for each report, in the order given.",
        "rules": "Every rule of any of the reports, by section.",
        "complete": "The end mark, which comes last.",
    },
    "ComparedServer": {
        **_RUN,
        "name": "The target; with the file of the report where two reports are of one target.",
        "file": "The file of the report, as it was given.",
    },
    "ComparedRule": {
        **_RULE,
        "outcomes": "What became of the rule, by the name of the server. A server whose report lacks the rule is absent.",
    },
}
FILES: dict[str, type[msgspec.Struct]] = {
    "report.schema.json": Report,
    "comparison.schema.json": Comparison,
}
_OPTIONAL = {  # reports have them since they were added
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
    """Return the JSON schema, draft 2020-12, of what `to_json` of the type writes."""
    schema = msgspec.json.schema(value)
    for name, definition in schema["$defs"].items():
        for field, about in definition["properties"].items():
            about["description"] = DESCRIPTIONS[name][field]
            about.pop("default", None)
        # all fields are written; that some may be left out concerns who makes the values
        definition["required"] = [field for field in definition["properties"] if field not in _OPTIONAL]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:rerank-conformance:{value.__name__.lower()}",
        **schema,
    }


def text(value: type[msgspec.Struct]) -> str:
    """Return the schema as it stands in its file."""
    return json.dumps(of(value), indent=2) + "\n"


if __name__ == "__main__":
    for _name, _value in FILES.items():
        (Path(__file__).parent / _name).write_text(text(_value), "utf-8")
