"""Finetuning at scale: from checkpoints of the trajectory, on few labelled notes and on all (figures 4a, 4b, M37)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import example_files, examples_to_score
from lang1_assets.evaluation import evaluation_result, scored
from lang1_assets.materialization import MODEL_OWNER, RESEARCH_OWNER, SYNTHETIC, markdown_table
from lang1_assets.models.finetuned import Finetuning, better_than_chance, build_finetuned
from lang1_assets.models.trained import Services, context_length_of, encoder_code
from lang1_assets.ops.study.checkpoints import spread
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

GROUP = "study"
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One cell: which checkpoint, how many labelled notes."""

    checkpoint: str
    max_notes: int | None
    """None is all."""

    @property
    def path(self) -> str:
        return f"{self.checkpoint}/{ALL if self.max_notes is None else self.max_notes}"


def build_assets(settings: Settings) -> list[Any]:
    return [scaled_model(settings), scaled_evaluation(settings)]


def scales(settings: Settings, variant: str, base: Artifact) -> Iterator[Scale]:
    """The cells of one variant, the last checkpoint's first: those are of both figures."""
    wanted = settings.study.scaled.get(variant, 1)
    for checkpoint in spread(base.summary["trajectory"], wanted)[::-1]:
        for max_notes in (*settings.study.num_notes, None):
            yield Scale(checkpoint=checkpoint, max_notes=max_notes)


def scaled_model(settings: Settings) -> dg.AssetsDefinition:
    task = settings.study.scaled_task

    @dg.asset(
        name="scaled_model",
        deps=["pretrained_model", f"{task}_examples"],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=MODEL_OWNER,
        kinds={"deepspeed", "mlflow"},
        pool="accelerator",
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2),
        description=f"Finetuned on {task.replace('_', ' ')} with 100 to all labelled notes, each choice a subset of the next, from "
        "checkpoints of the trajectory: `study.num_notes` x `study.scaled` of the profile. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("better_than_chance", asset="scaled_model")],
    )
    def _scaled_model(
        context: dg.AssetExecutionContext,
        store: ArtifactStore,
        launcher: TrainingLauncher,
        tracking: Tracking,
        alerts: Alerts,
    ) -> dg.MaterializeResult:
        key = context.partition_key
        base, examples = store.get(f"pretrained_model/{key}"), examples_to_score(store, (task,))
        cells = list(scales(settings, key, base))
        models = []
        for number, scale in enumerate(cells, 1):
            context.log.info(f"{number} of {len(cells)}: {scale.checkpoint}, {scale.max_notes or ALL} labelled notes")
            model = build_finetuned(
                context,
                settings,
                store,
                Services(launcher=launcher, tracking=tracking, alerts=alerts),
                Finetuning(
                    artifact=f"scaled_model/{key}/{scale.path}",
                    title=f"{key} on {task}, from {scale.checkpoint}, {scale.max_notes or ALL} notes",
                    variant=key,
                    recipe=task,
                    base=base,
                    examples=examples,
                    checkpoint=scale.checkpoint,
                    max_notes=scale.max_notes,
                ),
            )
            models.append(model.summary)
        head = ["pretraining tokens", "labelled notes", "finetuning tokens", "validation AUROC"]
        rows = [[*spent(summary), summary["best_val_auroc"].get(task, "-")] for summary in models]
        # With a hundred labelled notes a model may well be at chance.
        most = max(models, key=lambda summary: (summary["pretrain_tokens"] or 0, num_notes(summary)))
        return dg.MaterializeResult(
            metadata={"models": markdown_table(head, rows)}, check_results=[better_than_chance(most["best_val_auroc"])]
        )

    return _scaled_model


def num_notes(summary: Mapping[str, Any]) -> int:
    return sum(summary["train_notes"].values())


def spent(summary: Mapping[str, Any]) -> list[Any]:
    """Of a table's row: pretraining tokens, labelled notes, finetuning tokens. Of a folder the first is not known."""
    pretrained = summary["pretrain_tokens"]
    return ["unknown" if pretrained is None else pretrained, num_notes(summary), summary["tokens_seen"]]


def scaled_evaluation(settings: Settings) -> dg.AssetsDefinition:
    task, split = settings.study.scaled_task, settings.cohorts.headline_split

    @dg.asset(
        name="scaled_evaluation",
        deps=["scaled_model", f"{task}_examples"],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch", "scikitlearn"},
        pool="accelerator",
        description=f"Each model of `scaled_model` on {split}. " + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("probabilities_are_valid", asset="scaled_evaluation", blocking=True)],
    )
    def _scaled_evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        base, examples = store.get(f"pretrained_model/{key}"), examples_to_score(store, (task,))
        rows, invalid = [], 0
        for scale in scales(settings, key, base):
            model = store.get(f"scaled_model/{key}/{scale.path}")
            made = evaluate_scaled(context, settings, store, tracking, key, scale, model, examples)
            invalid += not evaluation_result.valid_probabilities(made).passed
            (found,) = (row for row in evaluation_result.rows_of(made) if row["metric"] == "auroc")
            # A test with one class has no AUROC.
            interval = "-" if found["low"] is None else f"{found['low']:.3f} - {found['high']:.3f}"
            value = "-" if found["value"] is None else found["value"]
            rows.append([*spent(model.summary), value, interval])
        head = ["pretraining tokens", "labelled notes", "finetuning tokens", "AUROC", "95 % interval"]
        valid = dg.AssetCheckResult(
            check_name="probabilities_are_valid", passed=invalid == 0, metadata={"models_with_invalid_ones": invalid}
        )
        return dg.MaterializeResult(metadata={"auroc": markdown_table(head, rows)}, check_results=[valid])

    return _scaled_evaluation


def evaluate_scaled(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    tracking: Tracking,
    key: str,
    scale: Scale,
    model: Artifact,
    examples: dict[str, Artifact],
) -> Artifact:
    split, context_length = settings.cohorts.headline_split, context_length_of(settings, key)
    folder = model.path / "model"

    def score() -> Any:
        from lang1_assets.ops.evaluation import predict

        config = scored.scoring_config(settings, context_length)
        return predict(folder, example_files(examples), [split], config, context.log.info)

    return scored.build_evaluation(
        context,
        settings,
        store,
        tracking,
        artifact=f"scaled_evaluation/{key}/{scale.path}",
        evaluation=scored.Evaluation(
            subject=scored.Subject(
                name=key,
                mode=settings.study.scaled_task,
                kind="variant",
                detail=f"from {scale.checkpoint}, {scale.max_notes or ALL} notes",
            ),
            splits=[split],
            part="scaling",
            score=score,
            hashes=lambda: scored.folder_hashes(folder),
            parameters=scored.prompt_parameters(settings, context_length),
            code=encoder_code(settings, key),
            facts={
                "pretrain_tokens": model.summary["pretrain_tokens"],
                "finetune_tokens": model.summary["tokens_seen"],
                "num_notes": num_notes(model.summary),
            },
        ),
        examples=examples,
        inputs=[model],
    )
