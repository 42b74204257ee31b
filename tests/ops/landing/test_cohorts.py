"""Which stays two exports share, and which rows belong to a month; the rest, with dbt: `tests/months/test_label_landed.py`."""

from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from lang1_assets.ops.landing.cohorts import (
    joined_parts,
    keep_month,
    nothing_to_measure,
    num_stays_in_several,
    stay_ids,
)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_ids_are_read_from_any_file_of_a_source(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "encounters.csv"
    path.write_bytes('Encounter_ID,ward\nE1,"Café, ""east"""\nE2,a\nE3,too,many\nE1,b\n'.encode(encoding))
    table = tmp_path / "encounters.parquet"
    pl.DataFrame({"ward": ["a"], "encounter_id": [17]}).write_parquet(table)
    parts = [
        {"format": "csv", "files": [str(path)], "columns": ["Encounter_ID", "ward"]},
        {"format": "parquet", "files": [str(table)], "columns": ["ward", "encounter_id"]},
    ]
    with duckdb.connect() as connection:
        found = stay_ids(connection, parts, "encounter_id", encoding)["encounter_id"].to_list()
    # A line that is not of the table is a reject of the SQL project, which counts it.
    assert found == ["E1", "E2", "E1", "17"]


def test_stays_of_the_month_in_several_exports_are_counted_once_each(tmp_path: Path) -> None:
    exports = []
    for number, ids in enumerate((["A", "B", "B", "C"], ["B", "C", "D"], ["B"])):
        path = tmp_path / f"{number}.csv"
        path.write_text("\n".join(["encounter_id", *ids, ""]))
        exports.append({"encounters": [{"format": "csv", "files": [str(path)], "columns": ["encounter_id"]}]})
    ended = {"A": datetime(2025, 2, 1), "B": datetime(2025, 2, 28, 23, 59), "C": datetime(2025, 3, 1), "D": None}
    encounters = tmp_path / "encounters.parquet"
    pl.DataFrame(
        {"encounter_id": list(ended), "discharge_time": list(ended.values())},
        schema_overrides={"discharge_time": pl.Datetime("us")},
    ).write_parquet(encounters)
    assert num_stays_in_several(exports, "tables", "utf-8", encounters, "2025-02") == 1
    assert num_stays_in_several(exports, "tables", "utf-8", encounters, "2025-03") == 1
    assert num_stays_in_several(exports[:1], "tables", "utf-8", encounters, "2025-02") == 0


def test_a_note_belongs_to_the_month_of_discharge_or_else_of_writing(tmp_path: Path) -> None:
    february, march = datetime(2025, 2, 28, 23, 59), datetime(2025, 3, 1)
    stays = {"over": february, "next": march, "open": None}
    pl.DataFrame(
        {"encounter_id": list(stays), "discharge_time": list(stays.values())},
        schema_overrides={"discharge_time": pl.Datetime("us")},
    ).write_parquet(tmp_path / "encounters.parquet")
    notes = [
        ("late addendum", "over", march),
        ("of march's stay", "next", february),
        ("still there", "open", february),
        ("no stay", None, february),
        ("no stay, later", None, march),
    ]
    pl.DataFrame(notes, schema=["note_id", "encounter_id", "written_time"], orient="row").write_parquet(
        tmp_path / "staged_notes.parquet"
    )
    found = keep_month(tmp_path, "2025-02", tmp_path / "kept.parquet")
    kept = pl.read_parquet(tmp_path / "kept.parquet")
    assert kept["note_id"].to_list() == ["late addendum", "no stay", "still there"]
    assert kept.columns == ["note_id", "encounter_id", "written_time"]
    assert (found.num_staged, found.num_of_month, found.num_of_other_months) == (5, 3, 2)


def test_the_latest_export_comes_first() -> None:
    later, own = {"notes": [{"files": ["b"]}]}, {"notes": [{"files": ["a"]}], "claims": [{"files": ["c"]}]}
    assert joined_parts([later, own]) == {
        "notes": [{"files": ["b"], "export": 1}, {"files": ["a"], "export": 2}],
        "claims": [{"files": ["c"], "export": 2}],
    }


@pytest.mark.parametrize(
    ("labels", "said"), [([0, 0], "no labelled notes"), ([3, 0], "one class only"), ([1, 2], None)]
)
def test_what_cannot_be_measured_says_why(labels: list[int], said: str | None) -> None:
    assert (nothing_to_measure(labels) or "").startswith(said or "")
    assert (nothing_to_measure(labels) is None) is (said is None)
