"""CONTRIBUTING.md's change of the contract, from start to release, on a copy of the project: what stands there works.

The copy begins where a release was made of what is here, and nox runs in it as a person would run it, but in the environment that
is there: nothing is installed. `nox -s contract` is asked for those tests alone that are about what follows from the contract.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import pytest

from rerank_conformance import contract

ROOT = Path(__file__).resolve().parents[1]
RELEASED = contract.load().version
NEXT = f"{contract.numbers(RELEASED)[0]}.{contract.numbers(RELEASED)[1] + 1}.0"
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")


def following(version):
    """Return the version of the package after one, where a field is new."""
    major, minor, patch = contract.numbers(version)
    return f"{major}.{minor}.{patch + 1}" if major == 0 else f"{major}.{minor + 1}.0"


def section(version):
    """Return a pattern of the heading of a release in CHANGELOG.md."""
    return rf"^## {re.escape(version)}\b.*$"


(THIS,) = re.findall(r'VERSION = "(.*)"', (ROOT / "wrapper/openrouter_rerank/version.py").read_text("utf-8"))
IS_RELEASED = "## Unreleased" not in CHANGELOG
if not IS_RELEASED and re.search(section(THIS), CHANGELOG, re.MULTILINE):
    THIS = following(THIS)
AFTER = following(THIS)
TESTS = [
    "wrapper/tests/test_held_to_the_contract.py",
    "wrapper/tests/test_twins.py",
    *(
        f"contract_tests/test_{name}.py"
        for name in ("kit_follows_the_contract", "contract", "rule_sets", "clients", "old_and_new")
    ),
]
QUICK = [TESTS[0], *TESTS[2:4]]
"""The quick look of CONTRIBUTING.md."""
GATE = "contract_tests/test_changes.py::test_version_and_changelog_follow_the_contract"
ME = ["-c", "user.name=A reader", "-c", "user.email=reader@example.com"]

needed = [name for name in ("nox", "openapi_python_client") if find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(
        bool(needed), reason=f"{' and '.join(needed)} not installed: `nox -s contract` has all"
    ),
    pytest.mark.skipif(
        not (ROOT / ".git").exists(), reason="the files of the project are those that git has"
    ),
]


@dataclass
class Project:
    """A copy of this project, with its own history."""

    home: Path

    def run(self, *words, fails=False, **environment):
        """Return the output of a command that has to succeed, or to fail."""
        bin_of = str(Path(sys.executable).parent)
        packages = os.pathsep.join(
            str(self.home / name) for name in ("generated", "wrapper", "contract_tests")
        )
        done = subprocess.run(
            list(map(str, words)),
            cwd=self.home,
            env={
                **os.environ,
                "PATH": f"{bin_of}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": packages,
                "NO_COLOR": "1",
                "COLUMNS": "1000",  # pytest breaks no sentence
                "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),  # its tables take a second to make
                # other plugins take seconds to import
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTEST_PLUGINS": "anyio.pytest_plugin,openrouter_rerank.testing.plugin,rerank_conformance.plugin",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
            timeout=900,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def nox(self, session, *words, fails=False):
        """Return the output of a session; nothing is installed for it."""
        more = ["--", *words] if words else []
        return self.run("nox", "--no-venv", "--no-install", "-s", session, *more, fails=fails)

    def git(self, *words):
        """Return the output of git."""
        return self.run("git", *ME, *words)

    def commit(self, message):
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def edit(self, file, *changes):
        """Replace in a file what each pattern finds, which has to be there."""
        path = self.home / file
        text = path.read_text("utf-8")
        for pattern, into in changes:
            text, found = re.subn(pattern, into, text, flags=re.MULTILINE)
            assert found, f"{file} has nothing that fits {pattern}"
        path.write_text(text, "utf-8")

    def release(self, version, kept):
        """Name the release, keep the contract, and commit: what stands before `nox -s release`."""
        self.edit("CHANGELOG.md", (r"^## Unreleased$", f"## {version}"))
        self.edit("wrapper/openrouter_rerank/version.py", (r'VERSION = ".*"', f'VERSION = "{version}"'))
        shutil.copy(self.home / "openapi.yaml", self.home / "contracts" / f"{kept}.yaml")
        self.commit(f"Release {version}")


@pytest.fixture
def project(tmp_path):
    """Copy the files of this project, as a release."""
    return copied(tmp_path)


def copy(source, target):
    """Copy a file with its time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def copied(into):
    """Return a copy of the files of this project, as a release."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    ).stdout
    home = into / "project"
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            copy(ROOT / name, home / name)
            compiled = Path(cache_from_source(ROOT / name))
            if name.endswith(".py") and compiled.is_file():  # it holds for a file of the same time
                copy(compiled, Path(cache_from_source(home / name)))
    made = Project(home)
    made.git("init", "--quiet")
    if IS_RELEASED:
        made.commit(f"Release {THIS}")
    else:
        made.release(THIS, RELEASED)
    return made


def blocks(language):
    """Return the fenced blocks of a language in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def apply_the_diff(project):
    """Step 1."""
    (diff,) = blocks("diff")
    (project.home.parent / "change.diff").write_text(diff, "utf-8")
    try:
        project.git("apply", "--recount", "../change.diff")
    except AssertionError as error:
        message = (
            f"the diff of CONTRIBUTING.md does not fit openapi.yaml any more ({str(error).strip().splitlines()[0]}): "
            "write it anew there, for a change that openapi.yaml has not"
        )
        raise AssertionError(message) from error


