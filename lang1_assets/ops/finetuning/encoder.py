"""An encoder as a learner: a classification head on a pretrained encoder, one task (Fig. D4, M27)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from torch import Tensor, nn

from lang1_assets.ops.encoder.classification import ClassificationLoss, class_logits, encoder_prompts, open_classifier
from lang1_assets.ops.finetuning.config import FinetuneConfig
from lang1_assets.ops.finetuning.learner import MODEL_FOLDER, place, save_whole
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.training.world import World


class Encoder:
    """The classes of one task from the note alone.

    Raises:
        ValueError: more than one task, whose classes one head cannot hold, or adapters.
    """

    def __init__(self, config: FinetuneConfig) -> None:
        if len(config.examples) != 1:
            raise ValueError(
                f"an encoder has a head for one task, and this recipe has {len(config.examples)}: "
                f"{', '.join(config.examples)}; finetune it on one of them"
            )
        if config.lora is not None:
            raise ValueError("adapters are for decoders; set lora to null for an encoder")
        self._config = config
        (self._task,) = config.examples

    def open(self) -> nn.Module:
        config = self._config
        return ClassificationLoss(open_classifier(config.base, TASKS[self._task].num_classes, config.seed))

    def prompts(self, task: str, rows: pl.DataFrame) -> PromptSet:
        config = self._config
        return encoder_prompts(
            rows["text"].to_list(),
            rows["label"].to_list(),
            TASKS[task].num_classes,
            config.tokenizer_folder,
            config.note_tokens,
            config.context_length,
        )

    def targets(self, prompts: PromptSet) -> Sequence[int]:
        return prompts.letter_ids

    def option_logits(self, model: Any, input_ids: Tensor, last: Tensor, prompts: PromptSet) -> Tensor:
        return class_logits(model, input_ids, last)

    def save(self, engine: Any, folder: Path, world: World) -> None:
        save_whole(engine, self._config.tokenizer_folder, folder, world)

    def finish(self, best: Path, work: Path) -> None:
        place(best, work / MODEL_FOLDER)
