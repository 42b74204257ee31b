"""Who is in a cohort and who was left out, as a flow chart in the manner of CONSORT (Schulz 2010).

The numbers are those of the warehouse's `cohort_attrition` and `cohort_counts`; nothing is counted again here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from lang1_assets.ops import paper_tables, schemas
from lang1_assets.ops.figures import (
    BLUE,
    INK,
    MARGIN,
    ORANGE,
    PAGE,
    PANEL,
    RULE,
    SOFT,
    Form,
    Sheet,
    line_height,
    text_width,
    wrapped,
)
from lang1_assets.ops.tasks import TASKS

ATTRITION_COLUMNS = ("task", "step_number", "step", "num_notes_left", "num_encounters_left", "num_patients_left")
COUNT_COLUMNS = ("task", "split", "label", "num_notes", "num_patients")

TRUNK = 28
"""Where the line from box to box runs, in pixels from the left."""
SIDE = 52
"""Where the boxes of what was left out begin."""
LABEL_WIDTH = 80
"""Kept free for the names of labels, whatever the numbers need."""


class AttritionError(ValueError):
    """Counts that do not follow from each other, or are not there."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one requirement left."""

    text: str
    """The requirement; of the first step, where the notes come from."""
    num_notes: int
    num_encounters: int
    num_patients: int

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.num_notes, self.num_encounters, self.num_patients


@dataclass(frozen=True, kw_only=True)
class LabelCount:
    """Notes and distinct patients of one label in one split."""

    split: str
    label: int
    num_notes: int
    num_patients: int


def flow_chart(
    attrition: pl.DataFrame, counts: pl.DataFrame, task: str, *, is_synthetic: bool, form: Form = "png"
) -> bytes:
    """The flow chart of one task: what is left in boxes, beside them what each step left out, last the splits and labels.

    Args:
        attrition: rows of `ATTRITION_COLUMNS`; other tasks are passed over.
        counts: rows of `COUNT_COLUMNS`; their notes must add up to those of the last step.
        is_synthetic: say in the caption that no patient is real.

    Raises:
        AttritionError: a column, the task or a count is missing, a step has more than the one before, or the sum differs.
    """
    steps, labels = steps_of(attrition, task), labels_of(counts, task)
    check_sum(task, steps, labels)
    title = TASKS[task].title if task in TASKS else task
    sheet = Sheet()
    sheet.text((MARGIN, 22), title, size=15, bold=True)
    sheet.bottom += 6
    draw_first(sheet, steps[0])
    for before, after in pairwise(steps):
        draw_left_out(sheet, before, after)
        draw_left(sheet, after)
    draw_splits(sheet, labels, label_titles(task, labels))
    sheet.caption("Black: notes. Blue: patients; one may be in several splits and labels.", is_synthetic)
    return sheet.render(form, summary(task, steps))


def steps_of(attrition: pl.DataFrame, task: str) -> list[Step]:
    """The steps of one task in order, checked: no count missing, none that grows."""
    rows = rows_of(attrition, ATTRITION_COLUMNS, task, "cohort_attrition").sort("step_number")
    if rows.is_empty():
        known = ", ".join(sorted(attrition["task"].unique())) or "none"
        raise AttritionError(
            f"cohort_attrition has no step of task '{task}', only of: {known}; build the cohorts again"
        )
    if rows["step_number"].is_duplicated().any():
        raise AttritionError(f"cohort_attrition: task '{task}' has a step number twice; expected one row a step")
    steps = [
        Step(text=text, num_notes=notes, num_encounters=encounters, num_patients=patients)
        for text, notes, encounters, patients in rows.select(ATTRITION_COLUMNS[2:]).iter_rows()
    ]
    for number, (before, after) in enumerate(pairwise(steps), start=1):
        if any(left > had for had, left in zip(before.counts, after.counts, strict=True)):
            raise AttritionError(
                f"cohort_attrition: task '{task}', step {number} leaves {after.counts} notes, encounters, patients of "
                f"{before.counts}; expected no more than before"
            )
    return steps


