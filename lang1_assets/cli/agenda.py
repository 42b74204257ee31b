"""What `lang1 study` makes, in order: every model and evaluation that the profile's `study` and the demo ask for, then the
studies.

Each entry is an asset that a person could click in Dagster. What is up to date is reused, so the same command goes on after an
interruption, and after a failure it goes on with whatever does not need what failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lang1_assets.cli.clock import Clock
from lang1_assets.cli.lanes import BEGINS, FAILED, INTERRUPTED, MADE, Entry, Report, places_for, work_through
from lang1_assets.cli.lanes import REUSED as WAS_REUSED
from lang1_assets.evaluation.families import can_be_made, wanted
from lang1_assets.materialization import REUSED
from lang1_assets.models.finetuned import ELSEWHERE, MATCHED
from lang1_assets.ops.study.names import STUDY_NAMES
from lang1_assets.resources.launcher.processes import num_gpus
from lang1_assets.settings import Settings, lang1_home, load_settings
from lang1_assets.settings.models import Served

if TYPE_CHECKING:
    import dagster as dg

RECORDS = "records"
"""The entry that builds all data: the assets of `DATA_GROUPS`."""
DATA_GROUPS = ("extract", "clean", "tokens", "label")
TOGETHER = ("model_in_service", "model_card")
"""Have partitions and compare what variants gave."""
SECONDS_FILE = "study-seconds-{profile}.json"


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
    entries += [Entry(asset=asset) for asset in ("leaderboard", *studies, "claims")]
    entries += [Entry(asset="model_in_service", partition=recipe) for recipe in settings.operate.recipes]
    entries += [Entry(asset="model_card", partition=variant) for variant in variants]
    return [*entries, Entry(asset="report")]


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


def run_agenda(settings: Settings, instance: dg.DagsterInstance) -> list[Entry]:
    """Make everything; the entries that failed.

    Raises:
        KeyboardInterrupt: a person stopped it.
        LaneLostError: a process of it was killed.
    """
    # Lanes that shared a GPU would wait for each other.
    num_lanes = 1 if num_gpus() else settings.study.lanes
    chart = Chart(
        entries=agenda(settings),
        clock=Clock.read(lang1_home() / SECONDS_FILE.format(profile=settings.name)),
        num_lanes=num_lanes,
    )
    if settings.elsewhere is not None:
        records_elsewhere(settings.elsewhere)
    with places_for(num_lanes, instance):
        for groups in stages(chart.entries):
            # Closed at once when a person stops it: the lanes end before anything else is said.
            with closing(work_through(groups, num_lanes, materialize)) as reports:
                for report in reports:
                    chart.note(report)
    return chart.failed


def stages(entries: Sequence[Entry]) -> list[list[list[Entry]]]:
    """The entries in groups that may be made side by side: the records; variant by variant, each baseline; what compares them."""
    keys = [entry.partition if entry.asset not in TOGETHER else None for entry in entries]
    beside = [key for key in dict.fromkeys(keys) if key is not None]
    first = keys.index(beside[0])
    before = [entry for entry, key in zip(entries[:first], keys, strict=False) if key is None]
    after = [entry for entry, key in zip(entries, keys, strict=True) if key is None and entry not in before]
    of_keys = [[entry for entry, own in zip(entries, keys, strict=True) if own == key] for key in beside]
    return [[before], of_keys, [after]]


@dataclass(kw_only=True)
class Chart:
    """How far everything is, said in a line whenever an entry begins."""

    entries: Sequence[Entry]
    clock: Clock
    num_lanes: int = 1
    ended: set[Entry] = field(default_factory=set)
    failed: list[Entry] = field(default_factory=list)

    def note(self, report: Report) -> None:
        if report.state == BEGINS:
            print(self.line(report), flush=True)
            return
        self.ended.add(report.entry)
        if report.state == FAILED:
            self.failed.append(report.entry)
        else:
            self.clock.note(report.entry, report.seconds, reused=report.state == WAS_REUSED)

    def line(self, report: Report) -> str:
        """`1| [12 of 126 done] joint_evaluation, ours; about 90 min if nothing is reused`."""
        left = self.clock.left([entry for entry in self.entries if entry not in self.ended])
        about = "" if left is None else f"; about {left / 60 / self.num_lanes:.0f} min if nothing is reused"
        lane = f"{report.lane}| " if report.lane else ""
        return f"\n{lane}[{len(self.ended)} of {len(self.entries)} done] {report.entry.title}{about}"


def materialize(entry: Entry, lane: int) -> Report:
    """One entry, by Dagster in this process; it knows the definitions from the entry before."""
    import dagster as dg

    from lang1_assets import definitions
    from lang1_assets.operation.dead_runs import process_tag

    started = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        result = definitions.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=keys_of(entry, definitions.defs),
            partition_key=entry.partition,
            run_config={"loggers": {"console": {}}},
            tags=process_tag(),
            raise_on_error=False,
        )
    return Report(lane=lane, entry=entry, state=state_of(result), seconds=time.monotonic() - started)


def state_of(result: dg.ExecuteInProcessResult) -> str:
    if was_interrupted(result):
        return INTERRUPTED
    if not result.success:
        return FAILED
    return WAS_REUSED if was_reused(result) else MADE


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
