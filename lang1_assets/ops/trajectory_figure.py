"""Fig. 3 of one model: comprehension emerges along pretraining, zero-shot AUROC does not."""

from __future__ import annotations

from collections.abc import Sequence

from lang1_assets.ops.figures import Form
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.pictures import draw_together
from lang1_assets.ops.tasks import COMPREHENSION, TASKS
from lang1_assets.ops.trajectory import TrajectoryRow


def trajectory_picture(
    rows: Sequence[TrajectoryRow], model: str, test: str, *, is_synthetic: bool, wide: bool, form: Form = "png"
) -> bytes:
    """Fig. 3a, of each set of questions, and 3b side by side (`wide`) or one below the other; a part without rows is left out.

    Args:
        test: whose notes were asked about, as `SplitTitles.test` prints it.
    """
    asked = [name for name in COMPREHENSION if any(row["name"] == name for row in rows)]
    predicted = [row for row in rows if row["name"] in TASKS]
    caption = f"Checkpoints of {model}; bars are 95% intervals."
    figures = [
        *(
            figure_of(
                "3a",
                f"{COMPREHENSION[name].title} along pretraining",
                caption,
                "accuracy",
                [row for row in rows if row["name"] == name],
            )
            for name in asked
        ),
        figure_of(
            "3b",
            "Zero-shot prediction along pretraining",
            f"{caption} Notes: {test}.",
            "AUROC",
            predicted,
        ),
    ]
    shown = [figure for figure in figures if figure.points]
    return draw_together(shown, is_synthetic=is_synthetic, wide=wide, form=form)


def figure_of(part: str, title: str, caption: str, metric: str, rows: Sequence[TrajectoryRow]) -> Figure:
    return Figure(
        name="trajectory_evaluation",
        paper=f"Fig. {part}",
        title=title,
        caption=caption,
        kind="lines",
        x_title="tokens seen",
        y_title=metric,
        points=tuple(point_of(row) for row in rows),
        chance=rows[0]["chance"] if rows else None,
    )


def point_of(row: TrajectoryRow) -> Point:
    asked = TASKS.get(row["name"]) or COMPREHENSION[row["name"]]
    return Point(series=asked.title, x=row["tokens"], value=row["value"], low=row["low"], high=row["high"], n=row["n"])
