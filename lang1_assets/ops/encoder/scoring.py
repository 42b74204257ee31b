"""A finetuned encoder on the benchmark: probabilities of the classes for every note of the test splits (Fig. D4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from lang1_assets.ops.encoder.classification import EncoderError, class_logits, encoder_prompts, open_classifier
from lang1_assets.ops.encoder.model import architecture_of
from lang1_assets.ops.evaluation import Scored, ScoringConfig, notes_to_score, prediction_rows, ready_to_score
from lang1_assets.ops.evaluation_record import prompts_used
from lang1_assets.ops.freed_memory import give_back_freed_memory
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.scoring import on_every_device, pad_right
from lang1_assets.ops.scoring.batches import by_length
from lang1_assets.ops.scoring.letters import CPU_BATCH_TOKENS
from lang1_assets.ops.scoring.packing import can_pack, pack_linears
from lang1_assets.ops.tasks import TASKS


def predict_encoder(
    model_folder: Path,
    examples: dict[str, Path],
    splits: Sequence[str],
    config: ScoringConfig,
    on_progress: Callable[[str], None],
) -> Scored:
    """As `evaluation.predict`, for the folder of a finetuned encoder.

    Raises:
        EncoderError: the encoder was not finetuned, or its head has another number of classes than the task.
        ValueError: no file has a note in any of the splits.
    """
    num_classes = classes_of_one_task(model_folder, examples)
    models = ready_everywhere(open_classifier(model_folder, num_classes))
    frames, used = [], []
    found = notes_to_score(examples, splits, dict.fromkeys(examples, config.max_examples), config.seed)
    for task, split, rows in found:
        texts, labels = rows["text"].to_list(), rows["label"].to_list()
        prompts = encoder_prompts(texts, labels, num_classes, model_folder, config.note_tokens, config.context_length)
        probabilities = score_classes(models, prompts, config.batch_size)
        give_back_freed_memory()
        frames.append(prediction_rows(task, split, rows.drop("text"), probabilities))
        used.append(prompts_used(task.name, split, [row.astype("<i8").tobytes() for row in prompts.ids]))
        on_progress(f"scored {len(rows)} notes of {task.name}, {split}")
    return Scored(predictions=pl.concat(frames), prompts=used)


def classes_of_one_task(model_folder: Path, examples: dict[str, Path]) -> int:
    if architecture_of(model_folder).endswith("ForMaskedLM"):
        raise EncoderError(
            f"{model_folder}: a pretrained encoder has no head that answers a task, and no zero-shot; finetune it first"
        )
    if len(examples) != 1:
        raise EncoderError(
            f"{model_folder}: an encoder's head answers the task alone that it was finetuned on; asked for {', '.join(examples)}"
        )
    (task,) = examples
    return TASKS[task].num_classes


def ready_everywhere(model: Any) -> list[Any]:
    """The model on each device, as decoders are scored: in bf16 on GPUs, with packed layers on a CPU."""
    models = on_every_device(ready_to_score(model))
    if can_pack(models[0]):
        pack_linears(models[0])
    return models


def score_classes(models: Sequence[Any], prompts: PromptSet, batch_size: int) -> NDArray[np.float64]:
    """Probability of each class, shape (num_notes, num_classes), rows summing to 1; the order is that of the notes.

    Args:
        models: the same one on each device; they share the work.
        batch_size: a batch has as many tokens, padding included, as so many of the longest note.
    """
    lengths = [len(row) for row in prompts.ids]
    budget = batch_size * max(lengths, default=0)
    if next(models[0].parameters()).device.type == "cpu":
        budget = min(budget, CPU_BATCH_TOKENS)
    batches = iter(list(by_length(range(len(lengths)), lengths, budget)))
    probabilities = np.zeros((len(lengths), len(prompts.letter_ids)))
    # Each worker takes the next batch when it is done with one; two batches have no row in common.
    with ThreadPoolExecutor(len(models)) as pool:
        for worker in [pool.submit(_work, model, batches, prompts, probabilities) for model in models]:
            worker.result()
    return probabilities


@torch.inference_mode()
def _work(model: Any, batches: Iterator[list[int]], prompts: PromptSet, probabilities: NDArray[np.float64]) -> None:
    device = next(model.parameters()).device
    for rows in batches:
        input_ids, last = pad_right([prompts.ids[row] for row in rows])
        logits = class_logits(model, input_ids.to(device), last.to(device))
        probabilities[rows] = torch.softmax(logits.double(), dim=-1).cpu().numpy()
