"""All checks and tools of this project, for people and CI: `nox` runs the default sessions, `nox -l` lists all."""

from __future__ import annotations

import base64
import filecmp
import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
# uv links files from its cache; virtualenv copies them for every session.
nox.options.default_venv_backend = "uv|virtualenv"
HOME = Path(".nox").resolve()
CACHE = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache/uv")


def device(path: Path) -> int:
    """Return the file system of a path, which may not exist yet."""
    return next(parent for parent in (path, *path.parents) if parent.exists()).stat().st_dev


if device(CACHE) != device(HOME):
    # Files cannot be linked across file systems, so the cache must be beside the environments.
    os.environ["UV_CACHE_DIR"] = str(HOME / "cache")

# Some containers set it; then each of hundreds of processes would compile its imports again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
GENERATED = Path("generated/openrouter_rerank_api")
WRAPPER = Path("wrapper/openrouter_rerank")
PACKAGES = [GENERATED, WRAPPER, Path("contract_tests/rerank_conformance")]

nox.options.sessions = [
    "lint",
    "types",
    f"tests-{PYTHON if PYTHON in PYTHONS else PYTHONS[-1]}",
    "contract",
    "drift",
    "build",
]


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Lint code with ruff, contracts with Redocly, Spectral, openapi-spec-validator and schemathesis, workflows with actionlint."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("python", "contract_tests/lint/run.py")
    session.run("python", "contract_tests/lint/workflows.py")
    session.run("pytest", "-q", "contract_tests/test_lint.py", env={"RERANK_LINT": "required"})


@nox.session
def types(session: nox.Session) -> None:
    """Check all packages, and examples of user code, with mypy and pyright in strict mode."""
    session.install("-e", ".[all,semantic]", *group("types"))
    session.run("mypy", *(f"--package={package.name}" for package in PACKAGES))
    session.run(
        "mypy",
        "wrapper/tests/typing_api.py",
        *(f"contract_tests/{name}" for name in ("compare", "changes", "peers", "upstream")),
    )
    session.run("pyright")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test the facade and the generated client, with full coverage of the modules in DECIDING."""
    session.install("-e", ".[all,semantic]", *group("tests"))
    if session.posargs:
        session.run("pytest", *session.posargs)
    else:
        settings = Path(session.virtualenv.location).resolve() / "coveragerc"
        settings.write_text(coverage_settings(), "utf-8")
        # Coverage starts with each process, as pytest imports our plugin before pytest-cov would start.
        measure = {"COVERAGE_PROCESS_START": str(settings), "COVERAGE_RCFILE": str(settings)}
        session.run("coverage", "erase", env=measure)
        session.run("pytest", *EVERYTHING, *AT_ONCE, env=measure)
        session.run("coverage", "combine", "--quiet", env=measure)
        session.run("coverage", "report", env=measure)


def coverage_settings() -> str:
    """Return the settings of coverage. Only what DECIDING names is measured, as that costs half as much again as to run."""
    deciding = {file for name in DECIDING for file in WRAPPER.glob(f"{name}.py")}
    others = sorted(set(WRAPPER.rglob("*.py")) - deciding)
    omitted = "".join(f"\n    {file.resolve()}" for file in others)
    # One file of data for each process, which `coverage combine` joins.
    return (
        "[run]\nbranch = true\nparallel = true\nsource_pkgs = openrouter_rerank\n"
        f"omit ={omitted}\n[report]\nfail_under = 100\nshow_missing = true\n"
    )


FRAMEWORKS = {
    "langchain": ["langchain-classic>=1.0"],  # it has the retriever that uses a compressor
    "llama_index": [],
    "haystack": [],
    "ray": ["h11>=0.16"],  # our own test kit needs it
}
"""The adapters, and what their tests need in addition to the framework's core."""


def adapter(name: str) -> Path:
    """Return the path of the adapter for a framework: a module or a package."""
    package = WRAPPER / "integrations" / name
    return package if package.is_dir() else package.with_suffix(".py")


CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
AT_ONCE = [f"--numprocesses={CORES + CORES // 2 if CORES > 1 else 2}", "--dist=worksteal"]
"""Three processes for two cores, because tests wait for a third of their time; the tests of a file mostly share a process and
its caches."""

EVERYTHING = [
    "docs",  # has the longest test
    "wrapper",
    "README.md",
    "--doctest-modules",
    "--doctest-glob=*.md",
    # tested by the session `frameworks`, where the framework is installed
    "--ignore=docs/frameworks.md",
    "--ignore=docs/ray.md",
    *(f"--ignore={adapter(name)}" for name in FRAMEWORKS),
]
"""The arguments of the session `tests`: the tests, and all examples in docstrings and pages."""

DECIDING = [
    "addresses",
    "answer",
    "arguments",
    "blank",
    "bulk/cache",
    "bulk/job",
    "bulk/large",
    "bulk/many",
    "bulk/money",
    "bulk/order",
    "bulk/pace",
    "bulk/run",
    "bulk/together",
    "calls",
    "certificates",
    "checks",
    "client",
    "connections",
    "core",
    "decoding",
    "dialects/*",
    "doctor/*",
    "defaults",
    "documents",
    "errors",
    "failures",
    "forks",
    "http11",
    "ledger",
    "listing",
    "local",
    "models",
    "network",
    "operations",
    "options",
    "pickling",
    "proxies",
    "ranking",
    "readers",
    "redaction",
    "request",
    "retries",
    "settings",
    "streams",
    "wordings",
]
"""The modules that need full line and branch coverage."""


@nox.session
def contract(session: nox.Session) -> None:
    """Test that everything follows from openapi.yaml; with `-- --target URL`, check a live server by every rule."""
    session.install("-e", ".[all,semantic]", *group("tests"))
    if any(word.startswith("--target") for word in session.posargs):
        session.run("pytest", "--pyargs", "rerank_conformance", *session.posargs)
    else:
        everything = [
            "contract_tests",
            "wrapper/tests/test_held_to_the_contract.py",
            "--ignore=contract_tests/test_lint.py",  # run by the session `lint`, which has its tools
            *AT_ONCE,
        ]
        chosen = session.posargs or everything
        session.run("pytest", *chosen)


@nox.session(default=False)
def changes(session: nox.Session) -> None:
    """Compare two contracts, by default with the last release: changes, whom they break, the version: `-- OLD [NEW]`."""
    session.install(*group("compare"))
    session.run("python", "contract_tests/changes/run.py", *session.posargs)


@nox.session(default=False)
def matrix(session: nox.Session) -> None:
    """Write docs/kill-matrix.md: the rules that find each broken server, beside `st run`; an interrupted run resumes."""
    session.install("-e", ".[all]")
    session.run(
        "python",
        "contract_tests/matrix.py",
        *(session.posargs or ["--markdown", "docs/kill-matrix.md", "--kept", ".nox/matrix.jsonl"]),
    )


@nox.session(default=False)
def upstream(session: nox.Session) -> None:
    """Compare a vendor's document with the contract: `-- [--dialect NAME] FILE-OR-URL`; only a URL needs a network."""
    session.install(*group("compare"))
    session.run("python", "contract_tests/upstream/run.py", *session.posargs)


@nox.session(default=False)
@nox.parametrize("framework", list(FRAMEWORKS))
def frameworks(session: nox.Session, framework: str) -> None:
    """Test an adapter with its framework's newest release, alone in an environment."""
    extra = framework.replace("_", "-")
    by_uv = session.venv_backend == "uv"
    # uv always upgrades transitive requirements too.
    newest = ["--upgrade"] if by_uv else ["--upgrade", "--upgrade-strategy=eager"]
    session.install(*newest, "-e", f".[{extra},serve]", *FRAMEWORKS[framework], "anyio>=4.12", "pytest>=9.0")
    pip = ["uv", "pip"] if by_uv else ["pip"]
    session.run(*pip, "list", "--exclude-editable", external=by_uv)
    # Ray's examples would start Ray in this process; its tests start it in another one.
    own = "wrapper/tests/integrations/test_settings.py"
    examples = [] if framework == "ray" else ["--doctest-modules", str(adapter(framework)), own]
    session.run(
        "pytest",
        "-q",
        *examples,
        f"wrapper/tests/integrations/test_{framework}.py",
    )


