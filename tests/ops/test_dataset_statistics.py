"""Tables B1 - B7 against a slow second count in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from lang1_assets.ops import paper_tables, schemas
from lang1_assets.ops.dataset_statistics import (
    NOTHING,
    DatasetError,
    count_task,
    count_words,
    dataset_tables,
    markdown_of,
)
from lang1_assets.ops.tasks import TASKS

Row = dict[str, Any]


def made_rows(task: str, splits: tuple[str, ...] = schemas.SPLITS, num_notes: int = 400) -> list[Row]:
    """Notes of few patients, so that many are in several splits."""
    draw = random.Random(task)
    return [
        {
            "note_id": f"N{number}",
            "encounter_id": f"E{number}",
            "subject_id": f"P{draw.randrange(90)}",
            "prediction_time": datetime(2015, 1, 1),
            "split": draw.choice(splits),
            "label": draw.randrange(TASKS[task].num_classes) if task in TASKS else draw.randrange(3),
            "age": 50,
            "sex": "F",
            "race": None,
            "ethnicity": None,
            "borough": None,
            "text": f"secret words of note {number} " * 5,
        }
        for number in range(num_notes)
    ]


def write_rows(path: Path, rows: list[Row]) -> Path:
    pl.DataFrame(rows, schema=pl.DataFrame(schemas.EXAMPLES.empty_table()).schema).write_parquet(path)
    return path


def write_words(path: Path, words: dict[str, int]) -> Path:
    pl.DataFrame({"note_id": list(words), "num_words": list(words.values())}).write_parquet(path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {task: write_rows(tmp_path / f"{task}.parquet", made_rows(task)) for task in TASKS}


def distinct(rows: list[Row], column: str, split: str | None = None) -> int:
    return len({row[column] for row in rows if split is None or row["split"] == split})


def row_of(frame: pl.DataFrame, **where: str) -> Row:
    return frame.row(by_predicate=pl.all_horizontal(*(pl.col(k) == v for k, v in where.items())), named=True)


@pytest.mark.parametrize("task", TASKS)
def test_notes_and_patients_are_those_counted_by_hand_beside_the_papers(task: str, files: dict[str, Path]) -> None:
    rows = made_rows(task)
    notes, patients, *_ = dataset_tables(files)
    assert (notes.name, patients.name) == ("B1", "B2")
    for table, column, paper, totals in (
        (notes, "note_id", paper_tables.NOTE_COUNTS, paper_tables.NOTE_TOTALS),
        (patients, "subject_id", paper_tables.PATIENT_COUNTS, paper_tables.PATIENT_TOTALS),
    ):
        assert table.frame.columns == ["task", "source", *schemas.SPLITS, "total", "remark"]
        ours = row_of(table.frame, task=task, source="ours")
        theirs = row_of(table.frame, task=task, source="paper")
        assert {s: ours[s] for s in schemas.SPLITS} == {s: distinct(rows, column, s) for s in schemas.SPLITS}
        assert ours["total"] == distinct(rows, column)
        assert {s: theirs[s] for s in schemas.SPLITS} == paper[task]
        assert theirs["total"] == totals[task]
    # Patients return: the total is of distinct ones, not the sum.
    ours = row_of(patients.frame, task=task, source="ours")
    assert ours["total"] < sum(ours[split] for split in schemas.SPLITS)


def test_the_papers_misprint_is_marked_where_it_stands_and_nowhere_else(files: dict[str, Path]) -> None:
    notes, patients, *_ = dataset_tables(files)
    marked = patients.frame.filter(pl.col("remark").is_not_null())
    assert marked.select("task", "source").rows() == [("comorbidity", "paper")]
    assert "temporal_2021: the paper prints 251,804 patients" in marked["remark"].item()
    assert notes.frame["remark"].null_count() == notes.frame.height
    assert "251,804 patients" in markdown_of(patients.frame)
    assert "remark" not in markdown_of(notes.frame)


@pytest.mark.parametrize("task", TASKS)
def test_label_ratios_are_those_counted_by_hand_beside_the_papers(task: str, files: dict[str, Path]) -> None:
    rows = made_rows(task)
    tables = {table.name: table for table in dataset_tables(files)}
    assert list(tables) == [f"B{number}" for number in range(1, 8)]
    frame = tables[paper_tables.RATIO_TABLES[task]].frame
    titles = paper_tables.RATIO_TITLES[task]
    assert frame.columns == ["split", "source", *titles]
    for split in schemas.SPLITS:
        counted: dict[int, int] = defaultdict(int)
        for row in rows:
            counted[row["label"]] += row["split"] == split
        ours, theirs = (row_of(frame, split=split, source=source) for source in ("ours", "paper"))
        expected = [counted[label] / sum(counted.values()) for label in range(len(titles))]
        assert [ours[title] for title in titles] == pytest.approx(expected)
        assert tuple(theirs[title] for title in titles) == paper_tables.CLASS_RATIOS[task][split]


def test_titles_hold_the_totals_of_notes_and_words_and_the_papers(tmp_path: Path, files: dict[str, Path]) -> None:
    half = {f"N{number}": 3 * number for number in range(0, 400, 2)}
    clean = write_words(tmp_path / "clean-0.parquet", half | {"elsewhere": 1_000_000})
    title = next(table.title for table in dataset_tables(files, clean_notes=clean) if table.name == "B3")
    assert title == (
        "Table B3: 30-day readmission, label ratios by split (total notes = 400; total words = "
        f"{sum(half.values()):,}, not counting 200 notes without clean text; paper: 604,326 notes, 607,877,177 words)"
    )
    assert "total words" not in dataset_tables(files)[2].title


def test_words_are_those_of_each_task_of_all_files_of_a_pattern(tmp_path: Path) -> None:
    files = {
        "readmission": write_rows(tmp_path / "a.parquet", made_rows("readmission")[:100]),
        "mortality": write_rows(tmp_path / "b.parquet", made_rows("mortality")[50:]),
    }
    write_words(tmp_path / "clean-0.parquet", {f"N{number}": number for number in range(200)})
    write_words(tmp_path / "clean-1.parquet", {f"N{number}": number for number in range(200, 400)})
    counts = count_words(files, tmp_path / "clean-*.parquet")
    assert {task: count.num_words for task, count in counts.items()} == {
        "readmission": sum(range(100)),
        "mortality": sum(range(50, 400)),
    }
    assert all(count.num_notes_without_text == 0 for count in counts.values())


def test_other_splits_and_tasks_stand_alone_where_the_paper_has_none(tmp_path: Path) -> None:
    splits = ("train", "val", "test")
    files = {
        "falls": write_rows(tmp_path / "f.parquet", made_rows("falls", splits)),
        "mortality": write_rows(tmp_path / "m.parquet", made_rows("mortality", splits)),
    }
    notes, patients, mortality, falls = dataset_tables(files)
    assert notes.frame.columns == ["task", "source", *splits, "total", "remark"]
    theirs = row_of(patients.frame, task="mortality", source="paper")
    assert (theirs["train"], theirs["total"]) == (248_674, None)
    assert notes.frame.filter(task="falls")["source"].to_list() == ["ours"]
    assert (mortality.name, falls.name) == ("B4", "")
    assert falls.frame.columns == ["split", "source", "label 0", "label 1", "label 2"]
    assert falls.title == "falls, label ratios by split (total notes = 400)"


def test_splits_asked_for_are_columns_even_when_empty(tmp_path: Path) -> None:
    files = {"mortality": write_rows(tmp_path / "m.parquet", made_rows("mortality", ("train", "test")))}
    notes, _, ratios = dataset_tables(files, splits=("test", "train", "val"))
    assert notes.frame.columns[2:5] == ["test", "train", "val"]
    assert row_of(notes.frame, source="ours")["val"] == 0
    assert row_of(ratios.frame, split="val", source="ours")["died"] is None


def test_a_task_of_a_label_that_no_note_has_and_one_too_many(tmp_path: Path) -> None:
    rows = [row | {"label": 2 if row["note_id"] == "N7" else 0, "split": "test"} for row in made_rows("mortality")]
    ratios = dataset_tables({"mortality": write_rows(tmp_path / "m.parquet", rows)})[2].frame
    ours = row_of(ratios, split="test", source="ours")
    assert (ours["survived"], ours["died"], ours["label 2"]) == pytest.approx((399 / 400, 0, 1 / 400))
    assert row_of(ratios, split="test", source="paper")["label 2"] is None


def test_a_note_listed_twice_is_one_note(tmp_path: Path) -> None:
    rows = made_rows("mortality")
    once = count_task("mortality", write_rows(tmp_path / "once.parquet", rows))
    assert count_task("mortality", write_rows(tmp_path / "twice.parquet", [*rows, *rows])) == once


def test_the_text_of_the_notes_is_never_read(tmp_path: Path, files: dict[str, Path]) -> None:
    path = files["mortality"]
    expected = count_task("mortality", path)
    overwrite_column(path, "text")
    with pytest.raises(Exception, match=r".+"):
        pl.read_parquet(path)
    assert count_task("mortality", path) == expected


def overwrite_column(path: Path, name: str) -> None:
    """Zeros in place of one column's pages: whoever reads them gets an error."""
    group = pq.read_metadata(path).row_group(0)
    column = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == name)
    start = min(o for o in (column.dictionary_page_offset, column.data_page_offset) if o is not None)
    content = bytearray(path.read_bytes())
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(content)


