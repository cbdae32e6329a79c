"""A further dialect is one contract and one codec, for the client and for the judge; no other file changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
CONTRACT = """\
openapi: 3.1.0
info: {title: Acme, version: 1.0.0}
security: [{apiKey: []}]
paths:
  /order:
    post:
      operationId: createRerank
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: '#/components/schemas/RerankRequest'}}}
      responses:
        '200':
          description: A ranking.
          content: {application/json: {schema: {$ref: '#/components/schemas/RerankResponse'}}}
        '400': {$ref: '#/components/responses/Problem'}
        '401': {$ref: '#/components/responses/Problem'}
        '422': {$ref: '#/components/responses/Problem'}
components:
  securitySchemes: {apiKey: {type: http, scheme: bearer}}
  responses:
    Problem:
      description: A problem.
      content: {application/json: {schema: {$ref: '#/components/schemas/Problem'}}}
  schemas:
    Problem:
      type: object
      required: [trouble]
      properties: {trouble: {type: string, description: What is wrong., example: no}}
    RerankRequest:
      type: object
      required: [question, passages, engine]
      properties:
        question: {type: string, x-carries: query, description: The query., example: q}
        passages: {type: array, minItems: 1, items: {type: string}, x-carries: documents, description: Texts., example: [a]}
        engine: {type: string, x-carries: model, description: The model., example: m}
        limit: {type: integer, minimum: 1, x-carries: top_n, description: The number of results., example: 1}
        depth: {type: integer, minimum: 0, maximum: 5, description: How deep it looks., example: 3}
    RerankResponse:
      type: object
      required: [found]
      properties:
        found: {type: array, items: {$ref: '#/components/schemas/Found'}, description: The ranking., example: []}
    Found:
      type: object
      required: [place, weight]
      properties:
        place: {type: integer, minimum: 0, description: The position., example: 0}
        weight: {type: number, description: The score., example: 0.5}
"""
CODEC = '''\
"""Acme."""

from openrouter_rerank.dialects.codec import Codec
from openrouter_rerank.readers import items, members

CODEC = Codec(
    name="acme",
    title="Acme",
    results="found",
    index="place",
    scores=("weight",),
    messages=("trouble",),
    is_answer=lambda body: bool(items(members(body).get("found"))),
    is_error=lambda body: "trouble" in members(body),
)
'''
JUDGE = '''\
"""Acme."""

from rerank_conformance.dialects.codec import DialectCodec, Entry, renamed, results_of


class Acme(DialectCodec):
    """Other names."""

    name = "acme"
    model = "m"
    results = "found"
    score = "weight"
    unauthorized = ("no key", "wrong key")
    differs = (
        Entry(
            "not applicable",
            "an answer has the results alone",
            ("answer.echo-present", "answer.model", "answer.id-present", "answer.usage-present"),
        ),
        Entry("own form", "a refusal has the dialect's form", ("method.envelope",)),
    )

    def write(self, answer, request):
        """Return the results alone."""
        found = renamed(results_of(answer), score="weight")
        return {"found": [_named(one, "index", "place") for one in found]} if "results" in answer else {}

    def refused(self, status, message):
        """Return the message."""
        return {"trouble": message}

    def decoded(self, results):
        """Return the position by its canonical name."""
        found = super().decoded(results)
        return [_named(one, "place", "index") for one in found] if isinstance(found, list) else found


def _named(result, old, new):
    return {new if name == old else name: value for name, value in result.items()} if isinstance(result, dict) else result


CODEC = Acme()
'''


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources with a further contract and its codecs, after generation."""
    root = tmp_path_factory.mktemp("acme")
    for name in (
        "contract_tests/rerank_conformance",
        "contracts",
        "docs/_site",
        "generated/openrouter_rerank_api",
        "generator-templates",
        "wrapper/openrouter_rerank",
    ):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "openapi.yaml", root)
    (root / "contracts/dialects/acme.yaml").write_text(CONTRACT, "utf-8")
    (root / "wrapper/openrouter_rerank/dialects/acme.py").write_text(CODEC, "utf-8")
    (root / "contract_tests/rerank_conformance/dialects/acme.py").write_text(JUDGE, "utf-8")
    written = "generated/openrouter_rerank_api/dialects.py"
    run(root, "generator-templates/write_dialects.py", "openapi.yaml", written)
    # The client takes any path; the judge is one of POST /rerank.
    (root / "contracts/dialects/acme.yaml").write_text(CONTRACT.replace("/order", "/rerank"), "utf-8")
    return root


