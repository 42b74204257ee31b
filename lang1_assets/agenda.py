"""What `lang1 study` makes, in order: every model and evaluation that the profile's `study` and the demo ask for, then the
studies.

Each entry is an asset that a person could click in Dagster. What is up to date is reused, so the same command goes on after an
interruption, and after a failure it goes on with whatever does not need what failed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lang1_assets.families import can_be_made, wanted
from lang1_assets.finetuned import ELSEWHERE, MATCHED
from lang1_assets.materialization import REUSED
from lang1_assets.ops.study.names import STUDY_NAMES
from lang1_assets.settings import Settings, lang1_home, load_settings
from lang1_assets.settings.models import Served

if TYPE_CHECKING:
    import dagster as dg

RECORDS = "records"
"""The entry that builds all data: the assets of `DATA_GROUPS`."""
DATA_GROUPS = ("extract", "clean", "tokens", "label")
SECONDS_FILE = "study-seconds-{profile}.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing to make."""

    asset: str
    partition: str | None = None

    @property
    def title(self) -> str:
        return self.asset if self.partition is None else f"{self.asset}, {self.partition}"


def agenda(settings: Settings) -> list[Entry]:
    """Everything, in an order in which each entry comes after what it reads."""
    variants = list(dict.fromkeys([settings.main_variant, *settings.study.finetuned, *settings.study.scaled]))
    entries = [Entry(asset=RECORDS), Entry(asset="label_dependence")]
    if settings.elsewhere is not None:
        # The other hospital's own records are another profile's: see `records_elsewhere`.
        entries += [Entry(asset=f"{recipe}_examples") for recipe in settings.recipes if recipe.startswith(ELSEWHERE)]
    for variant in variants:
        entries += [Entry(asset=asset, partition=variant) for asset in assets_of(settings, variant)]
    entries += [Entry(asset="baseline_evaluation", partition=name) for name in baselines()]
    local = [name for name, model in settings.models.items() if not isinstance(model, Served)]
    entries += [Entry(asset="outside_evaluation", partition=name) for name in local]
    studies = [name for name in STUDY_NAMES if can_be_made(settings, name)]
    entries += [Entry(asset=asset) for asset in ("leaderboard", *studies, "claims", "model_in_service")]
    entries += [Entry(asset="model_card", partition=variant) for variant in variants]
    return [*entries, Entry(asset="corpus_statistics"), Entry(asset="report")]


def baselines() -> tuple[str, ...]:
    from lang1_assets.ops.baselines import BASELINES

    return tuple(BASELINES)


def assets_of(settings: Settings, variant: str) -> Iterator[str]:
    """The assets of one variant: its model, what is finetuned from it, how well each does."""
    decoder = settings.variants[variant].architecture == "decoder"
    recipes = [recipe for recipe in wanted(settings).get(variant, ()) if recipe in settings.recipes]
    yield "pretrained_model"
    if decoder:
        yield "zero_shot_evaluation"
    if decoder and (variant in settings.study.scaled or variant == settings.main_variant):
        yield "trajectory_evaluation"
    for recipe in recipes:
        yield f"finetuned_{recipe}"
        if not recipe.startswith((ELSEWHERE, MATCHED)):
            yield f"{recipe}_evaluation"
    if any(recipe.startswith(ELSEWHERE) for recipe in recipes):
        yield "elsewhere_evaluation"
    if decoder and recipes:
        yield "answer_perplexity"
    if variant in settings.study.scaled:
        yield from ("scaled_model", "scaled_evaluation")
    if variant == settings.main_variant:
        yield from ("strata", "patient_overlap", "temporal_drift", "memorization")


@dataclass(kw_only=True)
class Clock:
    """How long entries take, for the progress line; what was measured is kept for the next time."""

    file: Path
    known: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def read(file: Path) -> Clock:
        try:
            return Clock(file=file, known=json.loads(file.read_text()))
        except (OSError, ValueError):
            return Clock(file=file)

    def note(self, entry: Entry, seconds: float, *, reused: bool) -> None:
        """What was reused says nothing of how long it takes to make."""
        if not reused:
            self.known[entry.title] = round(seconds, 1)
            beside = self.file.with_suffix(".tmp")
            beside.write_text(json.dumps(self.known, indent=1))
            beside.rename(self.file)

    def left(self, entries: Sequence[Entry]) -> float | None:
        """Seconds that some entries will take: of the same before, else of the same asset, else of any."""
        if not self.known:
            return None
        by_asset: dict[str, list[float]] = {}
        for title, seconds in self.known.items():
            by_asset.setdefault(title.split(",")[0], []).append(seconds)
        usual = {asset: statistics.median(found) for asset, found in by_asset.items()}
        any_asset = statistics.fmean(usual.values())
        return sum(self.known.get(entry.title, usual.get(entry.asset, any_asset)) for entry in entries)


def run_agenda(settings: Settings, instance: dg.DagsterInstance, tags: Mapping[str, str]) -> list[Entry]:
    """Make everything; the entries that failed.

    Raises:
        KeyboardInterrupt: a person stopped it.
    """
    from lang1_assets import definitions

    job = definitions.defs.resolve_implicit_global_asset_job_def()
    entries, failed = agenda(settings), []
    clock = Clock.read(lang1_home() / SECONDS_FILE.format(profile=settings.name))
    if settings.elsewhere is not None:
        records_elsewhere(settings.elsewhere)
    for number, entry in enumerate(entries, 1):
        left = clock.left(entries[number - 1 :])
        about = "" if left is None else f", about {left / 60:.0f} min if nothing is reused"
        print(f"\n[{number}/{len(entries)}] {entry.title}; {len(entries) - number} after it{about}", flush=True)
        started = time.monotonic()
        result = job.execute_in_process(
            instance=instance,
            asset_selection=keys_of(entry, definitions.defs),
            partition_key=entry.partition,
            run_config={"loggers": {"console": {}}},
            tags=dict(tags),
            raise_on_error=False,
        )
        if was_interrupted(result):
            raise KeyboardInterrupt
        if not result.success:
            failed.append(entry)
            continue
        clock.note(entry, time.monotonic() - started, reused=was_reused(result))
    return failed


def keys_of(entry: Entry, definitions: dg.Definitions) -> list[dg.AssetKey]:
    import dagster as dg

    if entry.asset != RECORDS:
        return [dg.AssetKey(entry.asset)]
    graph = definitions.resolve_asset_graph()
    chosen = dg.AssetSelection.groups(*DATA_GROUPS).resolve(graph)
    return sorted(key for key in chosen if key in graph.executable_asset_keys)


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a person stopped it: Dagster makes a failure of one step of that, and the next entry would begin."""
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    while errors:
        if any(error is not None and error.cls_name == "DagsterExecutionInterruptedError" for error in errors):
            return True
        errors = [error.cause for error in errors if error is not None]
    return False


def was_reused(result: dg.ExecuteInProcessResult) -> bool:
    """Whether every artifact was there already, as their metadata say."""
    found = [
        event.step_materialization_data.materialization.metadata.get("status")
        for event in result.get_asset_materialization_events()
    ]
    return all(status is not None and status.value == REUSED for status in found)


def records_elsewhere(profile: str) -> None:
    """The other hospital's labelled notes, in a process of its own: definitions are of one profile."""
    print(f"\nThe other hospital: profile {load_settings(profile).name}", flush=True)
    command = [sys.executable, "-m", "lang1_assets.cli", "cohorts"]
    done = subprocess.run(command, env={**os.environ, "LANG1_PROFILE": profile}, check=False)
    if done.returncode != 0:
        print("The other hospital's notes were not made; its studies will say so.", flush=True)
