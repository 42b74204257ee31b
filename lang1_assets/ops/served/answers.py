"""Which option a written answer chooses: strict, because a guess would be scored as the model's own answer.

Valid is an answer whose first word is an option letter, in upper case:

    A          B.         **C**      (D)        "A"        Option B      Answer: C      The answer is D.
    B. No      C) 3 to 5 days        A - No     D: more than 5 days

- A letter in front of more words needs `.`, `)`, `:`, `,`, `-` or a closing mark after it: "A patient ..." chooses nothing.
- A second letter of the task in the same form ("A. No B. Yes", "A or B", "not A. B") makes the answer ambiguous: invalid.
- A finished `<think> ... </think>` in front is skipped; an unfinished one is an answer that never came.
- Everything else is invalid: lower case, words without a letter, refusals, nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MARKS = r"[\s\"'`*_\[(]*+"
LEAD = rf"{MARKS}(?:(?:(?:the|my)\s+)?(?:(?:final|correct|best)\s+)?answer\s*(?:is|:)?\s*:?)?{MARKS}(?:option|choice)?"
CLOSING = r"[\"'`*_\])]"
START = re.compile(
    rf"^(?i:{LEAD}){MARKS}(?P<letter>[A-Z])(?P<rest>{CLOSING}*\s*(?:[.:,)\u2013\u2014-].*|{CLOSING}.*|\n.*)?)$", re.S
)
OTHERS = re.compile(r"(?<![A-Za-z0-9])(?P<letter>[A-Z])(?=\s*(?:[.):,]|$|\n)|[\"'`*_\]])")
THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.S)


def parse_answer(text: str | None, letters: Sequence[str]) -> int | None:
    """Index of the option that an answer chooses, None for an invalid answer."""
    matched = START.match(THOUGHT.sub("", text or "", count=1).strip())
    if matched is None or matched["letter"] not in letters:
        return None
    others = {other["letter"] for other in OTHERS.finditer(matched["rest"])} & set(letters)
    return None if others - {matched["letter"]} else list(letters).index(matched["letter"])
