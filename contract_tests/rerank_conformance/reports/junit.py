"""A report as JUnit XML, with a test case for each rule."""

from xml.etree import ElementTree as ET

from rerank_conformance.report import Report, RuleResult
from rerank_conformance.reports.words import place, visible


def render(report: Report, *, strict: bool = False) -> str:
    """Return the report as XML.

    A broken MUST is a failure; an undecided one, or a fault of the kit, is an error. Known failures, SHOULD rules and rules
    above the level that decides are skipped.

    Args:
        report: The report of a check.
        strict: Count SHOULD as MUST.
    """
    cases = [_case(rule, report, strict=strict) for rule in report.rules]
    numbers = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{report.elapsed_s:.3f}",
    }
    root = ET.Element("testsuites", {"name": "rerank-conformance", **numbers})
    suite = ET.SubElement(root, "testsuite", {"name": visible(report.target), **numbers})
    properties = ET.SubElement(suite, "properties")
    for name in (
        "target",
        "contract_version",
        "dialect",
        "tool_version",
        "seed",
        "requests",
        "verdict",
        "conformance_level",
    ):
        _add_property(properties, name, str(getattr(report, name)))
    for level, verdict in report.verdicts.items():
        _add_property(properties, f"verdict.{level}", verdict)
    suite.extend(cases)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(rule: RuleResult, report: Report, *, strict: bool) -> ET.Element:
    version = report.contract_version
    case = ET.Element("testcase", {"classname": visible(rule.section), "name": visible(rule.id)})
    _add_property(ET.SubElement(case, "properties"), "conformance_level", rule.conformance_level)
    decides = rule.is_in(report.conformance_level)
    counts = decides and (strict or rule.level == "MUST")
    said = rule.actual or rule.reason or rule.requirement
    match rule.verdict:
        case "pass":
            if rule.reason:
                ET.SubElement(case, "system-out").text = visible(rule.reason)
        case "fail" if counts:
            _add(case, "failure", said, rule, version)
        case "undecided" | "error" if counts:
            _add(case, "error", f"{rule.verdict}: {said}", rule, version)
        case "skip":
            _add(case, "skipped", said)
        case "known":
            _add(case, "skipped", f"known: {said}", rule, version)
        case _:
            why = rule.level if decides else f"{rule.level} of level {rule.conformance_level}"
            _add(case, "skipped", f"{why}: {said}", rule, version)
    return case


def _add_property(properties: ET.Element, name: str, value: str) -> None:
    ET.SubElement(properties, "property", {"name": name, "value": visible(value)})


def _add(
    case: ET.Element, name: str, message: str, rule: RuleResult | None = None, version: str = ""
) -> None:
    attributes = {"message": visible(message)}
    if name != "skipped" and rule is not None:
        attributes["type"] = rule.level
    element = ET.SubElement(case, name, attributes)
    if rule is not None:
        element.text = visible(_text(rule, version))


def _text(rule: RuleResult, version: str) -> str:
    parts = {
        "requirement": f"{rule.level}: {rule.requirement}",
        "expected": rule.expected,
        "actual": rule.actual,
        "reason": rule.reason,
        "fix": rule.mend,
        "curl": rule.curl,
        "contract": place(rule, version),
        "touches": ", ".join(rule.touched),
    }
    lines = [f"{name}: {value}" for name, value in parts.items() if value]
    for example in rule.examples:
        lines.append(f"also: {example.actual}")
        if example.curl:
            lines.append(f"curl: {example.curl}")
    return "\n".join(lines)
