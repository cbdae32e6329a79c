"""A document is read within bounds, as it is written, and what cannot be read is told in one line without a secret.

That a server which hangs, drips, sends on or sends too much is given up is tried where the commands are: test_changes.py and
test_upstream.py.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from compare import documents
from compare.documents import CannotReadError, Document, child_pointer, join_pointer, parse, split_pointer


def refused(name: str, content: bytes) -> str:
    """Return the one line that says why it is not read."""
    with pytest.raises(CannotReadError) as told:
        parse(name, content)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"a: &a {b: 1, c: 1}\nd: {<<: *a, b: 2}\n", {"b": 2, "c": 1}),
        (b"a: &a {b: 1}\nc: &c {<<: *a, b: 2}\nd: {<<: *c}\n", {"b": 2}),
        (b"a: {c: &c {<<: &a {b: 1}, b: 2}}\nd: {<<: *c}\n", {"b": 2}),
        (b"a: &a {b: 1}\nc: &c {b: 2, c: 2}\nd: {<<: [*a, *c]}\n", {"b": 1, "c": 2}),
        (b"\xef\xbb\xbfd: {b: 1}\n", {"b": 1}),
        (b'\xef\xbb\xbf{"d": {"b": 1}}', {"b": 1}),
        (b"{d: {b: 1}}", {"b": 1}),
        (b"d: {yes: no, 1_000: 1_000, 12:30:00: 12:30:00, 010: 0o7}\n", {"yes": "no", "1_000": "1_000", "12:30:00": "12:30:00", "010": "0o7"}),
    ],
)  # fmt: skip
def test_what_is_written_is_read(content: bytes, value: object):
    """Keys override what `<<` names, the first named goes first, a byte order mark is none of the text, and YAML is 1.2."""
    document = parse("a", content)
    assert document.data["d"] == value
    assert not document.text.startswith("\ufeff")


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_a_key_that_is_twice_there_is_refused_in_json_too(name: str):
    """JSON readers take the last of two equal keys in silence, so that half of a document would be compared."""
    assert (
        refused(name, b'{"a": {"b": 1, "b": 2}}') == f"{name} has the key 'b' twice in one object: remove one"
    )


def merging(times: int) -> bytes:
    """Objects that each name the one before through `<<`, so many times."""
    lines = [f"k{n}: &k{n} {{<<: [{', '.join([f'*k{n - 1}'] * 9)}]}}" for n in range(1, times)]
    return "\n".join(["k0: &k0 {a: 1}", *lines]).encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (merging(30), "more than 300,000 keys and values"),
        (b"[" + b"1," * 2_000_000 + b"1]", "more than 300,000 keys and values"),
        (b'{"a": [' + b"1," * 2_000_000 + b"1]}", "more than 300,000 keys and values"),
        (b"a: &a [*a]", "a:1: it contains itself; remove the alias"),
        (b"a: 1\nb: &b {<<: *b}", "a:2: it contains itself; remove the alias"),
        (b"[" * 300 + b"]" * 300, "nested too deeply for an OpenAPI document: more than 200 levels"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "nested too deeply for an OpenAPI document: more than 200 levels"),
        (b"a: " + b"&a [" * 100 + b"]" * 100 + b"\nb: " + b"[" * 150 + b"*a" + b"]" * 150, "nested too deeply"),
        (b" " * 10_000_001, "larger than 10 MB"),
        (b"".join(b"- &a%d x\n" % n for n in range(700_000)), "more than 10,000 anchors and aliases"),
        (b"- &a x\n" + b"- *a\n" * 400_000, "more than 10,000 anchors and aliases"),
    ],
    ids=["merges", "YAML", "JSON", "itself", "merged into itself", "deep YAML", "deep JSON", "deep by aliases", "large", "anchors", "aliases"],
)  # fmt: skip
def test_what_means_too_much_is_refused(content: bytes, told: str):
    """A small document that expands beyond memory, or nests too deeply, ends in one line."""
    if b"&a [&a" in content:  # an anchor has one name each
        content = content.replace(b"&a [" * 100, b"&a [" + b"[" * 99)
    assert told in refused("a", content)


def test_anchors_are_counted_before_anything_is_made_of_them(monkeypatch: pytest.MonkeyPatch):
    """A document of too many anchors is refused by their number: no more is read, and nothing is composed."""
    read: list[yaml.Event] = []
    events = yaml.parse

    def parse(text: str, loader: Any) -> Iterator[yaml.Event]:
        for event in events(text, loader):
            read.append(event)
            yield event

    monkeypatch.setattr(documents.yaml, "parse", parse)
    monkeypatch.setattr(documents._Loader, "get_single_node", lambda _: pytest.fail("it was composed"))
    said = refused("a", b"".join(b"- &a%d x\n" % n for n in range(50_000)))
    assert said == "a has more than 10,000 anchors and aliases: write the document without them"
    assert len(read) < 10_010


@pytest.mark.parametrize(
    "content",
    [b"!!bool maybe", b"!!int ''", b"!!float x", b"!!set {a}", b"!!timestamp 2026-11-25", b"!!binary aGk=", b"!!python/name:os.system"],
)  # fmt: skip
def test_only_json_comes_of_a_tag(content: bytes):
    """A tag that makes something else than JSON, or does not fit its value, is one line."""
    assert "not YAML" in refused("a", b"a: " + content)


MEASURED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from compare.documents import CannotReadError, parse
resource.setrlimit(resource.RLIMIT_AS, (500_000_000, 500_000_000))
try:
    parse("a", b"[" + b"1," * 4_000_000 + b"1]")
except CannotReadError as error:
    print(error)
"""


