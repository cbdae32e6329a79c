"""The way into the command `rerank-conformance`, which says what to install where its extra is missing."""

import sys


def main() -> None:
    """Run the command."""
    try:
        from rerank_conformance.cli import main as command  # noqa: PLC0415 - it may not be there

        command(prog_name="rerank-conformance")
    except ModuleNotFoundError as error:
        hint = "pip install 'openrouter-rerank[conformance]', or '.[conformance]' in a clone"
        sys.stderr.write(f"rerank-conformance: it needs {error.name}. {hint}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
