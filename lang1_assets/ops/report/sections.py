"""The sections of the report in reading order: a heading, what it shows in words, charts, tables, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from lang1_assets.ops.report import figures, tables
from lang1_assets.ops.report.data import ReportData
from lang1_assets.ops.report.figures import JOINT_SERIES, ORACLE_SERIES, SINGLE_SERIES, ZERO_SHOT_SERIES, Series
from lang1_assets.ops.report.tables import Table
from lang1_assets.ops.results import HEADLINE_SPLIT, JOINT, ResultRow, distance_closed, find_row
from lang1_assets.ops.tasks import TASKS

GOAL = 0.6
"""Share of the distance from chance to the oracle that counts as having learned a task."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart, or several small ones side by side; `narrow` replaces `wide` on a phone."""

    caption: str
    wide: tuple[str, ...] = ()
    narrow: str = ""
    legend: tuple[Series, ...] = ()
    numbers: Table | None = None
    """The same numbers, folded below the chart."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the page."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()
    """Long tables, closed until asked for."""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One task in the first screen."""

    title: str
    value: str
    interval: str
    mode: str
    closed: float | None
    oracle: str


def build_sections(data: ReportData) -> list[Section]:
    return [
        results_section(data),
        drift_section(data),
        calibration_section(data),
        pretraining_section(data),
        cohorts_section(data),
        quality_section(data),
        provenance_section(data),
    ]


def headline_rows(data: ReportData) -> dict[str, ResultRow]:
    """Task -> the best training's AUROC on the 2024 test: joint, else single-task, else zero-shot."""
    found = {}
    for task in TASKS:
        rows = [
            find_row(data.rows, model=data.model, trained_on=trained_on, task=task, split=HEADLINE_SPLIT)
            for trained_on in (JOINT, task, None)
        ]
        best = next((row for row in rows if row is not None and row["value"] is not None), None)
        if best is not None:
            found[task] = best
    return found


def tiles(data: ReportData) -> list[Tile]:
    made = []
    for task, row in headline_rows(data).items():
        closed = distance_closed(row)
        low, high, oracle = row["low"], row["high"], row["oracle"]
        made.append(
            Tile(
                title=TASKS[task].title,
                value=f"{row['value']:.3f}",
                interval=f"{low:.3f} – {high:.3f}" if low is not None and high is not None else "no interval",
                mode=_mode_name(row),
                closed=None if closed is None else min(max(closed, 0.0), 1.0),
                oracle=f"oracle {oracle:.3f}" if oracle is not None else "no oracle",
            )
        )
    return made


def _mode_name(row: ResultRow) -> str:
    if row["trained_on"] is None:
        return "zero-shot"
    return "joint" if row["trained_on"] == JOINT else "single task"


def summary(data: ReportData) -> str:
    """The result in a few sentences, from the numbers."""
    rows = headline_rows(data)
    if not rows:
        return f"No result of {data.model} on the 2024 test is here yet: materialize an evaluation, then this report."
    sentences = [_distance_sentence(rows), _zero_shot_sentence(data), _drift_sentence(data)]
    return " ".join(sentence for sentence in sentences if sentence)


def _distance_sentence(rows: dict[str, ResultRow]) -> str:
    who = {
        "joint": "The jointly finetuned model",
        "single task": "The single-task models",
        "zero-shot": "Zero-shot, the model",
    }
    modes = {_mode_name(row) for row in rows.values()}
    subject = who[modes.pop()] if len(modes) == 1 else "The best model of each task"
    verb = "close" if subject.endswith("models") else "closes"
    closed = [value for value in map(distance_closed, rows.values()) if value is not None]
    if not closed:
        mean = fmean(row["value"] or 0.0 for row in rows.values())
        return f"{subject}: mean AUROC {mean:.3f} over {_tasks(len(rows))} on the 2024 test; no oracle is known for this source."
    reached = sum(value >= GOAL for value in closed)
    return (
        f"{subject} {verb} at least {GOAL:.0%} of the distance from chance to the oracle on {reached} of "
        f"{_tasks(len(closed))} of the 2024 test; the median over tasks is {median(closed):.0%}."
    )


