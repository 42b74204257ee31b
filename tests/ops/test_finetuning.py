"""Finetuning: its batches and its search by themselves, and the job in this process, killed and not, and on two ranks."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lang1_assets.ops import finetuning
from lang1_assets.ops.finetuning import (
    FinetuneConfig,
    JointBatches,
    LoopState,
    SearchConfig,
    best_trial,
    draw_learning_rates,
    finetune,
    load_prompts,
    out_of_patience,
    score_share,
    validate,
)
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import open_model
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.training.checkpoints import finished
from lang1_assets.ops.training.world import World
from tests.ops.conftest import PROMPT_CONTEXT, SEED
from tests.ops.launching import last_values, launch, log_of, same_weights, summary_of

MAX_STEPS = 8
SEARCH = SearchConfig(num_trials=300, max_steps=1, low=1e-6, high=1e-3)


def prompt_sets(sizes: list[int]) -> dict[str, PromptSet]:
    """Example i of task t has 1 + i % 3 tokens; its first token tells task and example."""
    return {
        f"task {task}": PromptSet(
            ids=[np.array([100 * task + i] * (1 + i % 3)) for i in range(size)],
            letter_ids=[1000 + 10 * task, 1001 + 10 * task],
            labels=np.arange(size) % 2,
        )
        for task, size in enumerate(sizes)
    }


def rank(number: int, size: int) -> World:
    return World(rank=number, size=size, device=torch.device("cpu"))


sizes = st.lists(st.integers(1, 12), min_size=1, max_size=5)


@given(sizes, st.integers(1, 4), st.integers(0, 50))
def test_a_batch_holds_every_task_equally(sizes: list[int], each: int, step: int) -> None:
    batches = JointBatches(prompt_sets(sizes), each * len(sizes), SEED)
    assert Counter(task for task, _ in batches.rows(step)) == {task: each for task in range(len(sizes))}


@given(sizes, st.integers(1, 20))
def test_every_example_comes_once_an_epoch_in_another_order(sizes: list[int], batch_size: int) -> None:
    """Also where the batch does not divide by the tasks: no task is ever more than one ahead."""
    batches = JointBatches(prompt_sets(sizes), batch_size, SEED)
    steps = math.ceil(3 * max(sizes) * len(sizes) / batch_size)
    drawn = [row for step in range(steps) for row in batches.rows(step)]
    for task, size in enumerate(sizes):
        examples = [example for which, example in drawn if which == task]
        for epoch in range(3):
            assert sorted(examples[epoch * size : (epoch + 1) * size]) == list(range(size))
    counts = Counter(task for task, _ in drawn)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_epochs_and_tasks_and_seeds_have_orders_of_their_own() -> None:
    def order(seed: int, task: int, epoch: int) -> list[int]:
        rows = JointBatches(prompt_sets([20, 20]), 40, seed).rows(epoch)
        return [example for which, example in rows if which == task]

    orders = [order(seed, task, epoch) for seed in (1, 2) for task in (0, 1) for epoch in (0, 1)]
    assert len(set(map(tuple, orders))) == len(orders)


@given(sizes, st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 20))
def test_the_ranks_together_hold_the_global_batch(
    sizes: list[int], micro: int, num_ranks: int, accumulation: int, step: int
) -> None:
    prompts = prompt_sets(sizes)
    size = micro * num_ranks * accumulation
    expected = [100 * task + i for task, i in JointBatches(prompts, size, SEED).rows(step)]
    found = []
    for micro_step in range(accumulation):
        for number in range(num_ranks):
            # Each rank has batches of its own, and has drawn other steps before or has just resumed.
            batches = JointBatches(prompts, size, SEED)
            batches.rows(number)
            input_ids, last, answers = batches.micro_batch(step, micro_step, micro, rank(number, num_ranks))
            for ids, end, answer in zip(input_ids, last, answers, strict=True):
                task, i = divmod(int(ids[0]), 100)
                assert ids[: end + 1].tolist() == prompts[f"task {task}"].ids[i].tolist()
                assert answer == 1000 + 10 * task + i % 2
                found.append(int(ids[0]))
    assert found == expected


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


@pytest.fixture(scope="module")
def config(example_files: dict[str, Path], model_folder: Path) -> dict[str, Any]:
    return {
        "base": model_folder,
        "examples": example_files,
        "tokenizer_folder": model_folder,
        "training": {
            "global_batch_size": 8,
            "micro_batch_size": 4,
            "max_steps": MAX_STEPS,
            "learning_rate": 1e-3,
            "min_learning_rate": 0.0,
            "warmup_steps": 0,
            "betas": (0.9, 0.999),
            "eps": 1e-5,
            "weight_decay": 0.02,
            "gradient_clipping": 0.0,
            "zero_stage": 2,
            "precision": "fp32",
            "compile": False,
            "activation_checkpointing": False,
            "validate_every_steps": 2,
            "save_every_steps": 3,
            "keep_last": 2,
            "log_every_steps": 1,
        },
        "search": {"num_trials": 2, "max_steps": 2, "low": 1e-3, "high": 1e-2},
        "note_tokens": 40,
        "context_length": PROMPT_CONTEXT,
        "patience_steps": 100,
        "validation_examples": 20,
        "seed": SEED,
        "own_tasks": [],
    }


class Flag:
    """In the place of a `StopFlag`: set when asked for the nth time."""

    def __init__(self, at: int = -1) -> None:
        self._left = at

    @property
    def is_set(self) -> bool:
        self._left -= 1
        return self._left == 0


def run(config: dict[str, Any], work: Path, world: World, flag: Flag | None = None) -> bool:
    work.mkdir(exist_ok=True)
    with Reporter(work, world.rank) as reporter:
        return finetune(FinetuneConfig.from_json(config), work, world, reporter, flag or Flag())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], one_rank: World) -> Path:
    work = tmp_path_factory.mktemp("undisturbed")
    assert run(config, work, one_rank)
    return work


def test_the_job_leaves_the_best_model(undisturbed: Path, config: dict[str, Any], one_rank: World) -> None:
    summary = summary_of(undisturbed)
    values = last_values(undisturbed)
    validated = {step: value for (step, name), value in values.items() if name == "val/auroc_micro"}
    assert sorted(validated) == [2, 4, 6, 8]
    assert summary["best_val_micro_auroc"] == max(validated.values()) == validated[summary["best_step"]]
    assert summary["train_notes"] == {"mortality": 32, "length_of_stay": 32}
    assert values[MAX_STEPS, "train/loss"] < values[1, "train/loss"]
    # The model in the folder is the one that was validated at that step.
    val = load_prompts(FinetuneConfig.from_json(config), "val", 20)
    again = validate(open_model(undisturbed / "model"), val, one_rank)
    assert again.micro_auroc == pytest.approx(summary["best_val_micro_auroc"])
    assert not (undisturbed / "resume").exists()


def test_the_search_keeps_its_trials_and_uses_the_best(undisturbed: Path, config: dict[str, Any]) -> None:
    found = json.loads((undisturbed / "search.json").read_text())
    rates = draw_learning_rates(SearchConfig(**config["search"]), SEED)
    assert [trial["learning_rate"] for trial in found] == rates
    assert summary_of(undisturbed)["learning_rate"] == rates[best_trial(found)]
    for number, trial in enumerate(found):
        assert last_values(undisturbed, f"trial-{number}")[2, "val/loss"] == trial["val_loss"]


class Killed(BaseException):
    """Nothing in the job catches it."""


def test_a_run_killed_twice_and_stopped_once_gives_the_same_model(
    undisturbed: Path, config: dict[str, Any], one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second trial of the search; by a signal after step 3 of the full run; at step 6, before it is saved."""
    take_step, steps = finetuning.take_step, []

    def take_step_until(limit: int) -> Any:
        def step(*values: Any) -> torch.Tensor:
            steps.append(1)
            if len(steps) == limit:
                raise Killed
            return take_step(*values)

        return step

    monkeypatch.setattr(finetuning, "take_step", take_step_until(2 + 1))
    with pytest.raises(Killed):
        run(config, tmp_path, one_rank)
    assert len(json.loads((tmp_path / "search.json").read_text())) == 1

    monkeypatch.setattr(finetuning, "take_step", take_step)
    assert run(config, tmp_path, one_rank, Flag(at=4)) is False
    assert finished(tmp_path / "resume")[-1].step == 4
    assert not (tmp_path / "summary.json").exists()

    steps.clear()
    monkeypatch.setattr(finetuning, "take_step", take_step_until(4))
    with pytest.raises(Killed):
        run(config, tmp_path, one_rank)
    assert finished(tmp_path / "resume")[-1].step == 6

    monkeypatch.setattr(finetuning, "take_step", take_step)
    assert run(config, tmp_path, one_rank)
    assert summary_of(tmp_path) == summary_of(undisturbed)
    assert (tmp_path / "search.json").read_text() == (undisturbed / "search.json").read_text()
    assert last_values(tmp_path) == last_values(undisturbed)
    assert same_weights(tmp_path / "model", undisturbed / "model")