def test_the_quick_look():
    """The quick look of CONTRIBUTING.md reports the files that name nearly all that is not derived."""
    commands = "".join(blocks("sh"))
    (quick,) = re.findall(r"^nox -s contract -- (.+)$", commands, re.MULTILINE)
    assert set(quick.split()) == set(QUICK)


def let_the_rest_follow(project):
    """Step 4: 451 has its row, and the table of fields knows what the vendor says."""
    add_the_row(project)
    project.edit(
        "contract_tests/test_contract.py",
        (r"top_n provider\? session_id user trace", "top_n provider? session_id user instruction trace"),
    )


def add_the_row(project):
    """Add the row that CONTRIBUTING.md shows."""
    (row,) = blocks("python")
    project.edit(
        "wrapper/openrouter_rerank/errors.py", (r"^STATUSES = \($", f"STATUSES = (\n    {row.strip()},")
    )


def set_the_version(project):
    """Step 5."""
    project.edit("openapi.yaml", (r"^  version: .*$", f"  version: {NEXT}"))


def test_a_change_from_start_to_release(project):
    """Each step of CONTRIBUTING.md does what stands there, and what it says leads to the next, up to the tag."""
    apply_the_diff(project)
    assert "Next: `nox -s contract`" in project.nox("generate")

    # what does not follow is named, each with its place, as CONTRIBUTING.md shows it
    (named,) = blocks("text")
    said = project.nox("contract", *QUICK, GATE, fails=True)
    for line in named.strip().splitlines():
        if line.startswith("info.version"):
            line = re.sub(r"\d+\.\d+\.\d+", "{}", line).format(RELEASED, RELEASED, NEXT)  # noqa: PLW2901
        assert line in said, line

    let_the_rest_follow(project)
    set_the_version(project)
    drafted = project.run(sys.executable, "contract_tests/changes/run.py", "--write")
    assert f"Contract: {NEXT} or more (minor, from {RELEASED})" in drafted
    assert f"Package: {AFTER} or more" in drafted
    assert "instruction" in (project.home / "CHANGELOG.md").read_text("utf-8")
    project.nox("generate")
    project.nox("contract", *TESTS, GATE)
    bitten = "instruction or user-type"
    assert "passed" in project.nox("contract", "contract_tests/test_broken.py", "-k", bitten)
    project.run(sys.executable, "docs/_site/pages.py")
    assert "refusal.instruction-type" in (project.home / "docs/rules.md").read_text("utf-8")
    assert "| 451 | `AuthenticationError` | no |" in (project.home / "docs/statuses.md").read_text("utf-8")

    project.commit("An instruction, and 451")
    refused = project.nox("release", fails=True)
    assert f"cp openapi.yaml contracts/{NEXT}.yaml" in refused
    assert f"the tag v{THIS} exists already" not in refused  # nobody tagged it here
    assert f"contract_tests/rule_sets/{NEXT}.txt is missing" in refused
    project.nox("release", "--rules")
    project.release(AFTER, NEXT)
    assert f"git push origin v{AFTER}" in project.nox("release")
    notes = project.git("tag", "--list", "--format=%(contents)", f"v{AFTER}")
    assert f"Contract {NEXT}" in notes
    assert "First version" not in notes


