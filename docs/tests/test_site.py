"""The built site in a real browser: every page, at the widths of a phone and of a desk, in light and dark mode.

`nox -s docs` builds the site and names it in RERANK_SITE. They need Chromium as `chromium` on the PATH, and Playwright to drive
it; where one is missing they skip and say so.
"""

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest

import openrouter_rerank.testing
import rerank_conformance.reference
from chromium import ARGUMENTS, CHROMIUM, CONTRAST, PATIENCE

SITE = Path(os.environ.get("RERANK_SITE", "")).resolve()
if not os.environ.get("RERANK_SITE"):
    pytest.skip("the site is built and looked at by `nox -s docs`", allow_module_level=True)
if CHROMIUM is None:
    pytest.skip("no chromium on the PATH: `apt-get install chromium`", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: `pip install playwright`")

PHONE = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 800}
PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
DRAWN = "docs/redoc.html"
FIRST = "index.html"
READ = [page for page in PAGES if page != FIRST]
SCHEMES = ("light", "dark")

WHAT_IS_THERE = """
() => ({
  links: [...document.links].map((one) => one.href),
  // Redoc has ids of its own for what its links lead to
  ids: [...document.querySelectorAll("[id], [data-section-id]")].map((one) => one.id || one.dataset.sectionId),
  text: document.body.innerText,
  title: document.title,
  language: document.documentElement.lang,
})
"""


CONTENTS = "document.documentElement.scrollWidth"


