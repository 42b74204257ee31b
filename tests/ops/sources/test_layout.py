"""Which files hold which table, and every problem of their headers named at once without repeating what stands in them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lang1_assets.ops.sources.layout import SourceError, SourceLayout, folder_layout, source_tables
from tests.dbt_runs import PROJECT
from tests.fixtures_exports import write_dirty_hospital, write_tables

KINDS = ["tables", "mimic_iii", "mimic_iv", "omop", "fhir", "x12_835"]


def _layout(folder: Path, kind: str = "tables") -> SourceLayout:
    return folder_layout(PROJECT, kind, folder)


def _problems(folder: Path, kind: str = "tables") -> str:
    with pytest.raises(SourceError) as raised:
        _layout(folder, kind)
    return str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_a_table_are_lower_case_and_different(kind: str) -> None:
    for table in source_tables(PROJECT, kind):
        assert len(set(table.columns)) == len(table.columns), table.name
        assert all(column == column.lower() for column in table.columns), table.name


def test_a_dirty_hospital_with_whole_headers_has_no_problem(tmp_path: Path) -> None:
    write_dirty_hospital(tmp_path)
    found = _layout(tmp_path)
    assert [Path(file).name for file in found.parts["notes"][0]["files"]] == ["notes-1.csv", "notes-2.csv"]
    assert found.absent == ()
    assert found.ignored_columns == {}


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    (tmp_path / "encounters.csv").unlink()
    (tmp_path / "diagnoses.csv").write_text("encounter_id,subject_id,sequence_number,icd_version,code\n")
    (tmp_path / "patients.csv").write_text("")
    (tmp_path / "notes-2.csv").write_bytes(b"note_id,caf\xe9\n")
    message = _problems(tmp_path)
    assert "patients.csv is empty" in message
    assert "notes-2.csv has a header that is not UTF-8" in message
    assert "diagnoses.csv misses column icd_code" in message
    assert "encounters.csv (or .csv.gz, .parquet) is missing" in message
    assert "notes-1.csv" not in message


def test_tables_that_only_some_tasks_need_may_be_absent(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    (tmp_path / "claims.csv").unlink()
    assert _layout(tmp_path).absent == ("claims",)


def test_order_case_and_other_columns_are_free(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    (tmp_path / "claims.csv").write_text("STATUS,payer,Encounter_ID,claim_id,55M with chest pain\n")
    found = _layout(tmp_path)
    assert found.ignored_columns == {"claims": ["payer", "(1 more)"]}
    assert found.parts["claims"][0]["columns"][:2] == ["STATUS", "payer"]


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "is not a folder" in _problems(tmp_path / "nowhere")


def test_files_in_subfolders_gzipped_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "hosp").mkdir()
    write_tables(tmp_path / "hosp", {})
    claims = tmp_path / "hosp" / "claims.csv"
    (tmp_path / "CLAIMS.CSV.GZ").write_bytes(gzip.compress(claims.read_bytes()))
    claims.unlink()
    (tmp_path / "hosp" / "patients.csv").unlink()
    pq.write_table(
        pa.table({"SUBJECT_ID": ["P"], "birth_date": ["1950-01-01"], "sex": ["F"]}), tmp_path / "patients-2013.parquet"
    )
    found = _layout(tmp_path)
    assert found.parts["patients"][0]["format"] == "parquet"
    assert Path(found.parts["claims"][0]["files"][0]).name == "CLAIMS.CSV.GZ"


def test_one_table_in_two_formats(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    pq.write_table(
        pa.table({"subject_id": ["P"], "birth_date": ["1950-01-01"], "sex": ["F"]}), tmp_path / "patients.parquet"
    )
    assert "patients is there as CSV and as Parquet" in _problems(tmp_path)


def test_files_with_other_headers_are_parts_of_their_own(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    (tmp_path / "claims-2.csv").write_text("encounter_id,claim_id,status\n")
    assert len(_layout(tmp_path).parts["claims"]) == 2


def test_a_copy_of_a_table_under_another_name_is_not_read(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    (tmp_path / "patients_backup.csv").write_text("subject_id,birth_date,sex\n")
    assert len(_layout(tmp_path).parts["patients"][0]["files"]) == 1


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    file = tmp_path / "claims.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert _layout(tmp_path).parts["claims"][0]["columns"][0] == "claim_id"


@pytest.mark.parametrize("table", ["notes-1", "claims"])
def test_a_first_line_that_is_a_row_is_not_repeated(tmp_path: Path, table: str) -> None:
    write_dirty_hospital(tmp_path)
    lines = (tmp_path / f"{table}.csv").read_text().splitlines(keepends=True)
    (tmp_path / f"{table}.csv").write_text("".join(lines[1:]))
    message = _problems(tmp_path)
    assert f"{table}.csv has a first line that is not its header" in message
    assert not [value for value in lines[1].strip().split(",") if len(value) > 3 and value in message]


def test_a_column_twice(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    header = (tmp_path / "claims.csv").read_text().strip()
    (tmp_path / "claims.csv").write_text(f"{header},CLAIM_ID\n")
    assert "claims.csv has claim_id twice" in _problems(tmp_path)


def test_a_copy_that_was_cut(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    file = tmp_path / "notes-1.csv"
    whole = file.read_text()
    file.write_text(whole + 'N1,E1,P1,hp,,,2015-03-01 09:00:00,"Seen today, ""well"" and')
    assert "notes-1.csv ends inside a quoted field" in _problems(tmp_path)
    zipped = gzip.compress((whole * 2000).encode())
    file.unlink()
    (tmp_path / "notes-1.csv.gz").write_bytes(zipped[: len(zipped) // 2])
    assert "notes-1.csv.gz is not a whole gzip file" in _problems(tmp_path)
    (tmp_path / "notes-1.csv.gz").unlink()
    (tmp_path / "notes-1.parquet").write_bytes(b"PAR1 and then nothing")
    assert "notes-1.parquet is not a whole Parquet file" in _problems(tmp_path)
