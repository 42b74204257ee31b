from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops import schemas
from lang1_assets.ops.cleaning import (
    CleaningError,
    CleaningReport,
    CleaningRules,
    clean_frame,
    clean_notes,
    connect,
    standardized,
)

LONG = "The patient was seen today and feels well after a quiet night."


def staged(*narratives: str | None, impression: str | None = None, addendum: str | None = None) -> pl.DataFrame:
    rows = [
        {
            "note_id": f"N{number}",
            "encounter_id": f"E{number}",
            "subject_id": "P1",
            "note_type": "hp",
            "department": "Medicine",
            "author_id": "A1",
            "written_time": datetime(2015, 1, 1),
            "narrative": narrative,
            "impression": impression,
            "addendum": addendum,
        }
        for number, narrative in enumerate(narratives)
    ]
    return pl.DataFrame(rows, schema=pl.DataFrame(schemas.STAGED_NOTES.empty_table()).schema)


def clean(text: str) -> str:
    return pl.DataFrame({"text": [text]}).select(standardized(pl.col("text"))).item()


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("\u201cstable\u201d \u2018ok\u2019 \u2014 fine\u2026", "\"stable\" 'ok' - fine..."),
        ("patient\u00e2\u20ac\u2122s \u00e2\u20ac\u0153stable\u00e2\u20ac\x9d", 'patient\'s "stable"'),
        ("caf\u00c3\u00a9 na\u00c3\u00afve 38.2 \u00c2\u00b0C", "cafe naive 38.2 C"),
        ("caf\u00e9, Guillain-Barr\u00e9, \u00bd tab, m\u00b2", "cafe, Guillain-Barre, 1/2 tab, m2"),
        ("5 \u00b5g, SpO2 \u2265 92 and \u2264 98, BP \u00b1 5", "5 ug, SpO2 >= 92 and <= 98, BP +/- 5"),
        ("a\x07b \x1b[0m c\x00d", "a b c d"),
        ("line one\r\n\n\tline  two\u00a0\u3000three", "line one line two three"),
        ("====== HPI ______ ## x", "HPI x"),
        ("what?!!! no... yes......", "what?! no... yes..."),
        ("Na : 140 , K ; ( 4.1 ) -- ok", "Na: 140, K; ( 4.1) - ok"),
        ("dose .5 mg, ? pneumonia", "dose .5 mg, ? pneumonia"),
        ("\u4e2d\u6587 text \U0001f600 end", "text end"),
    ],
)
def test_text_is_standardized(dirty: str, expected: str) -> None:
    assert clean(dirty) == expected


@given(
    st.text(
        st.one_of(st.sampled_from(" .,;:!?-_=*#~)([]<>'\"`aB1\n\t\x1b\u2019\u00e2\u20ac\u2122"), st.characters()),
        max_size=60,
    )
)
def test_clean_text_is_plain_and_cleaning_it_again_changes_nothing(text: str) -> None:
    once = clean(text)
    assert all(" " <= char <= "~" for char in once)
    assert "  " not in once
    assert once == once.strip()
    assert clean(once) == once


def test_each_row_is_kept_or_rejected_with_its_reason_in_order() -> None:
    frame = staged(LONG, "NULL", "", "see chart", None, "null ", f"{LONG} <NA> more", "\u4e2d\u6587", LONG)
    kept, rejects = clean_frame(frame, CleaningRules())
    assert kept["note_id"].to_list() == ["N0", "N8"]
    assert kept["num_words"].to_list() == [12, 12]
    assert dict(rejects.select("row_id", "reason").iter_rows()) == {
        "N1": "placeholder",
        "N2": "empty",
        "N3": "too_short",
        "N4": "empty",
        "N5": "placeholder",
        "N6": "placeholder",
        "N7": "empty",
    }
    assert kept.to_arrow().schema.names == schemas.CLEAN_NOTES.names
    assert kept.schema == pl.DataFrame(schemas.CLEAN_NOTES.empty_table()).schema
    assert rejects.schema == pl.DataFrame(schemas.REJECTS.empty_table()).schema


def test_narrative_fields_are_joined_and_an_exported_null_in_one_does_not_cost_the_note() -> None:
    kept, rejects = clean_frame(staged("HPI\nchest pain.", impression="<NA>", addendum=LONG), CleaningRules())
    assert kept["text"].to_list() == [f"HPI chest pain. {LONG}"]
    assert rejects.is_empty()


