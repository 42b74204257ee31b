"""The folder for the harness, written: a definition and a data file for each task, and the tokenizer that cuts notes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lang1_assets.ops.harness.reading import FEW_SHOT_SUFFIX, TOKENIZER_FOLDER
from lang1_assets.ops.prompts import balanced_examples, cut_notes, read_examples
from lang1_assets.ops.questions import read_questions
from lang1_assets.ops.tasks import COMPREHENSION, TASKS, Comprehension, Task, asked_of
from lang1_assets.ops.tokenizer import encode_batch, open_tokenizer

PREFIX = "remede_"
FEW_SHOT_NOTES = 32
"""Training notes of each task in the folder; few-shot prompts show some of them."""

FUNCTIONS_FILE = "remede.py"
FUNCTIONS = """\
from pathlib import Path

from lang1_assets.ops.harness import few_shot, reading, scores

process_results = scores.process_results
aggregate_auroc = scores.aggregate_auroc
BalancedSampler = few_shot.BalancedSampler


def read_data(name, **settings):
    return reading.read_data(Path(__file__).parent, name)


class NoteTask(few_shot.NoteTask):
    FOLDER = Path(__file__).parent
"""

# No num_fewshot: what a file says there overrules the caller.
NOTE_TEMPLATE = """\
task: {name}
tag: remede
class: !function remede.NoteTask
custom_dataset: !function remede.read_data
dataset_kwargs:
  name: {file}
test_split: test
fewshot_split: train
fewshot_config:
  sampler: !function remede.BalancedSampler
output_type: multiple_choice
doc_to_text: "{{{{note}}}}\\n{{{{question}}}}"
doc_to_choice: {letters}
doc_to_target: label
target_delimiter: " "
fewshot_delimiter: "\\n\\n"
process_results: !function remede.process_results
metric_list:
  - metric: {metric}
    aggregation: !function remede.aggregate_auroc
    higher_is_better: true
metadata:
  version: {version}
  title: {title}
  split: {split}
  note_tokens: {note_tokens}
  context_length: {context_length}
  fewshot_seed: {seed}
"""

QUESTION_TEMPLATE = """\
task: {name}
tag: remede_comprehension
custom_dataset: !function remede.read_data
dataset_kwargs:
  name: {file}
test_split: test
fewshot_split: test
fewshot_config:
  sampler: !function remede.BalancedSampler
output_type: multiple_choice
doc_to_text: {text}
doc_to_choice: options
doc_to_target: label
target_delimiter: " "
fewshot_delimiter: "\\n\\n"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: {version}
  title: {title}
"""


class HarnessError(ValueError):
    """Tasks for the harness cannot be written."""


@dataclass(frozen=True, kw_only=True)
class HarnessConfig:
    """What the folder is made of; `settings` says what each field means."""

    source: str
    """Kind of the source: MIMIC-III's tasks have names of their own."""
    split: str
    """The test that the harness runs."""
    note_tokens: int
    context_length: int
    """Of the models that few-shot prompts must fit; the caller may name another one."""
    max_examples: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Written:
    """The tasks by their names in the harness, and how many notes or questions each has."""

    num_by_task: dict[str, int]


def write_harness_tasks(
    folder: Path, examples: dict[str, Path], questions: dict[str, Path], tokenizer_folder: Path, config: HarnessConfig
) -> Written:
    """Task files and their data for each task's examples of one split, and for files of comprehension questions.

    Args:
        examples: task -> file of `schemas.EXAMPLES`; a task that the source cannot supply is left out.
        questions: name in `tasks.COMPREHENSION` -> file as `questions.read_questions` takes it.

    Raises:
        HarnessError: a task has no note in the split.
        QuestionsError: a file of questions is not one.
    """
    (folder / FUNCTIONS_FILE).write_text(FUNCTIONS)
    copy_tokenizer(tokenizer_folder, folder / TOKENIZER_FOLDER)
    written = {}
    for name, path in examples.items():
        task = asked_of(TASKS[name], config.source)
        written[PREFIX + task.name] = write_note_task(folder, task, path, tokenizer_folder, config)
    for name, path in questions.items():
        written[PREFIX + name] = write_questions(folder, COMPREHENSION[name], read_questions(path, config.seed))
    return Written(num_by_task=written)


def copy_tokenizer(source: Path, target: Path) -> None:
    target.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, target / name)


def write_note_task(folder: Path, task: Task, path: Path, tokenizer_folder: Path, config: HarnessConfig) -> int:
    """One task's definition and notes; the number of test notes."""
    test = read_examples(path, config.split, config.max_examples, config.seed)
    if test.is_empty():
        raise HarnessError(
            f"{path}: no note of split '{config.split}'; the harness needs a test split of task '{task.name}'"
        )
    shown = balanced_examples(path, "train", FEW_SHOT_NOTES, config.seed)
    for rows, name in ((test, task.name), (shown, task.name + FEW_SHOT_SUFFIX)):
        cut_rows(rows, task, tokenizer_folder, config.note_tokens).write_parquet(folder / f"{name}.parquet")
    text = NOTE_TEMPLATE.format(
        name=PREFIX + task.name,
        file=task.name,
        letters=list(task.letters),
        metric=task.metric,
        version=task.version,
        title=json.dumps(task.title),
        split=config.split,
        note_tokens=config.note_tokens,
        context_length=config.context_length,
        seed=config.seed,
    )
    (folder / f"{task.name}.yaml").write_text(text)
    return len(test)


def cut_rows(rows: pl.DataFrame, task: Task, tokenizer_folder: Path, note_tokens: int) -> pl.DataFrame:
    """note_id, subject_id (by which a forgotten person's notes are found), label, note, question, and the note's first token ids,
    from which it is cut further for few-shot prompts."""
    texts = rows["text"].to_list()
    # The harness truncates on the left and drops the head of the note: it is given notes that fit.
    notes = cut_notes(texts, tokenizer_folder, open_tokenizer(tokenizer_folder), note_tokens)
    ids = [row[:note_tokens].tolist() for row in encode_batch(tokenizer_folder, texts)]
    return rows.select("note_id", "subject_id", "label").with_columns(
        pl.Series("note", notes, dtype=pl.String),
        pl.lit(task.question_block).alias("question"),
        pl.Series("ids", ids, dtype=pl.List(pl.UInt32)),
    )


def write_questions(folder: Path, asked: Comprehension, questions: pl.DataFrame) -> int:
    questions.rename({"question_id": "note_id", "answer": "label"}).write_parquet(folder / f"{asked.name}.parquet")
    text = QUESTION_TEMPLATE.format(
        name=PREFIX + asked.name,
        file=asked.name,
        text=json.dumps(asked.text.replace("{", "{{").replace("}", "}}")),
        version=asked.version,
        title=json.dumps(asked.title),
    )
    (folder / f"{asked.name}.yaml").write_text(text)
    return len(questions)
