"""One small synthetic hospital that the tests of this folder share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from lang1_assets.ops.hospital import ExportSummary, HospitalConfig, write_exports
from lang1_assets.ops.hospital.encounters import Hospital, build_hospital

SMALL = HospitalConfig(num_encounters=6_000, seed=11)


@dataclass(frozen=True)
class Export:
    """An export on disk."""

    folder: Path
    summary: ExportSummary

    def table(self, name: str) -> pl.DataFrame:
        """All rows of a table, as text."""
        pattern = "notes-*.csv" if name == "notes" else f"{name}.csv"
        return pl.concat([pl.read_csv(path, infer_schema=False) for path in sorted(self.folder.glob(pattern))])


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = tmp_path_factory.mktemp("hospital")
    return Export(folder, write_exports(folder, SMALL))


@pytest.fixture(scope="session")
def hospital() -> Hospital:
    return build_hospital(SMALL)


@pytest.fixture(scope="session")
def large_hospital() -> Hospital:
    """Big enough for ratios and ceilings; no text is written."""
    return build_hospital(HospitalConfig(num_encounters=45_000))
