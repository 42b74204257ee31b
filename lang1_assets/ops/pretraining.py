"""The pretraining job: `deepspeed --module lang1_assets.ops.pretraining --config FILE` (paper 5.3).

Reads token shards, trains a decoder on their mixture, and leaves a trajectory of Hugging Face checkpoints, `metrics.jsonl`
and `summary.json` in its work folder. Started again in the same folder, it goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.model import ModelShape, NextTokenLoss, build_model, save_model
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.tokenizer import tokenizer_sha256
from lang1_assets.ops.training import (
    StopFlag,
    TrainingConfig,
    World,
    gradient_accumulation_steps,
    learning_rate_at,
    load_resume,
    read_config,
    run_job,
    save_resume,
    set_learning_rate,
    set_up,
    start_engine,
    whole_weights,
)

TRAJECTORY_FOLDER = "trajectory"
SPIKE_WINDOW = 128
SPIKE_SIGMAS = 6.0
SPIKE_MINIMUM_HISTORY = 16
MAX_REVERTS = 3


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One pretraining run."""

    shape: ModelShape
    training: TrainingConfig
    sources: dict[str, Path]
    """Shard folder of each corpus."""
    weights: dict[str, float]
    tokenizer_folder: Path
    vocab_size: int
    checkpoint_tokens: int
    validation_windows: int
    seed: int

    @staticmethod
    def from_json(values: dict[str, Any]) -> PretrainConfig:
        return PretrainConfig(
            **{
                **values,
                "shape": ModelShape(**values["shape"]),
                "training": TrainingConfig(**values["training"]),
                "sources": {name: Path(folder) for name, folder in values["sources"].items()},
                "tokenizer_folder": Path(values["tokenizer_folder"]),
            }
        )

    @property
    def tokens_per_step(self) -> int:
        return self.training.global_batch_size * self.shape.context_length


@dataclass(kw_only=True)
class LoopState:
    """Where the run is; saved with each checkpoint."""

    step: int = 0
    """Optimizer steps taken."""
    data_step: int = 0
    """Batches drawn: ahead of `step` by what was skipped after a loss spike."""
    num_reverts: int = 0
    train_seconds: float = 0.0


class SpikeDetector:
    """Flags a loss more than six standard deviations above the last 128 logged ones, or one that is not finite.

    The rule is the one OLMo-core skips steps by; the paper only says that spikes were watched for (5.3).
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=SPIKE_WINDOW)

    def is_spike(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        if len(self._losses) >= SPIKE_MINIMUM_HISTORY:
            mean, sd = statistics.fmean(self._losses), statistics.stdev(self._losses)
            if loss > mean + SPIKE_SIGMAS * max(sd, 1e-3):
                return True
        self._losses.append(loss)
        return False


def main() -> bool:
    values, work = read_config()
    config = PretrainConfig.from_json(values)
    world = set_up(config.seed)
    with Reporter(work, world.rank) as reporter:
        return pretrain(config, work, world, reporter, StopFlag())


def pretrain(config: PretrainConfig, work: Path, world: World, reporter: Reporter, stop: StopFlag) -> bool:
    """Train to the end; False when a signal stopped it earlier (what was reached is saved)."""
    mixture = open_mixture(config)
    model = build_model(config.shape, config.vocab_size, config.seed)
    num_parameters = model.num_parameters()
    reporter.say(
        f"pretraining {num_parameters / 1e6:.2f} M parameters on {world.size} rank(s) of {world.device.type}: "
        f"{config.training.max_steps} steps of {config.tokens_per_step} tokens"
    )
    engine = start_engine(NextTokenLoss(model), config.training, world)
    saved = load_resume(engine, work)
    state = LoopState(**(saved or {}))
    if saved is None:
        # The state to go back to if the very first steps go wrong.
        save_resume(engine, work, 0, vars(state), world)
    else:
        reporter.say(f"resuming at step {state.step}")
    if not fit(config, engine, mixture, state, work, world, reporter, stop):
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
    state: LoopState,
    work: Path,
    world: World,
    reporter: Reporter,
    stop: StopFlag,
) -> bool:
    training = config.training
    spikes = SpikeDetector()
    losses: list[torch.Tensor] = []
    interval_started = time.monotonic()
    while state.step < training.max_steps:
        losses.append(take_step(config, engine, mixture, state, world))
        stopping = world.any(stop.is_set)
        saving = stopping or at_interval(state.step, training.save_every_steps, training.max_steps)
        keeping = saving or crosses_checkpoint(config, state.step)
        # Nothing is kept before the losses that led to it were looked at: a saved spike could not be left again.
        if keeping or at_interval(state.step, training.log_every_steps, training.max_steps):
            seconds, num_steps = time.monotonic() - interval_started, len(losses)
            loss = world.mean(torch.stack(losses).mean())
            losses.clear()
            interval_started = time.monotonic()
            if spikes.is_spike(loss):
                go_back(engine, work, state, loss, reporter)
                continue
            state.train_seconds += seconds
            log_step(config, engine, state, loss, num_steps, seconds, reporter)
        if at_interval(state.step, training.validate_every_steps, training.max_steps):
            paused = time.monotonic()
            validate(config, engine, state, world, reporter)
            interval_started += time.monotonic() - paused
        if crosses_checkpoint(config, state.step):
            save_trajectory(config, engine, state, work, world)
        if saving:
            save_resume(engine, work, state.step, vars(state), world)
        if stopping and state.step < training.max_steps:
            reporter.say(f"stopped by a signal at step {state.step}; saved")
            return False
    return True


def take_step(config: PretrainConfig, engine: Any, mixture: Mixture, state: LoopState, world: World) -> torch.Tensor:
    """One optimizer step; the mean loss of this rank's micro-batches."""
    training = config.training
    set_learning_rate(engine, learning_rate_at(state.step, training))
    accumulation = gradient_accumulation_steps(training, world.size)
    total = torch.zeros((), device=world.device)
    for micro_step in range(accumulation):
        windows = mixture.batch(
            state.data_step, training.global_batch_size, world.rank, world.size, training.micro_batch_size, micro_step
        )
        loss = engine(torch.from_numpy(windows).to(world.device, non_blocking=True))
        engine.backward(loss)
        engine.step()
        total += loss.detach()
    state.step += 1
    state.data_step += 1
    return total / accumulation


