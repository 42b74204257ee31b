"""The benchmark for lm-evaluation-harness: one folder that its own command line includes (paper 5.5, M40)."""

from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.materialization import RESEARCH_OWNER, materialized
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import Settings
from lang1_assets.supplied import example_files, examples_to_score

GROUP = "evaluate"


def build_assets(settings: Settings) -> list[Any]:
    return [harness_tasks(settings)]


def harness_tasks(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="harness_tasks",
        deps=["tokenizer", *(f"{task}_examples" for task in TASKS)],
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"yaml"},
        description="The five tasks for lm-evaluation-harness: a folder for its own command line's --include_path. "
        "It holds notes, and is as private as they are.",
        check_specs=[dg.AssetCheckSpec("every_task_is_written", asset="harness_tasks")],
    )
    def _harness_tasks(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        examples = examples_to_score(store, tuple(TASKS))
        tokens = store.get("tokenizer")

        def make(work: Path) -> dict[str, Any]:
            from lang1_assets.ops.harness import write_harness_tasks

            num_notes = write_harness_tasks(
                work,
                example_files(examples),
                settings.cohorts.headline_split,
                tokens.path,
                settings.finetune.note_tokens,
                settings.evaluate.max_examples,
                settings.seed,
            )
            return {"num_notes": num_notes}

        artifact = store.build(
            "harness_tasks",
            make,
            inputs=[tokens, *examples.values()],
            parameters={
                "note_tokens": settings.finetune.note_tokens,
                "max_examples": settings.evaluate.max_examples,
                "seed": settings.seed,
            },
            code=["lang1_assets.ops.harness", "lang1_assets.ops.prompts", "lang1_assets.ops.tasks"],
            on_wait=context.log.warning,
        )
        missing = [task for task in examples if not (artifact.path / f"{task}.yaml").exists()]
        check = dg.AssetCheckResult(
            check_name="every_task_is_written", passed=not missing, metadata={"missing": ", ".join(missing)}
        )
        return materialized(artifact, [check])

    return _harness_tasks
