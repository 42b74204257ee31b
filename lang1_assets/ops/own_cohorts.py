"""The cohort of a hospital's own task: its query over the warehouse's tables, with the same splits and groups as the paper's.

The files are those that the SQL project writes for the paper's tasks, of this one task: `cohort_TASK`, `cohort_timing`,
`cohort_attrition`, `cohort_counts`, `task_inputs` and the `patients` in it. Every row of the query is in the cohort or in
`rejects`. The query reads four tables without the text of notes and nothing else, and no error repeats what a row holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from lang1_assets.ops.labeling import CohortError
from lang1_assets.ops.tasks import Task

REQUIRED = {"note_id": "VARCHAR", "prediction_time": "TIMESTAMP", "label": "INTEGER"}
OPTIONAL = {"outcome_time": "TIMESTAMP"}
# The contract's tables without the text of notes: a label that is read from a note is in the note.
TABLES = {
    "stg_notes": """select note_id, encounter_id, subject_id, note_type, department, author_id, written_time,
        length(coalesce(narrative, '')) + length(coalesce(impression, '')) + length(coalesce(addendum, '')) as num_characters
        from read_parquet('{folder}/staged_notes.parquet')""",
    "stg_encounters": "select * exclude (length_of_stay_days) from read_parquet('{folder}/encounters.parquet')",
    "stg_patients": "select * from read_parquet('{folder}/patients.parquet')",
    "stg_diagnoses": "select * from read_parquet('{folder}/diagnoses.parquet')",
}
STEPS = {
    "row_of_the_query": "rows of the task's query",
    "no_such_note": "a {note_type} note of a known stay and patient",
    "no_label_or_time": "with a label and a prediction time",
    "outside_study_windows": "discharged within the study windows",
}
"""Reason of the rejects at a step -> what the step asks."""
BEFORE_ROWS = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException)
"""Errors in what a query says, found before any row is read: their words are the query's own and names of columns."""
VALUE = re.compile(r"""['"\n]|(?<!\w)-?\d""")
"""Where a value may begin in the message of an error that a row gave; what follows may be the row's."""


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How the paper's tasks are split; `settings.Cohorts` says what each field means."""

    windows: Mapping[str, tuple[date, date]] | None
    """Split -> days of discharge, the last excluded; None where all is development (shifted dates)."""
    split_by: str
    seed: int


def write_own_cohort(task: Task, tables: Path, folder: Path, config: SplitConfig) -> dict[str, int]:
    """Run the task's query and write the files of its cohort.

    Returns:
        Rows of the query, rows of the cohort, and rejects by reason.

    Raises:
        CohortError: the query does not run, or what it gives is no cohort; says which column and what was expected.
    """
    assert task.cohort is not None, "only a hospital's own task has a query"
    # What does not fit in memory is written beside the files that are made, not in the working folder.
    with duckdb.connect(config={"temp_directory": str(folder / "spill")}) as database:
        read_tables(database, tables)
        asked = run_query(database, task)
        check_labels(asked, task)
        database.register("asked", asked)
        database.execute(f"create table judged as {judged_sql(task, config)}")
        database.execute(f"create table cohort as {cohort_sql(task, config)}")
        counted = write_files(database, task, folder)
    if sum(counted.values()) != len(asked):
        raise CohortError(f"task {task.name}: {len(asked)} rows of the query became {sum(counted.values())}")
    return {"num_rows": len(asked), "num_in_cohort": counted.pop("in_cohort", 0), **counted}


