"""The text of admission notes (H&P) from the facts of their encounters."""

# ruff: noqa: E501  (tables of wordings and sections read better with a row a line)

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl

from lang1_assets.ops.hospital import phrases_admission as phrases
from lang1_assets.ops.hospital import shared_parts
from lang1_assets.ops.hospital.layout import HEADINGS, lay_out
from lang1_assets.ops.hospital.simulate import Visits
from lang1_assets.ops.hospital.wording import Bank, Pen, decimals, integers

_PRESENTS: phrases.Level = (
    " presents with | is admitted with | was brought in for ", " p/w | adm for | here for ", " presenting with | admitted via the ED for "
)  # fmt: skip
# How vital signs follow what is said about severity; they add no information beyond it.
_HEART_RATE = np.array([76, 88, 102, 118, 126])
_SYSTOLIC = np.array([130, 124, 108, 90, 80])
_SATURATION = np.array([98, 97, 94, 90, 89])
_RESPIRATIONS = np.array([15, 17, 21, 26, 24])
LACTATE_RANGES = np.array([[0.6, 1.9], [2.1, 3.9], [4.1, 9.4]])
"""Millimoles a liter, for the three levels."""

COPIED_SLOTS = ("severity", "goals", "function", "expectation", "authorization", "level_of_care")
COPIED_CHANCE = 0.35
NEGATION_CHANCE = 0.75
FAMILY_CHANCE = 0.40

ORDERS = (
    ("reason", "history", "exam", "vitals", "labs", "negated", "goals", "function", "expectation", "coverage", "copied", "family", "onset", "pertinent", "medications", "allergies", "social", "detail"),
    ("reason", "vitals", "labs", "exam", "history", "copied", "function", "goals", "coverage", "expectation", "negated", "family", "medications", "onset", "pertinent", "social", "detail", "plan"),
    ("reason", "history", "negated", "exam", "vitals", "labs", "function", "goals", "copied", "expectation", "coverage", "pertinent", "family", "allergies", "medications", "detail", "plan"),
    ("reason", "coverage", "goals", "history", "family", "exam", "function", "vitals", "labs", "expectation", "copied", "negated", "onset", "medications", "allergies", "pertinent", "detail"),
)  # fmt: skip
"""The sections of each style, in order. What moves an outcome comes early, because models read truncated notes."""


@lru_cache(maxsize=4)
def banks(site: str) -> dict[str, Bank]:
    """Every bank of the admission note."""
    levels = {
        name: getattr(phrases, name.upper())
        for name in ("severity", "goals", "function", "expectation", "payer", "authorization", "level_of_care")
    }
    single = {
        name: [getattr(phrases, name.upper())]
        for name in (
            "onset",
            "pertinent_negatives",
            "medications",
            "allergies",
            "social",
            "plan",
            "exam_detail",
            "lactate_label",
            "copied_frame",
        )
    }
    frames = {
        "negation": [frame for frame, _, _ in phrases.NEGATION_FRAMES],
        "family": [frame for frame, _, _ in phrases.FAMILY_FRAMES],
        "presents": [_PRESENTS],
    }
    return {name: Bank(value, site) for name, value in {**levels, **single, **frames}.items()}


def admission_texts(visits: Visits, pen: Pen, site: str) -> pl.Series:
    """One admission note for each entry of `visits`."""
    parts = sections(visits, pen, site)
    return lay_out(parts, ORDERS, HEADINGS["hp"], pen, site)