RAISED = """
import pickle
from openrouter_rerank import AuthenticationError, StatusError
from openrouter_rerank.testing import FakeReranker
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.models import ErrorResponse

try:
    FakeReranker(script=[AuthenticationError("no", status=451)]).rerank("q", ["d"])
except StatusError as error:
    error = pickle.loads(pickle.dumps(error))
    print(type(error).__name__, error.status, error.retryable, len(error.attempts))
    print(error.message.endswith("Ask for another model."))
print(isinstance(create_rerank.parse(451, b'{"error": {"code": 451, "message": "no"}}'), ErrorResponse))
"""


def test_a_status_takes_one_row(project):
    """A new status in openapi.yaml and one row of the table of errors: all else follows, and `nox -s contract` is green."""
    (diff,) = blocks("diff")
    parts = re.split(r"(?m)^(?=@@ )", diff)
    of_status = [part for part in parts[1:] if "instruction" not in part]
    assert len(of_status) == 2
    (project.home.parent / "change.diff").write_text("".join([parts[0], *of_status]), "utf-8")
    project.git("apply", "--recount", "../change.diff")
    set_the_version(project)
    project.nox("generate")
    said = project.nox("contract", *QUICK, fails=True)
    assert re.findall(r"^FAILED (\S+)", said, re.MULTILINE) == [
        f"{TESTS[0]}::test_every_documented_status_has_a_row"
    ]

    add_the_row(project)
    project.nox("contract", *TESTS[:4])  # all of them are run with this status above
    assert project.run(sys.executable, "-c", RAISED) == "AuthenticationError 451 False 1\nTrue\nTrue\n"


def judged(project, served, by):
    """Return the verdict on a reference server of one contract by another, and the rules that fail."""
    code = (
        "import json; from rerank_conformance import check; from rerank_conformance.reference import Reference; "
        f"report = check(Reference(contract_version={served!r}), quick=True, contract_version={by!r}); "
        "print(json.dumps([report.verdict, [rule.id for rule in report.of('fail')]]))"
    )
    return json.loads(project.run(sys.executable, "-c", code))


def test_a_required_field_of_an_answer(project):
    """Examples and servers that do not have the new field are named, and an older server is judged as before."""
    project.edit(
        "openapi.yaml",
        (r"^      required: \[model, results\]$", "      required: [model, results, created]"),
        (
            r"^(    RerankResponse:\n(?:      .*\n)*?      properties:\n)",
            r"\1        created:\n          type: integer\n          description: When it was answered, in seconds since 1970.\n          example: 1775001600\n",
        ),
    )
    said = project.nox("contract", TESTS[0], fails=True)
    assert "the contract alone has RerankResponse.created!" in said
    assert "Next: `nox -s generate`" in said
    project.nox("generate")
    said = project.nox("contract", *QUICK, fails=True)
    assert "test_named_example_is_valid" in said
    assert "openapi.yaml has created! more than the table above" in said

    set_the_version(project)
    verdict, failed = judged(project, NEXT, NEXT)
    assert (verdict, failed) == ("nonconformant", ["answer.schema"])
    assert judged(project, RELEASED, RELEASED) == ["no-failure-found", []]


def test_a_word_less(project):
    """If a closed list loses a word, the examples, requests and types that use it are named."""
    project.edit("openapi.yaml", (r"^( +enum: )\[allow, deny\]$", r"\1[deny]"))
    project.nox("generate")
    said = project.nox("contract", *QUICK, fails=True)
    assert '"allow" is not one of ["deny"]' in said or "accept-provider in contract_tests" in said
    assert "probes.py: provider.data_collection" in said
    said = project.run(sys.executable, "contract_tests/changes/run.py")
    assert "Breaking for callers" in said
    assert "data_collection" in said


