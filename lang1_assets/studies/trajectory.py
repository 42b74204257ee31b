"""A pretraining run along its checkpoints: what emerges (Fig. 3)."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import (
    example_files,
    hashes_of_questions,
    question_files,
    require_decoder,
    supplied_examples,
)
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, markdown_table, materialized, picture, said_to_be
from lang1_assets.models.trained import context_length_of
from lang1_assets.ops.tasks import COMPREHENSION, REMEDE
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

GROUP = "study"
ROWS_FILE = "rows.json"
WIDE_PICTURE, NARROW_PICTURE = "figure.png", "figure-phone.png"
TRAJECTORY_CODE = [
    "lang1_assets.ops.trajectory",
    "lang1_assets.ops.comprehension",
    "lang1_assets.ops.evaluation",
    "lang1_assets.ops.scoring",
    "lang1_assets.ops.prompts",
    "lang1_assets.ops.tasks",
    "lang1_assets.ops.questions",
    "lang1_assets.ops.metrics",
    "lang1_assets.ops.bootstrap",
    "lang1_assets.ops.trajectory_figure",
    "lang1_assets.ops.split_titles",
    "lang1_assets.ops.study.pictures",
]


def build_assets(settings: Settings) -> list[Any]:
    return [trajectory_evaluation(settings)]


def trajectory_evaluation(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="trajectory_evaluation",
        deps=["pretrained_model", "web_text_source", *(f"{task}_examples" for task in REMEDE)],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch"},
        pool="accelerator",
        description="Fig. 3: accuracy on comprehension questions and zero-shot AUROC of every checkpoint of the trajectory. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[
            dg.AssetCheckSpec("comprehension_emerges", asset="trajectory_evaluation"),
            dg.AssetCheckSpec("comprehension_not_below_chance", asset="trajectory_evaluation"),
            dg.AssetCheckSpec("zero_shot_stays_at_chance", asset="trajectory_evaluation"),
        ],
    )
    def _trajectory_evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        require_decoder(settings, key, "evaluation along the trajectory")
        model, web = store.get(f"pretrained_model/{key}"), store.get("web_text_source")
        examples = supplied_examples(store, REMEDE)
        inputs = [model, web, *examples.values()]
        questions = question_files(settings, web)

        def make(work: Path) -> dict[str, Any]:
            with tracking.run(
                context,
                experiment="evaluate",
                name=f"{key}, trajectory",
                work=work,
                params={"profile": settings.name, "part": "trajectory", "variant": key},
                inputs=inputs,
            ) as run:
                length = context_length_of(settings, key)
                report = measure_trajectory(context, settings, model, examples, questions, length)
                (work / ROWS_FILE).write_text(json.dumps(report["rows"], indent=1))
                run.log_rows(metric_rows(report["rows"], settings.cohorts.headline_split))
                write_trajectory_pictures(settings, key, report["rows"], work)
                run.log_file(work / WIDE_PICTURE)
            kept = {name: value for name, value in report.items() if name != "rows"}
            return {**kept, "mlflow_run_id": run.run_id, "mlflow_url": run.url}

        artifact = store.build(
            f"trajectory_evaluation/{key}",
            make,
            inputs=inputs,
            parameters={
                "evaluate": settings.evaluate.model_dump(include={"trajectory_examples", "trajectory_questions"}),
                "num_resamples": settings.evaluate.num_resamples,
                # A file that was corrected in place asks something else.
                "questions": hashes_of_questions(settings),
                "note_tokens": settings.finetune.note_tokens,
                "context_length": context_length_of(settings, key),
                "split": settings.cohorts.headline_split,
                "seed": settings.seed,
            },
            code=TRAJECTORY_CODE,
            on_wait=context.log.warning,
        )
        rows = json.loads((artifact.path / ROWS_FILE).read_text())
        checks = [emerges(artifact.summary), not_below_chance(rows), at_chance(artifact.summary, rows)]
        return materialized(
            artifact,
            checks,
            figure=picture(artifact.path / NARROW_PICTURE, "Fig. 3"),
            points=said_to_be(points_table(rows), settings.is_synthetic),
            mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
        )

    return _trajectory_evaluation


def measure_trajectory(
    context: dg.AssetExecutionContext,
    settings: Settings,
    model: Artifact,
    examples: dict[str, Artifact],
    questions: dict[str, Path],
    length: int,
) -> dict[str, Any]:
    # torch takes seconds to import; the definitions do without it.
    from lang1_assets.ops import trajectory
    from lang1_assets.ops.questions import read_questions

    config = trajectory.TrajectoryConfig(
        split=settings.cohorts.headline_split,
        note_tokens=settings.finetune.note_tokens,
        context_length=length,
        max_examples=settings.evaluate.trajectory_examples,
        max_questions=settings.evaluate.trajectory_questions,
        batch_size=settings.evaluate.batch_size,
        num_resamples=settings.evaluate.num_resamples,
        seed=settings.seed,
    )
    report = trajectory.evaluate_trajectory(
        [model.path / "trajectory" / name for name in model.summary["trajectory"]],
        example_files(examples),
        {name: read_questions(file, settings.seed) for name, file in questions.items()},
        config,
        context.log.info,
    )
    gains = {name: vars(gain) for name, gain in report.comprehension_gains.items()}
    return {"rows": report.rows, "comprehension_gains": gains, "off_chance": report.off_chance}


def metric_rows(rows: Sequence[dict[str, Any]], split: str) -> list[dict[str, Any]]:
    """For MLflow, under the names of every other evaluation, with the tokens seen as the step."""
    now = time.time()
    return [
        {"step": row["tokens"], "time": now, "group": "train", "values": {metric_name(row, split): row["value"]}}
        for row in rows
    ]


def metric_name(row: dict[str, Any], split: str) -> str:
    return f"auroc/{row['name']}/{split}" if row["metric"] == "auroc" else f"accuracy/{row['name']}"


def write_trajectory_pictures(settings: Settings, key: str, rows: Sequence[Any], work: Path) -> None:
    from lang1_assets.ops.trajectory_figure import trajectory_picture

    test = settings.cohorts.headline_title(row["name"] for row in rows if row["name"] in REMEDE)
    for name, wide in ((WIDE_PICTURE, True), (NARROW_PICTURE, False)):
        drawn = trajectory_picture(rows, key, test, is_synthetic=settings.is_synthetic, wide=wide)
        (work / name).write_bytes(drawn)


def points_table(rows: Sequence[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["checkpoint", "of", "metric", "value", "95 % interval", "n"],
        [
            [
                row["checkpoint"],
                row["name"],
                row["metric"],
                row["value"],
                f"{row['low']:.3f} - {row['high']:.3f}",
                row["n"],
            ]
            for row in rows
        ],
    )


def emerges(summary: Any) -> dg.AssetCheckResult:
    """The last checkpoint answers more questions than the first one, by more than chance explains (Fig. 3a)."""
    check, gains = "comprehension_emerges", summary["comprehension_gains"]
    if not gains:
        why = "Nothing to compare: one checkpoint, or no questions (web_text.question_files in the profile)."
        return dg.AssetCheckResult(check_name=check, passed=True, description=why)
    told = "; ".join(
        f"{COMPREHENSION[name].title} {gain['value']:+.3f}, 95 % interval {gain['low']:+.3f} to {gain['high']:+.3f}"
        for name, gain in gains.items()
    )
    return dg.AssetCheckResult(
        check_name=check,
        passed=all(gain["low"] > 0 for gain in gains.values()),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"accuracy of the last checkpoint less the first's: {told}; expected above 0",
    )


def not_below_chance(rows: Sequence[dict[str, Any]]) -> dg.AssetCheckResult:
    """A last checkpoint clearly below chance points at options or answers that are mixed up."""
    last = {row["name"]: row for row in rows if row["metric"] == "accuracy"}
    said = {
        f"{COMPREHENSION[name].title}, {what}": row[field]
        for name, row in last.items()
        for what, field in (("accuracy", "value"), ("upper bound", "high"), ("chance", "chance"))
    }
    return dg.AssetCheckResult(
        check_name="comprehension_not_below_chance",
        passed=all(row["high"] >= row["chance"] for row in last.values()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata=said,
    )


def at_chance(summary: Any, rows: Sequence[dict[str, Any]]) -> dg.AssetCheckResult:
    """Zero-shot AUROC does not emerge in pretraining (Fig. 3b). Where it does, a person should know which and look why.

    Of models that are all at chance, 5 % fail: the level is shared among the tasks of the last checkpoint.
    """
    off = summary["off_chance"]
    last = {row["name"]: row for row in rows}
    named = "; ".join(
        f"{name} {last[name]['value']:.3f} ({last[name]['low']:.3f} - {last[name]['high']:.3f})" for name in off
    )
    return dg.AssetCheckResult(
        check_name="zero_shot_stays_at_chance",
        passed=not off,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"not 0.5 at the last checkpoint: {named}" if off else "every interval holds 0.5",
    )
