"""Are the notes and scores of a month like those of random patients of the reference?

Nothing is assumed of notes: patients of the reference are drawn again and again, as many notes as the month has, and each
statistic is measured between them and the rest of the reference. A month that lies beyond all of them is another kind of month.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import rel_entr

from lang1_assets.ops.analysis.groups import Measuring
from lang1_assets.ops.bootstrap import BLOCK, percentile_interval, resample_weights
from lang1_assets.ops.drift.rows import (
    NUM_NOTES,
    NUM_PATIENTS,
    SCORE_STABILITY,
    TOKENS_PER_WORD,
    UNSEEN_WORDS,
    WORD_DISTANCE,
    WORDS_MEDIAN,
    WORDS_Q25,
    WORDS_Q75,
    DriftRow,
    Scored,
    row,
)
from lang1_assets.ops.drift.scores import Binned, mean_stability
from lang1_assets.ops.drift.words import Counted, random_patients, weighted_quantiles
from lang1_assets.ops.metrics import Floats

QUARTILES = {WORDS_Q25: 0.25, WORDS_MEDIAN: 0.5, WORDS_Q75: 0.75}
TWO_SIDED = (*QUARTILES, TOKENS_PER_WORD)
"""More and less are both a change; of the others only more is."""
TESTED = (WORDS_MEDIAN, TOKENS_PER_WORD, UNSEEN_WORDS, WORD_DISTANCE, SCORE_STABILITY)
Values = Mapping[str, Floats]
"""Statistic -> (b,)."""


def lengths(counts: Counted, weights: Floats) -> dict[str, Floats]:
    """Quartiles of the words of a note, and tokens per word, with each patient counted `weights` (b, p) times."""
    of_notes = weights[:, counts.patient_of_note]
    quartiles = weighted_quantiles(counts.num_words, of_notes, list(QUARTILES.values()))
    tokens = (of_notes @ counts.num_tokens) / np.maximum(of_notes @ counts.num_words, 1)
    return {**dict(zip(QUARTILES, quartiles.T, strict=True)), TOKENS_PER_WORD: tokens}


def word_changes(inside: Floats, unknown: Floats, outside: Floats) -> dict[str, Floats]:
    """How words of one set of notes differ from those of another.

    Args:
        inside: how often each word of the vocabulary occurs in the one set (b, v).
        unknown: its words that are not of the vocabulary (b,).
        outside: the same of the other set (b, v), which has no others.

    Returns:
        UNSEEN_WORDS: the share of the one's words that the other does not have at all. WORD_DISTANCE: the square root of the
        Jensen-Shannon divergence in bits, from 0 for equal shares to 1 for no word in common (Lin 1991; a metric: Endres and
        Schindelin 2003).
    """
    is_new = outside == 0
    unseen = unknown + np.where(is_new, inside, 0.0).sum(axis=1)
    total = np.maximum(inside.sum(axis=1) + unknown, 1)
    # Words that one set alone has add the same whichever they are: one column stands for all of them.
    p = np.column_stack([np.where(is_new, 0.0, inside), unseen]) / total[:, None]
    q = np.column_stack([outside, np.zeros(len(outside))]) / np.maximum(outside.sum(axis=1), 1)[:, None]
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2 / np.log(2)
    return {UNSEEN_WORDS: unseen / total, WORD_DISTANCE: np.sqrt(np.maximum(divergence, 0.0))}


def everybody(counts: Counted) -> Floats:
    return np.ones((1, counts.num_patients))


def text_values(month: Counted, reference: Counted) -> tuple[dict[str, float], dict[str, float]]:
    """Of the month each statistic of its text, and how far it is from the reference."""
    words = word_changes(
        month.words.sum(axis=0)[None, :], np.array([month.unknown.sum()]), reference.words.sum(axis=0)[None, :]
    )
    found = {**lengths(month, everybody(month)), **words}
    other = lengths(reference, everybody(reference))
    values = {name: float(value[0]) for name, value in found.items()}
    return values, {name: value - float(other[name][0]) if name in other else value for name, value in values.items()}


def text_of_random_patients(
    reference: Counted, num_notes: int, how: Measuring
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """The same (num_resamples,) of random patients of the reference against all others of it."""
    total = reference.words.sum(axis=0)
    at_once = max(1, 8 * BLOCK // max(total.size, reference.num_notes, 1))
    values: list[Values] = []
    changes: list[Values] = []
    for drawn in random_patients(reference.notes_of_patient, num_notes, how.num_resamples, how.seed, at_once):
        weights = drawn.astype(np.float64)
        inside = (reference.words.T @ weights.T).T
        words = word_changes(inside, weights @ reference.unknown, total - inside)
        own, others = lengths(reference, weights), lengths(reference, 1.0 - weights)
        values.append({**own, **words})
        changes.append({**{name: own[name] - others[name] for name in own}, **words})
    return joined(values), joined(changes)


def scores_of_random_patients(reference: Binned, num_notes: int, how: Measuring) -> Floats:
    """The stability index (num_resamples,) of random patients of the reference against all others of it."""
    notes_of_patient = reference.notes_of_patient
    at_once = max(1, 8 * BLOCK // len(notes_of_patient))
    found = []
    for drawn in random_patients(notes_of_patient, num_notes, how.num_resamples, how.seed, at_once):
        inside = [drawn.astype(np.float64) @ counts for counts in reference.by_class]
        outside = [counts.sum(axis=0) - own for counts, own in zip(reference.by_class, inside, strict=True)]
        found.append(mean_stability(inside, outside))
    return np.concatenate(found)


def joined(blocks: Sequence[Values]) -> dict[str, Floats]:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def share_beyond(change: float, random_changes: Floats, *, two_sided: bool) -> float:
    """Share of random changes at least as large; never 0, with one added above and below (Davison and Hinkley 1997, 4.2)."""
    first, others = (abs(change), np.abs(random_changes)) if two_sided else (change, random_changes)
    # Sums of shares in another order differ in the last digit.
    return (int((others >= first - 1e-12).sum()) + 1) / (len(others) + 1)


def text_rows(head: Scored, month: Counted, reference: Counted, how: Measuring) -> list[DriftRow]:
    """Lengths, tokens and words of a month beside what random patients of the reference give."""
    rows = [
        row(head, NUM_NOTES, month.num_notes, month.num_notes),
        row(head, NUM_PATIENTS, month.num_notes, month.num_patients),
    ]
    if month.num_notes == 0 or reference.num_patients < 2:
        why = "no notes" if month.num_notes == 0 else "the reference has fewer than two patients"
        return rows + [
            row(head, name, month.num_notes, None, left_out=why) for name in (*TWO_SIDED, UNSEEN_WORDS, WORD_DISTANCE)
        ]
    values, changes = text_values(month, reference)
    random_values, random_changes = text_of_random_patients(reference, month.num_notes, how)
    intervals = {name: percentile_interval(drawn) for name, drawn in resampled_text(month, how).items()}
    for name, value in values.items():
        ends = {"low": intervals[name].low, "high": intervals[name].high} if name in intervals else {}
        p_value = share_beyond(changes[name], random_changes[name], two_sided=name in TWO_SIDED)
        numbers = {**ends, **middle(random_values[name]), "p_value": p_value}
        rows.append(row(head, name, month.num_notes, value, numbers))
    return rows


def resampled_text(month: Counted, how: Measuring) -> dict[str, Floats]:
    """Statistics of the month alone in resamples of its patients; a distance of resampled words is too large, and left out."""
    in_vocabulary = month.words.sum(axis=1)
    blocks = []
    for weights in resample_weights(month.num_patients, num_resamples=how.num_resamples, seed=how.seed):
        unseen = weights @ month.unknown
        share = unseen / np.maximum(weights @ in_vocabulary + unseen, 1)
        blocks.append({**lengths(month, weights), UNSEEN_WORDS: share})
    return joined(blocks)


def score_row(head: Scored, month: Binned, reference: Binned, how: Measuring) -> DriftRow:
    num_notes = int(month.notes_of_patient.sum())
    sums = [[counts.sum(axis=0)[None, :] for counts in one.by_class] for one in (month, reference)]
    value = float(mean_stability(*sums)[0])
    drawn = scores_of_random_patients(reference, num_notes, how)
    p_value = share_beyond(value, drawn, two_sided=False)
    return row(head, SCORE_STABILITY, num_notes, value, {**middle(drawn), "p_value": p_value})


def middle(drawn: Floats) -> dict[str, float]:
    """The median and the middle 95 %."""
    interval = percentile_interval(drawn)
    return {"reference": float(np.median(drawn)), "reference_low": interval.low, "reference_high": interval.high}