@dataclass
class Looked:
    """The observations of one page in one colour scheme."""

    links: list[str]
    ids: list[str]
    text: str
    title: str
    language: str
    widths: dict[int, int]
    """The width of the contents at each width of the window."""
    ground: str
    poor: list[list[str]]
    complaints: list[str]
    elsewhere: list[str]


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that keeps no log."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    """Serve the site on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    """Start Chromium."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, address, page, **options):
    """Open a page at a phone's size; return the page, the browser's complaints and the requests to other hosts."""
    complaints, elsewhere = [], []
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, **options)
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "response",
        lambda answer: answer.status < 400 or complaints.append(f"{answer.status}: {answer.url}"),
    )
    tab.on(
        "request",
        lambda request: request.url.startswith((address, "data:", "blob:")) or elsewhere.append(request.url),
    )
    tab.goto(urljoin(address, page), wait_until="load")
    if page == DRAWN:
        tab.locator("[data-section-id]").first.wait_for()
    yield tab, complaints, elsewhere
    context.close()


@pytest.fixture(scope="module")
def looked(browser, address):
    """Look at each page in light and dark mode; return the results by its name."""
    seen = {scheme: {} for scheme in SCHEMES}
    for scheme, pages in seen.items():
        for page in READ:
            with opened(browser, address, page, color_scheme=scheme) as (tab, complaints, elsewhere):
                there = tab.evaluate(WHAT_IS_THERE)
                widths = {PHONE["width"]: tab.evaluate(CONTENTS)}
                tab.set_viewport_size(WIDE)
                tab.wait_for_function(f"innerWidth === {WIDE['width']}")
                widths[WIDE["width"]] = tab.evaluate(CONTENTS)
                pages[page] = Looked(
                    **there,
                    widths=widths,
                    ground=tab.evaluate("getComputedStyle(document.body).backgroundColor"),
                    poor=tab.evaluate(CONTRAST)["poor"],
                    complaints=complaints,
                    elsewhere=elsewhere,
                )
    return seen


@pytest.fixture(params=SCHEMES)
def scheme(request):
    """Each scheme of colours."""
    return request.param


@pytest.fixture(params=READ)
def page(request, scheme, looked):
    """Each page, in each scheme of colours."""
    return looked[scheme][request.param]


def test_there_is_a_site():
    """The site has the page of each kind of user, and those that are made of the programs."""
    wanted = {
        f"docs/{name}.html"
        for name in (
            "index",
            "guides/rank",
            "conformance",
            "guides/contract",
            "commands",
            "rules",
            "redoc",
            "why",
        )
    }
    assert wanted <= set(PAGES)
    assert {"README.html", "openapi.html", "docs/api/openrouter_rerank.html"} <= set(PAGES)


@pytest.mark.parametrize(
    "module",
    [openrouter_rerank, openrouter_rerank.testing, rerank_conformance, rerank_conformance.reference],
    ids=lambda module: module.__name__,
)
def test_reference(module, looked):
    """Every public name has its place in the reference."""
    ids = {one for page in looked["light"].values() for one in page.ids}
    assert [name for name in module.__all__ if f"{module.__name__}.{name}" not in ids] == []


def test_loads(page):
    """The page has a language, a title and something to read, and the browser has nothing to complain of."""
    assert page.complaints == []
    assert page.language == "en"
    assert page.title
    assert len(page.text) > 100


def test_asks_nobody_else(page):
    """Nothing that the page shows comes from another host."""
    assert page.elsewhere == []


def test_links(page, looked, address):
    """Each link within the site leads to a page that is there, and to a place that is on it."""
    within = {urldefrag(link) for link in page.links if link.startswith(address)}
    assert within
    for target, place in within:
        name = unquote(target.removeprefix(address)) or FIRST
        assert (SITE / name).is_file(), target
        if place and name in READ:
            assert unquote(place) in looked["light"][name].ids, f"{target}#{place}"


@pytest.mark.parametrize("width", [PHONE["width"], WIDE["width"]])
def test_width(page, width):
    """Nothing reaches over the edge of the page."""
    assert page.widths[width] == width


def test_contrast(page):
    """Every text stands out from its ground by 4.5 and more."""
    assert page.poor == []


def test_dark(page, scheme):
    """The pages follow a dark colour scheme."""
    brightness = sum(map(int, page.ground[4:-1].split(", ")))
    assert brightness < 150 if scheme == "dark" else brightness > 650


@pytest.mark.parametrize("chosen", ["dark", "light"])
def test_the_contract_follows_the_site(browser, address, chosen):
    """The page of Redoc has the colours that were chosen on another page, and leads back to the site."""
    other = {"dark": "light", "light": "dark"}[chosen]
    with opened(browser, address, "docs/rules.html", color_scheme=other) as (tab, complaints, _):
        tab.evaluate("theme => localStorage.setItem('theme', theme)", chosen)
        tab.goto(urljoin(address, DRAWN), wait_until="load")
        tab.locator("[data-section-id]").first.wait_for()
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, ground[4:-1].split(", ")))
        assert brightness < 150 if chosen == "dark" else brightness > 650
        assert tab.evaluate(CONTRAST)["poor"] == []
        tab.get_by_role("navigation", name="Site").get_by_role("link").first.click()
        tab.wait_for_url("**/docs/index.html")
        assert complaints == []


def test_first(browser, address):
    """The address of the site leads to its first page."""
    with opened(browser, address, "") as (tab, complaints, elsewhere):
        tab.wait_for_url("**/docs/index.html")
        assert complaints == elsewhere == []


def test_search(browser, address):
    """The search finds a page by a word of it."""
    with opened(browser, address, "search.html?q=keep_order") as (tab, complaints, elsewhere):
        tab.locator("#search-results a").first.wait_for()
        assert any(
            "guides/rank" in href for href in tab.evaluate("[...document.links].map((one) => one.href)")
        )
        assert complaints == elsewhere == []


def test_a_rule_leads_to_its_line(browser, address):
    """The link beside a rule opens openapi.yaml at the line that the rule comes from."""
    with opened(browser, address, "docs/rules.html") as (tab, _, _):
        rule = tab.locator("li", has_text="answer.index-integer").first
        rule.get_by_role("link", name="contract").click()
        tab.wait_for_url("**/openapi.html#line-*")
        place = tab.locator(f"[id='{urldefrag(tab.url).fragment}']")
        playwright.expect(place).to_be_in_viewport()
        line = int(urldefrag(tab.url).fragment.removeprefix("line-"))
        assert (SITE / "openapi.yaml").read_text("utf-8").splitlines()[line - 1].strip() == "index:"


def test_rules_are_filtered(browser, address):
    """The filter of the rules works by keyboard alone, says how many it shows, and is kept in the address."""
    with opened(browser, address, "docs/rules.html") as (tab, complaints, _):
        status, rules = tab.get_by_role("status"), tab.locator("section section li")
        playwright.expect(status).to_have_text(f"{rules.count()} of {rules.count()} rules")
        tab.get_by_label("Words").focus()
        tab.keyboard.type("top_n integer")
        tab.keyboard.press("Tab")
        tab.keyboard.type("ranking")
        tab.keyboard.press("Tab")
        tab.keyboard.type("MUST")
        shown = rules.filter(visible=True)
        playwright.expect(status).to_have_text(f"{shown.count()} of {rules.count()} rules")
        assert 0 < shown.count() < rules.count()
        for text in shown.all_inner_texts():
            assert "top_n" in text
            assert "MUST, ranking" in text
        tab.reload()
        playwright.expect(status).to_have_text(f"{shown.count()} of {rules.count()} rules")
        assert tab.get_by_label("Level").input_value() == "ranking"
        tab.get_by_label("Words").fill("no rule has these words")
        playwright.expect(status).to_have_text(f"0 of {rules.count()} rules")
        assert tab.locator("section section").filter(visible=True).count() == 0
        assert complaints == []
