"""What drift is measured from: months that a model scored, the notes of each, and the reference of that model.

drift_reference/RECIPE/MODEL      what the model made of the headline test; kept when another model takes over
drift_month/RECIPE/MONTH/MODEL    the numbers of one month, made once and again when one of its inputs changes
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.models import finetuned
from lang1_assets.months import landed
from lang1_assets.months.drift_reference import References, reference_of
from lang1_assets.months.landed import HISTORY
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION
from lang1_assets.ops.schemas import PREDICTIONS_FILE, ROWS_FILE
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

NAME, MONTH = "drift", "drift_month"
MEASURING_CODE = [
    "lang1_assets.ops.drift",
    "lang1_assets.ops.analysis.groups",
    "lang1_assets.ops.bootstrap",
    "lang1_assets.ops.metrics",
    "lang1_assets.ops.resampled_metrics",
    "lang1_assets.ops.tasks",
]


@dataclass(frozen=True, kw_only=True)
class ScoredMonth:
    """One month as one model scored it."""

    month: str
    recipe: str
    evaluation: Artifact
    cohorts: Artifact

    @property
    def model(self) -> str:
        """Fingerprint."""
        return str(self.evaluation.summary["model"])

    @property
    def variant(self) -> str:
        return str(self.evaluation.summary["variant"])

    @property
    def tasks(self) -> list[str]:
        """Those of the recipe whose labels were known when it was scored."""
        told = self.evaluation.summary["tasks"]
        return [task for task in finetuned.tasks_of(self.recipe) if told[task]["ripe"]]


def scored_months(store: ArtifactStore, recipe: str) -> list[ScoredMonth]:
    """Every month, in order, by the model that scored it last and by those before it; nothing of a month whose evaluation is
    older than its notes, which is evaluated again soon."""
    found = []
    for month in landed.months_of(store, EVALUATION):
        cohorts = store.find(f"{COHORTS}/{month}")
        now = store.find(f"{EVALUATION}/{month}/{recipe}")
        if cohorts is None or now is None or now.summary["cohorts"] != cohorts.fingerprint:
            continue
        for evaluation in (*earlier_evaluations(store, now), now):
            found.append(ScoredMonth(month=month, recipe=recipe, evaluation=evaluation, cohorts=cohorts))
    return found


def earlier_evaluations(store: ArtifactStore, now: Artifact) -> list[Artifact]:
    """The last one of each model that scored the same export before."""
    folder = store.path(f"{HISTORY}/{now.name}")
    kept = [store.find(f"{HISTORY}/{now.name}/{path.name}") for path in sorted(folder.glob("*"))]
    last: dict[str, Artifact] = {}
    for one in sorted((one for one in kept if one is not None), key=lambda one: one.created):
        if one.summary["export"] == now.summary["export"] and one.summary["model"] != now.summary["model"]:
            last[one.summary["model"]] = one
    return list(last.values())


def kept_months(store: ArtifactStore, recipe: str, scored: Sequence[ScoredMonth]) -> list[Artifact]:
    """Numbers of months that can no longer be measured: their notes are forgotten or past their time, an earlier model's
    predictions were removed, or another task's labels have just ripened. Not of an export that was corrected since."""
    known = {(one.month, one.model) for one in scored}
    folder = store.path(f"{MONTH}/{recipe}")
    names = [str(path.relative_to(store.path(MONTH))) for path in sorted(folder.glob("*/*")) if path.is_dir()]
    found = [store.find(f"{MONTH}/{name}") for name in names]
    kept = [one for one in found if one is not None and (one.summary["month"], one.summary["model"]) not in known]
    return sorted((one for one in kept if is_of_its_export(store, one)), key=lambda one: one.created)


def is_of_its_export(store: ArtifactStore, measured: Artifact) -> bool:
    """Whether a month's export is still the one that was measured, as far as anybody knows."""
    cohorts = store.find(f"{COHORTS}/{measured.summary['month']}")
    return cohorts is None or cohorts.summary["export"]["content"] == measured.summary["export"]


def digest_of(service: Artifact, months: Sequence[ScoredMonth]) -> str:
    """Of everything that changes a report: the model in service, and each month as each model scored it."""
    told = [service.summary["fingerprint"], *((one.evaluation.fingerprint, one.cohorts.fingerprint) for one in months)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def build_month(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    one: ScoredMonth,
    known: References,
) -> Artifact:
    """The rows of one month by one model."""
    reference = reference_of(store, settings, one.recipe, one.model, one.variant)
    if reference is None:
        context.log.warning(
            f"{one.month}: nothing of the tests of model {one.model} ({one.variant}) is kept, so its months are compared with "
            "nothing"
        )

    def make(work: Path) -> dict[str, Any]:
        context.log.info(f"measuring {one.month}, {one.variant}")
        with unchanged(store, one):
            rows = [row for task in one.tasks for row in task_rows(one, task, reference, known)]
        (work / ROWS_FILE).write_text(json.dumps(rows, indent=1, allow_nan=False))
        return {
            "month": one.month,
            "model": one.model,
            "variant": one.variant,
            "export": one.evaluation.summary["export"],
            "num_rows": len(rows),
        }

    return store.build(
        f"{MONTH}/{one.recipe}/{one.month}/{one.model}",
        make,
        inputs=[
            one.evaluation,
            one.cohorts,
            *([reference] if reference else []),
            known.tokenizer,
            *(known.examples[task] for task in one.tasks if task in known.examples),
        ],
        parameters={
            "num_resamples": settings.evaluate.num_resamples,
            "seed": settings.seed,
            "min_notes": settings.analyze.min_notes,
            "min_events": settings.analyze.min_events,
            "reference_notes": settings.drift.reference_notes,
            "split": settings.cohorts.headline_split,
        },
        code=MEASURING_CODE,
        on_wait=context.log.warning,
    )


@contextmanager
def unchanged(store: ArtifactStore, one: ScoredMonth) -> Iterator[None]:
    """Nobody replaces the notes or the predictions of a month while they are read.

    Raises:
        dg.Failure: somebody did after the run had begun.
    """
    read = [artifact for artifact in (one.cohorts, one.evaluation) if not artifact.name.startswith(HISTORY)]
    with landed.reading(store, *(artifact.name for artifact in read)):
        for artifact in read:
            now = store.find(artifact.name)
            if now is None or now.fingerprint != artifact.fingerprint:
                raise dg.Failure(f"{artifact.name} was replaced while drift was measured; materialize it again")
        yield


def task_rows(one: ScoredMonth, task: str, reference: Artifact | None, known: References) -> list[Any]:
    from lang1_assets.ops.drift.month import month_rows

    head: Any = {"month": one.month, "task": task, "model": one.model, "variant": one.variant}
    return month_rows(
        head,
        pl.read_parquet(one.evaluation.path / PREDICTIONS_FILE).filter(task=task),
        pl.read_parquet(one.cohorts.path / f"{task}.parquet", columns=["subject_id", "text"]),
        known.scores(reference, task),
        known.texts(task),
        known.how,
        known.count_tokens,
        not_scored=one.evaluation.summary["tasks"][task]["reason"],
    )
