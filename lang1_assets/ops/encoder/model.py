"""A BERT-style encoder of a decoder's sizes (Fig. D4, M27; Devlin et al. 2019)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM

from lang1_assets.ops.model import ModelShape

ENCODER_KINDS = ("ForMaskedLM", "ForSequenceClassification")


def build_encoder(shape: ModelShape, num_pieces: int, seed: int) -> BertForMaskedLM:
    """An encoder with random weights, the same for the same seed, on the current default device.

    Width, MLP, layers, heads and context are the shape's; key/value heads are as many as heads, positions are learned, and the
    output layer is the embedding, as in BERT. The project's tokenizers have no mask token: the embedding after the last piece
    (`mask_id`) stands for it, an id that no text can have.

    No dropout, which the decoders have not either: it would make a resumed run another one.

    Args:
        num_pieces: of the tokenizer; the model has one embedding more.
    """
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=num_pieces + 1,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        max_position_embeddings=shape.context_length,
        type_vocab_size=1,
        layer_norm_eps=shape.rms_norm_eps,
        initializer_range=shape.initializer_range,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        tie_word_embeddings=True,
        # Padding is told by the attention mask; BERT's own choice, piece 0, would take that piece's embedding away.
        pad_token_id=None,
    )
    model: BertForMaskedLM = BertForMaskedLM._from_config(config, attn_implementation="sdpa")
    return model


def mask_id(num_pieces: int) -> int:
    """What stands in the place of a masked token."""
    return num_pieces


def architecture_of(folder: Path) -> str:
    """The class that a Hugging Face folder names, as `BertForMaskedLM`; empty where it names none."""
    file = folder / "config.json"
    named = json.loads(file.read_text()).get("architectures") if file.is_file() else None
    return named[0] if named else ""


def is_encoder(folder: Path) -> bool:
    """Whether a Hugging Face folder holds an encoder: pretrained, or with a classification head."""
    return architecture_of(folder).endswith(ENCODER_KINDS)
