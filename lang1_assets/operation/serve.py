"""Which model serves: a candidate takes over when it is better on the test, and not because its validation score is higher."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from lang1_assets.evaluation import scored
from lang1_assets.materialization import MODEL_OWNER, SYNTHETIC, markdown_table, materialized
from lang1_assets.models import finetuned
from lang1_assets.ops.linking import link_or_copy
from lang1_assets.ops.schemas import PREDICTIONS_FILE, RECORD_FILE, ROWS_FILE
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import service_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking, registered_name
from lang1_assets.settings import Settings

if TYPE_CHECKING:
    from lang1_assets.ops.succession import Contender

GROUP = "operate"
NAME = "model_in_service"
MODEL_FILE = "model_in_service.json"
DECISIONS_FILE = "decisions.json"
CODE = ["lang1_assets.ops.succession", "lang1_assets.ops.comparison", "lang1_assets.ops.bootstrap"]


def build_assets(settings: Settings) -> list[Any]:
    return [model_in_service(settings)]


def model_in_service(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name=NAME,
        deps=[name for recipe in settings.operate.recipes for name in (f"finetuned_{recipe}", f"{recipe}_evaluation")],
        partitions_def=service_partitions(settings),
        group_name=GROUP,
        owners=MODEL_OWNER,
        kinds={"mlflow"},
        description="The model in service, one for each recipe of `operate.recipes`, under the alias `in_service` in MLflow. "
        f"Another takes over when a paired test on {settings.cohorts.headline_split} shows it to be better. "
        + (SYNTHETIC if settings.is_synthetic else ""),
    )
    def _model_in_service(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        recipe = context.partition_key
        contenders, inputs = contenders_of(store, settings, recipe)

        def make(work: Path) -> dict[str, Any]:
            from lang1_assets.ops.succession import Comparing, decide

            how = Comparing(
                split=settings.cohorts.headline_split,
                num_resamples=settings.evaluate.num_resamples,
                seed=settings.seed,
            )
            chosen, decisions = decide(incumbent(store, recipe), contenders, how)
            keep(work, chosen)
            scored.write_json(work / DECISIONS_FILE, [asdict(decision) for decision in decisions])
            values = {
                "variant": chosen.variant,
                "recipe": recipe,
                "artifact": f"finetuned_{recipe}/{chosen.variant}",
                "fingerprint": chosen.fingerprint,
                "best_val_micro_auroc": chosen.val_micro_auroc,
            }
            scored.write_json(work / MODEL_FILE, values)
            return values

        artifact = store.build(
            f"{NAME}/{recipe}",
            make,
            inputs=inputs,
            parameters={"split": settings.cohorts.headline_split, "num_resamples": settings.evaluate.num_resamples},
            code=CODE,
            on_wait=context.log.warning,
        )
        decisions = json.loads((artifact.path / DECISIONS_FILE).read_text())
        registered = registered_name(settings.name, recipe)
        version = record_decisions(context, tracking, registered, artifact, decisions)
        return materialized(
            artifact,
            decisions=decisions_table(decisions),
            registered_as=f"{registered} version {version or 'unknown'}",
        )

    return _model_in_service


def contenders_of(store: ArtifactStore, settings: Settings, recipe: str) -> tuple[list["Contender"], list[Artifact]]:
    """Every model that was finetuned on a recipe and whose own evaluation is there, and the artifacts of both.

    Raises:
        dg.Failure: there is none.
    """
    from lang1_assets.ops.succession import Contender

    contenders, inputs = [], []
    for variant in settings.variants:
        model, evaluation = (
            store.find(f"{asset}/{variant}") for asset in (f"finetuned_{recipe}", f"{recipe}_evaluation")
        )
        # An evaluation of an earlier model of the same name says nothing of this one.
        if model is None or evaluation is None or evaluation.inputs.get(model.name) != model.fingerprint:
            continue
        inputs += [model, evaluation]
        contenders.append(
            Contender(
                variant=variant,
                fingerprint=model.fingerprint,
                model=model.path / "model",
                evaluation=evaluation.path,
                tasks=finetuned.tasks_of(recipe),
                val_micro_auroc=model.summary["best_val_micro_auroc"],
            )
        )
    if not contenders:
        raise dg.Failure(
            f"No finetuned {recipe} model that is evaluated yet: materialize 'finetuned_{recipe}' and '{recipe}_evaluation' "
            "for at least one variant first."
        )
    return contenders, inputs


def incumbent(store: ArtifactStore, recipe: str) -> "Contender | None":
    """The model in service, from the copy that it was put in service with: its variant may have been finetuned again since."""
    from lang1_assets.ops.succession import Contender

    found = store.find(f"{NAME}/{recipe}")
    if found is None or not (found.path / "model").is_dir():
        return None
    return Contender(
        variant=found.summary["variant"],
        fingerprint=found.summary["fingerprint"],
        model=found.path / "model",
        evaluation=found.path,
        tasks=finetuned.tasks_of(recipe),
        val_micro_auroc=found.summary["best_val_micro_auroc"],
    )


def keep(work: Path, chosen: "Contender") -> None:
    """The model and its evaluation beside the decision: what serves stays when its variant is finetuned again.

    Files are linked where the disk allows it; a model of 7 billion weights is not there twice.
    """
    shutil.rmtree(work / "model", ignore_errors=True)
    shutil.copytree(chosen.model, work / "model", copy_function=link_or_copy)
    for name in (PREDICTIONS_FILE, ROWS_FILE, RECORD_FILE):
        shutil.copyfile(chosen.evaluation / name, work / name)


def record_decisions(
    context: dg.AssetExecutionContext,
    tracking: Tracking,
    model_name: str,
    artifact: Artifact,
    decisions: list[Mapping[str, Any]],
) -> str | None:
    """Tags on the versions in MLflow, and the alias on the one that serves; its version."""
    for decision in decisions:
        version = tracking.find_version(model_name, decision["fingerprint"])
        if version is not None:
            told = {"decision": decision["decision"], "decision.reason": decision["reason"]}
            told |= {"decision.against": decision["against"]} if decision["against"] else {}
            tracking.tag_version(model_name, version, told)
    serving = tracking.put_in_service(model_name, artifact.summary["fingerprint"], artifact.path / "model")
    if serving is None:
        context.log.warning(
            f"{artifact.summary['variant']} serves, but MLflow does not know it as {model_name}: materialize "
            f"'finetuned_{artifact.summary['recipe']}' for it once more to register it"
        )
    return serving


def decisions_table(decisions: list[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Candidate by candidate the mean over the tasks, then each task."""
    rows: list[list[Any]] = []
    for decision in decisions:
        said = f"{decision['decision']} ({decision['reason']})"
        rows.append([decision["variant"], "all tasks", *numbers(decision["mean"]), said])
        for row in decision["tasks"]:
            rows.append([decision["variant"], TASKS[row["task"]].title, *numbers(row["auroc"]), row["problem"] or ""])
    return markdown_table(
        ["candidate", "task", "AUROC in service", "AUROC of the candidate", "difference", "interval", "p", "decision"],
        rows,
    )


def numbers(difference: Mapping[str, Any] | None) -> list[Any]:
    if difference is None:
        return ["-"] * 5
    interval = f"{difference['low']:+.3f} to {difference['high']:+.3f}"
    return [difference["first"], difference["second"], f"{difference['value']:+.3f}", interval, difference["p_value"]]
