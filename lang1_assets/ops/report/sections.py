"""The sections of the report in reading order: heading, words, charts, tables, and what is missing."""

from __future__ import annotations

from lang1_assets.ops import paper_tables
from lang1_assets.ops.leaderboard import HEADER, cells
from lang1_assets.ops.report import figures, pretraining_figures, result_tables, run_tables
from lang1_assets.ops.report.data import ReportData, left_out_line
from lang1_assets.ops.report.figures import ORACLE_BAR, ORACLE_SERIES, TRAINED_SERIES, Series
from lang1_assets.ops.report.layout import Drawing, Section
from lang1_assets.ops.report.run_tables import SIGNIFICANCE
from lang1_assets.ops.report.study_sections import (
    cards_section,
    claims_section,
    memorization_section,
    studies_section,
)
from lang1_assets.ops.report.summary import headline_rows
from lang1_assets.ops.report.tables import table
from lang1_assets.ops.results import JOINT, switched_off_lines
from lang1_assets.ops.tasks import COMPREHENSION, REMEDE, TASKS


def build_sections(data: ReportData) -> list[Section]:
    """In reading order; what a study shows has no section of its own beside it."""
    found = [
        claims_section(data),
        results_section(data),
        studies_section(data),
        leaderboard_section(data),
        drift_section(data) if "temporal_decay" not in data.study_names else None,
        calibration_section(data) if "calibration" not in data.study_names else None,
        pretraining_section(data),
        trajectory_section(data) if "emergence" not in data.study_names else None,
        memorization_section(data),
        cohorts_section(data),
        quality_section(data),
        cards_section(data),
        provenance_section(data),
    ]
    return [section for section in found if section is not None]


def series_of(data: ReportData, oracle: Series | None) -> tuple[Series, ...]:
    """The series that have at least one number on the headline test: what a legend lists."""
    names = [lane.series for task in data.tasks.values() for lane in figures.lanes(data, task, data.headline_split)]
    known = tuple(series for series in TRAINED_SERIES if series in names)
    return (*known, oracle) if oracle is not None and has_oracle(data) else known


def has_oracle(data: ReportData) -> bool:
    return any(row["oracle"] is not None for row in data.rows if row["model"] == data.model)


def results_section(data: ReportData) -> Section:
    missing = (*_missing_results(data), *left_out_line(data, r"(?!trajectory_)\w+_evaluation"))
    if not headline_rows(data):
        return Section(
            anchor="results",
            title=data.titled("Results") if data.rows else "Results",
            folded=(result_tables.all_results_table(data),) if data.rows else (),
            missing=(*missing, f"No AUROC on the {data.headline_title}."),
        )
    band = (
        " The shaded band runs from chance to the oracle, the best that anyone can do who knows the facts in the note."
        if has_oracle(data)
        else ""
    )
    chart = Drawing(
        caption=f"AUROC on the {data.headline_title}. Lines are 95% intervals from resampling the notes.{band}",
        wide=(figures.auroc_chart(data, is_narrow=False),),
        narrow=figures.auroc_chart(data, is_narrow=True),
        legend=series_of(data, ORACLE_SERIES),
    )
    matrix = result_tables.models_by_task_table(data) or result_tables.transfer_table(data)
    return Section(
        anchor="results",
        title=data.titled("Zero-shot, finetuned, oracle"),
        figures=(chart,),
        tables=(result_tables.headline_table(data), *([matrix] if matrix else [])),
        folded=(result_tables.all_results_table(data),),
        missing=missing,
    )


