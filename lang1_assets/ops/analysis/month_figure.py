"""AUROC and calibration of a model month by month as a picture in the style of `figures`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lang1_assets.ops.analysis.pictures import named_model
from lang1_assets.ops.analysis.temporal_drift import REFERENCE_SPLIT, WHOLE, DriftRow
from lang1_assets.ops.axes import round_ticks
from lang1_assets.ops.figures import BLUE, MARGIN, ORANGE, PHONE_WIDTH, SOFT, WIDE, Form, Sheet
from lang1_assets.ops.tasks import TASKS

LEFT, PANEL_GAP, NAME_WIDTH = 40, 34, 44
HEIGHTS = {"auroc": 130, "calibration": 90}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where one chart lies and what it shows."""

    left: float
    right: float
    top: float
    bottom: float
    low: float
    high: float
    slots: dict[str, int]
    """Month -> its place from the left; an empty place between splits."""

    def x(self, month: str) -> float:
        room = (self.right - self.left) / max(max(self.slots.values()) + 1, 1)
        return self.left + room * (self.slots[month] + 0.5)

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return self.bottom - (self.bottom - self.top) * (inside - self.low) / (self.high - self.low)


def drift_picture(
    rows: Sequence[DriftRow],
    model: str,
    *,
    is_synthetic: bool,
    wide: bool,
    form: Form = "png",
    num_columns: int = 3,
    reference: str = "the test of the training years",
) -> bytes:
    """Of each task: AUROC by month beside its value on the test of the training years; what was predicted and what happened.

    `rows` are of one mode for each task. `reference` says in print what `REFERENCE_SPLIT` is.
    """
    sheet = Sheet(width=WIDE if wide else PHONE_WIDTH)
    title = f"Does {model} still work?"
    shown = f"{title} (synthetic data)" if is_synthetic else title
    sheet.bottom = sheet.lines((MARGIN, 4), shown, sheet.width - 2 * MARGIN, size=15)
    tasks = [task for task in TASKS if any(row["task"] == task and row["month"] != WHOLE for row in rows)]
    columns = min(num_columns, max(len(tasks), 1)) if wide else 1
    width = (sheet.width - 2 * MARGIN - (columns - 1) * PANEL_GAP) / columns
    for first in range(0, len(tasks), columns):
        top = sheet.bottom + 10
        for place, task in enumerate(tasks[first : first + columns]):
            own = [row for row in rows if row["task"] == task]
            draw_task(sheet, (MARGIN + place * (width + PANEL_GAP), top), width, task, own)
    caption = (
        f"Bars are 95% intervals; orange diamonds: an AUROC significantly below the dashed one of {reference}. Below, "
        "blue with bars: what happened (positives; of several classes, right answers); gray: what was predicted. A month "
        "without an AUROC has too few notes or events."
    )
    sheet.caption(caption, is_synthetic)
    return sheet.render(form, f"{shown}: {describe(rows)}")


def draw_task(sheet: Sheet, corner: tuple[float, float], width: float, task: str, rows: Sequence[DriftRow]) -> None:
    months = [row for row in rows if row["month"] != WHOLE]
    reference = next((row["value"] for row in rows if row["split"] == REFERENCE_SPLIT), None)
    x, y = corner
    sheet.text((x, y + 16), named_model(rows[0]), size=13, bold=True)
    slots = places(months)
    top = y + 40
    for kind, height in HEIGHTS.items():
        values = shown_values(kind, months, reference)
        sheet.text((x, top - 6), "AUROC" if kind == "auroc" else "Observed and predicted", size=11, color=SOFT)
        low, high = padded(values)
        frame = Frame(left=x + LEFT, right=x + width, top=top, bottom=top + height, low=low, high=high, slots=slots)
        draw_grid(sheet, frame, kind)
        if kind == "auroc":
            draw_aurocs(sheet, frame, months, reference)
        else:
            draw_calibration(sheet, frame, months)
        top += height + 26
    draw_month_names(sheet, frame)


