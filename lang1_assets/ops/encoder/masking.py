"""Which tokens of a window an encoder has to guess: a pure function of the seed and the window's place in the data (M27).

Nothing is drawn in sequence, so the masks are the same for any number of ranks and after a resume, and other ones each time
that a window comes round (RoBERTa's dynamic masking, Liu et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lang1_assets.ops.encoder.model import mask_id

MASKED_SHARE = 0.15
"""Of the tokens of a window (Devlin et al. 2019)."""
TENTHS_MASK, TENTHS_RANDOM = 8, 1
"""Of the chosen tokens, tenths that the mask stands for, and that another piece stands for; the rest stay as they are."""
STREAMS = {"train": 0, "val": 1}


@dataclass(frozen=True, kw_only=True)
class MaskedWindows:
    """What an encoder reads and what it has to say."""

    input_ids: NDArray[np.int64]
    """(windows, length)."""
    positions: NDArray[np.int64]
    """(windows, masked), rising; as many in every window, so that each counts the same on any number of ranks."""
    targets: NDArray[np.int64]
    """(windows, masked), the tokens that were there."""


def num_masked(length: int) -> int:
    """Tokens of a window that are chosen; its first one never is."""
    return max(1, int(MASKED_SHARE * (length - 1) + 0.5))


def masked_windows(
    windows: NDArray[np.int64],
    samples: NDArray[np.int64],
    *,
    num_pieces: int,
    start_id: int,
    seed: int,
    split: Literal["train", "val"],
) -> MaskedWindows:
    """Put masks into windows.

    Args:
        windows: (windows, length).
        samples: (windows,), the number of each in the data.
        num_pieces: of the tokenizer.
        start_id: what each window begins with in the place of its first token, as notes do when they are classified.
        split: has masks of its own.
    """
    size, length = num_masked(windows.shape[1]), windows.shape[1]
    drawn = np.stack([draws(seed, sample, length, split) for sample in samples.tolist()])
    order, fates = drawn[:, 1:length], drawn[:, length : length + size]
    positions = np.sort(np.argsort(order, axis=1, kind="stable")[:, :size] + 1, axis=1)
    targets = np.take_along_axis(windows, positions, axis=1)
    shown = np.where(fates % 10 < TENTHS_MASK, mask_id(num_pieces), targets)
    is_random = fates % 10 >= 10 - TENTHS_RANDOM
    shown = np.where(is_random, (fates // 10 % num_pieces).astype(np.int64), shown)
    input_ids = windows.copy()
    input_ids[:, 0] = start_id
    np.put_along_axis(input_ids, positions, shown, axis=1)
    return MaskedWindows(input_ids=input_ids, positions=positions, targets=targets)


def draws(seed: int, sample: int, length: int, split: str) -> NDArray[np.uint64]:
    """(2 * length,) numbers of 64 bits. A bit generator's raw stream is the part that numpy promises never to change."""
    generator = np.random.Philox(key=[seed, sample], counter=[0, STREAMS[split], 0, 0])
    return np.asarray(generator.random_raw(2 * length))