def test_a_file_that_cannot_be_counted_is_an_error_that_names_it(tmp_path: Path) -> None:
    rows = made_rows("mortality")
    nameless = [row | {"split": None} if number == 17 else row for number, row in enumerate(rows)]
    twofold = [*rows, rows[3] | {"label": 1 - rows[3]["label"]}]
    garbage = tmp_path / "garbage.parquet"
    garbage.write_bytes(b"not parquet")
    narrow = tmp_path / "narrow.parquet"
    pl.DataFrame({"note_id": ["N1"]}).write_parquet(narrow)
    for path, said in (
        (write_rows(tmp_path / "null.parquet", nameless), r"null\.parquet, row 17 \(from 0\): no split"),
        (write_rows(tmp_path / "two.parquet", twofold), r"two\.parquet: split .* one label a note"),
        (garbage, r"garbage\.parquet"),
        (narrow, r"narrow\.parquet"),
        (tmp_path / "missing.parquet", r"missing\.parquet"),
    ):
        with pytest.raises(DatasetError, match=said) as caught:
            dataset_tables({"mortality": path})
        assert "secret" not in str(caught.value)


def test_a_split_that_would_be_left_out_is_an_error(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "m.parquet", made_rows("mortality", ("train", "test", "holdout")))
    with pytest.raises(DatasetError, match=r"m\.parquet: split 'holdout' is not among train, test"):
        dataset_tables({"mortality": path}, splits=("train", "test"))


def test_clean_notes_that_cannot_be_counted_are_an_error(tmp_path: Path, files: dict[str, Path]) -> None:
    twice = write_words(tmp_path / "clean.parquet", {"N1": 5})
    pl.concat([pl.read_parquet(twice)] * 2).write_parquet(twice)
    with pytest.raises(DatasetError, match=r"clean\.parquet: a note is there twice"):
        dataset_tables(files, clean_notes=twice)
    with pytest.raises(DatasetError, match=r"nowhere"):
        dataset_tables(files, clean_notes=tmp_path / "nowhere" / "*.parquet")


def test_markdown_prints_numbers_as_the_paper_does() -> None:
    frame = pl.DataFrame({"task": ["a|b", "c"], "n": [1_234_567, None], "ratio": [0.25, 0.0185], "empty": [None, None]})
    assert markdown_of(frame).splitlines() == [
        "| task | n | ratio |",
        "| --- | ---: | ---: |",
        "| a\\|b | 1,234,567 | 0.250000 |",
        f"| c | {NOTHING} | 0.018500 |",
    ]
    assert markdown_of(frame.clear().select("task", "n")).splitlines() == ["| task | n |", "| --- | ---: |"]