def read_tables(database: duckdb.DuckDBPyConnection, tables: Path) -> None:
    """`TABLES` as tables of the database, which from then on opens no file and no variable of this process."""
    for name, sql in TABLES.items():
        # Tables, not views: a view's file would have to stay open to the query, and with it the text of notes.
        database.execute(f"create table {name} as {sql.format(folder=str(tables).replace(chr(39), chr(39) * 2))}")
    for setting in (
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        database.execute(f"set {setting}")


def run_query(database: duckdb.DuckDBPyConnection, task: Task) -> pl.DataFrame:
    """What the task's query gives, with its columns in their types."""
    assert task.cohort is not None
    try:
        statements = database.extract_statements(task.cohort.sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise CohortError(f"task {task.name}: cohort.sql is {len(statements)} statements; expected one select")
        found = frame_of(database, statements[0].query)
    except duckdb.Error as error:
        raise CohortError(
            f"task {task.name}: cohort.sql does not run: {reason_of(error)}; it may read {', '.join(TABLES)}"
        ) from None
    missing = [name for name in REQUIRED if name not in found.columns]
    unknown = [name for name in found.columns if name not in {**REQUIRED, **OPTIONAL}]
    if missing or unknown:
        raise CohortError(
            f"task {task.name}: cohort.sql gives {', '.join(found.columns)}; expected {', '.join(REQUIRED)}, and where "
            f"it is known {', '.join(OPTIONAL)}"
        )
    types: dict[str, Any] = {
        name: pl.Datetime("us") for name in ("prediction_time", "outcome_time") if name in found.columns
    }
    if "outcome_time" not in found.columns:
        found = found.with_columns(outcome_time=pl.lit(None, pl.Datetime("us")))
    wrong = [name for name in types if not found[name].dtype.is_temporal() and found[name].dtype != pl.Null]
    wrong += ["label"] if not (found["label"].dtype.is_integer() or found["label"].dtype == pl.Null) else []
    if wrong:
        kinds = "; ".join(f"{name} as {found[name].dtype}" for name in wrong)
        raise CohortError(
            f"task {task.name}: cohort.sql gives {kinds}; expected times as timestamps and label as a whole number"
        )
    types |= {"note_id": pl.String, "label": pl.Int32}
    return found.with_columns(pl.col(name).cast(kind) for name, kind in types.items()).select(*REQUIRED, *OPTIONAL)


def reason_of(error: duckdb.Error) -> str:
    """DuckDB's first line; of an error that a row gave, only what stands before any value."""
    if isinstance(error, BEFORE_ROWS):
        return str(error).splitlines()[0]
    kind, _, message = str(error).partition(": ")
    # The function error() makes a message of what a row holds and of nothing else.
    before = "" if isinstance(error, duckdb.InvalidInputException) else VALUE.split(message, maxsplit=1)[0].strip()
    told = f"{kind}: {before}".strip()
    return f"{told} ... (values of rows are not repeated; try_cast gives null where cast fails)"


def frame_of(database: duckdb.DuckDBPyConnection, sql: str) -> pl.DataFrame:
    frame = pl.from_arrow(database.sql(sql).to_arrow_table())
    assert isinstance(frame, pl.DataFrame), "a query gives a table"
    return frame


def check_labels(asked: pl.DataFrame, task: Task) -> None:
    twice = asked.filter(pl.col("note_id").is_duplicated() | pl.col("note_id").is_null())["note_id"]
    if len(twice):
        first = twice.drop_nulls().sort().first()
        what = "a row without note_id" if first is None else f"note_id {first!r} more than once"
        raise CohortError(f"task {task.name}: cohort.sql gives {what}; expected one row a note")
    outside = asked.filter(~pl.col("label").is_between(0, task.num_classes - 1))
    if len(outside):
        raise CohortError(
            f"task {task.name}: cohort.sql gives label {outside['label'][0]} for note_id {outside['note_id'][0]}; expected 0 "
            f"to {task.num_classes - 1}, the places of the options"
        )


def judged_sql(task: Task, config: SplitConfig) -> str:
    """Every row of the query with what is known of its note, its window, and the first step that it fails."""
    return f"""
        with known as (
            select asked.*, notes.encounter_id, notes.subject_id, notes.written_time, notes.num_characters, notes.author_id,
                encounters.admit_time, encounters.discharge_time,
                coalesce(notes.department, encounters.department) as department,
                notes.note_type = '{task.note_type}' and patients.subject_id is not null as is_known,
                {window_sql(config)} as study_window
            from asked
            left join stg_notes as notes using (note_id)
            left join stg_encounters as encounters on notes.encounter_id = encounters.encounter_id
            left join stg_patients as patients on notes.subject_id = patients.subject_id
        )
        select *, case
            when not coalesce(is_known, false) or admit_time is null then 1
            when label is null or prediction_time is null then 2
            when study_window is null then 3
        end as left_at_step
        from known
    """


def window_sql(config: SplitConfig) -> str:
    """As `study_window` of dbt_notes."""
    if config.windows is None:
        return "case when encounters.discharge_time is not null then 'development' end"
    cases = [
        f"when encounters.discharge_time >= date '{first}' and encounters.discharge_time < date '{last}' then '{name}'"
        for name, (first, last) in config.windows.items()
    ]
    return f"case {' '.join(cases)} end"


def cohort_sql(task: Task, config: SplitConfig) -> str:
    """As `cohort_of` of dbt_notes: the development window is cut by rank of a hash that leaves the task out."""
    assert task.cohort is not None
    train, val, _ = task.cohort.split_shares
    unit = {"note": "note_id", "patient": "subject_id"}[config.split_by]
    return f"""
        with candidates as (select * from judged where left_at_step is null),
        units as (select distinct {unit} as unit_id from candidates where study_window = 'development'),
        ranked as (
            select unit_id, count(*) over () as num_units,
                row_number() over (order by md5(unit_id || ':{config.seed}'), unit_id) as unit_rank
            from units
        )
        select candidates.note_id, candidates.encounter_id, candidates.subject_id, candidates.prediction_time,
            case when study_window <> 'development' then study_window
                when unit_rank * 100 <= num_units * {train} then 'train'
                when unit_rank * 100 <= num_units * {train + val} then 'val'
                else 'test' end as split,
            candidates.label,
            cast(date_part('year', age(prediction_time, cast(birth_date as timestamp))) as integer) as age,
            sex, race, ethnicity, borough
        from candidates
        inner join stg_patients using (subject_id)
        left join ranked on candidates.{unit} = ranked.unit_id
        order by candidates.note_id
    """


def write_files(database: duckdb.DuckDBPyConnection, task: Task, folder: Path) -> dict[str, int]:
    """The cohort's files; rows by what became of them."""
    reasons = list(STEPS)
    frames: dict[str, Any] = {
        f"cohort_{task.name}": "select * from cohort",
        "cohort_timing": f"""select '{task.name}' as task, note_id, written_time, admit_time, discharge_time, prediction_time,
            outcome_time, cast(null as timestamp) as follow_up_end, num_characters, department, author_id
            from judged where left_at_step is null order by note_id""",
        "cohort_counts": f"""select '{task.name}' as task, split, label, count(*) as num_notes,
            count(distinct subject_id) as num_patients from cohort group by split, label order by split, label""",
        "task_inputs": f"select '{task.name}' as task, true as is_supplied, cast(null as varchar) as reason",
        "patients": "select * from stg_patients where subject_id in (select subject_id from cohort) order by subject_id",
        "rejects": f"""select 'cohort_{task.name}' as source, note_id as row_id,
            case left_at_step {" ".join(f"when {step} then '{reason}'" for step, reason in enumerate(reasons))} end as reason
            from judged where left_at_step is not null order by note_id""",
    }
    for name, sql in frames.items():
        frame_of(database, sql).write_parquet(folder / f"{name}.parquet")
    attrition(database, task).write_parquet(folder / "cohort_attrition.parquet")
    rows = database.execute("select coalesce(left_at_step, 0), count(*) from judged group by 1").fetchall()
    return {reasons[step] if step else "in_cohort": int(count) for step, count in rows}


def attrition(database: duckdb.DuckDBPyConnection, task: Task) -> pl.DataFrame:
    """What is left after each step, as `cohort_attrition` of dbt_notes has it."""
    rows = []
    for number, step in enumerate(STEPS.values()):
        left = database.execute(
            "select count(*), count(distinct encounter_id), count(distinct subject_id) from judged "
            f"where coalesce(left_at_step, 1000) > {number}"
        ).fetchone()
        assert left is not None, "a count has a row"
        rows.append((task.name, number, step.format(note_type=task.note_type), *left))
    counted = ("num_notes_left", "num_encounters_left", "num_patients_left")
    return pl.DataFrame(rows, schema=["task", "step_number", "step", *counted], orient="row")
