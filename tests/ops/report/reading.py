"""A page as its readers get it: parsed, in a browser of some width, and printed."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


class Page(HTMLParser):
    """Checks nesting while it reads and keeps what the tests ask about."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read(folder) -> tuple[str, Page]:
    html = (folder / "index.html").read_text()
    page = Page()
    page.feed(html)
    assert page.open == []
    return html, page


def browser(tmp_path: Path, *arguments: str) -> str:
    """What headless Chromium says; it asks nothing of any network."""
    return subprocess.run(
        [
            "chromium",
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--allow-file-access-from-files", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--window-size=1400,1000", "--virtual-time-budget=2000"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def content_width(page: Path, width: int, tmp_path: Path) -> int:
    """The page in a frame of that width reports how wide its content is."""
    probe = tmp_path / "probe.html"
    probe.write_text(
        f'<iframe id="f" src="{page.as_uri()}" style="width:{width}px;height:900px;border:0"></iframe>'
        "<script>onload = () => { const d = document.getElementById('f').contentDocument.documentElement;"
        "document.title = d.scrollWidth + ' of ' + d.clientWidth; }</script>"
    )
    shown = browser(tmp_path, "--dump-dom", probe.as_uri())
    found = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert found, shown[:300]
    assert int(found[2]) == width
    return int(found[1])


def printed_pages(page: Path, tmp_path: Path) -> int:
    printed = tmp_path / "printed.pdf"
    browser(tmp_path, f"--print-to-pdf={printed}", page.as_uri())
    return len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))
