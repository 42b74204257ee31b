"""What months are compared with: what their model made of the headline test, and the notes of that test.

drift_reference/RECIPE/MODEL      the predictions of a model in service; kept when another model takes over
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from lang1_assets.models import finetuned
from lang1_assets.months.landed import IN_SERVICE
from lang1_assets.ops.checksums import sha256_of
from lang1_assets.ops.schemas import PREDICTIONS_FILE
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

if TYPE_CHECKING:
    from lang1_assets.ops.analysis.groups import Measuring
    from lang1_assets.ops.drift.month import ScoreReference, TextReference
    from lang1_assets.ops.drift.words import CountTokens

REFERENCE = "drift_reference"


def reference_of(store: ArtifactStore, settings: Settings, recipe: str, model: str, variant: str) -> Artifact | None:
    """What a model made of the headline test; None where nobody has kept it.

    Args:
        model: its fingerprint.
    """
    name = f"{REFERENCE}/{recipe}/{model}"
    source = evaluation_of(store, settings, recipe, model)
    if source is None:
        return store.find(name)
    split = settings.cohorts.headline_split

    def make(work: Path) -> dict[str, Any]:
        held = pl.read_parquet(source.path / PREDICTIONS_FILE).filter(split=split)
        held.write_parquet(work / PREDICTIONS_FILE)
        return {"model": model, "variant": variant, "split": split, "num_predictions": len(held)}

    # The file, and not the decision that left the model in service: that one is taken anew each month.
    parameters = {"predictions_sha256": sha256_of(source.path / PREDICTIONS_FILE), "split": split}
    return store.build(name, make, parameters=parameters)


def evaluation_of(store: ArtifactStore, settings: Settings, recipe: str, model: str) -> Artifact | None:
    """The evaluation of a model on the tests: of the one in service its own copy, of another one if it is still there."""
    service = store.find(f"{IN_SERVICE}/{recipe}")
    if service is not None and service.summary["fingerprint"] == model:
        return service
    found = {variant: store.find(f"{recipe}_evaluation/{variant}") for variant in settings.variants}
    of_model = (
        one
        for variant, one in found.items()
        if one is not None and one.inputs.get(f"finetuned_{recipe}/{variant}") == model
    )
    return next(of_model, None)


@dataclass(kw_only=True)
class References:
    """What months are compared with, read when it is first asked for: most runs add one month of one model."""

    settings: Settings
    examples: Mapping[str, Artifact]
    """Of each task that the source supplies."""
    tokenizer: Artifact
    _scores: "dict[tuple[str, str], ScoreReference | None]" = field(default_factory=dict)
    _texts: "dict[str, TextReference | None]" = field(default_factory=dict)

    @cached_property
    def how(self) -> "Measuring":
        from lang1_assets.ops.analysis.groups import Measuring

        return Measuring(
            min_notes=self.settings.analyze.min_notes,
            min_events=self.settings.analyze.min_events,
            num_resamples=self.settings.evaluate.num_resamples,
            seed=self.settings.seed,
        )

    @cached_property
    def count_tokens(self) -> "CountTokens":
        return token_counter(self.tokenizer.path)

    def scores(self, reference: Artifact | None, task: str) -> "ScoreReference | None":
        from lang1_assets.ops.drift.month import score_reference

        if reference is None:
            return None
        key = (reference.name, task)
        if key not in self._scores:
            held = pl.read_parquet(reference.path / PREDICTIONS_FILE).filter(task=task)
            self._scores[key] = None if held.is_empty() else score_reference(held, self.how)
        return self._scores[key]

    def texts(self, task: str) -> "TextReference | None":
        from lang1_assets.ops.drift.month import text_reference
        from lang1_assets.ops.drift.words import some_patients

        if task not in self.examples:
            return None
        if task not in self._texts:
            scanned = pl.scan_parquet(self.examples[task].path / "examples.parquet").filter(
                split=self.settings.cohorts.headline_split
            )
            notes = some_patients(
                scanned.select("subject_id", "text"), self.settings.drift.reference_notes, self.settings.seed
            )
            self._texts[task] = None if notes.is_empty() else text_reference(notes, self.count_tokens)
        return self._texts[task]


def token_counter(folder: Path) -> "CountTokens":
    """Counts the tokens of texts, without BOS and EOS."""

    def count(texts: Sequence[str]) -> Any:
        import numpy as np

        from lang1_assets.ops.tokenizer import encode_flat

        return np.diff(encode_flat(folder, texts)[1]) if texts else np.zeros(0, dtype=np.int64)

    return count


def references(store: ArtifactStore, settings: Settings, recipe: str) -> References:
    """
    Raises:
        ArtifactError: the labelled notes of a task are not there, as after somebody was forgotten: without them a month would be
            measured without its text, and kept like that.
    """
    found = {task: store.get(f"{task}_examples") for task in finetuned.tasks_of(recipe)}
    examples = {task: one for task, one in found.items() if not one.summary["switched_off"]}
    return References(settings=settings, examples=examples, tokenizer=store.get("tokenizer"))
