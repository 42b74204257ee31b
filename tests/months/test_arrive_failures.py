"""Runs of landed months that fail, exports that go away or cannot be read: tried again, not for ever, and nothing else held up."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.months import label_landed
from lang1_assets.ops.landing.area import LandingArea
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION, EXPORT
from lang1_assets.resources.store import ArtifactStore
from tests.landed_hospital import LandedHospital
from tests.mlflow_database import database  # noqa: F401
from tests.months.test_arrive import schedule_of


@pytest.fixture
def hospital(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> LandedHospital:  # noqa: F811
    hospital = LandedHospital(tmp_path, database)
    hospital.replace_slow_parts(monkeypatch)
    hospital.put_in_service("model")
    return hospital


def test_what_fails_by_itself_is_tried_again_and_not_for_ever(
    hospital: LandedHospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.land("2025-02")
    failing = True
    build = ArtifactStore.build

    def sometimes(store: ArtifactStore, name: str, *args: Any, **kwargs: Any) -> Any:
        if failing and name.startswith(COHORTS):
            raise OSError("the disk is full")
        return build(store, name, *args, **kwargs)

    monkeypatch.setattr(ArtifactStore, "build", sometimes)
    keys = hospital.settle()
    assert [key.rpartition("#")[2] for key in keys] == ["1", "1", "2", "3"], "the export once, the cohorts three times"
    failing = False
    assert hospital.settle() == [], "the sensor has given up"
    assert "has failed too often: 2025-02" in hospital.tick().words
    (request,) = schedule_of(hospital)
    hospital.run(request)
    assert hospital.evaluation("2025-02")


def test_what_is_restored_to_an_earlier_state_is_done_again(hospital: LandedHospital) -> None:
    """A backup of the artifacts that is older than the runs' database."""
    hospital.land("2025-02")
    hospital.settle()
    for asset in (EXPORT, COHORTS, EVALUATION):
        shutil.rmtree(hospital.store.path(f"{asset}/2025-02"))
    hospital.settle()
    assert hospital.evaluation("2025-02")


def test_an_export_that_goes_away_before_its_run_is_asked_for_again(hospital: LandedHospital) -> None:
    """As when a share is not mounted for a moment: the run must not be one that took it."""
    hospital.land("2025-02")
    hospital.settle()
    hospital.land("2025-02", "corrected")
    (request,) = hospital.tick().runs
    hospital.landing.rename(hospital.landing.with_name("away"))
    assert not hospital.run(request, raise_on_error=False).success
    assert "nothing is there" in hospital.tick().words
    hospital.landing.with_name("away").rename(hospital.landing)
    hospital.settle()
    assert hospital.export("2025-02")["revision"] == 2
    assert hospital.evaluation("2025-02").summary["revision"] == 2


