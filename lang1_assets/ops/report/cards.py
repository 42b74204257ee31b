"""A model card's Markdown as HTML that fits into the page: its headings go below the page's, its tables get captions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

FIRST_LEVEL, LAST_LEVEL = 3, 6
"""Cards stand under headings of the second level."""


def card_html(text: str, name: str) -> str:
    """Safe to put into a page: HTML inside the card stays text, and nothing is fetched (no images)."""
    markdown = _markdown()
    tokens = markdown.parse(text)
    lower_headings(tokens)
    name_rows_and_columns(tokens)
    return str(markdown.renderer.render(captioned(tokens, name), markdown.options, {}))


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def lower_headings(tokens: Sequence[Token]) -> None:
    """From `FIRST_LEVEL` on and one level at a time, whatever levels the card uses."""
    open_levels: list[int] = []
    for token in tokens:
        if token.type == "heading_open":
            own = int(token.tag[1:])
            while open_levels and open_levels[-1] >= own:
                open_levels.pop()
            open_levels.append(own)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(FIRST_LEVEL + len(open_levels) - 1, LAST_LEVEL)}"


def name_rows_and_columns(tokens: Sequence[Token]) -> None:
    """A scope for each header; the first cell of a row names the row, as in the page's own tables."""
    is_first = False
    for place, token in enumerate(tokens):
        if token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "tr_open":
            is_first = True
        elif token.type == "td_open" and is_first:
            is_first = False
            token.attrSet("scope", "row")
            # A cell is three tokens: it opens, its words, it closes.
            token.tag = tokens[place + 2].tag = "th"


def captioned(tokens: Sequence[Token], name: str) -> list[Token]:
    """Each table named after the heading it stands under, in a box of its own that scrolls.

    The box bears the name too: it takes the focus, so that it scrolls without a mouse, and a screen reader says where that is.
    """
    found: list[Token] = []
    heading = name
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[place + 1].content
        if token.type == "table_close":
            found += [token, html_token("</div>\n")]
            continue
        if token.type == "table_open":
            box = f'<div class="table-box" role="region" aria-label="{escape(heading)}" tabindex="0">\n'
            found += [html_token(box), token, *caption_tokens(heading)]
            continue
        found.append(token)
    return found


def caption_tokens(words: str) -> list[Token]:
    inside = Token("text", "", 0, content=words)
    return [
        Token("caption_open", "caption", 1),
        Token("inline", "", 0, children=[inside]),
        Token("caption_close", "caption", -1),
    ]


def html_token(html: str) -> Token:
    return Token("html_block", "", 0, content=html)
