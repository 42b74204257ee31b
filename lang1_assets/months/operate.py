"""Every model in service on every landed month, as soon as its labels are known (M63)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.evaluation import scored
from lang1_assets.evaluation.evaluation_result import CHECKS, check_specs, rows_of, too_good, valid_probabilities
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, column_schema, markdown_table
from lang1_assets.models import finetuned
from lang1_assets.models.trained import ENCODER_CODE, context_length_of
from lang1_assets.months import landed
from lang1_assets.months.landed import IN_SERVICE, LANDED_SPLIT
from lang1_assets.ops import schemas
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION
from lang1_assets.ops.schemas import PREDICTIONS_FILE, RECORD_FILE, ROWS_FILE
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import dated_exports
from lang1_assets.resources.store import Artifact, ArtifactStore, source_hash
from lang1_assets.resources.tracked_run import TrackedRun
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

GROUP = "operate"


def build_assets(settings: Settings) -> list[Any]:
    return [landed_evaluation(settings)]


def landed_evaluation(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name=EVALUATION,
        deps=[COHORTS, dg.AssetDep(IN_SERVICE, partition_mapping=dg.AllPartitionMapping())],
        partitions_def=dated_exports,
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch", "scikitlearn"},
        pool="accelerator",
        description="Every model in service on one landed month, on the tasks whose outcomes are known, beside the latest test. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        metadata={"dagster/column_schema": column_schema(schemas.PREDICTIONS)},
        check_specs=check_specs(EVALUATION),
    )
    def _landed_evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        models = landed.services(store, settings)
        if not models:
            raise dg.Failure(
                f"No model is in service: materialize '{IN_SERVICE}' for {' or '.join(settings.operate.recipes)} first",
                allow_retries=False,
            )
        with landed.reading(store, f"{COHORTS}/{context.partition_key}"):
            cohorts = store.get(f"{COHORTS}/{context.partition_key}")
            found = {
                recipe: evaluate_month(context, settings, store, tracking, recipe, model, cohorts)
                for recipe, model in models.items()
            }
        return result_of(settings, found, models)

    return _landed_evaluation


def evaluate_month(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    tracking: Tracking,
    recipe: str,
    model: Artifact,
    cohorts: Artifact,
) -> Artifact:
    """One model in service on the tasks that it was finetuned on, of those that can be measured."""
    month, variant = context.partition_key, str(model.summary["variant"])
    tasks = measurable(cohorts, recipe)
    answered = predictions_of(context, settings, store, recipe, model, cohorts, tasks)
    name = f"{EVALUATION}/{month}/{recipe}"

    def make(work: Path) -> dict[str, Any]:
        landed.keep_history(store, name)
        with tracking.run(
            context,
            experiment="evaluate",
            name=f"{variant}, {recipe}, export {month}",
            work=work,
            params={
                "profile": settings.name,
                "part": "landed",
                "variant": variant,
                "base": variant,
                "recipe": recipe,
                "month": month,
            },
            inputs=[*answered.values(), cohorts],
        ) as run:
            measure(settings, recipe, model, cohorts, answered, work, run)
        return {
            # The finetuned model's, and not the decision's that left it in service.
            "model": model.summary["fingerprint"],
            "variant": variant,
            "recipe": recipe,
            "export": cohorts.summary["export"]["content"],
            "revision": cohorts.summary["export"]["revision"],
            "cohorts": cohorts.fingerprint,
            "tasks": {task: cohorts.summary["tasks"][task] for task in finetuned.tasks_of(recipe)},
            "mlflow_run_id": run.run_id,
            "mlflow_url": run.url,
        }

    return store.build(
        name,
        make,
        inputs=[*answered.values(), cohorts],
        parameters={
            "model": model.summary["fingerprint"],
            "num_resamples": settings.evaluate.num_resamples,
            "seed": settings.seed,
        },
        code=scored.MEASURING_CODE,
        on_wait=context.log.warning,
    )


def measurable(cohorts: Artifact, recipe: str) -> list[str]:
    """A recipe's tasks whose outcomes are known and of more than one kind."""
    told = cohorts.summary["tasks"]
    return [task for task in finetuned.tasks_of(recipe) if told[task]["ripe"] and told[task]["reason"] is None]


