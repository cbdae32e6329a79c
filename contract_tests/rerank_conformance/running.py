"""Run a check: send the requests in order, and judge the exchanges by the rules."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from math import isfinite
from typing import Any

from rerank_conformance import contract, dialects, generation
from rerank_conformance.capabilities import Capability, applicable, find, with_capabilities
from rerank_conformance.causes import one_finding_for_a_cause
from rerank_conformance.contract import Contract
from rerank_conformance.dialects import CANONICAL
from rerank_conformance.dialects.rules import own_probes, rules_of, why_not_applicable
from rerank_conformance.dialects.translation import NOT_QUICK, Sender, Translated
from rerank_conformance.evidence import KEY_ENV, Commands
from rerank_conformance.exchanges import OF_RANKING, Exchange, NoResponse, Probe, ReceivedResponse
from rerank_conformance.judged import Judged
from rerank_conformance.lasting import with_lasting
from rerank_conformance.packs import REPLACED, Pack, packs, taken_apart
from rerank_conformance.probes import BEFORE_RANKING, MODEL, probes, smoke
from rerank_conformance.report import (
    EXIT_CODES,
    LEVELS,
    ConformanceLevel,
    Report,
    RuleResult,
    Verdict,
    nearest,
    verdicts,
    with_known,
)
from rerank_conformance.rules import Finding, Recording, Rule, Undecided, rule_set
from rerank_conformance.rules.acceptance import described
from rerank_conformance.rules.rule import TOLERANCE
from rerank_conformance.shrinking import shrinkable, smallest
from rerank_conformance.target import (
    INTERRUPTED,
    Budget,
    Session,
    Target,
    base_path_problem,
    is_live,
    name_of,
    refusal,
)

QUICK = 40
"""The maximum number of requests in a quick check; repeats after transient errors are not counted."""
FULL = 1500
"""The maximum number of requests in a full check, counted in the same way."""


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """Settings of a check."""

    key: str | None = field(default=None, repr=False)
    key_env: str = KEY_ENV
    """The environment variable with the key, for the commands in the report."""
    key_file: str | None = None
    """The file with the key, if there is one, for the same commands."""
    model: str = MODEL
    quick: bool = False
    max_requests: int | None = None
    seed: int = 0
    """The seed of the generated requests; it gives the same requests again with the same installed versions."""
    rules: Sequence[str] = ()
    """Prefixes of the ids of the rules to judge; all rules if empty."""
    timeout: float = 10.0
    tolerance: float = TOLERANCE
    strict: bool = False
    level: ConformanceLevel = "strict"
    """The conformance level that decides the verdict and the exit code; each level includes the ones before it."""
    expect_auth: bool = False
    """Judge a server that needs no key as if it needed one."""
    expected: Mapping[str, str] = field(default_factory=dict[str, str])
    """The reasons of expected failures, by rule."""
    rate: float | None = None
    concurrency: int = 16
    """The maximum number of requests in flight; it is lowered when the server is overloaded."""
    cache: bool = True
    """Keep the generated requests in the user's cache directory."""
    progress: Callable[[int, int], None] | None = None
    """A function that is called with the number of requests done and planned."""
    contract_version: str | None = None
    """The version of the contract, and of its rules, to judge by; the newest if None."""
    dialect: str = CANONICAL
    """The form of the API that the server speaks."""
    partial: bool = False
    """Return a partial report at the first Ctrl-C, and raise KeyboardInterrupt only at the second."""
    base_path: str = ""
    """The path before `/rerank` in an app or a transport; a URL contains it already."""

    def __post_init__(self) -> None:
        """Raise if a level, dialect, base path or number is invalid, before anything is sent."""
        dialects.codec(self.dialect)
        for name, value, bound in (
            ("timeout", self.timeout, "above 0"),
            ("tolerance", self.tolerance, "from 0"),
            ("rate", self.rate, "above 0"),
        ):
            # A tolerance of NaN would let no two scores differ.
            if value is None or (isfinite(value) and (value > 0 or (value == 0 and bound == "from 0"))):
                continue
            message = f"{name}: {value!r} is not allowed; pass a finite number {bound}"
            raise ValueError(message)
        if problem := base_path_problem(self.base_path):
            message = f"base_path: {problem}"
            raise ValueError(message)
        if self.level not in LEVELS:
            message = f"level: {self.level!r} is not a conformance level; use one of {', '.join(LEVELS)}"
            raise ValueError(message)

    @property
    def contract(self) -> Contract:
        """The contract that the server is judged by.

        Raises:
            ValueError: There is no contract of that version.
        """
        return contract.load(self.contract_version)

    def commands(self, base: str) -> Commands:
        """Return the commands that repeat requests of the check at this address."""
        key = self.key or ""
        return Commands(
            base=base,
            has_key=bool(key),
            key_env=self.key_env,
            key_file=self.key_file,
            key_has_letters=key != key.swapcase(),
        )

    def selected(self) -> list[Rule]:
        """Return the selected rules.

        Raises:
            ValueError: There is no contract of that version.
        """
        prefixes = tuple(self.rules)
        version = self.contract.version
        available = rule_set(version) if self.dialect == CANONICAL else rules_of(self.dialect, version)
        return [rule for rule in available if not prefixes or rule.id.startswith(prefixes)]