def test_an_export_that_goes_away_while_it_is_read_is_not_refused(
    hospital: LandedHospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.land("2025-02")
    (request,) = hospital.tick().runs
    fetch = LandingArea.fetch

    def unmounted(*given: Any) -> None:
        hospital.landing.rename(hospital.landing.with_name("away"))
        fetch(*given)

    monkeypatch.setattr(LandingArea, "fetch", unmounted)
    assert not hospital.run(request, raise_on_error=False).success
    monkeypatch.setattr(LandingArea, "fetch", fetch)
    hospital.landing.with_name("away").rename(hospital.landing)
    hospital.settle()
    assert hospital.evaluation("2025-02")


def test_a_manifest_that_may_not_be_read_stops_no_other_month(
    hospital: LandedHospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.land("2025-02")
    hospital.land("2025-03")
    read = LandingArea.read_manifest

    def forbidden(area: LandingArea, month: str) -> bytes:
        if month == "2025-02":
            raise PermissionError(13, "Permission denied")
        return read(area, month)

    monkeypatch.setattr(LandingArea, "read_manifest", forbidden)
    found = hospital.tick()
    assert [run.partition_key for run in found.runs] == ["2025-03"]
    assert "2025-02/manifest.json: [Errno 13] Permission denied" in found.seen["2025-02"].waiting_for


def test_a_correction_that_fails_again_and_again_holds_up_nothing_else(
    hospital: LandedHospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.land("2025-01")
    hospital.land("2025-02")
    hospital.settle()
    hospital.land("2025-01", "corrected")
    fetch = LandingArea.fetch

    def forbidden(area: LandingArea, month: str, *rest: Any) -> None:
        if month == "2025-01":
            raise PermissionError(13, "Permission denied")
        fetch(area, month, *rest)

    monkeypatch.setattr(LandingArea, "fetch", forbidden)
    assert len(hospital.settle()) == hospital.settings.operate.max_attempts
    hospital.land("2025-03")
    hospital.settle()
    assert hospital.evaluation("2025-01").summary["tasks"]["readmission"]["ripe"], "of the export that was taken"
    assert hospital.export("2025-01")["revision"] == 1
    assert "failed too often: 2025-01" in hospital.tick().words
    monkeypatch.setattr(LandingArea, "fetch", fetch)
    (request,) = schedule_of(hospital)
    hospital.run(request)
    assert hospital.export("2025-01")["revision"] == 2


@pytest.mark.parametrize("is_still_there", [True, False])
def test_a_late_month_whose_followers_were_deleted(hospital: LandedHospital, is_still_there: bool) -> None:
    """Taken without its returns; with them where the later exports still lie where they landed."""
    for month in ("2025-02", "2025-03"):
        hospital.land(month)
    hospital.settle()
    for month in ("2025-02", "2025-03"):
        shutil.rmtree(hospital.store.path(f"{EXPORT}/{month}"))
        if not is_still_there:
            shutil.rmtree(hospital.landing / month)
    assert not hospital.tick().runs
    hospital.land("2025-01")
    hospital.settle()
    tasks = hospital.evaluation("2025-01").summary["tasks"]
    assert tasks["mortality"]["ripe"]
    assert tasks["readmission"]["ripe"] == is_still_there
    assert hospital.settle() == []


def test_a_corrupt_export_is_tried_once_until_it_changes(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    path = hospital.landing / "2025-02" / "notes.csv"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"P2025", b"Q2025", 1))
    assert len(hospital.settle()) == 1
    assert hospital.settle() == []
    assert hospital.store.find(f"{EXPORT}/2025-02") is None
    assert schedule_of(hospital) == []
    path.write_bytes(good)
    assert len(hospital.settle()) == 1
    assert hospital.evaluation("2025-02")


def test_a_manifest_whose_file_never_comes_is_refused_in_a_run_that_says_so(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    (hospital.landing / "2025-02" / "notes.csv").unlink()
    assert hospital.tick(now=0).runs == []
    assert "notes.csv" in hospital.tick(now=1).words
    (request,) = hospital.tick(now=600).runs
    assert not hospital.run(request, raise_on_error=False).success
    assert hospital.tick(now=601).runs == []


def test_cohorts_that_lost_a_row_are_not_evaluated(hospital: LandedHospital, monkeypatch: pytest.MonkeyPatch) -> None:
    make = label_landed.make_cohorts

    def losing(*given: Any) -> Any:
        told = make(*given)
        return told | {"notes": told["notes"] | {"num_staged": 3}}

    monkeypatch.setattr(label_landed, "make_cohorts", losing)
    hospital.land("2025-02")
    assert len(hospital.settle()) == 4, "three times the cohorts, once the export"
    assert hospital.store.find(f"{COHORTS}/2025-02") is None
    assert hospital.store.find(f"{EVALUATION}/2025-02/joint") is None
    assert hospital.settle() == []
    # And where they were not lost after all, the next look of the schedule has them made.
    monkeypatch.setattr(label_landed, "make_cohorts", make)
    (request,) = schedule_of(hospital)
    assert hospital.run(request).success
