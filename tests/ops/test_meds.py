from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from meds import LabelSchema

from lang1_assets.ops.meds import meds_labels, subject_numbers, write_meds_labels
from lang1_assets.ops.tasks import TASKS

NOON = datetime(2024, 3, 1, 12)


def _cohort(subjects: list[str], labels: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "note_id": [f"N{row}" for row in range(len(subjects))],
            "subject_id": subjects,
            "prediction_time": [NOON.replace(hour=row % 24) for row in range(len(subjects))],
            "label": pl.Series(labels, dtype=pl.Int32),
        }
    )


@pytest.mark.parametrize("task", list(TASKS))
def test_the_standards_own_validation_accepts_the_files(tmp_path: Path, task: str) -> None:
    subjects = ["P2", "P1", "P2"]
    _cohort(subjects, [0, 1, 1]).write_parquet(tmp_path / "cohort.parquet")
    pl.DataFrame({"subject_id": [*sorted(set(subjects)), "P3"]}).write_parquet(tmp_path / "patients.parquet")
    files = [tmp_path / f"{name}.parquet" for name in ("cohort", "patients", "labels", "subjects")]
    write_meds_labels(files[0], files[1], TASKS[task], files[2], files[3])
    table = pq.read_table(files[2])
    # Polars writes large strings and keeps order; MEDS wants its own types, which `align` checks and `validate` asserts.
    LabelSchema.validate(LabelSchema.align(table))
    value = "boolean_value" if TASKS[task].num_classes == 2 else "integer_value"
    assert table.column_names == ["subject_id", "prediction_time", value]
    assert table["subject_id"].to_pylist() == [1, 2, 2]
    assert [int(held) for held in table[value].to_pylist()] == [1, 0, 1]


def test_plain_numbers_keep_their_value_and_others_are_counted() -> None:
    kept = subject_numbers(pl.Series(["10006", "7", "10006"]))
    assert dict(zip(kept["subject_id_text"], kept["subject_id"], strict=True)) == {"10006": 10006, "7": 7}
    # 007 and 7 are two people.
    counted = subject_numbers(pl.Series(["007", "7"]))
    assert dict(zip(counted["subject_id_text"], counted["subject_id"], strict=True)) == {"007": 1, "7": 2}


@given(st.lists(st.text(min_size=1, max_size=30) | st.integers(0, 10**25).map(str), min_size=1, max_size=20))
def test_every_person_has_one_number(ids: list[str]) -> None:
    numbers = subject_numbers(pl.Series(ids, dtype=pl.String))
    assert numbers["subject_id"].n_unique() == numbers.height == len(set(ids))


def test_an_empty_cohort_has_an_empty_file_of_the_same_columns() -> None:
    labels = meds_labels(
        _cohort([], []).cast({"subject_id": pl.String}), subject_numbers(pl.Series(["P1"])), TASKS["mortality"]
    )
    assert labels.height == 0
    assert labels.schema["boolean_value"] == pl.Boolean
