"""The reports: what they say, that they say it safely whatever a server sent, and their schemas."""

import hashlib
import json
import re
from base64 import b64encode
from html import unescape
from importlib.resources import files
from io import StringIO
from xml.etree import ElementTree as ET

import jsonschema_rs
import msgspec
import pytest
from rich.console import Console

from rerank_conformance import check, contract, reports
from rerank_conformance.altered import listing
from rerank_conformance.reference import Reference
from rerank_conformance.report import LEVELS, Example, Report, RuleResult, verdicts
from rerank_conformance.reports import badge, junit, page, schema, summary, terminal, words
from rerank_conformance.reports.comparison import compare
from rerank_conformance.rules import rule_set

HOSTILE = (
    '</script></style><img src=x onerror="alert(1)">\'&amp;]]> \x00\x1b[31m\u202e\ud800\ufffe {{ 7*7 }} [red]'
)
SOURCE = "#/components/schemas/RerankResult/properties/index"


def result(outcome="pass", name="answer.one", level="MUST", **more):
    """Make the result of an invented rule."""
    more = {"line": contract.line_of(SOURCE, "1.0.0"), "requirement": f"The requirement of {name}", **more}
    return RuleResult(id=name, level=level, source=more.pop("source", SOURCE), verdict=outcome, **more)


def report(*rules, **more):
    """Make an invented report."""
    values = {
        "target": "http://127.0.0.1:1/api/v1",
        "contract_version": "1.0.0",
        "tool_version": "0.1.0",
        "verdict": "nonconformant",
        "requests": 12,
        "elapsed_s": 3.25,
        "seed": 7,
        "command": "rerank-conformance check http://h --model 'a b' --seed 7",
    }
    return Report(rules=rules or (result(),), **{**values, **more})


EVERY = report(
    result(name="answer.passed"),
    result(
        "fail",
        "answer.failed",
        expected="a thing",
        actual="another",
        curl="curl -sS http://h/rerank",
        mend="Change another into a thing.",
    ),
    result("fail", "answer.advice", "SHOULD", expected="a thing", actual="another"),
    result("known", "error.known", expected="a thing", actual="another", reason="on its way"),
    result("undecided", "error.undecided", reason="it was overloaded"),
    result("undecided", "error.undecided-too", reason="it was overloaded"),
    result("undecided", "error.undecided-advice", "SHOULD", reason="the budget was used up"),
    result("error", "schema.error", reason="KeyError: 3"),
    result("skip", "schema.skipped", reason="no key was given"),
    result("pass", "schema.unexpected", reason="unexpected pass"),
)
ATTACK = report(
    *(
        result(outcome, f"{HOSTILE}.{outcome}", requirement=HOSTILE, expected=HOSTILE, actual=HOSTILE, curl=HOSTILE, reason=HOSTILE)
        for outcome in words.OUTCOMES
    ),
    target=f"http://h/{HOSTILE}",
    contract_version=HOSTILE,
    tool_version=HOSTILE,
)  # fmt: skip


def read(text):
    """Parse the XML that we wrote."""
    return ET.fromstring(text)  # noqa: S314 - our own


# words


def test_what_does_not_show_is_escaped():
    """Control characters, marks of direction and lone surrogates are written out; letters and line breaks are not."""
    assert words.visible("a\n\x1b[31m\u202e\ud800é日🍰\u200b") == "a\n\\x1b[31m\\u202e\\ud800é日🍰\\u200b"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (report(result("fail"), result()), "1 of 2 MUST rules failed."),
        (
            report(result("fail", level="SHOULD"), result()),
            "1 SHOULD rule is broken, which --strict counts.",
        ),
        (report(result(), result(), verdict="conformant"), "All 2 MUST rules passed."),
        (
            report(result(), result("skip"), verdict="conformant"),
            "1 of 2 MUST rules passed, and none failed.",
        ),
        (
            report(result(), result("fail", level="SHOULD"), verdict="conformant"),
            "1 recommendation (SHOULD) not met.",
        ),
        (
            report(result("known"), result(), verdict="conformant"),
            "1 of 2 MUST rules passed, and none failed apart from expected failures. 1 rule is known",
        ),
        (
            report(result("undecided", reason="x"), result("undecided", reason="x"), verdict="undecided"),
            "2 rules are undecided: x.",
        ),
        (report(result("skip"), verdict="undecided"), "No rule was judged."),
    ],
)
def test_sentence(made, says):
    """One sentence says why the verdict is what it is."""
    assert says in words.sentence(made)


