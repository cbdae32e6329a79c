"""Write options.py of the generated client: the optional fields of a request as TypedDicts, with their bounds.

The generator drops bounds and makes no TypedDicts. `generate_into` in noxfile.py runs this after it.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML

Schema: TypeAlias = Mapping[str, Any]

REQUEST = "RerankRequest"
OPTIONS = "RerankOptions"
POSITIONAL = ("query", "documents")
"""Required fields that a caller passes by position; every other field is an option."""

SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_NUMBER = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
BOUNDS = {
    "integer": _NUMBER,
    "number": _NUMBER,
    "string": {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"},
    "array": {"minItems": "min_length", "maxItems": "max_length"},
}
"""For each type, JSON Schema's keywords and msgspec's names for them."""
COMBINED = ("anyOf", "oneOf", "allOf")

HEADER = '''"""The optional fields of a request, as TypedDicts, and the types by which their values are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from msgspec import Meta

if TYPE_CHECKING:
    from .models import {models}
'''


class Writer:
    """The TypedDicts that a request needs, in the order in which they depend on each other."""

    def __init__(self, schemas: Mapping[str, Schema], prefix: str = "") -> None:
        self.schemas = schemas
        self.prefix = prefix
        self.classes: dict[str, str] = {}
        self.open: list[str] = []

    def type_of(self, schema: Schema) -> str:
        """Return the type of a schema as source."""
        return " | ".join(self.types_of(schema))

    def types_of(self, schema: Schema) -> list[str]:
        """Return the types that a schema allows as source, each once."""
        if "$ref" in schema:
            return [self._reference(schema["$ref"].rpartition("/")[2])]
        if "const" in schema or "enum" in schema:
            values = schema.get("enum", [schema.get("const")])
            present = ", ".join(repr(value) for value in values if value is not None)
            return [*([f"Literal[{present}]"] if present else []), *(["None"] if None in values else [])]
        branches = [branch for keyword in COMBINED for branch in schema.get(keyword, ())]
        kinds = schema.get("type", [])
        if sum(map(self._is_object, branches)) > 1:  # msgspec takes one type of mappings in a union
            branches = [{"type": "object"} if self._is_object(branch) else branch for branch in branches]
        found = [written for branch in branches for written in self.types_of(branch)]
        found += [self._bounded(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
        return list(dict.fromkeys(found)) or ["Any"]

    def _is_object(self, schema: Schema) -> bool:
        """Return True if a schema, or the one that it refers to, allows objects alone."""
        return any(
            one.get("type") == "object"
            for one in (schema, *(self.schemas[name] for name in self._referenced(schema)))
        )

    def _reference(self, name: str) -> str:
        schema = self.schemas[name]
        if schema.get("type") != "object":
            return self.type_of(schema)
        if not schema.get("properties"):
            return "Mapping[str, Any]"
        class_name = f"{self.prefix}{name}Dict"
        if class_name not in self.classes:
            self.write(class_name, name, schema["properties"], nullable=False)
            if schema.get("additionalProperties"):
                self.open.append(class_name)
        return class_name

    def _bounded(self, kind: str, schema: Schema) -> str:
        if kind == "array":
            written = f"list[{self.type_of(schema.get('items', {}))}]"
        else:
            written = SCALARS.get(kind, "Mapping[str, Any]")
        # A bound of another type than this one says nothing of it, and msgspec refuses it.
        words = [word for word in BOUNDS.get(kind, {}) if word in schema]
        bounds = ", ".join(f"{BOUNDS[kind][word]}={schema[word]!r}" for word in words)
        return f"Annotated[{written}, Meta({bounds})]" if bounds else written

    def write(
        self, class_name: str, schema_name: str, fields: Mapping[str, Schema], *, nullable: bool
    ) -> None:
        """Write a TypedDict; `nullable` allows None, which stands for a field that is left out."""
        lines = [f"class {class_name}(TypedDict, total=False):", *prose(self.schemas[schema_name])]
        for name, schema in fields.items():
            written = [*self._models_of(schema), *self.types_of(schema), "None"] if nullable else None
            lines.append(f"    {name}: {' | '.join(dict.fromkeys(written or self.types_of(schema)))}")
            lines += prose(self.described(schema))
        self.classes[class_name] = "\n".join(lines)

    def _models_of(self, schema: Schema) -> list[str]:
        """Return what else an argument may be than its TypedDict: the generated model, and any mapping if it is open."""
        models = [name for name in self._referenced(schema) if self.schemas[name].get("properties")]
        is_open = any(self.schemas[name].get("additionalProperties") for name in models)
        return [*models, "Mapping[str, Any]"] if is_open else models

    def models(self) -> list[str]:
        """Return the generated models that an argument may be."""
        fields = self.schemas[REQUEST]["properties"].items()
        names = (
            model for field, schema in fields if field not in POSITIONAL for model in self._models_of(schema)
        )
        return sorted({name for name in names if name in self.schemas})

    def _referenced(self, schema: Schema) -> list[str]:
        branches = [schema, *(branch for keyword in COMBINED for branch in schema.get(keyword, ()))]
        return [branch["$ref"].rpartition("/")[2] for branch in branches if "$ref" in branch]

    def described(self, schema: Schema) -> Schema:
        """Return the schema that describes a field: its own, or the one that it refers to."""
        names = self._referenced(schema)
        return schema if "description" in schema or not names else self.schemas[names[0]]


def summary(schema: Schema) -> str:
    """Return the first sentence of the description."""
    text = " ".join(str(schema.get("description", "")).split())
    return re.split(r"(?<=[.!?])\s", text)[0]


def prose(schema: Schema) -> list[str]:
    """Return a docstring of the description and the example, indented."""
    text = " ".join(str(schema.get("description", "")).split())
    paragraphs = [text] if text else []
    if "example" in schema:
        paragraphs.append(f"Example: {plain(schema['example'])}")
    wrapped = "\n\n".join(textwrap.fill(paragraph, 104) for paragraph in paragraphs)
    safe = wrapped.replace("\\", "\\\\").replace('"', '\\"')
    return textwrap.indent(f'"""{safe}"""', "    ").splitlines()


def plain(value: Any) -> Any:
    """Return YAML's own containers as plain ones."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def main(contract: Path, destination: Path) -> None:
    """Write the module."""
    document = YAML(typ="safe").load(contract)
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    writer = Writer(schemas)
    fields = {
        name: schema for name, schema in schemas[REQUEST]["properties"].items() if name not in POSITIONAL
    }
    checked = {name: writer.type_of(schema) for name, schema in fields.items()}
    writer.write(OPTIONS, REQUEST, fields, nullable=True)
    table = "\n".join(f'    "{name}": {written},' for name, written in checked.items())
    summaries = "\n".join(
        f"    {name!r}: {summary(writer.described(schema))!r}," for name, schema in fields.items()
    )
    is_open = "".join(f"{name}, " for name in writer.open)
    parts = [
        HEADER.format(models=f"({', '.join(writer.models())})"),
        f'CONTRACT_VERSION = {document["info"]["version"]!r}\n"""The version of the contract that this client follows."""',
        *writer.classes.values(),
        f'WIRE_TYPES: dict[str, Any] = {{\n{table}\n}}\n"""The type of each field, with its bounds, for msgspec."""',
        f'SUMMARIES: dict[str, str] = {{\n{summaries}\n}}\n"""Each field in a sentence."""',
        f'OPEN: tuple[Any, ...] = ({is_open})\n"""The objects that take keys which the contract does not name."""',
    ]
    destination.write_text("\n\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