def predictions_of(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    recipe: str,
    model: Artifact,
    cohorts: Artifact,
    tasks: Sequence[str],
) -> dict[str, Artifact]:
    """Task -> probabilities; a task whose notes are the same as before is not scored again when another one ripens."""
    variant = model.summary["variant"]
    length = context_length_of(settings, variant) if variant in settings.variants else None
    parameters = {
        task: {
            "model": model.summary["fingerprint"],
            "notes": cohorts.summary["tasks"][task]["sha256"],
            "seed": settings.seed,
            **scored.prompt_parameters(settings, length),
        }
        for task in tasks
    }
    code = [*scored.SCORING_CODE, ENCODER_CODE]
    names = {task: f"predictions/{EVALUATION}/{context.partition_key}/{recipe}/{task}" for task in tasks}
    asked = {
        task: {"parameters": parameters[task], "code": {name: source_hash(name) for name in code}} for task in tasks
    }
    frames: dict[str, tuple[pl.DataFrame, list[Any]]] = {}

    def make(task: str, work: Path) -> dict[str, Any]:
        if task not in frames:
            # Together: several tasks ask about the same note, which is then read once.
            together = [name for name in tasks if name == task or not is_answered(store, names[name], asked[name])]
            files = {name: cohorts.path / f"{name}.parquet" for name in together}
            frames.update(score(settings, model.path / "model", files, length, context.log.info))
        predictions, prompts = frames[task]
        predictions.write_parquet(work / PREDICTIONS_FILE)
        record = {**scored.folder_hashes(model.path / "model"), "prompts": prompts, "versions": scored.versions()}
        scored.write_json(work / scored.SCORING_FILE, {**record, **asked[task]})
        require_in_service(store, model)
        return {"num_predictions": len(predictions), "asked": asked[task]}

    return {
        task: store.build(
            names[task],
            partial(make, task),
            parameters=parameters[task],
            code=code,
            on_wait=context.log.warning,
        )
        for task in tasks
    }


def require_in_service(store: ArtifactStore, model: Artifact) -> None:
    """Stop where another model's weights may have been read: it is in the same folder.

    Raises:
        dg.Failure: it took over after this one had begun to answer.
    """
    now = store.find(model.name)
    if now is None or now.summary["fingerprint"] != model.summary["fingerprint"]:
        raise dg.Failure(
            f"{model.name}: another model took over meanwhile; the sensor asks for it", allow_retries=False
        )


def is_answered(store: ArtifactStore, name: str, asked: Mapping[str, Any]) -> bool:
    found = store.find(name)
    return found is not None and found.summary["asked"] == json.loads(json.dumps(asked))


def score(
    settings: Settings, folder: Path, files: dict[str, Path], length: int | None, on_progress: Any
) -> dict[str, tuple[pl.DataFrame, list[Any]]]:
    """Task -> rows of `schemas.PREDICTIONS`, and which prompts they are of."""
    from lang1_assets.ops.evaluation import predict

    found = predict(folder, files, [LANDED_SPLIT], scored.scoring_config(settings, length), on_progress)
    return {
        task: (found.predictions.filter(task=task), [used for used in found.prompts if used["task"] == task])
        for task in files
    }


