"""Hold together what must agree: both rerankers, the exported names, and the imports with ARCHITECTURE.md."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

import openrouter_rerank
import openrouter_rerank.bulk
import openrouter_rerank.options
from openrouter_rerank import AsyncReranker, Reranker
from openrouter_rerank.calls import PreparedCall
from openrouter_rerank.dialects.codec import Codec, Envelope
from openrouter_rerank.ledger import Totals
from openrouter_rerank.settings import Settings
from openrouter_rerank_api.dialects import SUMMARIES
from openrouter_rerank_api.options import WIRE_TYPES


def _signature(function: Any) -> list[tuple[str, Any, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default, _annotation(p)) for p in parameters]


def _annotation(parameter: inspect.Parameter) -> str:
    # Requests may come from an async iterable too, where there is an event loop.
    return str(parameter.annotation).removesuffix(" | AsyncIterable[Requestable]")


PAIRS = [
    (Reranker, AsyncReranker),
    (Reranker.rerank, AsyncReranker.rerank),
    (Reranker.local, AsyncReranker.local),
    (Reranker.models, AsyncReranker.models),
    (Reranker.dry_run, AsyncReranker.dry_run),
    (Reranker.rerank_many, AsyncReranker.rerank_many),
    (Reranker.close, AsyncReranker.aclose),
    (Reranker.__exit__, AsyncReranker.__aexit__),
]


@pytest.mark.parametrize(("sync", "twin"), PAIRS, ids=lambda function: function.__name__)
def test_signatures(sync: Any, twin: Any) -> None:
    """The shells take the same arguments in the same order, with the same defaults, kinds and types."""
    assert _signature(sync) == _signature(twin)


@pytest.mark.parametrize(("sync", "twin"), PAIRS[1:-1], ids=lambda function: function.__name__)
def test_docstrings(sync: Any, twin: Any) -> None:
    """The async docstring is the sync one."""
    assert sync.__doc__
    assert twin.__doc__ == sync.__doc__


def test_public_methods() -> None:
    """The shells have the same methods, but for the `a` of `aclose`."""

    def public(kind: type) -> set[str]:
        return {name.removeprefix("a") for name in dir(kind) if not name.startswith("_")}

    assert (
        public(Reranker)
        == public(AsyncReranker)
        == {
            "close",
            "dry_run",
            "ledger",
            "local",
            "models",
            "rerank",
            "rerank_many",
            "with_options",
        }
    )
    assert inspect.iscoroutinefunction(AsyncReranker.rerank)
    assert inspect.iscoroutinefunction(AsyncReranker.models)
    assert inspect.iscoroutinefunction(AsyncReranker.aclose)
    assert not inspect.iscoroutinefunction(Reranker.rerank)


def test_per_call_arguments_are_client_defaults_too() -> None:
    """Every option of a call is an option of the client; `local` takes them all, with the constructor's defaults."""
    # on_error decides the type of what a call gives, which the call itself has to show.
    own = {"self", "query", "documents", "key", "on_error"}
    call = set(inspect.signature(Reranker.rerank).parameters) - own
    client = set(inspect.signature(Reranker).parameters)
    local = set(openrouter_rerank.options.LocalOptions.__annotations__)

    assert call < client
    assert call < local < client
    assert client - local == {
        "api_key",
        "base_url",
        "dialect",
        "app_title",
        "app_referer",
        "app_categories",
        "http_client",
        "verify",
    }


def test_every_argument_is_documented() -> None:
    """The docstrings name each argument that the contract does not describe."""
    for function in (Reranker, Reranker.rerank, Reranker.models):
        document = function.__doc__
        for name in (
            set(inspect.signature(function).parameters)
            - {"self", "documents"}
            - set(WIRE_TYPES)
            - set(SUMMARIES)
        ):
            assert f"{name}:" in (document or "") or f"{name}," in (document or "")


def test_exported_names() -> None:
    """`__all__` is sorted, and lists each public name, those that are imported when first used included."""
    public = {
        name
        for name in dir(openrouter_rerank)
        if not name.startswith("_")
        and getattr(getattr(openrouter_rerank, name), "__module__", "").startswith("openrouter_rerank")
    }

    assert openrouter_rerank.__all__ == sorted(public)


@pytest.mark.parametrize("module", ["openrouter_rerank", "openrouter_rerank.bulk"])
def test_old_names(module: str) -> None:
    """A name of the first edition still imports, with a warning that has the new one."""
    package = importlib.import_module(module)
    for old, new in package._RENAMED.items():
        with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}; "):
            assert getattr(package, old) is getattr(package, new)


def test_public_docstrings() -> None:
    """Everything public says what it gives."""
    for name in openrouter_rerank.__all__:
        assert inspect.getdoc(getattr(openrouter_rerank, name))


VALUES = [
    kind
    for module in (openrouter_rerank, openrouter_rerank.bulk)
    for name in module.__all__
    if isinstance(kind := getattr(module, name), type) and issubclass(kind, msgspec.Struct)
]
SHARED = [Codec, Envelope, PreparedCall, Settings, Totals]


@pytest.mark.parametrize("kind", VALUES + SHARED, ids=lambda kind: kind.__name__)
def test_values_cannot_be_changed(kind: type[msgspec.Struct]) -> None:
    """What callers get, and what calls share, is frozen."""
    assert kind.__struct_config__.frozen