def go_back(engine: Any, work: Path, state: LoopState, loss: float, reporter: Reporter) -> None:
    """Return to the last checkpoint and leave out the batches since: the data that did it are not drawn again."""
    if state.num_reverts >= MAX_REVERTS:
        raise RuntimeError(
            f"loss {loss:.3g} at step {state.step} is a spike, and the run has gone back {MAX_REVERTS} times already; "
            "lower pretrain.learning_rate or look at the shards"
        )
    at_step, data_step, reverts = state.step, state.data_step, state.num_reverts
    saved = load_resume(engine, work)
    assert saved is not None, "fit saves before its first step"
    vars(state).update(saved)
    state.data_step, state.num_reverts = data_step, reverts + 1
    reporter.metrics(at_step, {"loss_spike": loss if math.isfinite(loss) else -1.0})
    reporter.say(f"ALERT loss spike ({loss:.3g}) at step {at_step}: back to step {state.step}, its data left out")


def log_step(
    config: PretrainConfig,
    engine: Any,
    state: LoopState,
    loss: float,
    num_steps: int,
    seconds: float,
    reporter: Reporter,
) -> None:
    speed = num_steps * config.tokens_per_step / seconds
    norm = engine.get_global_grad_norm()
    rate = learning_rate_at(state.step - 1, config.training)
    left = (config.training.max_steps - state.step) * seconds / num_steps
    reporter.metrics(
        state.step,
        {
            "train/loss": loss,
            "train/learning_rate": rate,
            "train/tokens": state.step * config.tokens_per_step,
            "train/tokens_per_second": speed,
            **({"train/gradient_norm": float(norm)} if norm is not None else {}),
        },
    )
    reporter.say(
        f"step {state.step}/{config.training.max_steps} loss {loss:.3f} {speed:,.0f} tokens/s, about {left:.0f} s left"
    )


@torch.no_grad()
def validate(config: PretrainConfig, engine: Any, state: LoopState, world: World, reporter: Reporter) -> None:
    """Held-out token cross-entropy and perplexity, by corpus and together (M24)."""
    engine.eval()
    by_source = {name: validation_loss(config, engine, folder, world) for name, folder in config.sources.items()}
    engine.train()
    by_source["all"] = statistics.fmean(by_source.values())
    values = {f"val/loss/{name}": loss for name, loss in by_source.items()}
    values |= {f"val/perplexity/{name}": math.exp(loss) for name, loss in by_source.items()}
    reporter.metrics(state.step, values)
    reporter.say("validation: " + ", ".join(f"{name} perplexity {math.exp(v):.2f}" for name, v in by_source.items()))


def validation_loss(config: PretrainConfig, engine: Any, folder: Path, world: World) -> float:
    shards = TokenShards(folder, "val")
    context = min(config.shape.context_length, shards.num_tokens - 1)
    num_windows = min(config.validation_windows, shards.num_windows(context))
    total = torch.zeros((), dtype=torch.float64)
    # Every rank runs the same number of forward passes: under ZeRO-3 each one is collective.
    for start in range(0, num_windows, world.size):
        index = min(start + world.rank, num_windows - 1)
        window = torch.from_numpy(shards.window(index, context)[None].astype("int64"))
        loss = engine(window.to(world.device)).double().cpu()
        total += loss if start + world.rank < num_windows else 0
    return world.mean(total) * world.size / num_windows


def at_interval(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def crosses_checkpoint(config: PretrainConfig, step: int) -> bool:
    """Whether this step's tokens pass a multiple of `checkpoint_tokens`, or it is the last."""
    before, after = (step - 1) * config.tokens_per_step, step * config.tokens_per_step
    return before // config.checkpoint_tokens < after // config.checkpoint_tokens or step == config.training.max_steps


def save_trajectory(config: PretrainConfig, engine: Any, state: LoopState, work: Path, world: World) -> None:
    weights = whole_weights(engine)
    if world.rank == 0:
        name = f"tokens-{state.step * config.tokens_per_step:015d}"
        save_model(engine.module.model, weights, config.tokenizer_folder, work / TRAJECTORY_FOLDER / name)


def write_summary(config: PretrainConfig, state: LoopState, work: Path, num_parameters: int, world: World) -> None:
    tokens = state.step * config.tokens_per_step
    summary = {
        "num_parameters": num_parameters,
        "num_ranks": world.size,
        "device": world.device.type,
        "steps": state.step,
        "tokens": tokens,
        "tokens_per_second": round(tokens / max(state.train_seconds, 1e-9)),
        "num_reverts": state.num_reverts,
        "trajectory": sorted(path.name for path in (work / TRAJECTORY_FOLDER).iterdir() if path.is_dir()),
    }
    (work / "summary.json").write_text(json.dumps(summary, indent=1))


if __name__ == "__main__":
    run_job(main)