def leaderboard_section(data: ReportData) -> Section:
    """The project's own models and those from elsewhere, the best first, a table a task."""
    board = [entry for entry in data.leaderboard if entry["split"] == data.headline_split]
    found = {name: [entry for entry in board if entry["task"] == name] for name in data.tasks}
    tables = tuple(
        table(
            f"{TASKS[name].title}, {data.split_titles.test(data.headline_split, [name])}",
            HEADER,
            [cells(entry) for entry in entries],
            num_labels=2,
        )
        for name, entries in found.items()
        if entries
    )
    if not tables:
        missing = left_out_line(data, "leaderboard") or ("The asset 'leaderboard' was not made.",)
        return Section(anchor="leaderboard", title="Leaderboard", missing=missing)
    return Section(
        anchor="leaderboard",
        title=data.titled("Leaderboard"),
        text=(
            "Below the best: AUROC of the best model, among those that scored the most notes, less this one's, on the notes that "
            "both scored, with the 95% interval of these two, from resampled patients. p (Holm): of no difference, adjusted for "
            "all models that are compared with the best of the task; which one that is was chosen on the same notes, which "
            "flatters it. Sampled: what a model would get that is asked "
            "as chat models are, ten times or for comorbidity once. Models marked \N{DAGGER} have nothing else, and are to be "
            "compared with that column. Rescued: notes whose letters a server listed only when asked again.",
        ),
        tables=tables,
    )


def _missing_results(data: ReportData) -> tuple[str, ...]:
    rows = [row for row in data.rows if row["model"] == data.model]
    trained = {row["trained_on"] for row in rows}
    absent = [task.title for name, task in data.tasks.items() if name not in headline_rows(data)]
    notes = {
        "No zero-shot evaluation.": None not in trained,
        "No jointly finetuned model.": JOINT not in trained,
        "No single-task model.": not trained - {None, JOINT},
        "No oracle: only the embedded hospital knows the probability behind a label.": not any(
            row["oracle"] for row in rows
        ),
        f"No result on the {data.headline_title} for: {', '.join(absent)}.": bool(absent),
    }
    partial = sorted({row["task"] for row in rows if row["oracle"] is not None and row["oracle_n"] < row["n"]})
    if partial:
        notes[f"The oracle knows only a part of the notes of: {', '.join(TASKS[task].title for task in partial)}."] = (
            True
        )
    return (*(note for note, applies in notes.items() if applies), *_beside_the_source(data))


def _beside_the_source(data: ReportData) -> tuple[str, ...]:
    """Results of tasks and splits that the source does not have: those of an earlier source, which no chart shows."""
    tasks = dict.fromkeys(TASKS[row["task"]].title for row in data.rows if row["task"] in data.switched_off)
    splits = dict.fromkeys(row["split"] for row in data.rows if row["split"] not in data.splits)
    named = ", ".join((*tasks, *(f"split {split}" for split in splits)))
    if not named:
        return ()
    return (f"Only in the table of every number, for this source does not have them: {named}. Evaluate again.",)


def drift_section(data: ReportData) -> Section:
    if len(data.test_splits) < 2:
        note = "One test set only, of the same period as the training set: drift over time is not measured."
        return Section(anchor="drift", title="Temporal drift", missing=(note,))
    panels = figures.drift_panels(data)
    if not panels:
        return Section(anchor="drift", title="Temporal drift", missing=("No results to compare over time.",))
    figure = Drawing(
        caption=_drift_caption(data),
        wide=tuple(panels),
        is_small=True,
        legend=series_of(data, ORACLE_BAR),
        numbers=result_tables.drift_table(data),
    )
    return Section(anchor="drift", title=data.titled("Temporal drift"), figures=(figure,))


def _drift_caption(data: ReportData) -> str:
    names = [
        "the test of the training years" if split == "test" else data.split_titles.heading(split, data.tasks)
        for split in data.test_splits
    ]
    return f"AUROC on {', on '.join(names[:-1])} and on {names[-1]}."


def calibration_section(data: ReportData) -> Section:
    panels = figures.calibration_panels(data)
    if not panels:
        return Section(anchor="calibration", title="Calibration", missing=("No calibration curve for this model.",))
    figure = Drawing(
        caption=f"Observed frequency against mean predicted probability on the {data.headline_title}, 15 bins; a larger "
        "point stands for more predictions. With more than two classes, all one-versus-rest predictions are pooled.",
        wide=tuple(panels),
        is_small=True,
        legend=series_of(data, None),
        numbers=result_tables.calibration_points_table(data),
    )
    return Section(
        anchor="calibration",
        title=data.titled("Calibration"),
        text=(
            "Expected calibration error is the mean distance between confidence and outcome. The two definitions "
            "differ: of the top class (torchmetrics' multiclass form), and of the probability of the positive class.",
        ),
        figures=(figure,),
        tables=(result_tables.calibration_table(data),),
    )


