from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.corpora import chosen_notes
from lang1_assets.ops.deduplication import DeduplicationError, DuplicatesReport, write_duplicates
from lang1_assets.ops.near_duplicates import DUPLICATES, duplicates_of

NUM_NOTES = 240


def copied_notes(num: int = NUM_NOTES) -> pl.DataFrame:
    """Clean notes of 20 people: every other note is new, the others are copies, half of them with a word changed."""
    rows = []
    for number in range(num):
        person, day = number % 20, number // 20
        words = [f"w{(7 * person + place) % 50}d{day // 4}" for place in range(40)]
        if day % 4 in (1, 3):
            words[day] = f"new{day}"
        rows.append(
            {
                "note_id": f"N{number:03d}",
                "encounter_id": f"E{number}",
                "subject_id": f"P{person}",
                "note_type": "hp" if day % 4 else "radiology",
                "department": None,
                "written_time": datetime(2015, 1, 1) + timedelta(days=100 * day),
                "num_words": 40,
                "text": " ".join(words),
            }
        )
    return pl.DataFrame(rows, schema=pl.DataFrame(schemas.CLEAN_NOTES.empty_table()).schema)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files and an empty one; every person's notes are in all of them."""
    folder = tmp_path / "notes"
    folder.mkdir()
    notes = copied_notes()
    for number, part in enumerate([notes[:100], notes[100:101], notes[:0], notes[101:]]):
        part.write_parquet(folder / f"part-{number:05d}.parquet")
    return sorted(folder.iterdir())


def run(files: list[Path], output: Path, **settings: object) -> DuplicatesReport:
    defaults = {"chosen": None, "near_similarity": 0.6, "num_workers": 1, "notes_per_group": 50}
    return write_duplicates(files, output, **{**defaults, **settings})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_file_has_its_own_duplicates_and_nothing_is_lost(files: list[Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = run(files, tmp_path / "out", on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 9) for done in range(1, 10)]
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [path.name for path in files]
    expected = duplicates_of(copied_notes(), 0.6)
    found = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert dict(found.schema) == DUPLICATES
    assert sorted(found.rows()) == sorted(expected.rows())
    for path in files:
        mine = pl.read_parquet(tmp_path / "out" / path.name)["note_id"]
        assert mine.is_sorted()
        assert set(mine) <= set(pl.read_parquet(path)["note_id"])
    counted = dict(found.group_by("reason").len().iter_rows())
    assert report.duplicates_by_reason == counted
    assert set(counted) == {"exact", "near"}
    assert (report.rows_in, report.rows_kept) == (NUM_NOTES, NUM_NOTES - len(found))
    assert report.num_text_bytes == copied_notes()["text"].str.len_bytes().sum()
    gone = copied_notes().join(found, on="note_id", how="semi")["text"].str.len_bytes().sum()
    assert report.num_duplicate_bytes == gone


@pytest.mark.parametrize("changed", [{"num_workers": 2}, {"notes_per_group": 1}, {"notes_per_group": 10_000}])
def test_any_number_of_workers_and_groups_writes_the_same_files(
    files: list[Path], tmp_path: Path, changed: dict[str, int]
) -> None:
    run(files, tmp_path / "one")
    run(files, tmp_path / "two", **changed)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_exact_finds_equal_texts_alone(files: list[Path], tmp_path: Path) -> None:
    report = run(files, tmp_path / "out", near_similarity=None)
    assert report.duplicates_by_reason["near"] == 0
    # Of four days of a text two are equal, and none of another four days is.
    assert report.duplicates_by_reason["exact"] == NUM_NOTES // 4
    assert set(pl.read_parquet(tmp_path / "out" / "*.parquet")["similarity"]) == {1.0}


def test_a_note_outside_of_the_corpus_neither_goes_nor_stands_for_another(files: list[Path], tmp_path: Path) -> None:
    chosen = chosen_notes(["hp"], (date(2015, 1, 1), date(2017, 1, 1)))
    assert chosen is not None
    inside = copied_notes().filter(chosen)
    report = run(files, tmp_path / "out", chosen=chosen)
    found = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert report.rows_in == len(inside) < NUM_NOTES
    assert sorted(found.rows()) == sorted(duplicates_of(inside, 0.6).rows())
    assert {*found["note_id"], *found["kept_note_id"]} <= set(inside["note_id"])
    assert not {*found["kept_note_id"]} & {*found["note_id"]}


def test_what_an_interrupted_run_left_is_not_counted(files: list[Path], tmp_path: Path) -> None:
    run(files, tmp_path / "one")
    left = tmp_path / "two" / "spread.tmp"
    left.mkdir(parents=True)
    copied_notes(5).with_columns(part=0, group=pl.lit(0, pl.UInt64)).write_parquet(left / "99999.parquet")
    run(files, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_file_that_cannot_be_read_is_named(files: list[Path], tmp_path: Path) -> None:
    whole = files[3].read_bytes()
    files[3].write_bytes(whole[:-20])
    with pytest.raises(DeduplicationError, match=r"part-00003\.parquet: not a readable Parquet file"):
        run(files, tmp_path / "out")
    files[3].write_bytes(whole[:8] + b"\xff" * 300 + whole[308:])
    with pytest.raises(DeduplicationError, match=r"part-00003\.parquet: cannot be read"):
        run(files, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.parquet"))
