"""From notes to token shards: cleaning, corpora, tokenizer, shards (paper 5.1, 5.3)."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lang1_assets.settings.section import DateWindow, Fraction, PositiveInt, Section, require_path

MAX_CANARIES = 90
"""As many as there are made-up names."""


class Cleaning(Section):
    """Paper section 5.1."""

    min_words: PositiveInt = 10
    placeholders: tuple[str, ...] = ("<NA>", "NULL", "[pending]")
    partition_rows: PositiveInt = 25_000
    """Notes a Dask task holds in memory."""
    num_workers: PositiveInt = 2
    scheduler_address: str | None = Field(default_factory=lambda: os.environ.get("LANG1_DASK_SCHEDULER"))
    """A running Dask scheduler, such as tcp://dask:8786; default: that of `lang1 serve`. Without one, processes on this machine."""


class Canaries(Section):
    """Made-up identifiers planted into the corpora of notes, by which memorization is measured."""

    plant: bool | None = None
    """null: yes for the embedded hospital, no for real records, whose model would learn false statements about people that
    look like anybody's."""
    repeats: tuple[PositiveInt, ...] = (1, 4, 16, 64)
    """Documents that hold a canary."""
    num_each: PositiveInt = 3
    """Canaries of each number of repeats."""
    num_controls: PositiveInt = 6
    """Canaries that are planted nowhere."""

    @model_validator(mode="after")
    def _names_suffice(self) -> Canaries:
        if self.num_each * len(self.repeats) + self.num_controls > MAX_CANARIES:
            raise ValueError(
                f"more than {MAX_CANARIES} canaries; lower num_each, num_controls or the numbers of repeats"
            )
        return self


class Corpora(Section):
    """Which notes models are pretrained on (paper 5.2.1, M03); a window is [first day, last day)."""

    notes_types: tuple[str, ...] = ("hp", "discharge", "progress")
    notes_window: DateWindow | None = (date(2011, 1, 1), date(2020, 6, 1))
    """Inpatient hospital notes, January 2011 to May 2020; null takes every date, for shifted ones."""
    notes_plus_window: DateWindow | None = (date(2003, 1, 1), date(2024, 1, 1))
    """Hospital, pathology and radiology notes, 2003 to 2023."""
    hold_out_test_stays: bool = True
    """Leave out every note of the stays that the latest test is about: also those written before its first day."""
    deduplication: Literal["none", "exact", "near"] = "none"
    """Leave out notes that the same person's record says already: none (the paper), equal texts, or nearly equal ones too.
    Labelled examples are built from all notes whatever this says."""
    canaries: Canaries = Canaries()
    near_similarity: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Least Jaccard similarity (runs of five words) of nearly equal notes."""

    @property
    def choices(self) -> dict[str, tuple[tuple[str, ...] | None, DateWindow | None]]:
        """Of each clinical corpus: its note types, and its window of writing dates; None takes all."""
        return {"notes": (self.notes_types, self.notes_window), "notes_plus": (None, self.notes_plus_window)}


class TokenizerSource(Section):
    """Llama-2's SentencePiece from a path, or one trained on the corpus."""

    kind: Literal["train", "path"] = "train"
    path: Path | None = None
    vocab_size: Annotated[int, Field(ge=512, le=1_000_000)] = 32_000
    """Pieces, when trained. A tokenizer from a path brings its own."""
    train_documents: PositiveInt = 20_000
    """Documents the tokenizer is trained on, clinical and web in equal numbers."""

    @model_validator(mode="after")
    def _path_when_needed(self) -> TokenizerSource:
        return require_path(self, "path", "a folder or file with a Llama-2 tokenizer")


class Shards(Section):
    val_fraction: Fraction = 0.001
    """Documents held out for validation (paper 5.3: 0.1 %)."""
    shard_tokens: PositiveInt = 100_000_000
    num_workers: PositiveInt = 2
