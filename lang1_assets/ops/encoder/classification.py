"""An encoder that classifies notes of one task: read once, answered from its first position (Fig. D4; NYUTron)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from lang1_assets.ops.encoder.model import architecture_of
from lang1_assets.ops.prompts import PromptError, PromptSet
from lang1_assets.ops.tokenizer import encode_from_start, open_tokenizer


class EncoderError(ValueError):
    """A folder does not hold the encoder that is asked for; the message says what it holds and what to do."""


def open_classifier(folder: Path, num_classes: int, seed: int = 0) -> Any:
    """The encoder of a Hugging Face folder with a classification head.

    Of a pretrained encoder the head is new, its random weights the same for the same seed; of a classifier it is its own.

    Raises:
        EncoderError: the folder holds no encoder, or a classifier of another number of classes.
    """
    architecture = architecture_of(folder)
    if architecture.endswith("ForMaskedLM"):
        return with_new_head(open_encoder(AutoModelForMaskedLM, folder), num_classes, seed)
    if not architecture.endswith("ForSequenceClassification"):
        raise EncoderError(
            f"{folder}: holds {architecture or 'no model'}; expected a pretrained encoder (BertForMaskedLM) or a finetuned one "
            "(BertForSequenceClassification)"
        )
    model = open_encoder(AutoModelForSequenceClassification, folder)
    if model.config.num_labels != num_classes:
        raise EncoderError(
            f"{folder}: its head has {model.config.num_labels} classes and the task {num_classes}; a finetuned encoder answers "
            "the task alone that it was finetuned on"
        )
    return model


def open_encoder(kind: Any, folder: Path) -> Any:
    return kind.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, attn_implementation="sdpa"
    )


def with_new_head(pretrained: Any, num_classes: int, seed: int) -> Any:
    """The same encoder with BERT's pooler and a linear layer in the place of its output layer."""
    config = copy.deepcopy(pretrained.config)
    config.num_labels = num_classes
    # The head's weights are drawn from the global generator; whoever opens a model goes on with the state there was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation="sdpa")
    kept = model.base_model.load_state_dict(pretrained.base_model.state_dict(), strict=False)
    strange = [*kept.unexpected_keys, *(name for name in kept.missing_keys if not name.startswith("pooler."))]
    assert not strange, f"an encoder and its classifier differ in {strange}"
    return model


class ClassificationLoss(nn.Module):
    """Cross-entropy of the right class."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, last: Tensor, labels: Tensor) -> Tensor:
        """As `class_logits`, and labels (batch,) -> a scalar in fp32."""
        return functional.cross_entropy(class_logits(self.model, input_ids, last), labels)


def class_logits(model: Any, input_ids: Tensor, last: Tensor) -> Tensor:
    """Logits of the classes from the state at each note's first position, shape (batch, num_classes), in fp32.

    Args:
        input_ids: (batch, length), padded on the right; the padding is masked, because here every position sees every other.
        last: (batch,), index of each note's last token.
    """
    visible = torch.arange(input_ids.shape[1], device=input_ids.device) <= last[:, None]
    logits: Tensor = model(input_ids=input_ids, attention_mask=visible.long()).logits
    return logits.float()


def encoder_prompts(
    texts: Sequence[str],
    labels: Sequence[int],
    num_classes: int,
    tokenizer_folder: Path,
    note_tokens: int,
    context_length: int,
) -> PromptSet:
    """The first `note_tokens` tokens of each note behind BOS; an encoder is asked no question.

    In the place of option letters stand the columns of `class_logits`.

    Raises:
        PromptError: the notes do not fit `context_length`.
    """
    bos_id = open_tokenizer(tokenizer_folder).bos_token_id
    longest = note_tokens + (bos_id is not None)
    ids = [row[:longest] for row in encode_from_start(tokenizer_folder, texts, bos_id)]
    if max(map(len, ids), default=0) > context_length:
        raise PromptError(
            f"a note of {max(map(len, ids))} tokens does not fit the encoder's context of {context_length}; lower "
            f"finetune.note_tokens, now {note_tokens}"
        )
    return PromptSet(ids=ids, letter_ids=list(range(num_classes)), labels=np.asarray(labels, dtype=np.int64))
