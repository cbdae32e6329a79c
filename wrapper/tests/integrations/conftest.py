"""Shared by the tests of the adapters: a server on loopback that requires a key, and their page of the docs."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from shells import KEY

PAGE = Path(__file__).parents[3] / "docs" / "frameworks.md"


@pytest.fixture
def server():
    """Provide the reference server, which lets in one key: with its `url`, and the bodies that it was `sent`."""
    reference = pytest.importorskip("rerank_conformance.reference", reason="the extra serve is not installed")
    asgi = pytest.importorskip(
        "rerank_conformance.reference.asgi", reason="the extra serve is not installed", exc_type=ImportError
    )

    class Recording(reference.Reference):
        def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes):
            self.sent.append(json.loads(body))
            return super().answer(method, path, headers, body)

    recording = Recording(keys=[KEY])
    recording.sent = []
    with asgi.running(recording) as recording.url:
        yield recording


@pytest.fixture
def shown(capsys):
    """Run the examples in a section of docs/frameworks.md, which print what it shows; return the number of lines printed."""

    def run(section: str) -> int:
        if not PAGE.is_file():
            pytest.skip("there are no docs away from the repository")
        text = PAGE.read_text(encoding="utf-8")
        found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
        assert found
        names = {"__name__": "page"}
        lines = 0
        for code, printed in re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", found[1], re.DOTALL):
            exec(compile(code, f"{PAGE}, {section}", "exec"), names)  # noqa: S102 - the page is ours
            assert capsys.readouterr().out == printed
            lines += printed.count("\n")
        return lines

    return run
