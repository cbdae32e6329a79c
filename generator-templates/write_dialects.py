"""Write dialects.py of the generated client: the requests of other vendors' forms of the API.

Every file of contracts/dialects is a dialect. `generate_into` in noxfile.py runs this after the generator, as it runs
write_options.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from write_options import Schema, Writer, in_table, pascal, prose, summary

CANONICAL = "openrouter"
"""The dialect of openapi.yaml."""
FOLDER = "contracts/dialects"
OPTIONS = "DialectOptions"
CARRIES = "x-carries"
"""Marks a field that is not an option: it carries a field of openapi.yaml under another name, or `nothing`."""

HEADER = '''"""The requests of each dialect: the path, the type of each field, and the options that only dialects have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Required, TypeAlias, TypedDict, Union

from msgspec import Meta

from .options import WIRE_TYPES
'''


@dataclass(frozen=True)
class Dialect:
    """The rerank operation of a contract."""

    name: str
    path: str
    fields: Mapping[str, Schema]
    required: Sequence[str]
    writer: Writer

    @classmethod
    def read(cls, name: str, file: Path) -> Dialect:
        """Read a contract; its only POST operation is the rerank operation."""
        document = YAML(typ="safe").load(file)
        ((path, operation),) = [
            (path, item["post"]) for path, item in document["paths"].items() if "post" in item
        ]
        schemas = document["components"]["schemas"]
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        prefix = "".join(word.capitalize() for word in name.split("-"))
        request = schemas[reference.rpartition("/")[2]]
        return cls(name, path, request["properties"], request["required"], Writer(schemas, prefix))

    def types(self) -> dict[str, str]:
        """Return the type of each field as source."""
        return {
            name: in_table(self.writer.types_of(schema, pascal(name))) for name, schema in self.fields.items()
        }

    def carried(self, canonical: Dialect) -> dict[str, str]:
        """Return the name of each field of the canonical dialect that this one has, by its canonical name."""
        found = dict[str, str]()
        for name, schema in self.fields.items():
            carried = {**self.writer.described(schema), **schema}.get(CARRIES, name)
            if carried in canonical.fields:
                found[carried] = name
        return found

    def options(self, canonical: Dialect) -> Iterator[str]:
        """Yield the fields that a caller can set, and that the canonical dialect does not have."""
        for name, schema in self.fields.items():
            if name not in canonical.fields and CARRIES not in {**self.writer.described(schema), **schema}:
                yield name


def read_dialects(contract: Path) -> list[Dialect]:
    """Return all dialects, the canonical one first."""
    files = {CANONICAL: contract} | {
        file.stem: file for file in sorted((contract.parent / FOLDER).glob("*.yaml"))
    }
    return [Dialect.read(name, file) for name, file in files.items()]


def write_options(canonical: Dialect, others: list[Dialect]) -> tuple[str, str]:
    """Return the class of the options, and the table of their summaries, as source."""
    options = dict[str, list[Dialect]]()
    for dialect in others:
        for name in dialect.options(canonical):
            options.setdefault(name, []).append(dialect)
    about = {
        "description": "The fields of a request that only dialects have, and the dialects that take them."
    }
    lines, rows = [f"class {OPTIONS}(TypedDict, total=False):", *prose(about)], list[str]()
    for name, dialects in sorted(options.items()):
        described = [dialect.writer.described(dialect.fields[name]) for dialect in dialects]
        kinds = [
            kind
            for dialect in dialects
            for kind in dialect.writer.types_of(dialect.fields[name], pascal(name))
        ]
        lines.append(f"    {name}: {' | '.join(dict.fromkeys([*kinds, 'None']))}")
        said = [
            f"{dialect.name}: {' '.join(schema['description'].split())}"
            for dialect, schema in zip(dialects, described, strict=True)
        ]
        lines += prose({**described[0], "description": " ".join(said)})
        rows.append(f"    {name!r}: {summary(described[0])!r},")
    summaries = [
        "SUMMARIES: Mapping[str, str] = {",
        *rows,
        "}",
        f'"""A sentence about each field of `{OPTIONS}`."""',
    ]
    return "\n".join(lines), "\n".join(summaries)


def write_requests(canonical: Dialect, others: list[Dialect]) -> str:
    """Return the table of the fields of each dialect as source."""
    lines = ["REQUESTS: Mapping[str, Mapping[str, object]] = {"]
    for dialect in (canonical, *others):
        types = dialect.types()
        rows = [f"        {name!r}: {written}," for name, written in types.items()]
        if dialect is canonical:
            rows = [row for name, row in zip(types, rows, strict=True) if name in ("query", "documents")]
            rows.append("        **WIRE_TYPES,")
        lines += [f"    {dialect.name!r}: {{", *rows, "    },"]
    return "\n".join([*lines, "}", '"""The type of each field on the wire, with its bounds, for msgspec."""'])


def write_carried(canonical: Dialect, dialects: list[Dialect]) -> tuple[str, str]:
    """Return the tables of the canonical fields of each dialect, and of those that it requires, as source."""
    carried = {dialect.name: dialect.carried(canonical) for dialect in dialects}
    required = {
        dialect.name: [name for name, own in carried[dialect.name].items() if own in dialect.required]
        for dialect in dialects
    }
    names = '"""The name of each field of openapi.yaml that a dialect has, by its name there."""'
    needed = '"""The fields of openapi.yaml that a dialect requires."""'
    return (
        f"CARRIED: Mapping[str, Mapping[str, str]] = {carried!r}\n{names}",
        f"REQUIRED: Mapping[str, Sequence[str]] = {required!r}\n{needed}",
    )


def main(contract: Path, destination: Path) -> None:
    """Write the module."""
    canonical, *others = dialects = read_dialects(contract)
    names = ", ".join(repr(dialect.name) for dialect in dialects)
    options, summaries = write_options(canonical, others)
    requests = write_requests(canonical, others)
    carried, required = write_carried(canonical, dialects)
    paths = "\n".join(f"    {dialect.name!r}: {dialect.path!r}," for dialect in dialects)
    parts = [
        HEADER,
        f'Dialect: TypeAlias = Literal[{names}]\n"""The name of a dialect."""',
        f'DIALECTS: tuple[Dialect, ...] = ({names},)\n"""All dialects, the dialect of openapi.yaml first."""',
        f'PATHS: Mapping[str, str] = {{\n{paths}\n}}\n"""The path of the operation below the base address."""',
        carried,
        required,
        *(source for dialect in others for source in dialect.writer.classes.values()),
        options,
        requests,
        summaries,
    ]
    destination.write_text("\n\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
