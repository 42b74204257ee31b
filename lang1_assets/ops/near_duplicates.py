"""Which notes of a person's record say again what an earlier one says: an exact set join, nothing sampled.

A note is the set of its shingles, all runs of five words. Two notes are as similar as the Jaccard similarity of their sets: what
they share over what either has (Broder, SEQUENCES 1997). Inside one record every pair that shares anything is counted, by a
product of sparse matrices, so no pair above the threshold is missed and none below it passes; MinHash, which the web's
billions of pairs need, would do either now and then.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

SHINGLE_WORDS = 5
# So many sort within the cache: in half the time of four million at once. A longer record is still taken whole.
WORDS_PER_BATCH = 300_000
ROWS_PER_PRODUCT = 1_024
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
DUPLICATES = {"note_id": pl.String, "kept_note_id": pl.String, "reason": pl.String, "similarity": pl.Float64}

Rows = NDArray[np.int64]
Pairs = tuple[Rows, Rows, NDArray[np.float64]]
"""Row of the later note, row of the earlier note, similarity."""


def duplicates_of(notes: pl.DataFrame, near_similarity: float | None) -> pl.DataFrame:
    """The notes that can go, each with the note that stays for it.

    Of equal texts in one record the earliest note (by time, then id) stands for all. Then, from the earliest on, a note
    stays unless it is near enough to an earlier one that stays: so every note that goes has its like among those that stay,
    however slowly a copied text drifts.

    Args:
        notes: `note_id`, `subject_id`, `written_time` and `text` with single spaces, whole records.
        near_similarity: least similarity of a near duplicate, in (0, 1]; None takes equal texts alone.

    Returns:
        Columns of `DUPLICATES`. `reason` is `exact` (similarity 1) or `near`; a note that equals a near duplicate is one too.
    """
    # A note that is in nobody's record is a record of its own.
    record = pl.coalesce("subject_id", pl.concat_str(pl.lit("\0"), "note_id")).rle_id()
    ordered = notes.sort("subject_id", "written_time", "note_id").with_columns(record=record)
    found = [duplicates_in(batch, near_similarity) for batch in batches(ordered)]
    return pl.concat([pl.DataFrame(schema=DUPLICATES), *found])


def batches(ordered: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Whole records, some `WORDS_PER_BATCH` words at a time."""
    num_words = pl.col("text").str.count_matches(" ", literal=True) + 1
    records = ordered.group_by("record", maintain_order=True).agg(num_notes=pl.len(), num_words=num_words.sum())
    batch = (records["num_words"].cum_sum() - records["num_words"]) // WORDS_PER_BATCH
    sizes = records.group_by(batch.alias("batch"), maintain_order=True).agg(pl.col("num_notes").sum())["num_notes"]
    start = 0
    for size in sizes.to_list():
        yield ordered.slice(start, size)
        start += size


def duplicates_in(notes: pl.DataFrame, near_similarity: float | None) -> pl.DataFrame:
    row = np.arange(len(notes))
    numbered = notes.with_row_index("row").select(pl.col("row").min().over("record", "text"))
    first = numbered["row"].to_numpy().astype(np.int64)
    kept, similarity = row.copy(), np.ones(len(row))
    if near_similarity is not None:
        num_texts = pl.len().over("record")
        texts = np.flatnonzero(first == row)
        texts = texts[notes[texts].select(num_texts > 1).to_series().to_numpy()]
        later, earlier, similarities = near_duplicates(notes[texts], near_similarity)
        kept[texts[later]], similarity[texts[later]] = texts[earlier], similarities
    # What holds for a text holds for every note that says it.
    kept, similarity = kept[first], similarity[first]
    gone = np.flatnonzero(kept != row)
    reason = np.where(kept == first, "exact", "near")
    columns = {
        "note_id": notes["note_id"].gather(gone),
        "kept_note_id": notes["note_id"].gather(kept[gone]),
        "reason": reason[gone].tolist(),
        "similarity": similarity[gone],
    }
    return pl.DataFrame(columns, schema=DUPLICATES)


