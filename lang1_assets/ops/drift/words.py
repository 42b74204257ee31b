"""What is counted of the notes of one task, patient by patient: lengths, tokens, how often each word occurs; no word is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lang1_assets.ops.metrics import Floats, Integers

WORD = r"\p{L}+"
"""A run of letters, in lower case: numbers and dates are new for ever and say nothing about how notes are written."""
NOTES_AT_ONCE = 2_000
CountTokens = Callable[[Sequence[str]], Integers]
"""Tokens of each text (n,)."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Patients p, notes n, words of the vocabulary v."""

    patient_of_note: Integers
    """(n,) from 0 to p - 1"""
    num_words: Integers
    """(n,), of what spaces separate, as `clean_notes` counts"""
    num_tokens: Integers
    """(n,)"""
    words: csr_array
    """(p, v): how often each word of the vocabulary occurs in the patient's notes."""
    unknown: Integers
    """(p,): words that are not of the vocabulary."""

    @property
    def num_notes(self) -> int:
        return len(self.patient_of_note)

    @property
    def num_patients(self) -> int:
        return len(self.unknown)

    @property
    def notes_of_patient(self) -> Integers:
        """(p,)"""
        return np.bincount(self.patient_of_note, minlength=self.num_patients)


def vocabulary_of(notes: pl.DataFrame) -> pl.DataFrame:
    """Each word of the notes with its place: columns word, place."""
    return occurrences(notes).select("word").unique().sort("word").with_row_index("place")


def counted(notes: pl.DataFrame, vocabulary: pl.DataFrame, count_tokens: CountTokens) -> Counted:
    """Counts of notes with `subject_id` and `text`."""
    coded = notes.select("text", patient=pl.col("subject_id").rank("dense").cast(pl.Int64) - 1)
    num_patients = int(coded["patient"].max()) + 1 if len(coded) else 0  # type: ignore[arg-type]
    known = occurrences(coded.select("text", subject_id="patient")).join(vocabulary, on="word", how="left")
    inside, outside = known.drop_nulls("place"), known.filter(pl.col("place").is_null())
    shape = (num_patients, len(vocabulary))
    places = inside["subject_id"].to_numpy(), inside["place"].to_numpy().astype(np.int64)
    unknown = np.bincount(outside["subject_id"], weights=outside["count"], minlength=num_patients)
    return Counted(
        patient_of_note=coded["patient"].to_numpy(),
        num_words=coded["text"].str.count_matches(r"\S+").to_numpy().astype(np.int64),
        num_tokens=count_tokens(coded["text"].to_list()),
        words=csr_array((inside["count"].to_numpy().astype(np.float64), places), shape=shape),
        unknown=unknown.astype(np.int64),
    )


def occurrences(notes: pl.DataFrame) -> pl.DataFrame:
    """(subject_id, word, count), some notes at a time: all words of all notes would not fit in memory."""
    words = pl.col("text").str.to_lowercase().str.extract_all(WORD).alias("word")
    parts = [
        part.select("subject_id", words).explode("word").drop_nulls("word").group_by("subject_id", "word").len("count")
        for part in notes.iter_slices(NOTES_AT_ONCE)
    ]
    if not parts:
        return pl.DataFrame(schema={"subject_id": notes.schema["subject_id"], "word": pl.String, "count": pl.UInt32})
    return pl.concat(parts).group_by("subject_id", "word").agg(pl.col("count").sum())


def some_patients(notes: pl.LazyFrame, at_most: int, seed: int) -> pl.DataFrame:
    """Whole patients, chosen by a seeded hash, the last of whom has the `at_most`-th note; everybody where there are fewer."""
    patients = notes.group_by("subject_id").len("num_notes").collect()
    # Not the frame's own hash: that one may change with the library's version.
    keys = [
        hashlib.blake2b(f"{seed}:{patient}".encode(), digest_size=8).hexdigest() for patient in patients["subject_id"]
    ]
    ordered = patients.with_columns(key=pl.Series(keys, dtype=pl.String)).sort("key")
    chosen = ordered.filter(pl.col("num_notes").cum_sum() - pl.col("num_notes") < at_most)
    return notes.join(chosen.lazy().select("subject_id"), on="subject_id", how="semi").collect()


def random_patients(
    notes_of_patient: Integers, num_notes: int, num_draws: int, seed: int, at_once: int
) -> Iterator[NDArray[np.bool_]]:
    """Patients (p,) drawn without replacement until they have `num_notes` notes, at most half of all; blocks (b, p)."""
    size = min(num_notes, int(notes_of_patient.sum()) // 2)
    everybody = np.arange(len(notes_of_patient))
    generator = np.random.default_rng(seed)
    for first in range(0, num_draws, at_once):
        rows = min(at_once, num_draws - first)
        order = generator.permuted(np.tile(everybody, (rows, 1)), axis=1)
        is_in = np.cumsum(notes_of_patient[order], axis=1) <= size
        # A single patient may have more notes than that.
        is_in[:, 0] = True
        drawn = np.zeros_like(is_in)
        np.put_along_axis(drawn, order, is_in, axis=1)
        yield drawn


def weighted_quantiles(values: Integers, weights: Floats, shares: Sequence[float]) -> Floats:
    """(b, q): of each row of weights (b, n) the smallest value that at least a share of the notes does not exceed."""
    order = np.argsort(values, kind="stable")
    up_to = np.cumsum(weights[:, order], axis=1)
    wanted = np.asarray(shares) * up_to[:, -1:]
    # As numpy's `inverted_cdf`; its rounding too: 0.25 of 100 notes is 25 of them.
    places = (up_to[:, None, :] < wanted[:, :, None] - 1e-9).sum(axis=2)
    return values[order][np.minimum(places, len(values) - 1)].astype(np.float64)
