from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lang1_assets.ops.prompts import PromptSet, build_prompts
from lang1_assets.ops.scoring import pad_right, score_options
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import PROMPT_CONTEXT, synthetic_examples

TASK = TASKS["length_of_stay"]


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return synthetic_examples(TASK.name).head(13)


@pytest.fixture(scope="module")
def prompts(rows: pl.DataFrame, tokenizer_folder: Path) -> PromptSet:
    return build_prompts(TASK, rows["text"].to_list(), rows["label"].to_list(), tokenizer_folder, 40, PROMPT_CONTEXT)


@pytest.fixture(scope="module")
def model(model_folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(model_folder).eval()


@torch.no_grad()
def one_by_one(model: torch.nn.Module, folder: Path, texts: list[str]) -> np.ndarray:
    """From text, a note at a time, a letter at a time, with nothing of ours: the tokenizer's own BOS, the full logits."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    table = []
    for text in texts:
        note = tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids[:40])
        likelihoods = []
        for letter in "ABCD":
            ids = tokenizer(f"{note}\n{TASK.question_block} {letter}", return_tensors="pt").input_ids
            log_probabilities = torch.log_softmax(model(input_ids=ids).logits[0].double(), dim=-1)
            likelihoods.append(log_probabilities[-2, ids[0, -1]].item())
        weights = np.exp(np.array(likelihoods) - max(likelihoods))
        table.append(weights / weights.sum())
    return np.array(table)


def test_equals_scoring_one_by_one(
    model: torch.nn.Module, model_folder: Path, prompts: PromptSet, rows: pl.DataFrame
) -> None:
    scored = score_options(model, prompts, batch_size=4)
    assert scored.shape == (13, 4)
    np.testing.assert_allclose(scored, one_by_one(model, model_folder, rows["text"].to_list()), atol=2e-6)
    # Not a flat line, which would equal anything.
    assert scored.std(axis=0).min() > 1e-3


def test_rows_sum_to_one(model: torch.nn.Module, prompts: PromptSet) -> None:
    scored = score_options(model, prompts, batch_size=5)
    np.testing.assert_allclose(scored.sum(axis=1), 1, atol=1e-12)
    assert (scored > 0).all()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_changes_nothing(model: torch.nn.Module, prompts: PromptSet, batch_size: int) -> None:
    np.testing.assert_allclose(
        score_options(model, prompts, batch_size), score_options(model, prompts, batch_size=7), atol=1e-6
    )


def test_the_order_changes_nothing(model: torch.nn.Module, prompts: PromptSet) -> None:
    order = np.random.default_rng(3).permutation(len(prompts.ids))
    shuffled = PromptSet(
        ids=[prompts.ids[i] for i in order], letter_ids=prompts.letter_ids, labels=prompts.labels[order]
    )
    np.testing.assert_allclose(
        score_options(model, shuffled, batch_size=4), score_options(model, prompts, batch_size=4)[order], atol=1e-6
    )


def test_no_prompt_gives_an_empty_table(model: torch.nn.Module, prompts: PromptSet) -> None:
    nothing = PromptSet(ids=[], letter_ids=prompts.letter_ids, labels=np.zeros(0, dtype=np.int64))
    assert score_options(model, nothing, batch_size=4).shape == (0, 4)


def test_padding_is_on_the_right() -> None:
    padded, last = pad_right([np.array([5, 6, 7]), np.array([8])])
    assert padded.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert last.tolist() == [2, 0]
