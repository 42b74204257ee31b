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