def check(target: Target, **settings: Any) -> Report:
    """Check a server and return the report.

    Args:
        target: The base URL of `/rerank`, an ASGI app, an httpx transport or a `Reference`.
        settings: See `CheckSettings`.

    Raises:
        TypeError: The target is none of these, or a setting is unknown.
        ValueError: The address, the level or another setting is invalid, or there is no contract of that version.
        ModuleNotFoundError: A full check needs schemathesis, which is not installed; nothing was sent.
    """
    if isinstance(target, str) and (problem := refusal(target)):
        message = f"target: {problem}"
        raise ValueError(message)
    if isinstance(target, str) and settings.get("base_path"):
        raise ValueError("base_path: it is for an app or a transport; add the path to the URL")
    names = {one.name for one in fields(CheckSettings) if one.init}
    for name in settings.keys() - names:
        problem = nearest(name, names) or f"the settings are {', '.join(sorted(names))}"
        message = f"check() has no argument {name!r}; {problem}"
        raise TypeError(message)
    chosen = CheckSettings(**with_model(settings))
    if not chosen.quick and find_spec("schemathesis") is None:  # fail before anything is sent
        raise ModuleNotFoundError("no module named 'schemathesis'", name="schemathesis")
    interrupted, ended = threading.Event(), threading.Event()
    found: list[Report] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(_check(target, chosen, interrupted)))
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            failed.append(error)
        finally:
            ended.set()

    # a thread of its own, as an event loop may be running in this one
    thread = threading.Thread(target=run, name="rerank-conformance", daemon=True)
    try:
        thread.start()  # waits for the thread, so that Ctrl-C may come here too
        ended.wait()
    except KeyboardInterrupt:
        interrupted.set()
        if not chosen.partial or thread.ident is None:  # None if the thread never ran
            raise
        ended.wait()
    if failed:
        raise failed[0]
    return found[0]


