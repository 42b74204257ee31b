"""All numbers of one month: each task that was scored, against the reference of the model that scored it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from lang1_assets.ops.analysis.groups import Measuring
from lang1_assets.ops.drift.inputs import score_row, text_rows
from lang1_assets.ops.drift.performance import NEED_EVENTS, Sample, performance_rows, sample
from lang1_assets.ops.drift.rows import AUROC, DriftRow, Scored, row
from lang1_assets.ops.drift.scores import Binned, binned, edges_of
from lang1_assets.ops.drift.words import Counted, CountTokens, counted, vocabulary_of
from lang1_assets.ops.metrics import Floats


@dataclass(frozen=True, kw_only=True)
class TextReference:
    """The notes of one task's reference."""

    vocabulary: pl.DataFrame
    counts: Counted


@dataclass(frozen=True, kw_only=True)
class ScoreReference:
    """What one model made of one task's reference."""

    performance: Sample
    edges: list[Floats]
    scores: Binned
    scored: pl.DataFrame
    how: Measuring

    def beside(self, month: pl.DataFrame) -> Sample:
        """Its numbers, the AUROC without notes of classes that the month has none of: where the easiest to rank are missing, the
        model is not worse.
        """
        kept = self.scored.filter(pl.col("label").is_in(month["label"].unique().to_list()))
        if month.is_empty() or kept.height == self.scored.height:
            return self.performance
        alike = sample(kept, self.how, with_slope=False)
        return replace(
            self.performance,
            values=with_auroc_of(self.performance.values, alike.values),
            drawn=with_auroc_of(self.performance.drawn, alike.drawn),
        )


def with_auroc_of(held: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of the one but its AUROC, which is the other's, where that has one."""
    return {name: (other if name == AUROC else held)[name] for name in held if name != AUROC or AUROC in other}


def text_reference(notes: pl.DataFrame, count_tokens: CountTokens) -> TextReference:
    """Of notes with `subject_id` and `text`."""
    vocabulary = vocabulary_of(notes)
    return TextReference(vocabulary=vocabulary, counts=counted(notes, vocabulary, count_tokens))


def score_reference(scored: pl.DataFrame, how: Measuring) -> ScoreReference:
    """Of rows of `schemas.PREDICTIONS` of one task."""
    edges = edges_of(scored)
    return ScoreReference(
        performance=sample(scored, how), edges=edges, scores=binned(scored, edges), scored=scored, how=how
    )


def month_rows(
    head: Scored,
    scored: pl.DataFrame,
    notes: pl.DataFrame,
    scores: ScoreReference | None,
    texts: TextReference | None,
    how: Measuring,
    count_tokens: CountTokens,
    *,
    not_scored: str | None = None,
) -> list[DriftRow]:
    """Every statistic of one task in one month.

    Args:
        scored: rows of `schemas.PREDICTIONS` of the task.
        notes: `subject_id` and `text` of all notes of the task, scored or not.
        scores, texts: None where no reference of the model, or of the task, is known any more.
        not_scored: why no note was, as where all have one label.
    """
    # Other draws than the reference's: two samples of other patients are independent.
    own = replace(how, seed=how.seed + 1)
    if not_scored is None:
        rows = performance_rows(head, sample(scored, own), scores.beside(scored) if scores else None)
    else:
        rows = [row(head, name, 0, None, left_out=not_scored) for name in NEED_EVENTS]
    if scores is not None and not scored.is_empty():
        rows.append(score_row(head, binned(scored, scores.edges), scores.scores, how))
    if texts is not None:
        rows += text_rows(head, counted(notes, texts.vocabulary, count_tokens), texts.counts, how)
    return rows