def test_causes():
    """Failures come first, and rules that are undecided for one reason are one cause."""
    found = [[rule.id for rule in one.rules] for one in words.causes(EVERY)]
    assert found == [
        ["answer.failed"],
        ["answer.advice"],
        ["schema.error"],
        ["error.undecided", "error.undecided-too"],
        ["error.undecided-advice"],
        ["error.known"],
    ]


def test_causes_by_weight():
    """What breaks the ranking comes before the interface and the letter of the contract, and a MUST before a SHOULD."""
    made = report(
        *(
            result("fail", f"x.{level}-{must.lower()}", must, conformance_level=level)
            for must in ("SHOULD", "MUST")
            for level in reversed(LEVELS)
        ),
        result("known", "x.known", conformance_level="ranking"),
    )
    order = [
        *(f"x.{level}-{must}" for level in LEVELS for must in ("must", "should")),
        "x.known",
    ]
    assert [cause.rule.id for cause in words.causes(made)] == order
    lines = [line for line in terminal.lines(made) if line.startswith(("FAIL", "KNOWN"))]
    assert [re.findall(r"\((x\.[^)]*)\)$", line) for line in lines] == [[name] for name in order]
    ids = re.findall(r"<code>(x\..*?)</code>", page.of_report(made))[: len(order)]
    assert [one.replace("<wbr>", "") for one in ids] == order


def test_many_alike():
    """Of many rules that share a reason only the numbers by section are told."""
    alike = [result("undecided", f"answer.r{number}", reason="x") for number in range(20)]
    [one] = words.causes(report(*alike, result("undecided", "error.one", reason="x")))
    assert one.names == ["20 of answer", "1 of error"]


# the page


def test_page_is_whole():
    """The page has the verdict, every rule, and of each failure all that shows it again."""
    made = unescape(re.sub(r"<wbr>", "", page.of_report(EVERY)))
    for rule in EVERY.rules:
        assert rule.id in made
        assert rule.requirement in made
    assert "Not conformant" in made
    for said in (
        "a thing",
        "another",
        "curl -sS http://h/rerank",
        "on its way",
        "it was overloaded",
        "KeyError: 3",
    ):
        assert said in made
    assert "Run it again: <code>rerank-conformance check http://h --model" in made
    assert contract.find("1.0.0").read_text("utf-8").splitlines()[-1] in made


def test_page_links_to_the_contract():
    """A link to the contract leads to the line on which it stands; there is none where the contract has changed since."""
    line = contract.line_of(SOURCE, "1.0.0")
    made = page.of_report(EVERY)
    assert f'href="#L{line}"' in made
    [there] = re.findall(rf'id="L{line}">(.*)', made)
    assert there.strip() == "index:"
    named = {
        rule.source: re.findall(rf'id="L{contract.line_of(rule.source, "1.0.0")}">(.*)', made)
        for rule in rule_set("1.0.0")
    }
    for source, lines in named.items():
        key = source.rpartition("/")[2].replace("~1", "/")
        assert [unescape(line).strip().partition(":")[0].strip("'\"") for line in lines] == [key]
    changed = report(result("fail", line=line + 1), result("fail", source="#/no/such", line=3))
    assert 'href="#L' not in page.of_report(changed)