def _tasks(number: int) -> str:
    return f"{number} task" + ("s" if number != 1 else "")


def _zero_shot_sentence(data: ReportData) -> str:
    values = _values(data, None, HEADLINE_SPLIT)
    joint = _values(data, JOINT, HEADLINE_SPLIT)
    shared = [task for task in values if task in joint]
    if not shared:
        return ""
    before, after = fmean(values[task] for task in shared), fmean(joint[task] for task in shared)
    return f"Finetuning takes the mean AUROC from {before:.3f} (zero-shot) to {after:.3f}."


def _drift_sentence(data: ReportData) -> str:
    old, new = _values(data, JOINT, "test"), _values(data, JOINT, HEADLINE_SPLIT)
    shared = [task for task in old if task in new]
    if not shared:
        return ""
    change = fmean(new[task] - old[task] for task in shared)
    way = "lower" if change < 0 else "higher"
    return f"Its mean AUROC is {abs(change):.3f} {way} on the 2024 test than on the test of the training years."


def _values(data: ReportData, trained_on: str | None, split: str) -> dict[str, float]:
    found = {}
    for task in TASKS:
        row = find_row(data.rows, model=data.model, trained_on=trained_on, task=task, split=split)
        if row is not None and row["value"] is not None:
            found[task] = row["value"]
    return found


def series_of(data: ReportData, with_oracle: bool = True) -> tuple[Series, ...]:
    """The series that have at least one number on the 2024 test: what a legend lists."""
    names = [lane.series for task in TASKS.values() for lane in figures.lanes(data, task, HEADLINE_SPLIT)]
    known = [series for series in (ZERO_SHOT_SERIES, SINGLE_SERIES, JOINT_SERIES) if series in names]
    has_oracle = any(row["oracle"] is not None for row in data.rows if row["model"] == data.model)
    return (*known, ORACLE_SERIES) if has_oracle and with_oracle else tuple(known)


def results_section(data: ReportData) -> Section:
    missing = _missing_results(data)
    if not headline_rows(data):
        return Section(anchor="results", title="Results", missing=(*missing, "No AUROC on the 2024 test."))
    chart = Figure(
        caption="AUROC on the 2024 test. Lines are 95% intervals from resampling the notes; the shaded band runs from chance "
        "to the oracle, the best that anyone can do who knows the facts in the note.",
        wide=(figures.auroc_chart(data, is_narrow=False),),
        narrow=figures.auroc_chart(data, is_narrow=True),
        legend=series_of(data),
    )
    transfer = tables.transfer_table(data)
    return Section(
        anchor="results",
        title="Zero-shot, finetuned, oracle",
        figures=(chart,),
        tables=(tables.headline_table(data), *([transfer] if transfer else [])),
        folded=(tables.all_results_table(data.rows),),
        missing=missing,
    )


def _missing_results(data: ReportData) -> tuple[str, ...]:
    rows = [row for row in data.rows if row["model"] == data.model]
    trained = {row["trained_on"] for row in rows}
    absent = [TASKS[task].title for task in TASKS if task not in headline_rows(data)]
    notes = {
        "No zero-shot evaluation.": None not in trained,
        "No jointly finetuned model.": JOINT not in trained,
        "No single-task model.": not trained - {None, JOINT},
        "No oracle: only the embedded hospital knows the probability behind a label.": not any(
            row["oracle"] for row in rows
        ),
        f"No result on the 2024 test for: {', '.join(absent)}.": bool(absent),
    }
    partial = sorted({row["task"] for row in rows if row["oracle"] is not None and row["oracle_n"] < row["n"]})
    if partial:
        notes[f"The oracle knows only a part of the notes of: {', '.join(TASKS[task].title for task in partial)}."] = (
            True
        )
    return tuple(note for note, applies in notes.items() if applies)