def places(months: Sequence[DriftRow]) -> dict[str, int]:
    """Of each month, a gap between two splits."""
    found: dict[str, int] = {}
    last_split, place = None, -1
    for row in months:
        place += 1 if last_split in (None, row["split"]) else 2
        last_split = row["split"]
        found[f"{row['split']} {row['month']}"] = place
    return found


def key_of(row: DriftRow) -> str:
    return f"{row['split']} {row['month']}"


def shown_values(kind: str, months: Sequence[DriftRow], reference: float | None) -> list[float]:
    if kind == "auroc":
        ends = [row[end] for row in months for end in ("value", "low", "high")]  # type: ignore[literal-required]
        return [value for value in [*ends, reference] if value is not None]
    ends = [row[end] for row in months for end in ("observed_low", "observed_high", "predicted")]  # type: ignore[literal-required]
    return [value for value in ends if value is not None]


def padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.05 * (high - low) or 0.05
    return max(0.0, low - room), min(1.0, high + room)


def draw_grid(sheet: Sheet, frame: Frame, kind: str) -> None:
    for value in round_ticks(frame.low, frame.high, 6):
        sheet.line((frame.left, frame.y(value)), (frame.right, frame.y(value)))
        words = f"{value:.2g}" if kind == "auroc" else f"{value:.0%}"
        sheet.text((frame.left - 5, frame.y(value) + 4), words, size=11, color=SOFT, align="right")


def draw_aurocs(sheet: Sheet, frame: Frame, months: Sequence[DriftRow], reference: float | None) -> None:
    if reference is not None:
        at = frame.y(reference)
        sheet.axes.plot([frame.left, frame.right], [at, at], color=SOFT, linewidth=1.1, linestyle=(0, (3, 2)))
    for row in months:
        if row["value"] is not None:
            draw_point(sheet, frame, row, row["value"], row["low"], row["high"], is_marked=row["is_drop"])


def draw_calibration(sheet: Sheet, frame: Frame, months: Sequence[DriftRow]) -> None:
    known = [row for row in months if row["predicted"] is not None]
    for split in dict.fromkeys(row["split"] for row in known):
        own = [row for row in known if row["split"] == split]
        places = [frame.x(key_of(row)) for row in own], [frame.y(row["predicted"] or 0.0) for row in own]
        sheet.axes.plot(*places, color=SOFT, linewidth=1.4, marker="_", markersize=6)
    for row in known:
        if row["observed"] is not None:
            draw_point(sheet, frame, row, row["observed"], row["observed_low"], row["observed_high"], is_marked=False)


def draw_point(
    sheet: Sheet,
    frame: Frame,
    row: DriftRow,
    value: float,
    low: float | None,
    high: float | None,
    *,
    is_marked: bool,
) -> None:
    x, color = frame.x(key_of(row)), ORANGE if is_marked else BLUE
    if low is not None and high is not None:
        sheet.axes.plot([x, x], [frame.y(low), frame.y(high)], color=color, linewidth=1.4, alpha=0.75)
    marker = "D" if is_marked else "o"
    sheet.axes.plot([x], [frame.y(value)], color=color, marker=marker, markersize=4.2, markeredgewidth=0)


def draw_month_names(sheet: Sheet, frame: Frame) -> None:
    """The first month of each split, and others where there is room."""
    splits = [key.split(" ")[0] for key in frame.slots]
    firsts = [key for key, before in zip(frame.slots, [None, *splits], strict=False) if key.split(" ")[0] != before]
    taken: list[float] = []
    for key in [*firsts, *(key for key in frame.slots if key not in firsts)]:
        at = frame.x(key)
        if all(abs(at - other) >= NAME_WIDTH for other in taken):
            taken.append(at)
            year, number = key.split(" ")[1].split("-")
            words = f"{MONTHS[int(number) - 1]} {year[2:]}"
            sheet.text((at, frame.bottom + 15), words, size=10, color=SOFT, align="center")


def describe(rows: Sequence[DriftRow]) -> str:
    """Whole splits in words, for those who cannot see the picture."""
    return ", ".join(
        f"{TASKS[row['task']].title} {row['split']} {row['value']:.2f}"
        for row in rows
        if row["month"] == WHOLE and row["value"] is not None
    )
