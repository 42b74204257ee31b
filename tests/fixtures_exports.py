"""A handmade hospital, small enough to label by hand, with one row for every way in which a row can be wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from lang1_assets.ops.schemas import EXPORT_COLUMNS

Row = tuple[str, ...]
Tables = Mapping[str, Iterable[Row]]

PATIENTS = [
    ("P1", "1950-03-02", "F", "White", "Not Hispanic", "Brooklyn"),
    ("P2", "1940-01-01", "M", "Black", "Not Hispanic", "Queens"),
    ("P3", "2000-12-31", "F", "Asian", "Not Hispanic", "Manhattan"),
    ("P4", "1980-06-15", "M", "White", "Hispanic", "Bronx"),
    ("P5", "1970-01-01", "F", "Other", "Not Hispanic", "Staten Island"),
    ("P6", "1990-01-01", "M", "White", "Not Hispanic", ""),
]
BAD_PATIENTS = {
    "duplicate_row": ("P1", "1950-03-02", "F", "White", "Not Hispanic", "Brooklyn"),
    "duplicate_key": ("P2", "1941-01-01", "M", "Black", "Not Hispanic", "Queens"),
    "impossible_date": ("P7", "1890-01-01", "M", "White", "Not Hispanic", "Queens"),
    "missing_value": ("", "1960-01-01", "M", "White", "Not Hispanic", "Queens"),
}

ENCOUNTERS = [
    ("E01", "P1", "2015-03-01 10:00:00", "2015-03-03 12:00:00", "Medicine", "Emergency", "Home"),
    ("E02", "P1", "2015-04-02 12:00:00", "2015-04-05 09:00:00", "Medicine", "Emergency", "Home"),
    ("E03", "P2", "2015-05-01 08:00:00", "2015-05-05 12:00:00", "Surgery", "Elective", "Home"),
    ("E04", "P2", "2015-06-04 12:00:01", "2015-06-14 12:00:00", "Medicine", "Emergency", "Expired"),
    ("E05", "P3", "2021-07-01 08:00:00", "2021-07-01 20:00:00", "Medicine", "Emergency", "Home"),
    ("E06", "P3", "2021-07-01 20:00:00", "2021-07-06 10:00:00", "Surgery", "Transfer", "Home"),
    ("E07", "P4", "2024-01-10 08:00:00", "2024-01-16 08:00:00", "Medicine", "Emergency", "Home"),
    ("E08", "P4", "2024-12-10 08:00:00", "2024-12-15 08:00:00", "Medicine", "Emergency", "Home"),
    ("E09", "P5", "2024-12-20 08:00:00", "", "Medicine", "Emergency", ""),
    ("E10", "P5", "2021-06-10 08:00:00", "2021-06-12 08:00:00", "Dialysis", "Elective", "Home"),
    ("E11", "P6", "2022-03-05 08:00:00", "2022-03-07 08:00:00", "Medicine", "Emergency", "Home"),
]
BAD_ENCOUNTERS = {
    "duplicate_row": ENCOUNTERS[0],
    "duplicate_key": ("E02", "P1", "2015-04-02 12:00:00", "2015-04-09 09:00:00", "Medicine", "Emergency", "Home"),
    "impossible_date": ("E20", "P1", "2021-02-30 10:00:00", "2021-03-03 12:00:00", "Medicine", "Emergency", "Home"),
    "discharge_before_admission": ("E21", "P1", "2016-03-05 10:00:00", "2016-03-03 12:00:00", "Medicine", "", "Home"),
    "orphan_subject": ("E22", "P404", "2016-03-01 10:00:00", "2016-03-03 12:00:00", "Medicine", "", "Home"),
    "admission_before_birth": ("E23", "P3", "2000-01-01 10:00:00", "2000-01-03 12:00:00", "Medicine", "", "Home"),
    "missing_value": ("E24", "P1", "", "2016-03-03 12:00:00", "Medicine", "", "Home"),
}

TEXT = 'Seen and examined. Patient states "I feel\nweak", denies fever, chills, and chest pain since yesterday.'


def _note(note_id: str, encounter_id: str, subject_id: str, note_type: str, written_time: str, department: str) -> Row:
    return (note_id, encounter_id, subject_id, note_type, department, "A1", written_time, TEXT, "", "Addendum, later.")


NOTES = [
    _note("H01", "E01", "P1", "hp", "2015-03-01 12:00:00", "Medicine"),
    _note("H01b", "E01", "P1", "hp", "2015-03-01 15:00:00", "Medicine"),  # the second H&P of its encounter
    _note("H02", "E02", "P1", "hp", "2015-04-03 12:00:00", "Medicine"),  # exactly 24 hours after admission
    _note("H03", "E03", "P2", "hp", "2015-05-02 08:00:01", "Surgery"),  # a second too late
    _note("H04", "E04", "P2", "hp", "2015-06-04 13:00:00", "Medicine"),
    _note("H05", "E05", "P3", "hp", "2021-07-01 20:00:00", "Medicine"),  # at discharge: too late
    _note("H06", "E06", "P3", "hp", "2021-07-01 21:00:00", "Surgery"),
    _note("H07", "E07", "P4", "hp", "2024-01-10 09:00:00", "Medicine"),
    _note("H08", "E08", "P4", "hp", "2024-12-10 09:00:00", "Medicine"),
    _note("H09", "E09", "P5", "hp", "2024-12-20 09:00:00", "Medicine"),
    _note("H10", "E10", "P5", "hp", "2021-06-10 09:00:00", "Dialysis"),
    _note("H11", "E11", "P6", "hp", "2022-03-05 09:00:00", "Medicine"),
    _note("D01", "E01", "P1", "discharge", "2015-03-03 11:00:00", "Medicine"),
    _note("D01b", "E01", "P1", "discharge", "2015-03-03 10:00:00", "Medicine"),  # a draft
    _note("D02", "E02", "P1", "discharge", "2015-04-05 09:00:00", "Medicine"),
    _note("D03", "E03", "P2", "discharge", "2015-05-05 11:00:00", "Surgery"),
    _note("D04", "E04", "P2", "discharge", "2015-06-14 11:00:00", "Medicine"),
    _note("D05", "E05", "P3", "discharge", "2021-07-01 19:00:00", "Medicine"),
    _note("D06", "E06", "P3", "discharge", "2021-07-08 10:00:00", "Surgery"),  # signed 48 hours after discharge
    _note("D07", "E07", "P4", "discharge", "2024-01-16 07:00:00", "Medicine"),
    _note("D08", "E08", "P4", "discharge", "2024-12-15 07:00:00", "Medicine"),
    _note("D10", "E10", "P5", "discharge", "2021-06-12 07:00:00", "Dialysis"),
    _note("D11", "E11", "P6", "discharge", "2022-03-07 07:00:00", "Medicine"),
    _note("R01", "", "P6", "radiology", "2010-03-07 07:00:00", "Radiology"),  # outside any encounter
]
BAD_NOTES = {
    "duplicate_row": NOTES[0],
    "duplicate_key": _note("H02", "E02", "P1", "hp", "2015-04-02 13:00:00", "Surgery"),
    "orphan_subject": _note("N20", "", "P404", "progress", "2015-04-02 13:00:00", "Medicine"),
    "orphan_encounter": _note("N21", "E404", "P1", "progress", "2015-04-02 13:00:00", "Medicine"),
    "subject_mismatch": _note("N22", "E01", "P2", "progress", "2015-03-02 13:00:00", "Medicine"),
    "impossible_date": _note("N23", "E01", "P1", "progress", "2999-03-02 13:00:00", "Medicine"),
    "unknown_note_type": _note("N24", "E01", "P1", "poem", "2015-03-02 13:00:00", "Medicine"),
    "missing_value": _note("N25", "E01", "P1", "progress", "", "Medicine"),
}

DIAGNOSES = [
    ("E01", "P1", "1", "9", "428.0"),  # congestive heart failure: 1
    ("E01", "P1", "2", "9", "250.00"),  # diabetes: 1
    ("E02", "P1", "1", "9", "427.31"),  # atrial fibrillation: not in the index
    ("E04", "P2", "1", "9", "197.0"),  # metastasis: 6
    ("E04", "P2", "2", "9", "162.9"),  # the tumor it comes from: counted in the 6
    ("E04", "P2", "3", "9", "585.6"),  # renal disease: 2
    ("E06", "P3", "1", "10", "I50.9"),  # congestive heart failure: 1
    ("E06", "P3", "2", "10", "N18.6"),  # renal disease: 2
    ("E07", "P4", "1", "10", "C78.00"),  # metastasis: 6
]
BAD_DIAGNOSES = {
    "duplicate_row": DIAGNOSES[0],
    "duplicate_key": ("E01", "P1", "1", "9", "427.31"),
    "bad_number": ("E01", "P1", "third", "9", "428.0"),
    "orphan_encounter": ("E404", "P1", "1", "9", "428.0"),
    "subject_mismatch": ("E01", "P2", "7", "9", "428.0"),
    "missing_value": ("E01", "P1", "8", "9", ""),
}

CLAIMS = [
    ("C07", "E07", "submitted", "2024-02-01 08:00:00"),
    ("C07", "E07", "Final, Favorable Determination", "2024-03-01 08:00:00"),
    ("C08", "E08", "final, adverse determination", "2025-01-01 08:00:00"),
    ("C10", "E10", "final, adverse determination", "2021-08-01 08:00:00"),
    ("C11", "E11", "under review", ""),
    ("C06", "E06", "paid", "2021-08-01 08:00:00"),
]
BAD_CLAIMS = {
    "duplicate_row": CLAIMS[0],
    "impossible_date": ("C20", "E07", "paid", "2021-13-01"),
    "orphan_encounter": ("C21", "E404", "paid", "2021-12-01"),
    "missing_value": ("C22", "E07", "", "2021-12-01"),
}

CLEAN_TABLES: Tables = {
    "patients": PATIENTS,
    "encounters": ENCOUNTERS,
    "notes": NOTES,
    "diagnoses": DIAGNOSES,
    "claims": CLAIMS,
}
BAD_ROWS: Mapping[str, Mapping[str, Row]] = {
    "patients": BAD_PATIENTS,
    "encounters": BAD_ENCOUNTERS,
    "notes": BAD_NOTES,
    "diagnoses": BAD_DIAGNOSES,
    "claims": BAD_CLAIMS,
}
MALFORMED_LINES: Mapping[str, tuple[bytes, ...]] = {
    "patients": (b"P9,1960-01-01,M\n", b"P9,1960-01-01,M,White,Hispanic,Queens,one,two\n"),
    "encounters": (b'E30,P1,"2015-01-01 "10":00",,,,\n',),
    "notes": (b"N30,E01,P1,progress,Medicine,A1,2015-03-02 10:00:00,caf\xe9 in Latin-1,,\n",),
    "diagnoses": (b"E01\n",),
    "claims": (b"C30,E07\n",),
}


def write_tables(folder: Path, tables: Tables) -> None:
    """Write the tables as exports, notes in two files; a table that is not given has a header only."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in EXPORT_COLUMNS:
        rows = list(tables.get(table, ()))
        if table == "notes":
            middle = len(rows) // 2
            _write_file(folder / "notes-1.csv", table, rows[:middle])
            _write_file(folder / "notes-2.csv", table, rows[middle:])
        else:
            _write_file(folder / f"{table}.csv", table, rows)


def write_dirty_hospital(folder: Path) -> None:
    """Write the handmade hospital with every bad row and every malformed line after its good rows."""
    write_tables(folder, {table: [*rows, *BAD_ROWS[table].values()] for table, rows in CLEAN_TABLES.items()})
    for table, lines in MALFORMED_LINES.items():
        file = folder / ("notes-2.csv" if table == "notes" else f"{table}.csv")
        with file.open("ab") as stream:
            stream.writelines(lines)


def _write_file(file: Path, table: str, rows: list[Row]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        stream.write(",".join(EXPORT_COLUMNS[table]) + "\n")
        # Everything quoted, because Python 3.11 leaves a lone carriage return bare.
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows(rows)
