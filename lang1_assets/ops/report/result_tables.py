"""The tables of results: the numbers behind the charts, and every row of `results.json`."""

from __future__ import annotations

from collections.abc import Sequence

from lang1_assets.ops.report.data import TEST_SPLITS, ReportData, modes_trained_on, split_title
from lang1_assets.ops.report.tables import NOTHING, Cell, Content, Table, link, table
from lang1_assets.ops.results import (
    AUROC,
    HEADLINE_SPLIT,
    JOINT,
    METRICS,
    ResultRow,
    distance_closed,
    find_row,
    format_interval,
)
from lang1_assets.ops.tasks import TASKS


def trained_on_title(trained_on: str | None) -> str:
    if trained_on is None:
        return "zero-shot"
    return "joint" if trained_on == JOINT else f"{TASKS[trained_on].title} only"


def headline_table(data: ReportData) -> Table:
    """AUROC on the 2024 test, the numbers of the first chart; each links to its evaluation."""
    rows: list[list[Content]] = []
    for task in TASKS.values():
        found = [
            find_row(data.rows, model=data.model, trained_on=trained_on, task=task.name, split=HEADLINE_SPLIT)
            for trained_on in (None, task.name, JOINT)
        ]
        if not any(found):
            continue
        first = next(row for row in found if row)
        closed = distance_closed(best) if (best := found[2] or found[1]) else None
        rows.append(
            [
                task.title,
                first["n"],
                *(interval_cell(row) for row in found),
                first["oracle"],
                f"{closed:.0%}" if closed is not None else None,
            ]
        )
    header = ("Task", "Notes", "Zero-shot", "Single task", "Joint", "Oracle", "Distance closed")
    return table("AUROC on the 2024 test with 95% intervals", header, rows)


def interval_cell(row: ResultRow | None) -> Cell:
    if row is None or row["value"] is None:
        return Cell(text=NOTHING)
    return Cell(text=format_interval(row).replace(" - ", " – "), url=row.get("asset_url"))


def drift_table(data: ReportData) -> Table:
    rows: list[list[Content]] = []
    for task in TASKS.values():
        for trained_on in (None, task.name, JOINT):
            found = [
                find_row(data.rows, model=data.model, trained_on=trained_on, task=task.name, split=split)
                for split in TEST_SPLITS
            ]
            if any(found):
                change = _change(found[0], found[2])
                rows.append([task.title, trained_on_title(trained_on), *(interval_cell(row) for row in found), change])
    header = ("Task", "Trained on", "Test", "2021 (denial: 2022)", "2024", "Test to 2024")
    return table("AUROC on the three test sets", header, rows, num_labels=2)


def _change(first: ResultRow | None, last: ResultRow | None) -> str | None:
    if first is None or last is None or first["value"] is None or last["value"] is None:
        return None
    return f"{last['value'] - first['value']:+.3f}".replace("-", "\N{MINUS SIGN}")


def transfer_table(data: ReportData) -> Table | None:
    """What each training transfers to (Fig. 5a): rows trained on, columns tested on; None without single tasks."""
    names = modes_trained_on(data.rows, data.model)
    if not set(names) - {None, JOINT}:
        return None
    rows: list[list[Content]] = []
    for trained_on in names:
        cells: list[Content] = [trained_on_title(trained_on)]
        for task in TASKS:
            row = find_row(data.rows, model=data.model, trained_on=trained_on, task=task, split=HEADLINE_SPLIT)
            cells.append(_shaded(row))
        rows.append(cells)
    return table(
        "AUROC on the 2024 test: trained on (row), tested on (column)", ("", *(t.title for t in TASKS.values())), rows
    )


def models_by_task_table(data: ReportData) -> Table | None:
    """All models side by side on the 2024 test; None when there is one only."""
    names = list(dict.fromkeys(row["model"] for row in data.rows))
    if len(names) < 2:
        return None
    rows: list[list[Content]] = []
    for model in names:
        for trained_on in modes_trained_on(data.rows, model):
            found = [
                find_row(data.rows, model=model, trained_on=trained_on, task=task, split=HEADLINE_SPLIT)
                for task in TASKS
            ]
            rows.append([model, trained_on_title(trained_on), *map(_shaded, found)])
    header = ("Model", "Trained on", *(task.title for task in TASKS.values()))
    return table("AUROC on the 2024 test of every model", header, rows, num_labels=2)


def _shaded(row: ResultRow | None) -> Cell | None:
    if row is None or row["value"] is None:
        return None
    return Cell(
        text=f"{row['value']:.3f}", url=row.get("asset_url"), shade=round(min(max((row["value"] - 0.5) * 2, 0), 1), 2)
    )


def all_results_table(rows: Sequence[ResultRow]) -> Table:
    """Every number of `results.json`: a line for each model, training, task and split; a column a metric."""
    lines: dict[tuple[str, str | None, str, str], dict[str, ResultRow]] = {}
    for row in rows:
        lines.setdefault((row["model"], row["trained_on"], row["task"], row["split"]), {})[row["metric"]] = row
    printed: list[list[Content]] = []
    for (model, trained_on, task, split), by_metric in lines.items():
        first = next(iter(by_metric.values()))
        values = [_value(by_metric.get(metric)) for metric in METRICS]
        oracle = by_metric[AUROC]["oracle"] if AUROC in by_metric else None
        printed.append(
            [
                *(model, trained_on_title(trained_on), TASKS[task].title, split_title(task, split)),
                *(first["n"], *values, oracle),
                ", ".join(first["classes_absent"]),
                *(link("asset", first.get("asset_url")), link("run", first.get("mlflow_url"))),
            ]
        )
    header = ("Model", "Trained on", "Task", "Split", "Notes", *METRICS.values(), "Oracle AUROC", "Classes absent")
    return table("Every number of results.json", (*header, "Asset", "MLflow"), printed, num_labels=4)


def _value(row: ResultRow | None) -> Content:
    if row is None or row["value"] is None:
        return None
    return interval_cell(row) if row["low"] is not None else row["value"]


def calibration_table(data: ReportData) -> Table:
    """Both calibration errors of the curves that the charts show: a row a task, a column a training."""
    found = {(c.task, c.trained_on): c for c in data.calibration if c.model == data.model}
    rows: list[list[Content]] = []
    for name, task in TASKS.items():
        curves = [found.get((name, trained_on)) for trained_on in (None, name, JOINT)]
        if any(curves):
            rows.append(
                [
                    task.title,
                    *(curve.ece_top_class if curve else None for curve in curves),
                    *(curve.ece_positive if curve else None for curve in curves),
                ]
            )
    trainings = ("zero-shot", "single task", "joint")
    header = ("Task", *(f"Top class: {t}" for t in trainings), *(f"Positive class: {t}" for t in trainings))
    return table("Expected calibration error, 15 bins, 2024 test", header, rows)


def calibration_points_table(data: ReportData) -> Table:
    header = ("Task", "Trained on", "Mean predicted", "Observed", "Predictions")
    rows: list[list[Content]] = [
        [TASKS[c.task].title, trained_on_title(c.trained_on), p.mean_predicted, p.fraction_positive, p.count]
        for c in data.calibration
        if c.model == data.model
        for p in c.points
    ]
    return table("Points of the reliability curves", header, rows, num_labels=2)
