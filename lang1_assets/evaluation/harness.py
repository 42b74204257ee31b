"""The benchmark for lm-evaluation-harness: one folder that its own command line includes (paper 5.5, M40)."""

from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import example_files, examples_to_score, hashes_of_questions, question_files
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, markdown_table, materialized
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

GROUP = "evaluate"
CODE = [
    "lang1_assets.ops.harness",
    "lang1_assets.ops.few_shot",
    "lang1_assets.ops.prompts",
    "lang1_assets.ops.questions",
    "lang1_assets.ops.tasks",
]


def build_assets(settings: Settings) -> list[Any]:
    return [harness_tasks(settings)]


def harness_tasks(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="harness_tasks",
        deps=["tokenizer", "web_text_source", *(f"{task}_examples" for task in TASKS)],
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"yaml"},
        description="The tasks and the comprehension questions for lm-evaluation-harness: a folder for its own command line's "
        "--include_path. It holds notes, and is as private as they are. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("every_task_is_written", asset="harness_tasks")],
    )
    def _harness_tasks(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        examples = examples_to_score(store, tuple(TASKS))
        tokens, web = store.get("tokenizer"), store.get("web_text_source")
        questions = question_files(settings, web)
        config = harness_config(settings)

        def make(work: Path) -> dict[str, Any]:
            from lang1_assets.ops.harness.writing import HarnessConfig, write_harness_tasks

            return vars(
                write_harness_tasks(
                    work,
                    example_files(examples),
                    questions,
                    tokens.path,
                    HarnessConfig(**config),
                )
            )

        artifact = store.build(
            "harness_tasks",
            make,
            inputs=[tokens, web, *examples.values()],
            parameters={
                **config,
                "questions": hashes_of_questions(settings),
            },
            code=CODE,
            on_wait=context.log.warning,
        )
        return materialized(artifact, [every_task_is_written(artifact)], tasks=tasks_table(artifact))

    return _harness_tasks


def harness_config(settings: Settings) -> dict[str, Any]:
    return {
        "source": settings.source.kind,
        "split": settings.cohorts.headline_split,
        "note_tokens": settings.finetune.note_tokens,
        "context_length": settings.model.context_length,
        "max_examples": settings.evaluate.max_examples,
        "seed": settings.seed,
    }


def every_task_is_written(artifact: Artifact) -> dg.AssetCheckResult:
    names = {name.removeprefix("remede_") for name in artifact.summary["num_by_task"]}
    missing = [name for name in names for end in ("yaml", "parquet") if not (artifact.path / f"{name}.{end}").exists()]
    return dg.AssetCheckResult(
        check_name="every_task_is_written", passed=not missing, metadata={"missing": ", ".join(missing)}
    )


def tasks_table(artifact: Artifact) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["--tasks", "notes or questions"], [list(row) for row in artifact.summary["num_by_task"].items()]
    )
