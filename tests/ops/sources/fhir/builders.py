"""Resources and exports that the tests of this folder share."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lang1_assets.ops.sources.fhir import FhirReport, flatten_fhir
from lang1_assets.ops.sources.fhir.tables import TABLE_OF_TYPE, TABLES

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
ICD_10, ICD_9 = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-9-cm"
Json = dict[str, Any]
Files = Mapping[str, Sequence[Json | bytes]]
Rows = list[dict[str, Any]]
PATIENT: Json = {"resourceType": "Patient", "id": "p1"}
ENCOUNTER: Json = {"resourceType": "Encounter", "id": "e1"}


def line_of(content: Json | bytes) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()


def write_export(folder: Path, files: Files) -> Path:
    """Files with these lines, and one patient and one encounter where no file is named for them."""
    given_names = {name.partition(".")[0] for name in files}
    defaults = {"Patient": PATIENT, "Encounter": ENCOUNTER}
    more: Files = {f"{name}.ndjson": [value] for name, value in defaults.items() if name not in given_names}
    for name, lines in {**more, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(line_of(line) + b"\n" for line in lines)
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def flatten_files(tmp_path: Path, files: Files) -> tuple[FhirReport, dict[str, Rows]]:
    report = flatten_fhir(write_export(tmp_path / "in", files), tmp_path / "out")
    return report, {table: pl.read_parquet(tmp_path / "out" / f"{table}.parquet").to_dicts() for table in TABLES}


def only_row(tmp_path: Path, resource: Json, *others: Json) -> dict[str, Any]:
    """The row of a resource."""
    _, tables = flatten_files(
        tmp_path, {f"{resource['resourceType']}.ndjson": [resource], "others.ndjson": list(others)}
    )
    (row,) = tables[TABLE_OF_TYPE[resource["resourceType"]]]
    return row


def rejects_of(rows: Rows) -> dict[str, str]:
    return {row["source_line"]: row["reject_reason"] for row in rows if row["reject_reason"]}


def concept_of(*codes: str, system: str = "s", text: str | None = None, display: str | None = None) -> Json:
    codings = [{"system": system, "code": code, **({"display": display} if display else {})} for code in codes]
    return {"coding": codings, **({"text": text} if text else {})}


def encoded(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def attachment_of(content: str | bytes, content_type: str | None = "text/plain") -> Json:
    return {"data": encoded(content), **({"contentType": content_type} if content_type else {})}


def document_of(*attachments: Json, **more: Any) -> Json:
    contents = [{"attachment": attachment} for attachment in attachments]
    return {"resourceType": "DocumentReference", "id": "d1", "content": contents, **more}


def narrative_of(tmp_path: Path, resource: Json, *others: Json) -> tuple[str | None, str | None]:
    row = only_row(tmp_path, resource, *others)
    return row["narrative"], row["reject_reason"]


def section_of(title: str | None, markup: str | None, *children: Json) -> Json:
    text = {"text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{markup}</div>'}}
    return {"title": title, "section": list(children), **(text if markup else {})}


def binary_of(content: str | bytes, content_type: str | None = "text/plain", binary_id: str = "b1") -> Json:
    return {"resourceType": "Binary", "id": binary_id, **attachment_of(content, content_type)}


def eob_of(**more: Any) -> Json:
    return {"resourceType": "ExplanationOfBenefit", "id": "x1", "outcome": "complete", "use": "claim", **more}


def amount_of(code: str, value: float | None = None, *reasons: str, system: str = "s") -> Json:
    amount = {} if value is None else {"amount": {"value": value, "currency": "USD"}}
    reason = {"reason": concept_of(*reasons)} if reasons else {}
    return {"category": concept_of(code, system=system), **amount, **reason}


HTML = attachment_of("<p>From HTML</p>", "text/html; charset=utf-8")