def test_the_rules_are_the_callers() -> None:
    rules = CleaningRules(min_words=2, placeholders=("TBD",), placeholders_anywhere=("@@",))
    kept, rejects = clean_frame(staged("two words", "one", "tbd", "x @@ y", "<NA> stays"), rules)
    assert kept["note_id"].to_list() == ["N0", "N4"]
    assert rejects["reason"].to_list() == ["too_short", "placeholder", "placeholder"]


def run(
    inputs: list[Path], output: Path, num_workers: int = 1, partition_rows: int = 40, **settings: object
) -> CleaningReport:
    return clean_notes(
        inputs,
        output,
        CleaningRules(),
        **{"scheduler_address": None, "on_progress": lambda done, total: None, **settings},
        num_workers=num_workers,
        partition_rows=partition_rows,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


@pytest.fixture
def notes(tmp_path: Path) -> list[Path]:
    """Two files of 90 and 0 rows: three slices and an empty one."""
    texts = [LONG if number % 3 else "NULL" for number in range(90)]
    staged(*texts).write_parquet(tmp_path / "a.parquet")
    staged().write_parquet(tmp_path / "b.parquet")
    return [tmp_path / "a.parquet", tmp_path / "b.parquet"]


def test_any_number_of_workers_writes_the_same_files(tmp_path: Path, notes: list[Path]) -> None:
    seen: list[tuple[int, int]] = []
    one = run(notes, tmp_path / "one", on_progress=lambda done, total: seen.append((done, total)))
    run(notes, tmp_path / "two", num_workers=2)
    assert (one.rows_in, one.rows_kept) == (90, 60)
    assert one.rejects_by_reason == {"empty": 0, "placeholder": 30, "too_short": 0}
    assert one.num_text_bytes == 60 * len(LONG) + 30 * 4
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 8
    ids = pl.read_parquet(tmp_path / "one" / "notes" / "*.parquet")["note_id"]
    assert ids.to_list() == [f"N{number}" for number in range(90) if number % 3]


def test_a_running_cluster_whose_worker_is_killed_gives_the_same_files(tmp_path: Path, notes: list[Path]) -> None:
    from dask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL") as cluster:
        with Client(cluster) as client:
            victim = client.submit(os.getpid, pure=False).result()
        killed = threading.Event()

        def kill_once(done: int, total: int) -> None:
            if not killed.is_set():
                killed.set()
                os.kill(victim, signal.SIGKILL)

        report = run(
            notes,
            tmp_path / "out",
            partition_rows=5,
            scheduler_address=cluster.scheduler_address,
            on_progress=kill_once,
        )
    assert killed.is_set()
    assert (report.rows_in, report.rows_kept) == (90, 60)
    parts = sorted((tmp_path / "out" / "notes").iterdir())
    assert [part.name for part in parts] == [f"part-{number:05d}.parquet" for number in range(19)]
    here = run(notes, tmp_path / "here", num_workers=2, partition_rows=5)
    assert contents(tmp_path / "here") == contents(tmp_path / "out")
    assert (here.num_words, here.rejects_by_reason) == (report.num_words, report.rejects_by_reason)


def test_unreadable_input_is_named(tmp_path: Path, notes: list[Path]) -> None:
    whole = notes[0].read_bytes()
    truncated = tmp_path / "cut.parquet"
    truncated.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CleaningError, match=r"cut\.parquet: not a readable Parquet file"):
        run([notes[0], truncated], tmp_path / "out")
    staged(LONG).drop("addendum").write_parquet(tmp_path / "narrow.parquet")
    with pytest.raises(CleaningError, match=r"narrow\.parquet: missing column\(s\) addendum"):
        run([tmp_path / "narrow.parquet"], tmp_path / "out")
    staged(LONG).with_columns(narrative=pl.lit(3)).write_parquet(tmp_path / "typed.parquet")
    with pytest.raises(CleaningError, match=r"typed\.parquet: column narrative is Int32, expected String"):
        run([tmp_path / "typed.parquet"], tmp_path / "out")
    with pytest.raises(CleaningError, match="no Parquet file"):
        run([], tmp_path / "out")
    spoiled = bytearray(whole)
    spoiled[8:200] = b"\xff" * 192
    (tmp_path / "spoiled.parquet").write_bytes(spoiled)
    with pytest.raises(CleaningError, match=r"spoiled\.parquet, rows from 0: cannot be read"):
        run([tmp_path / "spoiled.parquet"], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_worker_of_our_own_has_one_polars_thread() -> None:
    with ExitStack() as stack:
        assert connect(stack, None, 1).submit(pl.thread_pool_size).result() == 1


def test_a_cluster_of_our_own_leaves_no_limits_behind() -> None:
    before = dict(os.environ)
    with ExitStack() as stack:
        connect(stack, None, 1)
    assert dict(os.environ) == before
