"""Which notes are written when and by whom, and their rows, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from lang1_assets.ops.hospital import other_notes
from lang1_assets.ops.hospital.admission_note import admission_texts
from lang1_assets.ops.hospital.encounters import Hospital
from lang1_assets.ops.hospital.tables import time_texts
from lang1_assets.ops.hospital.wording import Pen, scatter, style_of

CHUNK_ROWS = 20_000
WRITTEN_TYPES = ("hp", "discharge", "progress", "radiology", "pathology")
HP, DISCHARGE, PROGRESS, RADIOLOGY, PATHOLOGY = range(len(WRITTEN_TYPES))
MISSING_CHANCE, SECOND_CHANCE = 0.015, 0.02
NUM_OTHER_NOTES = {PROGRESS: 0.5, RADIOLOGY: 0.35, PATHOLOGY: 0.15}
"""Mean number an encounter."""
_HOURS_TO_HP = 20.0
_AUTHORS_PER_DEPARTMENT = 14
_YEARS_PER_AUTHOR = 5


@dataclass(frozen=True, kw_only=True)
class NotePlan:
    """One entry a note, in order of writing."""

    encounter: np.ndarray
    kind: np.ndarray
    """Index into `WRITTEN_TYPES`."""
    time: np.ndarray
    year: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)


def plan_notes(hospital: Hospital, rng: np.random.Generator) -> NotePlan:
    """Admission notes within a day, discharge notes of survivors before they leave, others in between."""
    visits = hospital.visits
    own = ~visits.is_follow_up
    stay = (visits.discharge_time - visits.admit_time).astype(float) / 3600
    parts = []
    for kind, wanted in ((HP, own), (DISCHARGE, own & (visits.died == 0))):
        copies = 1 + (rng.random(len(visits)) < SECOND_CHANCE) - (rng.random(len(visits)) < MISSING_CHANCE)
        rows = np.repeat(np.arange(len(visits)), np.where(wanted, copies, 0))
        late, point = stay[rows], rng.random(len(rows))
        hours = (
            np.minimum(_HOURS_TO_HP, 0.6 * late) * point if kind == HP else late - np.minimum(8.0, 0.3 * late) * point
        )
        parts.append((rows, np.full(len(rows), kind), hours))
    for kind, mean in NUM_OTHER_NOTES.items():
        rows = np.repeat(np.arange(len(visits)), np.where(own, rng.poisson(mean, len(visits)), 0))
        parts.append((rows, np.full(len(rows), kind), stay[rows] * (0.1 + 0.85 * rng.random(len(rows)))))
    row, kinds, hours = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    time = visits.admit_time[row] + (hours * 3600).astype(int).astype("timedelta64[s]")
    order = np.lexsort((kinds, row, time))
    return NotePlan(encounter=row[order], kind=kinds[order], time=time[order], year=_years(time[order]))


def _years(time: np.ndarray) -> np.ndarray:
    return time.astype("datetime64[Y]").astype(int) + 1970


def note_chunks(hospital: Hospital, plan: NotePlan) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows of the notes, year by year, at most `CHUNK_ROWS` at a time."""
    for year in np.unique(plan.year):
        rows = np.flatnonzero(plan.year == year)
        for chunk, start in enumerate(range(0, len(rows), CHUNK_ROWS)):
            rng = np.random.default_rng([hospital.config.seed, 5, int(year), chunk])
            yield int(year), _note_rows(hospital, plan, rows[start : start + CHUNK_ROWS], rng)


def _note_rows(hospital: Hospital, plan: NotePlan, rows: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    parts = [
        _rows_of_kind(hospital, plan, rows[plan.kind[rows] == kind], kind, rng)
        for kind in range(len(WRITTEN_TYPES))
        if (plan.kind[rows] == kind).any()
    ]
    return pl.concat(parts).sort("note_id")


def _rows_of_kind(
    hospital: Hospital, plan: NotePlan, rows: np.ndarray, kind: int, rng: np.random.Generator
) -> pl.DataFrame:
    encounter, year = plan.encounter[rows], plan.year[rows]
    department = _departments(hospital, encounter, kind)
    author = _authors(department, year, rng)
    pen = Pen(style_of(author, year), year, 0.01 + 0.05 * scatter(author * 7), rng)
    narrative, impression, addendum = _texts(hospital, encounter, kind, pen)
    return pl.DataFrame(
        {
            "note_id": np.char.add(f"N{hospital.prefix}", np.char.zfill(rows.astype(str), 9)),
            "encounter_id": hospital.encounter_ids[encounter],
            "subject_id": hospital.subject_ids[hospital.visits.patient[encounter]],
            "note_type": pl.Series([WRITTEN_TYPES[kind]]).gather(np.zeros(len(rows), int)),
            "department": department,
            "author_id": np.char.add("A", author.astype(str)),
            "written_time": time_texts(plan.time[rows]),
            "narrative": narrative,
            "impression": impression,
            "addendum": addendum,
        }
    )


def _departments(hospital: Hospital, encounter: np.ndarray, kind: int) -> np.ndarray:
    if kind in (RADIOLOGY, PATHOLOGY):
        return np.full(len(encounter), "Radiology" if kind == RADIOLOGY else "Pathology")
    return hospital.department[encounter]


def _authors(department: np.ndarray, year: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Authors belong to a department and stay for some years; a department's number is the same in every export."""
    names, index = np.unique(department, return_inverse=True)
    numbers = np.array([sum(ord(letter) * (place + 1) for place, letter in enumerate(name)) % 9000 for name in names])
    within = rng.integers(0, _AUTHORS_PER_DEPARTMENT, len(department)) + _AUTHORS_PER_DEPARTMENT * (
        (year - 2000) // _YEARS_PER_AUTHOR
    )
    return numbers[index] * 1000 + within


def _texts(hospital: Hospital, encounter: np.ndarray, kind: int, pen: Pen) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Narrative, impression and addendum."""
    site = hospital.config.site
    visits = hospital.visits.take(encounter)
    empty = pl.Series([None], dtype=pl.String).gather(np.zeros(len(encounter), int))
    addendum = other_notes.addenda(pen, site).replace("", None)
    if kind == HP:
        return admission_texts(visits, pen, site), empty, addendum
    if kind == DISCHARGE:
        return other_notes.discharge_texts(visits, pen, site), empty, addendum
    text = other_notes.report_texts(WRITTEN_TYPES[kind], visits, pen, site)
    return (
        text,
        other_notes.impressions(pen, site) if kind == RADIOLOGY else empty,
        addendum if kind == PROGRESS else empty,
    )
