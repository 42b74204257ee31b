"""Months that landed lose the rows of a forgotten person and nothing else; what cannot be searched goes as a whole."""

import gzip
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.forgetting.leaving_out import thin_files
from lang1_assets.ops.forgetting.removal import thin_out
from lang1_assets.ops.forgetting.search import Identifiers, find_in_folder, find_rows
from tests.ops.forgetting.conftest import Home
from tests.ops.forgetting.test_request import forget

PERSON = "P1000001"
TABLE = pl.DataFrame({"SUBJECT_ID": ["P1000002", PERSON, None], "TEXT": ["others", "wordP1000001, and more", ""]})


def land(home: Home, files: dict[str, bytes]) -> Path:
    home.make("landed_export/2025-01", {f"files/{name}": content for name, content in files.items()}, content="abc")
    return home.store.get("landed_export/2025-01").path / "files"


def test_tables_lose_their_rows_and_what_cannot_be_searched_goes(home: Home) -> None:
    table = TABLE.write_csv().encode()
    others = {"all.ndjson": b"wordP1000001", "claims.835": b"NM1*QC*1*wordP1000001", "LICENSE.txt": b"free"}
    files = land(home, {"NOTES.CSV": table, "more.csv.GZ": gzip.compress(table), **others})
    before = home.store.get("landed_export/2025-01")
    record = forget(home.folder, PERSON)
    after = home.store.get("landed_export/2025-01")
    assert (after.fingerprint, after.summary) == (before.fingerprint, before.summary)
    kept = TABLE.filter(pl.col("SUBJECT_ID").ne_missing(PERSON))
    assert pl.read_csv(files / "NOTES.CSV", infer_schema=False).equals(kept)
    assert pl.read_csv(gzip.decompress((files / "more.csv.GZ").read_bytes()), infer_schema=False).equals(kept)
    assert sorted(file.name for file in files.iterdir()) == ["NOTES.CSV", "more.csv.GZ"]
    assert {"landed_export/2025-01"} <= {one["name"] for one in record["removed"]}
    assert home.told(["wordP1000001", PERSON]) == {"wordP1000001": set(), PERSON: set()}


def test_a_month_that_is_fetched_later_is_thinned_too(tmp_path: Path) -> None:
    (tmp_path / "hosp").mkdir()
    TABLE.write_csv(tmp_path / "hosp" / "notes.csv")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    assert thin_files(tmp_path, []) == {}
    assert thin_files(tmp_path, [PERSON]) == {"hosp/notes.csv": 1}
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"wordP1000001" in file.read_bytes()]
    assert (tmp_path / "torn.parquet").read_bytes() == b"PAR1"


def test_nothing_is_touched_where_they_are_not(home: Home) -> None:
    files = land(home, {"notes.csv": TABLE.write_csv().encode()})
    before = (files / "notes.csv").stat().st_mtime_ns
    forget(home.folder, "P1000003")
    assert (files / "notes.csv").stat().st_mtime_ns == before


def test_a_table_that_cannot_be_written_again_goes_with_its_month(home: Home) -> None:
    land(home, {"notes.csv": b'SUBJECT_ID,TEXT\nP1000001,"wordP1000001\n'})
    forget(home.folder, PERSON)
    assert home.told(["wordP1000001"]) == {"wordP1000001": set()}


KILLED = """
import os, signal, sys
from pathlib import Path
from lang1_assets.ops.forgetting.request import begin, take_out
from tests.ops.forgetting.conftest import NOW
left, home = int(sys.argv[2]), Path(sys.argv[1])
renaming, removing = Path.rename, Path.unlink
def counted(change):
    def do(path, *words, **more):
        global left
        if "landed_export" in str(path) or "evaluation" in str(path):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return change(path, *words, **more)
    return do
request = begin(home, ["P1000001"], absent_too=False, now=NOW)
Path.rename, Path.unlink = counted(renaming), counted(removing)
take_out(home, request, lambda line: None)
"""


@pytest.mark.parametrize("changes", range(9))
def test_killed_while_a_month_is_thinned_it_is_thinned_and_whole(home: Home, changes: int) -> None:
    """So are the evaluations, whose rows get names that nothing leads back from."""
    table = TABLE.write_csv().encode()
    files = land(home, {"notes.csv": table, "more.csv": table, "LICENSE.txt": b"free"})
    killed = subprocess.run([sys.executable, "-c", KILLED, str(home.folder), str(changes)], check=False)
    assert killed.returncode == -signal.SIGKILL
    forget(home.folder)
    kept = TABLE.filter(pl.col("SUBJECT_ID").ne_missing(PERSON))
    assert sorted(file.name for file in files.iterdir()) == ["more.csv", "notes.csv"]
    assert all(pl.read_csv(file, infer_schema=False).equals(kept) for file in files.iterdir())
    for name in ("landed_export/2025-01", *(one for one in home.made if "evaluation" in one)):
        assert home.store.find(name) is not None, name
    assert home.told(["wordP1000001", PERSON]) == {"wordP1000001": set(), PERSON: set()}


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