def drift_section(data: ReportData) -> Section:
    panels = figures.drift_panels(data)
    if not panels:
        return Section(anchor="drift", title="Temporal drift", missing=("No results to compare over time.",))
    figure = Figure(
        caption="AUROC on the test of the training years, on 2021 and on 2024. Insurance denial: March and April 2022 "
        "stand in the place of 2021.",
        wide=tuple(panels),
        legend=series_of(data),
        numbers=tables.drift_table(data),
    )
    return Section(anchor="drift", title="Temporal drift", figures=(figure,))


def calibration_section(data: ReportData) -> Section:
    panels = figures.calibration_panels(data)
    if not panels:
        return Section(anchor="calibration", title="Calibration", missing=("No calibration curve for this model.",))
    figure = Figure(
        caption="Observed frequency against mean predicted probability on the 2024 test, 15 bins; a larger point stands for more "
        "predictions. With more than two classes, all one-versus-rest predictions are pooled.",
        wide=tuple(panels),
        legend=series_of(data, with_oracle=False),
        numbers=tables.calibration_points_table(data),
    )
    return Section(
        anchor="calibration",
        title="Calibration",
        text=(
            "Expected calibration error is the mean distance between confidence and outcome. The two definitions differ: of the "
            "top class (torchmetrics' multiclass form), and of the probability of the positive class.",
        ),
        figures=(figure,),
        tables=(tables.calibration_table(data),),
    )


def pretraining_section(data: ReportData) -> Section:
    drawn, missing = [], []
    if data.loss_curves:
        drawn.append(
            Figure(
                caption="Loss on training batches and on held-out text.",
                wide=(figures.loss_chart(data.loss_curves),),
                numbers=tables.loss_table(data),
            )
        )
    else:
        missing.append("No loss curve: this model was not pretrained here, or its metrics file is gone.")
    if data.comprehension:
        drawn.append(
            Figure(
                caption="Zero-shot accuracy on multiple-choice questions along the trajectory of checkpoints.",
                wide=(figures.comprehension_chart(data),),
                numbers=tables.comprehension_table(data),
            )
        )
    else:
        missing.append("No comprehension questions were asked.")
    return Section(
        anchor="pretraining",
        title="Pretraining",
        figures=tuple(drawn),
        tables=(tables.models_table(data),) if data.models else (),
        missing=tuple(missing),
    )


def cohorts_section(data: ReportData) -> Section:
    if not data.cohorts:
        return Section(anchor="cohorts", title="Cohorts", missing=("No cohort counts.",))
    own = [(task, [count for count in data.cohorts if count.task == name]) for name, task in TASKS.items()]
    made = tuple(tables.cohort_table(task, counts) for task, counts in own if counts)
    return Section(
        anchor="cohorts",
        title="Cohorts beside Tables B1 – B7",
        text=(
            "Ours, then the paper's, for each split. A class ratio that chance hardly explains beside the paper's (Fisher's exact "
            f"test, p < {tables.SIGNIFICANCE}) is marked ≠. The paper's number of patients of the comorbidity task in 2021 "
            "is printed as 251,804, more than its notes.",
        ),
        tables=made,
    )


def quality_section(data: ReportData) -> Section:
    made: list[Table] = []
    missing: list[str] = []
    (made.append(tables.stages_table(data.stages)) if data.stages else missing.append("No counts of rows in and out."))
    (made.append(tables.rejects_table(data)) if data.rejects else missing.append("No rejected rows are recorded."))
    return Section(
        anchor="quality",
        title="Data quality",
        text=("Nothing is dropped silently: what a stage leaves out is kept as a reject with its reason.",),
        tables=tuple(made),
        missing=tuple(missing),
    )


def provenance_section(data: ReportData) -> Section:
    if not data.artifacts:
        return Section(anchor="provenance", title="Provenance", missing=("No artifacts are listed.",))
    return Section(
        anchor="provenance",
        title="Provenance",
        text=(
            "A fingerprint covers an artifact's settings, code and inputs: the same fingerprint means the same result.",
        ),
        tables=(tables.provenance_table(data),),
    )


def all_tables(sections: Sequence[Section]) -> list[tuple[Section, list[Table]]]:
    """Each section with every table it holds, in order."""
    return [
        (section, [*(f.numbers for f in section.figures if f.numbers), *section.tables, *section.folded])
        for section in sections
    ]
