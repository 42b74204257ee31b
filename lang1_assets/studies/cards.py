"""A model card for every finetuned and evaluated model, from what was run (M81)."""

import json
from collections.abc import Container, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from lang1_assets.corpus.supplied import cohort_artifact
from lang1_assets.evaluation import scored
from lang1_assets.evaluation.families import is_of_this_model, told_apart
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC
from lang1_assets.ops.schemas import RECORD_FILE, ROWS_FILE
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking, registered_name
from lang1_assets.settings import Settings
from lang1_assets.settings.study import ELSEWHERE_RECIPES

if TYPE_CHECKING:
    from lang1_assets.ops.model_card.facts import Facts

NAME, CHECK = "model_card", "every_item_is_answered"
CARD_FILE, FACTS_FILE = "card.md", "card.json"
BESIDE = ("strata", "patient_overlap", "memorization")
"""What a card says more of, where it was run."""
DEMOGRAPHICS = ["subject_id", "prediction_time", "split", "age", "sex", "race", "ethnicity", "borough"]
JOB_FILE = "job.json"
"""What a job was started with, kept beside what it made."""
OF_THE_JOB = ("note_tokens", "context_length", "max_notes", "max_epochs", "patience_steps", "search", "lora", "seed")
"""Beside those of its optimizer; one that a job of earlier code did not know is not there."""
CODE = [__name__, "lang1_assets.ops.model_card", "lang1_assets.ops.analysis.spellings", "lang1_assets.ops.tasks"]


def build_assets(settings: Settings) -> list[Any]:
    return [model_card(settings)]


def recipes_of(settings: Settings) -> list[str]:
    """For use here: a control of a study is neither registered nor has it a card."""
    return [recipe for recipe in settings.recipes if recipe not in ELSEWHERE_RECIPES]


