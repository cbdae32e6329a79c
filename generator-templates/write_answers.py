"""Write answers.py of the generated client: the fields of an answer, as base classes and as tables.

`generate_into` in noxfile.py runs this after the generator, as it runs write_options.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ruamel.yaml import YAML
from write_options import OWN, Schema, Writer, pascal, prose, python_name

HEADER = '''"""The fields of an answer: base classes of the results, and the tables by which they are read.

Every field is included, nullable or not. Only the models check bounds, closed lists and required fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypedDict, TypeVar

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
    ("AnswerFields", "RerankResponse", "ANSWER", "Struct, frozen=True, kw_only=True", ("results", "usage"), ""),
    ("HitFields", "RerankResult", "HIT", "Struct, Generic[T], frozen=True", ("index", "relevance_score", "document"), HIT),
    ("UsageFields", "Usage", "USAGE", "Struct, frozen=True", (), ""),
)  # fmt: skip
"""For each class: its name, its schema, the name of its table, its bases, the fields that the facade has in a form of its
own, and these."""

SUMS = '''class UsageSums(Struct, frozen=True, kw_only=True):
    """Sums of the known numbers of a usage over many calls."""
'''
SUMMED = '''class Summed:
    """The numbers of `UsageSums` as attributes; a subclass has them in `total`."""

    @property
    def total(self) -> UsageSums:
        """All sums at one moment."""
        raise NotImplementedError
'''


class Fields(Writer):
    """The fields of an answer, with their types as they are read leniently."""

    def types(self, name: str, own: Iterable[str]) -> Mapping[str, str]:
        """Return the type of each field of a schema as source, without null and without the fields that the facade types itself."""
        fields: Mapping[str, Schema] = self.schemas[name]["properties"]
        return {
            field: self.type_without_null(schema, f"{name}{pascal(field)}")
            for field, schema in fields.items()
            if field not in own
        }

    def type_without_null(self, schema: Schema, name: str) -> str:
        """Return a type as source; it is one type if it is int or float."""
        kinds = [kind for kind in self.types_of(schema, name) if kind != "None"]
        if "float" in kinds:
            kinds = [kind for kind in kinds if kind != "int"]
        return " | ".join(kinds) or "Any"


def write_class(head: str, own: str, name: str, types: Mapping[str, str], writer: Fields) -> str:
    """Return a base class of a schema as source."""
    schema = writer.schemas[name]
    lines = [head, *prose({"description": schema["description"]}), *own.splitlines()]
    for field, kind in types.items():
        described = writer.described(schema["properties"][field])
        lines += [f"    {python_name(field, name)}: {kind} | None = None", *prose(described)]
    return "\n".join(lines)


def write_table(table: str, name: str, schema: str, types: Mapping[str, str]) -> str:
    """Return the types of a class as source."""
    rows = [f"    {python_name(field, schema)!r}: {kind}," for field, kind in types.items()]
    says = f'"""The types of the fields of `{name}`, which are read leniently."""'
    return "\n".join([f"{table}: dict[str, Any] = {{", *rows, "}", says])


def write_sums(types: Mapping[str, str]) -> list[str]:
    """Return the classes of sums as source."""
    sums, summed = SUMS.splitlines(), SUMMED.splitlines()
    numbers = {python_name(field, "Usage"): kind for field, kind in types.items() if kind in ("int", "float")}
    for field, kind in numbers.items():
        says = f'    """The known sum of `usage.{field}`."""'
        sums += [f"    {field}: {kind} = 0{'.0' * (kind == 'float')}", says]
        summed += ["", "    @property", f"    def {field}(self) -> {kind}:", f"    {says}"]
        summed += [f"        return self.total.{field}"]
    table = f'SUMS = ({"".join(f"{field!r}, " for field in numbers)})\n"""The fields of `UsageSums`."""'
    return ["\n".join(sums), "\n".join(summed), table]


def main(contract: Path, destination: Path) -> None:
    """Write the module."""
    schemas: Mapping[str, Schema] = YAML(typ="safe").load(contract)["components"]["schemas"]
    # a row of `rerank batch` has the fields of both
    OWN["Usage"] |= schemas["RerankResponse"]["properties"].keys()
    writer = Fields(schemas, lenient=True)
    classes, tables, names = list[str](), list[str](), dict[str, str]()
    for name, schema, table, bases, left_out, own in CLASSES:
        types = writer.types(schema, left_out)
        classes.append(write_class(f"class {name}({bases}):", own, schema, types, writer))
        tables.append(write_table(table, name, schema, types))
        pairs = {python_name(field, schema): field for field in types}
        names |= {ours: wire for ours, wire in pairs.items() if ours != wire}
        if table == "USAGE":
            classes += write_sums(types)
    rows = [f"    {ours!r}: {wire!r}," for ours, wire in names.items()]
    about = '"""The names on the wire of the fields that have another name in Python."""'
    tables.append("\n".join(["NAMES: dict[str, str] = {", *rows, "}", about]))
    parts = [HEADER, *writer.classes.values(), *classes, *tables]
    destination.write_text("\n\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
