import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from lang1_assets.ops.pretraining import validation
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.pretraining.objective import NextToken
from lang1_assets.ops.training.world import World


def test_each_rank_takes_its_share_of_validation_windows(
    config: dict[str, Any], shard_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five windows over 1 to 4 ranks: each counted once, and every rank with the same number of passes."""
    read = PretrainConfig.from_json(config)

    def engine(window: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        return window.double().mean()

    means = []
    for size in (1, 2, 3, 4):
        totals, rounds = [], set()
        for rank in range(size):
            passes: list[int] = []
            monkeypatch.setattr(World, "mean", lambda self, value: float(value))
            totals.append(
                validation.validation_loss(
                    read,
                    NextToken(2),
                    engine,
                    shard_folders["notes"],
                    World(rank=rank, size=size, device=torch.device("cpu")),
                )
            )
            rounds.add(len(passes))
        assert len(rounds) == 1
        means.append(statistics.fmean(totals))
    assert means == pytest.approx([means[0]] * 4)
