"""Generated requests: what they depend on, and how they are kept in the cache directory."""

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
from click.testing import CliRunner

from rerank_conformance import cases, check, contract, generation, storage
from rerank_conformance.cli import main
from rerank_conformance.generation import cases_of, generated
from rerank_conformance.reference import Reference

EXAMPLES = 5


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache directory; Hypothesis has its tables of characters in that of the whole run."""
    cases_of.cache_clear()
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", os.environ["RERANK_CONFORMANCE_CACHE"])
    monkeypatch.setenv("RERANK_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the seeds for which schemathesis has made requests; most tests do without, as it takes seconds."""
    seeds: list[int] = []
    make = generation._cases

    def counted(text: str, seed: int, *others):
        seeds.append(seed)
        return make(text, seed, *others)

    monkeypatch.setattr(generation, "_cases", counted)
    return seeds


@pytest.fixture
def simple(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace schemathesis by one request, and return the seeds for which it was made."""
    seeds: list[int] = []
    one = cases.plain(0, _Made({"model": "m", "query": "ä\u2028", "documents": ["a"], "top_n": 10**40}))

    def made(text: str, seed: int, *others):
        seeds.append(seed)
        return (one,)

    monkeypatch.setattr(generation, "_cases", made)
    return seeds


class _Made:
    method, media_type, meta = "POST", "application/json", None

    def __init__(self, body: object) -> None:
        self.body = body
        self.headers = {"X-OpenRouter-Title": "t", "Authorization": "Bearer sk-or-v1-secret"}


def anew(model: str = "m", *, cache: bool = True):
    """Return the requests as another process would."""
    cases_of.cache_clear()
    return [
        (probe.name, probe.content, probe.body, dict(probe.headers), probe.legal)
        for probe in generated(model, 3, EXAMPLES, cache=cache)
    ]


def test_requests_are_the_same_from_the_file(folder: Path, made: list[int], monkeypatch: pytest.MonkeyPatch):
    """The requests are the same without the file, when it is written, and when it is read; it serves every model."""
    monkeypatch.delenv("HYPOTHESIS_STORAGE_DIRECTORY")
    without = anew(cache=False)
    assert not folder.exists()
    assert anew() == without
    assert len(list(folder.glob("generated-*"))) == 1
    assert list(folder.rglob("charmap.json.gz"))  # the tables of characters
    assert made == [3, 3]
    assert anew() == without
    assert {json.loads(content)["model"] for _, content, *_, legal in anew("another") if legal} > {"another"}
    assert made == [3, 3]


def test_another_thread_draws_random_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Generation neither fails by another thread's random numbers nor changes them, and leaves no file."""
    monkeypatch.chdir(tmp_path)
    ended = threading.Event()

    def draw():
        while not ended.wait(0.001):
            random.random()

    expected = anew(cache=False)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        assert anew(cache=False) == expected
    finally:
        ended.set()
        thread.join()
    monkeypatch.delenv("HYPOTHESIS_STORAGE_DIRECTORY")
    random.seed(1)
    before = random.getstate()
    assert anew(cache=False) == expected
    assert random.getstate() == before
    assert list(tmp_path.iterdir()) == []


def test_schemathesis_fails(monkeypatch: pytest.MonkeyPatch):
    """The error says what schemathesis said, in one line."""
    document = {
        **contract.load().document,
        "paths": {"/rerank": {"post": {"requestBody": {"$ref": "#/none"}}}},
    }
    with pytest.raises(RuntimeError, match=r"^schemathesis could not make its requests: .*#/none") as raised:
        generation._cases(json.dumps(document), 0, 1)
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(RuntimeError, match=r"^schemathesis could not make its requests: msgspec") as raised:
        generation._cases("{}", cast("int", "no seed"), 1)  # ends with a traceback
    assert len(str(raised.value).splitlines()) == 1
    monkeypatch.setattr(sys, "executable", str(Path(__file__).parent / "absent"))
    with pytest.raises(RuntimeError, match=r"^schemathesis could not make its requests: FileNotFoundError"):
        generation._cases("{}", 0, 1)


def test_a_group_of_errors():
    """The errors of a group are named, each in one line."""
    group = ExceptionGroup("both", [ValueError("a\nb"), TypeError("c")])
    assert cases._reason(group) == "ExceptionGroup: both (2 sub-exceptions); ValueError: a b; TypeError: c"


def test_requests_do_not_depend_on_the_callers_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Literals of the caller's source, which may be secrets, are in no request."""
    source = tmp_path / "ours.py"
    literals = [f"sk-or-v1-literal-{number}" for number in range(200)]
    source.write_text(f"KEYS = {literals!r}\n", "utf-8")
    module = ModuleType("ours")
    module.__file__ = str(source)
    before = anew(cache=False)
    monkeypatch.setitem(sys.modules, "ours", module)
    assert anew(cache=False) == before
    # the same in the process that generates, which has the caller's path
    (tmp_path / "sitecustomize.py").write_text("import ours\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert anew(cache=False) == before


def test_the_file_is_plain_and_has_no_secret(folder: Path, simple: list[int]):
    """The file is JSON with the body and the contract's headers; it holds no key, and only its owner may read it."""
    anew()
    [file] = folder.iterdir()
    [case] = json.loads(file.read_bytes())["cases"]
    assert set(case) == {"number", "phase", "content", "headers"}
    assert case["headers"] == {"X-OpenRouter-Title": "t"}
    assert b"secret" not in file.read_bytes()
    assert os.name == "nt" or file.stat().st_mode & 0o077 == 0


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _alter(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'\\"model\\"', b'\\"modem\\"'))


def _pickle(file: Path) -> None:
    file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")


def _no_text(file: Path) -> None:
    file.write_bytes(b'{"digest": "\xff", "cases": []}')


def _other_form(file: Path) -> None:
    key = file.stem.removeprefix("generated-")
    cases = b'[{"number": 1}]'
    file.write_bytes(b'{"digest": "%s", "cases": %s}' % (generation._digest(key, cases).encode(), cases))


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGE = [_truncate, _empty, _alter, _pickle, _no_text, _other_form, _folder, _pipe]


@pytest.mark.parametrize("damage", DAMAGE[: None if hasattr(os, "mkfifo") else -1])
def test_a_damaged_file_is_made_again(damage, folder: Path, simple: list[int]):
    """A file that is not as it was written is neither used nor an error, and it is replaced if that is possible."""
    expected = anew()
    [file] = folder.iterdir()
    damage(file)
    assert anew() == expected
    assert simple == [3, 3]
    assert anew() == expected
    assert simple == ([3, 3, 3] if file.is_dir() else [3, 3])
    assert list(folder.iterdir()) == [file]


@pytest.mark.parametrize("change", ["seed", "examples", "contract", "version", "source", "Python"])
def test_what_shapes_requests_names_the_file(
    change: str, folder: Path, simple: list[int], monkeypatch: pytest.MonkeyPatch
):
    """Another seed, number, contract, version of a package that makes them, source or Python has a file of its own."""
    anew()
    cases_of.cache_clear()
    if change == "version":
        monkeypatch.setattr(generation, "version", lambda name: "0")
    elif change == "source":
        monkeypatch.setattr(cases, "__file__", __file__)
    elif change == "Python":
        monkeypatch.setattr(sys, "version", "another")
    generated(
        "m",
        4 if change == "seed" else 3,
        6 if change == "examples" else EXAMPLES,
        "1.0.0" if change == "contract" else None,
    )
    assert len(simple) == 2
    assert len(list(folder.iterdir())) == 2


def test_a_folder_that_cannot_be_written(folder: Path, simple: list[int]):
    """A file in place of the folder is no error."""
    folder.write_bytes(b"")
    assert anew() == anew()
    assert simple == [3, 3]


@pytest.mark.parametrize("how", ["variable", "argument", "command"])
def test_it_can_be_turned_off(
    how: str, folder: Path, simple: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """An empty variable, `cache=False` and `--no-cache` leave no file."""
    monkeypatch.chdir(tmp_path)
    if how == "variable":
        monkeypatch.setenv("RERANK_CONFORMANCE_CACHE", "")
        anew()
    elif how == "argument":
        check(Reference(), cache=False)
    else:
        from rerank_conformance.reference.asgi import running

        with running(Reference()) as url:
            words = ["check", url, "--no-cache", "--rule", "schema."]
            assert CliRunner(env={"OPENROUTER_API_KEY": None}).invoke(main, words).exit_code == 0
    assert simple
    assert not list(tmp_path.rglob("generated-*"))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_CACHE_HOME": "/x"}, "/x/rerank-conformance"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/rerank-conformance"),
        ({}, "/home/me/.cache/rerank-conformance"),
        ({"RERANK_CONFORMANCE_CACHE": "/y", "XDG_CACHE_HOME": "/x"}, "/y"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="POSIX paths")
def test_the_directory(environment, expected: str, monkeypatch: pytest.MonkeyPatch):
    """The directory is our variable's, or in that of the XDG specification, or in the home."""
    monkeypatch.delenv("RERANK_CONFORMANCE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert storage.directory() == Path(expected)


def test_no_home(monkeypatch: pytest.MonkeyPatch):
    """A user without a home has no cache, and no error."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RERANK_CONFORMANCE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert storage.directory() is None
    storage.write("generated-x", b"x")
    assert storage.read("generated-x") is None


def test_the_oldest_files_go(folder: Path):
    """A user who takes a new seed each time does not fill the disk; other files stay."""
    folder.mkdir()
    (folder / "other.json").touch()
    for number in range(storage._NEWEST + 3):
        file = folder / f"generated-{number:03}.json"
        storage.write(file.stem, b"{}")
        os.utime(file, (number, number))
    storage.write("generated-new", b"{}")
    names = {file.name for file in folder.iterdir()}
    assert len(names) == storage._NEWEST + 1
    assert {"generated-new.json", "other.json"} <= names
    assert "generated-000.json" not in names


WRITER = """
import sys
from rerank_conformance import storage

for _ in range(40):
    storage.write("generated-x", sys.argv[1].encode() * 300_000)
"""


def test_processes_at_the_same_time(folder: Path):
    """Readers see a whole file of one of the writers at any time, and no other file is left."""
    path = str(Path(storage.__file__).parents[1])
    words = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*words, letter], cwd=path) for letter in "ab"]
    contents = [letter * 300_000 for letter in (b"a", b"b")]
    while any(writer.poll() is None for writer in writers):
        assert storage.read("generated-x") in {None, *contents}
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [file.name for file in folder.iterdir()] == ["generated-x.json"]
