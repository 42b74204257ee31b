"""The learning rate search, by itself and in a run."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lang1_assets.ops.finetuning import learner as learners
from lang1_assets.ops.finetuning.config import FinetuneConfig, SearchConfig
from lang1_assets.ops.finetuning.search import best_trial, draw_learning_rates
from lang1_assets.ops.finetuning.validation import validate
from lang1_assets.ops.model import open_model
from lang1_assets.ops.training import step as steps
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World
from tests.ops.conftest import SEED
from tests.ops.finetuning.running import Flag, held_out, learner, run
from tests.ops.launching import last_values, summary_of

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


def test_the_search_keeps_its_trials_and_uses_the_best(undisturbed: Path, config: dict[str, Any]) -> None:
    found = json.loads((undisturbed / "search.json").read_text())
    rates = draw_learning_rates(SearchConfig(**config["search"]), SEED)
    assert [trial["learning_rate"] for trial in found] == rates
    assert summary_of(undisturbed)["learning_rate"] == rates[best_trial(found)]
    for number, trial in enumerate(found):
        assert last_values(undisturbed, f"trial-{number}")[2, "val/loss"] == trial["val_loss"]


def test_a_stop_in_the_search_ends_it_at_the_next_step(
    undisturbed: Path, config: dict[str, Any], one_rank: World, tmp_path: Path
) -> None:
    """In the first step of the second trial: the first one is kept, and nothing of the full run is begun."""
    assert run(config, tmp_path, one_rank, Flag(at=3)) is False
    first, _ = json.loads((undisturbed / "search.json").read_text())
    assert json.loads((tmp_path / "search.json").read_text()) == [first]
    assert not (tmp_path / "resume").exists()


def test_a_search_with_adapters_that_was_interrupted_finds_the_same(
    config: dict[str, Any], one_rank: World, tmp_path: Path
) -> None:
    """Their dropout is a function of the step as well."""
    lora = {"rank": 2, "alpha": 4, "dropout": 0.3, "modules": ["q_proj", "v_proj"]}
    adapted = {**config, "lora": lora}
    for work, flags in ((tmp_path / "whole", [5]), (tmp_path / "cut", [3, 5])):
        for at in flags:
            assert run(adapted, work, one_rank, Flag(at=at)) is False
    whole, cut = (json.loads((tmp_path / work / "search.json").read_text()) for work in ("whole", "cut"))
    assert len(whole) == 2
    assert whole == cut


def test_a_trial_is_the_beginning_of_the_full_run(
    config: dict[str, Any], one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same schedule, so that a rate is judged by what the full run does with it; a warmup is done within the trial."""
    rates: list[tuple[int, float]] = []
    monkeypatch.setattr(steps, "set_learning_rate", lambda engine, rate: rates.append(rate))
    training = {**config["training"], "warmup_steps": 4, "max_steps": 100}
    search_of_one = {"num_trials": 1, "max_steps": 5, "low": 1e-3, "high": 1e-3}
    run({**config, "training": training, "search": search_of_one}, tmp_path, one_rank, Flag(at=5 + 1))
    full = FinetuneConfig.from_json({**config, "training": {**training, "warmup_steps": 0}}).training
    assert rates[:5] == pytest.approx([learning_rate_at(step, full, peak=1e-3) for step in range(5)])
    assert rates[5] == pytest.approx(1e-3 / 4)


def test_a_diverged_model_is_out_of_the_search_and_ends_the_full_run(
    config: dict[str, Any], model_folder: Path, one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged = open_model(model_folder)
    with torch.no_grad():
        diverged.model.norm.weight.fill_(math.nan)
    outcome = validate(diverged, learner(config), held_out(config), one_rank)
    assert math.isnan(outcome.loss)
    assert all(math.isnan(value) for value in outcome.by_task.values())
    opened = iter([diverged, open_model(model_folder), diverged])
    monkeypatch.setattr(learners, "open_model", lambda folder: next(opened))
    with pytest.raises(ValueError, match=r"diverged by step 2 at learning rate .*; lower finetune\.search\.high"):
        run(config, tmp_path, one_rank)
    found = json.loads((tmp_path / "search.json").read_text())
    assert [math.isfinite(trial["val_loss"]) for trial in found] == [False, True]
    assert not (tmp_path / "model").exists()
