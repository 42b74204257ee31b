"""Banks of wordings, and picking from them for many notes at once."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import polars as pl

LONG, SHORT, NEW = range(3)
"""Forms of a wording: narrative, telegraphic, recent."""

NEWNESS_YEARS = (2003, 2010, 2014, 2018, 2020, 2021, 2022, 2023, 2024, 2030)
NEWNESS = (0.0, 0.01, 0.03, 0.08, 0.15, 0.22, 0.30, 0.38, 0.46, 0.8)
"""Chance that a sentence is in its recent wording, by year: the drift of language."""

# The external hospital says many of the same things in other words. Whole words, replaced in this order.
EXTERNAL_WORDS = {
    "Denies": "Does not report", "denies": "no c/o", "hospitalizations": "inpatient stays",
    "hospitalization": "inpatient stay", "Code status": "Resuscitation status", "DNR": "DNAR",
    "full code": "attempt resuscitation", "Authorization": "Precertification", "authorization": "precertification",
    "auth": "precert", "payer": "insurer", "Payer": "Insurer", "Anticipate": "Foresee", "shelter": "shelter system",
    "NAD": "comfortable", "HDS": "stable hemo", "Follow-up": "Aftercare", "f/u": "aftercare",
    "medications": "medicines", "meds": "rx", "discharge": "release", "d/c": "rel", "pressors": "vasoactives",
    "intubated": "ventilated", "Intubated": "Ventilated", "Family history": "Family background", "FHx": "FamHx",
    "CHF": "HF", "CKD": "CRF", "COPD": "COLD", "DM2": "AODM", "clinic": "practice", "PPO": "indemnity plan",
    "obs": "23h", "walker": "rollator", "Bedbound": "Bed confined", "bedbound": "bed confined",
}  # fmt: skip
_EXTERNAL = re.compile(r"(?<![\w/])(" + "|".join(map(re.escape, EXTERNAL_WORDS)) + r")(?![\w/])")


def in_words_of(site: str, text: str) -> str:
    """A wording as the site's authors write it."""
    if site != "external":
        return text
    return _EXTERNAL.sub(lambda match: EXTERNAL_WORDS[match.group()], text)


def with_typo(text: str, rng: np.random.Generator) -> str:
    """The text with two neighboring letters of one longer word exchanged, or one of them missing."""
    words = [match for match in re.finditer(r"[A-Za-z]{5,}", text)]
    if not words:
        return text
    word = words[rng.integers(len(words))]
    at = word.start() + int(rng.integers(1, len(word.group()) - 1))
    if rng.random() < 0.6:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]


class Bank:
    """The wordings of one slot: for each level and form some phrases, and each phrase once more with a typing error."""

    def __init__(self, levels: Iterable[tuple[str, str, str]], site: str, seed: int = 0) -> None:
        phrases: list[str] = []
        starts, counts = [], []
        for level in levels:
            forms = [in_words_of(site, form).split("|") for form in level]
            starts.append([len(phrases), len(phrases) + len(forms[0]), len(phrases) + len(forms[0]) + len(forms[1])])
            counts.append([len(form) for form in forms])
            phrases += [phrase for form in forms for phrase in form]
        rng = np.random.default_rng([seed, len(phrases)])
        self.num_phrases = len(phrases)
        self.num_levels = len(starts)
        self.starts, self.counts = np.array(starts), np.array(counts)
        self.texts = pl.Series(phrases + [with_typo(phrase, rng) for phrase in phrases] + [""])

    def indices(self, level: np.ndarray | int, pen: Pen) -> np.ndarray:
        """Where in `texts` the picked wordings lie."""
        form = pen.forms()
        counts = self.counts[level, form]
        picked = self.starts[level, form] + (pen.rng.random(len(form)) * counts).astype(np.int64)
        return picked + self.num_phrases * pen.typos()

    def pick(self, level: np.ndarray | int, pen: Pen, shown: np.ndarray | None = None) -> pl.Series:
        """One wording a note; an empty text where it is not shown."""
        indices = self.indices(level, pen)
        if shown is not None:
            indices = np.where(shown, indices, len(self.texts) - 1)
        return self.texts.gather(indices)


class Pen:
    """How the authors of a chunk of notes write: style, era and carelessness."""

    def __init__(self, style: np.ndarray, year: np.ndarray, typo_rate: np.ndarray, rng: np.random.Generator) -> None:
        self.style = style
        self.rng = rng
        self._newness = np.interp(year, NEWNESS_YEARS, NEWNESS)
        self._base = np.where(style == TELEGRAPHIC, SHORT, LONG)
        self._typo_rate = typo_rate

    def __len__(self) -> int:
        return len(self.style)

    def forms(self) -> np.ndarray:
        """A form for each note, drawn anew for every sentence."""
        return np.where(self.rng.random(len(self)) < self._newness, NEW, self._base)

    def typos(self) -> np.ndarray:
        return (self.rng.random(len(self)) < self._typo_rate).astype(np.int64)

    def chance(self, probability: float) -> np.ndarray:
        return self.rng.random(len(self)) < probability


NARRATIVE, PROBLEMS, TELEGRAPHIC, TEMPLATE = range(4)
"""Styles: paragraphs, problem-oriented with headings, telegraphic, and the electronic record's template."""

_STYLE_YEARS = (2003, 2012, 2018, 2024)
_STYLE_SHARES = np.array(
    [[0.45, 0.25, 0.30, 0.0], [0.38, 0.27, 0.30, 0.05], [0.30, 0.27, 0.25, 0.18], [0.20, 0.22, 0.20, 0.38]]
)


def style_of(author: np.ndarray, year: np.ndarray) -> np.ndarray:
    """Style of each note: an author keeps to one, and templates spread over the years."""
    shares = np.stack([np.interp(year, _STYLE_YEARS, column) for column in _STYLE_SHARES.T], axis=1)
    return (scatter(author)[:, None] >= np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1)


def scatter(numbers: np.ndarray) -> np.ndarray:
    """A number's own point in [0, 1), the same every time (golden-ratio hashing)."""
    return np.modf(numbers * 0.6180339887498949)[0]


def decimals(values: np.ndarray) -> pl.Series:
    """Values with one decimal as text."""
    return _TENTHS.gather(np.clip(np.rint(values * 10), 0, len(_TENTHS) - 1).astype(np.int64))


def integers(values: np.ndarray) -> pl.Series:
    return _UNITS.gather(np.clip(np.rint(values), 0, len(_UNITS) - 1).astype(np.int64))


_TENTHS = pl.Series([f"{tenth / 10:.1f}" for tenth in range(2000)])
_UNITS = pl.Series([str(unit) for unit in range(1000)])