def run(root: Path, *command: str) -> str:
    """Run Python with the sources of a copy, and return its output."""
    packages = [str(root / name) for name in ("wrapper", "generated", "contract_tests")]
    found = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(packages)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_client(copied: Path) -> None:
    """Client, commands and errors have the names of the contract, and its path."""
    script = """
        import json, pathlib
        from click.testing import CliRunner
        from openrouter_rerank import BadRequestError, Reranker
        from openrouter_rerank.cli.app import app
        from openrouter_rerank.testing import answer, serving

        def play(request):
            asked = request.json
            if "passages" not in asked or asked["engine"] != "m":
                yield answer(400, {"trouble": "no such engine"})
                return
            places = list(reversed(range(len(asked["passages"]))))
            yield answer(200, {"found": [{"place": one, "weight": one / 10} for one in places[: asked.get("limit")]]})

        def command(*words):
            done = CliRunner().invoke(app, [*words, "--dialect", "acme", "--base-url", base, "-m", "m", "--depth", "2"], input="one\\ntwo\\n")
            assert done.exit_code == 0, done.output
            return done.stdout

        def refused(reranker, **options):
            try:
                reranker.rerank("q", ["a"], **options)
            except (ValueError, BadRequestError) as error:
                return str(error)

        with serving(play) as server:
            base = server.url
            with Reranker("", dialect="acme", base_url=base, model="m") as made:
                ranking = made.rerank("q", [{"text": "a"}, "b", "c"], top_n=2, depth=3)
                assert (ranking.indices, ranking.scores) == ([2, 1], [0.2, 0.1])
                assert ranking.response.results[0].document.text == "c"
                assert server.requests[0].target.endswith("/order")
                assert server.requests[0].json == {
                    "question": "q", "engine": "m", "limit": 2, "depth": 3, "passages": ["a", "b", "c"]
                }
                assert refused(made, depth=9) == "depth must be at most 5, not 9"
                assert refused(made, user="u").startswith("user: the dialect 'acme' has no such field")
                assert refused(made, extra_body={"limit": 1}).startswith("extra_body: 'limit' is not allowed")
                assert "/order: no such engine. " in refused(made, model="x")
            with Reranker("", dialect="cohere-v2", base_url=base, model="m") as other:
                assert "pass dialect='acme'" in refused(other)
            assert [json.loads(line)["index"] for line in command("rank", "q").splitlines()] == [1, 0]
            table, out = pathlib.Path("in.jsonl"), pathlib.Path("out.jsonl")
            table.write_text(json.dumps({"query": "q", "documents": ["a", "b"]}))
            command("batch", str(table), str(out))
            assert json.loads(out.read_text())["ranking"][0]["index"] == 1
    """
    run(copied, "-c", dedent(script))


def test_the_pages(copied: Path) -> None:
    """The pages that follow from the code have the dialect and its option."""
    (copied / "docs/api").mkdir()
    for name in ("api/openrouter_rerank.md", "rules.md", "commands.md", "statuses.md", "dialect-rules.md"):
        shutil.copy(ROOT / "docs" / name, copied / "docs" / name)
    run(copied, "docs/_site/pages.py")
    for name in ("api/openrouter_rerank.md", "commands.md", "dialect-rules.md"):
        text = (copied / "docs" / name).read_text("utf-8")
        assert ("acme" in text, "depth" in text) == (True, True)


def test_the_judge(copied: Path) -> None:
    """The reference server of the dialect passes the check of its contract, without an entry in a table."""
    script = """
        from rerank_conformance.reference.speaking import speaking
        from rerank_conformance.running import check

        report = check(speaking("acme")(keys={"key-0123456789"}), dialect="acme", key="key-0123456789", seed=1)
        failed = [(rule.id, rule.actual, rule.reason) for rule in report.of("fail", "error")]
        assert failed == [], failed
        assert report.dialect == "acme"
        assert {"refusal.depth-maximum", "acceptance.depth"} <= {rule.id for rule in report.of("pass")}
    """
    run(copied, "-c", dedent(script))
