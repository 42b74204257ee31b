"""The project's fast path: the probabilities of the option letters after each prompt."""

from lang1_assets.ops.scoring.letters import (
    on_every_device,
    pad_right,
    score_in_step,
    score_options,
    score_together,
    scoring_precision,
)

__all__ = ["on_every_device", "pad_right", "score_in_step", "score_options", "score_together", "scoring_precision"]
