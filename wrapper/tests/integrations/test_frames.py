"""No local variable of ours shows what a refused adapter was given."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

KEY = "sk-or-v1-the-key-that-nobody-may-see"
REFUSED: list[dict[str, Any]] = [
    {"api_key": KEY, "top_n": 0},
    {"api_key": KEY, "base_url": f"https://u:{KEY}@h.example/v1"},
    {"api_key": KEY, "extra_headers": {"X-Key": f"{KEY}\n"}},
    {"apikey": KEY},
]


@pytest.mark.parametrize("given", REFUSED, ids=lambda given: list(given)[-1])
@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_refused_adapter_hides_its_arguments(framework: str, given: dict[str, Any]) -> None:
    """The traceback of a refusal has no local variable of ours with a secret in it."""
    pytest.importorskip(f"{framework}_core" if framework == "langchain" else f"{framework}.core")
    adapter: Any = import_module(f"openrouter_rerank.integrations.{framework}").OpenRouterRerank
    with pytest.raises((TypeError, ValueError)) as caught:
        adapter(**given)

    assert KEY not in str(caught.value)
    frame = caught.value.__traceback__
    while frame is not None:
        if "openrouter_rerank" in frame.tb_frame.f_code.co_filename:
            assert KEY not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next
