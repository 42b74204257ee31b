"""A hospital's own cohort: the same rows as the SQL project gives for the same question, and what a query may not do."""

import dataclasses
import traceback
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.hospital import HospitalConfig, write_exports
from lang1_assets.ops.labeling import CohortError, check_classes, join_text, missing_inputs
from lang1_assets.ops.own_cohorts import SplitConfig, read_tables, write_own_cohort
from lang1_assets.ops.tasks import TASKS, Cohort, Task
from lang1_assets.settings.cohorts import Cohorts
from tests.dbt_runs import run_dbt

SEED = 5
WINDOWS = Cohorts().split_windows["inpatient"]
MORTALITY = """
    select note_id, written_time as prediction_time, discharge_time as outcome_time,
        cast(lower(trim(coalesce(discharge_disposition, ''))) = 'expired' as integer) as label
    from stg_notes
    join stg_encounters using (encounter_id)
    where note_type = 'hp' and encounter_class = 'inpatient' and written_time < discharge_time
        and written_time between admit_time - interval 720 hours and admit_time + interval 24 hours
    qualify row_number() over (partition by encounter_id order by written_time, note_id) = 1
    -- as the paper has it
"""


def own(sql: str, **changes: Any) -> Task:
    return dataclasses.replace(TASKS["mortality"], name="ours", cohort=Cohort(sql=sql, **changes))


def config(**changes: Any) -> SplitConfig:
    return SplitConfig(**{"windows": WINDOWS, "split_by": "note", "seed": SEED, **changes})


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    write_exports(folder, HospitalConfig(num_encounters=1_200, seed=SEED))
    return folder


@pytest.mark.parametrize("split_by", ["note", "patient"])
def test_the_paper_s_question_gives_the_paper_s_cohort(exports: Path, tmp_path: Path, split_by: str) -> None:
    """Notes, labels, splits, ages and groups are those of the SQL project, and so are times and counts."""
    untested = ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
    built = run_dbt(exports, tmp_path / "run", "build", *untested, split_seed=SEED, split_by=split_by)
    assert built.exit_code == 0, built.output
    (tmp_path / "own").mkdir()
    counted = write_own_cohort(own(MORTALITY), built.parquet, tmp_path / "own", config(split_by=split_by))
    expected = built.table("cohort_mortality").sort("note_id")
    assert len(expected) > 300
    assert pl.read_parquet(tmp_path / "own" / "cohort_ours.parquet").equals(expected)
    assert expected["split"].n_unique() == 5
    assert counted["num_in_cohort"] == len(expected)
    assert counted["num_rows"] == sum(counted.values()) - counted["num_rows"]
    for table, keys in (("cohort_timing", ["note_id"]), ("cohort_counts", ["split", "label"])):
        theirs = built.table(table).filter(task="mortality").drop("task").sort(keys)
        ours = pl.read_parquet(tmp_path / "own" / f"{table}.parquet").drop("task").sort(keys)
        assert ours.equals(theirs)


def stays(tables: Path, num: int = 60) -> pl.DataFrame:
    """The warehouse's tables by hand: a stay a day, each with a note of admission."""
    admitted = [datetime(2019, 1, 1) + timedelta(days=number) for number in range(num)]
    ids = [f"{number:03d}" for number in range(num)]
    patients = pl.DataFrame({"subject_id": ids, "birth_date": [date(1950, 6, 1)] * num}).with_columns(
        *(pl.lit("x").alias(name) for name in ("sex", "race", "ethnicity", "borough"))
    )
    encounters = pl.DataFrame(
        {
            "encounter_id": ids,
            "subject_id": ids,
            "admit_time": admitted,
            "discharge_time": [time + timedelta(days=3) for time in admitted],
            "department": ["Medicine"] * num,
            "length_of_stay_days": [3] * num,
        }
    )
    notes = pl.DataFrame(
        {
            "note_id": ids,
            "encounter_id": ids,
            "subject_id": ids,
            "note_type": ["hp"] * num,
            "department": [None] * num,
            "author_id": ["a"] * num,
            "written_time": admitted,
            "narrative": ["CANARY note text"] * num,
            "impression": [None] * num,
            "addendum": [None] * num,
        },
        schema_overrides={"department": pl.String, "impression": pl.String, "addendum": pl.String},
    )
    tables.mkdir(exist_ok=True)
    named = {"patients": patients, "encounters": encounters, "staged_notes": notes, "diagnoses": encounters}
    for name, frame in named.items():
        frame.write_parquet(tables / f"{name}.parquet")
    return notes


