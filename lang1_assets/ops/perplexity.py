"""How likely a model finds a task's question and its right answer after a note (Fig. 4c, M52).

The paper's words are "perplexity on ReMedE answer-question pairs": of the tokens of the question block and of the right
option's letter, given the note. The note itself is not counted: it would drown the rest. Perplexity per token
depends on the tokenizer, so bits per UTF-8 byte stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaForCausalLM

from lang1_assets.ops.bootstrap import percentile_interval, resample_weights
from lang1_assets.ops.evaluation import ScoringConfig, load_for_scoring
from lang1_assets.ops.metrics import Floats
from lang1_assets.ops.model import has_odd_output_layer
from lang1_assets.ops.prompts import PromptError, PromptSet, build_prompts, read_examples
from lang1_assets.ops.scoring import pad_right
from lang1_assets.ops.scoring.batches import by_length
from lang1_assets.ops.scoring.letters import CPU_BATCH_TOKENS
from lang1_assets.ops.scoring.packing import can_pack, pack_linears
from lang1_assets.ops.tasks import TASKS, Task
from lang1_assets.ops.tokenizer import encode_batch

BEFORE_QUESTION = "note\n"
"""What the question block is put behind to learn which tokens are its own."""


class PerplexityRow(TypedDict):
    """One task and split of one model; the interval is of `perplexity`, 95 %, from resampled notes."""

    task: str
    split: str
    n: int
    perplexity: float
    low: float
    high: float
    bits_per_byte: float
    answer_perplexity: float
    """Of the letter alone."""
    num_tokens: int
    """Counted after each note: the question block's and the letter."""


@dataclass(frozen=True, kw_only=True)
class AnswerLosses:
    """Negative log-likelihoods in nats, one entry a note."""

    question: Floats
    """Sum over the tokens of the question block."""
    answer: Floats
    """Of the right letter."""
    num_tokens: int
    num_bytes: int
    """Of the block, a space and the letter."""


def measure_perplexity(
    model_folder: Path,
    examples: Mapping[str, Path],
    split: str,
    config: ScoringConfig,
    num_resamples: int,
    on_progress: Callable[[str], None],
) -> list[PerplexityRow]:
    """A decoder's Hugging Face folder on each task's examples file; a task without a note in the split is left out."""
    model = load_for_scoring(model_folder)
    if isinstance(model, LlamaForCausalLM) and can_pack(model):
        pack_linears(model.model)
    rows = []
    for name, path in examples.items():
        notes = read_examples(path, split, config.max_examples, config.seed)
        if notes.is_empty():
            continue
        losses = answer_losses(
            model, model_folder, TASKS[name], notes["text"].to_list(), notes["label"].to_list(), config
        )
        rows.append(perplexity_row(name, split, losses, num_resamples, config.seed))
        on_progress(f"perplexity of question and answer on {len(notes)} notes of {name}, {split}")
    return rows


def perplexity_row(task: str, split: str, losses: AnswerLosses, num_resamples: int, seed: int) -> PerplexityRow:
    """Perplexity exp(sum of losses / number of tokens), over the notes and over each resample of them."""
    sums = losses.question + losses.answer
    tokens = np.full(len(sums), float(losses.num_tokens))
    weights = resample_weights(len(sums), num_resamples=num_resamples, seed=seed)
    interval = percentile_interval(np.concatenate([np.exp((block @ sums) / (block @ tokens)) for block in weights]))
    return PerplexityRow(
        task=task,
        split=split,
        n=len(sums),
        perplexity=math.exp(sums.sum() / tokens.sum()),
        low=interval.low,
        high=interval.high,
        bits_per_byte=float(sums.mean()) / math.log(2) / losses.num_bytes,
        answer_perplexity=math.exp(losses.answer.mean()),
        num_tokens=losses.num_tokens,
    )


