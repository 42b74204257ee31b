"""Losses that are no accident of the batch."""

from __future__ import annotations

import math
import statistics
from collections import deque

SPIKE_WINDOW = 128
SPIKE_SIGMAS = 6.0
SPIKE_MINIMUM_HISTORY = 16


class SpikeDetector:
    """Flags a loss more than six standard deviations above the last 128 logged ones, or one that is not finite.

    The rule is the one OLMo-core skips steps by; the paper only says that spikes were watched for (5.3).
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=SPIKE_WINDOW)

    def is_spike(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        if len(self._losses) >= SPIKE_MINIMUM_HISTORY:
            mean, sd = statistics.fmean(self._losses), statistics.stdev(self._losses)
            if loss > mean + SPIKE_SIGMAS * max(sd, 1e-3):
                return True
        self._losses.append(loss)
        return False
