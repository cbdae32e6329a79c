"""Servers on loopback, healthy and odd, and their diagnoses."""

import json
import shlex
from urllib.parse import urlsplit

import pytest

pytest.importorskip("click", reason="the extra `cli` is not installed")
pytest.importorskip("rich", reason="the extra `cli` is not installed")

from click.testing import CliRunner

from doctor_servers import HEALTHY, ODD, Healthy, Odd
from openrouter_rerank import Reranker
from openrouter_rerank.cli.app import app
from openrouter_rerank.doctor import CODES, diagnose
from openrouter_rerank.testing import serving

MOST = 25


def host_of(url: str) -> str:
    """Return a URL without its path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@pytest.mark.parametrize("case", HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_server_has_no_problem_and_a_configuration_that_works(
    case: Healthy, monkeypatch: pytest.MonkeyPatch
):
    """Of a healthy server only its limits are reported; its dialect and address are found, and the lines work."""
    monkeypatch.setenv("OPENROUTER_API_KEY", case.api_key)
    with serving(case.spec.play()) as server:
        host = host_of(server.url)
        found = diagnose(host + case.spec.url, model=case.model)
        assert {problem.code for problem in found.problems} == case.warns, found
        assert found.is_usable
        assert found.dialect == case.dialect
        assert found.base_url == host + (case.spec.url if case.base is None else case.base)
        assert found.requests <= MOST
        assert found.requests == len(server.requests)
        names: dict[str, Reranker] = {}
        assert found.configuration.python is not None
        exec(found.configuration.python, names)  # noqa: S102 - it is to be pasted
        with names["reranker"] as reranker:
            ranking = reranker.rerank(
                "Who wrote Hamlet?", ["Penguins cannot fly.", "Shakespeare wrote Hamlet."]
            )
            assert sorted(hit.index for hit in ranking) == [0, 1]
            if found.facts["separation"] == "clear":
                assert ranking[0].index == 1
        documents, _, line = (found.configuration.shell or "").partition(" | ")
        words = shlex.split(line)
        unset = words[0].startswith("OPENROUTER_API_KEY=")
        result = CliRunner(env={"OPENROUTER_API_KEY": None} if unset else {}).invoke(
            app, [*words[1 + unset :], "--format", "json"], input="\n".join(shlex.split(documents)[2:])
        )
        assert result.exit_code == 0, result.output
        hits = json.loads(result.stdout)["hits"]
        assert sorted(hit["index"] for hit in hits) == [0, 1]


@pytest.mark.parametrize("case", ODD.values(), ids=ODD)
def test_an_odd_server_is_named_by_its_fault(case: Odd):
    """The fault of a server is reported, and nothing else is."""
    with serving(case.spec.play()) as server:
        found = diagnose(host_of(server.url) + case.spec.url, api_key=case.api_key, model=case.model)
        sent = len(server.requests)
    codes = {problem.code for problem in found.problems}
    assert case.code in codes, found
    assert codes <= {case.code, *case.more}, found
    assert any(case.says in problem.says + problem.do for problem in found.problems), found
    assert found.requests <= MOST
    assert found.requests == sent + (case.code == "unreachable")  # it also asks by TLS, which no server reads


def test_the_doctor_waits(pauses: list[float]):
    """It waits before each retry of a transient refusal, longer each time."""
    case = ODD["too many requests, later"]
    with serving(case.spec.play()) as server:
        diagnose(host_of(server.url) + case.spec.url, api_key=case.api_key, model=case.model)
    assert [round(pause, 1) for pause in pauses] == [0.4, 0.8, 1.2, 1.6]


def test_every_code_has_a_server():
    """Each code is tried; those of connections have tests of their own."""
    elsewhere = {"tls", "timeout"}
    assert {case.code for case in ODD.values()} == set(CODES) - elsewhere
