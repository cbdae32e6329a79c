"""The file of expected failures: how it is read, and how `rerank-conformance expect` brings it up to date."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from rerank_conformance.cli import main
from rerank_conformance.expected import read_expected
from rerank_conformance.report import Report, RuleResult, with_known

A, B, C, D = "answer.descending", "answer.json", "answer.model", "acceptance.objects"
KNOWN = (A, B, C, D)


def rule(name: str, verdict: str = "fail", level: str = "MUST", **more) -> RuleResult:
    """Make the result of a rule."""
    more = {"conformance_level": "interface", **more}
    return RuleResult(id=name, level=level, requirement="It is kept", source="#/x", verdict=verdict, **more)


def saved(path: Path, *rules: RuleResult, **more) -> str:
    """Write a report and return its file."""
    values = {
        "target": "http://h",
        "contract_version": "1.1.0",
        "tool_version": "0",
        "verdict": "nonconformant",
        "requests": 1,
        "elapsed_s": 1.0,
        "seed": 1,
    }
    file = path / "report.json"
    file.write_text(Report(rules=rules, **{**values, **more}).to_json(), "utf-8")
    return str(file)


def expect(file: Path, *arguments: str):
    """Run the command."""
    return CliRunner().invoke(main, ["expect", "--file", str(file), *arguments])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# a comment\n\n", {}),
        (f"{A}\n{B} # ours\n", {A: "expected to fail", B: "ours"}),
        (f"{A}  # ours https://h/issues/1#issuecomment-2\n", {A: "ours https://h/issues/1#issuecomment-2"}),
        (f"\ufeff{A} # from an editor that marks its files\r\n", {A: "from an editor that marks its files"}),
        (f"{A} # first\n{A} # last\n", {A: "last"}),
    ],
)
def test_file_is_read(tmp_path, text, expected):
    """A line has a rule and, behind #, the reason with a link; files of earlier versions stay valid."""
    file = tmp_path / "known.txt"
    file.write_bytes(text.encode())
    assert read_expected(file, KNOWN) == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"{A}\nanswer.descendign # x\n", "known.txt:2: no rule is named 'answer.descendign'; did you mean 'answer.descending'?"),
        ("\n\nxyzzy\n", "known.txt:3: no rule is named 'xyzzy'; `rerank-conformance rules` lists them"),
        (f"{A} {B}\n", f"known.txt:1: '{A} {B}' is not one rule; put each rule on its own line"),
        (f"{A}\n{B} our framework\n", "known.txt:2: 'answer.json our framework' is not one rule"),
    ],
)  # fmt: skip
def test_bad_line_is_named(tmp_path, content, says):
    """A file that cannot be read is refused with its line."""
    file = tmp_path / "known.txt"
    file.write_text(content, "utf-8")
    with pytest.raises(ValueError, match=r"known\.txt") as caught:
        read_expected(file, KNOWN)
    assert says in str(caught.value)


def test_file_that_is_not_text_is_named(tmp_path):
    """A file that is not UTF-8 is refused with the line at which it ends to be."""
    file = tmp_path / "known.txt"
    file.write_bytes(b"answer.json\nanswer.model # caf\xe9\n")
    with pytest.raises(ValueError, match=r"known.txt:2: not UTF-8; save the file as UTF-8"):
        read_expected(file, KNOWN)


@pytest.mark.parametrize(
    ("reason", "issue"),
    [
        ("ours", None),
        ("issue 12", None),
        ("see https://h.example/o/r/issues/12.", "https://h.example/o/r/issues/12"),
        ("(https://h.example/1), http://other", "https://h.example/1"),
        ("<https://h.example/1#c-2>", "https://h.example/1#c-2"),
        ("javascript:alert(1)", None),
    ],
)
def test_issue_is_in_the_report(reason, issue):
    """A known failure, and an unexpected pass, have the link to the issue beside the reason."""
    found = with_known([rule(A), rule(B, "pass")], {A: reason, B: reason})
    assert [one.issue for one in found] == [issue, issue]
    assert found[0].reason == reason


