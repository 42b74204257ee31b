"""Llama-style decoders: built from a shape, saved and opened as Hugging Face folders (paper 5.3)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import rotate_half
from transformers.utils.logging import disable_progress_bar

# A bar for each model opened says nothing to anyone here.
disable_progress_bar()

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json")


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a decoder; `settings.Model` says what each field means."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    context_length: int
    tie_word_embeddings: bool
    rms_norm_eps: float
    initializer_range: float = 0.02


def build_model(shape: ModelShape, vocab_size: int, seed: int) -> LlamaForCausalLM:
    """A decoder with random weights, the same for the same seed, on the current default device."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        max_position_embeddings=shape.context_length,
        tie_word_embeddings=shape.tie_word_embeddings,
        rms_norm_eps=shape.rms_norm_eps,
        initializer_range=shape.initializer_range,
        bos_token_id=1,
        eos_token_id=2,
        use_cache=False,
    )
    model: LlamaForCausalLM = LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
    return model


def open_model(folder: Path) -> Any:
    """A causal language model from a Hugging Face folder: safetensors only, no code from the folder."""
    return AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, attn_implementation="sdpa"
    )


def save_model(model: Any, weights: dict[str, Tensor], tokenizer_folder: Path, folder: Path) -> None:
    """Write weights, config and tokenizer so that `AutoModelForCausalLM` opens the folder; it appears whole or not at all."""
    work = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    model.save_pretrained(work, state_dict=weights, safe_serialization=True)
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).exists():
            shutil.copyfile(tokenizer_folder / name, work / name)
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)


class AnswerLoss(nn.Module):
    """Cross-entropy of the one token that follows the prompt: the letter of the right option (paper 5.4).

    Only the answer position goes through the output layer: the other positions' logits are never computed.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, last: Tensor, answer_ids: Tensor) -> Tensor:
        logits = answer_logits(self.model, input_ids, last)
        return functional.cross_entropy(logits, answer_ids)


def answer_logits(model: Any, input_ids: Tensor, last: Tensor) -> Tensor:
    """Logits of the token after each prompt, shape (batch, vocabulary).

    Args:
        input_ids: (batch, length), padded on the right: with causal attention nothing before the padding sees it.
        last: (batch,), index of each prompt's last token.
    """
    if isinstance(model, LlamaForCausalLM):
        return model.lm_head(last_hidden_llama(model.model, input_ids, last)).float()
    hidden = model.model(input_ids=input_ids, use_cache=False).last_hidden_state
    rows = torch.arange(len(last), device=hidden.device)
    return model.lm_head(hidden[rows, last]).float()


def last_hidden_llama(decoder: Any, input_ids: Tensor, last: Tensor) -> Tensor:
    """The last hidden state at one position of each row, shape (batch, hidden), without the rest of the last layer.

    Only keys and values of the last layer are needed at the other positions; its queries, output projection and MLP are
    computed for the answer alone. For a model of two layers that is a third of the work, and the same numbers.
    """
    hidden = decoder.embed_tokens(input_ids)
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    cos, sin = decoder.rotary_emb(hidden, position_ids=positions[None])
    for layer in decoder.layers[:-1]:
        hidden = layer(hidden, position_embeddings=(cos, sin))
    layer = decoder.layers[-1]
    rows = torch.arange(len(last), device=hidden.device)
    attended = last_attention(layer.self_attn, layer.input_layernorm(hidden), (cos[0], sin[0]), rows, last)
    residual = hidden[rows, last] + attended
    return decoder.norm(residual + layer.mlp(layer.post_attention_layernorm(residual)))


def last_attention(attention: Any, normed: Tensor, rotary: tuple[Tensor, Tensor], rows: Tensor, last: Tensor) -> Tensor:
    """Self-attention of one position of each row over what is before it: normed (batch, length, hidden) -> (batch, hidden)."""
    cos, sin = rotary
    batch, length, _ = normed.shape
    heads = (batch, length, -1, attention.head_dim)
    keys = attention.k_proj(normed).view(heads).transpose(1, 2)
    values = attention.v_proj(normed).view(heads).transpose(1, 2)
    queries = attention.q_proj(normed[rows, last]).view(batch, 1, -1, attention.head_dim).transpose(1, 2)
    keys = keys * cos + rotate_half(keys) * sin
    queries = queries * cos[last][:, None, None] + rotate_half(queries) * sin[last][:, None, None]
    visible = torch.arange(length, device=last.device) <= last[:, None]
    mixed = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=visible[:, None, None], scale=attention.scaling, enable_gqa=True
    )
    return attention.o_proj(mixed.transpose(1, 2).reshape(batch, -1))
