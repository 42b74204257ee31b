"""Figs F6, K8 and L9 as pictures, from the rows of the analyses."""

from __future__ import annotations

from collections.abc import Sequence

from lang1_assets.ops.analysis.forest_figure import Forest, Lane, Section, forest_picture
from lang1_assets.ops.analysis.groups import Head, Measured
from lang1_assets.ops.analysis.label_dependence import DependenceRow, panel_rows
from lang1_assets.ops.analysis.patient_overlap import OverlapRow
from lang1_assets.ops.analysis.strata import ALL, ATTRIBUTES, StratumRow
from lang1_assets.ops.figures import Form
from lang1_assets.ops.tasks import TASKS

JOINT = "joint"


def modes_shown(rows: Sequence[Head]) -> dict[str, str]:
    """Task -> the model that a picture is about: the joint one, else that of the task alone, else the only one."""
    found: dict[str, str] = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        modes = {row["mode"]: None for row in rows if row["task"] == task}
        found[task] = next((mode for mode in (JOINT, task) if mode in modes), next(iter(modes)))
    return found


def strata_picture(
    rows: Sequence[StratumRow], model: str, test: str, *, is_synthetic: bool, wide: bool, form: Form = "png"
) -> bytes:
    """Fig. K8 of every task; groups without an AUROC are named below their plot."""
    chosen = modes_shown(rows)
    forests = [
        strata_forest([row for row in rows if (row["task"], row["mode"]) == (task, mode)])
        for task, mode in chosen.items()
    ]
    caption = (
        f"AUROC of {model} on the {test} with 95% intervals; dashed: all notes. Orange diamonds: significantly "
        "below the notes of the other groups, after Bonferroni's correction."
    )
    return forest_picture("For whom does it work?", forests, caption, is_synthetic=is_synthetic, wide=wide, form=form)


def strata_forest(rows: Sequence[StratumRow]) -> Forest:
    sections = [
        Section(heading=title, lanes=lanes)
        for attribute, title in ATTRIBUTES.items()
        if (lanes := tuple(lane_of(row["group"], row, row["is_worse"]) for row in measured_of(rows, attribute)))
    ]
    everybody = next(row["value"] for row in rows if row["attribute"] == ALL)
    return Forest(
        title=named_model(rows[0]),
        sections=tuple(sections),
        reference=everybody,
        footnote=left_out_words(rows),
    )


def measured_of(rows: Sequence[StratumRow], attribute: str) -> list[StratumRow]:
    return [row for row in rows if row["attribute"] == attribute and row["value"] is not None]


def left_out_words(rows: Sequence[StratumRow]) -> str:
    """`Left out: Age 10 - 19; Race Asian, Chinese.`"""
    parts = []
    for attribute, title in ATTRIBUTES.items():
        groups = [row["group"] for row in rows if row["attribute"] == attribute and row["left_out"]]
        if groups:
            parts.append(f"{title} {', '.join(groups)}")
    return f"Left out, too few notes or events or one class only: {'; '.join(parts)}." if parts else ""


def overlap_picture(
    rows: Sequence[OverlapRow], model: str, test: str, *, is_synthetic: bool, wide: bool, form: Form = "png"
) -> bytes:
    """Fig. L9 of every task: everybody, patients seen in training, and new ones."""
    sections = []
    for task, mode in modes_shown(rows).items():
        own = [row for row in rows if (row["task"], row["mode"]) == (task, mode)]
        lanes = tuple(lane_of(row["group"], row) for row in own if row["value"] is not None)
        left_out = ", ".join(f"{row['group']}: {row['left_out']}" for row in own if row["left_out"])
        heading = named_model(own[0]) + (f" ({left_out})" if left_out else "")
        sections.append(Section(heading=heading, lanes=lanes))
    forest = Forest(title="AUROC", sections=tuple(sections))
    caption = (
        f"{model} on the {test} with 95% intervals, the model being the same. A patient is seen when a note of "
        "his or hers was in the pretraining corpus or among the finetuning examples."
    )
    return forest_picture(
        "With and without patients it has met", [forest], caption, is_synthetic=is_synthetic, wide=wide, form=form
    )


def dependence_picture(rows: Sequence[DependenceRow], *, is_synthetic: bool, wide: bool, form: Form = "png") -> bytes:
    """Fig. F6."""
    of_stay = panel_rows(rows, "stay given death")
    conditions = dict.fromkeys(row["condition"] for row in of_stay)
    first = Forest(
        title="a  Length of stay",
        sections=tuple(
            Section(
                heading=f"of patients who {condition}",
                lanes=tuple(
                    share_lane(row["outcome"], row) for row in of_stay if row["condition"] == condition and row["n"]
                ),
            )
            for condition in conditions
        ),
        is_share=True,
    )
    of_death = [row for row in panel_rows(rows, "death given stay") if row["n"]]
    lanes = tuple(share_lane(row["condition"], row) for row in of_death)
    second = Forest(title="b  Mortality", sections=(Section(heading="of stays of", lanes=lanes),), is_share=True)
    caption = "All stays that both tasks label; bars are 95% intervals (Wilson). n: stays that meet the condition."
    return forest_picture(
        "Length of stay and death", [first, second], caption, is_synthetic=is_synthetic, wide=wide, form=form
    )


def share_lane(label: str, row: DependenceRow) -> Lane:
    return Lane(label=label, n=row["n"], value=row["value"] or 0.0, low=row["low"], high=row["high"])


def lane_of(label: str, row: Measured, is_marked: bool = False) -> Lane:
    return Lane(
        label=label, n=row["n"], value=row["value"] or 0.0, low=row["low"], high=row["high"], is_marked=is_marked
    )


def named_model(row: Head) -> str:
    """The task, and what the model was finetuned on where that is something else."""
    title = TASKS[row["task"]].title
    return title if row["mode"] == row["task"] else f"{title}, {row['mode'].replace('_', '-')}"
