"""The entry point of the command `rerank`; without the extra `cli`, it names the packages to install."""

import sys
from importlib.util import find_spec

_NEEDED = ("click", "rich")


def main() -> None:
    """Run the command line and exit with its code; `rerank --help` lists the codes."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        sys.stderr.write(
            f"rerank: the command line needs {needed}. pip install 'openrouter-rerank[cli]', or '.[cli]' in a clone\n"
        )
        sys.exit(2)
    from openrouter_rerank.cli.app import app  # noqa: PLC0415 - an extra

    app(prog_name="rerank")
