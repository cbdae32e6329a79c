"""Run the `run:` steps of a GitHub Actions workflow locally, including composite actions of this repository.

It supports the features that docs/workflows uses: `run`, `env`, `id`, `if: always()`, outputs of steps, a checkout of this repository
below a path, and `./PATH` as an action. Other actions do nothing. Background processes of a step run until the end.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 900  # seconds for one step
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")

Step = dict[str, Any]
Scope = dict[str, str]


@dataclass
class Ran:
    """The result of the steps: the first exit code that is not 0, the output, and the outputs of the steps."""

    code: int = 0
    log: str = ""
    outputs: Scope = field(default_factory=dict[str, str])
    """The outputs by `steps.ID.outputs.NAME`."""
    summary: str = ""


class Runner:
    """A job, in its own directory."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.workspace = home / "workspace"
        self.temporary = home / "temp"
        for path in (self.workspace, self.temporary):
            path.mkdir(parents=True)
        self.environment = {**os.environ, **environment, "RUNNER_TEMP": str(self.temporary)}
        self._groups: list[int] = []

    def run(self, steps: list[Step], scope: Scope, environment: Mapping[str, str]) -> Ran:
        """Run the steps in order; after a failure, only steps with `if: always()`."""
        ran = Ran()
        for number, step in enumerate(steps):
            if ran.code and step.get("if") != "always()":
                continue
            known = scope | ran.outputs
            own = {name: _filled(str(value), known) for name, value in step.get("env", {}).items()}
            if "run" in step:
                part = self._bash(f"{number}", _filled(step["run"], known), {**environment, **own})
            else:
                part = self._action(step, known, {**environment, **own})
            ran.code = ran.code or part.code
            ran.log += part.log
            ran.summary += part.summary
            ran.outputs |= {
                f"steps.{step.get('id')}.outputs.{name}": value for name, value in part.outputs.items()
            }
        return ran

    def _action(self, step: Step, scope: Scope, environment: Mapping[str, str]) -> Ran:
        action: str = step["uses"]
        given = {name: _filled(str(value), scope) for name, value in step.get("with", {}).items()}
        if action.startswith("actions/checkout@") and "path" in given:
            (self.workspace / given["path"]).symlink_to(ROOT)
        if action.startswith("actions/setup-python@"):
            return Ran(outputs={"python-path": sys.executable})
        if not action.startswith("./"):
            return Ran()
        return self.composite(self.workspace / action, given, environment)

    def composite(self, home: Path, given: Mapping[str, str], environment: Mapping[str, str] = {}) -> Ran:
        """Run a composite action with these inputs; its outputs are returned under their own names."""
        action: dict[str, Any] = yaml.safe_load((home / "action.yml").read_text("utf-8"))
        unknown = given.keys() - action["inputs"].keys()
        if unknown:
            message = f"{home.name}: no such input: {', '.join(sorted(unknown))}"
            raise ValueError(message)
        scope = {"github.action_path": str(home)}
        scope |= {
            f"inputs.{name}": given.get(name, one.get("default", ""))
            for name, one in action["inputs"].items()
        }
        ran = self.run(action["runs"]["steps"], scope, environment)
        ran.outputs = {name: _filled(one["value"], ran.outputs) for name, one in action["outputs"].items()}
        return ran

    def _bash(self, name: str, script: str, environment: Mapping[str, str]) -> Ran:
        """Run a script as GitHub does with `shell: bash`."""
        files = {
            key: self.temporary / f"{key}-{len(self._groups)}"
            for key in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
        }
        for file in files.values():
            file.touch()
        source, log = (self.temporary / f"{kind}-{len(self._groups)}-{name}" for kind in ("script", "log"))
        source.write_text(script, "utf-8")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [shutil.which("bash") or "bash", "--noprofile", "--norc", "-eo", "pipefail", source],
                cwd=self.workspace,
                env={**self.environment, **environment, **{key: str(file) for key, file in files.items()}},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._groups.append(process.pid)
            code = process.wait(LONGEST)
        lines = files["GITHUB_OUTPUT"].read_text("utf-8").splitlines()
        outputs = {key: value for key, _, value in (line.partition("=") for line in lines)}
        summary = files["GITHUB_STEP_SUMMARY"].read_text("utf-8")
        return Ran(code, log.read_text("utf-8", "replace"), outputs, summary)

    def close(self) -> None:
        """Kill the processes that the steps left running."""
        for group in self._groups:
            for kind in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(group, kind)
                except ProcessLookupError:
                    break


@contextmanager
def runner(home: Path, environment: Mapping[str, str] | None = None) -> Generator[Runner]:
    """Yield a runner, and kill the processes of its steps at the end."""
    made = Runner(home, environment or {})
    try:
        yield made
    finally:
        made.close()


def run_workflow(file: Path, home: Path, environment: Mapping[str, str] | None = None) -> Ran:
    """Run the only job of a workflow."""
    workflow: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    with runner(home, environment) as made:
        return made.run(job["steps"], {}, {name: str(value) for name, value in job.get("env", {}).items()})


def _filled(text: str, scope: Mapping[str, str]) -> str:
    """Replace the expressions; an unknown one becomes empty, as on GitHub."""
    return _EXPRESSION.sub(lambda found: scope.get(found[1], ""), text)
