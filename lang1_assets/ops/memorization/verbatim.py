"""How often a model goes on with a text word for word (Carlini et al. 2023)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Tokens = NDArray[np.int64]


@torch.no_grad()
def continued_verbatim(model: Any, sequences: Tokens, prompt_tokens: int, batch_size: int) -> NDArray[np.bool_]:
    """Whether greedy decoding after the first `prompt_tokens` of each row gives the rest of the row; (num_rows,).

    Decoding is not needed to know: it gives the text exactly when each of its tokens is the most likely one after the true
    ones before it, which one forward pass tells for all positions.

    Args:
        sequences: (num_rows, prompt and continuation).
    """
    device = next(model.parameters()).device
    found = np.zeros(len(sequences), dtype=np.bool_)
    for start in range(0, len(sequences), batch_size):
        rows = torch.from_numpy(sequences[start : start + batch_size]).to(device)
        hidden = model.model(input_ids=rows[:, :-1], use_cache=False).last_hidden_state
        guessed = model.lm_head(hidden[:, prompt_tokens - 1 :]).argmax(dim=-1)
        found[start : start + len(rows)] = (guessed == rows[:, prompt_tokens:]).all(dim=1).cpu().numpy()
    return found