PLAIN = "select note_id, written_time as prediction_time, cast(note_id as integer) % 2 as label from stg_notes"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    stays(tmp_path / "tables")
    return tmp_path / "tables"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def test_files_are_those_of_the_contract_and_serve_the_next_stage(tables: Path, folder: Path) -> None:
    task = own(PLAIN, split_shares=(50, 25, 25))
    assert write_own_cohort(task, tables, folder, config(windows=None)) == {"num_rows": 60, "num_in_cohort": 60}
    for name, schema in (("cohort_ours", schemas.COHORT), ("cohort_timing", schemas.TIMING)):
        found = pq.read_schema(folder / f"{name}.parquet")
        assert (found.names, [str(kind).removeprefix("large_") for kind in found.types]) == (
            schema.names,
            [str(kind) for kind in schema.types],
        )
    cohort = pl.read_parquet(folder / "cohort_ours.parquet")
    assert cohort["split"].value_counts().sort("split")["count"].to_list() == [15, 30, 15]
    assert set(cohort["age"]) == {68}
    assert missing_inputs(folder / "task_inputs.parquet", task) is None
    cohort.select("note_id", text=pl.lit("clean")).write_parquet(folder / "notes.parquet")
    joined = join_text(folder / "cohort_ours.parquet", folder / "notes.parquet")
    assert check_classes(joined.examples, task, schemas.DEVELOPMENT_SPLITS) == []
    assert "CANARY" not in "".join(str(pl.read_parquet(path).to_dicts()) for path in folder.glob("*.parquet"))


def test_every_row_is_in_the_cohort_or_in_the_rejects(tables: Path, folder: Path) -> None:
    sql = """
        select note_id, case when note_id <> '004' then written_time end as prediction_time,
            case when note_id <> '005' then 0 end as label
        from stg_notes
        union all select 'stranger', timestamp '2019-01-01', 1
    """
    notes = pl.read_parquet(tables / "staged_notes.parquet")
    other = pl.when(pl.col("note_id") == "006").then(pl.lit("discharge")).otherwise(pl.col("note_type"))
    notes.with_columns(note_type=other).write_parquet(tables / "staged_notes.parquet")
    windows = {"development": (date(2019, 1, 1), date(2019, 2, 1))}
    counted = write_own_cohort(own(sql), tables, folder, config(windows=windows))
    assert counted == {
        "num_rows": 61,
        "num_in_cohort": 25,
        "no_such_note": 2,
        "no_label_or_time": 2,
        "outside_study_windows": 32,
    }
    rejects = pl.read_parquet(folder / "rejects.parquet")
    assert rejects.columns == schemas.REJECTS.names
    cohort = pl.read_parquet(folder / "cohort_ours.parquet")
    asked = {"stranger", *notes["note_id"]}
    assert {*rejects["row_id"], *cohort["note_id"]} == asked
    assert len(rejects) + len(cohort) == len(asked)
    reasons = dict(rejects.select("row_id", "reason").iter_rows())
    assert reasons["stranger"] == reasons["006"] == "no_such_note"
    assert reasons["004"] == reasons["005"] == "no_label_or_time"
    left = pl.read_parquet(folder / "cohort_attrition.parquet").sort("step_number")
    assert left["num_notes_left"].to_list() == [61, 59, 57, 25]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select note_id from stg_notes", "gives note_id; expected note_id, prediction_time, label"),
        (f"select *, 1 as weight from ({PLAIN})", "gives note_id, prediction_time, label, weight; expected"),
        (PLAIN.replace("% 2", "% 3"), "label 2 for note_id '?002'?; expected 0 to 1"),
        (PLAIN + " union all select '007', timestamp '2019-01-01', 0", "gives note_id '007' more than once"),
        (PLAIN.replace("select note_id", "select null as note_id"), "a row without note_id"),
        (PLAIN.replace("written_time as", "note_id as"), "prediction_time as String; expected times as timestamps"),
        (
            PLAIN.replace("cast(note_id as integer) % 2", "0.5"),
            "label as .*expected times as timestamps and label as a whole",
        ),
        ("select narrative from stg_notes", 'does not run: Binder Error: .*"narrative" not found'),
        ("select * from stg_visits", "does not run: Catalog Error: .*it may read stg_notes, stg_encounters"),
        ("drop view stg_notes", "is 1 statements; expected one select"),
        ("", "is 0 statements; expected one select"),
        ("select 1); copy (select 1) to 'out.csv'; (select 1", "does not run: Parser Error"),
        (PLAIN + "; copy (select 1) to 'out.csv'", "is 2 statements; expected one select"),
    ],
)
def test_a_query_that_gives_no_cohort(tables: Path, folder: Path, sql: str, expected: str) -> None:
    with pytest.raises(CohortError, match=f"task ours: cohort.sql .*{expected}") as caught:
        write_own_cohort(own(sql), tables, folder, config())
    assert "CANARY" not in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cast(department as integer)", "Conversion Error: Could not convert string ..."),
        ("cast(department || chr(10) || department as integer)", "Conversion Error: Could not convert string ..."),
        ("year(cast(department as timestamp))", "Conversion Error: invalid timestamp field format: ..."),
        ("cast(error(department) as integer)", "Invalid Input Error: ..."),
        ("cast(num_characters * 1000000000 as integer)", "Conversion Error: Type INT64 with value ..."),
    ],
)
def test_no_error_repeats_what_a_row_holds(tables: Path, folder: Path, expression: str, expected: str) -> None:
    """A hospital's own columns hold what they hold: here a department that is a sentence of a note with quotes."""
    notes = pl.read_parquet(tables / "staged_notes.parquet")
    notes.with_columns(department=pl.lit('CANARY: patient\'s "left" arm, CANARY')).write_parquet(
        tables / "staged_notes.parquet"
    )
    sql = f"select note_id, written_time as prediction_time, {expression} as label from stg_notes"
    with pytest.raises(CohortError) as caught:
        write_own_cohort(own(sql), tables, folder, config())
    message = "".join(traceback.format_exception(caught.value)).split("CohortError: ")[1]
    assert message.startswith(f"task ours: cohort.sql does not run: {expected} (values of rows are not repeated")
    assert [value for value in ("CANARY", "arm", "16000000000") if value in message] == []


