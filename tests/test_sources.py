"""Small handmade records of each kind, through staging to the cohorts; every expected number was counted by hand."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lang1_assets.ops.baselines.structured import Tables, structured_features
from tests.dbt_runs import Build, run_dbt

MIMIC = {"splits": "shares", "minimum_plausible_date": "1750-01-01", "maximum_plausible_date": "2300-01-01"}
AS_THE_PAPER = {
    **MIMIC,
    "hp_when_several": "preferred",
    "hp_max_hours_after_admission": 120,
    "length_of_stay_unit": "elapsed_days",
}
MODELS_ONLY = ("build", "--exclude-resource-type", "unit_test")
TEXT = "Seen and examined, in no distress, resting comfortably, no complaints since admission."


def _write_csv(file: Path, header: str, rows: list[tuple[str, ...]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    written = io.StringIO(newline="")
    written.write(header + "\n")
    csv.writer(written, lineterminator="\n").writerows(rows)
    content = written.getvalue().encode()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


def _build(folder: Path, home: Path, kind: str, **variables: Any) -> Build:
    build = run_dbt(folder, home, *MODELS_ONLY, kind=kind, **variables)
    assert build.exit_code == 0, build.output
    counts = build.table("intake_counts")
    assert (counts["rows_in"] == counts["rows_out"] + counts["rows_rejected"]).all()
    return build


# MIMIC-III ---------------------------------------------------------------------------------------------------------------

ADMISSION_NOTES = [
    # Of admission 1: Physician before General before Nurse, then "resident/attending" before the others, then the longest.
    ("1", "Nursing", "Nursing Admission Note", "2101-01-01 11:00:00", TEXT * 9),
    ("1", "General", "Generic Note - Admission resident/attending", "2101-01-01 12:00:00", TEXT),
    ("1", "Physician ", "Physician Fellow Admission Note", "2101-01-01 13:00:00", TEXT),
    ("1", "Physician ", "Physician Attending Admission Note - MICU", "2101-01-01 14:00:00", TEXT),
    ("1", "Physician ", "Physician Resident Admission Note", "2101-01-01 15:00:00", TEXT * 9),
    ("1", "Physician ", "Physician Resident / Attending Admission Note", "2101-01-01 16:00:00", TEXT),
    ("1", "Physician ", "Physician Resident/Attending Admission Note", "2101-01-01 17:00:00", TEXT * 2),  # 7, chosen
    ("1", "Physician ", "Physician Resident/Attending Readmission Note", "2101-01-01 10:30:00", TEXT * 9),
    # Of admission 2 the preferred one is 121 hours late: the other does not take its place.
    ("2", "Physician ", "Admission H&P", "2101-02-06 11:00:00", TEXT),
    ("2", "Nursing/other", "Admission note", "2101-02-01 11:00:00", TEXT),
    # Of admission 3 an h&p is preferred to a note without a role, and only its date is known.
    ("3", "General", "Admission Note", "2101-03-01 11:00:00", TEXT * 5),
    ("3", "General", "H&P Admission", "", TEXT),  # 12, chosen
]


@pytest.fixture(scope="module")
def mimic_iii(tmp_path_factory: pytest.TempPathFactory) -> Build:
    home = tmp_path_factory.mktemp("mimic_iii")
    folder = home / "files"
    # Upper case as the full release, gzipped as it is distributed; the demo has lower case.
    _write_csv(
        folder / "PATIENTS.csv.gz",
        "ROW_ID,SUBJECT_ID,GENDER,DOB,DOD,EXPIRE_FLAG",
        [
            ("1", "10", "F", "2040-05-05 00:00:00", "", "0"),
            ("2", "11", "M", "1801-02-01 00:00:00", "2101-02-20 00:00:00", "1"),
        ],
    )
    stays = [
        ("10", "1", "2101-01-01 10:00:00", "2101-01-04 10:00:00", "EMERGENCY", "0", "HOME", "WHITE"),  # 3.0 days
        ("11", "2", "2101-02-01 10:00:00", "2101-02-20 10:00:00", "EMERGENCY", "1", "DEAD/EXPIRED", "ASIAN"),
        ("10", "3", "2101-03-01 10:00:00", "2101-03-04 10:00:01", "ELECTIVE", "0", "HOME", "WHITE"),  # over 3 days
        ("10", "4", "2101-05-01 10:00:00", "2101-04-30 10:00:00", "ELECTIVE", "0", "HOME", "WHITE"),  # negative stay
    ]
    _write_csv(
        folder / "ADMISSIONS.csv.gz",
        "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG,DISCHARGE_LOCATION,ETHNICITY",
        stays,
    )
    subjects = {stay[1]: stay[0] for stay in stays}
    notes = [
        (str(number), subjects[stay], stay, time[:10] or "2101-03-01", time, category, description, "7", "", text)
        for number, (stay, category, description, time, text) in enumerate(ADMISSION_NOTES, start=1)
    ]
    notes += [
        ("20", "10", "1", "2101-01-04", "", "Discharge summary", "Report", "", "", TEXT),
        ("21", "11", "2", "2101-02-20", "", "Discharge summary", "Report", "", "", TEXT),
        ("22", "10", "1", "2101-01-02", "2101-01-02 09:00:00", "Physician ", "Progress note", "7", "1", TEXT),
    ]
    header = "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,DESCRIPTION,CGID,ISERROR,TEXT"
    _write_csv(folder / "NOTEEVENTS.csv.gz", header, notes)
    _write_csv(
        folder / "DIAGNOSES_ICD.csv.gz",
        "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
        [("10", "1", "1", "4280"), ("10", "3", "1", "41401"), ("10", "3", "2", "")],
    )
    return _build(folder, home / "run", "mimic_iii", **AS_THE_PAPER)


def test_mimic_iii_admission_notes_are_chosen_as_the_paper_writes(mimic_iii: Build) -> None:
    labels = {note: label for note, (_, label) in mimic_iii.labels("mortality").items()}
    assert labels == {"7": 0, "12": 0}
    attrition = mimic_iii.table("cohort_attrition").filter(pl.col("task") == "mortality").sort("step_number")
    # 11 candidates (one description says "readmission"), 3 chosen, then one is too late.
    assert attrition["num_notes_left"].to_list() == [11, 11, 11, 11, 3, 2, 2]


def test_mimic_iii_length_of_stay_has_upper_bounds(mimic_iii: Build) -> None:
    assert {note: label for note, (_, label) in mimic_iii.labels("length_of_stay").items()} == {"7": 1, "12": 2}


def test_mimic_iii_charlson_ages_and_times(mimic_iii: Build) -> None:
    assert {note: label for note, (_, label) in mimic_iii.labels("comorbidity").items()} == {"7": 1, "12": 0}
    readmission = {row["note_id"]: row for row in mimic_iii.table("cohort_readmission").to_dicts()}
    assert readmission["20"]["age"] == 60
    staged = {row["note_id"]: str(row["written_time"]) for row in mimic_iii.table("staged_notes").to_dicts()}
    assert staged["12"] == "2101-03-01 23:59:59"
    people = {row["subject_id"]: str(row["birth_date"]) for row in mimic_iii.table("patients").to_dicts()}
    assert people["11"] == "2010-02-01"


def test_mimic_iii_rejects_and_switches_off(mimic_iii: Build) -> None:
    assert mimic_iii.rejects() == {
        ("admissions", "discharge_before_admission"): 1,
        ("noteevents", "marked_as_error"): 1,
        ("diagnoses_icd", "missing_value"): 1,
    }
    assert mimic_iii.switched_off() == {"insurance_denial": "the source has no claims that passed staging"}


# MIMIC-IV ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mimic_iv(tmp_path_factory: pytest.TempPathFactory) -> Build:
    home = tmp_path_factory.mktemp("mimic_iv")
    folder = home / "files"
    _write_csv(
        folder / "hosp" / "patients.csv",
        "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
        [("10", "F", "52", "2180", "2014 - 2016", ""), ("11", "M", "old", "2180", "2014 - 2016", "")],
    )
    _write_csv(
        folder / "hosp" / "admissions.csv",
        "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,discharge_location,race,hospital_expire_flag",
        [
            ("10", "1", "2180-01-01 10:00:00", "2180-01-04 10:00:00", "", "URGENT", "HOME", "WHITE", "0"),
            ("10", "2", "2180-01-20 10:00:00", "2180-01-21 10:00:00", "", "EU OBSERVATION", "HOME", "WHITE", "0"),
            ("10", "3", "2180-02-01 10:00:00", "2180-02-04 10:00:00", "", "EW EMER.", "", "WHITE", "0"),
            (
                "10",
                "4",
                "2180-05-01 10:00:00",
                "2180-05-04 10:00:00",
                "2180-05-04 09:00:00",
                "URGENT",
                "DIED",
                "WHITE",
                "1",
            ),
        ],
    )
    header = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text"
    _write_csv(
        folder / "note" / "discharge.csv",
        header,
        [
            ("10-DS-1", "10", "1", "DS", "1", "2180-01-04 00:00:00", "", TEXT),
            ("10-DS-2", "10", "2", "DS", "2", "2180-01-21 00:00:00", "", TEXT),
            ("10-DS-3", "10", "3", "DS", "3", "2180-02-04 00:00:00", "", TEXT),
            ("10-AD-3", "10", "3", "AD", "4", "2180-02-05 00:00:00", "", TEXT),
            ("10-DS-4", "10", "4", "DS", "5", "2180-05-04 00:00:00", "", TEXT),
        ],
    )
    _write_csv(
        folder / "note" / "radiology.csv", header, [("10-RR-1", "10", "", "RR", "1", "2180-01-02 08:00:00", "", TEXT)]
    )
    _write_csv(folder / "note" / "discharge_detail.csv", "note_id,subject_id,field_name", [("10-DS-1", "10", "author")])
    return _build(folder, home / "run", "mimic_iv", **MIMIC)


def test_mimic_iv_readmission(mimic_iv: Build) -> None:
    # Back on 1 February, 28 days after 4 January; the observation between them is no stay, the last stay ended in death.
    labels = {note: label for note, (_, label) in mimic_iv.labels("readmission").items()}
    assert labels == {"10-DS-1": 1, "10-DS-3": 0}
    assert {row["age"] for row in mimic_iv.table("cohort_readmission").to_dicts()} == {52}


def test_mimic_iv_has_only_what_readmission_needs(mimic_iv: Build) -> None:
    assert set(mimic_iv.switched_off()) == {"mortality", "length_of_stay", "comorbidity", "insurance_denial"}
    assert mimic_iv.rejects() == {("patients", "impossible_date"): 1}
    notes = dict(mimic_iv.table("staged_notes").group_by("note_type").len().iter_rows())
    assert notes == {"discharge": 4, "other": 1, "radiology": 1}


# OMOP --------------------------------------------------------------------------------------------------------------------

CONCEPTS = [
    ("1", "History and physical note", "LOINC", "34117-2"),
    ("2", "Discharge summary", "LOINC", "18842-5"),
    ("3", "Congestive heart failure, unspecified", "ICD10CM", "I50.9"),
    ("4", "Heart failure", "SNOMED", "84114007"),
    ("8527", "White", "Race", "5"),
    ("0", "No matching concept", "None", "No matching concept"),
    ("3", "A second row of one concept", "ICD10CM", "I50.9"),
]


def _write_omop(folder: Path, discharged_to: str, as_parquet: bool) -> None:
    """CDM 5.4 or 5.3 by the name of the disposition's column."""
    tables = {
        "person": (
            "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,birth_datetime,race_concept_id,"
            "race_source_value",
            [
                ("1", "8532", "1950", "4", "", "", "8527", "5"),
                ("2", "8507", "1960", "", "", "1960-02-03 00:00:00", "0", "BLACK/CAPE VERDEAN"),
                ("3", "8507", "1970", "", "", "", "0", "9"),  # never in a hospital
            ],
        ),
        "visit_occurrence": (
            "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_start_datetime,visit_end_date,"
            f"visit_end_datetime,care_site_id,{discharged_to}_concept_id,{discharged_to}_source_value",
            [
                (
                    "10",
                    "1",
                    "9201",
                    "2015-03-01",
                    "2015-03-01 10:00:00",
                    "2015-03-04",
                    "2015-03-04 10:00:00",
                    "5",
                    "0",
                    "",
                ),
                ("11", "1", "9201", "2015-03-20", "", "2015-03-22", "", "5", "", "home"),  # dates only
                (
                    "12",
                    "2",
                    "262",
                    "2015-03-01",
                    "2015-03-01 10:00:00",
                    "2015-03-09",
                    "2015-03-09 10:00:00",
                    "",
                    "4216643",
                    "",
                ),
                ("13", "2", "9202", "2015-02-01", "", "2015-02-01", "", "", "", ""),  # a clinic
            ],
        ),
        "note": (
            "note_id,person_id,note_date,note_datetime,note_class_concept_id,note_title,note_text,visit_occurrence_id",
            [
                ("100", "1", "2015-03-01", "2015-03-01 12:00:00", "1", "", TEXT, "10"),
                ("101", "1", "2015-03-04", "", "0", "DISCHARGE SUMMARY", TEXT, "10"),
                ("102", "2", "2015-03-01", "2015-03-01 13:00:00", "0", "H&P", TEXT, "12"),
                ("103", "2", "2015-02-01", "2015-02-01 13:00:00", "1", "", TEXT, "13"),
                ("104", "2", "2015-03-02", "2015-03-02 13:00:00", "0", "Podiatry", TEXT, "12"),
            ],
        ),
        "condition_occurrence": (
            "condition_occurrence_id,person_id,visit_occurrence_id,condition_source_value,condition_source_concept_id",
            [("200", "1", "10", "I50.9", "3"), ("201", "1", "10", "84114007", "4"), ("202", "2", "12", "I50.9", "3")],
        ),
        "death": ("person_id,death_date,death_datetime", [("2", "2015-03-09", "")]),
        "observation_period": (
            "observation_period_id,person_id,observation_period_end_date",
            [("1", "1", "2015-04-10"), ("2", "2", "2015-03-09"), ("3", "1", "2014-01-01")],
        ),
        "concept": ("concept_id,concept_name,vocabulary_id,concept_code", CONCEPTS),
        "care_site": ("care_site_id,care_site_name", [("5", "Medicine")]),
    }
    for name, (header, rows) in tables.items():
        if as_parquet:
            columns = dict(zip(header.split(","), zip(*rows, strict=True), strict=True))
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({key: list(held) for key, held in columns.items()}), folder / f"{name}.parquet")
        else:
            _write_csv(folder / f"{name.upper()}.csv", header, rows)


