"""The SQL project and the variables that a profile gives it: what extraction and operation both need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lang1_assets.ops.forgetting.subjects import list_file
from lang1_assets.resources.store import folder_hash
from lang1_assets.settings import Settings, Source, lang1_home

PROJECT_FOLDER = Path(__file__).parent.parent / "dbt_notes"


def source_variables(source: Source) -> dict[str, Any]:
    """What decides which models there are."""
    return {"source_kind": source.sql_kind, "claims_kind": "x12_835" if source.remittances else "source"}


def dbt_variables(settings: Settings) -> dict[str, Any]:
    """Every variable of the SQL project but places: where the records, the results and the list of the forgotten lie."""
    source = settings.source
    return {
        **source_variables(source),
        "csv_encoding": source.encoding,
        "minimum_plausible_date": source.minimum_plausible_date.isoformat(),
        "maximum_plausible_date": source.maximum_plausible_date.isoformat(),
        "fhir_superseded_notes": source.fhir_superseded_notes,
        "split_seed": settings.seed,
        **settings.cohorts.model_dump(mode="json"),
    }


def build_variables(settings: Settings) -> dict[str, Any]:
    """What every build is told; the list of the forgotten is no part of `dbt_variables`, which decide what an artifact is."""
    return dbt_variables(settings) | {"forgotten_file": str(list_file(lang1_home()))}


def sql_hash() -> str:
    """Hash of the SQL, macros, seeds and project file: what a table depends on beside its rows."""
    parts = [folder_hash(PROJECT_FOLDER / name) for name in ("models", "macros", "seeds")]
    return "-".join([*parts, folder_hash(PROJECT_FOLDER, "dbt_project.yml")])
