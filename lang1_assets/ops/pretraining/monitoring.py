"""How the model does on the benchmark while it is trained: few-shot AUROC, comprehension, generations (paper 5.3, M23).

On validation notes only: what is looked at during training must not be what is reported after it. Nothing here draws a
random number or touches the optimizer, so a run has the same losses with and without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lang1_assets.ops.comprehension import OptionRows, are_right, continuation_likelihoods, option_rows
from lang1_assets.ops.few_shot import few_shot
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.pretraining.config import MonitoringConfig, PretrainConfig
from lang1_assets.ops.pretraining.generations import GENERATIONS_FILE, generate, write_generations
from lang1_assets.ops.prompts import PromptSet, build_prompts, informative_examples
from lang1_assets.ops.questions import by_name, read_questions
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.scoring import score_in_step
from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.training.world import World

PREFIX = "monitor"
SPLIT = "val"


@dataclass(frozen=True, kw_only=True)
class AskedQuestions:
    """Of one file."""

    options: OptionRows
    answers: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What the model is asked at every interval, made once: prompts by task, and questions."""

    every_steps: int
    prompts: dict[str, PromptSet]
    shots: dict[str, int]
    """Answered examples in front of each task's prompts."""
    questions: dict[str, AskedQuestions]
    """By name in `tasks.COMPREHENSION`."""
    tokenizer_folder: Path
    context_length: int
    batch_size: int

    def run(self, engine: Any, step: int, work: Path, world: World, reporter: Reporter) -> None:
        """Measure, log, and write the generations beside the metrics."""
        engine.eval()
        model = engine.module.model
        values = {**self._aurocs(model, world), **self._comprehension(model, world)}
        # Every rank: under ZeRO-3 each forward pass is collective.
        texts = generate(model, self.tokenizer_folder, self.context_length)
        engine.train()
        if world.rank == 0:
            write_generations(work / GENERATIONS_FILE, step, texts)
        known = {f"{PREFIX}/{name}": value for name, value in values.items() if math.isfinite(value)}
        reporter.metrics(step, known)
        reporter.say("monitoring: " + ", ".join(f"{name} {value:.3f}" for name, value in values.items()))

    def _aurocs(self, model: Any, world: World) -> dict[str, float]:
        return {
            f"auroc/{task}/{SPLIT}": auroc(
                prompts.labels, shared_probabilities(model, prompts, world, self.batch_size)
            ).value
            for task, prompts in self.prompts.items()
        }

    def _comprehension(self, model: Any, world: World) -> dict[str, float]:
        return {
            f"accuracy/{name}": shared_accuracy(model, asked, world, self.batch_size)
            for name, asked in self.questions.items()
        }


def open_monitor(config: PretrainConfig) -> Monitor | None:
    """Read the validation notes and questions; None when the run is not monitored."""
    monitoring = config.monitoring
    if monitoring is None:
        return None
    made = {task: task_prompts(task, path, config, monitoring) for task, path in monitoring.examples.items()}
    context = config.shape.context_length
    return Monitor(
        every_steps=monitoring.every_steps,
        prompts={task: prompts for task, (prompts, _) in made.items()},
        shots={task: shots for task, (_, shots) in made.items()},
        questions={
            name: questions_of(path, config, monitoring) for name, path in by_name(monitoring.questions).items()
        },
        tokenizer_folder=config.tokenizer_folder,
        context_length=context,
        batch_size=monitoring.batch_size,
    )


def task_prompts(
    task: str, examples: Path, config: PretrainConfig, monitoring: MonitoringConfig
) -> tuple[PromptSet, int]:
    """Prompts of validation notes with answered examples in front, and how many of those."""
    context, folder = config.shape.context_length, config.tokenizer_folder
    shown = few_shot(TASKS[task], examples, folder, monitoring.note_tokens, context, monitoring.shots, config.seed)
    rows = informative_examples(TASKS[task], examples, SPLIT, monitoring.num_examples, config.seed)
    if rows.is_empty():
        raise ValueError(f"{examples}: no note of split '{SPLIT}' to monitor {task} on; make the examples again")
    texts, labels = rows["text"].to_list(), rows["label"].to_list()
    return build_prompts(TASKS[task], texts, labels, folder, shown.note_tokens, context, shown.before), shown.shots


def questions_of(path: Path, config: PretrainConfig, monitoring: MonitoringConfig) -> AskedQuestions:
    questions = read_questions(path, config.seed).head(monitoring.num_examples)
    return AskedQuestions(
        options=option_rows(config.tokenizer_folder, questions, config.shape.context_length),
        answers=tuple(questions["answer"]),
    )


def shared_accuracy(model: Any, asked: AskedQuestions, world: World, batch_size: int) -> float:
    """Share of right answers, the options shared among the ranks; the same on every rank."""
    options = asked.options
    mine = share(len(options.ids), world)
    scores = continuation_likelihoods(
        model, [options.ids[i] for i in mine], [options.num_answer_tokens[i] for i in mine], batch_size
    )
    likelihoods = options.by_question(joined(world.gather(scores), len(options.ids)))
    return float(are_right(likelihoods, asked.answers).mean())


def shared_probabilities(model: Any, prompts: PromptSet, world: World, batch_size: int) -> np.ndarray:
    """`scoring.score_in_step` with the prompts shared among the ranks; the whole result on every rank."""
    mine = share(len(prompts.ids), world)
    own = PromptSet(ids=[prompts.ids[i] for i in mine], letter_ids=prompts.letter_ids, labels=prompts.labels[mine])
    return np.stack(joined(world.gather(list(score_in_step(model, own, batch_size))), len(prompts.ids)))


def share(num: int, world: World) -> list[int]:
    """Which of `num` items this rank takes; every rank as many, so the last may be taken more than once."""
    rounds = -(-num // world.size)
    return [min(turn * world.size + world.rank, num - 1) for turn in range(rounds)]


def joined(parts: Sequence[Sequence[Any]], num: int) -> list[Any]:
    """The results of `share`, one list a rank, in the order of the items."""
    return [parts[number % len(parts)][number // len(parts)] for number in range(num)]
