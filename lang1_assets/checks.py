"""Checks over several artifacts: does any task's data give its answer away? (No peer has these; paper appendix L asks one.)"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.corpus.supplied import cohort_artifact
from lang1_assets.materialization import markdown_table
from lang1_assets.ops.corpora import chosen_notes, held_out_stays
from lang1_assets.ops.tasks import REMEDE, TASKS, Task
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

CHECKS_FILE = "checks.json"
DESCRIPTIONS = {
    "note_within_its_window": "H&P: written within the hours allowed around admission and before discharge; discharge notes: "
    "not later than allowed.",
    "note_not_after_index_time": "No note is newer than the moment of prediction.",
    "outcome_after_index_time": "What is predicted happens after the moment of prediction.",
    "no_label_where_follow_up_is_censored": "No one is called 'not readmitted' who was not watched for the whole window.",
    "input_window_identical_for_both_classes": "When a note was written says nothing of its class.",
    "no_outcome_phrase": "No note states its outcome (disposition, 'expired', 'readmitted on', ...).",
    "auroc_change_when_masked": "A bag-of-words model is as good when phrases that state the outcome are masked.",
    "metadata_alone": "Note length, author, department and hour alone do not predict too well.",
    "shuffled_labels": "A model of shuffled labels stays at chance: the evaluation itself does not leak.",
    "too_good": "An AUROC above 0.98 raises a question.",
    "patient_overlap": "Patients in training and in a test, counted; an error where the split is by patient.",
    "text_overlap": "Equal and nearly equal texts in training and in a test, counted.",
    "corpus_overlap": "Test notes that pretraining reads, counted; none of the latest test may be among them.",
}
ONLY_READMISSION = "no_label_where_follow_up_is_censored"
LIMITS = (
    "hp_max_hours_before_admission",
    "hp_max_hours_after_admission",
    "discharge_note_max_hours_after_discharge",
    "readmission_days",
)


def build_checks(settings: Settings) -> list[Any]:
    return [leaks(settings, task) for task in TASKS.values()]


def names_of(task: Task) -> tuple[str, ...]:
    return tuple(name for name in DESCRIPTIONS if task.name == "readmission" or name != ONLY_READMISSION)


def leaks(settings: Settings, task: Task) -> dg.AssetChecksDefinition:
    asset = f"{task.name}_examples"

    @dg.multi_asset_check(
        name=f"{task.name}_leaks",
        specs=[
            dg.AssetCheckSpec(name, asset=asset, additional_deps=["clean_notes"], description=DESCRIPTIONS[name])
            for name in names_of(task)
        ],
    )
    def _leaks(context: dg.AssetCheckExecutionContext, store: ArtifactStore) -> Iterator[dg.AssetCheckResult]:
        examples = store.get(asset)
        missing = examples.summary["switched_off"]
        if missing:
            yield from (
                dg.AssetCheckResult(
                    check_name=name, asset_key=asset, passed=True, description=f"switched off: {missing}"
                )
                for name in names_of(task)
            )
            return
        artifact = judged(context, settings, store, task, examples)
        for found in json.loads((artifact.path / CHECKS_FILE).read_text()):
            yield as_result(found, asset)

    return _leaks


def judged(
    context: dg.AssetCheckExecutionContext, settings: Settings, store: ArtifactStore, task: Task, examples: Artifact
) -> Artifact:
    tables, notes = store.get("warehouse"), store.get("clean_notes")
    cohort = cohort_artifact(store, task)

    def make(work: Path) -> dict[str, Any]:
        # scikit-learn takes its time to import; the definitions do without it.
        from lang1_assets.ops import leakage

        found = leakage.leak_checks(
            task,
            pl.read_parquet(examples.path / "examples.parquet"),
            pl.read_parquet(cohort.path / "cohort_timing.parquet"),
            leakage.LeakLimits(
                **{name: getattr(settings.cohorts, name) for name in LIMITS},
                has_shifted_dates=settings.cohorts.splits == "shares",
            ),
            corpus_hashes=corpus_hashes(settings, notes.path, tables.path),
            split_by=settings.cohorts.split_by,
            headline_split=settings.cohorts.headline_split,
            seed=settings.seed,
        )
        (work / CHECKS_FILE).write_text(json.dumps([vars(check) for check in found], indent=1))
        return {"num_failed": sum(not check.passed for check in found)}

    context.log.info(f"looking for leaks in {task.title}")
    return store.build(
        f"leak_checks/{task.name}",
        make,
        inputs=[examples, tables, notes, *([cohort] if cohort.name != tables.name else [])],
        parameters={
            "limits": {name: getattr(settings.cohorts, name) for name in LIMITS},
            "split_by": settings.cohorts.split_by,
            "headline_split": settings.cohorts.headline_split,
            "corpora": settings.corpora.model_dump(mode="json"),
            "seed": settings.seed,
        },
        code=["lang1_assets.ops.leakage", "lang1_assets.ops.corpora", "lang1_assets.ops.tasks"],
        on_wait=context.log.warning,
    )


def corpus_hashes(settings: Settings, notes: Path, tables: Path) -> pl.DataFrame:
    """Ids and text hashes of the notes that the largest corpus is pretrained on."""
    from lang1_assets.ops.leakage import hashed_texts

    cohorts = [tables / f"cohort_{task}.parquet" for task in REMEDE]
    held_out = held_out_stays(cohorts, settings.cohorts.headline_split) if settings.corpora.hold_out_test_stays else []
    chosen = chosen_notes(None, settings.corpora.notes_plus_window, held_out)
    frame = pl.scan_parquet(notes / "notes" / "*.parquet")
    return hashed_texts((frame.filter(chosen) if chosen is not None else frame).select("note_id", "text").collect())


def as_result(found: dict[str, Any], asset: str) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = dict(found["numbers"])
    if found["table"]:
        columns = list(found["table"][0])
        metadata["table"] = markdown_table(columns, [[row[name] for name in columns] for row in found["table"]])
    return dg.AssetCheckResult(
        check_name=found["name"],
        asset_key=asset,
        passed=bool(found["passed"]),
        severity=dg.AssetCheckSeverity.ERROR if found["severity"] == "error" else dg.AssetCheckSeverity.WARN,
        description=found["message"],
        metadata=metadata,
    )
