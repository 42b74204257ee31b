"""Which chronic conditions a patient has, which of them get coded, and the exact chances of each Charlson class."""

from __future__ import annotations

import numpy as np

from lang1_assets.ops.hospital.conditions import (
    AGE_BANDS,
    FAMILIES,
    FAMILY_FREQUENCY,
    KIDNEY,
    MILD,
    NUM_FAMILIES,
    SEVERE,
    WEIGHT_OF_CONCEPT,
)

ABSENT, DEFINITE_MILD, DEFINITE_SEVERE, POSSIBLE = range(4)
"""What the note says about a family."""

NUM_GROUPS = 5
"""Groups of burden, one for each class of the score."""
CLASS_STARTS = (1, 3, 5, 8)
"""Score at which the classes 1-2, 3-4, 5-7 and more than 7 begin."""
NUM_SCORES = 30
"""Scores 0 to 29: all that the weights can add up to."""

_GOALS = np.array([[0, 0, 0, 0], [1, 1, 2, 2], [3, 3, 4, 4], [5, 5, 6, 6], [9, 9, 10, 11]])
_SEVERE_SHARE = {"liver": 0.5, "diabetes": 0.45, "cancer": 0.75}
_POSSIBLE_CHANCE = 0.07

# Chances that a family is coded [not, as the milder form, as the severer form], given what the note says about it.
_HAS_TWO_FORMS = (MILD != SEVERE).astype(float)
CODING = np.zeros((NUM_FAMILIES, 4, 3))
CODING[:, ABSENT] = (0.9965, 0.0035, 0.0)
# A code out of the blue for the heaviest conditions would make the rarest class unpredictable.
CODING[[FAMILIES.index("hiv"), FAMILIES.index("cancer"), FAMILIES.index("paralysis")], ABSENT] = (0.9999, 0.0001, 0.0)
CODING[:, DEFINITE_MILD] = (0.09, 0.91, 0.0)
CODING[:, DEFINITE_MILD] += _HAS_TWO_FORMS[:, None] * np.array((0.0, -0.01, 0.01))
CODING[:, DEFINITE_SEVERE] = (0.06, 0.06, 0.88)
CODING[:, POSSIBLE] = (0.60, 0.40, 0.0)

FORM_WEIGHTS = np.stack([np.zeros(NUM_FAMILIES, int), WEIGHT_OF_CONCEPT[MILD], WEIGHT_OF_CONCEPT[SEVERE]], axis=1)
"""Weight of a family that is not coded, coded as the milder form, coded as the severer form: shape (families, 3)."""


def draw_conditions(
    group: np.ndarray, age: np.ndarray, priority: np.ndarray, dialysis: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """What each note says about each family, so that the stated weights add up to a goal of the burden group.

    Args:
        group: Burden group of each encounter, 0 to 4.
        age: Years.
        priority: The patient's Gumbel noise, shape (encounters, families): the same patient gets the same conditions.
        dialysis: True where the reason for admission implies kidney failure.
        rng: Source of randomness.

    Returns:
        int8 codes `ABSENT`, `DEFINITE_MILD`, `DEFINITE_SEVERE`, `POSSIBLE`, shape (encounters, families).
    """
    num = len(group)
    frequency = FAMILY_FREQUENCY[np.searchsorted(AGE_BANDS, age, side="right")]
    with np.errstate(divide="ignore"):
        order = np.argsort(-(np.log(frequency) + priority), axis=1)
    remaining = _GOALS[group, rng.integers(0, 4, num)]
    severe_share = np.array([_SEVERE_SHARE.get(family, 0.0) for family in FAMILIES])
    wants_severe = rng.random((num, NUM_FAMILIES)) < severe_share
    stated = np.zeros((num, NUM_FAMILIES), dtype=np.int8)
    rows = np.arange(num)
    for rank in range(NUM_FAMILIES):
        family = order[:, rank]
        severe = wants_severe[rows, family] & (FORM_WEIGHTS[family, 2] <= remaining)
        weight = np.where(severe, FORM_WEIGHTS[family, 2], FORM_WEIGHTS[family, 1])
        take = (weight <= remaining) & (frequency[rows, family] > 0)
        stated[rows[take], family[take]] = np.where(severe[take], DEFINITE_SEVERE, DEFINITE_MILD)
        remaining = remaining - np.where(take, weight, 0)
    stated[dialysis, KIDNEY] = DEFINITE_MILD
    return _add_possible(stated, order, rng)


def _add_possible(stated: np.ndarray, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows = np.flatnonzero(rng.random(len(stated)) < _POSSIBLE_CHANCE)
    family = order[rows, rng.integers(1, 5, len(rows))]
    free = stated[rows, family] == ABSENT
    stated[rows[free], family[free]] = POSSIBLE
    return stated


def score_steps(stated: np.ndarray) -> np.ndarray:
    """Distribution of the Charlson score over the first k families, for every k: shape (families + 1, n, 30)."""
    steps = np.zeros((NUM_FAMILIES + 1, len(stated), NUM_SCORES))
    steps[0, :, 0] = 1.0
    for family in range(NUM_FAMILIES):
        chances = CODING[family, stated[:, family]]
        for form in range(3):
            weight = FORM_WEIGHTS[family, form]
            steps[family + 1, :, weight:] += chances[:, form, None] * steps[family, :, : NUM_SCORES - weight]
    return steps


def class_probabilities(scores: np.ndarray) -> np.ndarray:
    """Chances of the five classes from chances of the scores 0 to 29: shape (n, 5)."""
    return np.add.reduceat(scores, (0, *CLASS_STARTS), axis=1)


def charlson_probabilities(stated: np.ndarray, chunk_rows: int = 20_000) -> np.ndarray:
    """Exact chances of the five Charlson classes given what the notes say: shape (n, 5)."""
    parts = [
        class_probabilities(score_steps(stated[start : start + chunk_rows])[-1])
        for start in range(0, len(stated), chunk_rows)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, NUM_GROUPS))


def draw_coding(
    stated: np.ndarray, label: np.ndarray, rng: np.random.Generator, chunk_rows: int = 20_000
) -> np.ndarray:
    """Which form of each family is coded (0 none, 1 milder, 2 severer), given the class that the codes must add up to.

    The class is drawn first (see `outcomes.draw_classes`), so that rare classes occur at their rate; the coding is then
    drawn exactly from its distribution given the class, backwards through the steps of the convolution.
    """
    coded = np.zeros(stated.shape, dtype=np.int8)
    for start in range(0, len(stated), chunk_rows):
        rows = slice(start, start + chunk_rows)
        coded[rows] = _draw_coding_chunk(stated[rows], label[rows], rng)
    return coded


def _draw_coding_chunk(stated: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    steps = score_steps(stated)
    class_of_score = np.searchsorted(CLASS_STARTS, np.arange(NUM_SCORES), side="right")
    score = _draw_rows(steps[-1] * (class_of_score == label[:, None]), rng)
    rows = np.arange(len(stated))
    coded = np.zeros(stated.shape, dtype=np.int8)
    for family in reversed(range(NUM_FAMILIES)):
        before = score[:, None] - FORM_WEIGHTS[family]
        reachable = np.where(before >= 0, steps[family, rows[:, None], np.maximum(before, 0)], 0.0)
        form = _draw_rows(CODING[family, stated[:, family]] * reachable, rng)
        coded[:, family] = form
        score = score - FORM_WEIGHTS[family, form]
    return coded


def _draw_rows(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    cumulative = np.cumsum(weights, axis=1)
    return (rng.random((len(weights), 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)
