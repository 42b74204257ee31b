"""The night that `bench/night.py` lets a person watch, with the slow parts replaced: a year arrives, and everything is in order."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lang1_assets.ops.landing.months import next_month
from tests.landed_hospital import LandedHospital
from tests.mlflow_database import database  # noqa: F401

BENCH = Path(__file__).parents[1] / "bench" / "night.py"


@pytest.fixture(scope="module")
def night() -> ModuleType:
    spec = importlib.util.spec_from_file_location("night", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["night"] = module
    spec.loader.exec_module(module)
    return module


def test_a_year_with_a_late_a_corrected_and_a_corrupt_export(
    night: ModuleType,
    tmp_path: Path,
    database: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hospital = LandedHospital(tmp_path, database, insurance_denial_days=120)
    source = hospital.settings.source.model_copy(update={"num_encounters": 2_000})
    hospital.settings = hospital.settings.model_copy(update={"source": source})
    hospital.replace_slow_parts(monkeypatch)
    hospital.put_in_service("model")
    months = night.months_from("2025-01")
    assert len(night.problems(hospital.settings, hospital.store, months)) == 2 * night.NUM_MONTHS
    events = list(night.night(hospital.settings, months))
    assert len(events) == night.NUM_MONTHS + 3
    keys: list[str] = []
    for event in events:
        event.write()
        keys += hospital.settle()
    assert night.problems(hospital.settings, hospital.store, months) == []
    assert len(set(keys)) == len(keys)
    unripe = {month: night.not_ripe(hospital.store.get(f"landed_cohorts/{month}")) for month in months}
    assert [month for month in months if unripe[month]] == months[-4:]
    assert [unripe[month] for month in months[-2:]] == [{"insurance_denial"}, {"insurance_denial", "readmission"}]
    # Each month is labelled when it comes, when its returns are known and when its denials are; the late one comes when its
    # returns are known. Of the month before the mended one all is known with it, of the last four no denial.
    labelled = [3, 3, 3, 2, 3, 3, 3, 2, 1, 2, 2, 1]
    # The correction concerns its month and those that it is joined to; the one in between waits for the mended one.
    for place in (2, 3, 5, night.CORRECTED):
        labelled[place] += 1
    made = {name: number for name, number in hospital.made.items() if name.startswith("cohorts")}
    expected = {f"cohorts {month}": number for month, number in zip(months, labelled, strict=True)}
    assert made == expected


def test_the_events_say_what_arrives(night: ModuleType, tmp_path: Path, database: Path) -> None:  # noqa: F811
    months = night.months_from("2025-07")
    assert months[-1] == "2026-06"
    words = [event.words for event in night.night(LandedHospital(tmp_path, database).settings, months)]
    late = months[night.LATE]
    assert words.index(f"{late}, late") == words.index(next_month(late)) + 1
    assert [line for line in words if "corrupt" in line or "corrected" in line or "mended" in line] == [
        f"{months[night.CORRUPT]}, corrupt: a byte of its notes is flipped",
        f"{months[night.CORRECTED]}, corrected",
        f"{months[night.CORRUPT]}, mended",
    ]