def measure(
    settings: Settings,
    recipe: str,
    model: Artifact,
    cohorts: Artifact,
    answered: Mapping[str, Artifact],
    work: Path,
    run: TrackedRun,
) -> None:
    """Write what every evaluation has (`scored`): probabilities, numbers, what both were made from."""
    subject = scored.Subject(name=model.summary["variant"], mode=recipe, kind="variant", detail="in service")
    frames = [pl.read_parquet(one.path / PREDICTIONS_FILE) for one in answered.values()]
    predictions = pl.concat(frames) if frames else pl.DataFrame(schemas.PREDICTIONS.empty_table())
    assert isinstance(predictions, pl.DataFrame), "a table is a frame"
    predictions.write_parquet(work / PREDICTIONS_FILE)
    rows = scored.result_rows(settings, subject, predictions, None) if frames else []
    scored.write_json(work / ROWS_FILE, rows)
    scored.write_json(work / RECORD_FILE, record_of(settings, subject, cohorts, answered, run))
    # As this month's: the names without it are those of the test.
    run.log_values(
        {
            f"{r['metric']}/{r['task']}/{cohorts.name.rpartition('/')[2]}": r["value"]
            for r in rows
            if r["value"] is not None
        }
    )


def record_of(
    settings: Settings,
    subject: scored.Subject,
    cohorts: Artifact,
    answered: Mapping[str, Artifact],
    run: TrackedRun,
) -> dict[str, Any]:
    from lang1_assets.ops.evaluation_record import task_used

    scoring = {task: json.loads((one.path / scored.SCORING_FILE).read_text()) for task, one in answered.items()}
    sql = cohorts.summary["cohort_sql_sha256"]
    first: dict[str, Any] = next(iter(scoring.values()), {})
    return {
        **asdict(subject),
        **{name: first.get(name) for name in ("model_sha256", "tokenizer_sha256", "versions")},
        "prompts": [used for one in scoring.values() for used in one["prompts"]],
        "tasks": {task: task_used(TASKS[task], sql.get(task), cohorts.fingerprint) for task in answered},
        "parameters": {
            **{task: one["parameters"] for task, one in scoring.items()},
            "num_resamples": settings.evaluate.num_resamples,
            "seed": settings.seed,
        },
        "code": first.get("code", {}) | {module: source_hash(module) for module in scored.MEASURING_CODE},
        "export": cohorts.summary["export"],
        "mlflow_run_id": run.run_id,
    }


def result_of(
    settings: Settings, found: Mapping[str, Artifact], models: Mapping[str, Artifact]
) -> dg.MaterializeResult:
    """What a person sees of all models in service together."""
    rows = {recipe: rows_of(artifact) for recipe, artifact in found.items()}
    baselines = {recipe: baseline_rows(models[recipe], settings.cohorts.headline_split) for recipe in found}
    valid = [valid_probabilities(artifact) for artifact in found.values()]
    return dg.MaterializeResult(
        metadata={
            **{f"auroc_{recipe}": beside_the_test(rows[recipe], baselines[recipe]) for recipe in found},
            "mlflow_runs": dg.MetadataValue.json({recipe: one.summary["mlflow_url"] for recipe, one in found.items()}),
            "tasks": dg.MetadataValue.json({recipe: one.summary["tasks"] for recipe, one in found.items()}),
            "path": dg.MetadataValue.path(str(next(iter(found.values())).path.parent)),
        },
        data_version=dg.DataVersion("-".join(artifact.fingerprint for artifact in found.values())),
        check_results=[
            dg.AssetCheckResult(check_name=CHECKS[0], passed=all(check.passed for check in valid)),
            too_good([row for of_recipe in rows.values() for row in of_recipe]),
        ],
    )


def baseline_rows(service: Artifact, split: str) -> dict[str, dict[str, Any]]:
    """AUROC of the model in service on the test that results are compared on, by task."""
    return {row["task"]: row for row in rows_of(service) if row["metric"] == "auroc" and row["split"] == split}


def beside_the_test(
    rows: Sequence[Mapping[str, Any]], baseline: Mapping[str, Mapping[str, Any]]
) -> dg.MarkdownMetadataValue:
    """The AUROC of a month and of the test; whether they differ is said by the asset `drift`."""
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
