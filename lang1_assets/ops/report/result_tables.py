"""The tables of results: the numbers behind the charts, and every row of `results.json`."""

from __future__ import annotations

from lang1_assets.ops.report.data import ReportData, modes_trained_on
from lang1_assets.ops.report.tables import NOTHING, Cell, Content, Table, link, table
from lang1_assets.ops.results import (
    AUROC,
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
    """AUROC on the headline test, the numbers of the first chart; each links to its evaluation."""
    rows: list[list[Content]] = []
    for task in data.tasks.values():
        found = [
            find_row(data.rows, model=data.model, trained_on=trained_on, task=task.name, split=data.headline_split)
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
    return table(f"AUROC on the {data.headline_title} with 95% intervals", header, rows)


def interval_cell(row: ResultRow | None) -> Cell:
    if row is None or row["value"] is None:
        return Cell(text=NOTHING)
    return Cell(text=format_interval(row).replace(" - ", " – "), url=row.get("asset_url"))


def drift_table(data: ReportData) -> Table:
    """AUROC on every test split, and from the first to the last of them."""
    rows: list[list[Content]] = []
    for task in data.tasks.values():
        for trained_on in (None, task.name, JOINT):
            found = [
                find_row(data.rows, model=data.model, trained_on=trained_on, task=task.name, split=split)
                for split in data.test_splits
            ]
            if any(found):
                change = _change(found[0], found[-1])
                rows.append([task.title, trained_on_title(trained_on), *(interval_cell(row) for row in found), change])
    titles = [data.split_titles.heading(split, data.tasks) for split in data.test_splits]
    header = ("Task", "Trained on", *titles, f"{titles[0]} to {titles[-1]}")
    number = {2: "two", 3: "three"}.get(len(titles), len(titles))
    return table(f"AUROC on the {number} test sets", header, rows, num_labels=2)


def _change(first: ResultRow | None, last: ResultRow | None) -> str | None:
    if first is None or last is None or first["value"] is None or last["value"] is None:
        return None
    return f"{last['value'] - first['value']:+.3f}".replace("-", "\N{MINUS SIGN}")


def transfer_table(data: ReportData) -> Table | None:
    """What each training transfers to (Fig. 5a): rows trained on, columns tested on; None without single tasks or
    with one task only."""
    names = modes_trained_on(data.rows, data.model)
    if not set(names) - {None, JOINT} or len(data.tasks) < 2:
        return None
    rows: list[list[Content]] = []
    for trained_on in names:
        cells = [_shaded(row) for row in _headline_results(data, data.model, trained_on)]
        if any(cells):
            rows.append([trained_on_title(trained_on), *cells])
    caption = f"AUROC on the {data.headline_title}: trained on (row), tested on (column)"
    return table(caption, ("", *(task.title for task in data.tasks.values())), rows)


def models_by_task_table(data: ReportData) -> Table | None:
    """All models side by side on the headline test; None when there is one only."""
    names = list(dict.fromkeys(row["model"] for row in data.rows))
    if len(names) < 2:
        return None
    rows: list[list[Content]] = []
    for model in names:
        for trained_on in modes_trained_on(data.rows, model):
            cells = [_shaded(row) for row in _headline_results(data, model, trained_on)]
            if any(cells):
                rows.append([model, trained_on_title(trained_on), *cells])
    header = ("Model", "Trained on", *(task.title for task in data.tasks.values()))
    return table(f"AUROC on the {data.headline_title} of every model", header, rows, num_labels=2)


def _headline_results(data: ReportData, model: str, trained_on: str | None) -> list[ResultRow | None]:
    """One a task."""
    split = data.headline_split
    return [find_row(data.rows, model=model, trained_on=trained_on, task=task, split=split) for task in data.tasks]


def _shaded(row: ResultRow | None) -> Cell | None:
    if row is None or row["value"] is None:
        return None
    return Cell(
        text=f"{row['value']:.3f}", url=row.get("asset_url"), shade=round(min(max((row["value"] - 0.5) * 2, 0), 1), 2)
    )


def all_results_table(data: ReportData) -> Table:
    """Every number of `results.json`: a line for each model, training, task and split; a column a metric."""
    lines: dict[tuple[str, str | None, str, str], dict[str, ResultRow]] = {}
    for row in data.rows:
        lines.setdefault((row["model"], row["trained_on"], row["task"], row["split"]), {})[row["metric"]] = row
    printed: list[list[Content]] = []
    for (model, trained_on, task, split), by_metric in lines.items():
        first = next(iter(by_metric.values()))
        values = [_value(by_metric.get(metric)) for metric in METRICS]
        oracle = by_metric[AUROC]["oracle"] if AUROC in by_metric else None
        printed.append(
            [
                *(model, trained_on_title(trained_on), TASKS[task].title, data.split_titles.of(split, task)),
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
    found = {(curve.task, curve.trained_on): curve for curve in data.curves}
    rows: list[list[Content]] = []
    for name, task in data.tasks.items():
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
    return table(f"Expected calibration error, 15 bins, {data.headline_title}", header, rows)


def calibration_points_table(data: ReportData) -> Table:
    header = ("Task", "Trained on", "Mean predicted", "Observed", "Predictions")
    rows: list[list[Content]] = [
        [TASKS[c.task].title, trained_on_title(c.trained_on), p.mean_predicted, p.fraction_positive, p.count]
        for c in data.curves
        for p in c.points
    ]
    return table("Points of the reliability curves", header, rows, num_labels=2)
