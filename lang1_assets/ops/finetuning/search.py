"""The learning rate search before a full run (paper 5.4, M32)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import optuna

from lang1_assets.ops.finetuning.batches import JointBatches
from lang1_assets.ops.finetuning.config import FinetuneConfig, SearchConfig, with_learning_rate
from lang1_assets.ops.finetuning.learner import Learner
from lang1_assets.ops.finetuning.notes import HeldOut
from lang1_assets.ops.finetuning.validation import Validation, validate
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.engine import start_engine
from lang1_assets.ops.training.job import StopFlag
from lang1_assets.ops.training.step import seed_step, take_step
from lang1_assets.ops.training.world import World

SEARCH_FILE = "search.json"


def find_learning_rate(
    config: FinetuneConfig,
    learner: Learner,
    train: dict[str, PromptSet],
    val: dict[str, HeldOut],
    work: Path,
    world: World,
    reporter: Reporter,
    stop: StopFlag,
) -> float | None:
    """Random search, log-uniform; the best trial ranks best by validation AUROC and validation loss together.

    None when a signal stopped it: the trials that were done are kept.
    """
    if config.search.num_trials == 0:
        return config.training.learning_rate
    path = work / SEARCH_FILE
    trials = json.loads(path.read_text()) if path.exists() else []
    # Every rank draws the same rates: the sampler is seeded and nothing else feeds it.
    rates = draw_learning_rates(config.search, config.seed)
    for number in range(len(trials), len(rates)):
        outcome = run_trial(config, learner, number, rates[number], train, val, world, stop)
        if outcome is None:
            reporter.say(f"stopped by a signal in trial {number + 1} of the search; {len(trials)} are kept")
            return None
        trial = {"learning_rate": rates[number], "val_micro_auroc": outcome.micro_auroc, "val_loss": outcome.loss}
        trials.append(trial)
        values = {
            "train/learning_rate": rates[number],
            "val/auroc_micro": outcome.micro_auroc,
            "val/loss": outcome.loss,
        }
        reporter.metrics(config.search.max_steps, values, group=f"trial-{number}")
        reporter.say(
            f"search {number + 1}/{len(rates)}: learning rate {rates[number]:.2e}, "
            f"validation micro-AUROC {outcome.micro_auroc:.3f}, loss {outcome.loss:.3f}"
        )
        if world.rank == 0:
            beside = path.with_suffix(".tmp")
            beside.write_text(json.dumps(trials, indent=1))
            beside.rename(path)
    return rates[best_trial(trials)]


def draw_learning_rates(search: SearchConfig, seed: int) -> list[float]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = (study.ask() for _ in range(search.num_trials))
    return [trial.suggest_float("learning_rate", search.low, search.high, log=True) for trial in trials]


def best_trial(trials: list[dict[str, float]]) -> int:
    """The trial whose ranks by AUROC (high) and by loss (low) sum to least; ties go to the higher AUROC.

    The paper selects "based on both maximum validation AUROC and minimum validation loss" (5.4) without saying how.
    """
    finite = [i for i, trial in enumerate(trials) if math.isfinite(trial["val_loss"])]
    if not finite:
        raise ValueError("every trial of the learning rate search diverged; lower finetune.search.high")
    # A rank is the number of trials that did better, so equal trials share it.
    by_auroc = {i: sum(trials[j]["val_micro_auroc"] > trials[i]["val_micro_auroc"] for j in finite) for i in finite}
    by_loss = {i: sum(trials[j]["val_loss"] < trials[i]["val_loss"] for j in finite) for i in finite}
    return min(finite, key=lambda i: (by_auroc[i] + by_loss[i], by_auroc[i]))


def run_trial(
    config: FinetuneConfig,
    learner: Learner,
    number: int,
    rate: float,
    train: dict[str, PromptSet],
    val: dict[str, HeldOut],
    world: World,
    stop: StopFlag,
) -> Validation | None:
    """The first steps of the full run at this rate: its schedule, not one that anneals within the trial (5.4)."""
    steps = min(config.search.max_steps, config.training.max_steps)
    # A profile with a warmup, which the paper has not: within the trial, or its rate would never be reached.
    warmup = min(config.training.warmup_steps, steps // 10)
    training = with_learning_rate(config, rate, warmup_steps=warmup, compile=False).training
    engine = start_engine(learner.open(), training, world)
    targets = {task: learner.targets(prompts) for task, prompts in train.items()}
    batches = JointBatches(train, targets, training.global_batch_size, config.seed)
    for step in range(steps):
        seed_step(config.seed, f"trial-{number}", step, world)
        take_step(engine, training, step, batches.of_step(step, training.micro_batch_size, world), world)
        if world.any(stop.is_set):
            engine.destroy()
            return None
    outcome = validate(engine.module.model, learner, val, world)
    engine.destroy()
    return outcome
