from __future__ import annotations

from pathlib import Path

import pytest

from lang1_assets.ops.exports import ExportsError, check_exports, export_files, export_problems
from tests.fixtures_exports import write_dirty_hospital, write_tables


def test_a_dirty_hospital_with_whole_headers_has_no_problem(tmp_path: Path) -> None:
    write_dirty_hospital(tmp_path)
    check_exports(tmp_path)
    assert export_problems(tmp_path) == []
    assert [file.name for file in export_files(tmp_path, "notes")] == ["notes-1.csv", "notes-2.csv"]


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    (tmp_path / "claims.csv").unlink()
    (tmp_path / "diagnoses.csv").write_text("encounter_id,subject_id,sequence_number,icd_version,code\n")
    (tmp_path / "patients.csv").write_text("")
    (tmp_path / "notes-2.csv").write_bytes(b"note_id,caf\xe9\n")
    (tmp_path / "encounters.csv").write_text(
        "subject_id,encounter_id,admit_time,discharge_time,department,admission_type,discharge_disposition\n"
    )
    with pytest.raises(ExportsError) as raised:
        check_exports(tmp_path)
    message = str(raised.value)
    assert "patients.csv is empty" in message
    assert "encounters.csv has its columns in another order" in message
    assert "notes-2.csv has a header that is not UTF-8" in message
    assert "diagnoses.csv misses column icd_code" in message
    assert "claims.csv is missing" in message
    assert "notes-1.csv" not in message


def test_an_unknown_column_and_a_missing_folder(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    header = (tmp_path / "claims.csv").read_text().strip()
    (tmp_path / "claims.csv").write_text(f"{header},payer\n")
    (problem,) = export_problems(tmp_path)
    assert "claims.csv has unknown column payer" in problem
    (problem,) = export_problems(tmp_path / "nowhere")
    assert "is not a folder" in problem


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    file = tmp_path / "claims.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert export_problems(tmp_path) == []


@pytest.mark.parametrize("table", ["notes-1", "claims"])
def test_a_first_line_that_is_a_row_is_not_repeated(tmp_path: Path, table: str) -> None:
    write_dirty_hospital(tmp_path)
    lines = (tmp_path / f"{table}.csv").read_text().splitlines(keepends=True)
    (tmp_path / f"{table}.csv").write_text("".join(lines[1:]))
    (problem,) = export_problems(tmp_path)
    assert f"{table}.csv has a first line that is not its header" in problem
    assert not [value for value in lines[1].strip().split(",") if len(value) > 3 and value in problem]


def test_unknown_columns_are_named_only_if_they_look_like_names(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    header = (tmp_path / "claims.csv").read_text().strip()
    (tmp_path / "claims.csv").write_text(f"{header},55M with chest pain\n")
    (problem,) = export_problems(tmp_path)
    assert "claims.csv has unknown column (1)" in problem
    assert "chest" not in problem


def test_a_column_twice(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    header = (tmp_path / "claims.csv").read_text().strip()
    (tmp_path / "claims.csv").write_text(f"{header},claim_id\n")
    (problem,) = export_problems(tmp_path)
    assert "claims.csv has a column twice" in problem


def test_a_copy_that_was_cut_inside_a_quoted_field(tmp_path: Path) -> None:
    write_tables(tmp_path, {})
    file = tmp_path / "notes-1.csv"
    file.write_text(file.read_text() + 'N1,E1,P1,hp,,,2015-03-01 09:00:00,"Seen today, ""well"" and')
    (problem,) = export_problems(tmp_path)
    assert "notes-1.csv ends inside a quoted field" in problem
    file.write_text(file.read_text() + '",,')
    assert export_problems(tmp_path) == []
