"""Write answers.py of the generated client: the scalar fields of an answer, as base classes and as tables.

`generate_into` in noxfile.py runs this after the generator, as it runs write_options.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from write_options import COMBINED, SCALARS, Schema, prose

RESULT = "RerankResult"
OWN = ("index", "relevance_score", "document")
"""The fields of a result that a hit has in its own form."""

HEADER = '''"""The scalar fields of an answer: base classes of what a caller gets, and the tables by which they are read.

A field with one scalar type is here, whether it is nullable or not. Lists, objects and mixed types are in the models alone.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")
'''

HIT = '''    index: int
    """The position of the document among those that were passed in, from 0."""
    score: float
    """The relevance as the model gave it (`relevance_score` on the wire)."""
    document: T
    """The caller's own document."""'''

CLASSES = (
    ("AnswerFields", "RerankResponse", "ANSWER", "Struct, frozen=True, kw_only=True", ""),
    ("HitFields", RESULT, "HIT", "Struct, Generic[T], frozen=True", HIT),
    ("UsageFields", "Usage", "USAGE", "Struct, frozen=True", ""),
)
"""For each class: its name, its schema, the name of its table, its bases, and fields of our own."""


def scalar_of(schema: Schema, schemas: Mapping[str, Schema]) -> str | None:
    """Return the one scalar type of a schema as source; None if it allows anything else but null."""
    kinds = _kinds(schema, schemas) - {"null"}
    if kinds == {"integer", "number"}:
        return SCALARS["number"]
    return SCALARS.get(kinds.pop()) if len(kinds) == 1 else None


def _kinds(schema: Schema, schemas: Mapping[str, Schema]) -> set[str]:
    """Return the names of the types that a schema allows; none of them if it allows any."""
    if "$ref" in schema:
        return _kinds(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    kinds = schema.get("type", [])
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    for keyword in COMBINED:
        for branch in schema.get(keyword, ()):
            found |= _kinds(branch, schemas) or {"any"}
    return found


def main(contract: Path, destination: Path) -> None:
    """Write the module."""
    schemas: Mapping[str, Schema] = YAML(typ="safe").load(contract)["components"]["schemas"]
    parts, tables = [HEADER], list[str]()
    for class_name, schema_name, table, bases, own in CLASSES:
        schema = schemas[schema_name]
        lines = [f"class {class_name}({bases}):", *prose({"description": schema["description"]})]
        lines += own.splitlines()
        rows: list[str] = []
        for name, field in schema["properties"].items():
            kind = scalar_of(field, schemas)
            if kind is None or (schema_name == RESULT and name in OWN):
                continue
            lines += [f"    {name}: {kind} | None = None", *prose(field)]
            rows.append(f'    "{name}": {kind},')
        parts.append("\n".join(lines))
        says = f'"""The types of the fields of `{class_name}` that are read leniently."""'
        tables.append("\n".join([f"{table}: dict[str, type] = {{", *rows, "}", says]))
    destination.write_text("\n\n\n".join([*parts, *tables]) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
