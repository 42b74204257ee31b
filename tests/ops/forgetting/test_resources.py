"""A FHIR export that is fetched after somebody was forgotten: nothing of theirs stays, and all other rows do."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.forgetting.leaving_out import thin_files
from lang1_assets.ops.forgetting.resources import Staying
from lang1_assets.ops.sources.fhir import flatten_fhir
from lang1_assets.ops.sources.fhir.elements import MalformedLineError, MalformedResourceError
from lang1_assets.ops.sources.fhir.lines import Line

PERSON, OTHER = "p1", "p2"
WORDS = {PERSON: "wordp1", OTHER: "wordp2"}
REFERENCES = {
    "plain": {"reference": "Patient/{}"},
    "server": {"reference": "https://here/fhir/Patient/{}"},
    "version": {"reference": "Patient/{}/_history/3"},
    "search": {"reference": "Patient?identifier=https://here|{}"},
    "urn": {"reference": "urn:uuid:{}"},
    "logical": {"identifier": {"value": "{}"}},
}


def resources(person: str, reference: dict[str, Any]) -> list[dict[str, Any]]:
    about = json.loads(json.dumps(reference).replace("{}", person))
    text = {"contentType": "text/plain", "data": base64.b64encode(WORDS[person].encode()).decode()}
    note = {"resourceType": "DocumentReference", "status": "current"}
    stay = {"encounter": [{"reference": f"Encounter/e{person}"}]}

    def attached(url: str) -> list[dict[str, Any]]:
        return [{"attachment": {"contentType": "text/plain", "url": url}}]

    return [
        {"resourceType": "Patient", "id": person, "name": WORDS[person]},
        {"resourceType": "Encounter", "id": f"e{person}", "subject": about, "status": "finished"},
        {**note, "id": f"in-binary-{person}", "subject": about, "content": attached(f"Binary/b{person}")},
        {"resourceType": "Binary", "id": f"b{person}", **text},
        {**note, "id": f"in-file-{person}", "subject": about, "content": attached(f"texts/{person}.txt")},
        {**note, "id": f"of-stay-{person}", "context": stay, "content": [{"attachment": text}]},
        {"resourceType": "Observation", "id": f"o{person}", "subject": about, "note": WORDS[person]},
        {"resourceType": "RelatedPerson", "id": f"r{person}", "name": WORDS[person], "patient": about},
        {"resourceType": "Condition", "id": f"c{person}", "subject": about},
    ]


def export(folder: Path, reference: dict[str, Any], *, is_zipped: bool) -> None:
    (folder / "texts").mkdir(parents=True)
    lines = [json.dumps(one).encode() for person in WORDS for one in resources(person, reference)]
    lines += [
        b'{"resourceType": "DocumentReference", "id": 5, "text": "wordp1"}',
        b'{"broken": "wordp1',
        b"[" * 100_000,
    ]
    data = b"\n".join(lines)
    (folder / "All.NDJSON").write_bytes(gzip.compress(data) if is_zipped else data)
    (folder / "Patient.ndjson").write_bytes(b"")
    for person, word in WORDS.items():
        (folder / "texts" / f"{person}.txt").write_text(word)
    (folder / "LICENSE.txt").write_text("free")


def flattened(folder: Path, output: Path) -> dict[str, pl.DataFrame]:
    flatten_fhir(folder, output)
    return {file.stem: pl.read_parquet(file).drop("source_line") for file in sorted(output.glob("*.parquet"))}


@pytest.mark.parametrize("form", REFERENCES)
@pytest.mark.parametrize("is_zipped", [False, True])
def test_a_later_export_is_without_them(tmp_path: Path, form: str, is_zipped: bool) -> None:
    export(tmp_path / "files", REFERENCES[form], is_zipped=is_zipped)
    before = flattened(tmp_path / "files", tmp_path / "before")
    assert thin_files(tmp_path / "files", [PERSON]) == {"All.NDJSON": 11}
    for file in (path for path in (tmp_path / "files").rglob("*") if path.is_file()):
        held = file.read_bytes()
        assert WORDS[PERSON].encode() not in (gzip.decompress(held) if held[:2] == b"\x1f\x8b" else held)
    assert not (tmp_path / "files" / "LICENSE.txt").exists()
    after = flattened(tmp_path / "files", tmp_path / "after")
    for name, rows in after.items():
        theirs = pl.any_horizontal(pl.col("^(subject|encounter|note)_id$").str.ends_with(PERSON).fill_null(False))
        assert rows.drop("reject_reason").equals(before[name].filter(~theirs).drop("reject_reason")), name
        assert rows["reject_reason"].is_null().equals(before[name].filter(~theirs)["reject_reason"].is_null())
    texts = after["fhir_notes"].filter(pl.col("note_id").is_not_null())["narrative"].to_list()
    assert texts == [WORDS[OTHER]] * 3


def test_an_export_that_flattening_refuses_stays_as_it_came(tmp_path: Path) -> None:
    data = gzip.compress(b'{"resourceType": "Patient", "id": "p1"}\n' * 1000)[:-20]
    (tmp_path / "Patient.ndjson.gz").write_bytes(data)
    assert thin_files(tmp_path, [PERSON]) == {}
    assert (tmp_path / "Patient.ndjson.gz").read_bytes() == data


@given(st.binary(max_size=60))
def test_any_line_stays_or_goes_or_is_none(raw: bytes) -> None:
    try:
        Staying(subjects=frozenset([PERSON])).holds(Line(1, 0, raw, True))
    except (MalformedLineError, MalformedResourceError):
        return
