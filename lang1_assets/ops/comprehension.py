"""Multiple-choice comprehension questions: the option whose text is most likely after the passage and the question (M16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from lang1_assets.ops.scoring import pad_right
from lang1_assets.ops.tasks import COMPREHENSION
from lang1_assets.ops.tokenizer import encode_batch, encode_from_start, open_tokenizer


def right_answers(
    model: Any, tokenizer_folder: Path, questions: pl.DataFrame, context_length: int, batch_size: int
) -> NDArray[np.bool_]:
    """Whether each multiple-choice question is answered right, zero-shot; (num_questions,).

    Each option's text is appended to the prompt and the most likely one is the answer, as lm-evaluation-harness does for
    SciQ and PubMedQA (its `acc`). A context that is too long loses its beginning.
    """
    likelihoods = option_likelihoods(model, tokenizer_folder, questions, context_length, batch_size)
    return are_right(likelihoods, questions["answer"].to_list())


def are_right(likelihoods: Sequence[Sequence[float]], answers: Sequence[int]) -> NDArray[np.bool_]:
    """Whether the most likely option of each question is its answer."""
    pairs = zip(likelihoods, answers, strict=True)
    return np.array([int(np.argmax(row)) == answer for row, answer in pairs], dtype=np.bool_)


def option_likelihoods(
    model: Any, tokenizer_folder: Path, questions: pl.DataFrame, context_length: int, batch_size: int
) -> list[list[float]]:
    options = option_rows(tokenizer_folder, questions, context_length)
    scores = continuation_likelihoods(model, options.ids, options.num_answer_tokens, batch_size)
    return options.by_question(scores)


@dataclass(frozen=True, kw_only=True)
class OptionRows:
    """Each option of each question as one row of ids: BOS where the model knows it, the prompt, the option."""

    ids: list[np.ndarray]
    num_answer_tokens: list[int]
    """Tokens of the option, at the end of its row."""
    questions: list[int]
    """Which question each row belongs to, from 0, in order."""

    def by_question(self, scores: Sequence[float]) -> list[list[float]]:
        """One list of scores a question, from one score a row."""
        result: list[list[float]] = [[] for _ in range(self.questions[-1] + 1)]
        for question, score in zip(self.questions, scores, strict=True):
            result[question].append(score)
        return result


def option_rows(tokenizer_folder: Path, questions: pl.DataFrame, context_length: int) -> OptionRows:
    """Raises ValueError when an option alone does not fit the context."""
    bos_id = open_tokenizer(tokenizer_folder).bos_token_id
    text = COMPREHENSION["comprehension"].text
    prompts, continued, owners = [], [], []
    for number, row in enumerate(questions.iter_rows(named=True)):
        prompt = text.format(context=row["context"], question=row["question"])
        for option in row["options"]:
            prompts.append(prompt)
            continued.append(f"{prompt} {option}")
            owners.append(number)
    starts = [len(ids) for ids in encode_batch(tokenizer_folder, prompts)]
    sequences = encode_from_start(tokenizer_folder, continued, bos_id)
    num_start = 0 if bos_id is None else 1
    answers = [len(ids) - num_start - start for ids, start in zip(sequences, starts, strict=True)]
    if max(answers) >= context_length:
        raise ValueError(f"an option of {max(answers)} tokens does not fit the model's context of {context_length}")
    kept = [without_middle(ids, num_start, context_length) for ids in sequences]
    return OptionRows(ids=kept, num_answer_tokens=answers, questions=owners)


def without_middle(ids: np.ndarray, num_start: int, length: int) -> np.ndarray:
    """The first `num_start` ids, and the last ones up to `length` in all."""
    return ids if len(ids) <= length else np.concatenate((ids[:num_start], ids[-(length - num_start) :]))


@torch.no_grad()
def continuation_likelihoods(model: Any, rows: list[np.ndarray], answers: list[int], batch_size: int) -> list[float]:
    """Log-likelihood of the last `answers[i]` tokens of each row, given what is before them."""
    device = next(model.parameters()).device
    scores = [0.0] * len(rows)
    order = np.argsort([len(row) for row in rows], kind="stable")
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        input_ids, last = pad_right([rows[i] for i in chosen])
        input_ids = input_ids.to(device)
        hidden = model.model(input_ids=input_ids, use_cache=False).last_hidden_state
        for position, i in enumerate(chosen):
            end = int(last[position])
            before = slice(end - answers[i], end)
            logits = model.lm_head(hidden[position, before]).float()
            targets = input_ids[position, end - answers[i] + 1 : end + 1]
            scores[i] = float(torch.log_softmax(logits, -1).gather(-1, targets[:, None]).sum())
    return scores
