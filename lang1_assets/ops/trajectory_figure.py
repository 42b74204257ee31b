"""Fig. 3 as a picture: comprehension emerges along pretraining, zero-shot AUROC does not."""

from __future__ import annotations

from collections.abc import Sequence

from lang1_assets.ops.figures import Form
from lang1_assets.ops.line_figures import Line, Panel, Point, line_picture
from lang1_assets.ops.report.data import title_of_test
from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.trajectory import COMPREHENSION, TrajectoryRow


def trajectory_picture(
    rows: Sequence[TrajectoryRow], model: str, split: str, *, is_synthetic: bool, wide: bool, form: Form = "png"
) -> bytes:
    """Fig. 3a and 3b side by side (`wide`) or one below the other; a part without rows is left out."""
    by_name: dict[str, list[TrajectoryRow]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    asked = by_name.pop(COMPREHENSION, [])
    panels = []
    if asked:
        chance, line = asked[0]["chance"], line_of("Comprehension", asked)
        panels.append(Panel(title="a  Comprehension", axis="accuracy", lines=(line,), reference=chance, is_share=True))
    if by_name:
        lines = tuple(line_of(TASKS[name].title, found) for name, found in by_name.items())
        panels.append(Panel(title="b  Zero-shot prediction", axis="AUROC", lines=lines, reference=0.5))
    notes = f" Notes: {title_of_test(split)}." if by_name else ""
    caption = f"Checkpoints of {model}; bars are 95% intervals.{notes}"
    return line_picture("What emerges in pretraining", panels, caption, is_synthetic=is_synthetic, wide=wide, form=form)


def line_of(label: str, rows: Sequence[TrajectoryRow]) -> Line:
    points = (Point(tokens=row["tokens"], value=row["value"], low=row["low"], high=row["high"]) for row in rows)
    return Line(label=label, points=tuple(points))
