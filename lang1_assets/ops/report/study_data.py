"""What the report says of studies, claims, model cards and memorization: plain values, as in `data`."""

from __future__ import annotations

from dataclasses import dataclass

from lang1_assets.ops.study.figure import Figure

MAKE_STUDIES = "make study"


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """The figures of one study, or of an analysis that the paper draws."""

    name: str
    """The asset's, one of `STUDY_NAMES` or `ANALYSIS_NAMES`."""
    figures: tuple[Figure, ...]
    asset_url: str | None = None
    mlflow_url: str | None = None
    missing: tuple[str, ...] = ()
    """What it is without, and why, in print."""


@dataclass(frozen=True, kw_only=True)
class CardText:
    """The card of one model, in Markdown."""

    variant: str
    recipe: str
    text: str
    asset_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Memorized:
    """What one pretrained model has by heart."""

    model: str
    is_clean: bool
    verdict: str
    figures: tuple[Figure, ...] = ()
    asset_url: str | None = None
    mlflow_url: str | None = None