def model_card(settings: Settings) -> dg.AssetsDefinition:
    recipes = recipes_of(settings)

    @dg.asset(
        name=NAME,
        deps=[
            *(f"finetuned_{recipe}" for recipe in recipes),
            *(f"{recipe}_evaluation" for recipe in recipes),
            *(["elsewhere_evaluation"] if settings.elsewhere else []),
            *BESIDE,
            *(f"{task}_examples" for task in TASKS),
        ],
        partitions_def=variant_partitions(settings),
        group_name="report",
        owners=RESEARCH_OWNER,
        kinds={"markdown", "mlflow"},
        description="A card for each finetuned and evaluated model of a variant: the items of TRIPOD+AI, answered from what was "
        "run. " + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec(CHECK, asset=NAME)],
    )
    def _model_card(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        cards = {
            recipe: card for recipe in recipes if (card := build_card(context, settings, store, tracking, key, recipe))
        }
        if not cards:
            raise dg.Failure(
                f"Nothing of {key} is finetuned and evaluated yet: materialize 'finetuned_{recipes[0]}' and "
                f"'{recipes[0]}_evaluation' for it first.",
                allow_retries=False,
            )
        missing = {
            recipe: card.summary["not_measured"] for recipe, card in cards.items() if card.summary["not_measured"]
        }
        versions = json.dumps({recipe: card.fingerprint for recipe, card in cards.items()}, sort_keys=True)
        return dg.MaterializeResult(
            metadata={
                **{recipe: dg.MetadataValue.md((card.path / CARD_FILE).read_text()) for recipe, card in cards.items()},
                "paths": dg.MetadataValue.json({recipe: str(card.path) for recipe, card in cards.items()}),
            },
            data_version=dg.DataVersion(sha256(versions.encode()).hexdigest()[:16]),
            check_results=[all_answered(missing)],
        )

    return _model_card


def all_answered(missing: Mapping[str, list[str]]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{recipe}: not measured: {', '.join(items)}" for recipe, items in missing.items())
        or None,
    )


def build_card(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    tracking: Tracking,
    variant: str,
    recipe: str,
) -> Artifact | None:
    """None where the model is not there, where it or its evaluation is of an earlier one, or where no task of its own was asked."""
    model, evaluation = store.find(f"finetuned_{recipe}/{variant}"), store.find(f"{recipe}_evaluation/{variant}")
    if model is None or evaluation is None:
        return None
    if not is_of_this_model(store, evaluation):
        context.log.warning(f"{recipe}: its base or itself was made anew since; no card until it is evaluated again")
        return None
    # Asked of a model is more than it learned (`evaluate.transfer`): a card is about what it learned.
    learned = job_of(model)["examples"]
    tasks = [task for task in json.loads((evaluation.path / RECORD_FILE).read_text())["tasks"] if task in learned]
    if not tasks:
        context.log.warning(f"{recipe}: evaluated on no task that it was finetuned on; no card until it is")
        return None
    name = registered_name(settings.name, recipe)
    version = tracking.find_version(name, model.fingerprint)
    base = store.get(f"pretrained_model/{variant}")
    tables = {task: cohort_artifact(store, TASKS[task]) for task in tasks}
    examples = {task: store.get(f"{task}_examples") for task in tasks}
    places = {
        **{f"{asset}/{variant}": asset for asset in BESIDE},
        **{f"leak_checks/{task}": f"leak_checks/{task}" for task in tasks},
        f"elsewhere_evaluation/{variant}/{recipe}": "elsewhere",
    }
    told, old = told_apart(store, places)
    if old:
        context.log.warning(f"{recipe}: of an earlier model, and not on its card: {', '.join(old)}")
    beside = {places[name]: item for name, item in told.items()}
    inputs = list(
        {
            item.name: item
            for item in (model, evaluation, base, *tables.values(), *examples.values(), *beside.values())
        }.values()
    )

    def make(work: Path) -> dict[str, Any]:
        from lang1_assets.ops.model_card import writing

        facts = facts_of(
            settings,
            variant,
            recipe,
            model=model,
            evaluation=evaluation,
            base=base,
            tables=tables,
            examples=examples,
            beside=beside,
            exports=store.get("hospital_exports"),
            registered=f"{name} version {version or 'unknown'}",
        )
        items = writing.answered(facts)
        (work / CARD_FILE).write_text(writing.card_markdown(facts, items))
        scored.write_json(work / FACTS_FILE, {"facts": asdict(facts), "items": items})
        return {
            "description": writing.description(facts),
            "not_measured": writing.unanswered(items),
            "num_items": len(items),
        }

    card = store.build(
        f"{NAME}/{variant}/{recipe}",
        make,
        inputs=inputs,
        parameters={"version": version, "cohorts": settings.cohorts.model_dump(mode="json")},
        code=CODE,
        on_wait=context.log.warning,
    )
    if version is None:
        context.log.warning(f"{recipe}: MLflow knows no version of {name} for this model; its card is not attached")
    else:
        files = [card.path / CARD_FILE, card.path / FACTS_FILE]
        tracking.attach_card(name, version, model.summary["mlflow_run_id"], card.summary["description"], files)
    return card


def facts_of(
    settings: Settings,
    variant: str,
    recipe: str,
    *,
    model: Artifact,
    evaluation: Artifact,
    base: Artifact,
    tables: Mapping[str, Artifact],
    examples: Mapping[str, Artifact],
    beside: Mapping[str, Artifact],
    exports: Artifact,
    registered: str,
) -> "Facts":
    from lang1_assets.ops.model_card.facts import Facts, described

    own, job, rows = [model, evaluation, base, *beside.values()], job_of(model), rows_of(evaluation)
    search = model.path / "search.json"
    return Facts(
        variant=variant,
        recipe=recipe,
        tasks=list(examples),
        is_synthetic=settings.is_synthetic,
        source={"kind": settings.source.kind, **exports.summary},
        cohorts=settings.cohorts.model_dump(mode="json"),
        splits=list(settings.cohorts.split_names),
        headline_split=settings.cohorts.headline_split,
        attrition=table_rows(tables, "cohort_attrition"),
        counts=table_rows(tables, "cohort_counts"),
        people=[
            row
            for task, item in examples.items()
            for row in described(task, pl.read_parquet(item.path / "examples.parquet", columns=DEMOGRAPHICS))
        ],
        base={**base_of(base), "architecture": job["architecture"]},
        finetuned=dict(model.summary),
        # The job's, not the profile's: that may have changed since, and a joint run has as many times the steps as tasks.
        settings={**job["training"], **{name: job[name] for name in OF_THE_JOB if name in job}},
        search=json.loads(search.read_text()) if search.exists() else [],
        rows=[row for row in rows if row["task"] in examples],
        transfer=[row for row in rows if row["task"] not in examples],
        record=json.loads((evaluation.path / RECORD_FILE).read_text()),
        elsewhere=rows_of(beside["elsewhere"]) if "elsewhere" in beside else None,
        strata=of_mode(beside.get("strata"), recipe, examples),
        overlap=of_mode(beside.get("patient_overlap"), recipe, examples),
        memorization=beside["memorization"].summary["verdict"] if "memorization" in beside else None,
        leaks={
            task: [{name: check[name] for name in ("name", "passed", "message")} for check in checks_of(beside[place])]
            for task in examples
            if (place := f"leak_checks/{task}") in beside
        },
        registered=registered,
        fingerprints={item.name: item.fingerprint for item in own},
    )


def job_of(model: Artifact) -> dict[str, Any]:
    return dict(json.loads((model.path / JOB_FILE).read_text()))


def base_of(base: Artifact) -> dict[str, Any]:
    """How it came about, from what it left: only what was trained here had a job."""
    is_trained = (base.path / JOB_FILE).exists()
    origin = "pretrained here" if is_trained else "made elsewhere" if "folder" in base.summary else "untrained"
    return {
        "origin": origin,
        "mixture": job_of(base)["weights"] if is_trained else {},
        "tokens": base.summary.get("tokens"),
        "num_parameters": base.summary.get("num_parameters"),
    }


def table_rows(tables: Mapping[str, Artifact], name: str) -> list[dict[str, Any]]:
    """Rows of the tasks alone, in the order of the tasks."""
    return [
        row
        for task, item in tables.items()
        for row in pl.read_parquet(item.path / f"{name}.parquet").filter(task=task).iter_rows(named=True)
    ]


def rows_of(artifact: Artifact) -> list[dict[str, Any]]:
    return list(json.loads((artifact.path / ROWS_FILE).read_text()))


def checks_of(artifact: Artifact) -> list[dict[str, Any]]:
    return list(json.loads((artifact.path / "checks.json").read_text()))


def of_mode(artifact: Artifact | None, recipe: str, tasks: Container[str]) -> list[dict[str, Any]] | None:
    """Rows of an analysis that are about this model and its tasks; None where the analysis has none."""
    rows = [] if artifact is None else rows_of(artifact)
    return [row for row in rows if row["mode"] == recipe and row["task"] in tasks] or None
