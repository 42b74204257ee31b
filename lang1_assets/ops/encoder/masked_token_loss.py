"""Cross-entropy of masked tokens; the output layer is computed for them alone (M27)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class MaskedTokenLoss(nn.Module):
    """Mean cross-entropy of the tokens that were masked.

    Args:
        model: a `BertForMaskedLM`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, positions: Tensor, targets: Tensor) -> Tensor:
        """input_ids (batch, length), positions and targets (batch, masked) -> a scalar in fp32."""
        hidden = self.model.bert(input_ids=input_ids).last_hidden_state
        # Before the output layer: of its logits, seventeen twentieths would be thrown away.
        picked = hidden.take_along_dim(positions[..., None], dim=1).flatten(0, 1)
        return functional.cross_entropy(self.model.cls(picked).float(), targets.flatten())
