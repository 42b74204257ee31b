"""Another hospital's labelled notes: of the same task, and not this hospital's."""

from pathlib import Path

import polars as pl
import pytest

from lang1_assets.ops.elsewhere import ElsewhereError, check_examples, class_ratios, matched_train_size, num_shared
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import SPLIT_SIZES, synthetic_examples

STAY = TASKS["length_of_stay"]


def write(path: Path, frame: pl.DataFrame) -> Path:
    frame.write_parquet(path)
    return path


def test_notes_of_the_task_pass(tmp_path: Path) -> None:
    check_examples(write(tmp_path / "e.parquet", synthetic_examples(STAY.name)), STAY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop("encounter_id"), "column encounter_id: found none, expected String"),
        (lambda frame: frame.cast({"label": pl.String}), "column label: found String, expected Int32"),
        (lambda frame: frame.filter(pl.col("split") != "val"), "no note in split 'val'"),
        (lambda frame: frame.with_columns(label=pl.col("label") + 1), r"labels \[4\], expected 0 to 3"),
    ],
)
def test_others_are_refused_by_what_is_wrong(tmp_path: Path, change: object, message: str) -> None:
    assert callable(change)
    path = write(tmp_path / "e.parquet", change(synthetic_examples(STAY.name)))
    with pytest.raises(ElsewhereError, match=message):
        check_examples(path, STAY)


def test_class_ratios_of_each_split_sum_to_one(tmp_path: Path) -> None:
    ratios = class_ratios(write(tmp_path / "e.parquet", synthetic_examples(STAY.name)), STAY)
    assert dict(ratios.select("split", "notes").rows()) == SPLIT_SIZES
    assert ratios["split"].to_list() == [split for split in ("train", "val", "test", "temporal_2024")]
    assert ratios.select(pl.sum_horizontal("0", "1", "2", "3").round(9)).to_series().to_list() == [1.0] * 4
    assert (ratios["patients"] == 7).all()


def test_shared_notes_agree_in_id_and_time(tmp_path: Path) -> None:
    here = synthetic_examples(STAY.name)
    same_ids = here.with_columns(prediction_time=pl.col("prediction_time") + pl.duration(days=1))
    paths = [write(tmp_path / f"{n}.parquet", frame) for n, frame in enumerate((here, same_ids, here.head(5)))]
    assert [num_shared(path, paths[0]) for path in paths] == [len(here), 0, 5]


def test_the_control_learns_from_as_many_notes_as_there_are_there(tmp_path: Path) -> None:
    frame = synthetic_examples(STAY.name)
    few = frame.filter((pl.col("split") != "train") | (pl.col("note_id") < "le-train-013"))
    assert matched_train_size(write(tmp_path / "e.parquet", frame)) == SPLIT_SIZES["train"]
    assert matched_train_size(write(tmp_path / "f.parquet", few)) == 13
