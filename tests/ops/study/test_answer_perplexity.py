"""Perplexity against AUROC over planted models: rank correlation and its permutation test."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from lang1_assets.ops.study import answer_perplexity
from lang1_assets.ops.study.answer_perplexity import mean_rank_correlation, null_interval
from lang1_assets.ops.study.cells import Base, Perplexity, Studied
from lang1_assets.ops.study.evidence import judge
from tests.ops.study.planted import BASES, studied

QUESTION, LIKELIER = answer_perplexity.QUESTIONS
MODELS = ("ours", "generalist", "small", "clinical", "older")
SIGNALS = (2.5, 2.0, 1.5, 1.0, 0.5)
TASKS = ("readmission", "mortality")


def planted(folder: Path, perplexities: tuple[float, ...], models: tuple[str, ...] = MODELS) -> Studied:
    plan = {f"{model}/joint": dict.fromkeys(TASKS, signal) for model, signal in zip(models, SIGNALS, strict=False)}
    held = [
        Perplexity(model=model, mode="joint", task=task, value=value, n=100, source=f"answer_perplexity/{model}")
        for model, value in zip(models, perplexities, strict=False)
        for task in TASKS
    ]
    return studied(folder, plan, perplexities=held)


@pytest.mark.parametrize(
    ("perplexities", "verdict"),
    [
        ((1.0, 2.0, 3.0, 4.0, 5.0), "holds"),
        ((5.0, 4.0, 3.0, 2.0, 1.0), "does not hold"),
        ((3.0, 1.0, 5.0, 2.0, 4.0), "cannot tell"),
    ],
)
def test_the_claim(perplexities: tuple[float, ...], verdict: str, tmp_path: Path) -> None:
    judged = judge(QUESTION, planted(tmp_path, perplexities), "answer_perplexity_study")
    assert judged.verdict == verdict, judged.numbers


def test_of_four_models_nothing_is_told(tmp_path: Path) -> None:
    judged = judge(QUESTION, planted(tmp_path, (1.0, 2.0, 3.0, 4.0), MODELS[:4]), "answer_perplexity_study")
    assert judged.verdict == "cannot tell"
    assert "5 models" in judged.numbers


ROWS = st.lists(st.integers(0, 6), min_size=5, max_size=5)


@given(st.lists(st.tuples(ROWS, ROWS), min_size=1, max_size=3))
def test_the_correlation_is_spearman_s(pairs: list[tuple[list[int], list[int]]]) -> None:
    first, second = (np.array([pair[k] for pair in pairs], dtype=float) for k in (0, 1))
    expected = [
        0.0 if len(set(one)) == 1 or len(set(other)) == 1 else spearmanr(one, other).statistic for one, other in pairs
    ]
    assert mean_rank_correlation(first, second) == pytest.approx(np.mean(expected), abs=1e-9)


@given(st.tuples(ROWS, ROWS))
def test_the_claim_is_told_only_where_few_orders_are_as_extreme(pair: tuple[list[int], list[int]]) -> None:
    """A slow second implementation: every order of the models."""
    first, second = (np.array([row], dtype=float) for row in pair)
    value = mean_rank_correlation(first, second)
    others = [mean_rank_correlation(first[:, list(order)], second) for order in permutations(range(5))]
    low, high = null_interval(first, second, seed=0)
    share_below = np.mean([other <= value for other in others])
    share_above = np.mean([other >= value for other in others])
    assert (value < low) == (share_below <= 0.025)
    assert (value > high) == (share_above <= 0.025)


def test_many_models_are_put_in_seeded_orders() -> None:
    values = np.arange(9, dtype=float)[None, :]
    low, high = null_interval(values, values, seed=1)
    assert (low, high) == null_interval(values, values, seed=1)
    assert -0.8 < low < -0.5 < 0.5 < high < 0.8


def test_modes_and_tasks_of_few_models_are_left_out(tmp_path: Path) -> None:
    held = planted(tmp_path, (1.0, 2.0, 3.0, 4.0, 5.0))
    few = Perplexity(
        model="ours", mode="zero_shot", task="readmission", value=9.0, n=100, source="answer_perplexity/ours"
    )
    more = type(held)(**{**vars(held), "perplexities": [*held.perplexities, few]})
    assert judge(QUESTION, more, "x").verdict == "holds"
    assert answer_perplexity.grouped(more).keys() == {("joint", task) for task in TASKS}


def test_models_of_other_tokenizers_are_ranked_by_bits_a_byte(tmp_path: Path) -> None:
    held = planted(tmp_path, (5.0, 4.0, 3.0, 2.0, 1.0))
    bits = [replace(one, bits_per_byte=-one.value) for one in held.perplexities]
    assert judge(QUESTION, replace(held, perplexities=bits), "x").verdict == "holds"


def test_points_are_of_models_with_both_numbers(tmp_path: Path) -> None:
    held = planted(tmp_path, (1.0, 2.0, 3.0, 4.0, 5.0))
    (figure,) = answer_perplexity.figures(held)
    assert len(figure.points) == 10
    assert {point.note for point in figure.points} == {"joint"}
    assert {point.x for point in figure.points if point.series == "small"} == {3.0}


def measured(model: str, task: str, perplexity: float, reach: float, bits: float) -> Perplexity:
    """Its interval reaches `reach` of the log perplexity to both sides."""
    low, high = (float(np.exp(np.log(perplexity) * (1 + side * reach))) for side in (-1, 1))
    source = f"answer_perplexity/{model}"
    return Perplexity(
        model=model,
        mode="zero_shot",
        task=task,
        value=perplexity,
        n=90,
        source=source,
        bits_per_byte=bits,
        low=low,
        high=high,
    )


@pytest.mark.parametrize(
    ("bits", "reach", "verdict"),
    [(0.5, 0.02, "holds"), (2.0, 0.02, "does not hold"), (0.99, 0.2, "cannot tell"), (1.0, 0.02, "cannot tell")],
)
def test_ours_against_every_generalist(bits: float, reach: float, verdict: str, tmp_path: Path) -> None:
    """The one with fewer tokens has more perplexity by token: bits a byte decide."""
    found = [measured("ours", task, 9.0, reach, bits) for task in TASKS]
    found += [measured("generalist", task, 3.0, reach, 1.0) for task in TASKS]
    judged = judge(LIKELIER, studied(tmp_path, {}, perplexities=found), "answer_perplexity_study")
    assert judged.verdict == verdict, judged.numbers
    assert len(judged.details) == 2
    assert judged.details[0]["value"] == pytest.approx(bits - 1.0)


def test_one_generalist_or_task_that_is_likelier_is_enough(tmp_path: Path) -> None:
    bases = (*BASES[:2], Base(name="llama", is_from_folder=True))
    found = [measured(model, task, 3.0, 0.02, 1.0) for model in ("ours", "generalist", "llama") for task in TASKS]
    found = [replace(one, bits_per_byte=0.5) if one.model == "ours" else one for one in found]
    assert judge(LIKELIER, studied(tmp_path, {}, perplexities=found, bases=bases), "x").verdict == "holds"
    found[-1] = replace(found[-1], bits_per_byte=0.2)
    assert judge(LIKELIER, studied(tmp_path, {}, perplexities=found, bases=bases), "x").verdict == "does not hold"


def test_without_intervals_or_ours_nothing_is_told(tmp_path: Path) -> None:
    both = [measured(model, "readmission", 3.0, 0.02, 1.0) for model in ("ours", "generalist")]
    for found in ([], both[:1], both[1:], [both[0], replace(both[1], low=None)]):
        assert judge(LIKELIER, studied(tmp_path, {}, perplexities=found), "x").verdict == "cannot tell"
