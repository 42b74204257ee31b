"""The learning rate search by itself."""

import math

import numpy as np
import pytest

from lang1_assets.ops.finetuning.config import SearchConfig
from lang1_assets.ops.finetuning.search import best_trial, draw_learning_rates
from tests.ops.conftest import SEED

SEARCH = SearchConfig(num_trials=300, max_steps=1, low=1e-6, high=1e-3)


def test_learning_rates_are_log_uniform_and_the_same_on_every_rank() -> None:
    rates = draw_learning_rates(SEARCH, SEED)
    assert rates == draw_learning_rates(SEARCH, SEED)
    assert rates != draw_learning_rates(SEARCH, SEED + 1)
    assert all(SEARCH.low <= rate <= SEARCH.high for rate in rates)
    share = (np.log(np.sort(rates)) - math.log(SEARCH.low)) / (math.log(SEARCH.high) - math.log(SEARCH.low))
    # Kolmogorov-Smirnov against the uniform distribution; 1.63 is its 1 % point.
    assert np.abs(share - (np.arange(300) + 0.5) / 300).max() < 1.63 / math.sqrt(300)
    # The first rates are the same however many trials there are.
    assert draw_learning_rates(SearchConfig(num_trials=5, max_steps=1, low=1e-6, high=1e-3), SEED) == rates[:5]


def trials(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"val_micro_auroc": auroc, "val_loss": loss} for auroc, loss in pairs]


@pytest.mark.parametrize(
    ("found", "best"),
    [
        (trials((0.6, 0.9), (0.8, 0.5), (0.7, 0.7)), 1),
        # Second by both beats first by one and last by the other.
        (trials((0.9, 0.9), (0.6, 0.4), (0.8, 0.5), (0.7, 0.8)), 2),
        # Equal sums: the higher AUROC.
        (trials((0.7, 0.5), (0.8, 0.6)), 1),
        # Equal AUROC: the lower loss, wherever it stands.
        (trials((0.7, 0.6), (0.7, 0.5)), 1),
        (trials((0.7, 0.5), (0.7, 0.6)), 0),
        # Equal losses: the higher AUROC.
        (trials((0.6, 0.5), (0.7, 0.5)), 1),
        (trials((0.9, math.nan), (0.6, 0.5), (0.5, math.inf)), 1),
        (trials((0.5, 0.7)), 0),
    ],
)
def test_the_best_trial_has_the_least_sum_of_ranks(found: list[dict[str, float]], best: int) -> None:
    assert best_trial(found) == best
    backwards = [len(found) - 1 - i for i in range(len(found))]
    assert backwards[best_trial(found[::-1])] == best


def test_a_search_where_everything_diverged_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"lower finetune\.search\.high"):
        best_trial(trials((0.5, math.nan), (0.5, math.inf)))
