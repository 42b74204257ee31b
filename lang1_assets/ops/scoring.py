"""Option-letter probabilities from one forward pass a prompt (paper 5.4 and 5.5: the letters' logits, normalised)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lang1_assets.ops.model import answer_logits
from lang1_assets.ops.prompts import PromptSet


@torch.no_grad()
def score_options(model: Any, prompts: PromptSet, batch_size: int) -> np.ndarray:
    """Probability of each option, shape (num_prompts, num_options), rows summing to 1.

    Prompts of like length share a batch, so little is spent on padding; the order of the rows is that of the prompts.
    """
    device = next(model.parameters()).device
    letters = torch.tensor(prompts.letter_ids, device=device)
    probabilities = np.zeros((len(prompts.ids), len(prompts.letter_ids)))
    order = np.argsort([len(row) for row in prompts.ids], kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        input_ids, last = pad_right([prompts.ids[i] for i in rows])
        logits = answer_logits(model, input_ids.to(device), last.to(device))[:, letters]
        probabilities[rows] = torch.softmax(logits.double(), dim=-1).cpu().numpy()
    return probabilities


def pad_right(rows: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids padded with 0 to the longest of the batch, and the index of each row's last token."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.zeros((len(rows), int(lengths.max())), dtype=torch.long)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.from_numpy(row.astype(np.int64))
    return padded, lengths - 1
