"""An export through its asset: what is taken, what is refused and by which word, and what is left of it."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from lang1_assets.months import landed
from lang1_assets.ops.landing.manifest import MANIFEST_FILE, write_manifest
from lang1_assets.ops.landing.plan import EXPORT
from tests.landed_hospital import LandedHospital
from tests.mlflow_database import database  # noqa: F401


@pytest.fixture
def hospital(tmp_path: Path, database: Path) -> LandedHospital:  # noqa: F811
    return LandedHospital(tmp_path, database)


def take(hospital: LandedHospital, month: str) -> dg.ExecuteInProcessResult:
    hospital.instance.add_dynamic_partitions("dated_exports", [month])
    request = dg.RunRequest(run_key="by hand", partition_key=month, asset_selection=[dg.AssetKey(EXPORT)])
    return hospital.run(request, raise_on_error=False)


def said(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    words, error = [], failure.error
    while error is not None:
        words.append(error.message)
        error = error.cause
    return " ".join([*words, str(failure.user_failure_data.description if failure.user_failure_data else "")])


def kept(hospital: LandedHospital) -> list[str]:
    """Files of exports in the store, whole or half."""
    return sorted(path.name for path in Path(hospital.store.root).rglob("*.csv"))


def test_an_export_is_fetched_and_described(hospital: LandedHospital) -> None:
    manifest = hospital.land("2025-02")
    (hospital.landing / "2025-02" / "extra.csv").write_text("not in the manifest\n")
    assert manifest is not None
    assert take(hospital, "2025-02").success
    found = hospital.store.get(f"{EXPORT}/2025-02")
    assert (found.path / "files" / "notes.csv").read_text() == (hospital.landing / "2025-02" / "notes.csv").read_text()
    summary = found.summary
    assert (summary["content"], summary["covers_until"], summary["revision"]) == (manifest.content, "2025-03-01", 1)
    assert (summary["num_files"], summary["num_files_left_out"], summary["has_manifest"]) == (5, 1, True)
    assert found.path.stat().st_mode & 0o077 == 0


def test_what_has_gone_from_the_landing_area_stays_taken(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    take(hospital, "2025-02")
    before = hospital.store.get(f"{EXPORT}/2025-02").created
    shutil.rmtree(hospital.landing / "2025-02")
    assert take(hospital, "2025-02").success
    assert hospital.store.get(f"{EXPORT}/2025-02").created == before
    assert "no export there, and none was taken before" in said(take(hospital, "2025-03"))


def test_a_correction_counts_up_and_names_what_it_replaces(hospital: LandedHospital) -> None:
    first = hospital.land("2025-02")
    take(hospital, "2025-02")
    hospital.land("2025-02", "corrected")
    take(hospital, "2025-02")
    assert first is not None
    assert (hospital.export("2025-02")["revision"], hospital.export("2025-02")["replaces"]) == (2, first.content)
    hospital.land("2025-02")
    take(hospital, "2025-02")
    assert hospital.export("2025-02")["revision"] == 3


@pytest.mark.parametrize("with_manifest", [True, False])
def test_the_same_again_is_the_same(hospital: LandedHospital, with_manifest: bool) -> None:
    for _ in range(2):
        hospital.land("2025-02", manifest=with_manifest)
        assert take(hospital, "2025-02").success
    assert hospital.export("2025-02")["revision"] == 1
    assert hospital.export("2025-02")["has_manifest"] is with_manifest


def flip_a_byte(folder: Path) -> None:
    path = folder / "notes.csv"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(bytes(data))


def drop_a_column(folder: Path) -> None:
    path = folder / "notes.csv"
    path.write_text(path.read_text().replace("written_time", "when"))
    write_manifest(folder, folder.name)


def cut_a_file(folder: Path) -> None:
    path = folder / "encounters.csv"
    path.write_text(path.read_text()[:-20])


def drop_a_table(folder: Path) -> None:
    (folder / "notes.csv").unlink()
    write_manifest(folder, folder.name)


def half_a_manifest(folder: Path) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(path.read_text()[:100])


def of_another_month(folder: Path) -> None:
    write_manifest(folder, "2025-07")


CORRUPT = {
    flip_a_byte: ("2025-02/notes.csv", "field 'sha256'"),
    drop_a_column: ("notes.csv", "misses column written_time"),
    cut_a_file: ("encounters.csv", "field 'bytes'"),
    drop_a_table: ("notes.csv", "is missing"),
    half_a_manifest: (MANIFEST_FILE, "not JSON"),
    of_another_month: (MANIFEST_FILE, "field 'month' is '2025-07'"),
}


@pytest.mark.parametrize("spoil", CORRUPT, ids=lambda spoil: spoil.__name__)
def test_a_corrupt_export_is_refused_by_file_and_field_and_nothing_of_it_is_kept(
    hospital: LandedHospital,
    spoil: object,
) -> None:
    hospital.land("2025-02")
    spoil(hospital.landing / "2025-02")  # type: ignore[operator]
    result = take(hospital, "2025-02")
    assert not result.success
    for words in CORRUPT[spoil]:  # type: ignore[index]
        assert words in said(result)
    assert "the patient was seen" not in said(result)
    assert kept(hospital) == []
    assert landed.refusals(hospital.store)["2025-02"].held_by is None


def test_a_corrupt_correction_leaves_what_was_taken_before(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    take(hospital, "2025-02")
    before = (hospital.store.get(f"{EXPORT}/2025-02").fingerprint, kept(hospital))
    hospital.land("2025-02", "corrected")
    flip_a_byte(hospital.landing / "2025-02")
    assert not take(hospital, "2025-02").success
    assert (hospital.store.get(f"{EXPORT}/2025-02").fingerprint, kept(hospital)) == before
    hospital.land("2025-02", "corrected")
    assert take(hospital, "2025-02").success


def test_the_same_content_as_another_month_is_refused_by_its_name(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    take(hospital, "2025-02")
    shutil.copytree(hospital.landing / "2025-02", hospital.landing / "2025-03")
    (hospital.landing / "2025-03" / MANIFEST_FILE).unlink()
    result = take(hospital, "2025-03")
    assert "the same files were taken as 2025-02" in said(result)
    assert hospital.store.find(f"{EXPORT}/2025-03") is None
    assert landed.refusals(hospital.store)["2025-03"].held_by == "2025-02"


def test_a_partition_that_is_no_month(hospital: LandedHospital) -> None:
    assert "expected a month" in said(take(hospital, "soon"))
