"""The finetuning job: `deepspeed --module lang1_assets.ops.finetuning --config FILE` (paper 5.4).

Searches the learning rate, then trains the whole model to answer multiple-choice questions about notes, on one task or on
several mixed evenly in each batch, with early stopping on micro-AUROC. Leaves the best model, `metrics.jsonl`,
`search.json` and `summary.json` in its work folder. Started again in the same folder, it goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from torch.nn import functional

from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import AnswerLoss, answer_logits, open_model, save_model
from lang1_assets.ops.prompts import PromptSet, build_prompts, read_examples
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.scoring import pad_right
from lang1_assets.ops.tasks import TASKS, Task, use_own_tasks
from lang1_assets.ops.training.checkpoints import RESUME_FOLDER, load_resume, save_resume
from lang1_assets.ops.training.config import TrainingConfig, gradient_accumulation_steps
from lang1_assets.ops.training.engine import set_learning_rate, start_engine, whole_weights
from lang1_assets.ops.training.job import StopFlag, read_config, run_job
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World, set_up

MODEL_FOLDER = "model"
VALIDATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The learning rate search; `settings.Search` says what each field means."""

    num_trials: int
    max_steps: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One finetuning run."""

    base: Path
    """Hugging Face folder of the model to start from."""
    examples: dict[str, Path]
    """Examples file of each task; more than one is a joint run."""
    tokenizer_folder: Path
    training: TrainingConfig
    search: SearchConfig
    note_tokens: int
    context_length: int
    patience_steps: int
    validation_examples: int
    seed: int
    own_tasks: tuple[Task, ...] = ()
    """Tasks of a hospital's own, which a process does not know by itself."""

    @staticmethod
    def from_json(values: dict[str, Any]) -> FinetuneConfig:
        return FinetuneConfig(
            **{
                **values,
                "base": Path(values["base"]),
                "examples": {task: Path(file) for task, file in values["examples"].items()},
                "tokenizer_folder": Path(values["tokenizer_folder"]),
                "training": TrainingConfig(**values["training"]),
                "search": SearchConfig(**values["search"]),
                "own_tasks": tuple(Task.from_json(task) for task in values["own_tasks"]),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How well the model does on validation notes."""

    loss: float
    """Mean over tasks of the cross-entropy of the right letter among the options."""
    micro_auroc: float
    """Mean over tasks of the micro-averaged one-versus-rest AUROC: what early stopping watches."""
    by_task: dict[str, float]
    """AUROC of each task, macro-averaged where there are more than two classes."""


@dataclass(kw_only=True)
class LoopState:
    """Where the full run is; saved with each checkpoint."""

    step: int = 0
    best_step: int = -1
    best_micro_auroc: float = -1.0
    train_seconds: float = 0.0


class JointBatches:
    """Batches that hold every task in equal numbers (5.4), the same for any number of ranks.

    Example k of a task is a pure function of k and the seed: a new seeded order each time round. Nothing is drawn in
    sequence, so a resumed run needs only its step.
    """

    def __init__(self, prompts: dict[str, PromptSet], global_batch_size: int, seed: int) -> None:
        self._prompts = list(prompts.values())
        self._size = global_batch_size
        self._seed = seed
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def rows(self, step: int) -> list[tuple[int, int]]:
        """(task index, example index) of each sequence in a step's global batch."""
        first = step * self._size
        return [self._row(k) for k in range(first, first + self._size)]

    def _row(self, k: int) -> tuple[int, int]:
        task, nth = k % len(self._prompts), k // len(self._prompts)
        epoch, position = divmod(nth, len(self._prompts[task].ids))
        key = (task, epoch)
        if key not in self._orders:
            generator = np.random.Generator(np.random.Philox(key=[self._seed, (task << 32) + epoch]))
            self._orders[key] = generator.permutation(len(self._prompts[task].ids))
        return task, int(self._orders[key][position])

    def micro_batch(
        self, step: int, micro_step: int, micro_batch_size: int, world: World
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids (micro, length), index of the last token (micro,), and the right letter's token id (micro,)."""
        start = (micro_step * world.size + world.rank) * micro_batch_size
        rows = self.rows(step)[start : start + micro_batch_size]
        input_ids, last = pad_right([self._prompts[task].ids[i] for task, i in rows])
        answers = [self._prompts[task].letter_ids[int(self._prompts[task].labels[i])] for task, i in rows]
        device = world.device
        return input_ids.to(device), last.to(device), torch.tensor(answers, device=device)


def main() -> bool:
    values, work = read_config()
    config = FinetuneConfig.from_json(values)
    use_own_tasks(config.own_tasks)
    world = set_up(config.seed)
    with Reporter(work, world.rank) as reporter:
        return finetune(config, work, world, reporter, StopFlag())


def finetune(config: FinetuneConfig, work: Path, world: World, reporter: Reporter, stop: StopFlag) -> bool:
    """Search, then train to the end; False when a signal stopped it earlier."""
    train = load_prompts(config, "train", num_train_examples(config))
    val = load_prompts(config, "val", config.validation_examples)
    counts = ", ".join(f"{task} {len(prompts.ids)}" for task, prompts in train.items())
    reporter.say(f"finetuning on {world.size} rank(s) of {world.device.type}; training notes: {counts}")
    rate = find_learning_rate(config, train, val, work, world, reporter)
    config = replace(config, training=replace(config.training, learning_rate=rate))
    engine = start_engine(AnswerLoss(open_model(config.base)), config.training, world)
    state = LoopState(**(load_resume(engine, work, world, reporter) or {}))
    if state.step:
        reporter.say(f"resuming at step {state.step}")
    if not fit(config, engine, train, val, state, work, world, reporter, stop):
        return False
    if world.rank == 0:
        write_summary(config, state, train, work, world)
        # The optimizer's state is three times the model and of no use once the run is done.
        shutil.rmtree(work / RESUME_FOLDER, ignore_errors=True)
    return True


def num_train_examples(config: FinetuneConfig) -> int:
    """Notes of each task that the longest possible run reads; more need not be tokenized."""
    return math.ceil(config.training.max_steps * config.training.global_batch_size / len(config.examples))


def load_prompts(config: FinetuneConfig, split: str, max_examples: int) -> dict[str, PromptSet]:
    prompts = {}
    for name, path in config.examples.items():
        rows = read_examples(path, split, max_examples, config.seed)
        prompts[name] = build_prompts(
            TASKS[name],
            rows["text"].to_list(),
            rows["label"].to_list(),
            config.tokenizer_folder,
            config.note_tokens,
            config.context_length,
        )
    return prompts


def find_learning_rate(
    config: FinetuneConfig,
    train: dict[str, PromptSet],
    val: dict[str, PromptSet],
    work: Path,
    world: World,
    reporter: Reporter,
) -> float:
    """Random search, log-uniform; the best trial ranks best by validation AUROC and validation loss together (5.4)."""
    if config.search.num_trials == 0:
        return config.training.learning_rate
    path = work / "search.json"
    trials = json.loads(path.read_text()) if path.exists() else []
    # Every rank draws the same rates: the sampler is seeded and nothing else feeds it.
    rates = draw_learning_rates(config.search, config.seed)
    for number in range(len(trials), len(rates)):
        outcome = run_trial(config, rates[number], train, val, world)
        trials.append(
            {"learning_rate": rates[number], "val_micro_auroc": outcome.micro_auroc, "val_loss": outcome.loss}
        )
        values = {"val/auroc_micro": outcome.micro_auroc, "val/loss": outcome.loss}
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
    config: FinetuneConfig, rate: float, train: dict[str, PromptSet], val: dict[str, PromptSet], world: World
) -> Validation:
    training = replace(config.training, learning_rate=rate, max_steps=config.search.max_steps, compile=False)
    engine = start_engine(AnswerLoss(open_model(config.base)), training, world)
    batches = JointBatches(train, training.global_batch_size, config.seed)
    for step in range(training.max_steps):
        take_step(engine, batches, step, training, world)
    outcome = validate(engine.module.model, val, world)
    engine.destroy()
    return outcome


def fit(
    config: FinetuneConfig,
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
    batches = JointBatches(train, training.global_batch_size, config.seed)
    losses: list[torch.Tensor] = []
    started = time.monotonic()
    while state.step < training.max_steps and not out_of_patience(config, state):
        losses.append(take_step(engine, batches, state.step, training, world))
        state.step += 1
        last = state.step == training.max_steps
        if state.step % training.log_every_steps == 0 or last:
            log_step(config, state, world.mean(torch.stack(losses).mean()), len(losses), started, reporter)
            losses.clear()
            started = time.monotonic()
        if state.step % training.validate_every_steps == 0 or last:
            paused = time.monotonic()
            keep_if_best(config, engine, val, state, work, world, reporter)
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


def take_step(engine: Any, batches: JointBatches, step: int, training: TrainingConfig, world: World) -> torch.Tensor:
    """One optimizer step; the mean loss of this rank's micro-batches."""
    set_learning_rate(engine, learning_rate_at(step, training))
    accumulation = gradient_accumulation_steps(training, world.size)
    total = torch.zeros((), device=world.device)
    for micro_step in range(accumulation):
        loss = engine(*batches.micro_batch(step, micro_step, training.micro_batch_size, world))
        engine.backward(loss)
        engine.step()
        total += loss.detach()
    return total / accumulation


def keep_if_best(
    config: FinetuneConfig,
    engine: Any,
    val: dict[str, PromptSet],
    state: LoopState,
    work: Path,
    world: World,
    reporter: Reporter,
) -> None:
    outcome = validate(engine.module.model, val, world)
    if not math.isfinite(outcome.loss):
        raise ValueError(
            f"finetuning diverged by step {state.step} at learning rate {config.training.learning_rate:.2e}; lower "
            "finetune.search.high (or finetune.learning_rate where the search is off)"
        )
    by_task = {f"val/auroc/{task}": value for task, value in outcome.by_task.items() if math.isfinite(value)}
    reporter.metrics(state.step, {"val/auroc_micro": outcome.micro_auroc, "val/loss": outcome.loss, **by_task})
    shown = ", ".join(f"{task} {value:.3f}" for task, value in outcome.by_task.items())
    reporter.say(f"step {state.step}: validation loss {outcome.loss:.3f}, AUROC {shown}")
    if outcome.micro_auroc > state.best_micro_auroc:
        state.best_micro_auroc, state.best_step = outcome.micro_auroc, state.step
        weights = whole_weights(engine)
        if world.rank == 0:
            save_model(engine.module.model, weights, config.tokenizer_folder, work / MODEL_FOLDER)


@torch.no_grad()
def validate(model: Any, val: dict[str, PromptSet], world: World) -> Validation:
    """Loss and AUROC over all ranks; each rank scores its share of every task's notes."""
    model.eval()
    losses, micro, by_task = [], [], {}
    for task, prompts in val.items():
        letter_logits = score_share(model, prompts, world)
        labels = torch.from_numpy(prompts.labels)
        losses.append(functional.cross_entropy(letter_logits, labels).item())
        if not torch.isfinite(letter_logits).all():
            # A diverged model has no AUROC: a trial of the search that did so is out, and not the end of the job.
            by_task[task] = math.nan
            continue
        probabilities = torch.softmax(letter_logits.double(), dim=-1).numpy()
        outcome = auroc(prompts.labels, probabilities)
        by_task[task] = outcome.value
        micro.append(outcome.micro)
    model.train()
    known = [value for value in micro if math.isfinite(value)]
    return Validation(
        loss=statistics.fmean(losses), micro_auroc=statistics.fmean(known) if known else 0.5, by_task=by_task
    )


def score_share(model: Any, prompts: PromptSet, world: World) -> torch.Tensor:
    """Letter logits of all prompts, (num_prompts, num_options), on every rank."""
    letters = torch.tensor(prompts.letter_ids, device=world.device)
    # Contiguous runs of the length order; padded so that every rank runs the same number of batches (ZeRO-3 is collective).
    order = np.argsort([len(row) for row in prompts.ids], kind="stable")
    per_round = VALIDATION_BATCH * world.size
    mine: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(order), per_round):
        rows = order[start : start + per_round][world.rank :: world.size]
        shown = rows if len(rows) else order[:1]
        input_ids, last = pad_right([prompts.ids[i] for i in shown])
        logits = answer_logits(model, input_ids.to(world.device), last.to(world.device))[:, letters]
        mine.append((rows, logits.float().cpu().numpy()[: len(rows)]))
    merged = torch.zeros((len(order), len(prompts.letter_ids)))
    for shares in world.gather(mine):
        for rows, values in shares:
            merged[rows] = torch.from_numpy(values)
    return merged


def log_step(
    config: FinetuneConfig, state: LoopState, loss: float, num_steps: int, started: float, reporter: Reporter
) -> None:
    seconds = time.monotonic() - started
    state.train_seconds += seconds
    speed = num_steps * config.training.global_batch_size / seconds
    left = (config.training.max_steps - state.step) * seconds / num_steps
    rate = learning_rate_at(state.step - 1, config.training)
    reporter.metrics(state.step, {"train/loss": loss, "train/learning_rate": rate, "train/examples_per_second": speed})
    reporter.say(
        f"step {state.step}/{config.training.max_steps} loss {loss:.3f} {speed:.0f} notes/s, about {left:.0f} s left"
    )


def write_summary(
    config: FinetuneConfig, state: LoopState, train: dict[str, PromptSet], work: Path, world: World
) -> None:
    seen = state.step * config.training.global_batch_size
    summary = {
        "learning_rate": config.training.learning_rate,
        "steps": state.step,
        "best_step": state.best_step,
        "best_val_micro_auroc": state.best_micro_auroc,
        "examples_seen": seen,
        "examples_per_second": round(seen / max(state.train_seconds, 1e-9), 1),
        "train_notes": {task: len(prompts.ids) for task, prompts in train.items()},
        "num_ranks": world.size,
        "device": world.device.type,
    }
    (work / "summary.json").write_text(json.dumps(summary, indent=1))


if __name__ == "__main__":
    run_job(main)
