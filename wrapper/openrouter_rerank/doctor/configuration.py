"""The lines that use a server as it was found."""

from __future__ import annotations

import shlex

from openrouter_rerank.defaults import KEY_VARIABLE
from openrouter_rerank.dialects import Codec
from openrouter_rerank.doctor.probes import DOCUMENTS, QUESTIONS
from openrouter_rerank.doctor.report import Configuration


def lines_for(  # noqa: PLR0913 - all by keyword
    base: str,
    by: Codec,
    *,
    model: str | None,
    max_documents: int | None,
    key_variable: str | None,
    takes_strings: bool,
) -> Configuration:
    """Return the lines to paste.

    Args:
        base: The base URL.
        by: The dialect.
        model: The model to ask for; None for the server's own.
        max_documents: The limit of documents in a request; None for that of the dialect.
        key_variable: The environment variable of the key; None for a server that needs none.
        takes_strings: False if the server takes documents as objects alone, which the command does not send.
    """
    is_default = by.name == "openrouter"
    arguments = [f"base_url={base!r}"]
    options = ["--base-url", base]
    if not is_default:
        arguments.append(f"dialect={by.name!r}")
        options += ["--dialect", by.name]
    if model is not None and by.model != "absent":
        arguments.append(f"model={model!r}")
        options += ["--model", model]
    if max_documents is not None:
        arguments.append(f"max_documents={max_documents}")
    imports = unset = ""
    if key_variable is not None:
        if not is_default or key_variable != KEY_VARIABLE:
            imports = "import os; "
            arguments.append(f'api_key=os.environ["{key_variable}"]')
            options += ["--key-env", key_variable]
    elif is_default:
        # OpenRouter's key would be sent to a server that needs none.
        arguments.append('api_key=""')
        unset = f"{KEY_VARIABLE}= "
    made = f"reranker = Reranker({', '.join(arguments)})"
    documents = shlex.join(["printf", r"%s\n", DOCUMENTS[6], DOCUMENTS[3]])
    words = shlex.join(["rerank", "rank", QUESTIONS[1].query, *options])
    return Configuration(
        f"{imports}from openrouter_rerank import Reranker; {made}",
        f"{documents} | {unset}{words}" if takes_strings else None,
    )
