"""Llama-style decoders: built from a shape, saved and opened as Hugging Face folders (paper 5.3)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import rotate_half
from transformers.utils.logging import disable_progress_bar

# A bar for each model opened says nothing to anyone here.
disable_progress_bar()

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json")


ODD_OUTPUT_LAYERS = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of models that do more with their logits than the output layer says."""


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


def open_model(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A causal language model from a Hugging Face folder: safetensors only, no code from the folder."""
    return AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, dtype=dtype, attn_implementation="sdpa"
    )


def weightless_model(folder: Path) -> Any:
    """What `open_model` would open, without memory for its weights: they are not read."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


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
    rows = torch.arange(len(last), device=last.device)
    if has_odd_output_layer(model):
        ends, places = last.unique(return_inverse=True)
        return model(input_ids, use_cache=False, logits_to_keep=ends).logits[rows, places].float()
    hidden = model.get_decoder()(input_ids, use_cache=False).last_hidden_state
    return model.get_output_embeddings()(hidden[rows, last]).float()


def has_odd_output_layer(model: Any) -> bool:
    return any(getattr(model.config, name, None) not in (None, 1.0) for name in ODD_OUTPUT_LAYERS)


@dataclass(kw_only=True)
class Beginnings:
    """Keys and values of what prompts begin with: read once (`read_beginnings`), shared by all rows that go on from it.

    To the layers it is their cache.
    """

    lengths: Tensor
    """(beginnings,), tokens of each; what follows to the longest is padding."""
    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Of each layer, keys and values (beginnings, heads, longest, head_dim)."""
    owners: Tensor | None = None
    """(rows,), which beginning each row goes on from; None while they are read."""

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Called by a layer: its rows' keys and values with those before them."""
        if self.owners is None:
            self.layers.append((keys, values))
            return keys, values
        before_keys, before_values = self.layers[layer]
        return (
            torch.cat((before_keys[self.owners], keys), dim=2),
            torch.cat((before_values[self.owners], values), dim=2),
        )

    def continued_by(self, owners: Tensor) -> Beginnings:
        return Beginnings(lengths=self.lengths, layers=self.layers, owners=owners)

    @property
    def row_lengths(self) -> Tensor:
        """(rows,), tokens before each row."""
        assert self.owners is not None, "rows are known only once the beginnings are read"
        return self.lengths[self.owners]

    def visible(self, length: int) -> Tensor:
        """(rows, 1, length, longest + length): what each token of a row may look at."""
        device, longest = self.lengths.device, int(self.layers[0][0].shape[2])
        before = torch.arange(longest, device=device) < self.row_lengths[:, None]
        own = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        rows = len(self.row_lengths)
        shape = (rows, 1, length)
        return torch.cat((before[:, None, None].expand(*shape, longest), own.expand(rows, 1, length, length)), dim=-1)


def read_beginnings(decoder: Any, input_ids: Tensor, lengths: Tensor) -> Beginnings:
    """Keys and values of every layer; of the last layer nothing else is computed.

    Args:
        input_ids: (beginnings, longest), padded on the right.
        lengths: (beginnings,), tokens of each.
    """
    read = Beginnings(lengths=lengths)
    hidden = decoder.embed_tokens(input_ids)
    rotary = decoder.rotary_emb(hidden, position_ids=torch.arange(input_ids.shape[1], device=input_ids.device)[None])
    for layer in decoder.layers[:-1]:
        hidden = layer(hidden, position_embeddings=rotary, past_key_values=read)
    layer = decoder.layers[-1]
    read.update(*keys_and_values(layer.self_attn, layer.input_layernorm(hidden), rotary), len(decoder.layers) - 1)
    return read


def last_hidden_llama(decoder: Any, input_ids: Tensor, last: Tensor, before: Beginnings | None = None) -> Tensor:
    """The last hidden state at one position of each row, shape (batch, hidden), without the rest of the last layer.

    Only keys and values of the last layer are needed at the other positions; its queries, output projection and MLP are
    computed for the answer alone. For a model of two layers that is a third of the work, and the same numbers.

    Args:
        before: what the rows go on from; `input_ids` is then the rest of each.
    """
    hidden = decoder.embed_tokens(input_ids)
    length = input_ids.shape[1]
    positions = torch.arange(length, device=input_ids.device)[None]
    mask = None
    if before is not None:
        positions = positions + before.row_lengths[:, None]
        mask = before.visible(length)
    rotary = decoder.rotary_emb(hidden, position_ids=positions)
    for layer in decoder.layers[:-1]:
        hidden = layer(hidden, position_embeddings=rotary, attention_mask=mask, past_key_values=before)
    layer = decoder.layers[-1]
    rows = torch.arange(len(last), device=hidden.device)
    attended = last_attention(layer.self_attn, layer.input_layernorm(hidden), rotary, last, before)
    residual = hidden[rows, last] + attended
    return decoder.norm(residual + layer.mlp(layer.post_attention_layernorm(residual)))


def last_attention(
    attention: Any, normed: Tensor, rotary: tuple[Tensor, Tensor], last: Tensor, before: Beginnings | None
) -> Tensor:
    """Self-attention of one position of each row over what is before it: normed (batch, length, hidden) -> (batch, hidden)."""
    batch, length, _ = normed.shape
    rows = torch.arange(batch, device=last.device)
    cos, sin = (angles.expand(batch, -1, -1)[rows, last][:, None, None] for angles in rotary)
    queries = attention.q_proj(normed[rows, last]).view(batch, 1, -1, attention.head_dim).transpose(1, 2)
    queries = queries * cos + rotate_half(queries) * sin
    keys, values = keys_and_values(attention, normed, rotary)
    visible = (torch.arange(length, device=last.device) <= last[:, None])[:, None, None]
    if before is not None:
        keys, values = before.update(keys, values, attention.layer_idx)
        visible = before.visible(length)[rows, :, last][:, None]
    mixed = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=visible, scale=attention.scaling, enable_gqa=True
    )
    return attention.o_proj(mixed.transpose(1, 2).reshape(batch, -1))


def keys_and_values(attention: Any, normed: Tensor, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Each (batch, heads, length, head_dim), the keys turned by their positions."""
    cos, sin = (angles[:, None] for angles in rotary)
    heads = (*normed.shape[:2], -1, attention.head_dim)
    keys = attention.k_proj(normed).view(heads).transpose(1, 2)
    values = attention.v_proj(normed).view(heads).transpose(1, 2)
    return keys * cos + rotate_half(keys) * sin, values
