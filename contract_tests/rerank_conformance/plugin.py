"""The check as tests of pytest: `pytest --pyargs rerank_conformance --target URL`; test_rules.py has the test.

Every run of pytest loads it where this package is installed, so nothing else is imported before it is needed.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rerank_conformance.report import Report, RuleResult

_SETTINGS: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
_APP: pytest.StashKey[Any] = pytest.StashKey()
_SELECTED: pytest.StashKey[list[str]] = pytest.StashKey()
_FOUND: pytest.StashKey[Report] = pytest.StashKey()
_LONGEST = 600  # seconds that the workers of pytest-xdist wait for the one of them that checks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each has the meaning of that of `rerank-conformance check`."""
    group = parser.getgroup("rerank_conformance", "conformance to the contract of POST /rerank")
    add = group.addoption
    add("--target", metavar="URL", help="The server to judge: its base URL without /rerank, or module:app of an ASGI app.")  # fmt: skip
    add(
        "--target-base-path",
        metavar="PATH",
        help="The path before /rerank in the app of module:app.",
    )
    add("--target-quick", action="store_true", help="Judge only the essential rules, in at most 40 requests.")
    add("--target-model", metavar="NAME", help="The model to ask for.")
    add("--target-dialect", metavar="NAME", help="The API that the server speaks, by the name of the dialect.")  # fmt: skip
    add("--target-key-env", metavar="NAME", default="OPENROUTER_API_KEY", help="The environment variable that holds the key.")  # fmt: skip
    add("--target-seed", type=int, metavar="N", help="Generate other requests, or those of an earlier check.")
    add("--target-max-requests", type=int, metavar="N", help="Send no more requests than this.")
    add("--target-timeout", type=float, metavar="S", default=10.0, help="Seconds to wait for a response.")
    add("--target-expected-failures", metavar="FILE", help="Rules that the server is known to break.")
    add("--target-contract-version", metavar="VERSION", help="Judge the server by this version of the contract.")  # fmt: skip
    add(
        "--target-level",
        choices=("ranking", "interface", "strict"),
        default="strict",
        help="The level whose rules fail the run.",
    )
    add("--target-strict", action="store_true", help="Count a SHOULD as a MUST.")
    add("--target-expect-auth", action="store_true", help="Judge a server that needs no key as if it did.")  # fmt: skip
    add("--target-yes", action="store_true", help="Call a remote server.")


def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> None:
    """Refuse a misspelt option of ours with the nearest name, which pytest does not suggest."""
    if not any(word.startswith("--target") for word in args):
        return
    from rerank_conformance.report import nearest  # noqa: PLC0415 - see the module

    namespace, unknown = parser.parse_known_and_unknown_args(args)
    ours = [f"--{name.replace('_', '-')}" for name in vars(namespace) if name.startswith("target")]
    for word in unknown:
        name = word.partition("=")[0]
        if name.startswith("--target") and (near := nearest(name, ours)):
            msg = f"no such option: {name!r}; {near}"
            raise pytest.UsageError(msg)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a target that cannot be judged, before anything is sent: no key, no consent, no such file."""
    target: str | None = config.getoption("target")
    if target is None:
        return
    config.stash[_SETTINGS] = _settings(config)
    if not target.startswith(("http://", "https://")):
        config.stash[_APP] = _imported(target, config)
        return
    from rerank_conformance.target import is_live, refusal  # noqa: PLC0415 - see the module

    if problem := refusal(target):
        msg = f"--target: {problem}"
        raise pytest.UsageError(msg)
    if config.getoption("target_base_path"):
        msg = "--target-base-path: it is for module:app; add the path to the URL of --target"
        raise pytest.UsageError(msg)
    if is_live(target) and not config.stash[_SETTINGS]["key"]:
        variable = config.getoption("target_key_env")
        msg = f"no key for {target}: set {variable}, or name another variable by --target-key-env"
        raise pytest.UsageError(msg)
    if is_live(target) and not config.getoption("target_yes"):
        msg = f"{target} is not on this machine, and calls may cost money: say --target-yes to go on"
        raise pytest.UsageError(msg)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each rule."""
    if "rerank_rule" in metafunc.fixturenames:
        from rerank_conformance.running import CheckSettings  # noqa: PLC0415 - see the module

        quick = metafunc.config.getoption("target_quick")
        names = ("contract_version", "dialect")
        chosen = {name: value for name in names if (value := metafunc.config.getoption(f"target_{name}"))}
        rules = [rule.id for rule in CheckSettings(**chosen).selected() if rule.quick or not quick]
        metafunc.parametrize("rerank_rule", rules)


@pytest.fixture(scope="session")
def rerank_target(pytestconfig: pytest.Config) -> Any:
    """Return the server to judge: the one of `--target`, unless a conftest.py has another one, such as an ASGI app."""
    target: str | None = pytestconfig.getoption("target")
    if target is None:
        pytest.skip("no server to judge: give its address by --target URL")
    return pytestconfig.stash.get(_APP, target)


