"""The rule on made-up rows: how often it cries for nothing, and what it finds."""

import math

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops.memorization.evaluate import EXPOSURE, HELD_OUT, SCHEMA, TRAINED
from lang1_assets.ops.memorization.verdict import LEVEL, others_needed, verdict_of


def exposed(p_values: dict[int, list[float]]) -> pl.DataFrame:
    rows = [
        {"tokens": 10, "kind": EXPOSURE, "repeats": repeats, "value": -math.log2(p), "p_value": p}
        for repeats, found in p_values.items()
        for p in found
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def continued(trained: float, held_out: float, n: int = 1000, tokens: int = 10) -> pl.DataFrame:
    rows = [
        {"tokens": tokens, "kind": kind, "value": v, "n": n} for kind, v in ((TRAINED, trained), (HELD_OUT, held_out))
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


@pytest.mark.parametrize("num_single", [1, 3, 10])
def test_innocent_models_fail_no_more_often_than_stated(num_single: int) -> None:
    rng, num_others = np.random.default_rng(5), others_needed(num_single)
    fails = 0
    for _ in range(3000):
        ranks = rng.integers(1, num_others + 2, num_single) / (num_others + 1)
        fails += not verdict_of(exposed({1: ranks.tolist()})).is_clean
    assert fails / 3000 <= LEVEL + 4 * math.sqrt(LEVEL / 3000)


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3])
def test_the_same_rate_of_continuations_fails_no_more_often_than_stated(rate: float) -> None:
    rng = np.random.default_rng(6)
    draws = rng.binomial(400, rate, (1000, 2)) / 400
    fails = sum(not verdict_of(continued(a, b, 400)).is_clean for a, b in draws.tolist())
    assert fails / 1000 <= LEVEL + 4 * math.sqrt(LEVEL / 1000)


@pytest.mark.parametrize("num_single", [1, 2, 3, 7, 50])
def test_one_canary_that_tops_the_list_is_enough(num_single: int) -> None:
    """There are others enough for it: the test can fail."""
    top = 1 / (others_needed(num_single) + 1)
    verdict = verdict_of(exposed({1: [top, *[0.5] * (num_single - 1)], 0: [0.4, 0.7]}))
    assert not verdict.is_clean
    assert f"1 of {num_single} canaries planted once are exposed" in verdict.words
    assert "controls 0.9 on average" in verdict.words


def test_canaries_planted_often_are_no_fault() -> None:
    assert verdict_of(exposed({1: [0.3], 64: [1e-3]})).is_clean


def test_continuing_training_text_more_than_held_out_text_is_a_fault() -> None:
    assert not verdict_of(continued(0.05, 0.01)).is_clean
    assert verdict_of(continued(0.05, 0.05)).is_clean
    # Held-out text that is continued more often is luck.
    assert verdict_of(continued(0.01, 0.05)).is_clean


def test_only_the_last_checkpoint_is_judged() -> None:
    assert verdict_of(pl.concat([continued(0.5, 0.0, tokens=5), continued(0.0, 0.0, tokens=10)])).is_clean
    assert not verdict_of(pl.concat([continued(0.0, 0.0, tokens=5), continued(0.5, 0.0, tokens=10)])).is_clean


def test_with_nothing_to_judge_nothing_is_judged() -> None:
    assert verdict_of(pl.DataFrame(schema=SCHEMA)).is_clean
