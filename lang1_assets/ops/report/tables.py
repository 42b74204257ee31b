"""The tables of the report: the numbers behind every chart, once, for both the HTML and the Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import fisher_exact

from lang1_assets.ops import paper_tables
from lang1_assets.ops.report.data import (
    TEST_SPLITS,
    CohortCount,
    ReportData,
    StageCount,
    modes_trained_on,
    split_title,
)
from lang1_assets.ops.report.svg import short_number
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
from lang1_assets.ops.tasks import TASKS, Task

SIGNIFICANCE = 0.001
"""Below this p-value a class ratio is said to differ from the paper's; small, because some 80 are compared."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One value as printed."""

    text: str
    url: str | None = None
    differs: bool = False
    """Outside sampling error of what it stands beside."""
    shade: float | None = None
    """0 to 1: how strongly the cell is tinted, in a matrix."""


Content = Cell | str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A caption, a header, and rows of cells; the first columns name the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    num_labels: int = 1
    """Leading columns that hold names; the others hold numbers and are set flush right."""


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[Content]], num_labels: int = 1) -> Table:
    cells = tuple(tuple(as_cell(value) for value in row) for row in rows)
    return Table(caption=caption, header=tuple(header), rows=cells, num_labels=num_labels)


def as_cell(value: Content) -> Cell:
    """Numbers as people read them; what is not there is a dash."""
    if isinstance(value, Cell):
        return value
    if value is None or value == "":
        return Cell(text="–")
    if isinstance(value, float):
        return Cell(text=f"{value:.3f}")
    return Cell(text=f"{value:,}" if isinstance(value, int) else value)


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
        return Cell(text="–")
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
    """What each training transfers to (Fig. 5a): rows trained on, columns tested on; None with joint or zero-shot only."""
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


def link(text: str, url: str | None) -> Cell | None:
    return Cell(text=text, url=url) if url else None


def calibration_table(data: ReportData) -> Table:
    header = ("Task", "Trained on", "Predictions", "ECE, top class", "ECE, positive class")
    rows = [
        [
            TASKS[curve.task].title,
            trained_on_title(curve.trained_on),
            sum(point.count for point in curve.points),
            curve.ece_top_class,
            curve.ece_positive,
        ]
        for curve in data.calibration
        if curve.model == data.model
    ]
    return table("Expected calibration error, 15 bins, 2024 test", header, rows, num_labels=2)


def calibration_points_table(data: ReportData) -> Table:
    header = ("Task", "Trained on", "Mean predicted", "Observed", "Predictions")
    rows = [
        [TASKS[c.task].title, trained_on_title(c.trained_on), p.mean_predicted, p.fraction_positive, p.count]
        for c in data.calibration
        if c.model == data.model
        for p in c.points
    ]
    return table("Points of the reliability curves", header, rows, num_labels=2)


def models_table(data: ReportData) -> Table:
    header = ("Model", "Parameters", "Tokens of pretraining", "Held-out loss", "Held-out perplexity", "MLflow")
    rows = [
        [
            model.name,
            _short(model.num_parameters),
            _short(model.num_tokens),
            model.validation_loss,
            f"{model.validation_perplexity:,.2f}" if model.validation_perplexity is not None else None,
            link("run", model.mlflow_url),
        ]
        for model in data.models
    ]
    return table("Pretrained models", header, rows)


def _short(value: int | None) -> str | None:
    return short_number(value) if value is not None else None


def loss_table(data: ReportData) -> Table:
    rows = [
        [curve.name, "held out" if curve.is_held_out else "training", tokens, loss]
        for curve in data.loss_curves
        for tokens, loss in zip(curve.tokens, curve.losses, strict=True)
    ]
    return table("Loss along pretraining, nats a token", ("Text", "Kind", "Tokens", "Loss"), rows, num_labels=2)


def comprehension_table(data: ReportData) -> Table:
    rows = [[short_number(p.tokens), p.accuracy, p.standard_error, p.num_questions] for p in data.comprehension]
    return table("Zero-shot comprehension", ("Tokens", "Accuracy", "Standard error", "Questions"), rows)


def cohort_table(task: Task, counts: Sequence[CohortCount]) -> Table:
    """Ours beside Tables B1, B2 and the task's own ratio table."""
    number = paper_tables.RATIO_TABLES[task.name]
    header = ("Split", "Notes", "B1", "Patients", "B2")
    options = [column for option in task.options for column in (option, f"{number}: {option}")]
    rows = [
        [
            split_title(task.name, count.split),
            *(count.num_notes, paper_tables.NOTE_COUNTS[task.name][count.split]),
            *(count.num_patients, paper_tables.PATIENT_COUNTS[task.name][count.split]),
            *_ratio_cells(task, count),
        ]
        for count in counts
        if count.split in paper_tables.NOTE_COUNTS[task.name]
    ]
    return table(f"{task.title}, beside Tables B1, B2 and {number}", (*header, *options), rows)


def _ratio_cells(task: Task, count: CohortCount) -> list[Content]:
    cells: list[Content] = []
    for label, num_notes in enumerate(count.notes_by_label):
        expected = paper_tables.CLASS_RATIOS[task.name][count.split][label]
        ours = num_notes / count.num_notes if count.num_notes else None
        text = "–" if ours is None else f"{ours:.2%}"
        cells += [Cell(text=text, differs=differs_from_paper(task, count, label)), f"{expected:.2%}"]
    return cells


def differs_from_paper(task: Task, count: CohortCount, label: int) -> bool:
    """Whether chance alone hardly explains a class ratio beside the paper's: Fisher's exact test, p < 0.001."""
    paper_notes = paper_tables.NOTE_COUNTS[task.name][count.split]
    paper_positive = round(paper_notes * paper_tables.CLASS_RATIOS[task.name][count.split][label])
    positive = count.notes_by_label[label]
    if count.num_notes == 0:
        return False
    counts = [[positive, count.num_notes - positive], [paper_positive, paper_notes - paper_positive]]
    return bool(fisher_exact(counts).pvalue < SIGNIFICANCE)


def stages_table(stages: Sequence[StageCount]) -> Table:
    rows: list[list[Content]] = [
        [
            stage.name,
            stage.num_in,
            stage.num_out,
            stage.num_in - stage.num_out,
            _share(stage.num_in - stage.num_out, stage.num_in),
        ]
        for stage in stages
    ]
    return table("Rows in and out of each stage", ("Stage", "In", "Out", "Rejected", "Share"), rows)


def rejects_table(data: ReportData) -> Table:
    total = sum(reject.num_rows for reject in data.rejects)
    rows = [[r.source, r.reason, r.num_rows, _share(r.num_rows, total)] for r in data.rejects]
    return table("Rejected rows by reason", ("Source", "Reason", "Rows", "Share of rejects"), rows, num_labels=2)


def _share(part: int, whole: int) -> str | None:
    return f"{part / whole:.2%}" if whole else None


def provenance_table(data: ReportData) -> Table:
    header = ("Artifact", "Asset", "Fingerprint", "Made", "MLflow")
    rows = [
        [
            artifact.name,
            Cell(text=artifact.asset_key, url=artifact.url),
            artifact.fingerprint[:16],
            artifact.created,
            link("run", artifact.mlflow_url),
        ]
        for artifact in data.artifacts
    ]
    return table("Artifacts behind this report", header, rows, num_labels=5)