def answer_losses(
    model: Any, tokenizer_folder: Path, task: Task, texts: Sequence[str], labels: Sequence[int], config: ScoringConfig
) -> AnswerLosses:
    """Losses of question and right letter after each note, by one forward pass a note.

    Raises:
        PromptError: the tokenizer joins the question with what is before it, so that it has no tokens of its own.
    """
    prompts = build_prompts(task, texts, labels, tokenizer_folder, config.note_tokens, config.context_length)
    question = question_ids(tokenizer_folder, task)
    for row in prompts.ids:
        if not np.array_equal(row[-len(question) :], question):
            raise PromptError(f"task {task.name}: the question has other tokens after some notes; {ANOTHER_TOKENIZER}")
    losses = token_losses(model, prompts, len(question), config.batch_size)
    return AnswerLosses(
        question=losses[:, :-1].sum(axis=1),
        answer=losses[:, -1],
        num_tokens=len(question) + 1,
        num_bytes=len(f"{task.question_block} {task.letters[0]}".encode()),
    )


ANOTHER_TOKENIZER = "its perplexity cannot be told apart from the note's; use a tokenizer that keeps newlines apart"


def question_ids(tokenizer_folder: Path, task: Task) -> NDArray[np.int64]:
    """The tokens of the question block behind a note, the newline between them not included.

    Raises:
        PromptError: the block has no tokens of its own.
    """
    before, whole = encode_batch(tokenizer_folder, [BEFORE_QUESTION, f"{BEFORE_QUESTION}{task.question_block}"])
    if not np.array_equal(whole[: len(before)], before):
        raise PromptError(
            f"task {task.name}: the question shares a token with the newline before it; {ANOTHER_TOKENIZER}"
        )
    return whole[len(before) :]


@torch.inference_mode()
def token_losses(model: Any, prompts: PromptSet, num_question: int, batch_size: int) -> Floats:
    """Loss of each of the last `num_question` tokens of each prompt and of its right letter, (num_prompts, num_question + 1)."""
    device = next(model.parameters()).device
    losses = np.empty((len(prompts.ids), num_question + 1))
    for rows in batches_of(prompts, batch_size, is_cpu=device.type == "cpu"):
        input_ids, last = (part.to(device) for part in pad_right([prompts.ids[row] for row in rows]))
        letters = torch.tensor([prompts.letter_ids[prompts.labels[row]] for row in rows], device=device)
        positions = last[:, None] + torch.arange(-num_question, 1, device=device)
        # What a position predicts is the token after it; after the last one, that is the letter.
        targets = torch.cat((input_ids.gather(1, positions[:, 1:]), letters[:, None]), dim=1)
        losses[rows] = losses_at(model, input_ids, positions, targets).double().cpu().numpy()
    return losses


def batches_of(prompts: PromptSet, batch_size: int, is_cpu: bool) -> Iterator[list[int]]:
    """Prompts of like length, as many as `batch_size` of the longest have tokens."""
    lengths = [len(row) for row in prompts.ids]
    budget = batch_size * max(lengths, default=0)
    return by_length(range(len(lengths)), lengths, min(budget, CPU_BATCH_TOKENS) if is_cpu else budget)


def losses_at(model: Any, input_ids: Tensor, positions: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy at some positions of each row, (batch, positions), in float32; no other position has logits."""
    logits = logits_at(model, input_ids, positions).float()
    return logits.logsumexp(-1) - logits.gather(-1, targets[..., None])[..., 0]


def logits_at(model: Any, input_ids: Tensor, positions: Tensor) -> Tensor:
    rows = torch.arange(len(input_ids), device=input_ids.device)[:, None]
    if has_odd_output_layer(model):
        kept, places = positions.unique(return_inverse=True)
        odd: Tensor = model(input_ids, use_cache=False, logits_to_keep=kept).logits[rows, places]
        return odd
    hidden = model.get_decoder()(input_ids, use_cache=False).last_hidden_state[rows, positions]
    logits: Tensor = model.get_output_embeddings()(hidden)
    return logits
