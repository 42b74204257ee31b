"""Models from elsewhere on the benchmark: folders, adapters, untrained shapes, servers (M36, M41, M42)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import polars as pl

from lang1_assets.ops.evaluation import (
    Scored,
    ScoringConfig,
    notes_to_score,
    open_to_score,
    prediction_rows,
    require_room_to_score,
)
from lang1_assets.ops.evaluation_record import prompts_used
from lang1_assets.ops.gpu_room import num_weights
from lang1_assets.ops.model import ModelShape, build_model, open_model, weightless_model
from lang1_assets.ops.prompts import cut_notes
from lang1_assets.ops.scoring import scoring_precision
from lang1_assets.ops.served.model import Sampling, ServedModel
from lang1_assets.ops.served.scoring import ServedScores, score_served
from lang1_assets.ops.tokenizer import open_tokenizer


class ModelError(ValueError):
    """A model's folder cannot be used."""


class AnswersRow(TypedDict):
    """How one task and split was answered by a served model."""

    task: str
    split: str
    num_notes: int
    """Asked about."""
    not_scored: dict[str, int]
    """Reason -> notes that have no probabilities and are no part of any metric."""
    num_rescued: int
    num_answers: int
    num_invalid: int
    """Of the sampled answers, those that chose no option."""
    num_unanswered: int
    """Notes without one valid answer: each option has the same probability."""
    mean_letter_mass: float | None
    abilities: dict[str, Any]
    usage: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ScoredByServer(Scored):
    answers: list[AnswersRow]


def open_folder(folder: Path, adapter: Path | None = None) -> Any:
    """A causal language model, and an adapter on it where one is given, for `predict_with`; safetensors only, no code from either.

    Raises:
        ModelError: naming the folder, and what it lacks.
        ValueError: it is larger than a GPU.
    """
    check_folders(folder, adapter)
    if adapter is None:
        return open_to_score(folder, scoring_precision())
    # Seconds to import, for one kind of model.
    from peft import PeftModel

    require_room_to_score(folder, scoring_precision())
    # Merged in float32, as a finetuning merges its own.
    merged: Any = PeftModel.from_pretrained(open_model(folder), adapter, use_safetensors=True).merge_and_unload()
    return merged.eval()


def num_parameters(folder: Path) -> int:
    """Of a model made elsewhere, which is looked at and not read: of 70 billion weights the heads of their files are enough.

    Raises:
        ModelError: naming the folder, and what it lacks.
    """
    check_folders(folder)
    number, there = int(weightless_model(folder).num_parameters()), num_weights(folder)
    if there < number:
        raise ModelError(
            f"{folder}: {there:,} weights in its .safetensors files, and its config.json is of a model of {number:,}; bring the "
            "missing files"
        )
    return number


def check_folders(folder: Path, adapter: Path | None = None) -> None:
    """
    Raises:
        ModelError: naming the folder, and what it lacks.
    """
    for path, needed in ((folder, "config.json"), (adapter, "adapter_config.json")):
        if path is not None and not (path / needed).is_file():
            raise ModelError(
                f"{path}: no {needed}; expected the folder of {'a model' if path == folder else 'an adapter'}"
            )
    for path in (folder, adapter):
        if path is not None and not any(path.glob("*.safetensors")):
            raise ModelError(
                f"{path}: no .safetensors file; other formats can run code when they are read, and are not. Convert it on a "
                "machine without notes: save_pretrained of transformers writes safetensors"
            )


def untrained(shape: ModelShape, tokenizer_folder: Path, seed: int) -> Any:
    """Random weights of a shape, for a tokenizer's vocabulary: what a model scores that has learned nothing."""
    return build_model(shape, len(open_tokenizer(tokenizer_folder)), seed).eval()


def context_length_of(model: Any, at_most: int) -> int:
    """Tokens that a model takes, never more than the benchmark gives."""
    return min(at_most, int(getattr(model.config, "max_position_embeddings", at_most)))


def predict_served(
    model: ServedModel,
    sampling_of: Callable[[str], Sampling | None],
    tokenizer_folder: Path,
    ledger: Path,
    examples: dict[str, Path],
    splits: Sequence[str],
    config: ScoringConfig,
    on_progress: Callable[[str], None],
) -> ScoredByServer:
    """As `evaluation.predict`, over HTTP.

    Args:
        sampling_of: task -> how it is sampled; None for a server that gives log-probabilities.
        tokenizer_folder: notes are cut in its tokens.
        ledger: what was paid for, of all tasks.

    Raises:
        ServedError: the server cannot be used, or failed for good; what was paid for until then is kept.
        ValueError: no file has a note in any of the splits.
    """
    tokenizer = open_tokenizer(tokenizer_folder)
    frames, used, answers = [], [], []
    sampled = {task: sampling_of(task) for task in examples}
    most = {
        task: min(config.max_examples, sampling.max_examples) if sampling else config.max_examples
        for task, sampling in sampled.items()
    }
    for task, split, rows in notes_to_score(examples, splits, most, config.seed):
        notes = cut_notes(rows["text"].to_list(), tokenizer_folder, tokenizer, config.note_tokens)
        prompts = [f"{note}\n{task.question_block}" for note in notes]
        sampling = sampled[task.name]
        scores = score_served(
            prompts, task.letters, model, ledger, sampling=sampling, seed=config.seed, on_progress=on_progress
        )
        frames.append(scored_rows(prediction_rows(task, split, rows, scores.probabilities)))
        used.append(prompts_used(task.name, split, [prompt.encode() for prompt in prompts]))
        answers.append(answers_row(task.name, split, len(rows), scores))
        on_progress(f"scored {len(frames[-1])} of {len(rows)} notes of {task.name}, {split}")
    return ScoredByServer(predictions=pl.concat(frames), prompts=used, answers=answers)


def scored_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Without the notes that have no probabilities; `AnswersRow` counts them."""
    return rows.filter(pl.col("probabilities").list.eval(pl.element().is_nan()).list.any().not_())


def answers_row(task: str, split: str, num_notes: int, scores: ServedScores) -> AnswersRow:
    reasons, counts = np.unique([str(reason) for reason in scores.not_scored.values()], return_counts=True)
    return AnswersRow(
        task=task,
        split=split,
        num_notes=num_notes,
        not_scored=dict(zip(reasons.tolist(), counts.tolist(), strict=True)),
        num_rescued=scores.num_rescued,
        num_answers=scores.num_answers,
        num_invalid=scores.num_invalid,
        num_unanswered=len(scores.unanswered),
        mean_letter_mass=scores.mean_letter_mass,
        abilities=scores.abilities,
        usage=asdict(scores.usage),
    )
