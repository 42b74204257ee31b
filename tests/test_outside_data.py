"""Real de-identified and synthetic records of each kind, where a person has put them: `LANG1_OUTSIDE_DATA=FOLDER`.

The folder holds `mimic-iii-demo-1.4`, `mimic-iv-demo-2.2`, `omop-synthea27nj/csv`, `fhir-bulk-10`, `x12-835-samples`; nothing
of it is part of the project. The MIMIC demos have no notes, so notes are written here: one H&P and one discharge summary a
stay.
"""

from __future__ import annotations

import csv
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from tests.dbt_runs import Build, run_dbt
from tests.outside_data import OUTSIDE, needs_outside_data
from tests.test_sources import AS_THE_PAPER, MIMIC, MODELS_ONLY

pytestmark = needs_outside_data

MONTH = timedelta(days=30)
TEXT = "Written by a test: seen and examined, no distress, plan discussed with patient and family at the bedside."
Stay = tuple[str, str, datetime, datetime, bool]


def _stays(file: Path) -> list[Stay]:
    with file.open(newline="") as rows:
        return [
            (
                row["hadm_id"],
                row["subject_id"],
                datetime.fromisoformat(row["admittime"]),
                datetime.fromisoformat(row["dischtime"]),
                row["hospital_expire_flag"] == "1",
            )
            for row in csv.DictReader(rows)
        ]


def _readmitted(stay: Stay, stays: list[Stay]) -> bool:
    gaps = [other[2] - stay[3] for other in stays if other[1] == stay[1] and other[0] != stay[0]]
    return any(timedelta(0) < gap <= MONTH for gap in gaps)


def _build(folder: Path, home: Path, kind: str, **variables: object) -> Build:
    build = run_dbt(folder, home, *MODELS_ONLY, kind=kind, **variables)
    assert build.exit_code == 0, build.output
    counts = build.table("intake_counts")
    assert (counts["rows_in"] == counts["rows_out"] + counts["rows_rejected"]).all()
    print(counts, build.rejects(), build.switched_off(), build.table("cohort_counts"), sep="\n")
    return build


def _labels(build: Build, task: str) -> dict[str, int]:
    return {row["encounter_id"]: row["label"] for row in build.table(f"cohort_{task}").to_dicts()}


def test_mimic_iii_demo(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    shutil.copytree(OUTSIDE / "mimic-iii-demo-1.4", folder)
    stays = _stays(folder / "ADMISSIONS.csv")
    with (folder / "NOTEEVENTS.csv").open("a", newline="") as notes:
        writer = csv.writer(notes, lineterminator="\n")
        for number, (stay, subject, admitted, discharged, _) in enumerate(stays):
            hp = (2 * number, subject, stay, str(admitted)[:10], str(admitted + timedelta(minutes=5)), "")
            writer.writerow((*hp, "Physician ", "Physician Resident Admission Note", "1", "", TEXT))
            summary = (2 * number + 1, subject, stay, str(discharged)[:10], "", "")
            writer.writerow((*summary, "Discharge summary", "Report", "", "", TEXT))
    build = _build(
        folder,
        tmp_path / "run",
        "mimic_iii",
        **AS_THE_PAPER,
        readmission_excludes_deaths=False,
        discharge_note_max_hours_after_discharge=87600,
    )
    assert len(stays) == 129
    long_enough = [stay for stay in stays if stay[3] > stay[2] + timedelta(minutes=5)]
    assert _labels(build, "mortality") == {stay[0]: int(stay[4]) for stay in long_enough}
    days = {stay[0]: (stay[3] - stay[2]).total_seconds() / 86400 for stay in long_enough}
    assert _labels(build, "length_of_stay") == {k: (d > 2) + (d > 3) + (d > 5) for k, d in days.items()}
    assert _labels(build, "readmission") == {stay[0]: int(_readmitted(stay, stays)) for stay in stays}
    assert set(build.switched_off()) == {"insurance_denial"}


def test_mimic_iv_demo(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    shutil.copytree(OUTSIDE / "mimic-iv-demo-2.2", folder)
    stays = _stays(folder / "hosp" / "admissions.csv")
    (folder / "note").mkdir()
    with (folder / "note" / "discharge.csv").open("w", newline="") as notes:
        writer = csv.writer(notes, lineterminator="\n")
        writer.writerow(["note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text"])
        for stay, subject, _, discharged, _ in stays:
            writer.writerow(
                [f"{subject}-DS-{stay}", subject, stay, "DS", 1, f"{str(discharged)[:10]} 00:00:00", "", TEXT]
            )
    build = _build(folder, tmp_path / "run", "mimic_iv", **MIMIC)
    with (folder / "hosp" / "admissions.csv").open(newline="") as rows:
        observed = {row["hadm_id"] for row in csv.DictReader(rows) if row["admission_type"].endswith(" OBSERVATION")}
    inpatient = [stay for stay in stays if stay[0] not in observed]
    followed = [stay for stay in inpatient if not stay[4]]
    assert _labels(build, "readmission") == {stay[0]: int(_readmitted(stay, inpatient)) for stay in followed}
    assert set(build.switched_off()) == {"mortality", "length_of_stay", "comorbidity", "insurance_denial"}


def test_omop_synthea(tmp_path: Path) -> None:
    build = _build(OUTSIDE / "omop-synthea27nj" / "csv", tmp_path / "run", "omop")
    encounters = build.table("encounters")
    assert dict(encounters.group_by("encounter_class").len().iter_rows()) == {
        "inpatient": 13,
        "emergency": 56,
        "outpatient": 1722,
    }
    assert build.rejects() == {("condition_occurrence", "no_icd_code"): 470}
    assert len(build.switched_off()) == 5  # no notes


def test_fhir_bulk(tmp_path: Path) -> None:
    build = _build(OUTSIDE / "fhir-bulk-10", tmp_path / "run", "fhir", stay_classes=["inpatient", "emergency"])
    assert build.table("patients").height == 13
    assert build.table("encounters").height == 1215
    notes = build.table("staged_notes")
    # 303 are emergency department notes (LOINC 34111-5), which are no admission notes.
    assert dict(notes.group_by("note_type").len().iter_rows()) == {"hp": 912, "progress": 303}
    assert notes["narrative"].null_count() == 0
    assert {"mortality", "length_of_stay"} & set(build.switched_off()) == set()
    assert build.table("cohort_mortality").height > 0


def test_fhir_bulk_with_remittances(tmp_path: Path) -> None:
    build = run_dbt(
        *(OUTSIDE / "fhir-bulk-10", tmp_path / "run", *MODELS_ONLY),
        kind="fhir",
        remittances=OUTSIDE / "x12-835-samples",
    )
    assert build.exit_code == 0, build.output
    counts = build.table("intake_counts").filter(pl.col("table_name") == "remittances").to_dicts()
    # The sample's accounts are not this export's encounters: every whole claim is named as an orphan.
    assert counts[0]["rows_in"] == counts[0]["rows_rejected"] > 0
    assert build.rejects()["remittances", "orphan_encounter"] > 0