def near_duplicates(notes: pl.DataFrame, least: float) -> Pairs:
    """Rows that can go, for each the row that stays (the most similar one, then the earliest), and their similarity.

    Args:
        notes: `record` and `text`, no two equal, in the order in which they may stay.
    """
    later, earlier, similarity = similar_pairs(notes, least)
    gone = rows_to_drop(len(notes), later, earlier)
    chosen = np.flatnonzero(gone[later] & ~gone[earlier])
    order = chosen[np.lexsort((earlier[chosen], -similarity[chosen], later[chosen]))]
    best = order[np.diff(later[order], prepend=-1) > 0]
    return later[best], earlier[best], similarity[best]


def rows_to_drop(num_rows: int, later: Rows, earlier: Rows) -> NDArray[np.bool_]:
    """Every row that has an earlier neighbor which stays, as if decided one after another, but all records at once."""
    dropped = np.zeros(num_rows, dtype=bool)
    while len(later):
        waits = np.zeros(num_rows, dtype=bool)
        waits[later] = True
        # A row that waits for no earlier one stays; its neighbors go.
        dropped[later[~waits[earlier]]] = True
        open_pairs = ~(dropped[later] | dropped[earlier])
        later, earlier = later[open_pairs], earlier[open_pairs]
    return dropped


def similar_pairs(notes: pl.DataFrame, least: float) -> Pairs:
    """All pairs of one record whose similarity is at least `least`."""
    shared, sizes = shingle_matrix(notes)
    turned = shared.T.tocsr()
    # No pairs at all must still be arrays.
    found: list[Pairs] = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for start in range(0, shared.shape[0], ROWS_PER_PRODUCT):
        overlaps = (shared[start : start + ROWS_PER_PRODUCT] @ turned).tocoo()
        later, earlier = overlaps.row.astype(np.int64) + start, overlaps.col.astype(np.int64)
        similarity = overlaps.data / (sizes[later] + sizes[earlier] - overlaps.data)
        chosen = (similarity >= least) & (earlier < later)
        found.append((later[chosen], earlier[chosen], similarity[chosen]))
    later, earlier, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return later, earlier, similarity


def shingle_matrix(notes: pl.DataFrame) -> tuple[sparse.csr_array, NDArray[np.int64]]:
    """A row a note, a column a shingle that a record has more than once, and how many different shingles each note has.

    Columns of different records are different, so that notes of different people never meet.
    """
    keys, rows = shingles(notes["text"])
    keys ^= notes["record"].hash(seed=1).to_numpy()[rows]
    order = np.argsort(keys)
    keys, rows = keys[order], rows[order]
    is_first = np.diff(keys, prepend=~keys[:1]) != 0
    is_last = np.diff(keys, append=~keys[-1:]) != 0
    repeated = ~(is_first & is_last)
    column = np.cumsum(is_first)[repeated]
    _, column = np.unique(column, return_inverse=True)
    shape = (len(notes), int(column.max(initial=-1)) + 1)
    shared = sparse.coo_array((np.ones(len(column), np.int32), (rows[repeated], column)), shape=shape).tocsr()
    # Made of (row, column) entries, the matrix has added up what a note says twice: once each, as a set.
    num_twice = shared.sum(axis=1) - np.diff(shared.indptr)
    shared.data[:] = 1
    return shared, np.bincount(rows, minlength=len(notes)) - num_twice


def shingles(texts: pl.Series) -> tuple[NDArray[np.uint64], Rows]:
    """(num_shingles,) a 64-bit hash of each run of `SHINGLE_WORDS` words, and the row of its text.

    A text of fewer words is one shingle.
    """
    lists = texts.str.split(" ")
    num_words = lists.list.len().to_numpy().astype(np.int64)
    words = lists.explode().hash().to_numpy()
    ends = np.cumsum(num_words)
    starts = ends - num_words
    num_shingles = np.maximum(num_words - SHINGLE_WORDS, 0) + 1
    rows = np.repeat(np.arange(len(texts)), num_shingles)
    first = np.arange(len(rows)) + np.repeat(starts - (np.cumsum(num_shingles) - num_shingles), num_shingles)
    keys = np.zeros(len(rows), dtype=np.uint64)
    padded = np.concatenate([words, np.zeros(SHINGLE_WORDS, np.uint64)])
    for place in range(SHINGLE_WORDS):
        keys = keys * MULTIPLIER + padded[first + place]
    short = np.flatnonzero(num_words < SHINGLE_WORDS)
    keys[np.searchsorted(rows, short)] = texts[short].hash(seed=2).to_numpy()
    return keys, rows
