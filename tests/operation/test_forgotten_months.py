"""People of landed months are forgotten one after another: each month is made again without them, once, and nothing is due."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lang1_assets.ops.forgetting.subjects import forgotten_subjects
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION, EXPORT
from lang1_assets.resources.store import ArtifactStore
from tests import landed_hospital
from tests.landed_hospital import LandedHospital
from tests.mlflow_database import database  # noqa: F401
from tests.ops.forgetting.test_request import forget

MONTH, NEXT = "2025-07", "2025-08"
FIRST, SECOND = f"P{MONTH}-0", f"P{MONTH}-1"


@pytest.fixture
def hospital(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> LandedHospital:  # noqa: F811
    """Two months that are evaluated, in a home where people can be forgotten."""
    made = landed_hospital.examples

    def of_people(month: str, task: str, content: str) -> pl.DataFrame:
        """Ten notes of each of four people, two of whom stand in the export; SQL leaves the forgotten ones out."""
        people = pl.Series([f"P{month}-{number // 10}" for number in range(40)])
        stays = pl.format("{}-{}", pl.lit(month), "encounter_id")
        held = made(month, task, content).with_columns(subject_id=people, encounter_id=stays)
        return held.filter(~pl.col("subject_id").is_in(list(forgotten_subjects(tmp_path))))

    monkeypatch.setenv("LANG1_HOME", str(tmp_path))
    monkeypatch.setattr(landed_hospital, "examples", of_people)
    hospital = LandedHospital(tmp_path, database)
    hospital.store = ArtifactStore(root=str(tmp_path / "artifacts" / "ours"))
    hospital.replace_slow_parts(monkeypatch)
    hospital.put_in_service("model")
    for month in (MONTH, NEXT):
        hospital.land(month)
    hospital.settle()
    return hospital


def people_of(hospital: LandedHospital, month: str = MONTH) -> dict[str, set[str]]:
    """Whom the export, the labelled notes and the scored ones of a month hold."""
    cohorts = hospital.store.get(f"{COHORTS}/{month}").path
    export = hospital.store.get(f"{EXPORT}/{month}").path
    frames = {
        EXPORT: pl.read_csv(export / "files" / "patients.csv", infer_schema=False),
        COHORTS: pl.read_parquet(cohorts / "readmission.parquet"),
        EVALUATION: pl.read_parquet(hospital.evaluation(month).path / "predictions.parquet"),
    }
    return {name: set(frame["subject_id"]) for name, frame in frames.items()}


def all_without(*gone: str) -> dict[str, set[str]]:
    everybody = {f"P{MONTH}-{number}" for number in range(4)} - set(gone)
    return {EXPORT: {FIRST, SECOND} - set(gone), COHORTS: everybody, EVALUATION: everybody}


def test_one_person_after_another(hospital: LandedHospital, tmp_path: Path) -> None:
    assert people_of(hospital) == all_without()
    for gone in ((FIRST,), (FIRST, SECOND)):
        forget(tmp_path, gone[-1])
        assert hospital.store.find(f"{COHORTS}/{MONTH}") is None
        assert [key.partition(":")[0] for key in hospital.settle()] == [MONTH]
        assert people_of(hospital) == all_without(*gone)
        assert hospital.evaluation(MONTH).summary["cohorts"] == hospital.store.get(f"{COHORTS}/{MONTH}").fingerprint
        assert hospital.settle() == []


def test_a_correction_does_not_bring_them_back(hospital: LandedHospital, tmp_path: Path) -> None:
    forget(tmp_path, FIRST)
    hospital.settle()
    hospital.land(MONTH, "corrected")
    hospital.settle()
    assert people_of(hospital) == all_without(FIRST)
    assert hospital.export(MONTH)["revision"] == 2
    assert hospital.settle() == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_month_of_which_nothing_is_left_is_fetched_again_without_them(
    hospital: LandedHospital, tmp_path: Path, times: int
) -> None:
    """Retention removed its files, and then its labelled notes went with somebody; or its files could not be searched."""
    for gone in (FIRST, SECOND)[:times]:
        shutil.rmtree(hospital.store.path(f"{EXPORT}/{MONTH}"))
        forget(tmp_path, gone)
        hospital.settle()
    assert people_of(hospital) == all_without(*(FIRST, SECOND)[:times])
    assert hospital.settle() == []


def test_who_is_in_no_month_changes_nothing(hospital: LandedHospital, tmp_path: Path) -> None:
    made: dict[str, Any] = dict(hospital.made)
    forget(tmp_path, "P9", absent_too=True)
    assert hospital.settle() == []
    assert dict(hospital.made) == made
