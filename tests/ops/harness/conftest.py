"""One folder for the harness, of two tasks and of questions in three formats, and a model that its prompts fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lang1_assets.ops.harness.writing import HarnessConfig, write_harness_tasks
from lang1_assets.ops.model import ModelShape, build_model, save_model
from lang1_assets.ops.questions import by_name
from tests.ops.conftest import SEED, SHAPE
from tests.ops.test_comprehension import questions as made_questions

SPLIT = "temporal_2024"
NOTE_TOKENS = 40
CONTEXT = 320
"""Room for more than one example, and for fewer than five."""
CONFIG = HarnessConfig(
    source="embedded", split=SPLIT, note_tokens=NOTE_TOKENS, context_length=CONTEXT, max_examples=11, seed=SEED
)


@pytest.fixture(scope="session")
def question_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("questions")
    rows = made_questions(12, 6).to_dicts()
    sciq: list[dict[str, Any]] = [
        {
            "question": row["question"],
            "support": row["context"],
            "correct_answer": row["options"][0],
            **{f"distractor{number}": f"{row['options'][number % 3]} {number}" for number in (1, 2, 3)},
        }
        for row in rows
    ]
    pubmedqa = {
        str(number): {"QUESTION": row["question"], "CONTEXTS": [row["context"]], "final_decision": answer}
        for number, (row, answer) in enumerate(zip(rows, ["yes", "no", "maybe", "yes"] * 3, strict=True))
    }
    files = {"sciq.json": json.dumps(sciq), "pubmedqa.json": json.dumps(pubmedqa)}
    for name, text in files.items():
        (folder / name).write_text(text)
    made_questions(9, 5).write_parquet(folder / "own.parquet")
    return [folder / name for name in ("own.parquet", *files)]


@pytest.fixture(scope="session")
def task_folder(
    tmp_path_factory: pytest.TempPathFactory,
    example_files: dict[str, Path],
    question_files: list[Path],
    tokenizer_folder: Path,
) -> Path:
    """Written in one place and moved to another, as an artifact is."""
    work = tmp_path_factory.mktemp("harness") / "tasks.partial"
    work.mkdir()
    written = write_harness_tasks(work, example_files, by_name(question_files), tokenizer_folder, CONFIG)
    assert written.num_by_task == {
        "remede_mortality": 11,
        "remede_length_of_stay": 11,
        "remede_comprehension": 9,
        "remede_sciq": 12,
        "remede_pubmedqa": 12,
    }
    return work.rename(work.with_name("tasks"))


@pytest.fixture(scope="session")
def long_model_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, vocab_size: int) -> Path:
    """As `model_folder`, with a context for few-shot prompts."""
    folder = tmp_path_factory.mktemp("long_model") / "model"
    model = build_model(ModelShape(**{**vars(SHAPE), "context_length": CONTEXT}), vocab_size, SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(12)
    save_model(model, model.state_dict(), tokenizer_folder, folder)
    return folder
