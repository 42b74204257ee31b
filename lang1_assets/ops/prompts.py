"""Notes and questions as prompts: the note cut on the right, the question always whole (paper 5.4, appendix H).

A prompt is text first and token ids second, so that any other harness that is given the same text sees the same prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lang1_assets.ops.tasks import Task
from lang1_assets.ops.tokenizer import encode_batch, encode_from_start, open_tokenizer, option_letter_ids


class PromptError(ValueError):
    """A prompt cannot be built: the question alone does not fit the model's context."""


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """Prompts of one task, ready for a model: ragged ids and the ids of the option letters."""

    ids: list[np.ndarray]
    """One array of token ids a prompt, BOS first where the model knows it."""
    letter_ids: list[int]
    """Token id of each option's letter, in the order of the labels."""
    labels: np.ndarray
    """(num_prompts,) int64."""


def build_prompts(
    task: Task,
    texts: Sequence[str],
    labels: Sequence[int],
    tokenizer_folder: Path,
    note_tokens: int,
    context_length: int,
    before: str = "",
) -> PromptSet:
    """Prompts of one task for clean note texts; `before` is put in front of each, as answered examples are.

    Raises:
        PromptError: note and question together do not fit `context_length`.
        TokenizerError: an option letter is not one token.
    """
    tokenizer = open_tokenizer(tokenizer_folder)
    notes = cut_notes(texts, tokenizer_folder, tokenizer, note_tokens)
    prompts = [f"{before}{note}\n{task.question_block}" for note in notes]
    ids = encode_from_start(tokenizer_folder, prompts, tokenizer.bos_token_id)
    longest = max((len(row) for row in ids), default=0)
    if longest > context_length:
        raise PromptError(
            f"task {task.name}: a prompt of {longest} tokens does not fit the model's context of {context_length}; "
            f"lower note_tokens (finetune.note_tokens, now {note_tokens}) by at least {longest - context_length}"
        )
    return PromptSet(
        ids=ids,
        letter_ids=option_letter_ids(tokenizer, task.letters),
        labels=np.asarray(labels, dtype=np.int64),
    )


def cut_notes(texts: Sequence[str], tokenizer_folder: Path, tokenizer: Any, note_tokens: int) -> list[str]:
    """The first `note_tokens` tokens of each note, as text."""
    ids = encode_batch(tokenizer_folder, list(texts))
    # Decoding only the long ones: decoding is slow, and most notes are short.
    return [
        text if len(row) <= note_tokens else tokenizer.decode(row[:note_tokens].tolist())
        for text, row in zip(texts, ids, strict=True)
    ]


def read_examples(path: Path, split: str, max_examples: int, seed: int) -> pl.DataFrame:
    """Rows of one split of an examples file, by `note_id`.

    When there are more than `max_examples`, a seeded choice that does not depend on their order.
    """
    rows = pl.scan_parquet(path).filter(pl.col("split") == split).collect()
    if len(rows) <= max_examples:
        return rows.sort("note_id")
    return in_seeded_order(rows, seed).head(max_examples).sort("note_id")


def balanced_examples(path: Path, split: str, max_examples: int, seed: int) -> pl.DataFrame:
    """At most `max_examples` rows of one split, as many of each label as there are up to equal shares, by `note_id`.

    The share of a label that has too few rows goes to the others. Texts of rows that are not chosen are not read.
    """
    labels = pl.scan_parquet(path).filter(pl.col("split") == split).select("note_id", "label").collect()
    chosen = balanced(labels, max_examples, seed)["note_id"]
    rows = pl.scan_parquet(path).filter(pl.col("split") == split, pl.col("note_id").is_in(chosen.implode()))
    return rows.collect().sort("note_id")


def balanced(rows: pl.DataFrame, num: int, seed: int) -> pl.DataFrame:
    """At most `num` rows, as many of each `label` as there are up to equal shares; the first of a larger choice alike."""
    turns = in_seeded_order(rows, seed).with_columns(turn=pl.int_range(pl.len()).over("label"))
    return turns.sort("turn", maintain_order=True).head(num).drop("turn")


def informative_examples(task: Task, path: Path, split: str, max_examples: int, seed: int) -> pl.DataFrame:
    """At most `max_examples` rows from which the AUROC of a task is known best.

    The AUROC of two classes does not depend on how many notes of each are taken (Hanley and McNeil 1982), and of 200 plain
    notes four may be deaths: two classes are balanced as far as there are notes. With more, one class against the rest
    depends on what the rest is made of, and the notes are taken as they come.
    """
    choose = balanced_examples if task.num_classes == 2 else read_examples
    return choose(path, split, max_examples, seed)


def in_seeded_order(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Sorted by a hash of seed and `note_id`: an order that has nothing to do with what the rows hold."""
    # Not the frame's own hash: that one may change with the library's version.
    keys = [hashlib.blake2b(f"{seed}:{note}".encode(), digest_size=8).hexdigest() for note in rows["note_id"]]
    return rows.with_columns(key=pl.Series(keys, dtype=pl.String)).sort("key").drop("key")
