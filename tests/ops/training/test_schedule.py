import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.training.schedule import learning_rate_at
from tests.ops.training.conftest import CONFIG


def test_learning_rate_warms_up_linearly_and_ends_at_the_minimum() -> None:
    assert learning_rate_at(0, CONFIG) == pytest.approx(4e-4 / 2000)
    assert learning_rate_at(999, CONFIG) == pytest.approx(2e-4)
    assert learning_rate_at(2000, CONFIG) == pytest.approx(4e-4)
    assert learning_rate_at(6000, CONFIG) == pytest.approx((4e-4 + 4e-5) / 2)
    assert learning_rate_at(10_000, CONFIG) == pytest.approx(4e-5)


@given(st.integers(0, 20_000))
def test_learning_rate_matches_torch(step: int) -> None:
    """Against torch's own cosine schedule, as a second implementation."""
    rate = learning_rate_at(step, CONFIG)
    if step < CONFIG.warmup_steps:
        assert 0 < rate <= CONFIG.learning_rate
        return
    share = min(step, CONFIG.max_steps) - CONFIG.warmup_steps
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=CONFIG.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=CONFIG.max_steps - CONFIG.warmup_steps, eta_min=CONFIG.min_learning_rate
    )
    closed_form = (
        schedule.eta_min
        + (schedule.base_lrs[0] - schedule.eta_min) * (1 + math.cos(math.pi * share / schedule.T_max)) / 2
    )
    assert rate == pytest.approx(closed_form)
