"""Knowing a text again: hashes of whole texts, and MinHash signatures for texts that are nearly the same."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

SHINGLE_WORDS = 5
NUM_BANDS, ROWS_PER_BAND = 12, 5
"""MinHash banding: a pair of Jaccard similarity 0.8 becomes a candidate with probability 0.992, of 0.3 with 0.03."""
NEAR_DUPLICATE = 0.8
"""Jaccard similarity of 5-word shingles from which two texts count as near-duplicates."""
CANDIDATES_PER_BUCKET = 20
EMPTY = np.iinfo(np.uint64).max
"""The minimum over no shingle."""


def normalized(texts: pl.Series) -> pl.Series:
    """Lower case, words of letters and digits, single spaces: two copies of a text that differ in layout become one."""
    return texts.fill_null("").str.to_lowercase().str.replace_all("[^a-z0-9]+", " ").str.strip_chars()


def text_hashes(texts: pl.Series) -> pl.Series:
    """BLAKE2b, 128 bits, of each normalized text: the same in every process and version."""
    hashes = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in normalized(texts)]
    return pl.Series("text_hash", hashes, dtype=pl.String)


def hashed_texts(notes: pl.DataFrame) -> pl.DataFrame:
    """`note_id` and `text` -> `note_id` and `text_hash`: what is kept of a corpus to know its notes again."""
    return notes.select("note_id", text_hashes(notes["text"]))


def near_duplicates(texts: pl.Series, against: pl.Series) -> NDArray[np.bool_]:
    """Whether each text (n,) is nearly one of `against`: estimated Jaccard similarity of 5-word shingles >= 0.8.

    MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman, chapter 3). A text of fewer than 5 words has no shingle
    and is nearly nothing. At most 20 candidates of a bucket are compared, so in a corpus of templates a few may be missed.
    """
    left, right = minhashes(texts), minhashes(against)
    found = np.zeros(len(left), dtype=bool)
    for band in range(NUM_BANDS):
        keys = slice(band * ROWS_PER_BAND, (band + 1) * ROWS_PER_BAND)
        buckets = banded(right, keys).group_by("key", maintain_order=True).head(CANDIDATES_PER_BUCKET)
        pairs = banded(left, keys).filter(~pl.Series(found[has_shingles(left)])).join(buckets, on="key")
        rows, candidates = pairs["row"].to_numpy(), pairs["row_right"].to_numpy()
        similarity = np.zeros(len(pairs))
        for j in range(left.shape[1]):
            similarity += left[rows, j] == right[candidates, j]
        found[rows[similarity >= NEAR_DUPLICATE * left.shape[1]]] = True
    return found


def has_shingles(signatures: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return signatures[:, 0] != EMPTY


def banded(signatures: NDArray[np.uint64], keys: slice) -> pl.DataFrame:
    """`row` and `key`, one row a text that has shingles: texts alike in all rows of a band share a key."""
    rows = np.flatnonzero(has_shingles(signatures))
    frame = pl.DataFrame(np.ascontiguousarray(signatures[rows, keys]))
    return pl.DataFrame({"row": rows, "key": frame.hash_rows()})


def minhashes(texts: pl.Series, chunk_size: int = 1_000) -> NDArray[np.uint64]:
    """(n, 60): for each of 60 fixed hash functions the least value over the text's shingles."""
    parts = [_minhashes(normalized(texts[start : start + chunk_size])) for start in range(0, len(texts), chunk_size)]
    return np.concatenate([np.empty((0, NUM_BANDS * ROWS_PER_BAND), dtype=np.uint64), *parts])


def _minhashes(texts: pl.Series) -> NDArray[np.uint64]:
    """Of a chunk of normalized texts: memory stays bounded whatever their number."""
    generator = np.random.default_rng(0)
    mixers = generator.integers(0, EMPTY, SHINGLE_WORDS, dtype=np.uint64) | np.uint64(1)
    multipliers = generator.integers(0, EMPTY, NUM_BANDS * ROWS_PER_BAND, dtype=np.uint64) | np.uint64(1)
    masks = generator.integers(0, EMPTY, NUM_BANDS * ROWS_PER_BAND, dtype=np.uint64)
    words = texts.str.split(" ")
    lengths = words.list.len().to_numpy().astype(np.int64)
    hashes = words.explode().hash(seed=0).to_numpy()
    num_shingles = np.maximum(lengths - SHINGLE_WORDS + 1, 0)
    # Shingle i of a text starts at its word i; the words of all texts lie one after another.
    first = np.repeat(np.cumsum(lengths) - lengths, num_shingles)
    starts = np.cumsum(num_shingles) - num_shingles
    at = first + np.arange(len(first)) - np.repeat(starts, num_shingles)
    shingles = np.zeros(len(at), dtype=np.uint64)
    for j, mixer in enumerate(mixers):
        shingles += hashes[at + j] * mixer
    signatures = np.full((len(lengths), len(masks)), EMPTY, dtype=np.uint64)
    held = num_shingles > 0
    if held.any():
        for j, (multiplier, mask) in enumerate(zip(multipliers, masks, strict=True)):
            signatures[held, j] = np.minimum.reduceat((shingles ^ mask) * multiplier, starts[held])
    return signatures
