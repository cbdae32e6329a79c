"""Everything that is run on this project, by a person and by CI alike: `nox` runs the default, `nox -l` lists all."""

from __future__ import annotations

import filecmp
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"

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
    """The requirements of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Code by ruff, and the contract by Redocly, Spectral, openapi-spec-validator and schemathesis."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("python", "contract_tests/lint/run.py")
    session.run("pytest", "-q", "contract_tests/test_lint.py", env={"RERANK_LINT": "required"})


@nox.session
def types(session: nox.Session) -> None:
    """All packages, and a user's snippets, under mypy and pyright at their strictest."""
    session.install("-e", ".[all,semantic]", *group("types"))
    session.run("mypy", *(f"--package={package.name}" for package in PACKAGES))
    session.run("mypy", "wrapper/tests/typing_api.py")
    session.run("pyright")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The facade and the generated client; all lines and branches of the facade's decisions are run."""
    session.install("-e", ".[all,semantic]", *group("tests"))
    session.run(
        "coverage",
        "run",
        "-m",
        "pytest",
        *(session.posargs or ["wrapper", "README.md", "--doctest-modules", "--doctest-glob=*.md"]),
    )
    if not session.posargs:
        session.run(
            "coverage",
            "report",
            "--fail-under=100",
            "--include=" + ",".join(f"{WRAPPER}/{name}.py" for name in DECIDING),
        )


DECIDING = [
    "answer",
    "client",
    "connections",
    "core",
    "defaults",
    "documents",
    "errors",
    "local",
    "ranking",
    "request",
    "retries",
    "steps",
]
"""The modules of which every line and branch is tested."""


@nox.session
def contract(session: nox.Session) -> None:
    """The contract's own tests and the reference server's; with `-- --target URL`, a live server by every rule."""
    session.install("-e", ".[all,semantic]", *group("tests"))
    if any(word.startswith("--target") for word in session.posargs):
        session.run("pytest", "--pyargs", "rerank_conformance", *session.posargs)
    else:
        session.run("pytest", "contract_tests", *session.posargs)


@nox.session(default=False)
def matrix(session: nox.Session) -> None:
    """Which servers a check bites and by which rules, beside plain `st run`, into docs/kill-matrix.md: half an hour."""
    session.install("-e", ".[all]")
    session.run(
        "python", "contract_tests/matrix.py", *(session.posargs or ["--markdown", "docs/kill-matrix.md"])
    )


@nox.session(default=False)
def generate(session: nox.Session) -> None:
    """Make generated/ anew from openapi.yaml."""
    session.install(*group("generate"))
    shutil.rmtree(GENERATED, ignore_errors=True)
    generate_into(session, GENERATED)
    session.log("generated/ is new. Next: `nox -s types tests contract` says what the rest makes of it")


@nox.session
def drift(session: nox.Session) -> None:
    """Prove that generated/ is what openapi.yaml generates: the same files, byte for byte."""
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
            f"generated/ is not what openapi.yaml generates: {'; '.join(problems)}. "
            "It is never edited by hand: change openapi.yaml, generator-config.yml or generator-templates/, "
            "then run `nox -s generate` and commit what it makes"
        )
    session.log(f"{len(here)} files, byte for byte")


def generate_into(session: nox.Session, destination: Path) -> None:
    """Run the generator; a warning of it is a failure, as it drops what it does not understand."""
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


def files(directory: Path) -> set[Path]:
    """The files below a directory, but for what Python leaves there when it runs them."""
    found = {path.relative_to(directory) for path in directory.rglob("*") if path.is_file()}
    return {path for path in found if "__pycache__" not in path.parts}


@nox.session
def build(session: nox.Session) -> None:
    """Make wheel and sdist, and run the facade's tests on the wheel in a clean environment, away from the source."""
    session.install(*group("build"))
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    (wheel,) = dist.glob("*.whl")
    session.log(f"{wheel.name}: {wheel.stat().st_size:,} bytes")
    home = Path(session.create_tmp()).resolve() / "away"
    shutil.rmtree(home, ignore_errors=True)
    session.run("python", "-m", "venv", str(home), silent=True)
    python = str(home / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "--quiet", f"{wheel}[all]", *group("tests"), external=True)
    shutil.copytree("wrapper/tests", home / "wrapper/tests")
    shutil.copytree("examples", home / "examples")
    shutil.copy("pyproject.toml", home)
    with session.chdir(home):
        session.run(
            python,
            "-m",
            "pytest",
            "wrapper/tests",
            "-c",
            "pyproject.toml",
            "--rootdir=.",
            "-q",
            external=True,
        )


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """What a call costs beside raw httpx and other clients, into docs/; `-- --compare` says what changed beyond noise."""
    session.install("-e", ".[all]", *group("bench"))
    pages = ["--markdown=docs/performance.md", "--svg=docs/performance.svg", "--keep"]
    session.run("python", "benchmarks/speed.py", *(session.posargs or pages))


@nox.session(default=False)
def quality(session: nox.Session) -> None:
    """How well the local scorers rank a real test collection, beside its own order and chance."""
    session.install("-e", ".[all,semantic]", *group("quality"))
    session.run("python", "benchmarks/quality.py", *session.posargs)