@pytest.mark.parametrize(
    "source",
    [
        "read_parquet('{tables}/staged_notes.parquet')",
        "'{tables}/staged_notes.parquet'",
        "read_text('{tables}/secret.txt')",
        "read_csv('{tables}/secret.txt')",
        "glob('{tables}/*')",
        "parquet_metadata('{tables}/staged_notes.parquet')",
    ],
)
def test_a_query_opens_no_file(tables: Path, folder: Path, source: str) -> None:
    (tables / "secret.txt").write_text("CANARY")
    sql = f"select count(*) as label from {source.format(tables=tables)}"
    with pytest.raises(CohortError, match=r"Permission Error: .* disabled by configuration; it may read stg_notes"):
        write_own_cohort(own(sql), tables, folder, config())
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "statement", ["copy stg_notes to '{path}'", "attach '{path}'", "set lock_configuration = false"]
)
def test_a_database_that_was_read_writes_no_file(tables: Path, tmp_path: Path, statement: str) -> None:
    """Were one to pass as a query, it would still not be done."""
    with duckdb.connect() as database:
        read_tables(database, tables)
        with pytest.raises(duckdb.Error, match=r"disabled by configuration|has been locked"):
            database.execute(statement.format(path=tmp_path / "written"))
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("variable", ["tables", "pl_frame", "asked"])
def test_a_query_reads_no_variable_of_the_process(tables: Path, folder: Path, variable: str) -> None:
    pl_frame = pl.DataFrame({"note_id": ["CANARY"]})
    with pytest.raises(CohortError, match=f"Catalog Error: Table with name {variable} does not exist"):
        write_own_cohort(own(f"select * from {variable}"), tables, folder, config())
    assert len(pl_frame) == 1


def test_a_query_that_does_not_fit_in_memory_spills_beside_its_files(tables: Path, folder: Path) -> None:
    """And leaves nothing there."""
    with duckdb.connect(config={"temp_directory": str(folder / "spill"), "memory_limit": "60MB"}) as database:
        read_tables(database, tables)
        database.execute("create table large as select range as i, md5(range::varchar) as s from range(2000000)")
        assert database.sql("select count(*) from duckdb_temporary_files()").fetchall() != [(0,)]
        assert (folder / "spill").exists()
    assert list(folder.iterdir()) == []
