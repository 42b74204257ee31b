"""Whether a model in service still works, month by month: a report, two checks, and the proposal to retrain (M63)."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, materialized
from lang1_assets.models import finetuned
from lang1_assets.months import drift_reference, drift_tables, drifted
from lang1_assets.months.drifted import NAME, ScoredMonth
from lang1_assets.months.landed import IN_SERVICE
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION
from lang1_assets.ops.schemas import ROWS_FILE
from lang1_assets.partitions import service_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracked_run import TrackedRun
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

if TYPE_CHECKING:
    from lang1_assets.ops.drift.rows import DriftRow
    from lang1_assets.ops.drift.verdict import Material

GROUP = "operate"
DROP_CHECK, INPUTS_CHECK = "no_significant_drop", "inputs_as_before"
REPORT_FILE, TABLE_FILE = "drift.json", "rows.parquet"
CODE = [
    *drifted.MEASURING_CODE,
    "lang1_assets.ops.comparison",
    "lang1_assets.ops.analysis",
    "lang1_assets.ops.study",
    "lang1_assets.ops.figures",
]


def build_assets(settings: Settings) -> list[Any]:
    return [drift(settings)]


def drift(settings: Settings) -> dg.AssetsDefinition:
    tasks = dict.fromkeys(task for recipe in settings.operate.recipes for task in finetuned.tasks_of(recipe))
    mapped = {name: dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in (COHORTS, EVALUATION)}

    @dg.asset(
        name=NAME,
        deps=[*mapped.values(), IN_SERVICE, "tokenizer", *(f"{task}_examples" for task in tasks)],
        partitions_def=service_partitions(settings),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"polars", "matplotlib"},
        description="AUROC, calibration, prevalence, length and words of the notes and the scores, by month, against the test that "
        "the model was put in service with. " + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec(name, asset=NAME) for name in (DROP_CHECK, INPUTS_CHECK)],
    )
    def _drift(context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking) -> dg.MaterializeResult:
        recipe = context.partition_key
        service, months = measured_from(store, recipe)
        known = drift_reference.references(store, settings, recipe)
        now = [drifted.build_month(context, settings, store, one, known) for one in months]
        # Of one month the model that scored it last comes last.
        measured = sorted([*drifted.kept_months(store, recipe, months), *now], key=lambda one: one.summary["month"])
        newest = measured[-1].summary["month"]

        def make(work: Path) -> dict[str, Any]:
            rows = rows_of(measured)
            with tracking.run(
                context,
                experiment=NAME,
                name=f"{service.summary['variant']}, {recipe}, to {newest}",
                work=work,
                params={
                    "profile": settings.name,
                    "part": "drift",
                    "variant": service.summary["variant"],
                    "recipe": recipe,
                },
                inputs=[service, *measured],
            ) as run:
                report = report_of(settings, service, rows)
                write(settings, recipe, work, rows, report)
                log_months(run, rows, service.summary["fingerprint"])
                for file in (REPORT_FILE, TABLE_FILE):
                    run.log_file(work / file)
            return {
                "of": drifted.digest_of(service, months),
                "newest_month": newest,
                "num_months": len({one.summary["month"] for one in measured}),
                "model": service.summary["fingerprint"],
                "variant": service.summary["variant"],
                "num_worse": sum(one["is_worse"] for one in report["drop"]["tested"]),
                "num_changed": len(report["inputs"]["changed"]) + len(report["inputs"]["volumes"]),
                "mlflow_run_id": run.run_id,
                "mlflow_url": run.url,
            }

        artifact = store.build(
            f"{NAME}/{recipe}",
            make,
            # Of the service its model alone: the decision that left it there is taken anew each month.
            inputs=measured,
            parameters={
                "drift": settings.drift.model_dump(),
                "num_resamples": settings.evaluate.num_resamples,
                "model": service.summary["fingerprint"],
            },
            code=CODE,
            on_wait=context.log.warning,
        )
        report = json.loads((artifact.path / REPORT_FILE).read_text())
        return materialized(artifact, checks_of(report), **drift_tables.shown(artifact, rows_of(measured)))

    return _drift


def measured_from(store: ArtifactStore, recipe: str) -> tuple[Artifact, list[ScoredMonth]]:
    """The model in service, and the months.

    Raises:
        dg.Failure: there is no such model, or it has scored no month yet.
    """
    service, months = store.find(f"{IN_SERVICE}/{recipe}"), drifted.scored_months(store, recipe)
    if service is None:
        raise dg.Failure(f"No {recipe} model is in service: materialize '{IN_SERVICE}' first", allow_retries=False)
    if not months:
        raise dg.Failure(f"No month has been evaluated with {recipe} yet: '{EVALUATION}' first", allow_retries=False)
    return service, months


def rows_of(measured: Sequence[Artifact]) -> "list[DriftRow]":
    return [row for one in measured for row in json.loads((one.path / ROWS_FILE).read_text())]


def material_of(settings: Settings) -> "Material":
    from lang1_assets.ops.drift.verdict import Material

    return Material(**settings.drift.model_dump(exclude={"false_alarm_rate", "reference_notes"}))


def report_of(settings: Settings, service: Artifact, rows: "Sequence[DriftRow]") -> dict[str, Any]:
    """What was tested and found, as JSON."""
    from lang1_assets.ops.drift.verdict import drop_verdict, drop_words, inputs_verdict, inputs_words

    model, variant = service.summary["fingerprint"], service.summary["variant"]
    drop = drop_verdict(rows, model, settings.drift.false_alarm_rate)
    # The notes of a month are tested once, and not once for each model that scored it.
    latest = drift_tables.by_last_model(rows)
    inputs = inputs_verdict(latest, material_of(settings), settings.evaluate.num_resamples)
    return {
        "model": model,
        "variant": variant,
        "reference": settings.cohorts.headline_split,
        "drop": {
            "words": drop_words(drop, f"{variant} ({model})"),
            "level": drop.level,
            "tested": [
                {**one.row, **{k: v for k, v in vars(one).items() if k != "row"}, "is_worse": one.is_worse}
                for one in drop.tested
            ],
            "left_out": list(drop.left_out),
        },
        "inputs": {
            "words": inputs_words(inputs),
            "chance": inputs.chance,
            "changed": list(inputs.changed),
            "volumes": [
                {"task": task, "month": month, "usual": usual} for (task, month), usual in inputs.volumes.items()
            ],
        },
        "thresholds": asdict(material_of(settings)),
    }


def write(settings: Settings, recipe: str, work: Path, rows: "Sequence[DriftRow]", report: dict[str, Any]) -> None:
    """The table, the report and the pictures, of which each model has its own."""
    from lang1_assets.ops.drift.figure import SHEETS, inputs_picture, performance_picture
    from lang1_assets.ops.drift.rows import frame

    frame(rows).write_parquet(work / TABLE_FILE)
    (work / REPORT_FILE).write_text(json.dumps(report, indent=1, allow_nan=False))
    level, is_synthetic = settings.drift.false_alarm_rate, settings.is_synthetic
    for model, variant in {row["model"]: row["variant"] for row in rows}.items():
        own = [row for row in rows if row["model"] == model]
        name = "performance" if model == report["model"] else f"performance_{model}"
        title = variant if model == report["model"] else f"{variant}, which served before ({model}),"
        for wide in (True, False):
            drawn = performance_picture(own, recipe, title, level, is_synthetic=is_synthetic, wide=wide)
            (work / drift_tables.picture_file(name, wide)).write_bytes(drawn)
    latest = drift_tables.by_last_model(rows)
    for sheet in SHEETS:
        for wide in (True, False):
            drawn = inputs_picture(latest, sheet, is_synthetic=is_synthetic, wide=wide)
            (work / drift_tables.picture_file(sheet, wide)).write_bytes(drawn)


def log_months(run: TrackedRun, rows: "Sequence[DriftRow]", model: str) -> None:
    """Each number of the model in service as `STATISTIC/TASK`; the step is the number of months since the first one."""
    own = [row for row in rows if row["model"] == model]
    months = sorted({row["month"] for row in own})
    logged = [
        {
            "group": "train",  # of the run itself, and not of a trial under it
            "time": time.time(),
            "step": months_between(months[0], month),
            "values": {
                f"{row['statistic']}/{row['task']}": row["value"]
                for row in own
                if row["month"] == month and row["value"] is not None
            },
        }
        for month in months
    ]
    run.log_rows(logged)


def months_between(first: str, last: str) -> int:
    """
    >>> months_between("2025-11", "2026-02")
    3
    """
    (year, month), (last_year, last_month) = (map(int, one.split("-")) for one in (first, last))
    return 12 * (last_year - year) + last_month - month


def checks_of(report: dict[str, Any]) -> list[dg.AssetCheckResult]:
    drop, inputs = report["drop"], report["inputs"]
    return [
        dg.AssetCheckResult(
            check_name=DROP_CHECK,
            passed=not any(one["is_worse"] for one in drop["tested"]),
            severity=dg.AssetCheckSeverity.WARN,
            description=drop["words"],
            metadata={"tested": drift_tables.tested_table(drop["tested"]), "false_alarm_rate": drop["level"]},
        ),
        dg.AssetCheckResult(
            check_name=INPUTS_CHECK,
            passed=not inputs["changed"] and not inputs["volumes"],
            severity=dg.AssetCheckSeverity.WARN,
            description=inputs["words"],
            metadata={"false_alarm_rate_at_most": inputs["chance"]},
        ),
    ]
