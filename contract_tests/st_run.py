"""The checks of `st run` on a server in this process: its requests are made once, and only their responses are judged.

`st run` spends most of its time on making requests, and with one seed they are the same for every server as long as none of its
checks fails. So they are recorded against the reference, whose responses pass, and sent to each server. Where a server responds as
the reference did, the checks would say the same again.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from remembered import REMEMBERED
from rerank_conformance import contract
from rerank_conformance.cases import without_local_constants
from rerank_conformance.reference import Reference, ReferenceResponse

KEY = "sk-or-v1-the-right-key"
_ENFORCED = {401, 403, *range(300, 400)}  # statuses that schemathesis takes for a refusal of a key
_ID = "gen-rerank-1"


@dataclass(frozen=True)
class Recorded:
    """A request of `st run`, and what the reference responds."""

    case: Any
    request: Any
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    answer: ReferenceResponse

    def send(self, server: Reference, **changed: str) -> ReferenceResponse:
        """Return the response of a server."""
        return server.answer(self.method, self.path, {**self.headers, **changed}, self.body)


def failed_checks(make: Callable[..., Reference]) -> list[str]:
    """Return the checks that `st run` fails the server by.

    Args:
        make: The server; it takes what `Reference` takes.
    """
    return list(dict.fromkeys(_failures(make)))


def is_failed(make: Callable[..., Reference]) -> bool:
    """Return True if `st run` fails the server; no request is sent after the first that shows it."""
    return any(_failures(make))


def _failures(make: Callable[..., Reference]) -> Iterator[str]:
    from schemathesis.core.failures import FailureGroup  # noqa: PLC0415 - takes a moment
    from schemathesis.core.transport import Response  # noqa: PLC0415
    from schemathesis.specs.openapi.checks import ignored_auth  # noqa: PLC0415

    server = make(REMEMBERED, keys={KEY}, new_id=lambda: _ID)
    everything = recorded()
    for one in everything:
        answer = one.send(server)
        if answer == one.answer:
            continue
        response = Response(
            status_code=answer.status,
            headers={name: [value] for name, value in answer.headers.items()},
            content=answer.body,
            request=one.request,
            elapsed=0.0,
            verify=True,
            message="Any",
        )
        try:
            one.case.validate_response(response, headers=one.headers, excluded_checks=[ignored_auth])
        except FailureGroup as failures:
            yield from (type(failure).__name__ for failure in failures.exceptions)
    ranked = next(one for one in everything if one.answer.status == 200)
    for key in ("", "Bearer wrong"):
        answer = ranked.send(server, authorization=key)
        if 200 <= ranked.send(server).status < 300 and answer.status not in _ENFORCED:
            yield ignored_auth.__name__


@cache
def recorded() -> list[Recorded]:
    """Return the requests of `st run` on this contract, with its defaults and the seed 1."""
    from schemathesis import openapi  # noqa: PLC0415 - takes a moment
    from schemathesis.config import SchemathesisConfig  # noqa: PLC0415
    from schemathesis.engine import events, from_schema  # noqa: PLC0415

    reference = Reference(REMEMBERED, keys={KEY}, new_id=lambda: _ID)
    sent: dict[str, tuple[str, str, dict[str, str], bytes, ReferenceResponse]] = {}

    def app(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        headers = {
            name[5:].replace("_", "-").lower(): environ[name] for name in environ if name[:5] == "HTTP_"
        }
        if environ.get("CONTENT_TYPE"):
            headers["content-type"] = environ["CONTENT_TYPE"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        request = environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body
        answer = reference.answer(*request)
        sent[headers.get("x-schemathesis-testcaseid", "")] = (*request, answer)
        start(f"{answer.status} Any", list(answer.headers.items()))
        return [answer.body]

    document = cast("dict[str, Any]", json.loads(json.dumps(contract.load().document)))
    document["paths"] = {"/rerank": document["paths"]["/rerank"]}
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "continue-on-failure": True,
            "headers": {"Authorization": f"Bearer {KEY}"},
            "generation": {"database": "none"},
            # It sends requests of its own, which no app can be sent (schemathesis 4.32); `_failures` does what it does.
            "checks": {"ignored_auth": {"enabled": False}},
        }
    )
    schema = openapi.from_dict(document, config=config)
    schema.app = app
    found: list[Recorded] = []
    # The literals of the modules that a process has loaded would make other requests of the same seed.
    with without_local_constants():
        happened = list(from_schema(schema).execute())
    # An error ends a phase before its requests are made.
    errors = [one.value for one in happened if isinstance(one, events.NonFatalError)]
    errors += [one.exception for one in happened if isinstance(one, events.FatalError)]
    if errors:
        raise ExceptionGroup("the requests of st run could not be recorded", errors)
    for event in happened:
        if not isinstance(event, events.ScenarioFinished):
            continue
        for name, node in event.recorder.cases.items():
            interaction = event.recorder.interactions.get(name)
            if interaction is not None and interaction.response is not None and name in sent:
                found.append(Recorded(node.value, interaction.response.request, *sent[name]))
    return found