@pytest.fixture(
    scope="module", params=[("discharged_to", False), ("discharge_to", True)], ids=["5.4 csv", "5.3 parquet"]
)
def omop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    home = tmp_path_factory.mktemp("omop")
    _write_omop(home / "files", *request.param)
    return _build(home / "files", home / "run", "omop")


def test_omop_cohorts(omop: Build) -> None:
    assert {note: label for note, (_, label) in omop.labels("mortality").items()} == {"100": 0, "102": 1}
    assert {note: label for note, (_, label) in omop.labels("length_of_stay").items()} == {"100": 1, "102": 3}
    assert {note: label for note, (_, label) in omop.labels("comorbidity").items()} == {"100": 1, "102": 1}
    # Back on 20 March; the observation period lasts until 10 April.
    assert {note: label for note, (_, label) in omop.labels("readmission").items()} == {"101": 1}


def test_a_visit_of_a_clinic_is_no_earlier_stay(omop: Build) -> None:
    cohort = omop.table("cohort_mortality")

    def earlier_stays(*classes: str) -> dict[str, float]:
        features = structured_features(cohort, Tables(folder=omop.parquet, stay_classes=classes))
        return dict(features.select("note_id", "num_earlier_stays").iter_rows())

    # Person 2 was in a clinic a month before.
    assert earlier_stays("inpatient") == {"100": 0, "102": 0}
    assert earlier_stays("inpatient", "outpatient") == {"100": 0, "102": 1}


def test_omop_people_and_rejects(omop: Build) -> None:
    people = {row["subject_id"]: row for row in omop.table("patients").to_dicts()}
    assert (str(people["1"]["birth_date"]), people["1"]["sex"], people["1"]["race"]) == ("1950-04-01", "F", "White")
    # In words wherever there are any.
    assert (people["2"]["race"], people["3"]["race"]) == ("BLACK/CAPE VERDEAN", "9")
    assert str(people["1"]["follow_up_end"]) == "2015-04-10 23:59:59"
    assert omop.rejects() == {("condition_occurrence", "no_icd_code"): 1, ("concept", "duplicate_key"): 1}
    types = {row["note_id"]: row["note_type"] for row in omop.table("staged_notes").to_dicts()}
    assert types == {"100": "hp", "101": "discharge", "102": "hp", "103": "hp", "104": "other"}
