"""The pages in a real browser: what they look like, how they are used by keyboard, and that they ask nobody for anything.

They need Chromium as `chromium` on the PATH, and Playwright to drive it; where one is missing they skip and say so.
"""

from itertools import pairwise

import msgspec
import pytest

from chromium import ARGUMENTS, CHROMIUM, CONTRAST, PATIENCE
from rerank_conformance import contract
from rerank_conformance.report import Example, Report, RuleResult, verdicts
from rerank_conformance.reports import page
from rerank_conformance.reports.comparison import compare
from rerank_conformance.rules import RULES as RULE_SET

if CHROMIUM is None:
    pytest.skip("no chromium on the PATH: `apt-get install chromium`", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: `pip install playwright`")

SOURCE = "#/components/schemas/RerankResult/properties/index"
LINE = contract.line_of(SOURCE, "1.0.0")
CURL = """curl -sS -i http://h/rerank --data-binary '{"query": "</code><b>x</b>"}'"""
HOSTILE = (
    "</script><img src='http://evil.example/x.png' onerror='window.hacked=1'><script>window.hacked=1</script>"
)
LONG = f"{HOSTILE} {'W' * 500}"
OUTCOMES = ("fail", "known", "undecided", "error", "skip", "pass")
WIDE, PHONE = {"width": 1100, "height": 900}, {"width": 360, "height": 740}


def result(outcome, level, name, **more):
    """Make the result of an invented rule with a long and hostile text."""
    texts = {} if outcome == "pass" else {"expected": LONG, "actual": LONG, "reason": f"{name} {LONG}"}
    return RuleResult(
        id=name,
        level=level,
        requirement=f"Something of {name} holds",
        source=SOURCE,
        line=LINE,
        verdict=outcome,
        **{**texts, **more},
    )


RULES = (
    result("fail", "MUST", "answer.first", conformance_level="ranking", curl=CURL),
    *(
        result(outcome, level, f"{outcome}.of-{level.lower()}-{'and-more-' * 4}rule")
        for outcome in OUTCOMES
        for level in ("MUST", "SHOULD")
    ),
    result("undecided", "MUST", "undecided.alike", reason="why"),
    result("undecided", "MUST", "undecided.also", reason="why"),
    result("pass", "MUST", "answer.passed"),
    result("pass", "MUST", "whole.passed"),
)
REPORT = Report(
    target=f"https://h.example/{'path/' * 30}{HOSTILE}",
    contract_version="1.0.0",
    tool_version="0.1.0",
    verdict="nonconformant",
    requests=1234,
    elapsed_s=12.3,
    seed=2**31,
    command=f"rerank-conformance check https://h.example/{'path/' * 30} --model x --seed {2**31}",
    rules=RULES,
    verdicts=verdicts(RULES),
)


def called(name, **changes):
    """Return the report with changes."""
    return msgspec.structs.replace(REPORT, target=f"https://{name}.example", **changes)


PAGES = {
    "broken": page.of_report(REPORT),
    "conformant": page.of_report(called("a", verdict="conformant")),
    "undecided": page.of_report(called("b", verdict="undecided")),
    "quick": page.of_report(called("q", verdict="no-failure-found", quick=True)),
    "compared": page.of_comparison(
        compare(
            {
                "a.json": REPORT,
                "b.json": REPORT,
                "c.json": called(
                    "c", verdict="no-failure-found", contract_version="1.1.0", rules=REPORT.rules[1:]
                ),
                "d.json": called("d", verdict="undecided"),
            }
        )
    ),
}

FAILED = tuple(RULE_SET)[::5][:22]
PAGES["many"] = page.of_report(
    called(
        "many",
        rules=(
            many := tuple(
                RuleResult(
                    id=rule.id,
                    level=rule.level,
                    conformance_level=rule.conformance_level,
                    requirement=rule.requirement,
                    source=rule.source,
                    line=LINE,
                    verdict="fail" if rule.id in FAILED else "pass",
                    expected="an integer",
                    actual=LONG,
                    curl=CURL,
                    mend=rule.mend,
                    examples=(Example(expected="an integer", actual=LONG, curl=CURL),) * 2,
                )
                for rule in RULE_SET.values()
            )
        ),
        verdicts=verdicts(many),
    )
)

BOTH = ["broken", "compared"]
"""One page of each kind."""


@pytest.fixture(scope="module")
def browser():
    """Start Chromium."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(params=PAGES)
def name(request):
    """Return the name of a page."""
    return request.param


@pytest.fixture
def opened(browser, tmp_path):
    """Provide a function that opens a page; assert at the end that it made no request and no complaint."""
    contexts, wrong = [], []

    def opened(name, **options):
        file = tmp_path / f"{name}.html"
        file.write_text(PAGES[name], "utf-8", newline="\n")
        context = browser.new_context(**{"viewport": WIDE, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        tab = context.new_page()
        tab.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        tab.on("request", lambda request: request.url.startswith("file://") or wrong.append(request.url))
        tab.goto(file.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize("name", BOTH, indirect=True)
def test_hostile_text_shows_as_text(opened, name):
    """Content of a server is shown and not executed."""
    tab = opened(name)
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("img, iframe, b").count() == 0
    if name != "compared":
        assert tab.locator(".actual").first.text_content() == LONG


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(opened, name, scheme):
    """Every text stands out from its ground by 4.5 and more, in the light and in the dark, all that folds unfolded."""
    tab = opened(name, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = tab.evaluate(CONTRAST)
    assert found["seen"] > 100
    assert found["poor"] == []


@pytest.mark.parametrize("name", BOTH, indirect=True)
def test_dark(opened, name):
    """The page follows a dark colour scheme."""
    grounds = {
        scheme: opened(name, color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    sums = {scheme: sum(map(int, ground[4:-1].split(", "))) for scheme, ground in grounds.items()}
    assert sums["light"] > 650
    assert sums["dark"] < 100


def test_phone(opened, name):
    """At 360 pixels nothing reaches over the edge of the page, all that folds unfolded, and the verdict stands on top."""
    tab = opened(name, viewport=PHONE, has_touch=True, is_mobile=True)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert tab.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [360, 360]
    heading = tab.locator("h1").bounding_box()
    assert heading
    assert heading["y"] + heading["height"] < PHONE["height"] / 2


def test_outline(opened, name):
    """The page has a language, a title, one h1, headings without gaps, and names for all that takes the focus."""
    tab = opened(name)
    assert tab.locator("html").get_attribute("lang") == "en"
    assert tab.title()
    levels = tab.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    for region in tab.locator("[role=region], [role=group]").all():
        assert region.get_attribute("aria-label")


def test_verdict_first(opened):
    """The verdict is the heading, and the numbers of the run stand under it."""
    tab = opened("broken")
    assert "Not conformant" in tab.locator("h1").inner_text()
    assert "2 of 11 MUST rules failed" in tab.locator(".why").inner_text()
    levels = tab.locator(".levels li")
    assert [text.splitlines()[:2] for text in levels.all_inner_texts()] == [
        ["✗ ranking: not conformant", "1 MUST, 0 SHOULD failed"],
        ["✗ interface: not conformant", "1 MUST, 0 SHOULD failed"],
        ["✗ strict: not conformant", "2 MUST, 1 SHOULD failed"],
    ]
    numbers = tab.locator(".numbers").inner_text()
    for number in (str(len(REPORT.rules)), "1,234", "12.3", str(2**31), "1.0.0", "0.1.0"):
        assert number in numbers


def test_causes_come_first_and_are_folded(opened):
    """The page begins with the causes by weight, each folded under its requirement; so is the list of every rule."""
    tab = opened("broken")
    assert tab.locator("h2").first.inner_text() == "What to mend first"
    found = tab.locator("details.finding")
    assert found.count() == 10
    assert tab.locator("details[open]").count() == 0
    assert found.first.inner_text().splitlines() == ["Something of answer.first holds", "MUST answer.first"]
    assert tab.locator(".cause-group").all_inner_texts() == [
        "Breaks the ranking for every client (1)",
        "Differs from the contract in details (2)",
        "Not judged: a fault of the check (2)",
        "Undecided (4)",
        "Expected failures (2)",
    ]
    found.first.locator("summary").click()
    shown = found.first.inner_text()
    for said in (CURL, f"line {LINE}", "Expected", "Actual"):
        assert said in shown
    assert not tab.get_by_text("Something of whole.passed holds").is_visible()
    tab.locator("details.every > summary").click()
    tab.locator("summary", has_text="whole").click()
    assert tab.get_by_text("Something of whole.passed holds").is_visible()


@pytest.mark.parametrize("phone", [PHONE, {"width": 390, "height": 844}], ids=["small", "usual"])
def test_many_failures_fit_a_phone(opened, phone):
    """At 22 failures, with three examples each, the page takes at most five screens of a phone."""
    tab = opened("many", viewport=phone, has_touch=True, is_mobile=True)
    assert tab.locator("details.finding.fail").count() == 22
    assert tab.evaluate("document.documentElement.scrollHeight") <= 5 * phone["height"]


def focus(tab):
    """Return the focused element, and whether its focus is visible."""
    return tab.evaluate(
        """() => {
          const one = document.activeElement, style = getComputedStyle(one);
          return [one.tagName, one.className, one.textContent.trim().slice(0, 40),
                  style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
        }"""
    )


def test_keyboard(opened):
    """Tab reaches each control in turn and shows where it is; Enter unfolds a failure and follows its link."""
    tab = opened("broken")
    for _ in range(2):
        tab.keyboard.press("Tab")
    first = tab.locator("details.finding").first
    assert focus(tab)[0] == "SUMMARY"
    tab.keyboard.press("Enter")
    assert first.get_attribute("open") is not None
    tab.keyboard.press("Enter")
    assert first.get_attribute("open") is None
    tab.keyboard.press("Enter")
    reached = []
    for _ in range(3):
        tab.keyboard.press("Tab")
        reached.append(focus(tab))
    assert all(visible for *_, visible in reached)
    assert [tag for tag, *_ in reached] == ["A", "BUTTON", "PRE"]
    for _ in range(2):
        tab.keyboard.press("Shift+Tab")
    assert focus(tab)[2] == f"openapi.yaml, line {LINE}"
    tab.keyboard.press("Enter")
    assert tab.locator("details.contract").get_attribute("open") is not None
    playwright.expect(tab.locator(f"#L{LINE}")).to_be_in_viewport(timeout=PATIENCE)
    assert tab.locator(f"#L{LINE}").inner_text().strip() == "index:"


def test_link_again(opened):
    """The link opens the contract again where it was folded since."""
    tab = opened("broken")
    link, whole = tab.locator("details.finding a").first, tab.locator("details.contract")
    tab.locator("details.finding > summary").first.click()
    link.click()
    whole.locator("summary").click()
    assert whole.get_attribute("open") is None
    link.click()
    assert whole.get_attribute("open") is not None
    playwright.expect(tab.locator(f"#L{LINE}")).to_be_in_viewport(timeout=PATIENCE)


@pytest.mark.parametrize("clipboard", [True, False], ids=["clipboard", "no clipboard"])
def test_copy(opened, clipboard):
    """The button copies the command as it is, also where the page may not write to the clipboard, and says that it did."""
    tab = opened("broken")
    tab.locator("details.finding > summary").first.click()
    if not clipboard:
        tab.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    tab.evaluate("document.body.prepend(document.createElement('textarea'))")
    tab.locator("textarea").fill("what was copied before")
    tab.locator("textarea").select_text()
    tab.keyboard.press("Control+C")
    tab.evaluate("window.setTimeout = () => 0")  # so that what it says stays, however late it is looked at
    tab.locator("button.copy").first.focus()
    tab.keyboard.press("Enter")
    playwright.expect(tab.locator("button.copy").first).to_have_text("Copied", timeout=PATIENCE)
    playwright.expect(tab.get_by_role("status")).to_have_text("Copied", timeout=PATIENCE)
    tab.locator("textarea").select_text()
    tab.keyboard.press("Control+V")
    assert tab.locator("textarea").input_value() == CURL


def test_filter(opened):
    """A button shows the rules of one outcome alone, and all come back."""
    tab = opened("broken")
    tab.locator("details.every > summary").click()
    tab.evaluate("document.querySelectorAll('.every details').forEach((one) => { one.open = true; })")
    rows = tab.locator(".rules li")
    assert rows.filter(visible=True).count() == len(REPORT.rules)
    tab.get_by_role("button", name="3 failed").click()
    assert (
        tab.locator(".rules li").filter(visible=True).locator(".outcome").all_inner_texts()
        == ["✗ failed"] * 3
    )
    tab.get_by_role("button", name="passed").click()
    assert rows.filter(visible=True).count() == 4
    tab.get_by_role("button", name="All").click()
    assert tab.locator("details.section").filter(visible=True).count() == 8
    assert tab.locator("details.every").get_attribute("open") is not None


def test_without_script(opened):
    """Without scripts everything can be read, and no button is shown that does nothing."""
    tab = opened("broken", java_script_enabled=False)
    assert tab.locator("details.finding").first.is_visible()
    assert tab.locator("button").filter(visible=True).count() == 0


def test_print(opened):
    """On paper is what lies folded on the screen, without the controls and the contract."""
    tab = opened("broken")
    tab.emulate_media(media="print")
    assert tab.locator("button").filter(visible=True).count() == 0
    assert not tab.locator("details.contract").is_visible()
    for rule in ("whole.passed", "answer.passed"):
        assert (tab.get_by_text(f"Something of {rule} holds").bounding_box() or {"height": 0})["height"] > 0


def test_matrix(opened):
    """The matrix has a column for each server and a row for each rule, in words too, and what differs alone if asked."""
    tab = opened("compared")
    assert tab.locator("thead th").count() == 2 + 4
    rows = tab.locator("tbody tr:not(.group)")
    assert rows.count() == len(REPORT.rules)
    assert tab.locator("tr.group").first.inner_text() == "Where they differ"
    first = [text.split()[-1] for text in rows.first.locator("td.cell").all_text_contents()]
    assert first == ["failed", "failed", "report", "failed"]
    tab.get_by_role("button", name="Where they differ").click()
    assert rows.filter(visible=True).count() == 1
    tab.get_by_role("button", name="Not passed by all").click()
    assert 1 < rows.filter(visible=True).count() < len(REPORT.rules)
    assert "Not judged by the same rules" in tab.locator(".note").inner_text()
