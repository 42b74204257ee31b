"""Monthly exports of the embedded hospital: what is known at the end of each month, and no more."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from lang1_assets.ops.hospital import HospitalConfig, write_month_export
from lang1_assets.ops.landing.area import LandingArea
from lang1_assets.ops.landing.arrivals import check_sizes
from lang1_assets.ops.landing.months import day_after, first_day
from lang1_assets.ops.landing.synthetic import earlier_months, write_export

CONFIG = HospitalConfig(num_encounters=20_000, dirt_rate=0)
MONTHS = ("2025-01", "2025-02", "2025-03", "2025-04", "2025-05")


def stays(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "encounters.csv", infer_schema=False)


def claims(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "claims.csv", infer_schema=False)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("landing")
    for month in MONTHS:
        write_export(root / month, CONFIG, month)
    return {month: root / month for month in MONTHS}


def test_nothing_is_known_of_what_comes_after_the_month(exports: Mapping[str, Path]) -> None:
    for month, folder in exports.items():
        found = stays(folder)
        assert found["admit_time"].max() < str(day_after(month))  # type: ignore[operator]
        assert (found["discharge_time"].drop_nulls() < str(day_after(month))).all()
        assert claims(folder)["status_time"].max() < str(day_after(month))  # type: ignore[operator]


def test_whoever_comes_back_stands_in_the_export_of_that_month(exports: Mapping[str, Path], tmp_path: Path) -> None:
    write_month_export(tmp_path, CONFIG, 2025, 1)
    known = stays(tmp_path)
    later = known.filter(pl.col("admit_time") >= "2025-02-01")
    assert len(later) > 3, "the simulator knows returns of February"
    landed = pl.concat([stays(exports[month]) for month in MONTHS]).filter(pl.col("discharge_time").is_not_null())
    both = known.join(landed, on="encounter_id", how="left", suffix="_landed")
    assert both["discharge_time_landed"].equals(both["discharge_time"], null_equal=False), "no stay is lost or changed"
    # Those whose claims change stand there again, as they were.
    assert len(landed.unique()) == landed["encounter_id"].n_unique()


def test_a_claim_stands_whole_in_the_export_of_each_month_in_which_it_changes(
    exports: Mapping[str, Path], tmp_path: Path
) -> None:
    write_month_export(tmp_path, CONFIG, 2025, 1)
    history = claims(tmp_path)
    in_the_end = history.filter(pl.col("status").str.starts_with("final"))
    assert (in_the_end["status_time"] > "2025-02-01").mean() > 0.9, "few are decided when January's export is sent"  # type: ignore[operator]
    assert (in_the_end["status_time"] > "2025-04-01").any()
    for month, folder in exports.items():
        known = history.filter(pl.col("status_time") < str(day_after(month)))
        changed = known.filter(pl.col("status_time") >= str(first_day(month)))
        expected = known.join(changed, on="claim_id", how="semi")
        found = claims(folder).join(history, on="claim_id", how="semi")
        assert found.sort(found.columns).equals(expected.sort(expected.columns))
        # Without its stay nobody could tell whose claim it is.
        assert set(claims(folder)["encounter_id"]) <= set(stays(folder)["encounter_id"])


def test_dirt_changes_no_claim_that_comes_again(tmp_path: Path) -> None:
    config = HospitalConfig(num_encounters=2_000, dirt_rate=0.2)
    write_export(tmp_path / "2025-01", config, "2025-01")
    write_export(tmp_path / "2025-02", config, "2025-02")
    keys = ["claim_id", "encounter_id"]
    both = (
        claims(tmp_path / "2025-01")
        .join(claims(tmp_path / "2025-02"), on="claim_id", suffix="_later")
        .select(*keys, "encounter_id_later")
    )
    assert len(both) > 0
    assert both["encounter_id"].equals(both["encounter_id_later"])


def test_who_is_still_in_the_hospital_stands_there_again(exports: Mapping[str, Path]) -> None:
    still_there = stays(exports["2025-02"]).filter(pl.col("discharge_time").is_null())
    assert len(still_there) > 0
    again = stays(exports["2025-03"]).join(still_there, on="encounter_id", how="semi")
    assert set(again["encounter_id"]) == set(still_there["encounter_id"])
    # And of February's nobody else but those whose claims changed.
    both = stays(exports["2025-02"]).join(stays(exports["2025-03"]), on="encounter_id", how="semi")
    of_claims = both.join(claims(exports["2025-03"]), on="encounter_id", how="semi")
    assert set(both["encounter_id"]) == {*still_there["encounter_id"], *of_claims["encounter_id"]}


def test_everybody_of_an_export_is_in_it(exports: Mapping[str, Path]) -> None:
    for folder in exports.values():
        people = pl.read_csv(folder / "patients.csv", infer_schema=False)["subject_id"]
        assert people.n_unique() == len(people)
        assert set(stays(folder)["subject_id"]) <= set(people)


def test_an_export_is_whole_and_the_same_every_time(exports: Mapping[str, Path], tmp_path: Path) -> None:
    again = write_export(tmp_path, CONFIG, "2025-03")
    listing = LandingArea.of(str(exports["2025-03"].parent)).listings()["2025-03"]
    check_sizes(again, listing)
    assert again.covers_until == day_after("2025-03")


def test_months_before_the_first_have_none_earlier() -> None:
    assert list(earlier_months("2025-01")) == []
    assert list(earlier_months("2026-02")) == ["2026-01", "2025-12", "2025-11", "2025-10"]
