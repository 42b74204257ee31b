"""What every chart needs before it is drawn: scales from values to pixels, round ticks, short numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A straight line from values to pixels, or from their logarithms."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    """Values and both bounds are then above zero."""

    def __call__(self, value: float) -> float:
        low, high, at = (self.low, self.high, value)
        if self.is_log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def clamped(self, value: float) -> float:
        return self(min(max(value, self.low), self.high))


def padded(low: float, high: float, share: float = 0.06, least: float = 0.05) -> tuple[float, float]:
    """A little more on both sides, `least` where there is one value; what is never negative stays so."""
    size = max(1.0, abs(low), abs(high))
    room = share * (high - low) if high - low > 1e-6 * size else least * size
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


def round_ticks(low: float, high: float, at_most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values, at most so many."""
    if high <= low:
        return [low]
    raw = (high - low) / max(at_most - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, at_most: int) -> list[float]:
    """Powers of ten between two values above zero; 1, 2 and 5 times them where that is still at most so many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) <= at_most:
            return inside
    return inside[:: math.ceil(len(inside) / at_most)]


def short_number(value: float) -> str:
    """`1.5M`, `200k`, `0`."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"
