"""How every asset says what it did: one shape of metadata, a data version, owners and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from lang1_assets.resources.audit import AUDIT_METADATA
from lang1_assets.resources.store import Artifact

DATA_OWNER = ["team:data-engineering"]
MODEL_OWNER = ["team:ml-engineering"]
RESEARCH_OWNER = ["team:clinical-research"]
SYNTHETIC = "Synthetic data: the embedded hospital. No number here is about real patients."


REUSED = "up to date, reused"
"""Status of an artifact that was there already."""


def materialized(
    artifact: Artifact, check_results: Sequence[dg.AssetCheckResult] = (), **metadata: Any
) -> dg.MaterializeResult:
    """The result of an asset that is one artifact: what its maker counted, where it lies, and whether it was reused."""
    return dg.MaterializeResult(
        metadata={
            "status": REUSED if artifact.reused else "made in this run",
            # Dagster shows them in this order: what a person came to see is first.
            **metadata,
            "path": dg.MetadataValue.path(str(artifact.path)),
            "fingerprint": artifact.fingerprint,
            "made_from": dg.MetadataValue.json(dict(artifact.inputs)),
            **({AUDIT_METADATA: artifact.audit_row} if artifact.audit_row else {}),
            **readable(artifact.summary),
        },
        data_version=dg.DataVersion(artifact.fingerprint),
        check_results=list(check_results),
    )


def readable(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary as Dagster metadata: nested values as JSON, numbers as numbers."""
    return {key: dg.MetadataValue.json(v) if isinstance(v, (dict, list)) else v for key, v in summary.items()}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def said_to_be(table: dg.MarkdownMetadataValue | str, is_synthetic: bool) -> dg.MarkdownMetadataValue:
    """A table of measured numbers, below the words that they are of no patient where they are not."""
    text = table if isinstance(table, str) else table.md_str or ""
    return dg.MetadataValue.md(f"{SYNTHETIC}\n\n{text}" if is_synthetic else text)


def inline_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.TableMetadataValue:
    """A table that Dagster's page shows as it is; of Markdown it shows a link. For what a person came to see."""
    records = [dg.TableRecord(dict(zip(header, map(_text, row), strict=True))) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name, "string") for name in header]))


def picture(path: Path, alt: str) -> dg.MarkdownMetadataValue:
    """A PNG file inside the metadata itself; `alt` says in words what it shows."""
    from lang1_assets.ops.figures import inline_png

    return dg.MetadataValue.md(inline_png(path.read_bytes(), alt))


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """The column schema that Dagster shows, from the schema that the files follow."""
    return dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in schema])


def _cell(value: Any) -> str:
    return _text(value).replace("|", "\\|")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
