"""What learns: a decoder that answers with a letter, with all its weights or with adapters; `encoder` has the other kind."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file
from torch import Tensor, nn

from lang1_assets.ops.finetuning.config import FinetuneConfig, LoraConfig
from lang1_assets.ops.finetuning.sharing import opened_for_training
from lang1_assets.ops.linking import link_or_copy
from lang1_assets.ops.model import AnswerLoss, answer_logits, open_model, save_model
from lang1_assets.ops.prompts import PromptSet, build_prompts
from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.training.engine import whole_weights
from lang1_assets.ops.training.world import World

MODEL_FOLDER = "model"
ADAPTER_FOLDER = "adapter"


class Learner(Protocol):
    """The part of a run that depends on the kind of model."""

    def open(self) -> nn.Module:
        """A fresh module from the base, whose forward (ids, last, targets) is the loss and whose `model` is the model."""

    def prompts(self, task: str, rows: pl.DataFrame) -> PromptSet:
        """Of rows of `schemas.EXAMPLES`."""

    def targets(self, prompts: PromptSet) -> Sequence[int]:
        """What the loss is given for each label."""

    def option_logits(self, model: Any, input_ids: Tensor, last: Tensor, prompts: PromptSet) -> Tensor:
        """(batch, options)."""

    def save(self, engine: Any, folder: Path, world: World) -> None:
        """Keep the weights of now in a folder, whole or not at all; every rank calls it."""

    def finish(self, best: Path, work: Path) -> None:
        """Make `MODEL_FOLDER` of the folder that was kept of the best; rank 0 alone calls it."""


class Decoder:
    """Multiple choice: the letter of the right option follows the prompt."""

    def __init__(self, config: FinetuneConfig) -> None:
        self._config = config

    def open(self) -> nn.Module:
        with opened_for_training(self._config):
            return AnswerLoss(open_model(self._config.base))

    def prompts(self, task: str, rows: pl.DataFrame) -> PromptSet:
        config = self._config
        texts, labels = rows["text"].to_list(), rows["label"].to_list()
        return build_prompts(
            TASKS[task], texts, labels, config.tokenizer_folder, config.note_tokens, config.context_length
        )

    def targets(self, prompts: PromptSet) -> Sequence[int]:
        return prompts.letter_ids

    def option_logits(self, model: Any, input_ids: Tensor, last: Tensor, prompts: PromptSet) -> Tensor:
        letters = torch.tensor(prompts.letter_ids, device=input_ids.device)
        return answer_logits(model, input_ids, last)[:, letters]

    def save(self, engine: Any, folder: Path, world: World) -> None:
        save_whole(engine, self._config.tokenizer_folder, folder, world)

    def finish(self, best: Path, work: Path) -> None:
        place(best, work / MODEL_FOLDER)


class AdaptedDecoder(Decoder):
    """The same, with the base frozen and low-rank adapters that learn (appendix I)."""

    def __init__(self, config: FinetuneConfig, lora: LoraConfig) -> None:
        super().__init__(config)
        self._lora = PeftLoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.modules),
            bias="none",
            task_type="CAUSAL_LM",
            base_model_name_or_path=str(config.base),
        )

    def open(self) -> nn.Module:
        # In place: the layers stay those that the fast paths know. Of their own seed: a run that goes on may have drawn others.
        with torch.random.fork_rng(devices=[]), opened_for_training(self._config):
            torch.manual_seed(self._config.seed)
            return AnswerLoss(inject_adapter_in_model(self._lora, open_model(self._config.base)))

    def save(self, engine: Any, folder: Path, world: World) -> None:
        """The adapter alone, a thousandth of the base; the whole model is put together once, at the end."""
        weights = whole_weights(engine, trained_only=True)
        if world.rank == 0:
            beside = fresh(folder.with_name(f"{folder.name}.tmp"))
            kept = get_peft_model_state_dict(engine.module.model, state_dict=weights)
            # As PEFT's own folders are: the names of a model inside of a PeftModel.
            save_file({f"base_model.model.{name}": value.contiguous() for name, value in kept.items()},
                      beside / "adapter_model.safetensors")  # fmt: skip
            self._lora.save_pretrained(str(beside))
            replace_folder(beside, folder)

    def finish(self, best: Path, work: Path) -> None:
        place(best, work / ADAPTER_FOLDER)
        adapted = PeftModel.from_pretrained(
            open_model(self._config.base), str(work / ADAPTER_FOLDER), use_safetensors=True
        )
        merged: Any = adapted.merge_and_unload()
        save_model(merged, merged.state_dict(), self._config.tokenizer_folder, work / MODEL_FOLDER)


def learner_of(config: FinetuneConfig) -> Learner:
    if config.architecture == "encoder":
        from lang1_assets.ops.finetuning.encoder import Encoder

        return Encoder(config)
    return Decoder(config) if config.lora is None else AdaptedDecoder(config, config.lora)


def save_whole(engine: Any, tokenizer_folder: Path, folder: Path, world: World) -> None:
    weights = whole_weights(engine)
    if world.rank == 0:
        save_model(engine.module.model, weights, tokenizer_folder, folder)


def place(best: Path, folder: Path) -> None:
    """Under another name as well, the first one staying: a run that is killed before it is done begins again from there."""
    beside = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(best, beside, copy_function=link_or_copy)
    replace_folder(beside, folder)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def replace_folder(beside: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
