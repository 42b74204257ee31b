"""Answered examples in front of a prompt (paper 5.5: few-shot evaluation).

Examples come from the training split, balanced over the options: a plain draw of two would mostly show one answer twice.
All prompts of a task have the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lang1_assets.ops.prompts import balanced_examples, cut_notes, in_seeded_order
from lang1_assets.ops.tasks import Task
from lang1_assets.ops.tokenizer import encode_batch, open_tokenizer

MIN_NOTE_TOKENS = 24
"""With less of each note, an example is left out instead."""
SPARE_TOKENS = 4
"""A note that was cut and joined with what stands around it may be read as a token or two more."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """How many answered examples a context has room for, and how much of a note then fits."""

    shots: int
    note_tokens: int


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """What stands in front of each prompt of one task, and how much of a note then fits."""

    before: str
    shots: int
    note_tokens: int


def few_shot(
    task: Task, examples: Path, tokenizer_folder: Path, note_tokens: int, context_length: int, shots: int, seed: int
) -> FewShot:
    """At most `shots` answered examples, fewer where the context has no room for them.

    Args:
        examples: file of `schemas.EXAMPLES`; its training split is read.
        note_tokens: no note gets more than these; with examples all notes share what the questions leave.
    """
    available = int(pl.scan_parquet(examples).filter(pl.col("split") == "train").select(pl.len()).collect().item())
    room = room_for(
        task.question_block, task.letters, tokenizer_folder, note_tokens, context_length, min(shots, available)
    )
    rows = in_seeded_order(balanced_examples(examples, "train", room.shots, seed), seed)
    tokenizer = open_tokenizer(tokenizer_folder)
    notes = cut_notes(rows["text"].to_list(), tokenizer_folder, tokenizer, room.note_tokens)
    answered = [
        answer_shown(task.question_block, note, task.letters[label])
        for note, label in zip(notes, rows["label"], strict=True)
    ]
    return FewShot(before="".join(answered), shots=room.shots, note_tokens=room.note_tokens)


def answer_shown(question_block: str, note: str, letter: str) -> str:
    return f"{note}\n{question_block} {letter}\n\n"


def room_for(
    question_block: str, letters: str, tokenizer_folder: Path, note_tokens: int, context_length: int, shots: int
) -> Room:
    """As many examples as leave each note `MIN_NOTE_TOKENS` beside as many questions and the BOS."""
    (question,) = encode_batch(tokenizer_folder, [answer_shown(question_block, "", letters[0])])
    for count in range(shots, 0, -1):
        room = (context_length - 1) // (count + 1) - len(question) - SPARE_TOKENS
        if room >= MIN_NOTE_TOKENS:
            return Room(shots=count, note_tokens=min(note_tokens, room))
    return Room(shots=0, note_tokens=note_tokens)
