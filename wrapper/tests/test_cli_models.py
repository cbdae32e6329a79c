"""The command `rerank models` does what its help says: what it asks, what it prints, how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("click", reason="the extra `cli` is not installed")
pytest.importorskip("rich", reason="the extra `cli` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from click.testing import CliRunner, Result

from openrouter_rerank.cli.app import app
from openrouter_rerank.cli.models import _plain
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import running
from shells import KEY

LISTED: list[dict[str, Any]] = [
    {
        "id": "a/by-search",
        "context_length": 4096,
        "pricing": {"prompt": "0", "completion": "0", "request": "0.0025"},
    },
    {"id": "b/by-token", "context_length": 32000, "pricing": {"prompt": "0.00000005", "completion": "0"}},
    {"id": "c/both", "pricing": {"prompt": "0.000001", "completion": "0", "request": "1"}},
    {
        "id": "d/zero:free",
        "context_length": 10240,
        "pricing": {"prompt": "0", "completion": "0", "request": "0"},
    },
    {"id": "e/red\x1b[31m[bold]", "pricing": {"prompt": "-1", "completion": "0"}},
    {"id": f"f/{'long-' * 20}name", "context_length": 1_000_000},
]


class Priced(Reference):
    """A server of several models."""

    def models(self) -> list[dict[str, Any]]:
        """Those of the table above."""
        (model,) = super().models()
        return [model | listed for listed in LISTED]


class Bare(Reference):
    """A server that has no list of models."""

    def models(self) -> list[dict[str, Any]]:
        """None."""
        from rerank_conformance.reference import Refusal

        raise Refusal(404, "No such path")


def models(*args: str, key: str | None = None, **environment: str) -> Result:
    """`rerank models`, in this process; any exception but its exit is raised."""
    env = {"OPENROUTER_API_KEY": key, "COLUMNS": "40", **environment}
    result = CliRunner().invoke(app, ["models", *args], env=env, catch_exceptions=False)
    assert KEY not in result.output
    return result


@contextmanager
def at(kind: type[Reference], **options: Any) -> Generator[list[str]]:
    """Provide the option that names a server of this kind."""
    with running(kind(**options)) as url:
        yield ["--base-url", url]


def good(result: Result) -> str:
    """Return the output of a command that succeeded."""
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def failed(result: Result, code: int, says: str) -> None:
    """Assert that the command printed nothing but one error line, and ended with the code."""
    assert (result.stdout, result.exit_code) == ("", code)
    assert re.fullmatch(r"rerank: [^\n]+\n", result.stderr)
    assert says in result.stderr


def test_a_table() -> None:
    """A line to a model: ids are whole however narrow the terminal is, and a price that is not known is no number."""
    with at(Priced) as server:
        table = good(models(*server, "--format", "table"))

    heading, *lines, last = table.splitlines()
    assert heading.split() == ["id", "context", "price"]
    assert [re.split(r"  +", line) for line in lines] == [
        ["a/by-search", "4,096", "$0.0025 / search"],
        ["b/by-token", "32,000", "$0.05 / M tokens"],
        ["c/both", "unknown", "$1 / search, $1 / M tokens"],
        ["d/zero:free", "10,240", "unknown"],
        ["e/red\ufffd[31m[bold]", "unknown", "unknown"],
        [f"f/{'long-' * 20}name", "1,000,000", "unknown"],
    ]
    assert last == "6 models · unknown does not mean free: the list has no price for it"
    assert not re.search(r"\$0(?![.\d])", table)


def test_json_lines() -> None:
    """A line to a model, with null for what is not known; this is the default where no terminal is."""
    with at(Priced) as server:
        printed = good(models(*server))

    read = [json.loads(line) for line in printed.splitlines()]
    assert [model["id"] for model in read] == [model["id"] for model in LISTED]
    assert [model["price_per_search"] for model in read] == [0.0025, None, 1.0, None, None, None]
    assert [model["price_per_token"] for model in read] == [None, 5e-8, 1e-6, None, None, None]
    assert read[0]["input_modalities"] == ["text"]


def test_json() -> None:
    """One object with the same models as the lines."""
    with at(Priced) as server:
        whole = json.loads(good(models(*server, "--format", "json")))
        lines = good(models(*server, "--format", "jsonl"))

    assert whole == {"models": [json.loads(line) for line in lines.splitlines()]}


@pytest.mark.parametrize("form", ["table", "jsonl", "json"])
def test_local(form: str) -> None:
    """Without a server what ranks on this machine is listed."""
    assert "local/lexical" in good(models("--local", "--format", form))


def test_nothing() -> None:
    """A server without models that rank is told as that, and printed as nothing."""

    class Empty(Reference):
        def models(self) -> list[dict[str, Any]]:
            return []

    with at(Empty) as server:
        assert good(models(*server, "--format", "table")) == "0 models\n"
        assert good(models(*server, "--format", "jsonl")) == ""
        assert good(models(*server, "--format", "json")) == '{"models":[]}\n'


def test_the_key_goes_along() -> None:
    """A server that wants the key gets it from the environment, and without it refuses."""
    with at(Priced, keys={KEY}) as server:
        assert good(models(*server, key=KEY))
        failed(models(*server), 1, "401 Unauthorized")


def test_the_vendors_list_needs_no_key() -> None:
    """Without a key the list is asked for all the same; here a proxy that is not there keeps it on this machine."""
    nobody = "http://127.0.0.1:1"

    failed(
        models("--timeout", "5", HTTPS_PROXY=nobody, https_proxy=nobody, NO_PROXY="", no_proxy=""),
        1,
        "cannot reach https://openrouter.ai/api/v1/models",
    )


def test_a_server_without_a_list() -> None:
    """Its 404 is an error of the call."""
    with at(Bare) as server:
        failed(models(*server), 1, "404 Not Found")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--local", "--base-url", "http://127.0.0.1:1"], "--local: cannot be combined with"),
        (["--scorer", "lexical"], "add --local"),
        (["--model", "m", "--local"], "no such option: '--model'"),
        (["--format", "yaml", "--local"], "'yaml' is not one of"),
        (["--base-url", "ftp://x"], "--base-url must be an http(s) URL"),
        (["extra", "--local"], "unexpected extra argument"),
    ],
)
def test_bad_usage(args: list[str], says: str) -> None:
    """It is told in one line, before anything is sent."""
    failed(models(*args), 2, says)


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (0.001, "0.001"),
        (0.0025, "0.0025"),
        (1.0, "1"),
        (100.0, "100"),
        (12345.6, "12350"),
        (5e-8 * 1e6, "0.05"),
        (1e-12, "0.000000000001"),
        (1.23456e-7, "0.0000001235"),
    ],
)
def test_prices_are_plain(price: float, text: str) -> None:
    """A price has four digits and no exponent, and is never 0 by rounding."""
    assert _plain(price) == text