FIELDS = """        instruction:
          type: string
          description: Ranking instruction in natural language. Models that do not accept one ignore it.
          example: Prefer documents that give a date.
        max_tokens_per_doc:
          type: integer
          minimum: 1
          description: Maximum number of tokens per document; longer documents are truncated.
          example: 512
        truncate:
          type: string
          enum: [START, END]
          description: Which end is cut.
          example: END
        rank_fields:
          type: array
          minItems: 1
          uniqueItems: true
          items:
            type: string
          description: The fields that are ranked.
          example: [title]
        labels:
          type: object
          additionalProperties:
            type: string
          description: Your labels.
          example:
            team: search
        boost:
          type: object
          required: [field]
          additionalProperties: false
          properties:
            field:
              type: string
              description: The field that counts more.
              example: title
            weight:
              type: [number, 'null']
              exclusiveMaximum: 10
              description: How much more.
              example: 2
          description: What counts more.
          example:
            field: title
        stop:
          oneOf:
            - type: string
            - type: array
              items:
                type: string
          description: The words at which a document ends.
          example: [a, b]
        raw_scores:
          type: boolean
          default: false
          deprecated: true
          description: Whether scores are logits.
          example: true
        from:
          type: string
          description: Where the query is from.
          example: app
"""

USES = """
import inspect, json
from openrouter_rerank import MemoryCache, Reranker, RerankRequest
from openrouter_rerank.request import body
from openrouter_rerank_api.models import RerankRequest as RerankOptions
from openrouter_rerank_api.options import WIRE_TYPES
from openrouter_rerank.testing import FakeReranker

fake = FakeReranker(max_tokens_per_doc=512, instruction="i")
def sent(call):
    call()
    return fake.calls[-1].options.get("max_tokens_per_doc"), fake.calls[-1].options.get("instruction")
def error(**options):
    try:
        fake.rerank("q", ["d"], **options)
    except (TypeError, ValueError) as problem:
        return str(problem)

print(sent(lambda: fake.rerank("q", ["d"], max_tokens_per_doc=256)))
print(sent(lambda: fake.rerank("q", ["d"])))
print(sent(lambda: fake.with_options(max_tokens_per_doc=7).rerank("q", ["d"])))
print(sent(lambda: list(fake.rerank_many([RerankRequest("q", ["d"], max_tokens_per_doc=9)]))))
print(sent(lambda: list(fake.rerank_many([{"query": "q", "documents": ["d"], "instruction": "j"}]))))
for options in ({"max_tokens_per_doc": 0}, {"max_tokens_per_doc": "5"}, {"max_tokens_per_doc": True}, {"max_token_per_doc": 1}):
    print(error(**options))
good = {"truncate": "END", "rank_fields": ["a"], "labels": {"a": "b"}, "boost": {"field": "a", "weight": None}, "stop": ["a"], "raw_scores": True, "from_": "app"}
for options in (
    {"truncate": "end"}, {"rank_fields": ["a", "a"]}, {"labels": {"a": 1}}, {"boost": {"feild": "a"}},
    {"boost": {"weight": 1}}, {"boost": {"field": "a", "weight": 10}}, {"stop": 5}, {"raw_scores": 1}, {"from_": 5}, good,
):
    print(error(**options))
sent = {**good, "from": good["from_"]}
del sent["from_"]
print({**fake.calls[-1].options} == {**fake.calls[-1].options, **sent})
cache = MemoryCache()
for options in ({}, {"raw_scores": False}, *({name: value} for name, value in good.items())):
    plain, again = (Reranker.local(cache=cache).rerank("q", ["d"], **options) for _ in range(2))
    assert (plain.cached, again.cached) == (False, True), options
request = RerankOptions(query="q", model="m", documents=["d"])
print(request.to_dict())
print(json.loads(body("q", ["d"], {"extra_body": None, **dict.fromkeys(WIRE_TYPES), "model": "m", "from_": "app"})))
print(len(Reranker.local(max_tokens_per_doc=512).rerank("q", ["d"])))
for function in (Reranker, Reranker.local, Reranker.rerank, Reranker.with_options):
    print(inspect.signature(function).parameters["max_tokens_per_doc"].annotation)
"""

