from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.pretraining.batches import Batches
from lang1_assets.ops.pretraining.objective import NextToken
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.training.world import World
from tests.ops.conftest import CONTEXT_LENGTH, SEED
from tests.ops.training.conftest import CONFIG

TRAINING = replace(CONFIG, global_batch_size=12, micro_batch_size=2)
NEXT_TOKEN = NextToken(TRAINING.zero_stage)
TWO_RANKS = World(rank=1, size=2, device=torch.device("cpu"))


@pytest.fixture
def mixture(shard_folders: dict[str, Path]) -> Mixture:
    shards = {name: TokenShards(folder, "train") for name, folder in shard_folders.items()}
    return Mixture(shards, dict.fromkeys(shards, 1.0), CONTEXT_LENGTH, SEED)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=12))
def test_any_position_in_any_order_is_the_mixture_s(mixture: Mixture, positions: list[tuple[int, int]]) -> None:
    """In order, as in training, and jumping, as after a loss spike."""
    batches = Batches(mixture, NEXT_TOKEN, TRAINING, TWO_RANKS)
    for data_step, micro_step in positions:
        expected = mixture.batch(data_step, 12, 1, 2, 2, micro_step)
        assert np.array_equal(batches.get(data_step, micro_step)[0].numpy(), expected)
    assert batches.wait_seconds > 0


class Failing:
    """A mixture with one batch that cannot be read."""

    def batch(self, step: int, *others: int) -> np.ndarray:
        if step == 1:
            raise ValueError("shard 7 is cut")
        return np.zeros((2, 3), dtype=np.int64)


def test_what_cannot_be_read_is_an_error_of_its_own_step() -> None:
    """It is read ahead during step 0, which must not fail for it."""
    failing = Batches(Failing(), NEXT_TOKEN, TRAINING, TWO_RANKS)  # type: ignore[arg-type]
    for micro_step in range(3):
        failing.get(0, micro_step)
    with pytest.raises(ValueError, match="shard 7 is cut"):
        failing.get(1, 0)
