"""Exposure of a canary: its rank by likelihood among random numbers of its form, in bits (Carlini et al. 2019)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from lang1_assets.ops.memorization.canaries import SPACE_SIZE, Canary, spelled
from lang1_assets.ops.scoring import pad_right
from lang1_assets.ops.tokenizer import encode_from_start, open_tokenizer


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Of one canary in one model."""

    bits: float
    p_value: float
    """Chance of a rank at least as high for a number that the model never saw."""


def exposure_of(canary_loss: float, losses: NDArray[np.float64]) -> Exposure:
    """log2 |R| - log2 rank, with the rank estimated from a sample of R.

    The approximation by sampling of section 4.4: among m random others, b are at least as likely as the canary, which puts it
    at rank (b + 1) / (m + 1) of R. With all of R as the others this is the definition itself; with a sample it ends at
    log2 (m + 1). A canary that the model never saw is one random number among others, so its rank is uniform: the mean is
    1.4 bits, and (b + 1) / (m + 1) is an exact p-value (Phipson and Smyth 2010).

    >>> exposure_of(2.0, np.array([3.0, 4.0, 1.0])).bits
    1.0
    """
    rank = 1 + int((losses <= canary_loss).sum())
    share = rank / (len(losses) + 1)
    return Exposure(bits=-math.log2(share), p_value=share)


def random_others(canary: Canary, number: int, num: int, seed: int) -> list[str]:
    """`num` random secrets that are not the canary's own."""
    rng = np.random.default_rng([seed, 92, number])
    drawn = (spelled(int(value)) for value in rng.integers(0, SPACE_SIZE, 2 * num + 8))
    return [secret for secret in drawn if secret != canary.secret][:num]


def exposures(
    model: Any, tokenizer_folder: Path, canaries: Sequence[Canary], num_others: int, seed: int
) -> list[Exposure]:
    """Of each canary in turn."""
    found = []
    for number, canary in enumerate(canaries):
        secrets = [canary.secret, *random_others(canary, number, num_others, seed)]
        losses = secret_losses(model, tokenizer_folder, canary.prefix, secrets)
        found.append(exposure_of(float(losses[0]), losses[1:]))
    return found


SECRETS_PER_BATCH = 128
"""They are a dozen tokens: as many as in a few notes."""


@torch.no_grad()
def secret_losses(
    model: Any, tokenizer_folder: Path, prefix: str, secrets: Sequence[str], batch_size: int = SECRETS_PER_BATCH
) -> NDArray[np.float64]:
    """Negative log-likelihood of each secret after the prefix, (num_secrets,), in nats.

    What all texts share goes through the model once; its keys and values serve every secret.
    """
    device = next(model.parameters()).device
    bos_id = open_tokenizer(tokenizer_folder).bos_token_id
    rows = encode_from_start(tokenizer_folder, [f"{prefix} {secret}" for secret in secrets], bos_id)
    shared = shared_length(rows)
    # The last shared token goes with the secrets: what it predicts is their first token.
    cache = DynamicCache(config=model.config)
    model(input_ids=torch.from_numpy(rows[0][None, : shared - 1]).to(device), past_key_values=cache, use_cache=True)
    losses = np.empty(len(rows))
    for start in range(0, len(rows), batch_size):
        chosen = [row[shared - 1 :] for row in rows[start : start + batch_size]]
        input_ids, last = (tensor.to(device) for tensor in pad_right(chosen))
        own = copy.deepcopy(cache)
        own.batch_repeat_interleave(len(chosen))
        logits = model(input_ids=input_ids[:, :-1], past_key_values=own, use_cache=True).logits.float()
        taken = torch.log_softmax(logits, -1).gather(-1, input_ids[:, 1:, None])[..., 0].double()
        counted = torch.arange(taken.shape[1], device=device) < last[:, None]
        losses[start : start + len(chosen)] = -(taken * counted).sum(dim=1).cpu().numpy()
    return losses


def shared_length(rows: Sequence[NDArray[np.int64]]) -> int:
    """Leading tokens that all rows have, at least one fewer than the shortest row and two at least (BOS and one more)."""
    shortest = min(map(len, rows))
    table = np.stack([row[:shortest] for row in rows])
    differs = np.flatnonzero((table != table[0]).any(axis=0))
    return min(int(differs[0]) if len(differs) else shortest, shortest - 1)
