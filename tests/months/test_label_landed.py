"""The cohorts of landed months through dbt: whose notes count, what later exports say of them, and that nothing is lost."""

from pathlib import Path

import polars as pl
import pytest

from lang1_assets.ops.landing.plan import COHORTS
from tests.landed_hospital import LandedHospital, export_tables
from tests.mlflow_database import database  # noqa: F401

DENIED = "final, adverse determination"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, database: Path) -> LandedHospital:  # noqa: F811
    """July with August: somebody of July comes back, and somebody of July stands in both exports, corrected; so do claims."""
    hospital = LandedHospital(tmp_path_factory.mktemp("landed"), database, insurance_denial_days=30)
    july = export_tables("2025-07")
    header = july["claims"].partition("\n")[0]
    july["claims"] = (
        f"{header}\n" + claim("2025-07-0", "submitted", "2025-07-20") + claim("2025-07-1", DENIED, "2025-07-30")
    )
    # Still in the hospital at the end of July, and discharged dead in August.
    july["patients"] += "P-over,1950-01-01,F,White,Not Hispanic,Queens\n"
    july["encounters"] += "over,P-over,2025-07-30 10:00:00,,Medicine,Emergency,\n"
    july["notes"] += note("hp-over", "over", "P-over", "hp", "2025-07-30 11:00:00")
    july["notes"] += note("lost", "nobody", "P-over", "hp", "2025-07-30 11:00:00")
    hospital.land("2025-07", **july)
    august = export_tables("2025-08")
    august["patients"] += july["patients"].partition("\n")[2]
    # The first of July's stays comes back; the second was discharged a day later than July's export says.
    august["encounters"] += "back,P2025-07-0,2025-08-05 10:00:00,2025-08-08 10:00:00,Medicine,Emergency,Home\n"
    august["encounters"] += "2025-07-1,P2025-07-1,2025-07-06 10:00:00,2025-07-10 10:00:00,Medicine,Emergency,Home\n"
    august["encounters"] += "over,P-over,2025-07-30 10:00:00,2025-08-05 10:00:00,Medicine,Emergency,Expired\n"
    august["notes"] += note("hp-over", "over", "P-over", "hp", "2025-07-30 11:00:00")
    # The first claim of July is decided now; that the second was denied is found to be a mistake.
    august["claims"] += claim("2025-07-0", "submitted", "2025-07-20") + claim("2025-07-0", DENIED, "2025-08-20")
    august["claims"] += claim("2025-07-1", "submitted", "2025-07-30") + claim("2025-07-1", "final, paid", "2025-08-02")
    hospital.land("2025-08", **august)
    # August first: July is then labelled once, with it.
    for request in reversed(hospital.tick().runs):
        hospital.run(request)
    assert hospital.settle() == []
    return hospital


def note(note_id: str, stay: str, person: str, kind: str, written: str) -> str:
    words = "a person on the ward with a cough who is well after a short course of treatment"
    return f"{note_id},{stay},{person},{kind},Medicine,A1,{written},{words},,\n"


def claim(stay: str, status: str, day: str) -> str:
    return f'C{stay},{stay},"{status}",{day} 10:00:00\n'


def examples(hospital: LandedHospital, month: str, task: str) -> pl.DataFrame:
    return pl.read_parquet(hospital.store.path(f"{COHORTS}/{month}") / f"{task}.parquet")


def test_a_return_in_the_next_month_is_a_positive_label(hospital: LandedHospital) -> None:
    told = hospital.cohorts("2025-07")
    assert list(told["followed_by"]) == ["2025-08"]
    assert told["tasks"]["readmission"]["ripe"]
    found = examples(hospital, "2025-07", "readmission")
    assert dict(found.select("encounter_id", "label").iter_rows())["2025-07-0"] == 1


def test_a_denial_counts_as_the_latest_export_has_the_claim(hospital: LandedHospital) -> None:
    found = examples(hospital, "2025-07", "insurance_denial")
    assert dict(found.select("encounter_id", "label").iter_rows()) == {"2025-07-0": 1, "2025-07-1": 0}
    rejects = hospital.cohorts("2025-07")["rejects"]
    assert (rejects["claims: duplicate_row"], rejects["claims: duplicate_key"]) == (1, 1)
    told = hospital.cohorts("2025-08")["tasks"]["insurance_denial"]
    assert not told["ripe"]
    assert "must reach 2025-10-01" in told["reason"]


def test_a_stay_counts_in_the_month_of_its_discharge_and_once(hospital: LandedHospital) -> None:
    july, august = (set(examples(hospital, month, "mortality")["encounter_id"]) for month in ("2025-07", "2025-08"))
    assert july == {"2025-07-0", "2025-07-1"}
    assert august == {"2025-08-0", "2025-08-1", "over"}
    assert dict(examples(hospital, "2025-08", "mortality").select("encounter_id", "label").iter_rows())["over"] == 1


def test_the_later_export_wins_and_the_number_is_said(hospital: LandedHospital) -> None:
    # July called it a death; August, later, says that the person went home.
    labels = dict(examples(hospital, "2025-07", "mortality").select("encounter_id", "label").iter_rows())
    assert labels == {"2025-07-0": 0, "2025-07-1": 0}
    stays = dict(examples(hospital, "2025-07", "length_of_stay").select("encounter_id", "label").iter_rows())
    assert stays["2025-07-1"] > stays["2025-07-0"]
    assert hospital.cohorts("2025-07")["stays_in_several_exports"] == 1
    assert hospital.cohorts("2025-08")["stays_in_several_exports"] == 0


def test_notes_of_later_months_are_no_notes_of_this_one(hospital: LandedHospital) -> None:
    notes = hospital.cohorts("2025-07")["notes"]
    # Four of July's own two stays; the note of the stay that goes on is August's, and so are August's four.
    assert notes["num_of_month"] == 4
    assert notes["num_of_other_months"] == 5
    assert notes["num_staged"] == 9
    assert notes["num_clean"] == 4
    assert notes["num_words"] == 4 * 16


def test_what_is_left_out_is_counted_by_reason(hospital: LandedHospital) -> None:
    rejects = hospital.cohorts("2025-07")["rejects"]
    assert rejects["notes: orphan_encounter"] == 1
    assert rejects["encounters: duplicate_key"] == 2
    told = hospital.cohorts("2025-07")["tasks"]["mortality"]
    assert (told["n"], told["positive"], told["labels"]) == (2, 0, [2, 0])
    assert told["reason"] == "one class only: nothing to compare with"
    assert told["of_other_months"] == 3


def test_a_task_that_is_not_ripe_has_no_file_and_says_until_when(hospital: LandedHospital) -> None:
    told = hospital.cohorts("2025-08")["tasks"]["readmission"]
    assert not told["ripe"]
    assert "must reach 2025-10-01" in told["reason"]
    assert not (hospital.store.path(f"{COHORTS}/2025-08") / "readmission.parquet").exists()


def test_only_the_labelled_notes_are_kept(hospital: LandedHospital) -> None:
    folder = hospital.store.path(f"{COHORTS}/2025-07")
    assert folder.stat().st_mode & 0o077 == 0
    kept = {path.name for path in folder.iterdir()}
    tasks = {f"{task}.parquet" for task in hospital.cohorts("2025-07")["tasks"]}
    assert kept == tasks | {"sql", "artifact.json", "plan.json"}
    assert set(hospital.cohorts("2025-07")["cohort_sql_sha256"]) == set(hospital.cohorts("2025-07")["tasks"])