def pretraining_section(data: ReportData) -> Section:
    drawn, missing = [], []
    if data.loss_curves:
        drawn.append(
            Drawing(
                caption="Loss on training batches and on held-out text.",
                wide=(pretraining_figures.loss_chart(data.loss_curves),),
                numbers=run_tables.loss_table(data),
            )
        )
    else:
        missing.append("No loss curve: this model was not pretrained here, or its metrics file is gone.")
    return Section(
        anchor="pretraining",
        title="Pretraining",
        figures=tuple(drawn),
        tables=(run_tables.models_table(data),) if data.models else (),
        missing=tuple(missing),
    )


def trajectory_section(data: ReportData) -> Section:
    """Fig. 3: what emerges in pretraining, and what does not."""
    drawn, missing = [], list(left_out_line(data, "trajectory_evaluation"))
    for name, points in data.comprehension.items():
        asked = COMPREHENSION[name].title
        drawn.append(
            Drawing(
                caption=f"{asked}: zero-shot accuracy on multiple-choice questions along the checkpoints, with 95% intervals "
                "(Fig. 3a).",
                wide=(pretraining_figures.comprehension_chart(asked, points),),
                numbers=run_tables.trajectory_table(points, f"{asked}, zero-shot", "Accuracy", "Questions"),
            )
        )
    if not data.comprehension:
        missing.append("No comprehension questions were asked.")
    by_task = data.zero_shot_trajectory
    if by_task:
        all_points = [point for found in by_task.values() for point in found]
        drawn.append(
            Drawing(
                caption=f"Zero-shot AUROC on notes of the {data.headline_title} along the checkpoints, with 95% intervals "
                "(Fig. 3b).",
                wide=(pretraining_figures.zero_shot_chart(data),),
                legend=tuple(pretraining_figures.TASK_SERIES[name] for name in by_task),
                numbers=run_tables.trajectory_table(all_points, "Zero-shot AUROC along pretraining", "AUROC", "Notes"),
            )
        )
    else:
        missing.append("No checkpoint was scored on notes.")
    title = data.titled("What emerges in pretraining") if drawn else "What emerges in pretraining"
    return Section(anchor="trajectory", title=title, figures=tuple(drawn), missing=tuple(missing))


def cohorts_section(data: ReportData) -> Section:
    off = tuple(switched_off_lines(data.switched_off))
    # A split that the source does not have is no row of zeros.
    counts = [count for count in data.cohorts if count.split in data.splits or count.num_notes]
    # The paper has no table of a hospital's own task.
    own = [(TASKS[name], [count for count in counts if count.task == name]) for name in REMEDE if name in data.tasks]
    made = tuple(run_tables.cohort_table(task, counts, data.split_titles) for task, counts in own if counts)
    if not made:
        return Section(anchor="cohorts", title="Cohorts", missing=("No cohort counts.", *off))
    return Section(
        anchor="cohorts",
        title="Cohorts beside the paper's" if off else "Cohorts beside Tables B1 – B7",
        text=(_cohorts_text(data),),
        tables=made,
        missing=off,
    )


def _cohorts_text(data: ReportData) -> str:
    text = (
        "Ours, and in the columns named after its tables the paper's. A class ratio that chance hardly "
        f"explains beside the paper's (Fisher's exact test, p < {SIGNIFICANCE}) is marked ≠."
    )
    if "comorbidity" in data.tasks and "temporal_2021" in data.splits:
        text += " The paper prints 251,804 patients for comorbidity in 2021, more than its notes."
    years, papers = (
        [titles.heading(split, data.tasks) for split in data.test_splits]
        for titles in (data.split_titles, paper_tables.TEST_TITLES)
    )
    return text if years == papers else f"{text} The paper's later tests are of {' and of '.join(papers[1:])}."


def quality_section(data: ReportData) -> Section:
    made = [run_tables.stages_table(data.stages)] if data.stages else []
    made += [run_tables.rejects_table(data)] if data.rejects else []
    missing = ["No counts of rows in and out."] if not data.stages else []
    missing += ["No rejected rows are recorded."] if not data.rejects else []
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
        tables=(run_tables.provenance_table(data),),
    )
