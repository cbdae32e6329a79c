"""A report as JUnit XML: one test case for each rule; it is red exactly where the verdict is."""

from xml.etree import ElementTree as ET

from rerank_conformance.report import Report, RuleResult
from rerank_conformance.reports.words import place, visible


def render(report: Report, *, strict: bool = False) -> str:
    """The report as XML.

    A broken MUST is a failure; one without a conclusion, or a fault of the kit, is an error. A known failure is skipped,
    and so is whatever becomes of a SHOULD.

    Args:
        report: What a check found.
        strict: SHOULD counts as MUST.
    """
    cases = [_case(rule, report.contract_version, strict=strict) for rule in report.rules]
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
    for name in ("target", "contract_version", "tool_version", "seed", "requests", "verdict"):
        value = visible(str(getattr(report, name)))
        ET.SubElement(properties, "property", {"name": name, "value": value})
    suite.extend(cases)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(rule: RuleResult, version: str, *, strict: bool) -> ET.Element:
    case = ET.Element("testcase", {"classname": visible(rule.section), "name": visible(rule.id)})
    counts = strict or rule.level == "MUST"
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
            _add(case, "skipped", f"SHOULD: {said}", rule, version)
    return case


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
        "curl": rule.curl,
        "contract": place(rule, version),
    }
    return "\n".join(f"{name}: {value}" for name, value in parts.items() if value)
