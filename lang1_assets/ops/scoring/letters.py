"""Option-letter probabilities from one forward pass a prompt (paper 5.4 and 5.5: the letters' logits, normalised).

What is fast about it: the output layer is computed for the letters alone, at the last position alone; the last layer for that
position alone; what several prompts begin with is read once; like lengths share a batch. Each gives the same probabilities.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from lang1_assets.ops.freed_memory import give_back_freed_memory
from lang1_assets.ops.model import Beginnings, answer_logits, has_odd_output_layer, last_hidden_llama, read_beginnings
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.scoring.batches import Batch, plan_batches
from lang1_assets.ops.scoring.packing import can_pack, pack_linears

CPU_BATCH_TOKENS = 1024
"""On a CPU a larger batch is slower: 101M parameters took 5.1 s with 600 to 1,200 tokens, 6.4 with 4,096, 8 with all. Its
activations leave the cache, and the memory for them is mapped anew each time."""
SCORING_PRECISION = {"cuda": torch.bfloat16, "cpu": torch.float32}
"""Of the weights, by device. bf16 moves probabilities by up to a hundredth: comparisons to the last digits are in float32."""


def score_options(model: Any, prompts: PromptSet, batch_size: int) -> np.ndarray:
    """Probability of each option, shape (num_prompts, num_options), rows summing to 1; the order is that of the prompts.

    Args:
        batch_size: a batch has as many tokens, padding included, as so many of the longest prompt.
    """
    return score_together([model], [prompts], batch_size)[0]


def score_together(models: Sequence[Any], sets: Sequence[PromptSet], batch_size: int) -> list[np.ndarray]:
    """`score_options` of several sets of prompts at once, as questions of several tasks about the same notes.

    Args:
        models: the same model on each device (`on_every_device`); they share the work.
    """
    ids = [row for prompts in sets for row in prompts.ids]
    letters = sorted({letter for prompts in sets for letter in prompts.letter_ids})
    budget = batch_size * max(map(len, ids), default=0)
    if next(models[0].parameters()).device.type == "cpu":
        budget = min(budget, CPU_BATCH_TOKENS)
    batches = iter(plan_batches(ids, budget, is_shared=isinstance(models[0], LlamaForCausalLM)))
    logits = np.zeros((len(ids), len(letters)))
    # Each worker takes the next batch when it is done with one; two batches have no row in common.
    with ThreadPoolExecutor(len(models)) as pool:
        for worker in [pool.submit(_work, model, batches, ids, letters, logits) for model in models]:
            worker.result()
    give_back_freed_memory()
    parts = np.split(logits, np.cumsum([len(prompts.ids) for prompts in sets])[:-1])
    return [_normalized(part, letters, prompts) for part, prompts in zip(parts, sets, strict=True)]


def score_in_step(model: Any, prompts: PromptSet, batch_size: int) -> np.ndarray:
    """`score_options` in `len(prompts) / batch_size` passes of the whole model, whatever the prompts are.

    For ranks that compute each pass together (ZeRO-3) and must all make as many.
    """
    device = next(model.parameters()).device
    letters = torch.tensor(prompts.letter_ids, device=device)
    probabilities = np.zeros((len(prompts.ids), len(prompts.letter_ids)))
    order = np.argsort([len(row) for row in prompts.ids], kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        input_ids, last = pad_right([prompts.ids[i] for i in rows])
        with torch.no_grad():
            logits = answer_logits(model, input_ids.to(device), last.to(device))[:, letters]
        probabilities[rows] = torch.softmax(logits.double(), dim=-1).cpu().numpy()
    return probabilities


def scoring_precision() -> torch.dtype:
    """Of this machine."""
    return SCORING_PRECISION["cuda" if torch.cuda.is_available() else "cpu"]


def on_every_device(model: Any) -> list[Any]:
    """The model on each GPU, in bf16: itself on the first, copies on the others; on a machine without, in float32 with its layers
    packed. For scoring from then on.
    """
    if not torch.cuda.is_available():
        if isinstance(model, LlamaForCausalLM) and can_pack(model):
            # The output layer is computed for the letters alone, from its weight as it is.
            pack_linears(model.model)
        return [model]
    # Cast before it is moved; and copied before, so that no GPU holds two.
    narrow = model.to(SCORING_PRECISION["cuda"])
    copies = [copy.deepcopy(narrow).to(f"cuda:{number}") for number in range(1, torch.cuda.device_count())]
    return [narrow.to("cuda:0"), *copies]


def _normalized(logits: np.ndarray, letters: Sequence[int], prompts: PromptSet) -> np.ndarray:
    own = logits[:, [letters.index(letter) for letter in prompts.letter_ids]]
    return torch.softmax(torch.from_numpy(own), dim=-1).numpy()


@torch.inference_mode()
def _work(
    model: Any, batches: Iterator[Batch], ids: Sequence[np.ndarray], letters: Sequence[int], logits: np.ndarray
) -> None:
    """Take batches until there are none, and write the letters' logits of their rows."""
    device = next(model.parameters()).device
    columns = torch.tensor(letters, device=device)
    prefixes: tuple[np.ndarray, ...] = ()
    beginnings: Beginnings | None = None
    for batch in batches:
        if batch.prefixes is not prefixes:
            prefixes, beginnings = batch.prefixes, _read(model, batch.prefixes)
        before = beginnings and beginnings.continued_by(torch.tensor(batch.owners, device=device))
        input_ids, last = (part.to(device) for part in pad_right(batch.rests(ids)))
        logits[batch.rows] = letter_logits(model, input_ids, last, columns, before).cpu().numpy()


def _read(model: Any, prefixes: Sequence[np.ndarray]) -> Beginnings | None:
    if not prefixes:
        return None
    device = next(model.parameters()).device
    input_ids, last = pad_right(prefixes)
    return read_beginnings(model.model, input_ids.to(device), (last + 1).to(device))


def letter_logits(model: Any, input_ids: Tensor, last: Tensor, letters: Tensor, before: Beginnings | None) -> Tensor:
    """Logits of some tokens after each prompt, shape (batch, letters), in float32 whatever the model's precision."""
    rows = torch.arange(len(last), device=last.device)
    if isinstance(model, LlamaForCausalLM):
        hidden = last_hidden_llama(model.model, input_ids, last, before)
    elif has_odd_output_layer(model):
        ends, places = last.unique(return_inverse=True)
        return model(input_ids, use_cache=False, logits_to_keep=ends).logits[rows, places][:, letters].float()
    else:
        hidden = model.get_decoder()(input_ids, use_cache=False).last_hidden_state[rows, last]
    head = model.get_output_embeddings()
    bias = None if head.bias is None else head.bias[letters].float()
    return torch.nn.functional.linear(hidden.float(), head.weight[letters].float(), bias)


def pad_right(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Ids padded with 0 to the longest of the batch, and the index of each row's last token."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.zeros((len(rows), int(lengths.max())), dtype=torch.long)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.from_numpy(row.astype(np.int64))
    return padded, lengths - 1
