import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml

from lang1_assets.ops.harness.reading import read_data
from lang1_assets.ops.harness.writing import FEW_SHOT_NOTES, HarnessError, write_harness_tasks
from lang1_assets.ops.tasks import TASKS
from tests.ops.harness.conftest import CONFIG


def test_the_folder_holds_tasks_notes_and_nothing_that_ties_it_to_a_place(task_folder: Path) -> None:
    names = {path.name for path in task_folder.iterdir() if path.name != "__pycache__"}
    notes = [
        f"{task}{end}" for task in ("mortality", "length_of_stay") for end in (".yaml", ".parquet", ".shown.parquet")
    ]
    questions = [f"{task}{end}" for task in ("comprehension", "sciq", "pubmedqa") for end in (".yaml", ".parquet")]
    assert names == {"remede.py", "tokenizer", *notes, *questions}
    for path in task_folder.glob("*.yaml"):
        assert os.sep not in path.read_text().replace("\\n", "")
        # What a file says there overrules the caller.
        assert "num_fewshot" not in path.read_text()
    shown = pl.read_parquet(task_folder / "mortality.shown.parquet")
    assert len(shown) == FEW_SHOT_NOTES
    assert shown["label"].sum() == FEW_SHOT_NOTES / 2
    assert set(shown["note_id"].str.slice(3, 5)) == {"train"}


def test_a_source_without_temporal_splits_and_with_one_task(
    example_files: dict[str, Path], tokenizer_folder: Path, tmp_path: Path
) -> None:
    only = {"mortality": example_files["mortality"]}
    config = replace(CONFIG, split="test", max_examples=100)
    assert write_harness_tasks(tmp_path, only, {}, tokenizer_folder, config).num_by_task == {"remede_mortality": 14}
    files = {"remede.py", "tokenizer", "mortality.yaml", "mortality.parquet", "mortality.shown.parquet"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert "  split: test\n" in (tmp_path / "mortality.yaml").read_text()


def test_mimic_has_tasks_of_its_own_names(
    example_files: dict[str, Path], tokenizer_folder: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, source="mimic_iii")
    written = write_harness_tasks(tmp_path, example_files, {}, tokenizer_folder, config)
    assert set(written.num_by_task) == {"remede_mimic_iii_mortality", "remede_mimic_iii_length_of_stay"}
    asked = pl.read_parquet(tmp_path / "mimic_iii_mortality.parquet")["question"].unique().to_list()
    assert asked == [TASKS["mortality"].question_block]
    text = (tmp_path / "mimic_iii_mortality.yaml").read_text().replace("!function ", "")
    assert yaml.safe_load(text)["metadata"]["title"] == "MIMIC-III in-hospital mortality"


def test_a_split_that_a_source_lacks_is_refused(
    example_files: dict[str, Path], tokenizer_folder: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, split="temporal_2021")
    with pytest.raises(HarnessError, match=r"no note of split 'temporal_2021'.*task 'mortality'"):
        write_harness_tasks(tmp_path, example_files, {}, tokenizer_folder, config)
    assert [path for path in tmp_path.iterdir() if path.suffix in (".yaml", ".parquet")] == []


def test_notes_are_read_as_they_were_written(task_folder: Path) -> None:
    read = read_data(task_folder, "mortality")
    assert list(read) == ["test", "train"]
    for split, file in (("test", "mortality.parquet"), ("train", "mortality.shown.parquet")):
        assert read[split].to_list() == pl.read_parquet(task_folder / file).drop("ids", "subject_id").to_dicts()
        # By whom notes are found when somebody is forgotten.
        assert pl.read_parquet(task_folder / file)["subject_id"].null_count() == 0
    assert list(read_data(task_folder, "sciq")) == ["test"]
