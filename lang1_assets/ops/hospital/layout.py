"""How sections become a note: headings, separators and the order of each style."""

from __future__ import annotations

import numpy as np
import polars as pl

from lang1_assets.ops.hospital.wording import NARRATIVE, PROBLEMS, TELEGRAPHIC, TEMPLATE, Pen, in_words_of

# Headings for narrative, problem-oriented, telegraphic and template notes; "" for none.
_SAME = {
    "copied": ("", "", "", "Copied Text: "),
    "expectation": ("", "Plan: ", "", "Expected Discharge: "),
    "plan": ("", "Plan: ", "", "Orders: "),
    "onset": ("", "HPI: ", "", "HPI: "),
    "medications": ("", "Medications: ", "", "Current Outpatient Medications: "),
    "history": ("Past medical history: ", "PMH: ", "PMH ", "Active Problem List: "),
}
HEADINGS: dict[str, dict[str, tuple[str, str, str, str]]] = {
    "hp": {
        **_SAME,
        "reason": ("", "CC: ", "", "Chief Complaint: "),
        "exam": ("", "Exam: ", "PE ", "Physical Exam: "),
        "vitals": ("Vital signs ", "Vitals: ", "VS ", "Vitals (most recent): "),
        "labs": ("Laboratory data ", "Labs: ", "", "Results Review: "),
        "goals": ("", "Code: ", "", "Advance Care Planning: "),
        "function": ("", "Function: ", "", "Functional Status: "),
        "coverage": ("Coverage: ", "Insurance: ", "ins ", "Utilization Management: "),
        "detail": ("", "", "", "Exam Detail: "),
        "social": ("", "SH: ", "SH ", "Social Drivers: "),
        "allergies": ("", "Allergies: ", "", "Allergies: "),
    },
    "discharge": {
        **_SAME,
        "reason": ("", "Reason for admission: ", "", "Principal Problem: "),
        "course": ("", "Hospital course: ", "", "Hospital Course: "),
        "admissions": ("", "Utilization: ", "", "Readmission Risk Review: "),
        "support": ("", "Social: ", "SH ", "Social Drivers: "),
        "adherence": ("", "Medication teaching: ", "", "Medication Adherence: "),
        "follow_up": ("", "Follow-up: ", "", "Follow-up Appointments: "),
        "pending": ("", "Condition: ", "", "Condition at Discharge: "),
        "labs": ("Last laboratory values ", "Labs: ", "", "Results at Discharge: "),
        "diet": ("", "Instructions: ", "", "Patient Instructions: "),
    },
    "other": {},
}
_ENDS = {NARRATIVE: ". ", PROBLEMS: ".\n", TELEGRAPHIC: "; ", TEMPLATE: "\n"}


def lay_out(
    parts: dict[str, pl.Series],
    orders: tuple[tuple[str, ...], ...],
    headings: dict[str, tuple[str, str, str, str]],
    pen: Pen,
    site: str,
) -> pl.Series:
    """One text a note: its sections in the order of its style, each under its heading; empty sections are left out."""
    frame = pl.DataFrame([part.alias(name) for name, part in parts.items()])
    texts, rows = [], []
    for style, order in enumerate(orders):
        here = np.flatnonzero(pen.style == style)
        if not len(here):
            continue
        shown = [
            pl.when(pl.col(name) != "").then(_headed(name, headings.get(name, ("",) * 4)[style], site))
            for name in order
        ]
        text = pl.concat_str(shown, separator=_ENDS[style], ignore_nulls=True)
        texts.append(
            frame[here]
            .select(pl.concat_str([text, pl.lit(_ENDS[style].strip() if style != TELEGRAPHIC else "")]))
            .to_series()
        )
        rows.append(here)
    back = np.argsort(np.concatenate(rows))
    return pl.concat(texts).gather(back)


def _headed(name: str, heading: str, site: str) -> pl.Expr:
    heading = in_words_of(site, heading)
    return pl.concat_str([pl.lit(heading), pl.col(name)]) if heading else pl.col(name)
