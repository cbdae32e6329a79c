"""An adapter without its framework."""

import importlib
import sys

import pytest

ADAPTERS = [
    pytest.param("langchain", "langchain_core", "langchain", id="langchain"),
    pytest.param("llama_index", "llama_index", "llama-index", id="llama_index"),
    pytest.param("haystack", "haystack", "haystack", id="haystack"),
    pytest.param("ray", "ray", "ray", id="ray"),
    pytest.param("opentelemetry", "opentelemetry", "otel", id="opentelemetry"),
]


@pytest.mark.parametrize(("module", "framework", "extra"), ADAPTERS)
def test_a_framework_that_is_not_there(monkeypatch, module, framework, extra):
    """An adapter whose framework is not installed says what is missing, and which extra brings it."""
    monkeypatch.delitem(sys.modules, f"openrouter_rerank.integrations.{module}", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == framework]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, framework, None)

    with pytest.raises(
        ImportError, match=rf"openrouter-rerank\[{extra}\]', or '\.\[{extra}\]' in a clone"
    ) as caught:
        found = importlib.import_module(f"openrouter_rerank.integrations.{module}")
        found.__getattr__("Job")  # that of Ray is imported when it is first used

    assert framework in str(caught.value)
