"""New dated exports, and the models that are asked about them (M63)."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from lang1_assets.ops.tasks import REMEDE
from lang1_assets.settings.section import NotNegative, PositiveInt, Section

IN_SERVICE_RECIPES = ("joint", *REMEDE)
"""A hospital's own task has a query with splits of its own, and no month of it is cut out."""


class Operate(Section):
    landing: str | None = None
    """Where dated exports land, a folder YYYY-MM each: a folder or a URL that fsspec reads (s3://bucket/exports); default
    $LANG1_HOME/landing."""
    earliest: date = date(2025, 1, 1)
    """Exports dated before this are history, not news."""
    settle_seconds: NotNegative = 600
    """An export without a manifest is taken when nothing about it has changed for this long; one with a manifest that is not
    fulfilled is refused after it."""
    insurance_denial_days: Annotated[int, Field(ge=0, le=3650)] = 120
    """After a month, how long until its denials can be known: insurers decide weeks after the discharge, and claims have their last
    status later still. 120 days are any four months that follow each other."""
    max_runs_a_tick: PositiveInt = 20
    """Runs that the sensor asks for at a time, the oldest months first."""
    max_attempts: PositiveInt = 3
    """Runs for the same work, where they fail for another reason than the export itself."""
    recipes: Annotated[tuple[str, ...], Field(min_length=1)] = ("joint",)
    """What each model in service was finetuned on: every one is asked about every month."""

    @field_validator("landing")
    @classmethod
    def _no_secret_in_a_url(cls, value: str | None) -> str | None:
        if value is not None and "://" in value and "@" in urlsplit(value).netloc:
            raise ValueError(
                "found a user name or key in the URL; leave it out and set the store's own environment variables"
            )
        return value

    @field_validator("recipes")
    @classmethod
    def _recipes_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [recipe for recipe in value if recipe not in IN_SERVICE_RECIPES]
        if unknown or len(set(value)) < len(value):
            wrong = f"no recipe {', '.join(unknown)}" if unknown else f"{', '.join(value)} names one twice"
            raise ValueError(f"{wrong}; known: {', '.join(IN_SERVICE_RECIPES)}")
        return value
