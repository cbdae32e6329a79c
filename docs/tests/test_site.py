"""The built site in a real browser, every page of it, at the width of a phone, in the light and in the dark.

`nox -s docs` builds the site and names it in RERANK_SITE. They need Chromium as `chromium` on the PATH, and Playwright to drive
it; where one is missing they skip and say so.
"""

import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest

SITE = Path(os.environ.get("RERANK_SITE", "")).resolve()
if not os.environ.get("RERANK_SITE"):
    pytest.skip("the site is built and looked at by `nox -s docs`", allow_module_level=True)
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium on the PATH: `apt-get install chromium`", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: `pip install playwright`")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 360, "height": 740}
PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
DRAWN = "docs/redoc.html"
FIRST = "index.html"

WHAT_IS_THERE = """
() => ({
  links: [...document.links].map((one) => one.href),
  ids: [...document.querySelectorAll("[id], a[name]")].map((one) => one.id || one.name),
  sections: [...document.querySelectorAll("[data-section-id]")].map((one) => one.dataset.sectionId),
  text: document.body.innerText,
  headings: [...document.querySelectorAll("h1")].map((one) => one.innerText),
  title: document.title,
  language: document.documentElement.lang,
})
"""
WIDTH = "document.documentElement.scrollWidth"
# the ground behind the text, and the colour of the text
COLOURS = """
() => {
  const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).reduce((sum, one) => sum + Number(one), 0);
  const text = document.querySelector("article[role=main] p, .api-content p");
  let ground = text;
  while (ground.parentElement && getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
  return [rgb(getComputedStyle(ground).backgroundColor), rgb(getComputedStyle(text).color)];
}
"""


@dataclass
class Looked:
    """What was seen of a page."""

    url: str
    links: list[str]
    ids: set[str]
    text: str
    headings: list[str]
    title: str
    language: str
    width: dict[str, int] = field(default_factory=dict)
    colours: dict[str, list[float]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that keeps no log."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    """The site over HTTP on loopback, stopped at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    """A Chromium, closed at the end."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, address, page, **options):
    """A page as a phone shows it, what the browser complained of, and what was asked of other hosts."""
    complaints, elsewhere = [], []
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, **options)
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
    """What was seen of each page, by its name."""
    seen = {}
    for page in PAGES:
        if page == FIRST:
            continue
        with opened(browser, address, page) as (tab, complaints, elsewhere):
            there = tab.evaluate(WHAT_IS_THERE)
            ids = {*there.pop("ids"), *there.pop("sections")}
            seen[page] = Looked(tab.url, ids=ids, complaints=complaints, elsewhere=elsewhere, **there)
            for scheme in ("light", "dark"):
                tab.emulate_media(color_scheme=scheme)
                if page == DRAWN:  # it is drawn once, in the colours that it finds
                    tab.reload()
                    tab.locator("[data-section-id]").first.wait_for()
                seen[page].width[scheme] = tab.evaluate(WIDTH)
                seen[page].colours[scheme] = tab.evaluate(COLOURS)
    return seen


@pytest.fixture(params=[page for page in PAGES if page != FIRST])
def page(request, looked):
    """Each page."""
    return looked[request.param]


def test_there_is_a_site():
    """The site has the page of each kind of user, and those that are made of the programs."""
    wanted = {
        f"docs/{name}.html"
        for name in (
            "index",
            "guides/application",
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


def test_loads(page):
    """The page has a language, a title and something to read, and the browser has nothing to complain of."""
    assert page.complaints == []
    assert page.language == "en"
    assert page.title
    assert len(page.headings) <= 1
    assert len(page.text) > 100


def test_asks_nobody_else(page):
    """Nothing that the page shows comes from another host."""
    assert page.elsewhere == []


def test_links(page, looked, address):
    """Each link within the site leads to a page that is there, and to a place that is on it."""
    broken = []
    for link in page.links:
        if not link.startswith(address):
            continue
        target, place = urldefrag(link)
        name = unquote(target.removeprefix(address)) or FIRST
        if not (SITE / name).is_file() or (
            place and name in looked and unquote(place) not in looked[name].ids
        ):
            broken.append(link)
    assert broken == []
    assert any(link.startswith(address) for link in page.links)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(page, scheme):
    """At 360 pixels nothing reaches over the edge of the page."""
    assert page.width[scheme] == PHONE["width"]


def test_dark(page):
    """Who likes it dark gets light text on a dark ground, and who does not the other way round."""
    ground, text = page.colours["light"]
    assert ground > 600
    assert text < 350
    ground, text = page.colours["dark"]
    assert ground < 150
    assert text > 500


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
            "guides/application" in href
            for href in tab.evaluate("[...document.links].map((one) => one.href)")
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
