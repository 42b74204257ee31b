"""Answered examples in front of a prompt (paper 5.5: few-shot evaluation).

Examples come from the training split, balanced over the options: a plain draw of two would mostly show one answer twice.
All prompts of a task have the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer

from lang1_assets.ops.prompts import balanced_examples, cut_notes, in_seeded_order
from lang1_assets.ops.tasks import Task
from lang1_assets.ops.tokenizer import encode_batch

MIN_NOTE_TOKENS = 24
"""With less of each note, an example is left out instead."""
SPARE_TOKENS = 4
"""A note that was cut and joined with what stands around it may be read as a token or two more."""


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
    rows = in_seeded_order(balanced_examples(examples, "train", shots, seed), seed)
    num_shots = len(rows)
    while num_shots and room_for_notes(task, tokenizer_folder, context_length, num_shots) < MIN_NOTE_TOKENS:
        num_shots -= 1
    if num_shots == 0:
        return FewShot(before="", shots=0, note_tokens=note_tokens)
    kept = min(note_tokens, room_for_notes(task, tokenizer_folder, context_length, num_shots))
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    notes = cut_notes(rows["text"].to_list()[:num_shots], tokenizer_folder, tokenizer, kept)
    answered = [answer_shown(task, note, label) for note, label in zip(notes, rows["label"], strict=False)]
    return FewShot(before="".join(answered), shots=num_shots, note_tokens=kept)


def answer_shown(task: Task, note: str, label: int) -> str:
    return f"{note}\n{task.question_block} {task.letters[label]}\n\n"


def room_for_notes(task: Task, tokenizer_folder: Path, context_length: int, shots: int) -> int:
    """Tokens that each of `shots` + 1 notes may have beside as many questions and the BOS."""
    (question,) = encode_batch(tokenizer_folder, [answer_shown(task, "", 0)])
    return (context_length - 1) // (shots + 1) - len(question) - SPARE_TOKENS
