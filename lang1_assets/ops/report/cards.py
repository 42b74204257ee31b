"""A model card's Markdown as HTML that fits into the page: its headings go below the page's, its tables get captions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

FIRST_LEVEL, LAST_LEVEL = 3, 6
"""Cards stand under headings of the second level."""


def card_html(text: str, name: str) -> str:
    """Safe to put into a page: HTML inside the card stays text, and nothing is fetched (no images)."""
    markdown = _markdown()
    tokens = markdown.parse(text)
    lower_headings(tokens)
    html = str(markdown.renderer.render(captioned(tokens, name), markdown.options, {}))
    return html.replace("<th>", '<th scope="col">').replace("<th style", '<th scope="col" style')


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


def captioned(tokens: Sequence[Token], name: str) -> list[Token]:
    """Each table named after the heading it stands under, in a box of its own that scrolls."""
    found: list[Token] = []
    heading = name
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[place + 1].content
        if token.type == "table_close":
            found += [token, html_token("</div>\n")]
            continue
        if token.type == "table_open":
            found += [html_token('<div class="table-box" tabindex="0">\n'), token, *caption_tokens(heading)]
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
