"""Make the pictures of the README from real runs: a ranking on a terminal, and the report on a broken server.

`nox -s docs` runs it. A picture is written again only if it shows something else than before, apart from durations and ports.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from hashlib import sha256
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "contract_tests"))

from chromium import ARGUMENTS, CHROMIUM, PATIENCE

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/pictures"
COLUMNS = 96
RANK = (
    'rerank rank --explain --local --top-n 5 "I have lost a book, what does it cost me?" examples/library.txt'
)
BROKEN = "answer.index-unique"
WIDTH, HEIGHT = 1280, 900
LIMIT = 200_000
"""The largest size of a picture in bytes."""
_SIGNATURE = 33
"""The bytes of a PNG before its first optional chunk: the signature and IHDR."""


def program(command: str) -> list[str]:
    """Return a command of this project with the path of its installed script."""
    name, _, rest = command.partition(" ")
    script = str(Path(sysconfig.get_path("scripts"), name))
    return ["bash", "-c", f'"$0" {rest}', script]


def stable(text: str) -> str:
    """Return the text without what differs between two runs: durations and ports."""
    text = re.sub(r"\d+\.\d+(?=(&#160;|\s)s\b)", "0", text)
    return re.sub(r"(?<=127\.0\.0\.1:)\d+|(?<=Seconds\n)[\d.]+", "0", text)


def terminal() -> bytes:
    """Run the ranking on a terminal in colour, and draw it as SVG."""
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {
        "COLUMNS": str(COLUMNS),
        "FORCE_COLOR": "1",
        "TERM": "xterm-256color",
        "PYTHONIOENCODING": "utf-8",
    }
    ran = subprocess.run(program(RANK), cwd=ROOT, env=environment, capture_output=True, check=True)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, legacy_windows=False)
        shown = RANK.replace(' "', ' \\\n    "')
        console.print(Text(f"$ {shown}", "bold"))
        console.print(Text.from_ansi(ran.stdout.decode().rstrip()))
        drawn = console.export_svg(title="rerank", unique_id="rerank")
    # a picture loads no font from another host
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"Fira Code(?=,)", "ui-monospace", drawn)
    return ("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n").encode()


def report(page: Path) -> None:
    """Check a broken server, and write the report as a page."""
    with subprocess.Popen(
        program(f"rerank-conformance serve --broken {BROKEN} --port 0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as server:
        try:
            url = server.stdout.readline().strip() if server.stdout else ""
            check = f"rerank-conformance check {url} --quick --seed 1 --html '{page}'"
            ran = subprocess.run(program(check), capture_output=True, encoding="utf-8", check=False)
        finally:
            server.terminate()
    if ran.returncode != 1:  # the code of a server that is not conformant
        sys.exit(f"the check of a broken server ended with {ran.returncode}: {ran.stderr}")


def screenshot() -> bytes:
    """Show the report in Chromium, with its first cause open, and take a picture of its top."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        page = Path(scratch, "report.html")
        report(page)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        context.set_default_timeout(PATIENCE)
        tab = context.new_page()
        tab.goto(page.as_uri())
        tab.locator("details").first.evaluate("details => { details.open = true }")
        text = tab.inner_text("body")
        taken = tab.screenshot()
        browser.close()
    return labelled(taken, sha256(stable(text).encode()).hexdigest())


def labelled(png: bytes, text: str) -> bytes:
    """Return the PNG with a comment, by which two pictures of the same text are recognized."""
    chunk = b"tEXtComment\0" + text.encode()
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:_SIGNATURE] + whole + png[_SIGNATURE:]


def content(picture: bytes) -> str:
    """Return what a picture shows, apart from durations and ports."""
    if picture.startswith(b"\x89PNG"):
        _, _, rest = picture.partition(b"tEXtComment\0")
        return rest[:64].decode("ascii", "replace")
    return stable(picture.decode())


def main() -> None:
    """Make the pictures, and write those that show something else than before."""
    if CHROMIUM is None:
        sys.exit("the pictures need chromium on the PATH: `apt-get install chromium`")
    PICTURES.mkdir(exist_ok=True)
    for name, make in (("rank.svg", terminal), ("conformance.png", screenshot)):
        file, made = PICTURES / name, make()
        if len(made) > LIMIT:
            sys.exit(f"docs/pictures/{name} has {len(made):,} bytes; keep it under {LIMIT:,}")
        if not file.is_file() or content(file.read_bytes()) != content(made):
            file.write_bytes(made)


if __name__ == "__main__":
    main()
