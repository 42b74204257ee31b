"""Exposure against its definition, spelled out: every number of a small space through the whole model."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from lang1_assets.ops.memorization.canaries import Canary, make_canaries
from lang1_assets.ops.memorization.exposure import exposure_of, exposures, random_others, secret_losses
from lang1_assets.ops.memorization.verdict import MEAN_BITS_BY_CHANCE
from lang1_assets.ops.model import open_model
from tests.ops.conftest import SEED


@torch.no_grad()
def losses_one_by_one(folder: Path, prefix: str, secrets: list[str]) -> list[float]:
    """Naively: the tokenizer's own reading, no cache, full logits, token by token."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), open_model(folder).eval()
    losses = []
    for secret in secrets:
        start = len(tokenizer(prefix, add_special_tokens=False).input_ids) + 1
        ids = [tokenizer.bos_token_id, *tokenizer(f"{prefix} {secret}", add_special_tokens=False).input_ids]
        table = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)
        losses.append(-sum(table[i - 1, ids[i]].item() for i in range(start, len(ids))))
    return losses


def test_losses_are_those_of_a_naive_reading(trajectory: list[Path]) -> None:
    """Secrets of unequal length too: tokenizers differ in how they join digits."""
    secrets = ["123 456 789", "12", "987 654 321", "000 000 001", "7"]
    for folder in trajectory:
        found = secret_losses(
            open_model(folder).eval(), folder, "The registry number of Abrelo is", secrets, batch_size=2
        )
        # What all share is left out of every loss alike, so differences are compared.
        naive = np.array(losses_one_by_one(folder, "The registry number of Abrelo is", secrets))
        np.testing.assert_allclose(found - found[0], naive - naive[0], atol=1e-3)


def test_exposure_over_a_whole_space_is_the_definition(trajectory: list[Path]) -> None:
    """|R| = 100: log2 |R| - log2 rank, the rank counted among all."""
    model, folder = open_model(trajectory[-1]).eval(), trajectory[-1]
    secrets = [f"{number:02d}" for number in range(100)]
    losses = secret_losses(model, folder, "The registry number of Abrelo is", secrets, batch_size=32)
    for own in (3, 50, 99):
        rank = sorted(losses).index(losses[own]) + 1
        found = exposure_of(losses[own], np.delete(losses, own))
        assert found.bits == pytest.approx(math.log2(100) - math.log2(rank))
        assert found.p_value == pytest.approx(rank / 100)


@given(st.integers(1, 2000), st.integers(0, 10_000))
def test_sampled_exposure_is_near_the_true_one(rank: int, seed: int) -> None:
    """2,000 of a million numbers: the share that stands higher is estimated within five standard errors."""
    space = np.arange(1_000_000)
    sample = np.random.default_rng(seed).choice(space[space != rank * 450], 2000, replace=False)
    found = exposure_of(float(rank * 450), sample.astype(float))
    true = rank * 450 / 1_000_000
    assert abs(found.p_value - true) < 5 * math.sqrt(true * (1 - true) / 2000) + 1 / 2000


def test_what_was_never_seen_has_the_exposure_of_chance() -> None:
    """Ranks of random numbers among random numbers: 1.44 bits on average, and p-values as often below 5 % as they say."""
    rng = np.random.default_rng(0)
    found = [exposure_of(rng.random(), rng.random(255)) for _ in range(4000)]
    assert np.mean([item.bits for item in found]) == pytest.approx(MEAN_BITS_BY_CHANCE, abs=0.1)
    assert np.mean([item.p_value <= 0.05 for item in found]) == pytest.approx(0.05, abs=0.012)


def test_equal_losses_count_against_exposure() -> None:
    assert exposure_of(1.0, np.full(7, 1.0)).bits == 0


def test_others_are_random_and_never_the_canary_s_own() -> None:
    canary = make_canaries((1,), 1, 0, SEED)[0]
    others = random_others(canary, 0, 500, SEED)
    assert len(others) == 500
    again = Canary(holder=canary.holder, secret=others[0], repeats=1)
    assert others[0] not in random_others(again, 0, 500, SEED)
    assert others != random_others(canary, 1, 500, SEED)


def test_a_model_that_knows_a_canary_exposes_it_and_random_weights_expose_none(
    trajectory: list[Path], canaries: list[Canary]
) -> None:
    before, after = (exposures(open_model(folder).eval(), folder, canaries, 255, SEED) for folder in trajectory)
    assert max(item.bits for item in before) < 7
    planted = [found.bits for found, canary in zip(after, canaries, strict=True) if canary.repeats]
    controls = [found.bits for found, canary in zip(after, canaries, strict=True) if not canary.repeats]
    assert min(planted) == 8
    assert np.mean(controls) < 4
