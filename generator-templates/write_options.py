"""Write options.py of the generated client: the optional fields of a request as TypedDicts, with their bounds.

The generator drops bounds and makes no TypedDicts. `generate_into` in noxfile.py runs this after it.
"""

from __future__ import annotations

import keyword
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
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
    "object": {"minProperties": "min_length", "maxProperties": "max_length"},
}
"""For each type, JSON Schema's keywords and msgspec's names for them."""
COMBINED = ("anyOf", "oneOf", "allOf")
TAKEN = {
    "self",
    "str",
    "int",
    "float",
    "bool",
    "list",
    "Any",
    "Literal",
    "Mapping",
    "Required",
    "Annotated",
    "Meta",
}
"""Names that the annotations of a class need, so that no field of it may have them."""
OWN: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "RerankRequest": "api_key app_categories app_referer app_title arguments base_url blank cache deadline dialect "
        "extra_body extra_headers http_client key max_bytes max_cost max_documents max_image_bytes "
        "min_score on_error on_part_error options retries scorer splitter tag timeout verify",
        "RerankResponse": "attempts body cached count documents elapsed error headers hits index indices mixed parts "
        "ranking reason reordered request_id reranked response response_id row scores to_dicts "
        "to_pandas total unranked",
        "RerankResult": "document file index line moved score",
        "Usage": "attempts by_model by_tag cached calls carry_over cost_unknown done elapsed error failed limit "
        "ranking release remembered reserve response_id row settle total unknown unranked",
    }.items()
}
"""For each schema, the names that the facade has for something of its own; a field of such a name gets an underscore."""
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}

HEADER = '''"""The optional fields of a request, as TypedDicts, and the types by which their values are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Required, TypedDict, Union

from msgspec import Meta

if TYPE_CHECKING:
    from .models import {models}
'''