def labels_of(counts: pl.DataFrame, task: str) -> list[LabelCount]:
    """The counts of one task by split, in the order of `SPLITS`, and label."""
    rows = rows_of(counts, COUNT_COLUMNS, task, "cohort_counts")
    if rows.select("split", "label").is_duplicated().any():
        raise AttritionError(f"cohort_counts: task '{task}' has a split and label twice; expected one row each")
    found = [LabelCount(**row) for row in rows.drop("task").iter_rows(named=True)]
    return sorted(found, key=lambda count: (split_order(count.split), count.label))


def rows_of(frame: pl.DataFrame, columns: Sequence[str], task: str, name: str) -> pl.DataFrame:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise AttritionError(f"{name} lacks the columns {', '.join(missing)}; build the cohorts again")
    rows = frame.select(columns).filter(pl.col("task") == task)
    empty = [column for column in columns if rows[column].null_count()]
    if empty:
        raise AttritionError(f"{name}: task '{task}' has rows without {', '.join(empty)}; expected a value in each")
    return rows


def split_order(split: str) -> tuple[int, str]:
    """Sorts as `SPLITS` does, any other split after them by name."""
    return (schemas.SPLITS.index(split) if split in schemas.SPLITS else len(schemas.SPLITS), split)


def check_sum(task: str, steps: Sequence[Step], labels: Sequence[LabelCount]) -> None:
    counted = sum(count.num_notes for count in labels)
    if counted != steps[-1].num_notes:
        raise AttritionError(
            f"task '{task}': the last step leaves {steps[-1].num_notes:,} notes, but the splits and labels hold "
            f"{counted:,}; expected the same, from one build of the cohorts"
        )


def label_titles(task: str, labels: Sequence[LabelCount]) -> dict[int, str]:
    """Each label's name: all of the paper's for the task, and any label that is not among them by its number."""
    # Not the prompt's options: they print the Charlson bin 5 to 7 as "4 to 7".
    options = dict(enumerate(paper_tables.RATIO_TITLES.get(task, ())))
    return options | {c.label: f"label {c.label}" for c in labels if c.label not in options}


def summary(task: str, steps: Sequence[Step]) -> str:
    """The chart in one sentence, for those who cannot see it."""
    first, last = steps[0], steps[-1]
    return (
        f"Flow of notes into the cohort of {task}: {last.num_notes:,} of {first.num_notes:,} notes and "
        f"{last.num_patients:,} of {first.num_patients:,} patients are left after {len(steps) - 1} steps"
    )


def draw_first(sheet: Sheet, step: Step) -> None:
    top = sheet.bottom
    inner = sheet.width - 4 * MARGIN
    height = len(wrapped(step.text, inner, 12)) * line_height(12)
    sheet.box((MARGIN, top), sheet.width - 2 * MARGIN, height + 54, fill=PANEL, edge=SOFT)
    sheet.lines((2 * MARGIN, top + 8), sentence(step.text), inner)
    draw_counts(sheet, top + height + 8, step)


def draw_left(sheet: Sheet, step: Step) -> None:
    """What a step left."""
    top = sheet.bottom
    sheet.box((MARGIN, top), sheet.width - 2 * MARGIN, 46, fill=PANEL, edge=SOFT)
    draw_counts(sheet, top, step)


def draw_counts(sheet: Sheet, top: float, step: Step) -> None:
    """Three numbers in a row, each with its unit below."""
    third = (sheet.width - 2 * MARGIN) / 3
    for place, (number, unit) in enumerate(zip(step.counts, ("notes", "encounters", "patients"), strict=True)):
        x = MARGIN + (place + 0.5) * third
        sheet.text((x, top + 21), f"{number:,}", size=14, bold=True, align="center")
        sheet.text((x, top + 37), unit, size=11, color=SOFT, align="center")


