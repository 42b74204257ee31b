"""How long a run is when it is one pass over its text."""

from __future__ import annotations

from collections.abc import Sequence

from lang1_assets.ops.mixture import Mixture, MixtureError, Schedule


def samples_of_one_epoch(schedule: Schedule, num_windows: Sequence[int]) -> int:
    """Samples until the first source begins anew: until then no window was drawn twice.

    Me-LLaMA's corpus was put together at 15:1:4 and trained on once. With sources drawn in turns, that is a run which ends
    where the scarcest of them, by its weight, has been read once; of the others a part is left over.
    """
    ends = []
    for source, windows in enumerate(num_windows):
        periods, rest = divmod(windows, int(schedule.quotas[source]))
        turns = (schedule.turns == source).nonzero()[0]
        ends.append(periods * len(schedule.turns) + int(turns[rest]))
    return min(ends)


def steps_of_one_epoch(mixture: Mixture, global_batch_size: int) -> int:
    """Whole batches of one pass; less than a batch at the end is left out.

    Raises:
        MixtureError: there is not even one batch.
    """
    samples = samples_of_one_epoch(mixture.schedule, mixture.num_windows)
    if samples < global_batch_size:
        raise MixtureError(
            f"pretrain.max_steps one_epoch: one pass over the mixture is {samples} sequences, less than one batch of "
            f"{global_batch_size}; lower pretrain.global_batch_size, or give a number of steps"
        )
    return samples // global_batch_size