class Writer:
    """The TypedDicts that a request needs, in the order in which they depend on each other."""

    def __init__(self, schemas: Mapping[str, Schema], prefix: str = "", *, lenient: bool = False) -> None:
        self.schemas = schemas
        self.prefix = prefix
        self.lenient = lenient
        """True to leave out bounds, closed lists and `required`, for answers."""
        self.classes: dict[str, str] = {}
        self.open: list[str] = []

    def type_of(self, schema: Schema, name: str = "") -> str:
        """Return the type of a schema as source; `name` is for objects without a name in the contract."""
        return " | ".join(self.types_of(schema, name))

    def types_of(self, schema: Schema, name: str = "") -> list[str]:
        """Return the types that a schema allows as source, each once."""
        if "$ref" in schema:
            return self._reference(schema["$ref"].rpartition("/")[2])
        if "const" in schema or "enum" in schema:
            return self._literal(schema.get("enum", [schema.get("const")]))
        branches = [branch for word in COMBINED for branch in schema.get(word, ())]
        kinds = schema.get("type", ["object"] if "properties" in schema else [])
        found = [written for branch in self._merged(branches) for written in self.types_of(branch, name)]
        found += [
            self._bounded(kind, schema, name) for kind in ([kinds] if isinstance(kinds, str) else kinds)
        ]
        return list(dict.fromkeys(found)) or ["Any"]

    def _literal(self, values: Sequence[Any]) -> list[str]:
        """Return the type of a closed list of values; msgspec has such a type only for strings and integers."""
        present = [value for value in values if value is not None]
        if self.lenient or any(type(value) not in (str, int) for value in present):
            found = [SCALARS.get(JSON_TYPES[type(value)], "Any") for value in present]
        else:
            found = [f"Literal[{', '.join(map(repr, present))}]"] if present else []
        return list(dict.fromkeys([*found, *(["None"] if None in values else [])]))

    def _merged(self, branches: Sequence[Schema]) -> list[Schema]:
        """Return branches that share no types: msgspec accepts one type of objects, one of lists and so on."""
        allowed = [self.kinds_of(branch) for branch in branches]
        number = Counter(kind for kinds in allowed for kind in kinds - {"null"})
        return [
            {"type": sorted(kinds)} if any(number[kind] > 1 for kind in kinds) else branch
            for branch, kinds in zip(branches, allowed, strict=True)
        ]

    def kinds_of(self, schema: Schema, *, seen: frozenset[str] = frozenset()) -> set[str]:
        """Return the names of the types that a schema allows; an empty set if it allows any."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return set() if name in seen else self.kinds_of(self.schemas[name], seen=seen | {name})
        kinds = schema.get("type", ["object"] if "properties" in schema else [])
        found = {kinds} if isinstance(kinds, str) else set(kinds)
        if not found and ("enum" in schema or "const" in schema):
            values = schema.get("enum", [schema.get("const")])
            found = {JSON_TYPES.get(type(value), "null") for value in values}
        branches = [branch for word in COMBINED for branch in schema.get(word, ())]
        for branch in branches:
            found |= self.kinds_of(branch, seen=seen) or {"any"}
        return found

    def _reference(self, name: str) -> list[str]:
        schema = self.schemas[name]
        if schema.get("type") != "object":
            return self.types_of(schema, name)
        return [self._bounded("object", schema, name)]

    def _object(self, schema: Schema, name: str) -> str:
        """Return the type of an object: a TypedDict if the contract names its keys."""
        further = schema.get("additionalProperties")
        if not schema.get("properties"):
            value = self.type_of(further, f"{name}Value") if isinstance(further, dict) else "Any"
            return f"Mapping[str, {value}]"
        class_name = f"{self.prefix}{name}Dict"
        if class_name not in self.classes:
            self.classes[class_name] = ""  # it may contain itself
            self.write(class_name, schema, schema["properties"], name=name)
            if further:
                self.open.append(class_name)
        return class_name

    def _bounded(self, kind: str, schema: Schema, name: str) -> str:
        if kind == "array":
            written = f"list[{self.type_of(schema.get('items', {}), f'{name}Item')}]"
        else:
            written = self._object(schema, name) if kind == "object" else SCALARS[kind]
        if self.lenient:
            return written
        # A bound of another type has no effect, and msgspec refuses it.
        words = {BOUNDS[kind][word]: schema[word] for word in BOUNDS.get(kind, {}) if word in schema}
        if "pattern" in words:
            # In Python the dollar also matches before a final line break.
            words["pattern"] = re.sub(r"(?<!\\)\$$", r"\\Z", words["pattern"])
        if kind == "array" and schema.get("uniqueItems"):
            words["extra"] = {"unique_items": True}  # msgspec does not know it
        bounds = ", ".join(f"{word}={value!r}" for word, value in words.items())
        return f"Annotated[{written}, Meta({bounds})]" if bounds else written

    def write(
        self,
        class_name: str,
        schema: Schema,
        fields: Mapping[str, Schema],
        *,
        name: str,
        nullable: bool = False,
    ) -> None:
        """Write a TypedDict; `nullable` allows None, which stands for a field that is left out."""
        required = () if self.lenient else schema.get("required", ())
        types: dict[str, str] = {}
        for field, of_field in fields.items():
            kinds = self.types_of(of_field, f"{name}{pascal(field)}")
            if nullable:
                kinds = list(dict.fromkeys([*self._models_of(of_field), *kinds, "None"]))
            written = " | ".join(kinds)
            types[field] = f"Required[{written}]" if field in required and not nullable else written
        if nullable or all(python_name(field, name) == field for field in fields):
            lines = [f"class {class_name}(TypedDict, total=False):", *prose(schema)]
            for field, written in types.items():
                lines.append(f"    {python_name(field, name)}: {written}")
                lines += prose(self.described(fields[field]))
        else:  # a name of the wire that no attribute can have
            rows = [f"        {field!r}: {written!r}," for field, written in types.items()]
            lines = [f"{class_name} = TypedDict({class_name!r}, {{", *rows, "    }, total=False)"]
            lines += textwrap.dedent("\n".join(prose(schema))).splitlines()
        self.classes.pop(class_name, None)  # behind those that it contains
        self.classes[class_name] = "\n".join(lines)

    def _models_of(self, schema: Schema) -> list[str]:
        """Return the other types of an argument beside its TypedDict: the generated model, and any mapping if it is open."""
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
        branches = [schema, *(branch for word in COMBINED for branch in schema.get(word, ()))]
        return [branch["$ref"].rpartition("/")[2] for branch in branches if "$ref" in branch]

    def described(self, schema: Schema) -> Schema:
        """Return the schema that describes a field: its own, or the one that it refers to."""
        names = self._referenced(schema)
        return schema if "description" in schema or not names else self.schemas[names[0]]


def pascal(name: str) -> str:
    """Return a name as a part of a class name."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[\W_]+", name))


