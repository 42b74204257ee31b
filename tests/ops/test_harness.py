"""The project's own scoring against lm-evaluation-harness itself, in memory."""

import math
import os
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import lm_eval.tasks
import numpy as np
import polars as pl
import pytest
from lm_eval.models.huggingface import HFLM
from transformers import AutoTokenizer

from lang1_assets.ops.harness import (
    HarnessError,
    aggregate_auroc,
    process_results,
    read_notes,
    write_harness_tasks,
)
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import open_model
from lang1_assets.ops.prompts import build_prompts, read_examples
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import PROMPT_CONTEXT, SEED

SPLIT = "temporal_2024"
NOTE_TOKENS = 40


@pytest.fixture(scope="module")
def task_folder(
    tmp_path_factory: pytest.TempPathFactory, example_files: dict[str, Path], tokenizer_folder: Path
) -> Path:
    """Written in one place and moved to another, as an artifact is."""
    work = tmp_path_factory.mktemp("harness") / "tasks.partial"
    work.mkdir()
    assert write_harness_tasks(work, example_files, SPLIT, tokenizer_folder, NOTE_TOKENS, 11, SEED) == 22
    return work.rename(work.with_name("tasks"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets_cache")


@pytest.fixture(scope="module")
def outcome(task_folder: Path, model_folder: Path, cache: Path) -> dict[str, Any]:
    """What the harness makes of the two tasks; no batch of its own making and no file of its own."""
    manager = lm_eval.tasks.TaskManager(include_path=str(task_folder), include_defaults=False)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = HFLM(
        pretrained=open_model(model_folder),
        tokenizer=tokenizer,
        add_bos_token=True,
        max_length=PROMPT_CONTEXT,
        batch_size=5,
        device="cpu",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        outcome = lm_eval.simple_evaluate(
            model=model,
            tasks=["remede_mortality", "remede_length_of_stay"],
            task_manager=manager,
            bootstrap_iters=0,
            log_samples=True,
        )
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("name", ["mortality", "length_of_stay"])
def test_the_harness_gives_the_same_probabilities_and_auroc(
    name: str, outcome: dict[str, Any], model_folder: Path, example_files: dict[str, Path]
) -> None:
    rows = read_examples(example_files[name], SPLIT, 11, SEED)
    prompts = build_prompts(
        TASKS[name], rows["text"].to_list(), rows["label"].to_list(), model_folder, NOTE_TOKENS, PROMPT_CONTEXT
    )
    # Some notes are cut and some are not, or the comparison would leave out half of the matter.
    assert len(set(map(len, prompts.ids))) > 0
    assert max(map(len, prompts.ids)) > min(map(len, prompts.ids))
    ours = score_options(open_model(model_folder).eval(), prompts, batch_size=4)
    samples = {sample["doc"]["note_id"]: sample["auroc"] for sample in outcome["samples"][f"remede_{name}"]}
    assert sorted(samples) == rows["note_id"].to_list()
    theirs = np.array([samples[note][1] for note in rows["note_id"]])
    np.testing.assert_allclose(theirs, ours, atol=1e-6)
    assert [samples[note][0] for note in rows["note_id"]] == rows["label"].to_list()
    expected = auroc(rows["label"].to_numpy(), ours).value
    assert outcome["results"][f"remede_{name}"]["auroc,none"] == pytest.approx(expected, abs=1e-6)
    assert ours.std(axis=0).min() > 1e-3


def test_the_harness_leaves_no_copy_of_the_notes(outcome: dict[str, Any], cache: Path) -> None:
    assert outcome["samples"]
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_the_folder_holds_tasks_prompts_and_nothing_that_ties_it_to_a_place(task_folder: Path) -> None:
    names = {path.name for path in task_folder.iterdir() if path.is_file()}
    assert names == {
        "remede.py",
        "mortality.yaml",
        "mortality.parquet",
        "length_of_stay.yaml",
        "length_of_stay.parquet",
    }
    for path in task_folder.glob("*.yaml"):
        assert os.sep not in path.read_text().replace("\n", "")
    notes = pl.read_parquet(task_folder / "mortality.parquet")
    assert notes.columns == ["note_id", "label", "prompt"]
    assert all(prompt.endswith(TASKS["mortality"].question_block) for prompt in notes["prompt"])


def test_a_source_without_temporal_splits_and_with_one_task(
    example_files: dict[str, Path], tokenizer_folder: Path, tmp_path: Path
) -> None:
    only = {"mortality": example_files["mortality"]}
    assert write_harness_tasks(tmp_path, only, "test", tokenizer_folder, NOTE_TOKENS, 100, SEED) == 14
    assert {path.name for path in tmp_path.iterdir()} == {"remede.py", "mortality.yaml", "mortality.parquet"}
    assert "split: test\n" in (tmp_path / "mortality.yaml").read_text()
    assert len(pl.read_parquet(tmp_path / "mortality.parquet")) == 14


def test_a_split_that_a_source_lacks_is_refused(
    example_files: dict[str, Path], tokenizer_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match=r"no note of split 'temporal_2021'.*task 'mortality'"):
        write_harness_tasks(tmp_path, example_files, "temporal_2021", tokenizer_folder, NOTE_TOKENS, 11, SEED)
    assert [path for path in tmp_path.iterdir() if path.suffix in (".yaml", ".parquet")] == []


def test_notes_are_read_as_they_were_written(task_folder: Path) -> None:
    read = read_notes(task_folder / "mortality.parquet")
    assert list(read) == ["test"]
    assert read["test"].to_list() == pl.read_parquet(task_folder / "mortality.parquet").to_dicts()


def test_probabilities_are_the_likelihoods_normalised() -> None:
    label, probabilities = process_results({"label": 2}, [(-1000.0, False), (-1001.0, False), (-999.0, True)])["auroc"]
    assert label == 2
    total = math.exp(-1) + math.exp(-2) + 1
    assert probabilities == pytest.approx([math.exp(-1) / total, math.exp(-2) / total, 1 / total])


def test_auroc_of_a_binary_task_is_of_the_second_option() -> None:
    assert aggregate_auroc([(0, [0.9, 0.1]), (1, [0.4, 0.6]), (0, [0.6, 0.4])]) == 1.0
    assert aggregate_auroc([(1, [0.9, 0.1]), (0, [0.4, 0.6])]) == 0.0
