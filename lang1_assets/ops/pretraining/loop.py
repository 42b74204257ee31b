"""One arc: set up, fit, validate, save (paper 5.3)."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch

from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.pretraining.batches import Batches
from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig, at_interval, crosses_checkpoint
from lang1_assets.ops.pretraining.monitoring import Monitor, open_monitor
from lang1_assets.ops.pretraining.objective import Objective, objective_of
from lang1_assets.ops.pretraining.preflight import preflight
from lang1_assets.ops.pretraining.progress import Interval, Progress
from lang1_assets.ops.pretraining.recovery import LeftOutData, go_back, stable_step
from lang1_assets.ops.pretraining.spikes import SpikeDetector
from lang1_assets.ops.pretraining.start import starting_model
from lang1_assets.ops.pretraining.step import take_step
from lang1_assets.ops.pretraining.trajectory import save_trajectory, write_summary
from lang1_assets.ops.pretraining.validation import validate
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.tokenizer import tokenizer_sha256
from lang1_assets.ops.training.checkpoints import load_resume, save_resume
from lang1_assets.ops.training.engine import start_engine
from lang1_assets.ops.training.job import StopFlag, read_config
from lang1_assets.ops.training.world import World, set_up


def main() -> bool:
    values, work = read_config()
    config = PretrainConfig.from_json(values)
    world = set_up(config.seed)
    with Reporter(work, world.rank) as reporter:
        return pretrain(config, work, world, reporter, StopFlag())


def pretrain(config: PretrainConfig, work: Path, world: World, reporter: Reporter, stop: StopFlag) -> bool:
    """Train to the end; False when a signal stopped it earlier (what was reached is saved)."""
    preflight(config, work, world, reporter)
    mixture, objective = open_mixture(config), objective_of(config)
    monitor = open_monitor(config)
    # On the device itself: on the way there, eight ranks of 7B would hold 200 GB of the machine's memory.
    with world.device:
        model = starting_model(config)
    num_parameters = model.num_parameters()
    reporter.say(
        f"pretraining {num_parameters / 1e6:.2f} M parameters on {world.size} rank(s) of {world.device.type}: "
        f"{config.training.max_steps} steps of {config.tokens_per_step} tokens"
    )
    engine = start_engine(objective.loss(model), config.training, world)
    saved = load_resume(engine, work, world, reporter)
    state = LoopState(**(saved or {}))
    if saved is None:
        # Where Fig. 3 begins. Before the state: with that a resumed run takes this one for saved.
        save_trajectory(config, engine, state, work, world)
        # The state to go back to if the very first steps go wrong.
        save_resume(engine, work, 0, vars(state), world, keep_last=config.training.keep_last)
    else:
        reporter.say(f"resuming at step {state.step}")
    if not fit(config, engine, mixture, objective, monitor, state, work, world, reporter, stop):
        return False
    if world.rank == 0:
        write_summary(config, state, work, num_parameters, world)
    return True


def open_mixture(config: PretrainConfig) -> Mixture:
    tokenizer = tokenizer_sha256(config.tokenizer_folder)
    shards = {name: TokenShards(folder, "train", tokenizer) for name, folder in config.sources.items()}
    return Mixture(shards, config.weights, config.shape.context_length, config.seed)


def fit(
    config: PretrainConfig,
    engine: Any,
    mixture: Mixture,
    objective: Objective,
    monitor: Monitor | None,
    state: LoopState,
    work: Path,
    world: World,
    reporter: Reporter,
    stop: StopFlag,
) -> bool:
    training = config.training
    batches = Batches(mixture, objective, training, world)
    progress = Progress(config, engine.module.model.num_parameters(), world, reporter)
    detector, left_out = SpikeDetector(state.detector), LeftOutData(work)
    # One file, read by many machines: all go by what the first one saw.
    left_out.rows = world.gather(left_out.rows)[0]
    state.num_reverts = reporter.retake = len(left_out.rows)
    losses: list[torch.Tensor] = []
    interval_started = time.monotonic()
    while state.step < training.max_steps:
        state.data_step = left_out.next_data_step(state.data_step)
        losses.append(take_step(config, engine, batches, state, world))
        stopping = world.any(stop.is_set)
        saving = stopping or at_interval(state.step, training.save_every_steps, training.max_steps)
        keeping = saving or crosses_checkpoint(config, state.step)
        # Nothing is kept before the losses that led to it were looked at: a saved spike could not be left again.
        if keeping or state.step == 1 or at_interval(state.step, training.log_every_steps, training.max_steps):
            seconds, num_steps = time.monotonic() - interval_started, len(losses)
            each = world.means(torch.stack(losses))
            losses.clear()
            accident = detector.look(state.step, each, engine.get_global_grad_norm())
            if accident is not None and accident.goes_back:
                detector = go_back(config, engine, mixture, accident, state, left_out, work, world, reporter)
                interval_started = time.monotonic()
                continue
            if accident is not None:
                reporter.alert(accident.kind, accident.describe(), step=state.step)
            interval_started = time.monotonic()
            state.train_seconds += seconds
            loss = statistics.fmean(each)
            progress.log(engine, state, Interval(loss=loss, num_steps=num_steps, seconds=seconds), batches)
        paused = time.monotonic()
        if at_interval(state.step, training.validate_every_steps, training.max_steps):
            validate(config, objective, engine, state, world, reporter)
        if monitor is not None and at_interval(state.step, monitor.every_steps, training.max_steps):
            monitor.run(engine, state.step, work, world, reporter)
        if crosses_checkpoint(config, state.step):
            save_trajectory(config, engine, state, work, world)
        if saving:
            state.detector = detector.state()
            stable = stable_step(config, detector, state.step)
            keep_last = training.keep_last
            save_resume(engine, work, state.step, vars(state), world, keep_last=keep_last, stable_step=stable)
        interval_started += time.monotonic() - paused
        if stopping and state.step < training.max_steps:
            reporter.say(f"stopped by a signal at step {state.step}; saved")
            return False
    return True
