"""The first calls of a process, made by several threads at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from threading import Barrier, Thread
{imports}

together = Barrier(8)

def work():
    together.wait()
    {call}

sys.setswitchinterval(1e-7)
threads = [Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
ANSWER = b'{"model": "m", "results": [{"index": 0, "relevance_score": 1, "document": {"text": "a"}}]}'
REPORT = json.dumps(
    {
        "complete": True,
        "target": "http://h.example/v1",
        "contract_version": "1.0.0",
        "tool_version": "0.1.0",
        "verdict": "conformant",
        "requests": 1,
        "elapsed_s": 0.5,
        "seed": 1,
        "command": "rerank-conformance check http://h.example/v1",
        "rules": [],
    }
)
FIRST = {
    "request": (
        "from openrouter_rerank import Reranker; reranker = Reranker.local()",
        'reranker.rerank("q", ["a"], provider={"sort": {"by": "price"}, "max_price": {"image": 1}}, trace={"a": 1})',
    ),
    "operation": (
        "from openrouter_rerank_api.api.rerank import create_rerank",
        f"create_rerank.parse(200, {ANSWER!r})",
    ),
    "model": (
        "from openrouter_rerank_api.models import ErrorResponse; from openrouter_rerank_api.types import convert",
        'convert({"error": {"code": 400, "message": "m", "metadata": {}}}, ErrorResponse)',
    ),
    "report": ("from rerank_conformance.report import Report", f"Report.from_json({REPORT!r})"),
}


@pytest.mark.parametrize(("imports", "call"), FIRST.values(), ids=FIRST)
def test_first_calls_at_once(imports: str, call: str) -> None:
    """No thread crashes the process: msgspec does if two threads meet a new class at once."""
    program = PROGRAM.format(imports=imports, call=call)
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
