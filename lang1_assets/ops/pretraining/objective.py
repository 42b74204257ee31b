"""What is learned from a window: its next tokens, or those that are masked (M27). All else of the job is the same for both."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lang1_assets.ops.encoder.masked_token_loss import MaskedTokenLoss
from lang1_assets.ops.encoder.masking import masked_windows
from lang1_assets.ops.next_token_loss import NextTokenLoss
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.tokenizer import boundary_ids
from lang1_assets.ops.training.deepspeed_alone import deepspeed

Windows = NDArray[np.int64]
Split = Literal["train", "val"]


class Objective(Protocol):
    """How a window becomes a loss."""

    def loss(self, model: Any) -> nn.Module:
        """The module whose forward takes what `inputs` gives, and whose `model` is the model."""
        ...

    def inputs(self, windows: Windows, samples: Windows, split: Split) -> tuple[Tensor, ...]:
        """What the loss is given of windows (num, context + 1), the samples of those numbers in the data."""
        ...


class NextToken:
    """Each token from those before it (paper 5.3)."""

    def __init__(self, zero_stage: int) -> None:
        self._is_spread = zero_stage == 3

    def loss(self, model: Any) -> nn.Module:
        loss = NextTokenLoss(model)
        if self._is_spread:
            # The loss reads this weight without calling its module. Unannounced, DeepSpeed fetched it in training steps and lost
            # count of it in validation: the first backward pass after that failed.
            deepspeed.zero.register_external_parameter(loss, model.lm_head.weight)
        return loss

    def inputs(self, windows: Windows, samples: Windows, split: Split) -> tuple[Tensor, ...]:
        return (torch.from_numpy(windows),)


class MaskedToken:
    """The masked tokens of a window from all others."""

    def __init__(self, config: PretrainConfig) -> None:
        self._num_pieces = config.vocab_size
        self._seed = config.seed
        self._start_id, _ = boundary_ids(config.tokenizer_folder)

    def loss(self, model: Any) -> nn.Module:
        return MaskedTokenLoss(model)

    def inputs(self, windows: Windows, samples: Windows, split: Split) -> tuple[Tensor, ...]:
        made = masked_windows(
            windows[:, :-1],
            samples,
            num_pieces=self._num_pieces,
            start_id=self._start_id,
            seed=self._seed,
            split=split,
        )
        return tuple(map(torch.from_numpy, (made.input_ids, made.positions, made.targets)))


def objective_of(config: PretrainConfig) -> Objective:
    return MaskedToken(config) if config.objective == "masked_token" else NextToken(config.training.zero_stage)