LOWEST = {
    "all": ("all,semantic", group("tests"), "wrapper/tests"),
    "testing": ("testing,serve", ["trio>=0.31"], "wrapper/tests/test_testing.py"),
    **{
        name: (
            f"{name.replace('_', '-')},serve",
            [*more, "anyio>=4.12", "pytest>=9.0"],
            f"wrapper/tests/integrations/test_{name}.py",
        )
        for name, more in FRAMEWORKS.items()
    },
}
"""Extras to install together at their lowest versions, further requirements of the tests, and the tests."""


@nox.session(default=False)
@nox.parametrize("what", list(LOWEST))
def lowest(session: nox.Session, what: str) -> None:
    """Test the facade, the test kit or an adapter with the lowest direct dependencies that pyproject.toml allows."""
    extras, more, chosen = LOWEST[what]
    session.install(*group("lowest"))
    here = f"--python={session.virtualenv.location}"
    install = ["--resolution=lowest-direct", "-e", f".[{extras}]", *more]
    session.run("uv", "pip", "install", here, *install)
    session.run("uv", "pip", "list", here, "--exclude-editable")
    # This version of Ray warns about the next one.
    session.run(
        "pytest", "-q", *(session.posargs or [chosen]), env={"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    )


@nox.session(default=False)
def generate(session: nox.Session) -> None:
    """Write generated/ from openapi.yaml and contracts/dialects."""
    session.install(*group("generate"))
    shutil.rmtree(session.create_tmp())
    fresh = Path(session.create_tmp()) / GENERATED.name
    generate_into(session, fresh)
    # Only after the generator accepted the contract.
    shutil.rmtree(GENERATED, ignore_errors=True)
    shutil.copytree(fresh, GENERATED)
    session.log("generated/ is written. Next: `nox -s contract` reports what you must still update")


@nox.session
def drift(session: nox.Session) -> None:
    """Check that generated/ is what the contracts generate, byte for byte."""
    session.install(*group("generate"))
    shutil.rmtree(session.create_tmp())
    fresh = Path(session.create_tmp()) / GENERATED.name
    generate_into(session, fresh)
    here, there = files(GENERATED), files(fresh)
    problems = [f"{path} is not generated any more" for path in sorted(here - there)]
    problems += [f"{path} is missing" for path in sorted(there - here)]
    _, differing, unread = filecmp.cmpfiles(GENERATED, fresh, sorted(map(str, here & there)), shallow=False)
    problems += [f"{path} differs" for path in differing + unread]
    if problems:
        session.error(
            f"generated/ is not what the contracts generate: {'; '.join(problems)}. "
            "Do not edit it by hand: change openapi.yaml, contracts/dialects, generator-config.yml or generator-templates/, "
            "then run `nox -s generate` and commit the result"
        )
    session.log(f"{len(here)} files are identical")


def generate_into(session: nox.Session, destination: Path) -> None:
    """Run the generator; its warnings are errors, as it drops what it does not support."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    session.run(
        "openapi-python-client",
        "generate",
        "--path=openapi.yaml",
        "--config=generator-config.yml",
        "--custom-template-path=generator-templates",
        "--meta=none",
        f"--output-path={destination}",
        "--fail-on-warning",
    )
    written = [str(destination / f"{name}.py") for name in ("options", "answers", "dialects")]
    for file in written:
        session.run("python", f"generator-templates/write_{Path(file).stem}.py", "openapi.yaml", file)
    # the same as the hooks in generator-config.yml do for the other files
    alone = ["--isolated", "--no-cache", "--quiet", "--no-respect-gitignore", "--line-length=110"]
    session.run("ruff", "check", *alone, "--fix-only", "--select=I,F401", *written)
    session.run("ruff", "format", *alone, *written)


def files(directory: Path) -> set[Path]:
    """Return the files below a directory, without __pycache__."""
    found = {path.relative_to(directory) for path in directory.rglob("*") if path.is_file()}
    return {path for path in found if "__pycache__" not in path.parts}


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist, and test each in a clean environment, away from the source."""
    session.install(*group("build"))
    dist = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    session.log(f"{wheel.name}: {wheel.stat().st_size:,} bytes; {sdist.name}: {sdist.stat().st_size:,} bytes")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    session.run("check-wheel-contents", str(wheel))

    plain = clean_environment(session, "plain", sdist)
    try_commands(session, plain)
    bill = dist / "sbom.cdx.json"
    session.run("cyclonedx-py", "environment", "--output-reproducible", "-o", str(bill), plain.python)
    session.log(f"{bill}: the packages that are installed with all extras")

    away = clean_environment(session, "away", wheel, *group("tests"), *group("strict"))
    try_commands(session, away)
    if plain.files() != away.files():
        session.error(
            "the sdist installs other files than the wheel; correct the include lists in pyproject.toml"
        )
    changed = sorted(name for name, digest in away.files() if digest != digest_of(source_of(name)))
    if changed:
        session.error(f"the wheel has other files than the source: {', '.join(changed)}")
    ours = {f"{package.name}/{path.as_posix()}" for package in PACKAGES for path in files(package)}
    if missing := sorted(ours - {name for name, _ in away.files()}):
        session.error(f"the wheel lacks files of the source: {', '.join(missing)}")
    shutil.copytree("wrapper/tests", away.home / "wrapper/tests")
    shutil.copytree("examples", away.home / "examples")
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(name, away.home)
    with session.chdir(away.home):
        strict = [
            "-m",
            "mypy",
            "--strict",
            "--cache-dir=mypy",
            "--config-file=",
            "wrapper/tests/typing_api.py",
        ]
        session.run(away.python, *strict, external=True)
        chosen = [f"wrapper/tests/{name}" for name in INSTALLED]
        pytest = ["-m", "pytest", *chosen, "-c", "pyproject.toml", "--rootdir=.", "-q", *AT_ONCE]
        session.run(away.python, *pytest, external=True)


INSTALLED = [
    "doctor/test_doctor_cli.py",
    "integrations/test_missing.py",
    "test_cli.py",
    "test_cli_models.py",
    "test_generated.py",
    "test_testing.py::test_fixtures",
    "test_testing.py::test_pytest_finds_the_plugin",
    "test_testing.py::test_the_plugin_is_light",
    "test_twins.py",
]
"""The tests that depend on an installation: commands, imports, data files, missing extras, the plugin.

The session `tests` runs all others.
"""


def source_of(name: str) -> Path:
    """Return the source file of an installed file."""
    if name == "rerank_conformance/openapi.yaml" or name.startswith("rerank_conformance/contracts/"):
        return Path(name.partition("/")[2])
    (package,) = (package for package in PACKAGES if package.name == name.partition("/")[0])
    return package.parent / name


def digest_of(file: Path) -> str:
    """Return the hash of a file in the form of RECORD."""
    digest = hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b""
    return f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def try_commands(session: nox.Session, environment: Environment) -> None:
    """Run both commands from an environment, outside the source tree."""
    reported = str(environment.home / "report.json")
    with session.chdir(environment.home):
        rerank, check = environment.command("rerank"), environment.command("rerank-conformance")
        session.run(rerank, "rank", "--local", "whale", str(environment.documents()), external=True)
        session.run(check, "rules", external=True, silent=True)
        served = [
            "from rerank_conformance import check",
            "from rerank_conformance.reference import Reference",
            "assert check(Reference(), quick=True).verdict == 'no-failure-found'",
        ]
        session.run(environment.python, "-c", "; ".join(served), external=True)
        # no server listens there, so the verdict is undecided
        session.run(check, "check", "http://127.0.0.1:9", "--quick", "--json", reported, external=True, success_codes=[2], silent=True)  # fmt: skip


class Environment:
    """A virtual environment in its own directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bin = home / ("Scripts" if sys.platform == "win32" else "bin")
        self.python = str(self.bin / "python")

    def command(self, name: str) -> str:
        """Return the path of a command in it."""
        return str(self.bin / name)

    def documents(self) -> Path:
        """Write a file to rank."""
        file = self.home / "documents.txt"
        file.write_text("A whale is a mammal.\nA shark is a fish.\n", "utf-8")
        return file

    def files(self) -> set[tuple[str, str]]:
        """Return the installed files of our packages, with their recorded hashes."""
        (record,) = self.home.rglob("openrouter_rerank-*.dist-info/RECORD")
        rows = [line.split(",") for line in record.read_text("utf-8").splitlines()]
        return {
            (name, digest)
            for name, digest, *_ in rows
            if ".dist-info" not in name and digest and "bin/" not in name
        }


def clean_environment(session: nox.Session, name: str, package: Path, *requirements: str) -> Environment:
    """Create a new environment with the package, all its extras, and further requirements."""
    home = Path(session.create_tmp()).resolve() / name
    shutil.rmtree(home, ignore_errors=True)
    environment = Environment(home)
    install(session, environment, f"{package}[all]", *requirements)
    return environment


def install(session: nox.Session, environment: Environment, *requirements: str) -> None:
    """Install into an environment; create it if it is missing."""
    by_uv = session.venv_backend == "uv"
    if not Path(environment.python).exists():
        make = ["uv", "venv", "--quiet"] if by_uv else ["python", "-m", "venv"]
        session.run(*make, str(environment.home), silent=True)
    by = (
        ["uv", "pip", "install", "--python", environment.python]
        if by_uv
        else [environment.python, "-m", "pip", "install"]
    )
    session.run(*by, "--quiet", *requirements, external=not by_uv)


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Check that this revision can be released, and create its tag and notes locally; nothing is pushed.

    `-- --rules` instead writes the rules of the contract into contract_tests/rule_sets/, which freezes them.
    """
    if "--rules" in session.posargs:
        session.install("-e", ".[local]")
        session.run("python", "contract_tests/rule_sets/write.py")
        return
    found = re.search(r'VERSION = "([^"]+)"', (WRAPPER / "version.py").read_text("utf-8"))
    version = found[1] if found else session.error(f"{WRAPPER / 'version.py'} has no VERSION")
    changelog = Path("CHANGELOG.md").read_text("utf-8")
    section = re.search(
        rf"^## {re.escape(version)}\b.*?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    contract_version = re.search(r"^  version: (\S+)$", Path("openapi.yaml").read_text("utf-8"), re.MULTILINE)
    kept = Path(f"contracts/{contract_version[1]}.yaml") if contract_version else Path("contracts/none")
    rules = Path(f"contract_tests/rule_sets/{kept.stem}.txt")
    git = ["git", "status", "--porcelain"]
    problems = {
        f"CHANGELOG.md has no section '## {version}' with an entry: rename '## Unreleased'": not (section and section[1].strip()),
        f"{kept} is missing: run `cp openapi.yaml {kept}`": not kept.is_file(),
        f"{kept} differs from openapi.yaml: raise info.version as `nox -s changes` says, or copy openapi.yaml there if it finds no change": kept.is_file() and kept.read_bytes() != Path("openapi.yaml").read_bytes(),
        f"{rules} is missing: run `nox -s release -- --rules`": not rules.is_file(),
        "there are uncommitted changes": bool(session.run(*git, external=True, silent=True)),
        f"the tag v{version} exists already: raise VERSION": bool(session.run("git", "tag", "--list", f"v{version}", external=True, silent=True)),
    }  # fmt: skip
    if any(problems.values()):
        session.error("not released: " + "; ".join(problem for problem, is_one in problems.items() if is_one))
    notes = Path(session.create_tmp()).resolve() / f"notes-{version}.md"
    notes.write_text(section[1].strip() + "\n" if section else "", "utf-8")
    session.run(
        "git", "tag", "--annotate", f"v{version}", "--file", str(notes), "--cleanup=verbatim", external=True
    )
    session.log(
        f"tagged v{version} here, with the notes in {notes}. Next: `nox`, then `git push origin v{version}`"
    )


@nox.session(default=False)
def interop(session: nox.Session) -> None:
    """Run other vendors' clients and servers, and the workflows for servers; write docs/interop.md and docs/servers.md."""
    session.install("-e", ".[all]", *group("interop"))
    scratch = Path(session.create_tmp()).resolve()
    proxy = Environment(scratch / "proxy")
    install(session, proxy, *group("proxy"))
    run = ["contract_tests/interop/run.py", "--litellm", proxy.command("litellm")]
    for name, command in (("infinity", "infinity_emb"), ("vllm", "vllm")):
        server = Environment(scratch / name)
        overrides = Path(f"contract_tests/interop/{name}-overrides.txt")
        more = [f"--override={overrides}"] if overrides.exists() and session.venv_backend == "uv" else []
        try:
            install(session, server, *group(name), *more)
        except nox.command.CommandFailed:
            session.warn(f"{name} could not be installed: docs/servers.md says so")
        else:
            run += [f"--{name}", server.command(command)]
    pages = ["--markdown", "docs/interop.md", "--verdicts", "docs/servers.md"]
    session.run("python", *run, *(session.posargs or pages))


PEERS = {"openrouter-rerank": ".", **{name: name for name in ("openrouter", "cohere", "litellm", "voyageai")}}
"""The clients of the session `peers`, and the package to install for each."""


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Compare the newest release of other clients with ours on faults over loopback; write docs/why.md in ten minutes."""
    session.install("-e", ".")
    home = Path(session.create_tmp()).resolve()
    run = ["contract_tests/peers/run.py"]
    for name, package in PEERS.items():
        environment = Environment(home / name)
        shutil.rmtree(environment.home, ignore_errors=True)
        try:
            # Otherwise uv would use an older build of this project from its cache.
            install(session, environment, "--force-reinstall", package)
        except nox.command.CommandFailed:
            session.warn(f"{name} cannot be installed; the page will say so")
        run.append(f"--python={name}={environment.python}")
    session.run("python", *run, *(session.posargs or ["--page", "docs/why.md"]))


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation in site/, with warnings as errors, and test every page in Chromium."""
    session.install("-e", f".[all,{','.join([*FRAMEWORKS, 'otel'])}]".replace("_", "-"), *group("docs"))
    session.run("python", "docs/_site/pages.py")
    session.run("python", "docs/_site/pictures.py")
    site = Path("site").resolve()
    shutil.rmtree(site, ignore_errors=True)
    trees = str(Path(session.create_tmp()).resolve() / "trees")
    session.run(
        "sphinx-build",
        "--fail-on-warning",
        "--fresh-env",
        "-q",
        "-c",
        "docs/_site",
        "-d",
        trees,
        ".",
        str(site),
    )
    session.run("pytest", "-q", "-rs", "docs/tests", env={"RERANK_SITE": str(site), "RERANK_INSTALL": "1"})
    session.log(f"the site is in {site}: `python -m http.server -d site` shows it")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Compare the speed with raw httpx and other clients; `-- --compare` shows changes beyond noise instead of writing docs/."""
    session.install("-e", ".[all]", *group("bench"))
    pages = ["--markdown=docs/performance.md", "--svg=docs/performance.svg", "--keep"]
    session.run("python", "benchmarks/speed.py", *(session.posargs or pages))
    if not session.posargs or session.posargs[0] == "--compare":
        many = ["--markdown", "docs/bulk-performance.md", "--keep"]
        session.run("python", "benchmarks/many.py", *(session.posargs or many))


@nox.session(default=False)
def quality(session: nox.Session) -> None:
    """Measure the quality of the local scorers on a test collection, beside BM25 and chance."""
    session.install("-e", ".[all,semantic]", *group("quality"))
    session.run("python", "benchmarks/quality.py", *session.posargs)
