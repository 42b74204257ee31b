"""What is drawn at random in a step."""

from dataclasses import replace

import pytest
import torch

from lang1_assets.ops.training.step import seed_step
from lang1_assets.ops.training.world import World

RANK = World(rank=0, size=2, device=torch.device("cpu"))


def drawn(seed: int, part: str, step: int, world: World) -> float:
    with torch.random.fork_rng(devices=[]):
        seed_step(seed, part, step, world)
        return torch.rand(()).item()


@pytest.mark.parametrize("seed", [0, 3407, 2**29, 2**63])
def test_a_step_draws_the_same_again_and_no_other_step_does(seed: int) -> None:
    first = drawn(seed, "run", 0, RANK)
    others = [
        drawn(seed + 1, "run", 0, RANK),
        drawn(seed, "trial-0", 0, RANK),
        drawn(seed, "run", 1, RANK),
        drawn(seed, "run", 0, replace(RANK, rank=1)),
    ]
    assert drawn(seed, "run", 0, RANK) == first
    assert len({first, *others}) == 5
