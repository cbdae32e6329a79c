"""Annotations of GitHub Actions: one for each cause, escaped, at most ten; a server cannot write one."""

import re

import pytest

from rerank_conformance.broken import BROKEN
from rerank_conformance.reference.asgi import running
from rerank_conformance.reports import annotations
from test_command import run
from test_reports import HOSTILE, report, result

COMMAND = re.compile(r"::(error|warning) title=([^:,\r\n]*)::([^\r\n]*)")


def parsed(*rules, strict=False, **more):
    """Return the annotations of a report, each as GitHub reads it."""
    found = []
    for line in annotations.lines(report(*rules, **more), strict=strict):
        match = COMMAND.fullmatch(line)
        assert match, line
        found.append((match[1], *(unescaped(match[number]) for number in (2, 3))))
    return found


def unescaped(text):
    """Undo what GitHub undoes."""
    for code, character in {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}.items():
        text = text.replace(code, character)
    return text


def test_kinds():
    """What decides the verdict is an error, what does not a warning; an expected failure is none."""
    rules = [
        result("fail", "answer.a", conformance_level="ranking", expected="x", actual="y"),
        result("fail", "answer.b", "SHOULD", conformance_level="ranking"),
        result("fail", "answer.c", conformance_level="strict"),
        result("known", "answer.d", conformance_level="ranking", reason="ours"),
        result("pass", "answer.e", conformance_level="ranking", reason="unexpected pass"),
        result("error", "answer.f", conformance_level="ranking", reason="the rule itself failed"),
        result("pass", "answer.g"),
    ]
    found = parsed(*rules, conformance_level="ranking")
    assert [(kind, sorted(set(re.findall(r"answer\.\w", title)))) for kind, title, _ in found] == [
        ("error", ["answer.a"]),
        ("error", ["answer.f"]),
        ("warning", ["answer.b"]),
        ("warning", ["answer.c"]),
        ("warning", ["answer.e"]),
    ]
    assert found[0][2] == "expected: x\nactual: y"
    strict = parsed(*rules, conformance_level="ranking", strict=True)
    assert [kind for kind, title, _ in strict if "answer.b" in title] == ["error"]


def test_one_for_a_cause():
    """Rules that are undecided for one reason are one annotation."""
    rules = [result("undecided", f"answer.r{number}", reason="no budget") for number in range(40)]
    assert parsed(*rules, verdict="undecided") == [("error", "40 rules are undecided", "no budget")]


@pytest.mark.parametrize(("count", "shown"), [(10, 10), (11, 10), (40, 10)])
def test_bound(count, shown):
    """There are ten at most, and the last one says how many more there are."""
    found = parsed(*(result("fail", f"answer.r{number}") for number in range(count)))
    assert len(found) == shown
    if count > shown:
        assert found[-1] == ("error", f"{count - 9} more causes", "the report has all of them")


@pytest.mark.parametrize("text", [HOSTILE, "a,b:c%0A::error::x", "100 %\r\n::error::no", "x" * 5000])
def test_escapes(text):
    """Whatever a server sent, an annotation is one line, and the title ends where it should."""
    [(_, title, message)] = parsed(result("fail", requirement=text, actual=text))
    assert "(answer.one, MUST)" in title or len(text) > 500
    assert message.startswith("actual: ")
    assert len(message) < 600


def test_command_prints_them(monkeypatch):
    """On GitHub the report is fenced, so that nothing in it is a workflow command, and annotations follow."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with running(BROKEN["error.code"]()) as url:
        done = run("check", url, "--quick", "--rule", "error.")
        off = run("check", url, "--quick", "--rule", "error.", "--no-annotations")
    lines = done.stdout.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert len(token) == 32
    end = lines.index(f"::{token}::")
    assert not any(line.startswith("::") for line in lines[1:end])
    assert [bool(COMMAND.fullmatch(line)) for line in lines[end + 1 :]] == [True]
    assert any("error.code" in line for line in lines[end + 1 :])
    assert "::" not in off.stdout.replace("::1", "")


def test_command_prints_none_elsewhere(monkeypatch):
    """Elsewhere there are none, unless they are asked for."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with running(BROKEN["error.code"]()) as url:
        plain = run("check", url, "--quick", "--rule", "error.")
        asked = run("check", url, "--quick", "--rule", "error.", "--annotations", "--json", "-")
    assert "::error" not in plain.stdout + plain.stderr
    assert "::error" in asked.stderr
    assert "::error" not in asked.stdout
