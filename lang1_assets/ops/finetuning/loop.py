"""One arc: set up, search, fit, validate, save (paper 5.4)."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from lang1_assets.ops.finetuning.batches import JointBatches
from lang1_assets.ops.finetuning.config import (
    FinetuneConfig,
    LoopState,
    num_train_notes,
    with_learning_rate,
    with_length,
)
from lang1_assets.ops.finetuning.learner import Learner, learner_of
from lang1_assets.ops.finetuning.search import find_learning_rate
from lang1_assets.ops.finetuning.validation import validate
from lang1_assets.ops.prompts import PromptSet, read_examples
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.tasks import use_own_tasks
from lang1_assets.ops.training.checkpoints import RESUME_FOLDER, load_resume, save_resume
from lang1_assets.ops.training.engine import start_engine
from lang1_assets.ops.training.intervals import peak_memory_bytes
from lang1_assets.ops.training.job import StopFlag, read_config
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.step import take_step
from lang1_assets.ops.training.world import World, set_up


def main() -> bool:
    values, work = read_config()
    config = FinetuneConfig.from_json(values)
    use_own_tasks(config.own_tasks)
    world = set_up(config.seed)
    with Reporter(work, world.rank) as reporter:
        return finetune(config, work, world, reporter, StopFlag())


def finetune(config: FinetuneConfig, work: Path, world: World, reporter: Reporter, stop: StopFlag) -> bool:
    """Search, then train to the end; False when a signal stopped it earlier."""
    learner = learner_of(config)
    train = load_prompts(config, learner, "train", num_train_notes(config))
    val = load_prompts(config, learner, "val", config.validation_examples)
    notes = {task: len(prompts.ids) for task, prompts in train.items()}
    counts = ", ".join(f"{task} {number}" for task, number in notes.items())
    reporter.say(f"finetuning on {world.size} rank(s) of {world.device.type}; training notes: {counts}")
    require_notes(config, train, val)
    config = with_length(config, notes)
    rate = find_learning_rate(config, learner, train, val, work, world, reporter)
    config = with_learning_rate(config, rate)
    engine = start_engine(learner.open(), config.training, world)
    state = LoopState(**(load_resume(engine, work, world, reporter) or {}))
    if state.step:
        reporter.say(f"resuming at step {state.step}")
    if not fit(config, learner, engine, train, val, state, work, world, reporter, stop):
        return False
    if world.rank == 0:
        learner.finish(work)
        write_summary(config, engine, state, notes, work, world)
        # The optimizer's state is three times the model and of no use once the run is done.
        shutil.rmtree(work / RESUME_FOLDER, ignore_errors=True)
    return True


def require_notes(config: FinetuneConfig, train: dict[str, PromptSet], val: dict[str, PromptSet]) -> None:
    """
    Raises:
        ValueError: a task has nothing to learn from or to be validated with.
    """
    for split, held in (("train", train), ("val", val)):
        for task, prompts in held.items():
            if not prompts.ids:
                raise ValueError(
                    f"{config.examples[task]}: no note of split '{split}'; expected labelled notes of {task}"
                )


def load_prompts(config: FinetuneConfig, learner: Learner, split: str, max_examples: int) -> dict[str, PromptSet]:
    return {
        task: learner.prompts(task, read_examples(path, split, max_examples, config.seed))
        for task, path in config.examples.items()
    }


def fit(
    config: FinetuneConfig,
    learner: Learner,
    engine: Any,
    train: dict[str, PromptSet],
    val: dict[str, PromptSet],
    state: LoopState,
    work: Path,
    world: World,
    reporter: Reporter,
    stop: StopFlag,
) -> bool:
    training = config.training
    targets = {task: learner.targets(prompts) for task, prompts in train.items()}
    batches = JointBatches(train, targets, training.global_batch_size, config.seed)
    losses: list[torch.Tensor] = []
    started = time.monotonic()
    while state.step < training.max_steps and not out_of_patience(config, state):
        micro_batch = batches.of_step(state.step, training.micro_batch_size, world)
        if config.lora is not None:
            # Dropout: a function of the step, so that a resumed run is the uninterrupted one.
            torch.manual_seed(((config.seed << 32) + state.step) * world.size + world.rank)
        losses.append(take_step(engine, training, state.step, micro_batch, world))
        state.tokens_seen += batches.num_tokens(state.step)
        state.step += 1
        last = state.step == training.max_steps
        if state.step % training.log_every_steps == 0 or last:
            log_step(config, state, world.mean(torch.stack(losses).mean()), len(losses), started, world, reporter)
            losses.clear()
            started = time.monotonic()
        if state.step % training.validate_every_steps == 0 or last:
            paused = time.monotonic()
            keep_if_best(config, learner, engine, val, state, work, world, reporter)
            started += time.monotonic() - paused
        stopping = world.any(stop.is_set) and not last
        if stopping or (state.step % training.save_every_steps == 0 and not last):
            save_resume(engine, work, state.step, vars(state), world, keep_last=training.keep_last)
        if stopping:
            reporter.say(f"stopped by a signal at step {state.step}; saved")
            return False
    return True


def out_of_patience(config: FinetuneConfig, state: LoopState) -> bool:
    """Asked only where validation has just been: between two, nobody knows whether the model is better."""
    validated = state.step > 0 and state.step % config.training.validate_every_steps == 0
    return validated and state.step - max(state.best_step, 0) >= config.patience_steps


def keep_if_best(
    config: FinetuneConfig,
    learner: Learner,
    engine: Any,
    val: dict[str, PromptSet],
    state: LoopState,
    work: Path,
    world: World,
    reporter: Reporter,
) -> None:
    outcome = validate(engine.module.model, learner, val, world)
    if not math.isfinite(outcome.loss):
        text = f"finetuning diverged by step {state.step} at learning rate {config.training.learning_rate:.2e}"
        reporter.alert("diverged", text, step=state.step)
        raise ValueError(f"{text}; lower finetune.search.high (or finetune.learning_rate where the search is off)")
    by_task = {f"val/auroc/{task}": value for task, value in outcome.by_task.items() if math.isfinite(value)}
    reporter.metrics(state.step, {"val/auroc_micro": outcome.micro_auroc, "val/loss": outcome.loss, **by_task})
    shown = ", ".join(f"{task} {value:.3f}" for task, value in outcome.by_task.items())
    reporter.say(f"step {state.step}: validation loss {outcome.loss:.3f}, AUROC {shown}")
    if outcome.micro_auroc > state.best_micro_auroc:
        state.best_micro_auroc, state.best_step = outcome.micro_auroc, state.step
        learner.save(engine, work, world)


def log_step(
    config: FinetuneConfig,
    state: LoopState,
    loss: float,
    num_steps: int,
    started: float,
    world: World,
    reporter: Reporter,
) -> None:
    seconds = time.monotonic() - started
    state.train_seconds += seconds
    speed = num_steps * config.training.global_batch_size / seconds
    left = (config.training.max_steps - state.step) * seconds / num_steps
    values = {
        "train/loss": loss,
        "train/learning_rate": learning_rate_at(state.step - 1, config.training),
        "train/tokens": state.tokens_seen,
        "speed/examples_per_second": speed,
        "speed/peak_memory_bytes": peak_memory_bytes(world.device),
    }
    reporter.metrics(state.step, values)
    reporter.say(
        f"step {state.step}/{config.training.max_steps} loss {loss:.3f} {speed:.0f} notes/s, about {left:.0f} s left"
    )


def write_summary(
    config: FinetuneConfig, engine: Any, state: LoopState, train_notes: dict[str, int], work: Path, world: World
) -> None:
    seen = state.step * config.training.global_batch_size
    summary = {
        "learning_rate": config.training.learning_rate,
        "steps": state.step,
        "max_steps": config.training.max_steps,
        "best_step": state.best_step,
        "best_val_micro_auroc": state.best_micro_auroc,
        "examples_seen": seen,
        "tokens_seen": state.tokens_seen,
        "examples_per_second": round(seen / max(state.train_seconds, 1e-9), 1),
        "train_notes": train_notes,
        "num_trained_parameters": sum(
            p.ds_numel if hasattr(p, "ds_numel") else p.numel() for p in engine.module.parameters() if p.requires_grad
        ),
        "num_ranks": world.size,
        "device": world.device.type,
    }
    (work / "summary.json").write_text(json.dumps(summary, indent=1))