def with_model(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, with the dialect's default model unless they have a model."""
    codec = dialects.codec(settings.get("dialect", CANONICAL))
    return {**settings} if codec is None else {"model": codec.model, **settings}


def estimate(settings: CheckSettings, *, has_key: bool) -> str:
    """Describe the number of requests that a check sends."""
    by_hand = _by_hand(replace(settings, key="key" if has_key else None), _packs(settings))
    planned = [smoke(), *by_hand]
    ranked = sum(probe.legal is True for probe in planned)
    if settings.quick:
        return f"{len(planned)} requests, {ranked} of which rank"
    return f"about {len(planned) + _GENERATED_ABOUT} requests, about {ranked + 170} of which rank"


async def _check(target: Target, settings: CheckSettings, interrupted: threading.Event) -> Report:
    began = time.monotonic()
    rules = settings.selected()
    most = QUICK if settings.quick else FULL
    rate = settings.rate if settings.rate is not None else (5.0 if is_live(target) else None)
    budget = Budget(
        max_requests=settings.max_requests,
        max_probes=most,
        timeout=settings.timeout,
        rate=rate,
        concurrency=settings.concurrency,
        interrupted=interrupted,
    )
    codec = dialects.codec(settings.dialect)
    async with Session(target, settings.key, budget, settings.base_path) as session:
        through = session if codec is None else Translated(session, codec)
        exchanges, why_not, fault = await _exchange(through, settings, rules, session.base)
        if why_not is None:
            again = partial(through.send, is_repeat=True)
            exchanges = await with_lasting(exchanges, smoke(settings.model), again)
        exchanges = with_end(exchanges)
        seen = Recording(exchanges, settings.tolerance, has_key=bool(settings.key), by=settings.contract)
        missing = find(seen, expect_auth=settings.expect_auth)
        judged = [_judged(rule, seen, settings, why_not, missing) for rule in rules]
        if fault is not None:
            # Ctrl-C on a terminal also ends the process that generates
            ended = interrupted.is_set()
            judged = [
                Judged(one.rule, "undecided" if ended else "error", reason=INTERRUPTED if ended else fault)
                if one.rule.id.startswith("schema.") and one.outcome != "fail"
                else one
                for one in judged
            ]
        judged = one_finding_for_a_cause(judged, seen)
        if not settings.quick and why_not is None:
            judged = await _shrunk(through, seen, settings, judged)
    results = with_known(
        [one.result(settings.commands(session.base), settings.contract.version) for one in judged],
        settings.expected,
    )
    by_level: dict[ConformanceLevel, Verdict] = verdicts(
        results, strict=settings.strict, quick=settings.quick
    )
    if interrupted.is_set():
        by_level = {level: "undecided" if EXIT_CODES[one] == 0 else one for level, one in by_level.items()}
    return Report(
        target=name_of(target),
        contract_version=settings.contract.version,
        dialect=settings.dialect,
        tool_version=_version(),
        verdict=by_level[settings.level],
        conformance_level=settings.level,
        verdicts=by_level,
        quick=settings.quick,
        requests=session.requests,
        repeats=session.repeats,
        elapsed_s=round(time.monotonic() - began, 3),
        seed=settings.seed,
        rules=results,
    )


async def _exchange(
    session: Sender, settings: CheckSettings, rules: Sequence[Rule], base: str
) -> tuple[list[Exchange], str | None, str | None]:
    """Return the exchanges of a check, the reason why it stopped early, and a fault of the kit; each reason may be None."""
    first = await session.send(smoke(settings.model))
    why_not = _stops(first, settings, base)
    if why_not:
        return [first], why_not, None
    packed = _packs(settings)
    planned_by_hand = _by_hand(settings, packed)
    if isinstance(session, Translated):
        planned_by_hand = _of_dialect(planned_by_hand, session, settings)
    by_hand = _needed(planned_by_hand, rules)
    by_hand = [probe for probe in by_hand if _has_such_a_key(probe, settings.key or "")]
    made: asyncio.Future[tuple[Probe, ...]] | None = None
    if not settings.quick and any(rule.id.startswith(_GENERATED) for rule in rules):
        # generated meanwhile, as that takes longer than sending
        made = asyncio.ensure_future(
            asyncio.to_thread(
                generation.generated,
                settings.model,
                settings.seed,
                contract_version=settings.contract_version,
                cache=settings.cache,
                dialect=None if settings.dialect == CANONICAL else settings.dialect,
            )
        )
    if session.budget.max_requests is not None and session.budget.max_requests < 1 + len(by_hand):
        by_hand.sort(key=lambda probe: not probe.quick)
    # a quick check has no second request like the first
    has_one = bool(packed) or (settings.quick and isinstance(session, Translated))
    exchanges = [replace(first, probe=replace(first.probe, name="rank-full")) if has_one else first]
    done, planned = 1, 1 + len(by_hand) + (_GENERATED_ABOUT if made is not None else 0)

    async def send(probe: Probe) -> Exchange:
        nonlocal done
        exchange = await session.send(probe)
        done += 1
        if settings.progress is not None:
            settings.progress(done, planned)
        return exchange

    # the other requests are sent during the pauses of these
    beside = asyncio.gather(*(send(probe) for probe in by_hand if probe.phase == "beside"))
    exchanges += await in_order(by_hand, send)
    exchanges = await taken_apart(exchanges, packed, partial(session.send, is_repeat=True))
    if made is not None:
        try:
            generated = await made
        except Exception as error:  # noqa: BLE001 - a fault of the kit is reported as one, and not as the server's
            return (
                [*exchanges, *await beside],
                None,
                f"the requests could not be generated: {type(error).__name__}: {error}"[:300]
                + "; check the installed packages, or run a quick check",
            )
        if isinstance(session, Translated):
            generated = tuple(session.generated(generated))
        planned = done + len(generated)
        exchanges += await asyncio.gather(*map(send, generated))
    return [*exchanges, *await beside], None, None


def with_end(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Return the exchanges; if the server stopped during the check, give one reason for all that could not connect."""
    if not any(_is_unreachable(one) and one.probe.form == "usual" for one in exchanges[1:]):
        return list(exchanges)
    ended = NoResponse("unreachable", "could not be sent: the server stopped during the check; read its log")
    return [
        replace(one, outcome=ended) if _is_unreachable(one) or _is_cut_in_pause(one) else one
        for one in exchanges
    ]


def _is_unreachable(exchange: Exchange) -> bool:
    return isinstance(exchange.outcome, NoResponse) and exchange.outcome.kind == "unreachable"


def _is_cut_in_pause(exchange: Exchange) -> bool:
    return isinstance(exchange.outcome, NoResponse) and exchange.probe.form == "after-pause"


def _packs(settings: CheckSettings) -> Sequence[Pack]:
    """Return the packed requests of a quick check; other checks, and dialects, have none."""
    is_old = contract.numbers(settings.contract.version) < contract.numbers(_PACKED_SINCE)
    has_none = is_old or not settings.quick or settings.dialect != CANONICAL
    return () if has_none else packs(settings.model)


def _by_hand(settings: CheckSettings, packed: Sequence[Pack]) -> list[Probe]:
    """Return the handwritten requests after the first one."""
    single = probes(
        settings.model,
        has_key=bool(settings.key),
        quick=settings.quick,
        contract_version=settings.contract_version,
    )
    if not packed:
        return single
    return [probe for probe in single if probe.name not in REPLACED] + [pack.probe for pack in packed]


def _of_dialect(planned: Sequence[Probe], session: Translated, settings: CheckSettings) -> list[Probe]:
    """Return the requests of the rules that apply to the dialect, and of its own rules."""
    applicable_ids = {rule.id for rule in rules_of(settings.dialect) if why_not_applicable(rule) is None}
    carried = session.translations(probe for probe in planned if probe.rule in {None, *applicable_ids})
    if settings.quick:
        return [probe for probe in carried if probe.name not in NOT_QUICK]
    return [*carried, *own_probes(settings.dialect, settings.model)]


async def in_order(by_hand: Sequence[Probe], send: Callable[[Probe], Awaitable[Exchange]]) -> list[Exchange]:
    """Send the handwritten requests phase by phase, except `beside`, and return the exchanges."""
    exchanges: list[Exchange] = []
    for phase in ("refuse", "rank"):
        exchanges += await asyncio.gather(*(send(probe) for probe in by_hand if probe.phase == phase))
    for probe in by_hand:
        if probe.phase == "alone":
            exchanges.append(await send(probe))
    return exchanges


_PACKED_SINCE = "1.1.0"
_GENERATED_ABOUT = 450  # an estimate of the number of generated requests
_GENERATED = ("schema.", "answer.", "error.", "robustness.", "refusal.status")


def _has_such_a_key(probe: Probe, key: str) -> bool:
    """Return True if a header can carry the altered key; a key without its last character may be empty, or end in a blank."""
    cut = key[:-1]
    return probe.auth != "shorter" or (bool(cut) and cut == cut.rstrip())


def _needed(everything: list[Probe], rules: Sequence[Rule]) -> list[Probe]:
    """Return the probes that these rules need; all if a rule has no probes of its own."""
    own = {probe.rule for probe in everything}
    wanted = {rule.id for rule in rules}
    if wanted <= own:
        chosen = [
            probe
            for probe in everything
            if probe.rule in wanted
            or ("relation.after-refusal" in wanted and probe.name.startswith(BEFORE_RANKING))
        ]
        return with_capabilities(chosen, everything)
    return everything


def _stops(first: Exchange, settings: CheckSettings, base: str) -> str | None:  # noqa: PLR0911 - one for each reason
    """Return the reason to stop after the first exchange; None if the check goes on."""
    if isinstance(first.outcome, NoResponse):
        return f"the first request {first.outcome.message}; {_next_step(first.outcome)}"
    answer = first.outcome
    if first.undecided:
        return f"the first request was {first.undecided}"
    if answer.status in {401, 402, 403}:
        key = (
            "the key was refused; check it, and what its account allows"
            if settings.key
            else f"no key was given; set {settings.key_env}, or name another variable"
        )
        return f"the first request was answered with {answer.status}: {key}"
    if answer.status == 404 and base.endswith(OF_RANKING):
        return f"the first request was answered with 404: the URL ends with {OF_RANKING}; pass the base URL without it"
    if answer.status in _REDIRECTS:
        to = answer.headers.get("location", "nowhere").partition("?")[0]
        return f"the first request was redirected to {to[:200]}; pass the URL that it redirects to"
    if _wants_tls(answer):
        return f"the first request was answered with {described(first)}; pass a URL that begins with https://"
    if answer.status == 404:
        return (
            f"the first request was answered with 404: no /rerank under this base URL, or no model {settings.model}. "
            "Pass the base URL that has it, or another model"
        )
    if answer.status != 200:
        return f"the first request, a plain legal one, was answered with {described(first)}"
    return None


_REDIRECTS = (301, 302, 303, 307, 308)


def _wants_tls(answer: ReceivedResponse) -> bool:
    """Return True if the answer is that of a server that speaks only TLS, such as nginx or Go."""
    return answer.status == 400 and b"HTTPS" in answer.body and answer.media_type != "application/json"


def _next_step(fault: NoResponse) -> str:
    """Return the advice for a first request without an answer."""
    if "WRONG_VERSION_NUMBER" in fault.message:
        return "the server does not speak TLS: pass a URL that begins with http://"
    if fault.kind == "timeout":
        return "wait until its model is loaded, or raise the timeout"
    if fault.kind == "unreachable":
        return "start the server, or correct the address"
    return "read the log of the server"


def _judged(  # noqa: PLR0911 - one for each outcome
    rule: Rule,
    everything: Recording,
    settings: CheckSettings,
    why_not: str | None,
    missing: Sequence[Capability],
) -> Judged:
    if (reason := why_not_applicable(rule)) is not None:
        return Judged(rule, "skip", reason=f"not applicable to {settings.dialect}: {reason}")
    scope = applicable(rule, everything, missing)
    seen = scope.seen
    try:
        judgements = list(rule.judge(seen))
    except Exception as error:  # noqa: BLE001 - a fault of the kit is never the server's
        return Judged(rule, "error", reason=f"the rule itself failed: {type(error).__name__}: {error}"[:300])
    findings = [one for one in judgements if isinstance(one, Finding)]
    own_fault = next((one for one in seen.own_faults if _is_of(one.probe, rule)), None)
    undecided = [one for one in judgements if isinstance(one, Undecided)]
    if findings and not _only_refused(everything, why_not):
        findings.sort(key=_plainness)
        return Judged(rule, "fail", findings[0], findings=tuple(findings))
    if why_not:
        return Judged(rule, "undecided", reason=why_not)
    if own_fault is not None:
        return Judged(rule, "error", reason=f"{own_fault.probe.name}: the request {own_fault.undecided}")
    if undecided and (rule.thorough or len(undecided) == len(judgements)):
        return Judged(rule, "undecided", reason=undecided[0].reason)
    if judgements:
        return Judged(rule, "pass")
    return Judged(rule, "skip", reason=scope.reason or _why_skipped(rule, seen, settings))


def _why_skipped(rule: Rule, seen: Recording, settings: CheckSettings) -> str:
    if settings.quick and not rule.quick:
        return "not among the rules of --quick"
    if rule.id.startswith("authentication.") and not seen.has_key:
        return "no key was given, and the server asks for none"
    if settings.quick:
        return "nothing in --quick to judge it by"
    return "nothing to judge it by: there was no such answer"


def _is_of(probe: Probe, rule: Rule) -> bool:
    """Return True if it is a request of the rule."""
    return probe.rule == rule.id or (probe.phase == "generate" and rule.id.startswith("schema."))


async def _shrunk(
    session: Sender, seen: Recording, settings: CheckSettings, judged: list[Judged]
) -> list[Judged]:
    """Replace the requests of the first failures by the smallest ones that Hypothesis finds."""
    large = [
        (one, shown)
        for one in judged
        if one.rule.id not in settings.expected and (shown := _shown_by(one, seen)) is not None
    ]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def smaller(one: Judged, shown: Exchange) -> Judged:
        async with gate:
            return await _smaller(session, seen, one, shown)

    first = sorted(large, key=lambda pair: pair[0].rule.level)[:_SHRUNK]  # a MUST before a SHOULD
    found = {one.rule.id: one for one in await asyncio.gather(*(smaller(*pair) for pair in first))}
    return [found.get(one.rule.id, one) for one in judged]


_SHRUNK = 6  # failures to shrink; a server with more has enough to fix
_AT_ONCE = 3


def _shown_by(one: Judged, seen: Recording) -> Exchange | None:
    """Return the exchange that shows the failure, without its name; None if its request cannot be shrunk.

    A rule that looks for an exchange by its name depends on all documents of the request.
    """
    exchange = one.finding.exchange if one.finding else None
    if exchange is None or exchange.probe.rule == one.rule.id or not shrinkable(exchange.probe):
        return None
    unnamed = replace(exchange, probe=replace(exchange.probe, name=""))
    return unnamed if _finding(one.rule, unnamed, seen) else None


def _finding(rule: Rule, exchange: Exchange, seen: Recording) -> Finding | None:
    """Return the finding of the rule for one exchange alone."""
    alone = replace(seen, exchanges=[exchange])
    return next((one for one in rule.judge(alone) if isinstance(one, Finding)), None)


async def _smaller(session: Sender, seen: Recording, one: Judged, shown: Exchange) -> Judged:
    loop = asyncio.get_running_loop()
    findings: dict[bytes, Finding] = {}

    def fails(probe: Probe) -> bool:
        exchange = asyncio.run_coroutine_threadsafe(session.send(probe), loop).result()
        finding = _finding(one.rule, exchange, seen)
        if finding is not None:
            findings[probe.content] = finding
        return finding is not None

    try:
        probe = await asyncio.to_thread(smallest, shown.probe, fails, seen.by)
    except Exception as error:  # noqa: BLE001 - the finding is valid without shrinking
        return replace(one, reason=f"not made smaller: {type(error).__name__}: {error}"[:300])
    return replace(one, finding=findings.get(probe.content, one.finding))


def _only_refused(seen: Recording, why_not: str | None) -> bool:
    """Return True if the server refused only the key, the model or the address, so that nothing can be concluded."""
    answer = seen.exchanges[0].answer
    if why_not is None or answer is None:
        return False
    return answer.status in {401, 402, 403, 404, *_REDIRECTS} or _wants_tls(answer)


def _plainness(finding: Finding) -> tuple[bool, int]:
    exchange = finding.exchange
    if exchange is None:
        return True, 0
    return exchange.probe.phase == "generate", len(exchange.probe.content)


def _version() -> str:
    try:
        return version("openrouter-rerank")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"


def failures(results: Iterable[RuleResult]) -> list[str]:
    """Return the ids of the rules that failed."""
    return [result.id for result in results if result.verdict == "fail"]
