"""The tables of what the results rest on: models, cohorts beside the paper's, rejects, artifacts."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import fisher_exact

from lang1_assets.ops import paper_tables
from lang1_assets.ops.axes import short_number
from lang1_assets.ops.report.data import CohortCount, ReportData, StageCount, TrajectoryPoint
from lang1_assets.ops.report.tables import NOTHING, Cell, Content, Table, link, table
from lang1_assets.ops.split_titles import SplitTitles
from lang1_assets.ops.tasks import TASKS, Task

SIGNIFICANCE = 0.001
"""Below this p-value a class ratio is said to differ from the paper's; small, because some 80 are compared."""


def models_table(data: ReportData) -> Table:
    header = ("Model", "Parameters", "Tokens of pretraining", "Held-out loss", "Held-out perplexity", "MLflow")
    rows: list[list[Content]] = [
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
    rows: list[list[Content]] = [
        [curve.name, "held out" if curve.is_held_out else "training", tokens, loss]
        for curve in data.loss_curves
        for tokens, loss in zip(curve.tokens, curve.losses, strict=True)
    ]
    return table("Loss along pretraining, nats a token", ("Text", "Kind", "Tokens", "Loss"), rows, num_labels=2)


def trajectory_table(points: Sequence[TrajectoryPoint], caption: str, metric: str, counted: str) -> Table:
    """Values along the checkpoints, of the questions or of every task."""
    rows: list[list[Content]] = [
        [
            TASKS[p.name].title if p.name in TASKS else "",
            short_number(p.tokens),
            p.value,
            f"{p.low:.3f} – {p.high:.3f}",
            p.n,
        ]
        for p in points
    ]
    named = len({point.name for point in points}) > 1 or any(point.name in TASKS for point in points)
    header = ("Task", "Tokens", metric, "95% interval", counted)
    return table(caption, header if named else header[1:], rows if named else [row[1:] for row in rows])


def cohort_table(task: Task, counts: Sequence[CohortCount], titles: SplitTitles) -> Table:
    """Ours beside Tables B1, B2 and the task's own ratio table."""
    number = paper_tables.RATIO_TABLES[task.name]
    header = ("Split", "Notes", "B1", "Patients", "B2")
    options = [column for option in task.options for column in (option, number)]
    rows: list[list[Content]] = [
        [
            titles.of(count.split, task.name),
            *(count.num_notes, paper_tables.NOTE_COUNTS[task.name][count.split]),
            *(count.num_patients, paper_tables.PATIENT_COUNTS[task.name][count.split]),
            *_ratio_cells(task, count),
        ]
        for count in counts
        if count.split in paper_tables.NOTE_COUNTS[task.name]
    ]
    return table(
        f"{task.title}, beside Tables B1, B2 and {number}",
        (*header, *options),
        rows,
        reference=range(2, len(header) + len(options), 2),
    )


def _ratio_cells(task: Task, count: CohortCount) -> list[Content]:
    cells: list[Content] = []
    for label, num_notes in enumerate(count.notes_by_label):
        expected = paper_tables.CLASS_RATIOS[task.name][count.split][label]
        ours = num_notes / count.num_notes if count.num_notes else None
        text = NOTHING if ours is None else f"{ours:.2%}"
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
    rows: list[list[Content]] = [
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