@pytest.fixture(scope="session")
def rerank_report(
    request: pytest.FixtureRequest, rerank_target: Any, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    """Return the report of one check of the selected rules; it is made once, however many workers there are."""
    config = request.config
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        report = _checked(rerank_target, config)
    else:
        shared = tmp_path_factory.getbasetemp().parent / f"rerank-conformance-{worker['testrunuid']}.json"
        report = _shared(shared, rerank_target, config)
    config.stash[_FOUND] = report
    return report


@pytest.fixture
def rerank_result(rerank_report: Report, rerank_rule: str) -> RuleResult:
    """Return the outcome of one rule; where nothing could be judged, the first rule is in error, and the others are skipped."""
    reason = rerank_report.not_judged
    result = next(result for result in rerank_report.rules if result.id == rerank_rule)
    if reason is not None and result.verdict == "undecided":
        first = rerank_report.of("undecided")[0].id
        if rerank_rule == first:
            pytest.fail(f"nothing could be judged at {rerank_report.target}: {reason}", pytrace=False)
        pytest.skip(f"nothing could be judged; see the error of {first}")
    return result


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the verdict of each level, and the numbers of the check."""
    report = config.stash.get(_FOUND, None)
    if report is None:
        return
    from rerank_conformance.reports.words import VERDICTS, failed  # noqa: PLC0415 - see the module

    terminalreporter.section(f"rerank conformance: {VERDICTS[report.verdict].lower()}")
    for level, verdict in report.verdicts.items():
        terminalreporter.line(
            f"{level:9}  {VERDICTS[verdict].lower()}: {failed(report.of_level(level))}"
            + (" (decides)" if level == report.conformance_level else "")
        )
    terminalreporter.line(
        f"{report.target}, contract {report.held_to}: "
        f"{report.sent}, {report.elapsed_s:.1f} s, seed {report.seed}"
    )
    for rule in report.unexpected_passes:
        terminalreporter.line(f"{rule.id}: {rule.reason}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Store the selected rules: no request is sent for the others."""
    specs: list[Any] = [getattr(item, "callspec", None) for item in session.items]
    names = {spec.params.get("rerank_rule") for spec in specs if spec is not None}
    session.config.stash[_SELECTED] = sorted(name for name in names if name)


def _imported(target: str, config: pytest.Config) -> Any:
    module, colon, name = target.partition(":")
    if not colon or name.startswith("//") or name[:1].isdigit():  # a port is not the name of an app
        msg = f"--target: expected a URL that begins with http:// or https://, or module:app, not {target!r}"
        raise pytest.UsageError(msg)
    sys.path.insert(0, str(config.invocation_params.dir))
    try:
        return attrgetter(name)(import_module(module))
    except (ImportError, AttributeError) as error:
        msg = f"--target {target}: {error}"
        raise pytest.UsageError(msg) from error


def _settings(config: pytest.Config) -> dict[str, Any]:
    from rerank_conformance.dialects import CANONICAL  # noqa: PLC0415 - see the module
    from rerank_conformance.dialects.rules import ids  # noqa: PLC0415 - likewise
    from rerank_conformance.expected import read_expected  # noqa: PLC0415 - likewise
    from rerank_conformance.rules import rule_set  # noqa: PLC0415 - likewise
    from rerank_conformance.running import CheckSettings  # noqa: PLC0415 - likewise

    option = config.getoption
    names = (
        "quick",
        "model",
        "seed",
        "max_requests",
        "timeout",
        "strict",
        "contract_version",
        "level",
        "dialect",
        "expect_auth",
        "base_path",
    )
    settings: dict[str, Any] = {
        name: option(f"target_{name}") for name in names if option(f"target_{name}") is not None
    }
    settings["key_env"] = option("target_key_env")
    if not str(settings["key_env"]).isidentifier():
        msg = "--target-key-env: no environment variable has this name; pass the name, not the key"
        raise pytest.UsageError(msg)
    settings["key"] = os.environ.get(str(option("target_key_env")), "").strip() or None
    if "contract_version" in settings:
        try:
            rule_set(settings["contract_version"])
        except ValueError as error:
            msg = f"--target-contract-version: {error}"
            raise pytest.UsageError(msg) from error
    try:
        CheckSettings(**settings)
    except ValueError as error:
        name, _, problem = str(error).partition(": ")
        msg = f"--target-{name.replace('_', '-')}: {problem}"
        raise pytest.UsageError(msg) from error
    file: str | None = option("target_expected_failures")
    if file is not None:
        try:
            settings["expected"] = read_expected(Path(file), ids(settings.get("dialect", CANONICAL)))
        except (ValueError, OSError) as error:
            raise pytest.UsageError(str(error)) from error
    return settings


def _checked(target: Any, config: pytest.Config) -> Report:
    from rerank_conformance.running import check  # noqa: PLC0415 - see the module

    settings = config.stash.get(_SETTINGS, None) or _settings(config)
    return check(target, rules=config.stash[_SELECTED], **settings)


def _shared(file: Path, target: Any, config: pytest.Config) -> Report:
    """Return the report of the worker of pytest-xdist that came first; the others read it."""
    from rerank_conformance.report import Report  # noqa: PLC0415 - see the module

    try:
        file.with_suffix(".claim").touch(exist_ok=False)
    except FileExistsError:
        until = time.monotonic() + _LONGEST
        while not file.exists():
            if time.monotonic() > until:
                pytest.fail("the worker that checks the server has not come to an end", pytrace=False)
            time.sleep(0.1)
        return Report.from_json(file.read_text("utf-8"))
    report = _checked(target, config)
    whole = file.with_suffix(".whole")
    whole.write_text(report.to_json(), "utf-8")
    whole.rename(file)
    return report
