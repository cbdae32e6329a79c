"""What the README shows is what happens."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def shown():
    """Each command of the README's terminal, with the lines that it prints there."""
    if not README.is_file():
        return []
    terminal = re.search(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert terminal
    blocks = [block.split("\n") for block in terminal[1].strip().removeprefix("$ ").split("\n$ ")]
    return [pytest.param(command, printed, id=command[:40]) for command, *printed in blocks if printed]


def timeless(lines):
    """The lines without the time that the call took, and without blanks at their ends."""
    return [re.sub(r"[\d.]+ s$", "a moment", line.rstrip()) for line in lines]


@pytest.mark.skipif(not README.is_file(), reason="there is no README away from the repository")
@pytest.mark.skipif(shutil.which("bash") is None, reason="the README's commands are for a POSIX shell")
@pytest.mark.parametrize(("command", "printed"), shown())
def test_the_terminal(command, printed):
    """A command of the README prints what the README says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "80"}

    ran = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False
    )

    assert timeless((ran.stdout + ran.stderr).splitlines()) == timeless(printed)


@pytest.mark.skipif(not README.is_file(), reason="there is no README away from the repository")
def test_there_is_a_terminal():
    """The README shows at least four commands with what they print, so that the test above is not empty."""
    assert len(shown()) >= 4