def python_name(name: str, schema: str = "") -> str:
    """Return the name of an argument for a field of a schema: `from_` for `from`, `x_routing` for `x-routing`."""
    word = re.sub(r"\W", "_", name)
    word = word if word.isidentifier() else f"_{word}"
    is_taken = keyword.iskeyword(word) or word in TAKEN or word in OWN.get(schema, ())
    return f"{word}_" if is_taken else word


def in_table(kinds: Sequence[str]) -> str:
    """Return a union as an expression that type checkers accept, as they do not support `|` after Annotated."""
    bounded = len(kinds) > 1 and any(kind.startswith("Annotated") for kind in kinds)
    return f"Union[{', '.join(kinds)}]" if bounded else " | ".join(kinds)


def text_of(schema: Schema) -> str:
    """Return the description on one line, with a note if the field is deprecated."""
    text = " ".join(str(schema.get("description", "")).split())
    return f"Deprecated. {text}".strip() if schema.get("deprecated") else text


def summary(schema: Schema) -> str:
    """Return the first sentence of the description."""
    text = text_of(schema)
    head = "Deprecated. " if text.startswith("Deprecated. ") else ""
    return head + re.split(r"(?<=[.!?])\s", text[len(head) :])[0]


def prose(schema: Schema) -> list[str]:
    """Return a docstring of the description, the default and the example, indented; an empty list if there is no text."""
    text = text_of(schema)
    paragraphs = [text] if text else []
    if "default" in schema:
        paragraphs.append(f"Default: {plain(schema['default'])}")
    if "example" in schema:
        paragraphs.append(f"Example: {plain(schema['example'])}")
    wrapped = "\n\n".join(textwrap.fill(paragraph, 104) for paragraph in paragraphs)
    if not wrapped:
        return []
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
    checked = {
        python_name(name, REQUEST): in_table(writer.types_of(schema, f"{REQUEST}{pascal(name)}"))
        for name, schema in fields.items()
    }
    writer.write(OPTIONS, schemas[REQUEST], fields, name=REQUEST, nullable=True)
    table = "\n".join(f'    "{name}": {written},' for name, written in checked.items())
    summaries = "\n".join(
        f"    {python_name(name, REQUEST)!r}: {summary(writer.described(schema))!r},"
        for name, schema in fields.items()
    )
    pairs = {python_name(name, REQUEST): name for name in fields}
    names = "\n".join(f"    {ours!r}: {wire!r}," for ours, wire in pairs.items() if ours != wire)
    is_open = "".join(f"{name}, " for name in writer.open)
    parts = [
        HEADER.format(models=f"({', '.join(writer.models())})"),
        f'CONTRACT_VERSION = {document["info"]["version"]!r}\n"""The version of the contract that this client follows."""',
        *writer.classes.values(),
        f'WIRE_TYPES: dict[str, Any] = {{\n{table}\n}}\n"""The type of each field, with its bounds, for msgspec."""',
        f'NAMES: dict[str, str] = {{\n{names}\n}}\n"""The names on the wire of the fields that have another name in Python."""',
        f'SUMMARIES: dict[str, str] = {{\n{summaries}\n}}\n"""A sentence about each field."""',
        f'OPEN: tuple[Any, ...] = ({is_open})\n"""The objects that accept keys which the contract does not name."""',
    ]
    destination.write_text("\n\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