def test_page_asks_for_nothing():
    """Neither page names anything to load, and its policy allows its own style and script and nothing else."""
    for made in (page.of_report(EVERY), page.of_comparison(compare({"a": EVERY}))):
        assert not re.search(r"<(link|img|iframe|object|embed|base|form|audio|video)\b", made)
        assert not re.search(
            r"\b(src|srcset|action|style|onclick|onerror)=", re.sub(r"(?s)<pre.*?</pre>", "", made)
        )
        assert "@import" not in made
        assert "url(" not in made
        [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', made)
        for tag in ("style", "script"):
            [inside] = re.findall(rf"(?s)<{tag}>(.*?)</{tag}>", made)
            source = b64encode(hashlib.sha256(inside.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{source}'" in unescape(policy)
        assert "default-src 'none'" in unescape(policy)


def test_page_escapes():
    """Text of a server or of a report file is shown as text and never becomes markup."""
    for made in (page.of_report(ATTACK), page.of_comparison(compare({HOSTILE: ATTACK, "b": ATTACK}))):
        made.encode("utf-8")
        assert "<img" not in made
        assert made.count("</script>") == made.count("</style>") == 1
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", made)


def test_pages_repeat():
    """One report makes one page, byte for byte."""
    assert page.of_report(EVERY) == page.of_report(Report.from_json(EVERY.to_json()))


def test_every_form_has_the_hint_and_the_command_of_the_run():
    """The page, the summary and the terminal show the usual fix, and how to run the check again."""
    texts = [
        unescape(page.of_report(EVERY)),
        summary.render(EVERY),
        "\n".join(terminal.lines(EVERY)),
        shown(EVERY, width=200),
    ]
    for text in texts:
        assert "Change another into a thing." in text
        assert str(EVERY.command) in text
    assert "Change another into a thing." in junit.render(EVERY)
    without = msgspec.structs.replace(EVERY, command=None)
    assert "again" not in "\n".join(terminal.lines(without))
    assert "Run it again" not in page.of_report(without) + summary.render(without)


# JUnit


def cases(made, **settings):
    """Read the test cases of a report by name."""
    return {case.get("name"): case for case in read(junit.render(made, **settings)).iter("testcase")}


@pytest.mark.parametrize(
    ("rule", "lenient", "strict"),
    [
        ("answer.passed", None, None),
        ("answer.failed", "failure", "failure"),
        ("answer.advice", "skipped", "failure"),
        ("error.known", "skipped", "skipped"),
        ("error.undecided", "error", "error"),
        ("error.undecided-advice", "skipped", "error"),
        ("schema.error", "error", "error"),
        ("schema.skipped", "skipped", "skipped"),
        ("schema.unexpected", "system-out", "system-out"),
    ],
)
def test_junit(rule, lenient, strict):
    """A test case is red where its rule counts for the verdict and is not kept."""
    for settings, expected in (({}, lenient), ({"strict": True}, strict)):
        case = cases(EVERY, **settings)[rule]
        assert [child.tag for child in case] == ["properties", *([expected] if expected else [])]
        assert case.get("classname") == rule.partition(".")[0]


def test_junit_says_what_to_do():
    """A failure has the requirement, what was expected and came, the command and the place; the suite has the numbers."""
    failure = cases(EVERY)["answer.failed"].find("failure")
    assert failure is not None
    assert failure.get("message") == "another"
    for said in (
        "The requirement of",
        "expected: a thing",
        "curl: curl -sS",
        f"contracts/1.0.0.yaml{SOURCE}, line ",
    ):
        assert said in (failure.text or "")
    advice = cases(EVERY)["answer.advice"].find("skipped")
    assert advice is not None
    assert (advice.get("message") or "").startswith("SHOULD: ")
    root = read(junit.render(EVERY))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "10", "failures": "1", "errors": "3", "skipped": "4", "time": "3.250",
    }  # fmt: skip
    properties = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert properties["seed"] == "7"
    assert properties["target"] == EVERY.target
    assert properties["contract_version"] == "1.0.0"


def test_junit_of_anything():
    """The file is XML in UTF-8 for any text that a server sends."""
    made = junit.render(ATTACK).encode("utf-8")
    assert len(list(read(made).iter("testcase"))) == len(ATTACK.rules)


# the badge


@pytest.mark.parametrize("verdict", words.VERDICTS)
def test_badge(verdict):
    """The badge is SVG that says the version of the contract and the verdict, in words and in a colour of its own."""
    made = badge.render(report(verdict=verdict))
    root = read(made)
    space = "{http://www.w3.org/2000/svg}"
    said = words.VERDICTS[verdict].lower()
    assert root.tag == f"{space}svg"
    assert root.get("aria-label") == root.findtext(f"{space}title") == f"rerank 1.0.0: {said}"
    assert [text.text for text in root.iter(f"{space}text")] == ["rerank 1.0.0", said]
    others = {badge.render(report(verdict=other)) for other in words.VERDICTS if other != verdict}
    assert not any(
        re.findall('fill="(#.*?)"', made) == re.findall('fill="(#.*?)"', other) for other in others
    )


def test_badge_escapes():
    """A version out of a report's file becomes no markup."""
    made = badge.render(ATTACK)
    read(made.encode("utf-8"))
    assert "<img" not in made


# the summary


def test_summary():
    """The Markdown summary begins with the verdict of each level, then has the causes by weight with their evidence."""
    made = summary.render(graded("interface"))
    lines = made.splitlines()
    assert lines[0] == "# Undecided: http://127.0.0.1:1/api/v1"
    assert [line for line in lines if line.startswith("|")][2:] == [
        "| ranking | conformant | 0 MUST, 1 SHOULD failed |",
        "| **interface**, decides | undecided | 0 MUST, 1 SHOULD failed |",
        "| strict | not conformant | 1 MUST, 1 SHOULD failed |",
    ]
    assert [line for line in lines if line.startswith("##")] == [
        "## Breaks the ranking for every client (1)",
        "## Differs from the contract in details (1)",
        "## Undecided (1)",
    ]
    assert "- **The requirement of c.letter** (c.letter, MUST)" in lines
    for said in ("expected: an integer", "actual: 1.5", "curl: curl one", "also: 2.5", "curl: curl two"):
        assert f"  {said}" in lines
    assert "3 rules for one reason: x (a.r0, a.r1, a.r2)" in summary.render(
        report(*(result("undecided", f"a.r{number}", reason="x") for number in range(3)), verdict="undecided")
    )


def test_summary_escapes():
    """Whatever a server sent is shown as text, and cannot end the block that it stands in."""
    fence = "\n````\n# not a heading <img src=x>\n```"
    made = summary.render(
        report(result("fail", actual=fence), result("fail", f"{HOSTILE}.x", requirement=HOSTILE))
    )
    made.encode("utf-8")
    assert "\x1b" not in made
    outside = re.sub(r"(?ms)^  (`{3,})text$.*?^  \1$", "", made)
    assert "not a heading" not in outside
    assert "<img" not in outside
    assert "`````text" in made


# the terminal


def shown(made, **options):
    """Return the terminal report without colours."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, no_color=True, **{"width": 80, **options})
    terminal.show(made, console)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


def test_terminal():
    """A person sees every finding, the command in one piece, a line for each section, and the verdict last."""
    made = shown(EVERY)
    for said in (
        "FAIL  strict",
        "The requirement of answer.failed",
        "SHOULD",
        "2 rules",
        "it was overloaded",
        "KeyError: 3",
        "on its way",
    ):
        assert said in made
    long = "curl " + "x" * 300
    assert f"\n{long}\n" in shown(report(result("fail", expected="a", actual="b", curl=long)), width=40)
    assert re.search(r"(?m)^answer +1 +2 *$", made)
    assert made.splitlines()[-1].startswith(
        "NOT conformant: 1 MUST, 1 SHOULD failed; 1 in error, 3 undecided, 1 known to fail"
    )


def test_a_line_is_of_its_contract():
    """A place is told with the file that has it: a released contract's own, openapi.yaml for the newest alone."""
    newest = contract.load().version
    for version, file in (("1.0.0", "contracts/1.0.0.yaml"), (newest, "openapi.yaml")):
        made = report(result("fail", actual="another"), contract_version=version)
        line = contract.line_of(SOURCE, "1.0.0")
        for text in ("\n".join(terminal.lines(made)), junit.render(made), shown(made, width=200)):
            assert f" {file}{SOURCE}, line {line}" in text


def test_plain_lines():
    """In a log there are plain lines, each finding with its facts, and the verdict on the last line."""
    made = list(terminal.lines(EVERY))
    assert " ".join(made[0].split()) == "FAIL strict MUST The requirement of answer.failed (answer.failed)"
    assert "    curl: curl -sS http://h/rerank" in made
    assert made[-1] == shown(EVERY).splitlines()[-1]
    assert made[-2] == f"again: {EVERY.command}"
    assert "unexpected pass" in made[-3]


@pytest.mark.parametrize("show", [shown, lambda made: "\n".join(terminal.lines(made))])
def test_terminal_takes_no_commands(show):
    """Text of a server cannot control the terminal: no escape sequence, no markup."""
    made = show(ATTACK)
    made.encode("utf-8")
    assert "\x1b" not in made
    assert "\u202e" not in made
    assert "[red]" in made


def test_nobody_looks_on(monkeypatch):
    """There is no progress but on a terminal outside of CI."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    watched = Console(file=StringIO(), force_terminal=True)
    with terminal.progress(watched) as told:
        assert told is not None
        told(1, 2)
    with terminal.progress(Console(file=StringIO())) as told:
        assert told is None
    monkeypatch.setenv("CI", "true")
    with terminal.progress(watched) as told:
        assert told is None


def test_progress():
    """A check tells how far it is, and ends where it planned to."""
    seen = []
    check(Reference(), quick=True, seed=1, progress=lambda done, planned: seen.append((done, planned)))
    assert seen[-1][0] == seen[-1][1] > 20
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


# several reports


def test_comparison():
    """The matrix has every rule of any report, by section, and what became of it on each server."""
    one = report(result(name="a.x"), result(name="b.y"), target="http://one")
    other = report(result("fail", "a.x"), result(name="a.z"), target="http://other", verdict="conformant")
    made = compare({"1.json": one, "2.json": other})
    assert {row.id: dict(row.outcomes) for row in made.rules} == {
        "a.x": {"http://one": "pass", "http://other": "fail"},
        "a.z": {"http://other": "pass"},
        "b.y": {"http://one": "pass"},
    }
    assert [row.id for row in made.rules] == ["a.x", "a.z", "b.y"]
    assert [server.verdict for server in made.servers] == ["nonconformant", "conformant"]


def test_comparison_of_one_target():
    """Reports of one target are told apart by as much of their files' names as it takes."""
    names = [
        server.name for server in compare({"r/a.json": EVERY, "r/b.json": EVERY, "s/b.json": EVERY}).servers
    ]
    assert names == [f"{EVERY.target} (a.json)", f"{EVERY.target} (r/b.json)", f"{EVERY.target} (s/b.json)"]


def test_comparison_of_versions():
    """Reports of different versions of the contract are said to be."""
    made = compare({"a": EVERY, "b": msgspec.structs.replace(EVERY, contract_version="1.1.0")})
    assert made.contract_versions == ("1.0.0", "1.1.0")
    assert "1.0.0, 1.1.0" in str(next(terminal.matrix(made)))
    assert "Not judged by the same rules" in page.of_comparison(made)
    assert "Not judged by the same rules" not in page.of_comparison(compare({"a": EVERY}))


def test_matrix():
    """On a terminal stand the rules that not every server passes, and the number of the others; all if asked for."""
    made = compare(
        {
            "a": EVERY,
            "b": report(*map(result, ["pass"] * 10, [rule.id for rule in EVERY.rules]), target="http://b"),
        }
    )
    lines = [str(line) for line in terminal.matrix(made)]
    [failed] = [line for line in lines if line.startswith("answer.failed")]
    assert failed.split() == ["answer.failed", "strict", "MUST", "fail", "pass"]
    assert not any(line.startswith("answer.passed") for line in lines)
    assert lines[-1].startswith("2 rules are passed by every server")
    assert any(str(line).startswith("answer.passed") for line in terminal.matrix(made, everything=True))


# levels

GRADED = (
    result(name="a.ranks", conformance_level="ranking"),
    result("fail", "a.advice", "SHOULD", conformance_level="ranking"),
    result("undecided", "b.form", conformance_level="interface", reason="it was overloaded"),
    result(
        "fail",
        "c.letter",
        expected="an integer",
        actual="1.5",
        curl="curl one",
        touched=("d.below", "d.too"),
        examples=(Example(expected="an integer", actual="2.5", curl="curl two"),),
    ),
)


def graded(level="strict", rules=GRADED, *, quick=False):
    """Return a report whose levels have different verdicts."""
    by_level = verdicts(rules, quick=quick)
    return report(*rules, verdict=by_level[level], conformance_level=level, verdicts=by_level, quick=quick)


@pytest.mark.parametrize(
    ("level", "verdict", "code", "last"),
    [
        ("ranking", "conformant", 0, "conformant at level ranking: 0 MUST, 1 SHOULD failed; 1 passed ("),
        ("interface", "undecided", 2, "undecided at level interface: 0 MUST, 1 SHOULD failed; 1 undecided, 1 passed ("),
        ("strict", "nonconformant", 1, "NOT conformant: 1 MUST, 1 SHOULD failed; 1 undecided, 1 passed ("),
    ],
)  # fmt: skip
def test_a_level_decides(level, verdict, code, last):
    """Every level has a verdict in each report, and the one that was asked for decides exit code, last line and JUnit."""
    made = graded(level)
    assert (made.verdict, made.exit_code) == (verdict, code)
    assert dict(made.verdicts) == {
        "ranking": "conformant",
        "interface": "undecided",
        "strict": "nonconformant",
    }
    assert Report.from_json(made.to_json()) == made
    plain = list(terminal.lines(made))
    assert [" ".join(line.split()) for line in plain[:3]] == [
        "ranking conformant 0 MUST, 1 SHOULD failed",
        "interface undecided 0 MUST, 1 SHOULD failed",
        "strict NOT conformant 1 MUST, 1 SHOULD failed",
    ]
    assert plain[-1].startswith(last)
    assert shown(made).splitlines()[:3] == [line.rstrip() for line in plain[:3]]
    tree = read(junit.render(made))
    properties = {one.get("name"): one.get("value") for one in tree.findall("testsuite/properties/property")}
    assert properties["conformance_level"] == level
    assert [properties[f"verdict.{name}"] for name in LEVELS] == list(made.verdicts.values())
    red = {
        case.get("name")
        for case in tree.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    }
    assert red == {rule.id for rule in made.decisive if rule.id in {"b.form", "c.letter"}}
    html = unescape(page.of_report(made))
    for name, words_of in zip(LEVELS, ("conformant", "undecided", "not conformant"), strict=True):
        assert f"{name}: {words_of}" in html


def test_a_rule_beyond_the_level_says_so_in_junit():
    """A failure of a higher level is skipped, and its message names the level."""
    skipped = cases(graded("ranking"))["c.letter"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "MUST of level strict: 1.5"


def test_a_quick_check_is_never_conformant():
    """A quick check without a failure says so at each level, in every report, and ends with 0."""
    made = graded("strict", [result(conformance_level="ranking"), result(name="a.two")], quick=True)
    assert set(made.verdicts.values()) == {made.verdict} == {"no-failure-found"}
    assert made.exit_code == 0
    plain = "\n".join(terminal.lines(made))
    for text in (plain, shown(made), junit.render(made), badge.render(made), unescape(page.of_report(made))):
        assert "no failure found (quick)" in text.lower() or 'value="no-failure-found"' in text
        assert not re.search(
            r"(?<!not )(?<!rerank-)\bconformant",
            re.sub(r"(?s)<(pre|style)\b.*?</\1>", "", text),
            re.IGNORECASE,
        )
    rows = "\n".join(map(str, terminal.matrix(compare({"a": made}))))
    assert "no failure found (quick)" in rows


def test_examples():
    """A failure has up to three examples, each with its command, and the rules that the same crash touches, in every report."""
    made = graded()
    for text in (
        "\n".join(terminal.lines(made)),
        shown(made),
        unescape(page.of_report(made)),
        unescape(junit.render(made)),
        summary.render(made),
    ):
        for said in ("1.5", "curl one", "2.5", "curl two", "d.below, d.too"):
            assert said in text


@pytest.mark.parametrize(
    ("outcomes", "says"),
    [
        (("pass", "pass", "pass"), "conformant: strict"),
        (("pass", "pass", "fail"), "conformant: interface"),
        (("pass", "fail", "fail"), "conformant: ranking"),
        (("fail", "pass", "pass"), "not conformant"),
        (("undecided", "pass", "pass"), "undecided"),
    ],
)
def test_badge_of_levels(outcomes, says):
    """The badge names the highest level that is reached, and its title has them all."""
    rules = [
        result(outcome, f"a.{level}", conformance_level=level)
        for level, outcome in zip(LEVELS, outcomes, strict=True)
    ]
    root = read(badge.render(graded(rules=rules)))
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")][1] == says
    assert (root.get("aria-label") or "").startswith(f"rerank 1.0.0: {says} (ranking: ")


def test_where_they_differ_comes_first():
    """A comparison begins with the verdicts of each level and the rules on which the servers differ, by weight."""
    other = [msgspec.structs.replace(rule, verdict="pass") for rule in GRADED[1:]]
    made = compare(
        {"a": graded(), "b": msgspec.structs.replace(graded(rules=[GRADED[0], *other]), target="http://b")}
    )
    lines = [" ".join(str(line).split()) for line in terminal.matrix(made, everything=True)]
    assert lines[1:4] == ["ranking conformant", "interface undecided", "strict NOT conformant"]
    at = lines.index("Where they differ (3)")
    assert [line.split()[0] for line in lines[at + 2 : at + 5]] == ["a.advice", "b.form", "c.letter"]
    assert lines[at + 6 :][0] == "Where they agree (1)"
    html = page.of_comparison(made)
    assert html.index("Where they differ</th>") < html.index("a.<wbr>advice") < html.index("a.<wbr>ranks")
    assert made.servers[0].verdicts == graded().verdicts


# the schemas


@pytest.mark.parametrize("name", schema.FILES)
def test_schema_is_new(name):
    """The schema beside the code is what the values make of it: `python -m rerank_conformance.reports.schema`."""
    assert (files(reports) / name).read_text("utf-8") == schema.text(schema.FILES[name])


def test_reports_keep_the_schema():
    """A written report is valid by the schema, and a truncated one is not."""
    [by_report, by_comparison] = [
        jsonschema_rs.validator_for(schema.of(value)) for value in schema.FILES.values()
    ]
    broken = check(listing("worst first", lambda results, _: results[::-1])(), quick=True, seed=1)
    for made in (EVERY, broken):
        value = json.loads(made.to_json())
        by_report.validate(value)
        for name in value:
            is_new = name in {"conformance_level", "verdicts", "quick", "repeats", "command"}
            assert by_report.is_valid({key: value[key] for key in value if key != name}) == is_new, name
    value = json.loads(compare({"a": EVERY, "b": broken}).to_json())
    by_comparison.validate(value)
    assert list(value)[-1] == "complete"
    assert not by_comparison.is_valid({**value, "complete": False})
