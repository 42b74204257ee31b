"""The figures of the analyses that `label_claims` judges, from the same rows (F6, K8, L9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lang1_assets.ops.analysis.patient_overlap import EVERYBODY
from lang1_assets.ops.analysis.pictures import modes_shown, named_model
from lang1_assets.ops.analysis.strata import ALL, ATTRIBUTES
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.points import CHANCE
from lang1_assets.ops.tasks import TASKS

Rows = Sequence[Any]
"""As the analysis wrote them, of some version of it."""
GROUP, WORSE = "all notes or a group", "a group below the others"


def analysis_figures(name: str, rows: Rows, source: str, test: str) -> tuple[Figure, ...]:
    """Of one of `ANALYSIS_NAMES`; none where it has no rows.

    Args:
        source: the artifact.
        test: what it was measured on, as `SplitTitles.test` prints it.
    """
    if name == "label_dependence":
        return dependence_figures(rows, source)
    chosen = shown(rows)
    if not chosen:
        return ()
    return strata_figures(chosen, source, test) if name == "strata" else overlap_figures(chosen, source, test)


def shown(rows: Rows) -> list[Any]:
    """Of each task the joint model's, else those of the task's own; a task that was taken away since has no name."""
    known = [row for row in rows if row["task"] in TASKS]
    modes = modes_shown(known)
    return [row for row in known if row["mode"] == modes[row["task"]]]


def dependence_figures(rows: Rows, source: str) -> tuple[Figure, ...]:
    """Fig. F6a: how long who died and who survived stayed; F6b: how many died of who stayed how long."""
    stays = [row for row in rows if row["panel"] == "stay given death"]
    deaths = [row for row in rows if row["panel"] == "death given stay"]
    values: dict[str, Any] = {
        "name": "label_dependence",
        "caption": "All stays that both tasks label; bars are 95 % intervals.",
        "kind": "bars",
        "x_title": "length of stay",
    }
    figures = (
        Figure(
            **values,
            paper="Fig. F6a",
            title="Length of stay of who died and who survived",
            y_title="share of stays",
            points=tuple(point(row, row["condition"], row["outcome"], source) for row in stays),
        ),
        Figure(
            **values,
            paper="Fig. F6b",
            title="Death by length of stay",
            y_title="share of stays that ended in death",
            points=tuple(point(row, row["outcome"], row["condition"], source) for row in deaths),
        ),
    )
    return tuple(figure for figure in figures if figure.points)


def strata_figures(rows: Rows, source: str, test: str) -> tuple[Figure, ...]:
    """Fig. K8: a panel a task, a lane a group."""
    points = [
        point(row, WORSE if row["is_worse"] else GROUP, group_title(row), source, panel=named_model(row))
        for row in rows
    ]
    return (
        Figure(
            name="strata",
            paper="Fig. K8",
            title="Groups of patients",
            caption=f"AUROC on the {test}; bars are 95 % intervals. Below the others: significantly below the notes of the "
            "other groups, after Bonferroni's correction for the groups of the attribute.",
            kind="bars",
            x_title="group",
            y_title="AUROC",
            points=tuple(points),
            chance=CHANCE,
        ),
    )


def group_title(row: Any) -> str:
    return (
        "All notes"
        if row["attribute"] == ALL
        else f"{ATTRIBUTES.get(row['attribute'], row['attribute'])}: {row['group']}"
    )


def overlap_figures(rows: Rows, source: str, test: str) -> tuple[Figure, ...]:
    """Fig. L9: AUROC of all, seen and new patients; what the seen ones add to it; and who they are."""
    values: dict[str, Any] = {"name": "patient_overlap", "paper": "Fig. L9", "kind": "bars", "x_title": "task"}
    told = f"On the {test}; a patient is seen when a note of theirs was in pretraining or among the finetuning examples"
    # Every row of a task has the differences: they are told once.
    whole = [row for row in rows if row["group"] == EVERYBODY]
    differences = (
        ("All less new patients", "difference of AUROC", auroc_difference),
        ("Age: seen less new patients", "years", lambda row: row.get("age_difference")),
        ("Not white: seen less new patients", "difference of shares", lambda row: row.get("not_white_difference")),
    )
    return (
        Figure(
            **values,
            title="With and without patients seen before",
            caption=f"{told}, the model being the same; bars are 95 % intervals.",
            y_title="AUROC",
            points=tuple(point(row, row["group"], named_model(row), source) for row in rows),
            chance=CHANCE,
        ),
        *(
            Figure(
                **values,
                title=title,
                caption=f"{told}; bars are 95 % intervals, patients resampled.",
                y_title=y_title,
                points=tuple(difference_point(row, found(row), title, source) for row in whole),
            )
            for title, y_title, found in differences
        ),
    )


def auroc_difference(row: Any) -> dict[str, float | None]:
    return {name: row[f"difference_{name}"] for name in ("value", "low", "high")}


def point(row: Any, series: str, x: str, source: str, panel: str = "") -> Point:
    note = "" if row["value"] is not None else row.get("left_out") or "nobody is in this group"
    ends = {name: row[name] for name in ("value", "low", "high", "n")}
    return Point(series=series, x=x, panel=panel, source=source, note=note, **ends)


def difference_point(row: Any, found: Any, series: str, source: str) -> Point:
    ends = found or dict.fromkeys(("value", "low", "high"))
    note = "" if ends["value"] is not None else "not both of them have a value"
    return Point(series=series, x=named_model(row), n=row["n"], source=source, note=note, **ends)