USED = (
    """(256, 'i')
(512, 'i')
(7, 'i')
(9, 'i')
(512, 'j')
max_tokens_per_doc must be at least 1, not 0
max_tokens_per_doc must be an int, not str
max_tokens_per_doc must be an int, not bool
rerank() has no argument 'max_token_per_doc'; did you mean 'max_tokens_per_doc'?
truncate must be 'START' or 'END', not 'end'
rank_fields: 'a' is there twice; leave one of them out
labels.a must be a str, not int
boost: unknown key 'feild'; did you mean 'field'? To send it all the same, use extra_body
boost: the key 'field' is missing; it is required
boost.weight must be less than 10, not 10
stop must be a str or list, not int
raw_scores must be a bool, not int
from_ must be a str, not int
None
True
{'model': 'm', 'query': 'q', 'documents': ['d']}
{'model': 'm', 'query': 'q', 'documents': ['d'], 'from': 'app'}
1
"""
    + "Annotated[int, Meta(ge=1)] | None\n" * 4
)

TYPED = """
from openrouter_rerank import Reranker

reranker = Reranker("k")
reranker.rerank("q", ["d"], max_tokens_per_doc=512, instruction="i")
reranker.with_options(max_tokens_per_doc=None)
reranker.rerank("q", ["d"], max_tokens_per_doc="512")
reranker.rerank("q", ["d"], max_token_per_doc=512)
reranker.rerank("q", ["d"], truncate="END", labels={"a": "b"}, boost={"field": "a"}, stop="a", from_="app")
reranker.rerank("q", ["d"], truncate="end")
reranker.rerank("q", ["d"], labels={"a": 1})
reranker.rerank("q", ["d"], boost={"weight": 1})
"""

JUDGED = """
from rerank_conformance import check
from rerank_conformance.broken import BROKEN
from rerank_conformance.reference import Reference
from rerank_conformance.rules import RULES

# refusal.status alone is judged by generated requests too
OF_FORM = [name for name in RULES if name.startswith(("acceptance.", "refusal.")) and name != "refusal.status"]
for name, rule in RULES.items():
    if "instruction" in name or "max-tokens" in name or name in (
        "refusal.truncate-enum", "refusal.rank-fields-unique-items", "refusal.labels-additional-properties",
        "refusal.boost-required", "acceptance.boost-field", "acceptance.from",
    ):
        report = check(BROKEN[name](), rules=OF_FORM)
        failed = [one.id for one in report.of("fail") if one.level == "MUST"]
        print(name, rule.since, failed == [name])
print(check(Reference(), rules=OF_FORM).verdict)
"""

FOLLOWED = """acceptance.instruction {0} True
acceptance.max-tokens-per-doc {0} True
acceptance.boost-field {0} True
acceptance.from {0} True
refusal.instruction-type {0} True
refusal.max-tokens-per-doc-type {0} True
refusal.max-tokens-per-doc-minimum {0} True
refusal.truncate-enum {0} True
refusal.rank-fields-unique-items {0} True
refusal.labels-additional-properties {0} True
refusal.boost-required {0} True
conformant
"""


ANSWER_FIELDS = {
    "RerankResponse": """        region:
          type: string
          description: Where it was served.
          example: eu
        warnings:
          type: array
          items:
            type: string
          description: Notes of the server.
          example: [cut]
""",
    "RerankResult": """        rank:
          type: [integer, 'null']
          description: The place, from 1.
          example: 1
        highlights:
          type: array
          items:
            type: object
            properties:
              text:
                type: string
                description: The words.
                example: a
          description: Where it fits.
          example:
            - text: a
""",
    "Usage": """        images:
          type: integer
          description: Images billed.
          example: 2
        details:
          type: object
          additionalProperties:
            type: integer
          description: Tokens by kind.
          example:
            cached: 1
""",
}


