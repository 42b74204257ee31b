"""What the model writes by itself, for the eyes of its owner alone (M23).

A model trained on notes may write notes, so its texts are as private as they are: one file in the run's folder that only
the owner reads, never a log, a metric or metadata. Prompts are made up and the same for every run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lang1_assets.ops.model import answer_logits
from lang1_assets.ops.scoring import pad_right
from lang1_assets.ops.tokenizer import encode_from_start, open_tokenizer

GENERATIONS_FILE = "generations.jsonl"
MAX_NEW_TOKENS = 48
PROMPTS = (
    "The patient is a 62 year old",
    "Assessment and plan:",
    "The town lies on a river and",
)


@torch.no_grad()
def generate(model: Any, tokenizer_folder: Path, context_length: int) -> list[str]:
    """The continuation of each of `PROMPTS` by greedy decoding.

    The number of forward passes depends on the prompts alone: under ZeRO-3 each one is collective.
    """
    tokenizer = open_tokenizer(tokenizer_folder)
    starts = encode_from_start(tokenizer_folder, PROMPTS, tokenizer.bos_token_id)
    longest = max(map(len, starts))
    rows = greedy(model, starts, max(0, min(MAX_NEW_TOKENS, context_length - longest)))
    return [str(tokenizer.decode(row[len(start) :].tolist())) for row, start in zip(rows, starts, strict=True)]


def greedy(model: Any, rows: Sequence[np.ndarray], num_tokens: int) -> list[np.ndarray]:
    """Each row of ids with the `num_tokens` most likely next ones, one after another."""
    device = next(model.parameters()).device
    grown = list(rows)
    for _ in range(num_tokens):
        input_ids, last = pad_right(grown)
        chosen = answer_logits(model, input_ids.to(device), last.to(device)).argmax(dim=-1).tolist()
        grown = [np.append(row, token) for row, token in zip(grown, chosen, strict=True)]
    return grown


def write_generations(path: Path, step: int, texts: Sequence[str]) -> None:
    """Add one line a prompt, in the place of what stands there of this step and later ones: the run may have gone back.

    The file is its owner's alone from its first byte.
    """
    kept = (
        [line for line in path.read_text("utf-8").splitlines() if json.loads(line)["step"] < step]
        if path.exists()
        else []
    )
    own = [
        json.dumps({"step": step, "prompt": prompt, "text": text}) for prompt, text in zip(PROMPTS, texts, strict=True)
    ]
    beside = path.with_name(f".{path.name}.partial")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in [*kept, *own])
    beside.rename(path)