def sections(visits: Visits, pen: Pen, site: str) -> dict[str, pl.Series]:
    """The sentences of the notes by section, without headings."""
    bank = banks(site)
    level = visits.facts
    age, sex = visits.people.age, visits.sex
    return {
        "reason": _joined(
            shared_parts.who(age, sex, pen), bank["presents"].pick(0, pen), shared_parts.bank("scenario", site).pick(visits.people.scenario, pen)
        ),
        "history": shared_parts.condition_list(visits.stated, age, site, pen),
        "exam": bank["severity"].pick(level["severity"], pen),
        "vitals": vitals(level["severity"], pen),
        "labs": labs(level["lactate"], bank["lactate_label"], pen),
        "negated": _conditions_that_do_not_count(visits, "negation", pen, site),
        "family": _conditions_that_do_not_count(visits, "family", pen, site),
        "goals": bank["goals"].pick(level["goals"], pen, (level["goals"] > 0) | pen.chance(0.6)),
        "function": bank["function"].pick(level["function"], pen),
        "expectation": bank["expectation"].pick(level["expectation"], pen),
        "coverage": shared_parts.join_shown([bank[name].pick(level[name], pen) for name in ("payer", "authorization", "level_of_care")], "; "),
        "copied": copied_forward(bank, COPIED_SLOTS, COPIED_CHANCE, pen),
        "onset": bank["onset"].pick(0, pen),
        "pertinent": bank["pertinent_negatives"].pick(0, pen),
        "medications": bank["medications"].pick(0, pen),
        "allergies": bank["allergies"].pick(0, pen),
        "social": bank["social"].pick(0, pen),
        "plan": bank["plan"].pick(0, pen),
        "detail": bank["exam_detail"].pick(0, pen),
    }  # fmt: skip


def _joined(*columns: pl.Series | pl.Expr) -> pl.Series:
    return pl.select(pl.concat_str(list(columns))).to_series()


def vitals(severity: np.ndarray, pen: Pen) -> pl.Series:
    """Temperature, heart rate, blood pressure, respirations and saturation around what fits the severity."""
    noise = pen.rng.standard_normal((5, len(pen)))
    systolic = _SYSTOLIC[severity] + 8 * noise[2]
    columns = {
        "T ": decimals(98.6 + 0.7 * noise[0]),
        " HR ": integers(_HEART_RATE[severity] + 7 * noise[1]),
        " BP ": integers(systolic),
        "/": integers(0.6 * systolic + 4 * noise[3]),
        " RR ": integers(_RESPIRATIONS[severity] + 1.5 * noise[4]),
        " SpO2 ": integers(np.minimum(_SATURATION[severity] + noise[0], 100)),
    }
    return _joined(*(part for label, value in columns.items() for part in (pl.lit(label), value)), pl.lit("%"))


def labs(lactate: np.ndarray, label: Bank, pen: Pen) -> pl.Series:
    """Laboratory values, of which only the lactate carries risk."""
    low, high = LACTATE_RANGES[lactate].T
    values = pen.rng.random((4, len(pen)))
    return _joined(
        pl.lit("WBC "), decimals(4.5 + 9 * values[0]), pl.lit(", Na "), integers(132 + 11 * values[1]), pl.lit(", "),
        label.pick(0, pen), pl.lit(" "), decimals(low + (high - low) * values[2]), pl.lit(", Cr "), decimals(0.6 + 0.9 * values[3]),
    )  # fmt: skip


def _conditions_that_do_not_count(visits: Visits, kind: str, pen: Pen, site: str) -> pl.Series:
    frames = phrases.NEGATION_FRAMES if kind == "negation" else phrases.FAMILY_FRAMES
    first, second = shared_parts.two_other_conditions(visits.stated, visits.people.age, pen, kind == "negation")
    terms = shared_parts.bank("condition", site)
    shown = pen.chance(NEGATION_CHANCE if kind == "negation" else FAMILY_CHANCE)
    both = shown & pen.chance(0.6)
    frame = pen.rng.integers(0, len(frames), len(pen))
    between = pl.Series([words for _, words, _ in frames] + [""]).gather(np.where(both, frame, len(frames)))
    opening = banks(site)[kind].pick(frame, pen, shown)
    return _joined(opening, terms.pick(first, pen, shown), between, terms.pick(second, pen, both))


def copied_forward(bank: dict[str, Bank], slots: tuple[str, ...], chance: float, pen: Pen) -> pl.Series:
    """A sentence of an earlier note, marked as such: any level of any slot, whatever is true today."""
    shown = pen.chance(chance)
    which = pen.rng.integers(0, len(slots), len(pen))
    columns = [bank["copied_frame"].pick(0, pen, shown), pl.Series([": ", ""]).gather(np.where(shown, 0, 1))]
    for index, name in enumerate(slots):
        level = pen.rng.integers(0, bank[name].num_levels, len(pen))
        columns.append(bank[name].pick(level, pen, shown & (which == index)))
    return _joined(*columns)
