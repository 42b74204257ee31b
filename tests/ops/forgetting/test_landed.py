"""Months that landed lose the rows of a forgotten person and nothing else; what cannot be searched goes as a whole."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.forgetting.leaving_out import thin_files
from lang1_assets.ops.forgetting.removal import thin_out
from lang1_assets.ops.forgetting.search import Identifiers, find_in_folder, find_rows, is_of_patient
from tests.ops.forgetting.conftest import Home
from tests.ops.forgetting.test_request import forget

PERSON = "P1000001"
TABLE = pl.DataFrame({"SUBJECT_ID": ["P1000002", PERSON, None], "TEXT": ["others", "wordP1000001, and more", ""]})
RESOURCES = [
    {"resourceType": "Patient", "id": PERSON, "name": "wordP1000001"},
    {"resourceType": "Patient", "id": "P1000002"},
    {"resourceType": "DocumentReference", "id": "d", "subject": {"reference": f"Patient/{PERSON}"}},
    {"resourceType": "Claim", "id": "c", "patient": {"reference": f"https://here/fhir/Patient/{PERSON}"}},
    {"resourceType": "Claim", "id": "c", "patient": {"reference": "Patient/P1000002"}},
]
LINES = b"\n".join([*(json.dumps(resource).encode() for resource in RESOURCES), b"{broken", b"[]", b""])


def land(home: Home, files: dict[str, bytes]) -> Path:
    home.make("landed_export/2025-01", {f"files/{name}": content for name, content in files.items()}, content="abc")
    return home.store.get("landed_export/2025-01").path / "files"


def test_tables_and_resources_lose_their_rows(home: Home) -> None:
    table = TABLE.write_csv().encode()
    files = land(home, {"notes.csv": table, "more.csv.gz": gzip.compress(table), "all.ndjson": LINES})
    before = home.store.get("landed_export/2025-01")
    record = forget(home.folder, PERSON)
    after = home.store.get("landed_export/2025-01")
    assert (after.fingerprint, after.summary) == (before.fingerprint, before.summary)
    kept = TABLE.filter(pl.col("SUBJECT_ID").ne_missing(PERSON))
    assert pl.read_csv(files / "notes.csv", infer_schema=False).equals(kept)
    assert pl.read_csv(files / "more.csv.gz", infer_schema=False).equals(kept)
    lines = (files / "all.ndjson").read_bytes().split(b"\n")
    assert lines == [line for number, line in enumerate(LINES.split(b"\n")) if number not in (0, 2, 3)]
    assert {"landed_export/2025-01"} <= {one["name"] for one in record["removed"]}
    assert home.told(["wordP1000001", PERSON]) == {"wordP1000001": set(), PERSON: set()}


def test_a_month_that_is_fetched_later_is_thinned_too(tmp_path: Path) -> None:
    (tmp_path / "hosp").mkdir()
    TABLE.write_csv(tmp_path / "hosp" / "notes.csv")
    (tmp_path / "all.ndjson").write_bytes(LINES)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    assert thin_files(tmp_path, []) == {}
    assert thin_files(tmp_path, [PERSON]) == {"all.ndjson": 3, "hosp/notes.csv": 1}
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"wordP1000001" in file.read_bytes()]
    assert (tmp_path / "torn.parquet").read_bytes() == b"PAR1"


def test_nothing_is_touched_where_they_are_not(home: Home) -> None:
    files = land(home, {"notes.csv": TABLE.write_csv().encode()})
    before = (files / "notes.csv").stat().st_mtime_ns
    forget(home.folder, "P1000003")
    assert (files / "notes.csv").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["claims.835", "notes.csv"])
def test_what_cannot_be_searched_or_written_again_goes_as_a_whole(home: Home, name: str) -> None:
    broken = {"claims.835": b"NM1*QC*1*wordP1000001", "notes.csv": b'SUBJECT_ID,TEXT\nP1000001,"wordP1000001\n'}
    land(home, {name: broken[name]})
    forget(home.folder, PERSON)
    assert home.told(["wordP1000001"]) == {"wordP1000001": set()}
    assert home.store.find("landed_export/2025-01") is None or name == "notes.csv"


@given(st.binary(max_size=60))
def test_any_line_is_somebody_s_or_nobody_s(line: bytes) -> None:
    assert is_of_patient(line, frozenset({PERSON})) in (True, False)


ids = st.sampled_from(["a", "b", "c", "", "a,b", 'a"', "é"])


@given(
    rows=st.lists(st.tuples(ids, st.text(alphabet='ab,"\n é', max_size=8)), max_size=12), who=st.sets(ids.filter(bool))
)
def test_rows_in_are_rows_kept_and_rows_gone(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], who: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("landed")
    table = pl.DataFrame(rows, schema={"Person_ID": pl.String, "text": pl.String}, orient="row")
    table.write_csv(folder / "person.csv", quote_style="always")
    people = Identifiers(subjects=frozenset(who))
    found = find_in_folder(folder, people)
    thin_out(folder, found, people)
    kept = pl.read_csv(folder / "person.csv", infer_schema=False)
    assert kept.fill_null("").rows() == [row for row in rows if row[0] not in who]
    assert len(kept) + sum(one.num_rows for one in found) == len(rows)
    assert find_rows(folder / "person.csv", people) is None