@pytest.fixture(scope="module")
def with_fields(tmp_path_factory):
    """Copy the project, with new fields of a request and of an answer."""
    project = copied(tmp_path_factory.mktemp("fields"))
    answered = [
        (rf"^    {name}:\n(?:      .*\n)*?      properties:\n", rf"\g<0>{fields}")
        for name, fields in ANSWER_FIELDS.items()
    ]
    project.edit("openapi.yaml", (r"^          example: user-1042\n", rf"\g<0>{FIELDS}"), *answered)
    set_the_version(project)
    project.nox("generate")
    return project


def test_an_optional_field_takes_one_edit(with_fields):
    """A new optional field of the request reaches callers, commands and judge by `nox -s generate` alone."""
    project = with_fields
    assert project.run(sys.executable, "-c", USES) == USED

    (project.home / "documents.txt").write_text("a\nb\n", "utf-8")
    command = [sys.executable, "-c", "from openrouter_rerank.cli import main; main()"]
    rank = [*command, "rank", "--local", "q", "documents.txt"]
    given = {
        "max-tokens-per-doc": "512", "instruction": "i", "truncate": "END", "rank-fields": '["a"]', "labels": "{}",
        "boost": '{"field": "a"}', "stop": "a", "raw-scores": "true", "from": "app",
    }  # fmt: skip
    assert '"index"' in project.run(
        *rank, *(word for pair in given.items() for word in (f"--{pair[0]}", pair[1]))
    )
    refused = project.run(*rank, "--max-tokens-per-doc", "0", fails=True)
    assert "max_tokens_per_doc must be at least 1" in refused
    help_of_batch = project.run(*command, "batch", "--help")
    assert "--max-tokens-per-doc N" in help_of_batch

    assert project.run(sys.executable, "-c", JUDGED) == FOLLOWED.format(NEXT)


ANSWERED = """
import json, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from openrouter_rerank import MemoryCache, Reranker
from openrouter_rerank.integrations.opentelemetry import _of_ranking

ODD = {"region": ["eu"], "warnings": "cut", "usage": {"images": "2", "details": [1]}, "rank": {"a": 1}, "highlights": ["a"]}

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        odd = asked["query"] == "odd"
        results = [
            {"index": index, "relevance_score": 1 - index / 10, "rank": ODD["rank"] if odd else index + 1,
             "highlights": ODD["highlights"] if odd else [{"text": "secret-key-1"}]}
            for index in range(len(asked["documents"]))
        ]
        told = {"region": "eu", "warnings": ["cut"], "usage": {"images": 2, "cost": 0.5, "details": {"cached": 1}}}
        told |= {name: value for name, value in ODD.items() if odd}
        body = json.dumps({"model": "m", "results": results, **told}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

def seen(ranking):
    return (
        ranking.region, ranking.usage.images, [hit.rank for hit in ranking],
        ranking.warnings, ranking.usage.details, ranking[0].highlights,
    )

server = HTTPServer(("127.0.0.1", 0), Handler)
thread = threading.Thread(target=server.serve_forever)
thread.start()
try:
    url = f"http://127.0.0.1:{server.server_port}/"
    with Reranker("secret-key-1", base_url=url, cache=MemoryCache()) as reranker:
        plain = reranker.rerank("q", ["a", "b"])
        print(seen(plain))
        print(seen(reranker.rerank("q", ["a", "b"])))
        print(seen(reranker.rerank("odd", ["a", "b"])))
        print(seen(reranker.rerank("q", ["x", "y", "z"], max_documents=2)))
        print(seen(reranker.rerank("q", [" ", "b"], blank="skip")))
        print(reranker.ledger.images, reranker.ledger.total.images)
        states = []
        list(reranker.rerank_many([("q", ["n"]), ("q", ["m"])], progress=states.append))
        print(states[-1].images)
    spans = _of_ranking(plain, [])
    print({name: value for name, value in spans.items() if "region" in name or "images" in name or "metadata" in name})
    Path("documents.txt").write_text("a\\n")
    Path("in.jsonl").write_text(json.dumps({"query": "q", "documents": ["a", "b"]}) + "\\n")
    def command(*words):
        main = "from openrouter_rerank.cli import main; main()"
        words = [sys.executable, "-c", main, *words, "--base-url", url]
        return subprocess.run(words, check=True, capture_output=True, encoding="utf-8", timeout=600).stdout
    printed = json.loads(command("rank", "q", "documents.txt", "--format", "json"))
    print(printed["region"], printed["usage"]["images"], printed["hits"][0]["rank"], printed["warnings"])
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        command("batch", "in.jsonl", name)
    row = json.loads(Path("out.jsonl").read_text())
    print(row["region"], row["images"], row["ranking"], row["warnings"], row["details"])
    print(Path("out.csv").read_text().splitlines()[0])
    from pyarrow import parquet
    (row,) = parquet.read_table("out.parquet").to_pylist()
    print(row["region"], row["images"], row["ranking"][1]["rank"], row["warnings"], row["details"], row["ranking"][1]["highlights"])
finally:
    server.shutdown()
    thread.join()
    server.server_close()
"""