def draw_left_out(sheet: Sheet, before: Step, after: Step) -> None:
    """The line on to the next box, and beside it how many a step left out and why."""
    start = sheet.bottom
    notes, encounters, patients = (had - left for had, left in zip(before.counts, after.counts, strict=True))
    width = sheet.width - MARGIN - SIDE
    edge, color, ink = (ORANGE, ORANGE, INK) if notes else (RULE, SOFT, SOFT)
    top = start + 10
    sheet.text((SIDE + MARGIN, top + 18), f"left out: {notes:,} notes", bold=notes > 0, color=color)
    y = top + 22
    if notes:
        sheet.text((SIDE + MARGIN, y + 12), f"{encounters:,} encounters, {patients:,} patients", size=11, color=SOFT)
        y += 17
    y = sheet.lines((SIDE + MARGIN, y), f"not met: {after.text}", width - 2 * MARGIN, color=ink) + 6
    sheet.box((SIDE, top), width, y - top, fill=PAGE, edge=edge)
    sheet.arrow((TRUNK, (top + y) / 2), (SIDE, (top + y) / 2))
    sheet.arrow((TRUNK, start), (TRUNK, y + 12))


def draw_splits(sheet: Sheet, labels: Sequence[LabelCount], titles: dict[int, str]) -> None:
    """The last box: labels down, splits across, as many in a row as their numbers leave room for."""
    splits = sorted({count.split for count in labels}, key=split_order)
    top = sheet.bottom + 18
    sheet.arrow((TRUNK, sheet.bottom), (TRUNK, top))
    step = column_width(labels)
    in_a_row = max(int((sheet.width - 4 * MARGIN - LABEL_WIDTH) / step), 1)
    if not splits:
        sheet.text((2 * MARGIN, top + 22), "no note is left")
    for first in range(0, len(splits), in_a_row):
        draw_grid(sheet, splits[first : first + in_a_row], labels, titles, step)
    sheet.box((MARGIN, top), sheet.width - 2 * MARGIN, sheet.bottom - top + 8, fill=PANEL, edge=SOFT)


def column_width(labels: Sequence[LabelCount]) -> float:
    """Pixels that the widest number or word of a split's name needs, with a gap."""
    words = {word for count in labels for word in count.split.split("_")}
    numbers = {f"{split_total(labels, count.split):,}" for count in labels}
    widths = [*(text_width(word, 11) for word in words), *(text_width(number, 11, bold=True) for number in numbers)]
    return max(widths, default=0) + 5


def split_total(labels: Sequence[LabelCount], split: str) -> int:
    return sum(count.num_notes for count in labels if count.split == split)


def draw_grid(
    sheet: Sheet, splits: Sequence[str], labels: Sequence[LabelCount], titles: dict[int, str], step: float
) -> None:
    left, right = 2 * MARGIN, sheet.width - 2 * MARGIN
    ends = {split: right - place * step for place, split in enumerate(reversed(splits))}
    most_words = max(len(split.split("_")) for split in splits)
    y = sheet.bottom + 6 + most_words * 14
    for split, x in ends.items():
        for place, word in enumerate(reversed(split.split("_"))):
            sheet.text((x, y - place * 14), word, size=11, color=SOFT, align="right")
    y += 6
    held = {(count.split, count.label): count for count in labels}
    for label in sorted(titles):
        sheet.line((left, y), (right, y))
        cells = {x: held.get((split, label)) for split, x in ends.items()}
        y = draw_label(sheet, y, titles[label], min(ends.values()) - step - left, cells)
    sheet.line((left, y), (right, y), SOFT)
    sheet.text((left, y + 16), "all notes", size=11, bold=True)
    for split, x in ends.items():
        sheet.text((x, y + 16), f"{split_total(labels, split):,}", size=11, bold=True, align="right")


def draw_label(sheet: Sheet, y: float, title: str, width: float, cells: dict[float, LabelCount | None]) -> float:
    """One row of the grid, notes above patients; returns where it ends."""
    for x, count in cells.items():
        sheet.text((x, y + 14), f"{count.num_notes if count else 0:,}", size=11, align="right")
        sheet.text((x, y + 28), f"{count.num_patients if count else 0:,}", size=11, color=BLUE, align="right")
    return max(sheet.lines((2 * MARGIN, y + 3), title, width, size=11) + 4, y + 34)


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