def test_two_ranks_under_zero_3_give_the_model_of_one_rank(
    undisturbed: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    """The real job; sums over two ranks are rounded otherwise, so nearly and not exactly."""
    changed = {**config, "training": {**config["training"], "zero_stage": 3, "micro_batch_size": 2}}
    assert launch(tmp_path, changed, "lang1_assets.ops.finetuning") == 0, log_of(tmp_path)[-3000:]
    ours, theirs = summary_of(tmp_path), summary_of(undisturbed)
    assert ours.pop("best_val_micro_auroc") == pytest.approx(theirs.pop("best_val_micro_auroc"), abs=0.01)
    assert ours == {**theirs, "num_ranks": 2}
    for key, value in last_values(undisturbed).items():
        assert last_values(tmp_path)[key] == pytest.approx(value, rel=1e-3, abs=0.01 if "auroc" in key[1] else 1e-4), (
            key
        )
    weights, expected = (load_file(work / "model" / "model.safetensors") for work in (tmp_path, undisturbed))
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], atol=1e-3, rtol=1e-3)


def test_validation_is_scoring_and_auroc(config: dict[str, Any], model_folder: Path, one_rank: World) -> None:
    """Against the probabilities that evaluation gives for the same notes."""
    val = load_prompts(FinetuneConfig.from_json(config), "val", 20)
    model = open_model(model_folder)
    outcome = validate(model, val, one_rank)
    assert model.training
    losses, micro = [], []
    for task, prompts in val.items():
        probabilities = score_options(model.eval(), prompts, batch_size=3)
        losses.append(-np.log(probabilities[np.arange(20), prompts.labels]).mean())
        expected = auroc(prompts.labels, probabilities)
        assert outcome.by_task[task] == pytest.approx(expected.value)
        micro.append(expected.micro)
    assert outcome.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert outcome.micro_auroc == pytest.approx(np.mean(micro))


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_the_ranks_share_the_validation_notes(
    num_ranks: int, config: dict[str, Any], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty notes in batches of 4 over 2 or 3 ranks: some ranks have none in the last round, and run it all the same."""
    monkeypatch.setattr(finetuning, "VALIDATION_BATCH", 4)
    prompts = load_prompts(FinetuneConfig.from_json(config), "val", 20)["length_of_stay"]
    model, shares, passes = open_model(model_folder).eval(), [], []
    answer_logits = finetuning.answer_logits
    monkeypatch.setattr(finetuning, "answer_logits", lambda *values: passes.append(1) or answer_logits(*values))
    monkeypatch.setattr(World, "gather", lambda self, value: shares.append(value) or shares)
    for number in range(num_ranks):
        with torch.no_grad():
            merged = score_share(model, prompts, rank(number, num_ranks))
    assert len(passes) == num_ranks * math.ceil(20 / (4 * num_ranks))
    probabilities = torch.softmax(merged.double(), dim=-1).numpy()
    np.testing.assert_allclose(probabilities, score_options(model, prompts, batch_size=20), atol=1e-6)


def test_a_diverged_model_is_out_of_the_search_and_ends_the_full_run(
    config: dict[str, Any], model_folder: Path, one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged = open_model(model_folder)
    with torch.no_grad():
        diverged.model.norm.weight.fill_(math.nan)
    outcome = validate(diverged, load_prompts(FinetuneConfig.from_json(config), "val", 20), one_rank)
    assert math.isnan(outcome.loss)
    assert all(math.isnan(value) for value in outcome.by_task.values())
    opened = iter([diverged, open_model(model_folder), diverged])
    monkeypatch.setattr(finetuning, "open_model", lambda folder: next(opened))
    with pytest.raises(ValueError, match=r"diverged by step 2 at learning rate .*; lower finetune\.search\.high"):
        run(config, tmp_path, one_rank)
    found = json.loads((tmp_path / "search.json").read_text())
    assert [math.isfinite(trial["val_loss"]) for trial in found] == [False, True]
    assert not (tmp_path / "model").exists()


def test_patience_ends_a_run_at_a_validation_and_never_before_the_first(
    config: dict[str, Any], one_rank: World, tmp_path: Path
) -> None:
    patience = FinetuneConfig.from_json({**config, "patience_steps": 3})
    ends = [step for step in range(1, 13) if out_of_patience(patience, LoopState(step=step, best_step=4))]
    assert ends == [8, 10, 12]
    training = {**config["training"], "validate_every_steps": 3, "learning_rate": 1e-12}
    impatient = {**config, "patience_steps": 1, "training": training, "search": {**config["search"], "num_trials": 0}}
    assert run(impatient, tmp_path, one_rank)
    # A rate that changes nothing: the first validation is the best, and the second is the last.
    assert (summary_of(tmp_path)["best_step"], summary_of(tmp_path)["steps"]) == (3, 6)
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_no_more_notes_are_read_than_the_run_can_use(config: dict[str, Any]) -> None:
    read = FinetuneConfig.from_json(config)
    assert finetuning.num_train_examples(read) == MAX_STEPS * 8 / 2
    assert {task: len(prompts.ids) for task, prompts in load_prompts(read, "train", 7).items()} == {
        "mortality": 7,
        "length_of_stay": 7,
    }
    for task, file in read.examples.items():
        labels = pl.read_parquet(file).filter(split="val")["label"].to_numpy()
        assert load_prompts(read, "val", 24)[task].labels.tolist() == labels.tolist()
