"""The newest contract beside those released before it: clients of the one rank through servers of the other."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openrouter_rerank import AsyncReranker, BadRequestError, Reranker
from openrouter_rerank.local import LOCAL_URL
from openrouter_rerank_api import Client
from openrouter_rerank_api.api.rerank import create_rerank
from rerank_conformance import check, contract
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import running
from rerank_conformance.reference.inprocess import ReferenceTransport
from test_clients import legal, request_of

ROOT = Path(__file__).resolve().parents[1]
NEWEST = contract.versions()[-1]
OLDER = contract.versions()[:-1]
# A new major version is one that older servers and clients need not understand.
COMPATIBLE = [version for version in OLDER if contract.numbers(version)[0] == contract.numbers(NEWEST)[0]]


class Server(Reference):
    """An honest server that is held to the contract which it speaks: an answer that breaks it is a failure here."""

    def encode(self, status, payload, headers=None):
        """Return the answer after it is validated by its contract."""
        answer = super().encode(status, payload, headers)
        schema = self.contract.responses.get(status)
        if schema is not None and "results" in payload:
            assert schema.violation(json.loads(answer.body)) is None
        return answer


def test_there_is_an_older_contract():
    """Released contracts are kept: the newest has another version than openapi.yaml, or is the same file."""
    assert OLDER
    assert contract.load().version == NEWEST


@pytest.fixture(scope="module", params=COMPATIBLE)
def version(request):
    """Return an older version of the contract, of the same major version."""
    return request.param


def test_the_newest_client_on_an_older_server(version):
    """Every legal request of the newest contract is ranked by a server of the older one, through the generated client."""
    server = ReferenceTransport(Server(contract_version=version))
    with Client(LOCAL_URL, httpx_args={"transport": server}) as client:
        for name, body in legal().items():
            answer = create_rerank.sync(client=client, body=request_of(body))
            assert answer is not None, name
            assert len(answer.results) == min(int(body.get("top_n", 10**9)), len(body["documents"])), name


async def test_the_newest_facade_on_an_older_server(version):
    """Both shells of the facade rank over HTTP through a server of an older contract, with every argument that there is."""
    asked = {
        "top_n": 2,
        "provider": {"sort": "price", "data_collection": "deny"},
        "session_id": "s",
        "user": "u",
        "trace": {"trace_name": "t"},
    }
    with running(Server(contract_version=version)) as url:
        with Reranker("", base_url=url) as reranker:
            ranking = reranker.rerank("Paris", ["Berlin", "Paris", "Rome"], **asked)
        async with AsyncReranker("", base_url=url) as reranker:
            same = await reranker.rerank("Paris", ["Berlin", "Paris", "Rome"], **asked)
    assert [hit.index for hit in ranking] == [hit.index for hit in same]
    assert ranking[0].document == "Paris"


def test_what_an_older_server_has_not(version):
    """An older server without a list of models gives one clear error for it, and ranking still works."""
    if "/models" in contract.load(version).document["paths"]:
        pytest.skip(f"the contract {version} has every path that the newest has")
    with running(Server(contract_version=version)) as url, Reranker("", base_url=url) as reranker:
        with pytest.raises(BadRequestError, match="404"):
            reranker.models()
        assert reranker.rerank("Paris", ["Berlin", "Paris"])[0].index == 1


@pytest.fixture(scope="module")
def older_client(version, tmp_path_factory):
    """Generate the low-level client of the older contract as `nox -s generate` does."""
    generator = Path(sys.executable).with_name("openapi-python-client")
    if not generator.exists():
        pytest.skip("openapi-python-client is not installed: `nox -s contract` has it")
    home = tmp_path_factory.mktemp("older")
    name = f"older_api_{version.replace('.', '_')}"
    copied = home / "contract.yaml"
    copied.write_bytes(contract.find(version).read_bytes())
    told = [
        f"--config={ROOT / 'generator-config.yml'}",
        f"--custom-template-path={ROOT / 'generator-templates'}",
    ]
    made = [
        "generate",
        f"--path={copied}",
        *told,
        "--meta=none",
        f"--output-path={home / name}",
        "--fail-on-warning",
    ]
    # its hooks are found by PATH
    subprocess.run(
        [generator, *made], check=True, env={"PATH": f"{generator.parent}:/usr/bin:/bin"}, timeout=600
    )
    sys.path.insert(0, str(home))
    yield name
    sys.path.remove(str(home))
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]
    shutil.rmtree(home)


def test_an_older_client_on_the_newest_server(version, older_client):
    """Every request that the older contract knows is ranked by a server of the newest, through the client of the older."""
    client_module = importlib.import_module(older_client)
    operation = importlib.import_module(f"{older_client}.api.rerank.create_rerank")
    models = importlib.import_module(f"{older_client}.models")
    tried = 0
    with client_module.Client(LOCAL_URL, httpx_args={"transport": ReferenceTransport(Server())}) as client:
        for name, body in legal().items():
            if contract.load(version).request.violation(body) is not None:
                continue  # it asks for what is newer
            answer = operation.sync(client=client, body=request_of(body, models))
            assert isinstance(answer, models.RerankResponse), name
            tried += 1
    assert tried > 100


def test_an_older_server_is_judged_by_its_own_contract(version):
    """A server of an older contract is conformant by that one."""
    report = check(Reference(contract_version=version), quick=True, contract_version=version)
    assert (report.verdict, report.contract_version) == ("no-failure-found", version), report.of("fail")


def test_the_newest_server_is_judged_by_an_older_contract(version):
    """A check by an older contract passes a server of the newest one: nothing was removed."""
    assert check(Reference(), quick=True, contract_version=version).verdict == "no-failure-found"
