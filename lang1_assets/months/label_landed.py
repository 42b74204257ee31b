"""Labelled notes of each landed month, with what later months say of them (M63)."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.materialization import DATA_OWNER, SYNTHETIC, markdown_table, materialized
from lang1_assets.months import landed
from lang1_assets.months.landed import FILES, FLATTENED
from lang1_assets.ops.forgetting.subjects import forgotten_folder, left_out, require_nothing_unfinished
from lang1_assets.ops.landing.plan import COHORTS, EXPORT, Exports
from lang1_assets.ops.landing.ripeness import Ripeness
from lang1_assets.ops.tasks import REMEDE, TASKS
from lang1_assets.partitions import dated_exports
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings, lang1_home
from lang1_assets.sql import PROJECT_FOLDER, build_variables, dbt_variables, sql_hash

GROUP = "operate"
EXPORT_FACTS = ("content", "covers_until", "revision", "listing")
"""What is known of an export after its files were deleted."""
CODE = [
    "lang1_assets.ops.landing.cohorts",
    "lang1_assets.ops.sql_build",
    "lang1_assets.ops.cleaning",
    "lang1_assets.ops.labeling",
    "lang1_assets.ops.schemas",
    "lang1_assets.ops.tasks",
]


def build_assets(settings: Settings) -> list[Any]:
    return [landed_cohorts(settings)]


def landed_cohorts(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name=COHORTS,
        deps=[EXPORT],
        partitions_def=dated_exports,
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"dbt", "dask", "parquet"},
        description="The labelled notes of one landed month, of each task whose outcomes can be known by now. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("every_label_is_ripe", asset=COHORTS)],
    )
    def _landed_cohorts(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        artifact = build_cohorts(context, settings, store)
        return materialized(artifact, [every_label_is_ripe(artifact)], tasks=task_table(artifact))

    return _landed_cohorts


def build_cohorts(context: dg.AssetExecutionContext, settings: Settings, store: ArtifactStore) -> Artifact:
    """The cohorts of the run's month; where its files were deleted after their time, as they were made before.

    Raises:
        dg.Failure: neither the files nor the cohorts are there.
    """
    require_nothing_unfinished(lang1_home())
    month = context.partition_key
    taken = landed.taken_months(store)
    if month not in taken:
        raise dg.Failure(f"{month}: no such export was taken; materialize '{EXPORT}' for it first", allow_retries=False)
    exports, cohorts = Exports.of(taken), store.find(f"{COHORTS}/{month}")
    days = landed.follow_up_days(settings)
    ripe = exports.to_be_made_with(month, landed.labelled_of(cohorts).key if cohorts else None, days)
    if ripe is None:
        if cohorts is not None and landed.labelled_of(cohorts).key == taken[month].key:
            return cohorts
        raise dg.Failure(
            f"{month}: its fetched files were deleted; materialize '{EXPORT}' for it again", allow_retries=False
        )
    # The latest first: of a row that several exports have, it is the latest that counts.
    months = [*sorted(ripe.followed_by, reverse=True), month]
    with landed.reading(store, *(f"{EXPORT}/{name}" for name in months)):
        now = landed.taken_months(store)
        if any(now.get(name) != taken[name] for name in months):
            raise dg.Failure(f"{month}: an export was replaced meanwhile; the sensor asks for this again")
        inputs = [store.get(f"{EXPORT}/{name}") for name in months]
        return store.build(
            f"{COHORTS}/{month}",
            lambda work: whole(month, make_cohorts(context, settings, inputs, ripe, work)),
            inputs=inputs,
            parameters={
                "unripe": sorted(ripe.unripe),
                "sql": sql_hash(),
                "variables": dbt_variables(settings),
                "cleaning": cleaning_rules(settings),
                **left_out(lang1_home()),
            },
            code=CODE,
            on_wait=context.log.warning,
        )


def whole(month: str, summary: dict[str, Any]) -> dict[str, Any]:
    """The summary of a month's cohorts, none of whose notes was lost on the way.

    Raises:
        dg.Failure: some were; finished, the cohorts would be found again by every later run.
    """
    notes, rejected = summary["notes"], summary["rejected_by_cleaning"]
    staged = notes["num_staged"] - notes["num_of_month"] - notes["num_of_other_months"]
    cleaned = notes["num_of_month"] - notes["num_clean"] - rejected
    if staged or cleaned:
        raise dg.Failure(
            f"{month}: notes were lost on the way, {staged} between staging and the month and {cleaned} in cleaning; nothing of "
            "these cohorts is kept. This is an error in Lang1."
        )
    return summary


def cleaning_rules(settings: Settings) -> dict[str, Any]:
    return {"min_words": settings.cleaning.min_words, "placeholders": settings.cleaning.placeholders}


def make_cohorts(
    context: dg.AssetExecutionContext, settings: Settings, exports: Sequence[Artifact], ripe: Ripeness, work: Path
) -> dict[str, Any]:
    """Extraction, cleaning, cohorts; the same steps as the main path.

    Args:
        exports: of the months that follow, the latest first, and last the month itself.
    """
    from lang1_assets.ops import cleaning, sql_build
    from lang1_assets.ops.landing import cohorts
    from lang1_assets.ops.sources.intake import source_layout

    month, kind = exports[-1].name.rpartition("/")[2], settings.source.sql_kind
    for left in work.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
    parts = [source_layout(PROJECT_FOLDER, kind, one.path / FILES, one.path / FLATTENED).parts for one in exports]
    tables, scratch = work / "tables", work / "scratch"
    scratch.mkdir()
    context.log.info(f"building the cohorts of {month}" + "".join(f", with {name}" for name in ripe.followed_by))
    variables = build_variables(settings) | {
        "source_layout": cohorts.joined_parts(parts),
        "claims_kind": "source",
        "evaluate_only": True,
        "records_until": max(one.summary["covers_until"] for one in exports),
    }
    sql_build.build_tables(PROJECT_FOLDER, tables, variables)
    notes = cohorts.keep_month(tables, month, scratch / cohorts.NOTES_FILE)
    report = cleaning.clean_notes(
        [scratch / cohorts.NOTES_FILE],
        scratch / "clean",
        cleaning.CleaningRules(**cleaning_rules(settings)),
        scheduler_address=settings.cleaning.scheduler_address,
        num_workers=settings.cleaning.num_workers,
        partition_rows=settings.cleaning.partition_rows,
        on_progress=lambda done, total: None,
    )
    told = {
        task: cohorts.write_task(
            tables, scratch / "clean" / "notes" / "*.parquet", TASKS[task], month, work / f"{task}.parquet"
        )
        for task in landed.follow_up_days(settings)
        if task not in ripe.unripe
    }
    summary = {
        "export": {name: exports[-1].summary[name] for name in EXPORT_FACTS},
        "followed_by": dict(ripe.followed_by),
        "tasks": told | {task: unripe(reason) for task, reason in ripe.unripe.items()},
        "notes": {**vars(notes), "num_clean": report.rows_kept, "num_words": report.num_words},
        "stays_in_several_exports": cohorts.num_stays_in_several(
            parts, kind, settings.source.encoding, tables / "encounters.parquet", month
        ),
        "rejects": cohorts.rejects_by_reason(
            [tables / "rejects.parquet", *sorted((scratch / "clean" / "rejects").glob("*.parquet"))]
        ),
        "rejected_by_cleaning": sum(report.rejects_by_reason.values()),
        "cohort_sql_sha256": sql_hashes(tables, work / "sql", exports),
        "synthetic": settings.is_synthetic,
    }
    # The warehouse of this month is not read again, and its notes lie in the files of the tasks.
    for folder in (tables, scratch):
        shutil.rmtree(folder)
    return summary


def unripe(reason: str) -> dict[str, Any]:
    return {"ripe": False, "n": 0, "positive": None, "labels": [], "reason": reason}


def sql_hashes(tables: Path, folder: Path, exports: Sequence[Artifact]) -> dict[str, str]:
    """Task -> hash of all SQL behind its cohort, as it was run; the SQL itself stays beside the cohorts."""
    from lang1_assets.ops.compiled_sql import cohort_sql_sha256, write_compiled_sql

    manifest = tables / "target" / "manifest.json"
    places = {
        str(tables): "RESULTS",
        str(PROJECT_FOLDER): "PROJECT",
        str(forgotten_folder(lang1_home())): "FORGOTTEN",
        **{str(one.path): "RECORDS" for one in exports},
    }
    write_compiled_sql(manifest, folder, places)
    return {task: cohort_sql_sha256(manifest, folder, f"cohort_{task}") for task in REMEDE}


def every_label_is_ripe(artifact: Artifact) -> dg.AssetCheckResult:
    waiting = {task: told["reason"] for task, told in artifact.summary["tasks"].items() if not told["ripe"]}
    return dg.AssetCheckResult(
        check_name="every_label_is_ripe",
        passed=not waiting,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{TASKS[task].title}: {reason}" for task, reason in waiting.items()) or None,
    )


def task_table(artifact: Artifact) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["task", "notes", "of each label", "said"],
        [
            [TASKS[task].title, told["n"], " / ".join(map(str, told["labels"])) or "-", told["reason"] or "-"]
            for task, told in artifact.summary["tasks"].items()
        ],
    )
