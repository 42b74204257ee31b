"""The ReMedE tasks for lm-evaluation-harness: one folder that its own command line includes (paper 5.5, M40).

    lm_eval --model hf --model_args pretrained=MODEL,add_bos_token=True,dtype=float32 --include_path FOLDER \\
        --tasks remede_readmission

The folder is made from the same task definitions, notes and cuts as the project's own scoring, and gives the same
probabilities: the harness ranks the letters by log-likelihood, and normalised those are the letters' softmax. It holds the
tasks that the source supplies and one test split. The files in it hold notes, so they are as private as the notes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from datasets import Dataset
from transformers import AutoTokenizer

from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.prompts import cut_notes, read_examples
from lang1_assets.ops.tasks import TASKS, Task

FUNCTIONS_FILE = "remede.py"
FUNCTIONS = """\
from pathlib import Path

from lang1_assets.ops import harness
from lang1_assets.ops.harness import aggregate_auroc, process_results

__all__ = ["aggregate_auroc", "process_results", "read_notes"]


def read_notes(file, **settings):
    return harness.read_notes(Path(__file__).parent / file)
"""

TEMPLATE = """\
task: remede_{name}
tag: remede
custom_dataset: !function remede.read_notes
dataset_kwargs:
  file: {name}.parquet
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: {letters}
doc_to_target: label
target_delimiter: " "
process_results: !function remede.process_results
metric_list:
  - metric: auroc
    aggregation: !function remede.aggregate_auroc
    higher_is_better: true
metadata:
  version: {version}
  split: {split}
"""


class HarnessError(ValueError):
    """Tasks for the harness cannot be written."""


def write_harness_tasks(
    folder: Path,
    examples: dict[str, Path],
    split: str,
    tokenizer_folder: Path,
    note_tokens: int,
    max_examples: int,
    seed: int,
) -> int:
    """Task files and their data for each task's examples of one split; the number of notes written.

    Args:
        examples: task -> file of `schemas.EXAMPLES`; a task that the source cannot supply is left out.
        split: the test that the harness runs, which the source must have.

    Raises:
        HarnessError: a task has no note in the split.
    """
    (folder / FUNCTIONS_FILE).write_text(FUNCTIONS)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    written = 0
    for name, path in examples.items():
        rows = read_examples(path, split, max_examples, seed)
        if rows.is_empty():
            raise HarnessError(f"{path}: no note of split '{split}'; the harness needs a test split of task '{name}'")
        # The harness truncates on the left and drops the head of the note: it is given notes that fit.
        notes = cut_notes(rows["text"].to_list(), tokenizer_folder, tokenizer, note_tokens)
        write_task(folder, TASKS[name], split, rows, notes)
        written += len(rows)
    return written


def write_task(folder: Path, task: Task, split: str, rows: pl.DataFrame, notes: Sequence[str]) -> None:
    prompts = pl.Series("prompt", [f"{note}\n{task.question_block}" for note in notes], dtype=pl.String)
    rows.select("note_id", "label").with_columns(prompts).write_parquet(folder / f"{task.name}.parquet")
    text = TEMPLATE.format(name=task.name, letters=list(task.letters), version=task.version, split=split)
    (folder / f"{task.name}.yaml").write_text(text)


def read_notes(path: Path) -> dict[str, Dataset]:
    """Called by the harness for the notes of a task, its only split `test`.

    Read here and not by `datasets`, which would leave a copy of the notes in a cache that everyone on the machine shares, and
    would want the folder to stay where it was written.
    """
    return {"test": Dataset.from_dict(pl.read_parquet(path).to_dict(as_series=False))}


def process_results(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Called by the harness for each note: the label and the letters' probabilities."""
    likelihoods = [likelihood for likelihood, _ in results]
    top = max(likelihoods)
    weights = [math.exp(value - top) for value in likelihoods]
    return {"auroc": (doc["label"], [weight / sum(weights) for weight in weights])}


def aggregate_auroc(items: Sequence[tuple[int, Sequence[float]]]) -> float:
    """Called by the harness once for all notes."""
    labels, probabilities = zip(*items, strict=True)
    return auroc(np.asarray(labels), np.asarray(probabilities)).value
