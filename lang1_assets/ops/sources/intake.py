"""From a hospital's folder to tables that SQL can read: formats that are no tables are flattened first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lang1_assets.ops.sources.layout import FLATTENED_KINDS, SourceLayout, folder_layout


def flatten_source(
    kind: str,
    folder: Path | None,
    claims_folder: Path | None,
    output: Path,
    on_progress: Callable[[str], None] = lambda message: None,
    time_zone: str | None = None,
) -> dict[str, object]:
    """Write the tables of a FHIR export, and of X12 835 remittances, into `output`; nothing for other kinds.

    Args:
        on_progress: told of each file of a FHIR export that is done.
        time_zone: IANA name of where the hospital is; see `flatten_fhir`. The other formats have local times alone.

    Returns:
        What the readers counted, by format; no text of any record.
    """
    counted: dict[str, object] = {}
    if kind == "fhir" and folder is not None:
        from lang1_assets.ops.sources.fhir import flatten_fhir

        counted["fhir"] = flatten_fhir(folder, output, time_zone=time_zone, on_progress=on_progress).summary()
    if claims_folder is not None:
        from lang1_assets.ops.sources.x12_835 import read_835

        counted["x12_835"] = vars(read_835(claims_folder, output))
    return counted


def source_layout(
    project: Path, kind: str, folder: Path, flattened: Path, claims_folder: Path | None = None
) -> SourceLayout:
    """The layout of a source whose flattened parts, if it has any, lie in `flattened`.

    Raises:
        SourceError: as `folder_layout`.
    """
    found = folder_layout(project, kind, flattened if kind in FLATTENED_KINDS else folder)
    return found if claims_folder is None else with_remittances(project, found, flattened)


def with_remittances(project: Path, found: SourceLayout, flattened: Path) -> SourceLayout:
    """The layout with claims from remittances; claims of the source itself are then not read."""
    remittances = folder_layout(project, "x12_835", flattened)
    parts = {name: held for name, held in found.parts.items() if name != "claims"}
    return replace(found, parts={**parts, **remittances.parts})
