"""Whatever lies in a hospital's files, staging names the file or accounts for every record, and no text leaks.

Two sources of each kind by default, one of them with every spoiled value in every column; `LANG1_FUZZ_EXAMPLES=25` for more.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from lang1_assets.ops.sources.fhir import FhirError
from lang1_assets.ops.sources.headers import line_break_problem
from lang1_assets.ops.sources.intake import flatten_source, source_layout
from lang1_assets.ops.sources.layout import SourceError
from lang1_assets.ops.sources.x12_835 import X12Error
from tests.dbt_runs import PROJECT, Build, run_on_layout
from tests.fuzzed_fhir import spoiled_fhir
from tests.fuzzed_remittances import num_claims_of, spoiled_remittances
from tests.fuzzed_sources import MARKER, NOTE_TABLES, FuzzedSource
from tests.fuzzed_tables import one_of_each, spoiled_tables

NUM_EXAMPLES = int(os.environ.get("LANG1_FUZZ_EXAMPLES", "2"))
STAGING = ("run", "--select", "+intake_counts", "+staged_notes", "+patients", "+encounters", "+diagnoses")
fuzzed = settings(
    max_examples=NUM_EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    # An example takes seconds: the smallest failing one is found faster by hand.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def written(source: FuzzedSource, remittances: dict[str, bytes] | None = None) -> Iterator[tuple[Path, Path | None]]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source.write(home / "files")
        for name, content in (remittances or {}).items():
            (home / "835").mkdir(exist_ok=True)
            (home / "835" / name).write_bytes(content)
        (home / "flattened").mkdir()
        yield home, home / "835" if remittances else None


def staged(source: FuzzedSource, home: Path, remittances: Path | None = None) -> tuple[Build, dict[str, object]] | None:
    """What was built and what the readers counted; none when the source was refused with the name of a file."""
    files, flattened = home / "files", home / "flattened"
    try:
        counted = flatten_source(source.kind, files, remittances, flattened)
        layout = source_layout(PROJECT, source.kind, files, flattened, remittances)
    except (SourceError, FhirError, X12Error) as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert MARKER not in message
        assert source.may_stop, message
        assert any(Path(name).name in message for name in source.files), message
        return None
    claims = {"claims_kind": "x12_835" if remittances else "source"}
    build = run_on_layout(layout, home, STAGING, kind=source.kind, **claims)
    assert build.exit_code == 0, build.output.replace(MARKER, "MARKER")[-4000:]
    assert_nothing_leaks(build, home)
    return build, counted


def assert_nothing_leaks(build: Build, home: Path) -> None:
    assert MARKER not in build.output
    for file in (home / "logs" / "dbt.log", home / "target" / "run_results.json"):
        assert MARKER not in file.read_text(), file.name
    told = build.table("rejects")
    leaked = told.filter(pl.any_horizontal(pl.all().str.contains(MARKER)))
    assert leaked.is_empty(), leaked.group_by("source", "reason").len()


def assert_every_record_counts(build: Build) -> dict[str, int]:
    """Table -> rows in."""
    counts = build.table("intake_counts")
    assert (counts["rows_in"] == counts["rows_out"] + counts["rows_rejected"]).all(), counts
    rejects = build.table("rejects")
    assert rejects.null_count().sum_horizontal().sum() == 0
    assert not rejects.filter((pl.col("row_id").str.strip_chars() == "") | (pl.col("reason") == "")).height
    return dict(zip(counts["table_name"], counts["rows_in"], strict=True))


def assert_notes_are_whole(build: Build, source: FuzzedSource) -> None:
    notes = build.table("staged_notes")
    found = {row["note_id"]: (row["subject_id"], row["narrative"]) for row in notes.to_dicts()}
    for note_id, subject_and_text in source.good_notes.items():
        assert note_id in found, build.table("rejects").filter(pl.col("row_id") == note_id)
        # Of the same person: a spoiled copy must not stand in for a good note that was lost.
        assert found[note_id] == subject_and_text, note_id


def check_tables(source: FuzzedSource) -> None:
    with written(source) as (home, _):
        if result := staged(source, home):
            rows_in = assert_every_record_counts(result[0])
            for table, (fewest, most) in source.num_records.items():
                assert fewest <= rows_in[table] <= most, (table, rows_in[table], fewest, most)
            assert_notes_are_whole(result[0], source)


@pytest.mark.parametrize("kind", list(NOTE_TABLES))
def test_tables_of_any_kind(kind: str) -> None:
    checked = example(one_of_each(kind))(given(spoiled_tables(kind))(check_tables))
    # An explicit example comes on top.
    settings(fuzzed, max_examples=max(1, NUM_EXAMPLES - 1))(checked)()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a,b\n1,2\n", None),
        (b"a,b\r\n1,2\r\n", None),
        (b'a,b\r\n"x\ny",2\r\n3,4', None),
        (b'a,b\n5" wound,2\n3,"x\r\ny\rq"\n', None),
        (b'a,b\n"' + b"x\r" * 200_000 + b'",2\n', None),
        (b"a,b\r\n1,2\r\n\n3,4\r\n", 3),
        (b"a,b\r\n1,2\n", 2),
        (b"a,b\nx\ry,2\n3,4\n", 2),
        (b"a,b\n1,2\n3,4\r", 3),
    ],
)
def test_where_lines_end_in_another_way(tmp_path: Path, content: bytes, line: int | None) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    problem = line_break_problem(tmp_path / "a.csv")
    assert problem is None if line is None else f"line {line} " in str(problem)


@fuzzed
@given(spoiled_fhir())
def test_fhir(source: FuzzedSource) -> None:
    with written(source) as (home, _):
        if result := staged(source, home):
            build, counted = result
            report = counted["fhir"]
            assert isinstance(report, dict)
            others = sum(report["lookups_by_type"].values()) + sum(report["ignored_by_type"].values())
            assert sum(assert_every_record_counts(build).values()) + others == source.num_records[""][0]
            assert MARKER not in str(report)
            assert_notes_are_whole(build, source)


@fuzzed
@given(spoiled_tables("tables"), spoiled_remittances())
def test_remittances(source: FuzzedSource, files: dict[str, bytes]) -> None:
    with written(source, files) as (home, remittances):
        if result := staged(source, home, remittances):
            build, counted = result
            rows_in = assert_every_record_counts(build)["remittances"]
            report = counted["x12_835"]
            assert isinstance(report, dict)
            assert MARKER not in str(report)
            assert rows_in >= report["num_claims"] == sum(map(num_claims_of, files.values()))
            table = pl.read_parquet(home / "flattened" / "remittances.parquet")
            whole = table.filter(pl.col("source_line").str.starts_with("good.835"))
            assert whole["claim_id"].to_list() == [f"E{number}" for number in range(1, 7)]
            assert whole["reject_reason"].null_count() == whole.height == 6
            assert not any(MARKER in str(row) for row in table.iter_rows())
