"""Next-token cross-entropy that never holds the logits of a whole batch (paper 5.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

CHUNK_TOKENS = 4_096
"""Positions whose logits exist at one time: with 32,000 pieces 0.5 GB in fp32, where 16 windows of 2,048 would take 4.2 GB."""


class NextTokenLoss(nn.Module):
    """Mean next-token cross-entropy over windows of shape (batch, context + 1).

    Args:
        model: a Hugging Face causal language model with a `model` (the decoder) and an `lm_head`.
        chunk_tokens: see `CHUNK_TOKENS`.
    """

    def __init__(self, model: Any, chunk_tokens: int = CHUNK_TOKENS) -> None:
        super().__init__()
        self.model = model
        self.chunk_tokens = chunk_tokens

    def forward(self, windows: Tensor) -> Tensor:
        hidden = self.model.model(input_ids=windows[:, :-1], use_cache=False).last_hidden_state.flatten(0, 1)
        targets = windows[:, 1:].flatten()
        weight = self.model.lm_head.weight
        if torch.is_grad_enabled():
            return ChunkedCrossEntropy.apply(hidden, weight, targets, self.chunk_tokens)
        return mean_cross_entropy(hidden, weight, targets, self.chunk_tokens)


class ChunkedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of `hidden @ weight.T` against the targets, and its gradients, a chunk of positions at a time.

    Gradients are made in the forward pass, while the chunk's logits are there: three matrix products a chunk, as many as
    without chunks, and nothing of the size (positions, vocabulary) is kept. Softmax and sums are in fp32; the output
    layer's gradient adds up in fp32 over the chunks.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk_tokens: int) -> Tensor:
        """hidden (positions, width), weight (vocabulary, width), targets (positions,) -> a scalar in fp32."""
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        for start in range(0, len(hidden), chunk_tokens):
            chunk = slice(start, start + chunk_tokens)
            losses, grad_logits = with_gradient(hidden[chunk], weight, targets[chunk])
            total = total + losses.sum()
            grad_hidden[chunk] = grad_logits @ weight
            grad_weight += grad_logits.T @ hidden[chunk]
        # Divided last: in bf16 a gradient and its thousandth have the same digits.
        ctx.save_for_backward(grad_hidden / len(hidden), (grad_weight / len(hidden)).to(weight.dtype))
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = grad_outputs
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad, grad_weight * grad, None, None


def with_gradient(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each position, and its gradient with respect to the logits: softmax minus one-hot."""
    logits = (hidden @ weight.T).float()
    log_sum = logits.logsumexp(-1)
    losses = log_sum - logits.gather(-1, targets[:, None])[:, 0]
    probabilities = torch.exp(logits - log_sum[:, None])
    ones = torch.ones_like(losses)[:, None]
    return losses, probabilities.scatter_add(-1, targets[:, None], -ones).to(hidden.dtype)


def mean_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, chunk_tokens: int) -> Tensor:
    """The same number where no gradient is wanted."""
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    for start in range(0, len(hidden), chunk_tokens):
        logits = (hidden[start : start + chunk_tokens] @ weight.T).float()
        picked = logits.gather(-1, targets[start : start + chunk_tokens, None])[:, 0]
        total = total + (logits.logsumexp(-1) - picked).sum()
    return total / len(hidden)
