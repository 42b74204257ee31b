"""What is known of the exports that landed, read from the artifact store: the state that decides what is to be done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import Any

from lang1_assets.ops.forgetting.subjects import forgotten_digest
from lang1_assets.ops.landing.area import LandingArea
from lang1_assets.ops.landing.months import MONTH
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION, EXPORT, Evaluated, Labelled, Refused, State, Taken
from lang1_assets.ops.linking import link_or_copy
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.resources.store import Artifact, ArtifactStore, locked
from lang1_assets.settings import Settings, lang1_home

IN_SERVICE = "model_in_service"
REFUSALS = "landed_refusals"
HISTORY = "landed_history"
LANDED_SPLIT = "landed"
LISTING_TAG = "lang1/landed_listing"
"""On a run that takes an export: how its files were listed when it was asked for."""
FILES, FLATTENED = "files", "flattened"
"""Folders of a landed export: the files as they came, and the tables made of those that are none."""

KINDS_WITH_CLAIMS = ("tables", "fhir")
"""The others have no denials to wait for; remittances are read with the main path alone."""


def landing_area(settings: Settings) -> LandingArea:
    return LandingArea.of(landing_place(settings))


def landing_place(settings: Settings) -> str:
    return settings.operate.landing or str(lang1_home() / "landing")


def follow_up_days(settings: Settings) -> dict[str, int]:
    """Of each task, how long after the end of the stay its outcome is known (readmission: paper 5.2.3)."""
    later = {"readmission": settings.cohorts.readmission_days}
    if settings.source.sql_kind in KINDS_WITH_CLAIMS:
        later["insurance_denial"] = settings.operate.insurance_denial_days
    return {task: later.get(task, 0) for task in REMEDE}


def months_of(store: ArtifactStore, asset: str) -> list[str]:
    """Months that have an artifact, finished or not."""
    folder = store.path(asset)
    return sorted(path.name for path in folder.iterdir() if MONTH.fullmatch(path.name)) if folder.is_dir() else []


def taken_of(export: Mapping[str, Any], *, has_files: bool) -> Taken:
    """From the summary of a landed export, or from what the cohorts keep of it."""
    return Taken(
        content=export["content"],
        covers_until=date.fromisoformat(export["covers_until"]),
        revision=export["revision"],
        listing=export["listing"],
        has_files=has_files,
    )


def taken_months(store: ArtifactStore) -> dict[str, Taken]:
    """Every export that was taken; of one whose files were deleted after their time, what its cohorts know."""
    found = {}
    for month in months_of(store, COHORTS):
        cohorts = store.find(f"{COHORTS}/{month}")
        if cohorts is not None:
            found[month] = taken_of(cohorts.summary["export"], has_files=False)
    for month in months_of(store, EXPORT):
        export = store.find(f"{EXPORT}/{month}")
        if export is not None:
            found[month] = taken_of(export.summary, has_files=True)
    return dict(sorted(found.items()))


def state_of(store: ArtifactStore, settings: Settings) -> State:
    return State(
        taken=taken_months(store),
        labelled=labelled_months(store),
        evaluated={month: evaluations_of(store, settings, month) for month in months_of(store, EVALUATION)},
        in_service={recipe: model.summary["fingerprint"] for recipe, model in services(store, settings).items()},
        refused=refusals(store),
        forgotten=forgotten_digest(lang1_home()),
    )


def labelled_months(store: ArtifactStore) -> dict[str, Labelled]:
    found = {month: store.find(f"{COHORTS}/{month}") for month in months_of(store, COHORTS)}
    return {month: labelled_of(cohorts) for month, cohorts in found.items() if cohorts is not None}


def labelled_of(cohorts: Artifact) -> Labelled:
    summary = cohorts.summary
    return Labelled(
        key=taken_of(summary["export"], has_files=False).key,
        followed_by=summary["followed_by"],
        unripe=frozenset(task for task, told in summary["tasks"].items() if not told["ripe"]),
        fingerprint=cohorts.fingerprint,
        created=cohorts.created,
    )


def evaluations_of(store: ArtifactStore, settings: Settings, month: str) -> dict[str, Evaluated]:
    found = {recipe: store.find(f"{EVALUATION}/{month}/{recipe}") for recipe in settings.operate.recipes}
    return {
        recipe: Evaluated(model=one.summary["model"], cohorts=one.summary["cohorts"], created=one.created)
        for recipe, one in found.items()
        if one is not None
    }


def services(store: ArtifactStore, settings: Settings) -> dict[str, Artifact]:
    """Recipe -> the model that serves, of those that have one."""
    found = {recipe: store.find(f"{IN_SERVICE}/{recipe}") for recipe in settings.operate.recipes}
    return {recipe: model for recipe, model in found.items() if model is not None}


def refusals(store: ArtifactStore) -> dict[str, Refused]:
    folder = store.path(REFUSALS)
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return {file.stem: Refused(**json.loads(file.read_text())) for file in files}


def refuse(store: ArtifactStore, month: str, refused: Refused) -> None:
    """Remember that an export was looked at, so that nobody tries it again as it is."""
    path = store.path(REFUSALS) / f"{month}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps(vars(refused)))
    beside.rename(path)


@contextmanager
def reading(store: ArtifactStore, *names: str) -> Iterator[None]:
    """Nobody replaces these artifacts while they are read; locks are taken in one order, so that nobody waits in a circle."""
    with ExitStack() as held:
        for name in sorted(names):
            held.enter_context(locked(store.path(name), lambda message: None))
        yield


def keep_history(store: ArtifactStore, name: str) -> None:
    """Keep the artifact that is about to be replaced: what an earlier revision or model gave stays readable."""
    earlier = store.find(name)
    if earlier is None:
        return
    kept = store.path(HISTORY) / name / earlier.fingerprint
    if not kept.exists():
        beside = kept.with_name(kept.name + ".partial")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(earlier.path, beside, copy_function=link_or_copy)
        beside.rename(kept)
