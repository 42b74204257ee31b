"""Any weighted sum of AUROCs with its interval: differences of models, of tests, of tasks, all in the same resampled patients.

`comparison.bootstrap_test` is the sum of two; claims of several tasks, tests and models at once, and intervals shared among
tasks, need the resamples themselves. Of two models on one task the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lang1_assets.ops.bootstrap import MacroAuroc, resample_weights
from lang1_assets.ops.comparison import on
from lang1_assets.ops.metrics import Floats
from lang1_assets.ops.results import labels_and_probabilities
from lang1_assets.ops.study.cells import Cell

MIN_EVENTS = 5
"""Notes that are not of the commonest class: with fewer, resamples of an AUROC say nothing about its error."""
MIN_IN_TAIL = 4.5
"""Resamples beyond a bound: five of a thousand are, at a level shared among five tasks."""
DIGITS = 12
MAX_LEFT_OUT = 0.05
"""Share of resamples that may lack an AUROC, because a class is not in them."""


class StudyError(ValueError):
    """A number that cannot be had from these cells; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """One AUROC of a sum."""

    weight: float
    cell: Cell
    task: str
    split: str


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A sum of AUROCs, and its values in resamples of the patients."""

    value: float
    resamples: Floats
    n: int

    def bounds(self, below: float, above: float) -> tuple[float, float]:
        """(low, high) that leave so much of the distribution on each side.

        Of a thousand resamples the outermost says little of a tail of one in ten thousand: where fewer than `MIN_IN_TAIL` lie
        beyond a bound, it is no nearer than the normal one.
        """
        deviation = float(self.resamples.std(ddof=1))
        normal = NormalDist()
        low, high = (float(np.quantile(self.resamples, tail)) for tail in (below, 1 - above))
        if below * len(self.resamples) < MIN_IN_TAIL:
            low = min(low, self.value + normal.inv_cdf(below) * deviation)
        if above * len(self.resamples) < MIN_IN_TAIL:
            high = max(high, self.value - normal.inv_cdf(above) * deviation)
        return low, high


def distribution(terms: Sequence[Term], *, num_resamples: int, seed: int) -> Distribution:
    """The sum of the weighted AUROCs on the notes that all cells of a task and test have in common.

    Raises:
        StudyError: a cell lacks the task, has too few events, or saw other labels than another one.
    """
    samples = samples_of(terms)
    weights = np.array([term.weight for sample in samples for term in sample.terms])
    values = aurocs(samples, [np.ones((1, len(sample.labels))) for sample in samples])[0]
    if not np.isfinite(values).all():
        raise StudyError(f"one class only of {', '.join(sample.name for sample in samples)}; use a larger test")
    # Rounded: a difference of equal models is 0, and not 1e-17 on one side of it.
    sums = np.concatenate([block @ weights for block in resampled(samples, num_resamples, seed)]).round(DIGITS)
    scored = sums[np.isfinite(sums)]
    if len(scored) < (1 - MAX_LEFT_OUT) * len(sums):
        raise StudyError(f"{len(sums) - len(scored)} of {len(sums)} resamples hold one class only; use a larger test")
    value = round(float(values @ weights), DIGITS)
    return Distribution(value=value, resamples=scored, n=min(len(sample.labels) for sample in samples))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The notes of one task and split of one hospital that all of its cells scored."""

    terms: Sequence[Term]
    labels: NDArray[np.int64]
    """(n,)"""
    measures: Sequence[Callable[[Floats], Floats]]
    """Of each term the AUROC, from how often each note counts (b, n) to (b,)."""
    patients: NDArray[np.str_]
    """(n,), with the hospital's side: the same number there is another person."""

    @property
    def name(self) -> str:
        return f"{self.terms[0].task}, {self.terms[0].split}"


def samples_of(terms: Sequence[Term]) -> list[Sample]:
    groups: dict[tuple[str, str, bool], list[Term]] = {}
    for term in terms:
        groups.setdefault((term.task, term.split, term.cell.kind == "elsewhere"), []).append(term)
    return [sample_of(group) for group in groups.values()]


def sample_of(terms: Sequence[Term]) -> Sample:
    frames = aligned(terms)
    pairs = [labels_and_probabilities(frame) for frame in frames]
    labels = pairs[0][0]
    events = len(labels) - int(np.bincount(labels).max(initial=0))
    if events < MIN_EVENTS:
        raise StudyError(
            f"{terms[0].task}, {terms[0].split}: {events} events in {len(labels)} notes that all models scored, "
            f"expected {MIN_EVENTS} or more; score more notes"
        )
    side = "there" if terms[0].cell.kind == "elsewhere" else "here"
    patients = np.char.add(f"{side}/", frames[0]["subject_id"].to_numpy().astype(str))
    measures = [MacroAuroc(labels, columns).of_weights for _, columns in pairs]
    return Sample(terms=terms, labels=labels, measures=measures, patients=patients)


def aligned(terms: Sequence[Term]) -> list[pl.DataFrame]:
    """Predictions of each term, the same notes in the same order."""
    task, split = terms[0].task, terms[0].split
    frames = [predictions_on(term.cell, task, split) for term in terms]
    for term, frame in zip(terms, frames, strict=True):
        if frame.is_empty():
            raise StudyError(f"{term.cell.source}: no note of {task}, {split}; evaluate the model on it")
    common = frames[0].select("note_id", "label")
    for term, frame in zip(terms[1:], frames[1:], strict=True):
        both = common.join(frame.select("note_id", now="label"), on="note_id", maintain_order="left")
        if not both.filter(pl.col("label") != pl.col("now")).is_empty():
            raise StudyError(
                f"{term.cell.source} and {terms[0].cell.source} saw other labels of {task}; evaluate again"
            )
        common = both.drop("now")
    return [common.drop("label").join(frame, on="note_id", how="left", maintain_order="left") for frame in frames]


def predictions_on(cell: Cell, task: str, split: str) -> pl.DataFrame:
    """Rows of `schemas.PREDICTIONS`; read once, for most cells are in several sums."""
    return _read(cell.predictions, cell.predictions.stat().st_mtime_ns, task, split)


@lru_cache(maxsize=64)
def _read(path: Path, changed: int, task: str, split: str) -> pl.DataFrame:
    return on(pl.read_parquet(path), task, split)


def resampled(samples: Sequence[Sample], num_resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks (b, num_terms) of AUROCs, in the order of the samples and their terms, in the same resampled patients."""
    patients = np.concatenate([sample.patients for sample in samples])
    ends = np.cumsum([len(sample.labels) for sample in samples])
    for weights in resample_weights(len(patients), num_resamples=num_resamples, seed=seed, clusters=patients):
        yield aurocs(samples, np.split(weights, ends[:-1], axis=1))


def aurocs(samples: Sequence[Sample], weights: Sequence[Floats]) -> Floats:
    """(b, num_terms) with each note counted `weights` (b, n) times, one array a sample; nan where one class is drawn."""
    columns = [measure(part) for part, sample in zip(weights, samples, strict=True) for measure in sample.measures]
    return np.stack(columns, axis=1)
