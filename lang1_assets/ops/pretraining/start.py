"""What a run begins with: random weights, or somebody's checkpoint (continual pretraining, M70)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from lang1_assets.ops.encoder.model import build_encoder
from lang1_assets.ops.model import ModelShape, build_model, open_model
from lang1_assets.ops.pretraining.checkpoint_hash import weight_files
from lang1_assets.ops.pretraining.config import ObjectiveName, PretrainConfig
from lang1_assets.ops.tokenizer import fast_tokenizer, load_tokenizer_folder

SHAPE_FIELDS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")


class StartError(ValueError):
    """A run cannot start from this checkpoint; the message names the field and what was expected."""


def starting_model(config: PretrainConfig) -> Any:
    """On the current default device.

    Raises:
        StartError: the checkpoint does not fit the run's shape or tokens.
    """
    if config.start_from is None:
        return random_model(config.objective, config.shape, config.vocab_size, config.seed)
    check_start(config.start_from, config.shape, config.tokenizer_folder, config.vocab_size)
    model = open_model(config.start_from)
    model.config.use_cache = False
    return model


def random_model(objective: ObjectiveName, shape: ModelShape, vocab_size: int, seed: int) -> Any:
    """What the objective is learned with, on the current default device: a decoder, or an encoder."""
    build = build_encoder if objective == "masked_token" else build_model
    return build(shape, vocab_size, seed)


def check_start(folder: Path, shape: ModelShape, tokenizer_folder: Path, vocab_size: int) -> None:
    """Before gigabytes are read: a causal decoder in safetensors, of the run's shape, with the shards' tokenizer."""
    weight_files(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise StartError(f"pretrain.start_from {folder}: {str(error).splitlines()[0]}") from None
    problems = [
        f"model.{name} is {getattr(shape, name)}, the checkpoint's {getattr(config, name, None)}"
        for name in SHAPE_FIELDS
        if getattr(config, name, None) != getattr(shape, name)
    ]
    if shape.context_length > config.max_position_embeddings:
        problems.append(
            f"model.context_length is {shape.context_length}, more than the checkpoint's {config.max_position_embeddings}"
        )
    if vocab_size > config.vocab_size:
        problems.append(f"the shards' tokenizer has {vocab_size} pieces, the checkpoint {config.vocab_size} embeddings")
    problems += tokenizer_problems(folder, tokenizer_folder)
    if problems:
        raise StartError(f"pretrain.start_from {folder}: {'; '.join(problems)}")


def tokenizer_problems(folder: Path, tokenizer_folder: Path) -> list[str]:
    """Every piece must have the number that the checkpoint knows it by."""
    with tempfile.TemporaryDirectory() as copied:
        load_tokenizer_folder(folder, Path(copied))
        theirs = fast_tokenizer(Path(copied)).get_vocab()
    ours = fast_tokenizer(tokenizer_folder).get_vocab()
    if ours == theirs:
        return []
    return [
        f"the shards are of another tokenizer than the checkpoint's own ({len(ours)} and {len(theirs)} pieces); set "
        f"tokenizer: {{kind: path, path: {folder}}}"
    ]
