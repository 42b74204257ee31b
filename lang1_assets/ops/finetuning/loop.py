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
    with_learning_rate,
    with_length,
)
from lang1_assets.ops.finetuning.learner import Learner, learner_of
from lang1_assets.ops.finetuning.notes import HeldOut, load_held_out, load_train
from lang1_assets.ops.finetuning.search import find_learning_rate
from lang1_assets.ops.finetuning.validation import validate
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.tasks import use_own_tasks
from lang1_assets.ops.training.checkpoints import RESUME_FOLDER, finished, load_resume, save_resume
from lang1_assets.ops.training.engine import start_engine
from lang1_assets.ops.training.intervals import peak_memory_bytes
from lang1_assets.ops.training.job import StopFlag, read_config
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.step import seed_step, take_step
from lang1_assets.ops.training.world import World, set_up

BEST_FOLDER = "best"


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
    train, val = load_train(config, learner), load_held_out(config, learner)
    notes = {task: len(prompts.ids) for task, prompts in train.items()}
    counts = ", ".join(f"{task} {number}" for task, number in notes.items())
    reporter.say(f"finetuning on {world.size} rank(s) of {world.device.type}; training notes: {counts}")
    config = with_length(config, notes)
    rate = find_learning_rate(config, learner, train, val, work, world, reporter, stop)
    if rate is None:
        return False
    config = with_learning_rate(config, rate)
    engine = start_engine(learner.open(), config.training, world)
    state = LoopState(**(load_resume(engine, work, world, reporter) or {}))
    if state.step:
        reporter.say(f"resuming at step {state.step}")
    if world.rank == 0:
        remove_later(work, state.step)
    if not fit(config, learner, engine, train, val, state, work, world, reporter, stop):
        return False
    if world.rank == 0:
        learner.finish(best_folder(work, state.best_step), work)
        write_summary(config, engine, state, notes, work, world)
        remove_leftovers(work)
    return True


def remove_leftovers(work: Path) -> None:
    """What a run that is done needs no more: the optimizer's state is three times the model."""
    for name in (RESUME_FOLDER, BEST_FOLDER):
        shutil.rmtree(work / name, ignore_errors=True)


def fit(
    config: FinetuneConfig,
    learner: Learner,
    engine: Any,
    train: dict[str, PromptSet],
    val: dict[str, HeldOut],
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
        seed_step(config.seed, "run", state.step, world)
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
            if world.rank == 0:
                remove_unknown(work)
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
    val: dict[str, HeldOut],
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
        learner.save(engine, best_folder(work, state.step), world)


def remove_unknown(work: Path) -> None:
    """Of the best weights so far those that no resume point knows any more."""
    oldest = min(manifest.step for manifest in finished(work / RESUME_FOLDER))
    for folder in [folder for folder in best_folders(work) if step_of(folder) <= oldest][:-1]:
        shutil.rmtree(folder)


def remove_later(work: Path, step: int) -> None:
    """Best weights of steps that are about to be taken again, and may not be the best this time."""
    for folder in best_folders(work):
        if step_of(folder) > step:
            shutil.rmtree(folder)


def best_folder(work: Path, step: int) -> Path:
    """The best weights so far, under the step that made them: a run that goes on from before it finds those it knew."""
    return work / BEST_FOLDER / f"step-{step:08d}"


def best_folders(work: Path) -> list[Path]:
    return sorted(folder for folder in (work / BEST_FOLDER).glob("step-*") if folder.suffix == "")


def step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


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
