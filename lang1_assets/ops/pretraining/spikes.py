"""Losses and gradient norms that are no accident of the batch."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

WINDOW = 128
SIGMAS = 6.0
MINIMUM_HISTORY = 32
# A norm's distribution has a long tail: six deviations of it are common, three times its mean as well is not.
NORM_FACTOR = 3.0
HIGH_IN_A_ROW = 3
# Diverging: the window's mean a tenth above the lowest it ever was, for this many steps.
DIVERGENCE_FACTOR = 1.1
DIVERGENCE_STEPS = 500

Kind = Literal["not_finite", "loss_spike", "divergence", "gradient_norm"]


@dataclass(frozen=True, kw_only=True)
class Accident:
    """Something that a healthy run does not do."""

    kind: Kind
    step: int
    """The first step that was not fine."""
    value: float
    expected: float
    """What the steps before it had."""
    goes_back: bool = True
    """False: worth a look, and no more yet."""

    def describe(self) -> str:
        what = {
            "not_finite": "loss or gradient that is not finite",
            "loss_spike": "loss spike",
            "divergence": "slow divergence",
            "gradient_norm": "gradient norm spike",
        }[self.kind]
        return f"{what} ({self.value:.4g}, before it {self.expected:.4g}) at step {self.step}"


class SpikeDetector:
    """Flags losses six standard deviations above those of the last 128 steps, and what is worse or slower than that.

    The limit is the one OLMo-core skips steps by; the paper only says that spikes were watched for (5.3). One such loss is an
    odd batch, three in a row are a spike. What was high does not become part of what is normal. All that it remembers is in
    `state`, which is saved with each checkpoint.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self._losses: deque[float] = deque(state.get("losses", ()), maxlen=WINDOW)
        self._norms: deque[float] = deque(state.get("norms", ()), maxlen=WINDOW)
        self._best_mean: float | None = state.get("best_mean")
        self._high_since: int | None = state.get("high_since")
        self._high_loss_steps: list[int] = list(state.get("high_loss_steps", ()))
        self._high_norm_steps: list[int] = list(state.get("high_norm_steps", ()))

    def state(self) -> dict[str, Any]:
        return {
            "losses": list(self._losses),
            "norms": list(self._norms),
            "best_mean": self._best_mean,
            "high_since": self._high_since,
            "high_loss_steps": list(self._high_loss_steps),
            "high_norm_steps": list(self._high_norm_steps),
        }

    def trusted_until(self, step: int) -> int:
        """The last step before anything looked wrong; `step` itself while nothing does."""
        high = (*self._high_loss_steps, *self._high_norm_steps)
        return min([step, *high, *([] if self._high_since is None else [self._high_since])])

    def look(self, step: int, losses: Sequence[float], norm: float | None = None) -> Accident | None:
        """What is wrong, if anything.

        Args:
            step: the last step taken.
            losses: the loss of each step since the last look, `step` included.
            norm: gradient norm of `step`, before clipping.
        """
        for number, loss in enumerate(losses, start=step - len(losses) + 1):
            if accident := self._look_at_loss(number, loss):
                return accident
        return self._look_at_mean(step) or (None if norm is None else self._look_at_norm(step, float(norm)))

    def _look_at_loss(self, step: int, loss: float) -> Accident | None:
        if not math.isfinite(loss):
            return Accident(kind="not_finite", step=step, value=loss, expected=mean_of(self._losses))
        if not is_outlier(loss, self._losses):
            self._losses.append(loss)
            self._high_loss_steps.clear()
            return None
        self._high_loss_steps.append(step)
        if len(self._high_loss_steps) < HIGH_IN_A_ROW:
            return None
        first = self._high_loss_steps[0]
        return Accident(kind="loss_spike", step=first, value=loss, expected=mean_of(self._losses))

    def _look_at_mean(self, step: int) -> Accident | None:
        if len(self._losses) < WINDOW:
            return None
        mean = mean_of(self._losses)
        self._best_mean = mean if self._best_mean is None else min(mean, self._best_mean)
        if mean <= self._best_mean * DIVERGENCE_FACTOR:
            self._high_since = None
            return None
        self._high_since = step if self._high_since is None else self._high_since
        if step - self._high_since < DIVERGENCE_STEPS:
            return None
        return Accident(kind="divergence", step=self._high_since, value=mean, expected=self._best_mean)

    def _look_at_norm(self, step: int, norm: float) -> Accident | None:
        expected = mean_of(self._norms)
        if not math.isfinite(norm):
            return Accident(kind="not_finite", step=step, value=norm, expected=expected)
        if not (is_outlier(norm, self._norms) and norm > NORM_FACTOR * expected):
            self._norms.append(norm)
            self._high_norm_steps.clear()
            return None
        # Clipping takes the force out of one; several in a row are the beginning of something.
        self._high_norm_steps.append(step)
        first, several = self._high_norm_steps[0], len(self._high_norm_steps) >= HIGH_IN_A_ROW
        return Accident(kind="gradient_norm", step=first, value=norm, expected=expected, goes_back=several)


def is_outlier(value: float, history: Sequence[float]) -> bool:
    if len(history) < MINIMUM_HISTORY:
        return False
    return value > statistics.fmean(history) + SIGMAS * max(statistics.stdev(history), 1e-3)


def mean_of(history: Sequence[float]) -> float:
    return statistics.fmean(history) if history else math.nan
