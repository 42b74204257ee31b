"""The texts of discharge notes, progress notes, radiology and pathology reports."""

# ruff: noqa: E501  (tables of wordings and sections read better with a row a line)

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl

from lang1_assets.ops.hospital import phrases_admission, phrases_discharge, phrases_other, shared_parts
from lang1_assets.ops.hospital.admission_note import copied_forward, vitals
from lang1_assets.ops.hospital.layout import HEADINGS, lay_out
from lang1_assets.ops.hospital.simulate import Visits
from lang1_assets.ops.hospital.wording import Bank, Pen, decimals, integers

HEMOGLOBIN_RANGES = np.array([[10.1, 15.0], [8.1, 9.9], [6.4, 7.9]])
"""Grams a deciliter, for the three levels."""
DISCHARGE_SLOTS = ("admissions", "adherence", "support", "follow_up", "pending")
COPIED_CHANCE = 0.35

_ADMITTED: phrases_admission.Level = (
    " was admitted with | was treated for ", " adm w/ | treated for ", " hospitalized for | was treated for "
)  # fmt: skip
DISCHARGE_ORDERS = (
    ("reason", "admissions", "course", "pending", "history", "labs", "support", "copied", "adherence", "follow_up", "medications", "detail", "diet", "teaching", "precautions"),
    ("reason", "history", "course", "pending", "admissions", "copied", "labs", "adherence", "support", "follow_up", "medications", "detail", "diet", "teaching", "precautions"),
    ("reason", "course", "admissions", "labs", "history", "pending", "support", "adherence", "follow_up", "copied", "medications", "detail", "teaching", "diet", "general"),
    ("reason", "history", "admissions", "support", "adherence", "follow_up", "copied", "labs", "pending", "course", "medications", "detail", "precautions", "teaching", "diet", "general"),
)  # fmt: skip


@lru_cache(maxsize=4)
def banks(site: str) -> dict[str, Bank]:
    """Every bank of these notes."""
    discharge = {name: getattr(phrases_discharge, name.upper()) for name in DISCHARGE_SLOTS}
    single = {
        "course": phrases_discharge.COURSE,
        "diet": phrases_discharge.DIET,
        "detail": phrases_discharge.STATUS_DETAIL,
        "teaching": phrases_discharge.TEACHING,
        "precautions": phrases_discharge.RETURN_PRECAUTIONS,
        "medications": phrases_discharge.DISCHARGE_MEDICATIONS,
        "hemoglobin_label": phrases_discharge.HEMOGLOBIN_LABEL,
        "copied_frame": phrases_admission.COPIED_FRAME,
        "admitted": _ADMITTED,
        "impression": phrases_other.RADIOLOGY_IMPRESSION,
        "addendum": phrases_other.ADDENDUM,
        "general": phrases_other.GENERAL,
    }
    reports = {
        f"{name}_{index}": [level]
        for name in ("progress", "radiology", "pathology")
        for index, level in enumerate(getattr(phrases_other, name.upper()))
    }
    levels = {**discharge, **{name: [level] for name, level in single.items()}, **reports}
    return {name: Bank(value, site) for name, value in levels.items()}


def discharge_texts(visits: Visits, pen: Pen, site: str) -> pl.Series:
    """One discharge note for each entry of `visits`."""
    return lay_out(discharge_sections(visits, pen, site), DISCHARGE_ORDERS, HEADINGS["discharge"], pen, site)


def discharge_sections(visits: Visits, pen: Pen, site: str) -> dict[str, pl.Series]:
    """The sentences of the notes by section, without headings."""
    bank = banks(site)
    level = visits.facts
    scenario = shared_parts.bank("scenario", site).pick(visits.people.scenario, pen)
    reason = [shared_parts.who(visits.people.age, visits.sex, pen), bank["admitted"].pick(0, pen), scenario]
    return {
        "reason": pl.select(pl.concat_str(reason)).to_series(),
        "history": shared_parts.condition_list(visits.stated, visits.people.age, site, pen),
        "labs": discharge_labs(level["hemoglobin"], bank["hemoglobin_label"], pen),
        "copied": copied_forward(bank, DISCHARGE_SLOTS, COPIED_CHANCE, pen),
        **{name: bank[name].pick(level[name], pen) for name in DISCHARGE_SLOTS},
        **{
            name: bank[name].pick(0, pen)
            for name in ("course", "diet", "precautions", "medications", "general", "detail", "teaching")
        },
    }


def discharge_labs(hemoglobin: np.ndarray, label: Bank, pen: Pen) -> pl.Series:
    """Laboratory values, of which only the hemoglobin carries risk."""
    low, high = HEMOGLOBIN_RANGES[hemoglobin].T
    values = pen.rng.random((4, len(pen)))
    return pl.select(
        pl.concat_str(
            pl.lit("WBC "), decimals(4.5 + 7 * values[0]), pl.lit(", "), label.pick(0, pen), pl.lit(" "),
            decimals(low + (high - low) * values[1]), pl.lit(", Na "), integers(133 + 10 * values[2]), pl.lit(", K "),
            decimals(3.4 + 1.4 * values[3]),
        )
    ).to_series()  # fmt: skip


def report_texts(kind: str, visits: Visits, pen: Pen, site: str) -> pl.Series:
    """Progress notes, radiology or pathology reports: `kind` is one of `progress`, `radiology`, `pathology`."""
    bank = banks(site)
    names = [name for name in bank if name.startswith(f"{kind}_")]
    parts = {name: bank[name].pick(0, pen) for name in names}
    opening = [shared_parts.who(visits.people.age, visits.sex, pen), pl.lit(", ")]
    opening.append(shared_parts.bank("scenario", site).pick(visits.people.scenario, pen))
    parts["reason"] = pl.select(pl.concat_str(opening)).to_series()
    if kind == "progress":
        parts["vitals"] = vitals(np.maximum(visits.facts["severity"] - 1, 0), pen)
        names.insert(1, "vitals")
    more = bank["general"].pick(0, pen)
    order = ("reason", *names, "general")
    return lay_out({**parts, "general": more}, (order,) * 4, HEADINGS["other"], pen, site)


def impressions(pen: Pen, site: str) -> pl.Series:
    """Impressions of radiology reports."""
    return banks(site)["impression"].pick(0, pen)


def addenda(pen: Pen, site: str, chance: float = 0.12) -> pl.Series:
    """Addenda of attending physicians, most of them empty."""
    return banks(site)["addendum"].pick(0, pen, pen.chance(chance))
