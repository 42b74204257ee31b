"""Text of HTML and XHTML.

HTML goes through lxml: it reads what browsers read, and no nesting is too deep and no text too long for it. The standard
library's html.parser takes twice as long (4 MB/s against 10, same text), and the square of the length where tags are
left unclosed.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache

from lxml import etree

SKIPPED = frozenset({"head", "title", "script", "style", "template"})
PARAGRAPH, LINE, CELL, BREAK = "\x1d", "\x1e", "\x1f", "\x1c"
"""Control characters without meaning in a text."""
PARAGRAPH_TAGS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "pre", "blockquote", "hr")
LINE_TAGS = (
    "div",
    "li",
    "tr",
    "dt",
    "dd",
    "caption",
    "section",
    "article",
    "header",
    "footer",
    "address",
    "aside",
    "main",
)
BLOCK_MARKS = {**dict.fromkeys(PARAGRAPH_TAGS, PARAGRAPH), **dict.fromkeys(LINE_TAGS, LINE)}
START_MARKS = {**BLOCK_MARKS, "td": CELL, "th": CELL, "br": BREAK}
SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
GAP = re.compile(f" ?[{PARAGRAPH}{LINE}{CELL}{BREAK}][ {PARAGRAPH}{LINE}{CELL}{BREAK}]*")
PREFORMATTED = str.maketrans(" \t\n", "\x11\x12\x13")
UNFORMATTED = str.maketrans("\x11\x12\x13", " \t\n")
"""White space that stays as it is."""


class UnreadableError(ValueError):
    """There is no text; the message is the reject reason alone."""


def html_text(markup: str) -> str:
    """Text of HTML or XHTML as a browser shows it, in lines: paragraphs have a blank line between, cells a tab.

    Raises:
        UnreadableError: the parser gave up.
    """
    parser = etree.HTMLParser(target=TextTarget(), encoding="utf-8", huge_tree=True)
    try:
        parser.feed(without_cdata(markup).encode())
        text: str = parser.close()
    except etree.LxmlError:
        raise UnreadableError("unreadable_format") from None
    return text


def without_cdata(markup: str) -> str:
    """XHTML may have text in CDATA sections, which HTML takes for comments."""
    first, *others = markup.split("<![CDATA[")
    parts = (other.partition("]]>") for other in others)
    return first + "".join(html.escape(inside) + after for inside, _, after in parts)


class TextTarget:
    """Collects text from the parser's events, with marks for what breaks it: cheaper than looking back at each event."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._num_skipped = 0
        self._num_preformatted = 0

    def start(self, tag: str, attributes: object) -> None:
        if tag in START_MARKS:
            self._parts.append(START_MARKS[tag])
        self._num_skipped += tag in SKIPPED
        self._num_preformatted += tag == "pre"

    def end(self, tag: str) -> None:
        if tag in BLOCK_MARKS:
            self._parts.append(BLOCK_MARKS[tag])
        self._num_skipped -= tag in SKIPPED
        self._num_preformatted -= tag == "pre"

    def data(self, text: str) -> None:
        if not self._num_skipped:
            self._parts.append(text.translate(PREFORMATTED) if self._num_preformatted else text)

    def close(self) -> str:
        single = SPACES.sub(" ", "".join(self._parts))
        broken = GAP.sub(lambda found: gap(found[0]), single)
        return broken.translate(UNFORMATTED).strip()


@lru_cache(maxsize=1024)
def gap(marks: str) -> str:
    """What stands between two texts for the marks that were between them."""
    num_breaks = max(2 * (PARAGRAPH in marks), int(LINE in marks), marks.count(BREAK))
    return "\n" * num_breaks or "\t"
