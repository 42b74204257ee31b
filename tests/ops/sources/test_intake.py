from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lang1_assets.ops.sources.intake import flatten_source
from tests.ops.sources.fhir.builders import ENCOUNTER, write_export


@pytest.mark.parametrize(
    ("time_zone", "expected"), [(None, "2021-01-01 03:00:00"), ("America/New_York", "2020-12-31 22:00:00")]
)
def test_the_time_zone_reaches_the_reader_of_fhir(tmp_path: Path, time_zone: str | None, expected: str) -> None:
    encounter = {**ENCOUNTER, "period": {"start": "2021-01-01T03:00:00Z"}}
    folder = write_export(tmp_path / "in", {"Encounter.ndjson": [encounter]})
    counted = flatten_source("fhir", folder, None, tmp_path / "out", time_zone=time_zone)
    assert set(counted) == {"fhir"}
    assert pl.read_parquet(tmp_path / "out" / "fhir_encounters.parquet")["start_time"].to_list() == [expected]


def test_other_kinds_are_not_flattened(tmp_path: Path) -> None:
    assert flatten_source("tables", tmp_path / "nowhere", None, tmp_path / "out") == {}
    assert not (tmp_path / "out").exists()