def test_file_is_made(tmp_path):
    """The rules of the level that decides which failed are written, each with what it requires."""
    file = tmp_path / "known.txt"
    report = saved(
        tmp_path,
        rule(A),
        rule(B, "undecided"),
        rule(C, level="SHOULD"),
        rule(D, conformance_level="strict"),
        conformance_level="interface",
    )
    done = expect(file, report)
    assert done.exit_code == 0, done.output
    assert file.read_text("utf-8") == f"{A}  # expected to fail: It is kept\n"
    assert done.output == f"+ {A}\n{file}: 1 added, 0 removed, 0 kept\n"
    expect(file, report, "--strict", "--reason", "ours", "--issue", "https://h/1")
    assert file.read_text("utf-8").splitlines()[1:] == [f"{C}  # ours https://h/1"]
    assert read_expected(file, KNOWN)[C] == "ours https://h/1"


def test_file_is_brought_up_to_date(tmp_path):
    """What passes again is removed; comments, reasons, links and the order of what stays are not touched."""
    file = tmp_path / "known.txt"
    text = f"# ours\r\n\r\n{C}   # as it is: https://h/1\r\n{A} # mended\r\n{D}\r\n"
    file.write_bytes(text.encode())
    report = saved(tmp_path, rule(A, "pass"), rule(B), rule(C, "known", reason="as it is"), rule(D, "skip"))
    done = expect(file, report)
    kept = f"# ours\r\n\r\n{C}   # as it is: https://h/1\r\n{D}\r\n"
    assert file.read_bytes().decode() == f"{kept}{B}  # expected to fail: It is kept\r\n"
    assert done.output.splitlines() == [
        f"+ {B}",
        f"- {A}: it passes",
        f"{file}: 1 added, 1 removed, 2 kept",
    ]
    before = file.read_bytes()
    assert "0 added, 0 removed, 3 kept" in expect(file, report).output
    assert file.read_bytes() == before


def test_known_failure_keeps_its_reason_in_a_new_file(tmp_path):
    """A failure that was expected by another file is written with the reason of that file."""
    file = tmp_path / "known.txt"
    expect(
        file,
        saved(tmp_path, rule(A, "known", reason="ours https://h/1")),
        "--reason=x",
        "--issue=https://h/2",
    )
    assert file.read_text("utf-8") == f"{A}  # ours https://h/1\n"


def test_quick_check_removes_nothing(tmp_path):
    """A rule that passes a quick check stays, as a whole check may find the failure still."""
    file = tmp_path / "known.txt"
    file.write_text(f"{A} # ours", "utf-8")
    done = expect(file, saved(tmp_path, rule(A, "pass"), quick=True))
    assert done.output.splitlines() == [
        f"  {A}: it passes a quick check; a whole check decides",
        f"{file}: 0 added, 0 removed, 1 kept",
    ]
    assert file.read_text("utf-8").strip() == f"{A} # ours"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.json"], "none.json cannot be read"),
        (["report.json", "--issue", "issue 12"], "is not a web address"),
        (["other.json"], "rules[1]: no rule is named 'answer.other'"),
        (["text.txt"], "not a report"),
        (["report.json", "--file", "missing/known.txt"], "cannot be written"),
        (["report.json", "--file", "text.txt"], "text.txt:1: 'not JSON' is not one rule"),
    ],
)
def test_command_says_what_is_wrong(tmp_path, monkeypatch, arguments, says):
    """A report, a link or a file that cannot be used ends the command with code 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, rule(A), rule("answer.other"))
    Path("report.json").rename("other.json")
    saved(tmp_path, rule(A))
    Path("text.txt").write_text("not JSON", "utf-8")
    done = CliRunner().invoke(main, ["expect", *arguments])
    assert done.exit_code == 2
    assert says in done.output
    assert Path("text.txt").read_text("utf-8") == "not JSON"
    assert not Path("expected-failures.txt").exists()