def test_what_has_too_many_parts_takes_no_memory_for_them():
    """Values are counted before they are expanded: half a gigabyte is enough to refuse four million numbers."""
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, str(Path(documents.__file__).parents[1])],
        check=False, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert "more than 300,000 keys and values" in ran.stdout, ran.stderr[-500:]


def test_a_file_without_an_end_is_read_to_the_limit(tmp_path: Path):
    """A pipe is read as a file is, and of one that goes on and on no more than the limit is taken."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cut = threading.Event()

    def fill(content: bytes, times: int) -> None:
        try:
            with pipe.open("wb") as file:
                for _ in range(times):
                    file.write(content)
        except BrokenPipeError:
            cut.set()

    short = threading.Thread(target=fill, args=(b"a: 1\n", 1))
    short.start()
    assert documents.read(str(pipe)).data == {"a": 1}
    short.join()
    long = threading.Thread(target=fill, args=(b"#" * 1_000_000, 100))
    long.start()
    with pytest.raises(CannotReadError, match="larger than 10 MB"):
        documents.read(str(pipe))
    long.join()
    assert cut.is_set()


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://[user:hunter2@",
        "http://user:hunter2",  # the @ is forgotten, and Python calls the password a port
        "http://user:hunter2\u2100@host/",  # Python names the characters that it forbids, and all around them
        "https://user:hunter2@host:port/openapi.yaml",
    ],
)
def test_no_address_is_told_without_quoting_it(address: str):
    """No part of an invalid address is shown, as a secret may be anywhere in it."""
    with pytest.raises(CannotReadError) as told:
        documents.read(address)
    assert str(told.value) == "the argument is not a URL: write it as https://host/path, or name a file"


def test_a_pointer_leads_where_it_says():
    """Steps are escaped and unescaped, and what is no pointer, as the name of an anchor, leads nowhere."""
    document = Document("a", {"paths": {"/a~b/{c}": [1, {"x": 2}]}})
    assert child_pointer("#", "/a~b") == "#/~1a~0b"
    pointer = join_pointer(["paths", "/a~b/{c}", "1", "x"])
    assert split_pointer(pointer) == ["paths", "/a~b/{c}", "1", "x"]
    assert document.at(pointer) == document.at(documents.decode_reference("#/paths/~1a~0b~1%7Bc%7D/1/x")) == 2
    assert document.at("#") == document.data
    for nothing in ("#paths", "#/nothing", "#/paths/~1a~0b~1{c}/2", "#/paths/~1a~0b~1{c}/-", "paths"):
        with pytest.raises(KeyError):
            document.at(nothing)


def test_lines_of_json_are_known_too():
    """JSON is read as YAML for its lines; JSON that is no YAML, as with tabs, has none, and is read all the same."""
    assert parse("a.json", b'{\n "a": {\n  "b": 1\n }\n}').place("#/a/b/c") == "a.json:3 #/a/b/c"
    assert parse("a.json", b'{\n "a": [\n  1\n ]\n}').lines() == {"#/a": 2, "#/a/0": 3}
    tabbed = parse("a.json", b'{\n\t"a":\n\t\t[1]\n}\n')
    assert tabbed.data == {"a": [1]}
    assert tabbed.place("#/a") in ("a.json #/a", "a.json:2 #/a")