SEEN = """('eu', 2, [1, 2], ['cut'], {'cached': 1}, [{'text': '[key]'}])
('eu', 0, [1, 2], ['cut'], None, [{'text': '[key]'}])
(None, None, [None, None], None, None, None)
('eu', 4, [1, 1, 2], ['cut'], {'cached': 1}, [{'text': '[key]'}])
('eu', 2, [1], ['cut'], {'cached': 1}, [{'text': '[key]'}])
8 8
4
{'openrouter_rerank.images': 2, 'openrouter_rerank.region': 'eu', 'reranker.output_documents.0.document.metadata': '{"rank":1}', 'reranker.output_documents.1.document.metadata': '{"rank":2}'}
eu 2 1 ['cut']
eu 2 [{'index': 0, 'score': 1.0, 'rank': 1, 'highlights': [{'text': 'secret-key-1'}]}, {'index': 1, 'score': 0.9, 'rank': 2, 'highlights': [{'text': 'secret-key-1'}]}] ['cut'] {'cached': 1}
query,ranking,region,warnings,model,provider,images,details,cost,search_units,total_tokens,response_id
eu 2 2 ["cut"] {"cached":1} [{"text":"secret-key-1"}]
"""

TYPED_ANSWER = """
from openrouter_rerank import Reranker

ranking = Reranker("k").rerank("q", ["d"])
images: int | None = ranking.usage.images
rank: int | None = ranking[0].rank
region: str | None = ranking.region
warnings: list[str] | None = ranking.warnings
details = ranking.usage.details
cached: int = details["cached"] if details is not None else 0
wrong: int = ranking[0].rank
ranking.region = "eu"
missing = ranking.usage.image
"""


def test_a_field_of_the_answer_takes_one_edit(with_fields):
    """New fields of an answer reach callers, commands, columns, spans and judge by `nox -s generate` alone."""
    project = with_fields
    assert project.run(sys.executable, "-W", "error", "-c", ANSWERED, OPENROUTER_API_KEY="k") == SEEN

    project.nox("contract", TESTS[0])
    rules = "from rerank_conformance.rules import RULES; print(*RULES)"
    derived = {
        "answer.region",
        "answer.results-rank",
        "answer.usage-images",
        "answer.warnings",
        "answer.usage-details",
    }
    derived |= {"answer.results-highlights", "answer.results-highlights-text"}
    assert derived <= set(project.run(sys.executable, "-c", rules).split())


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_types_of_new_fields(with_fields):
    """Right and wrong uses of the new fields are told apart by mypy, by `nox -s generate` alone."""
    for name, text in (("typed_request.py", TYPED), ("typed_answer.py", TYPED_ANSWER)):
        (with_fields.home / name).write_text(text, "utf-8")
    found = with_fields.run(
        sys.executable, "-m", "mypy", "--strict", "typed_request.py", "typed_answer.py", fails=True
    )
    wrong = {line.partition(": ")[0] for line in found.splitlines() if ": error:" in line}
    assert wrong == {
        f"typed_{place}"
        for place in (
            *(f"request.py:{number}" for number in (7, 8, 10, 11, 12)),
            *(f"answer.py:{number}" for number in (11, 12, 13)),
        )
    }
