from pathlib import Path

import numpy as np
import torch

from lang1_assets.ops.memorization.verbatim import continued_verbatim
from lang1_assets.ops.model import open_model
from lang1_assets.ops.shards import TokenShards

PROMPT, LENGTH = 12, 30


def test_it_is_what_greedy_decoding_gives(trajectory: list[Path], planted_shards: Path) -> None:
    """Against `generate`, on sequences that a memorizing model knows, half knows, and does not know."""
    model = open_model(trajectory[-1]).eval()
    shards = TokenShards(planted_shards, "train")
    known = np.stack([shards.read(start, start + LENGTH).astype(np.int64) for start in range(0, 560, 28)])
    changed = known.copy()
    changed[::2, -1] += 1
    for rows in (known, changed):
        found = continued_verbatim(model, rows, PROMPT, batch_size=7)
        with torch.no_grad():
            written = model.generate(
                torch.from_numpy(rows[:, :PROMPT]),
                attention_mask=torch.ones(len(rows), PROMPT, dtype=torch.long),
                max_new_tokens=LENGTH - PROMPT,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            ).numpy()
        assert found.tolist() == (written == rows).all(axis=1).tolist()
    assert continued_verbatim(model, known, PROMPT, batch_size=7).any()
