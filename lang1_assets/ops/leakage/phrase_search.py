"""Finding, counting and masking the phrases of `outcome_phrases` in notes."""

from __future__ import annotations

import polars as pl

from lang1_assets.ops.leakage.outcome_phrases import DATE, phrases_of

MASK = "[MASKED]"
"""Stands where a phrase stood. No pattern matches it, so that masking twice changes nothing."""

# A date or time right after a phrase is masked with it: what is left of "expired on 3/4" would still tell.
WHEN = rf"(?:[ :,]*(?:(?:on|at) )?(?:{DATE}|\d{{1,2}}:\d{{2}}))*"


def phrase_hits(texts: pl.Series, task: str) -> pl.DataFrame:
    """One boolean column a phrase of the task, one row a text (null counts as empty): does the text hold the phrase?"""
    frame = texts.fill_null("").alias("text").to_frame()
    return frame.select(
        pl.col("text").str.contains(f"(?i){phrase.pattern}").alias(phrase.phrase_id) for phrase in phrases_of(task)
    )


def phrase_numbers(texts: pl.Series, task: str) -> pl.DataFrame:
    """As `phrase_hits`, but the last number within the first match ("length of stay: 5" -> 5); null where there is none."""
    frame = texts.alias("text").to_frame()
    return frame.select(
        pl.col("text")
        .str.extract(f"(?i)({phrase.pattern})")
        .str.extract(r"(\d+)\D*$")
        .cast(pl.Float64)
        .alias(phrase.phrase_id)
        for phrase in phrases_of(task)
    )


def mask_phrases(texts: pl.Series, task: str) -> pl.Series:
    """The texts with `MASK` for every phrase of the task and the date that follows it; others are returned as they were."""
    masked = pl.col("text")
    for phrase in phrases_of(task):
        masked = masked.str.replace_all(f"(?i)(?:{phrase.pattern}){WHEN}", f" {MASK} ")
    has_any = pl.any_horizontal(pl.col("text").str.contains(f"(?i){phrase.pattern}") for phrase in phrases_of(task))
    return texts.to_frame("text").select(pl.when(has_any).then(masked).otherwise(pl.col("text")).alias(texts.name))[
        texts.name
    ]
