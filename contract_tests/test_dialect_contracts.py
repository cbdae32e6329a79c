"""The contracts of the dialects hold what was recorded, and the generated dialects.py is what they say."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
import yaml
from jsonschema_rs import Draft202012Validator

from openrouter_rerank_api import dialects, options
from rerank_conformance import contract

ROOT = Path(__file__).resolve().parents[1]
FILES = {file.stem: file for file in sorted((ROOT / "contracts" / "dialects").glob("*.yaml"))}
CONTRACTS: dict[str, Any] = {name: yaml.safe_load(file.read_text("utf-8")) for name, file in FILES.items()}
CANONICAL: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
SHARED = ROOT.parent / "shared/data/dialects"
RECORDED = {"cohere-v2": "cohere-v2", "jina": "flat", "tei": "tei", "voyage": "voyage"}
"""For each dialect, the file of recorded exchanges in SHARED, which is not in the repository."""


def resolve(document: Any, value: Any) -> Any:
    """Return what a reference leads to."""
    while "$ref" in value:
        target = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        value = target
    return value


def errors(document: Any, schema: Any, value: Any) -> list[str]:
    """Return the errors of a value by a schema of a document."""
    validator = Draft202012Validator({"components": document["components"], "allOf": [schema]})
    return [str(error) for error in validator.iter_errors(value)]


def request_content(document: Any) -> Any:
    """Return the JSON content of the rerank request."""
    return document["paths"]["/rerank"]["post"]["requestBody"]["content"]["application/json"]


def request_fields(document: Any) -> Any:
    """Return the schema of each field of the rerank request."""
    return {
        name: resolve(document, schema)
        for name, schema in resolve(document, request_content(document)["schema"])["properties"].items()
    }


def response_schema(document: Any, status: int, media_type: str) -> Any:
    """Return the schema of a response of the rerank operation."""
    response = resolve(document, document["paths"]["/rerank"]["post"]["responses"][str(status)])
    return response["content"][media_type.partition(";")[0]]["schema"]


@pytest.mark.parametrize("name", FILES)
def test_recorded_exchanges_are_legal(name: str):
    """Every recorded answer, and every recorded request that was answered with 200, is legal by the contract."""
    file = SHARED / f"{RECORDED.get(name, name)}-recorded.json"
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    document = CONTRACTS[name]
    exchanges = json.loads(file.read_text("utf-8"))["exchanges"]
    assert exchanges
    for exchange in exchanges:
        sent, answered = exchange["request"]["body"], exchange["response"]
        if sent is not None and answered["status"] == 200:
            assert errors(document, request_content(document)["schema"], sent) == [], exchange["source"]
        media_type = answered.get("headers", {}).get("content-type", "application/json")
        schema = response_schema(document, answered["status"], media_type)
        assert errors(document, schema, answered["body"]) == [], exchange["source"]


def test_dialects_are_the_contracts():
    """Every contract is a dialect, after that of openapi.yaml, and has the path of its operation."""
    assert ("openrouter", *FILES) == dialects.DIALECTS
    for name, document in (("openrouter", CANONICAL), *CONTRACTS.items()):
        (path,) = (path for path, item in document["paths"].items() if "post" in item)
        assert dialects.PATHS[name] == path


def test_contract_of_a_dialect_is_not_a_release():
    """The versions of the contract are those of openapi.yaml alone."""
    released = {file.stem for file in (ROOT / "contracts").glob("*.yaml")}
    assert set(contract.versions()) == released | {CANONICAL["info"]["version"]}


@pytest.mark.parametrize("name", dialects.DIALECTS)
def test_every_field_has_a_type(name: str):
    """The table has every field of the request and no other, and takes the example of each."""
    document = {"openrouter": CANONICAL, **CONTRACTS}[name]
    fields = request_fields(document)
    types = dialects.REQUESTS[name]
    assert set(types) == set(fields)
    for field, schema in fields.items():
        msgspec.convert(schema["example"], types[field])


@pytest.mark.parametrize("name", FILES)
def test_types_take_and_refuse_what_the_contract_does(name: str):
    """Each type agrees with the schema of its field on values of every kind and around its bounds."""
    document = CONTRACTS[name]
    for field, schema in request_fields(document).items():
        bounds = [
            schema[word] + step for word in ("minimum", "maximum") if word in schema for step in (-1, 0, 1)
        ]
        values = [None, True, 1, "text", "", [], [""], ["a", 1], ["a"] * 1000, ["a"] * 1001, *bounds]
        for value in values:
            try:
                msgspec.convert(value, dialects.REQUESTS[name][field])
            except msgspec.ValidationError:
                is_taken = False
            else:
                is_taken = True
            assert is_taken == (not errors(document, schema, value)), (field, value)


def test_options_are_what_only_dialects_have():
    """An option is a field that openapi.yaml does not have, and that carries no field of it under another name."""
    known = request_fields(CANONICAL)
    own = set[str]()
    for document in CONTRACTS.values():
        for name, schema in request_fields(document).items():
            carried = schema.get("x-carries", "nothing")
            assert carried == "nothing" or carried in known
            assert "x-carries" not in schema or name not in known
            own |= {name} - set(known) if "x-carries" not in schema else set()
    assert get_type_hints(dialects.DialectOptions, include_extras=True).keys() == own
    assert dialects.SUMMARIES.keys() == own
    assert not own & options.RerankOptions.__annotations__.keys()
    assert {"max_tokens_per_doc", "truncation", "instruction", "raw_scores"} <= own


@pytest.mark.parametrize("name", FILES)
def test_what_a_dialect_must_be_told_comes_from_the_caller(name: str):
    """Each required field is one of openapi.yaml, by its own name or by `x-carries`."""
    document = CONTRACTS[name]
    fields = request_fields(document)
    for field in resolve(document, request_content(document)["schema"])["required"]:
        assert fields[field].get("x-carries", field) in ("model", "query", "documents")


def test_new_dialect_is_one_more_contract(tmp_path: Path):
    """A further file in contracts/dialects is a further dialect, with its fields as options."""
    shutil.copy(ROOT / "openapi.yaml", tmp_path)
    folder = tmp_path / "contracts" / "dialects"
    shutil.copytree(ROOT / "contracts" / "dialects", folder)
    text = FILES["tei"].read_text("utf-8").replace("        raw_scores:\n", "        keep_scores:\n")
    (folder / "nearly-tei.yaml").write_text(text.replace("  /rerank:\n", "  /order:\n"), "utf-8")
    made = tmp_path / "made.py"
    script = ROOT / "generator-templates" / "write_dialects.py"
    subprocess.run([sys.executable, script, tmp_path / "openapi.yaml", made], check=True, timeout=600)
    made.write_text(made.read_text("utf-8").replace("from .options", f"from {options.__name__}"), "utf-8")
    spec = importlib.util.spec_from_file_location("made", made)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert list(module.DIALECTS) == ["openrouter", *sorted([*FILES, "nearly-tei"])]
    assert module.PATHS["nearly-tei"] == "/order"
    assert "keep_scores" in module.REQUESTS["nearly-tei"]
    assert "keep_scores" in module.DialectOptions.__annotations__