def test_exported_names_of_bulk() -> None:
    """Each name is there, says what it is and stands in `dir`; importing the package alone loads none of them."""
    bulk = openrouter_rerank.bulk
    for name in bulk.__all__:
        assert name in dir(bulk)
        assert name in ("Requestable", "Splitter") or inspect.getdoc(getattr(bulk, name))
    assert bulk.__all__ == sorted(bulk.__all__, key=lambda name: (name.islower(), name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bulk.nothing
    code = "import openrouter_rerank.bulk, sys; print('httpx' in sys.modules, 'sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


# Arrows

OURS = ("openrouter_rerank", "openrouter_rerank_api", "rerank_conformance")


def _root(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def _imports(package: str) -> dict[str, set[str]]:
    root = _root(package)
    return {str(path.relative_to(root)): _imported(path) for path in sorted(root.rglob("*.py"))}


def test_arrows_of_the_facade() -> None:
    """The facade stands on the low-level client; only its local mode and its command line know the kit."""
    imports = _imports("openrouter_rerank")

    assert any("openrouter_rerank_api" in found for found in imports.values())
    knowing = {name.partition("/")[0] for name, found in imports.items() if "rerank_conformance" in found}
    assert knowing <= {"local.py", "cli"}


def test_arrows_of_the_low_level_client() -> None:
    """The low-level client stands on httpx, attrs and msgspec alone."""
    found = set[str]().union(*_imports("openrouter_rerank_api").values())

    assert found - set(sys.stdlib_module_names) == {"httpx", "attrs", "msgspec"}


def test_arrows_of_the_kit() -> None:
    """A judge shares no code with the judged."""
    imports = _imports("rerank_conformance")

    assert imports
    for name, found in imports.items():
        assert not found & {"openrouter_rerank", "openrouter_rerank_api"}, name


def test_the_core_does_no_io() -> None:
    """Deciding modules import nothing that opens, sends or sleeps."""
    doing = {"httpx", "httpcore", "anyio", "asyncio", "socket", "threading", "subprocess"}
    imports = _imports("openrouter_rerank")

    deciding = (
        "core",
        "listing",
        "answer",
        "documents",
        "retries",
        "errors",
        "ranking",
        "models",
        "operations",
    )
    for name in deciding:
        assert not imports[f"{name}.py"] & doing, name


def _modules(root: Path) -> dict[str, Path]:
    """Return the modules of a package by their full names."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _graph(root: Path) -> dict[str, set[str]]:
    """Return the modules that each module of a package imports: on loading, in functions, and for types alone."""
    modules = _modules(root)
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[name] |= modules.keys() & {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                base = node.module or ""
                if node.level:
                    start = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                    base = f"{start}.{base}".rstrip(".")
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    graph[name] |= modules.keys() & {inner if inner in modules else base}
    # A name of a package is resolved to its module by the package, which imports most of them.
    packages = {name for name, path in modules.items() if path.name == "__init__.py"}
    return {name: found - packages for name, found in graph.items()}


def _cycles(graph: dict[str, set[str]]) -> set[str]:
    """Return the modules that import themselves through others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = list(graph[start])
        while left:
            if (name := left.pop()) not in seen:
                seen.add(name)
                left += graph[name]
        return seen

    return {name for name in graph if name in reached(name)}


def test_no_cycle_of_imports() -> None:
    """No module of the facade imports itself through others, be it lazily or for types alone."""
    graph = _graph(_root("openrouter_rerank"))

    assert graph["openrouter_rerank.client"] >= {"openrouter_rerank.connections", "openrouter_rerank.core"}
    assert _cycles(graph) == set()


def _class_names(*roots: Path) -> list[str]:
    """Return the names of all classes in packages, private and nested ones too."""
    return [
        node.name
        for root in roots
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]


def test_each_class_has_a_name_of_its_own() -> None:
    """No two classes that are shipped have one name, except where users of a framework or of the contract expect it."""
    facade = _class_names(_root("openrouter_rerank"))
    kit = _class_names(_root("rerank_conformance"))
    generated = _class_names(_root("openrouter_rerank_api"))
    names = Counter(facade + kit + generated)

    assert {name: number for name, number in names.items() if number > 1} == {
        "OpenRouterRerank": 3,  # of each adapter
        "RerankRequest": 2,  # what a caller passes, beside the body on the wire
        "Usage": 2,  # what a caller gets, beside that of the wire
    }


def test_cycles_are_found(tmp_path: Path) -> None:
    """The walk finds cycles by lazy, relative and type-only imports, and no others."""
    texts = {
        "__init__": "from pkg.a import A",
        "a": "def f():\n    from .b import B",
        "b": "import pkg.c",
        "c": "if TYPE_CHECKING:\n    from pkg import a",
        "d": "from pkg.a import A\nfrom ..pkg import b",
        "sub.__init__": "",
        "sub.e": "from ..sub import g",
        "sub.g": "from . import e",
    }
    for name, text in texts.items():
        path = tmp_path.joinpath("pkg", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert _cycles(_graph(tmp_path / "pkg")) == {"pkg.a", "pkg.b", "pkg.c", "pkg.sub.e", "pkg.sub.g"}


def test_import_is_light() -> None:
    """Importing the facade brings in no extra, opens nothing, and reads no environment variable of ours."""
    heavy = [
        "rerank_conformance",
        "yaml",
        "jsonschema_rs",
        "click",
        "rich",
        "starlette",
        "uvicorn",
        "wordllama",
        "cachetools",
        "sqlite3",
        "openrouter_rerank.bulk",
    ]
    code = f"import openrouter_rerank, sys; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert (done.stdout.strip(), done.stderr) == ("[]", "")
