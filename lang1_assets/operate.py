"""Operation: what happens when a new dated export lands (M63)."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets import scored
from lang1_assets.materialization import RESEARCH_OWNER, markdown_table, materialized
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.partitions import dated_exports
from lang1_assets.resources.store import Artifact, ArtifactStore, listing_hash
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, lang1_home
from lang1_assets.sql import PROJECT_FOLDER, dbt_variables, sql_hash
from lang1_assets.trained import context_length_of

GROUP = "operate"
LANDED_JOB = "evaluate_landed_export"
LANDED_SPLIT = "landed"
COMPLETE_MARKER = "_COMPLETE"
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
CODE = [
    "lang1_assets.ops.sql_build",
    "lang1_assets.ops.cleaning",
    "lang1_assets.ops.evaluation",
    "lang1_assets.ops.prompts",
    "lang1_assets.ops.results",
]


def build_assets(settings: Settings) -> list[Any]:
    return [landed_evaluation(settings)]


def build_jobs() -> list[Any]:
    return [
        dg.define_asset_job(
            LANDED_JOB,
            selection=dg.AssetSelection.assets("landed_evaluation"),
            description="The model in service on one newly landed export.",
        )
    ]


def build_sensors(settings: Settings) -> list[Any]:
    return [landing_sensor(settings)]


def build_schedules(settings: Settings) -> list[Any]:
    return [monthly_check(settings)]


def landed_evaluation(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="landed_evaluation",
        deps=["model_in_service"],
        partitions_def=dated_exports,
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch", "dbt"},
        pool="accelerator",
        description="The model in service on a newly landed export: extraction, cohorts, AUROC against the latest test.",
        check_specs=[dg.AssetCheckSpec("no_significant_drop", asset="landed_evaluation")],
    )
    def _landed_evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        month = context.partition_key
        folder = landing_folder(settings) / month
        # It holds the model itself: its variant may have been finetuned again since.
        service = store.get("model_in_service")

        def make(work: Path) -> dict[str, Any]:
            with tracking.run(
                context,
                experiment="evaluate",
                name=f"{service.summary['variant']}, export {month}",
                work=work,
                params={"profile": settings.name, "variant": service.summary["variant"], "export": month},
                inputs=[service],
            ) as run:
                rows = evaluate_export(context, settings, folder, work, service)
                (work / "rows.json").write_text(json.dumps(rows, indent=1))
                run.log_values(
                    {f"{r['metric']}/{r['task']}/{month}": r["value"] for r in rows if r["value"] is not None}
                )
            return {"export": str(folder), "mlflow_run_id": run.run_id, "mlflow_url": run.url}

        artifact = store.build(
            f"landed_evaluation/{month}",
            make,
            parameters={
                # Not the decision: the same model is not scored again because another candidate was turned down.
                "model": service.summary["fingerprint"],
                "export": listing_hash(exported_files(folder)),
                "evaluate": settings.evaluate.model_dump(exclude={"batch_size"}),
                "sql": sql_hash(),
                "cohorts": dbt_variables(settings),
            },
            code=CODE,
            on_wait=context.log.warning,
        )
        rows = json.loads((artifact.path / "rows.json").read_text())
        baseline = baseline_rows(service, settings.cohorts.headline_split)
        return materialized(
            artifact,
            [no_significant_drop(rows, baseline)],
            mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
            auroc=drift_table(rows, baseline),
        )

    return _landed_evaluation


def evaluate_export(
    context: dg.AssetExecutionContext, settings: Settings, folder: Path, work: Path, service: Artifact
) -> list[dict[str, Any]]:
    """Extraction, cleaning, cohorts and scoring of one export; the same steps as the main path, in one asset."""
    from lang1_assets.ops import cleaning, evaluation, results, sql_build
    from lang1_assets.ops.labeling import join_text, write_examples
    from lang1_assets.ops.sources.intake import flatten_source, source_layout

    context.log.info("building cohorts of the export")
    tables, flattened = work / "tables", work / "flattened"
    flattened.mkdir(exist_ok=True)
    source = settings.source
    flatten_source(source.kind, folder, None, flattened, context.log.info, time_zone=source.fhir_time_zone)
    layout = source_layout(PROJECT_FOLDER, source.sql_kind, folder, flattened)
    variables = dbt_variables(settings) | {
        "source_layout": layout.parts,
        "claims_kind": "source",
        "evaluate_only": True,
    }
    sql_build.build_tables(PROJECT_FOLDER, tables, variables)
    cleaning.clean_notes(
        [tables / "staged_notes.parquet"],
        work / "clean",
        cleaning.CleaningRules(min_words=settings.cleaning.min_words, placeholders=settings.cleaning.placeholders),
        scheduler_address=settings.cleaning.scheduler_address,
        num_workers=settings.cleaning.num_workers,
        partition_rows=settings.cleaning.partition_rows,
        on_progress=lambda done, total: None,
    )
    files = {}
    for task in REMEDE:
        joined = join_text(tables / f"cohort_{task}.parquet", work / "clean" / "notes" / "*.parquet")
        if joined.examples["label"].n_unique() < 2:
            context.log.warning(f"{task}: the export has no second class to compare with; left out")
            continue
        files[task] = work / f"{task}.parquet"
        write_examples(joined.examples, files[task])
    variant = service.summary["variant"]
    length = context_length_of(settings, variant) if variant in settings.variants else None
    config = scored.scoring_config(settings, length)
    predictions = evaluation.predict(
        service.path / "model", files, [LANDED_SPLIT], config, context.log.info
    ).predictions
    predictions.write_parquet(work / "predictions.parquet")
    rows: list[Any] = results.result_rows(
        predictions,
        model=variant,
        mode="finetuned",
        trained_on="joint",
        oracle=None,
        num_resamples=settings.evaluate.num_resamples,
        seed=settings.seed,
    )
    return rows


def baseline_rows(service: Artifact, split: str) -> dict[str, dict[str, Any]]:
    """AUROC of the model in service on the test that results are compared on, by task."""
    rows = json.loads((service.path / "rows.json").read_text())
    return {row["task"]: row for row in rows if row["metric"] == "auroc" and row["split"] == split}


def no_significant_drop(rows: list[dict[str, Any]], baseline: dict[str, dict[str, Any]]) -> dg.AssetCheckResult:
    """Fails where the new interval lies wholly below the one on the latest test: a sign that it is time to retrain."""
    dropped = [
        f"{row['task']}: {row['value']:.3f} (up to {row['high']:.3f}) against {baseline[row['task']]['value']:.3f}"
        for row in rows
        if row["metric"] == "auroc"
        and row["high"] is not None
        and row["task"] in baseline
        and row["high"] < baseline[row["task"]]["low"]
    ]
    return dg.AssetCheckResult(
        check_name="no_significant_drop",
        passed=not dropped,
        severity=dg.AssetCheckSeverity.WARN,
        description=("Retraining proposed. " + "; ".join(dropped)) if dropped else None,
    )


def drift_table(rows: list[dict[str, Any]], baseline: dict[str, dict[str, Any]]) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["task", "notes", "AUROC", "95 % interval", "latest test"],
        [
            [
                row["task"],
                row["n"],
                row["value"],
                f"{row['low']:.3f} - {row['high']:.3f}" if row["low"] is not None else "-",
                baseline[row["task"]]["value"] if row["task"] in baseline else "-",
            ]
            for row in rows
            if row["metric"] == "auroc" and row["value"] is not None
        ],
    )


def landing_folder(settings: Settings) -> Path:
    return settings.operate.landing or lang1_home() / "landing"


def exported_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != COMPLETE_MARKER)


def complete_exports(settings: Settings) -> dict[str, str]:
    """Month -> fingerprint of each dated export that is complete: its folder holds the marker that is written last."""
    folder = landing_folder(settings)
    if not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.iterdir()):
        if not MONTH.fullmatch(path.name) or not (path / COMPLETE_MARKER).exists():
            continue
        year, month = map(int, path.name.split("-"))
        if date(year, month, 1) >= settings.operate.earliest:
            found[path.name] = listing_hash(exported_files(path))
    return found


def requests(
    context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext, settings: Settings
) -> tuple[list[dg.RunRequest], list[str]]:
    """A run for each complete export; the run key holds its content, so that none is evaluated twice."""
    known = set(context.instance.get_dynamic_partitions("dated_exports"))
    exports = complete_exports(settings)
    runs = [
        dg.RunRequest(run_key=f"{month}:{content}", partition_key=month, job_name=LANDED_JOB)
        for month, content in exports.items()
    ]
    return runs, [month for month in exports if month not in known]


def landing_sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name="landing",
        job_name=LANDED_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Notices a complete dated export in the landing folder and evaluates the model in service on it.",
    )
    def _landing(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        runs, new = requests(context, settings)
        if not runs:
            return dg.SkipReason(
                f"no complete export in {landing_folder(settings)} (a folder YYYY-MM with {COMPLETE_MARKER})"
            )
        return dg.SensorResult(run_requests=runs, dynamic_partitions_requests=[dated_exports.build_add_request(new)])

    return _landing


def monthly_check(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="monthly_landing_check",
        cron_schedule="0 3 2 * *",
        job_name=LANDED_JOB,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The same once a month, for exports that arrived while the sensor was off.",
    )
    def _monthly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        runs, new = requests(context, settings)
        context.instance.add_dynamic_partitions("dated_exports", new)
        return runs

    return _monthly
