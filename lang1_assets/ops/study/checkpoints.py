"""Which checkpoints of a trajectory a study takes."""

from __future__ import annotations

from collections.abc import Sequence


def spread(trajectory: Sequence[str], number: int) -> list[str]:
    """So many checkpoints in the trajectory's order, evenly spread: the last one always, and from two on the first one."""
    if number >= len(trajectory):
        return list(trajectory)
    if number == 1:
        return [trajectory[-1]]
    last = len(trajectory) - 1
    return [trajectory[round(position * last / (number - 1))] for position in range(number)]
