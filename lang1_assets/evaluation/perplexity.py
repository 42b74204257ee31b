"""Perplexity of question and right answer, of the model as it is and as far as it was finetuned (Fig. 4c, M52)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import example_files, examples_to_score, require_decoder
from lang1_assets.evaluation import evaluation_result, scored
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, markdown_table, materialized, said_to_be
from lang1_assets.models.finetuned import finetuned_so_far
from lang1_assets.models.trained import checkpoint_folder, context_length_of
from lang1_assets.ops.schemas import ROWS_FILE
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracked_names import of_test
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

GROUP = "study"
NAME = "answer_perplexity"
OF_ONE_MODE = "perplexities"
"""A model that is finetuned later is measured by itself."""
ZERO_SHOT, JOINT = "zero_shot", "joint"
CODE = [
    "lang1_assets.ops.perplexity",
    "lang1_assets.ops.model",
    "lang1_assets.ops.prompts",
    "lang1_assets.ops.scoring",
    "lang1_assets.ops.tokenizer",
    "lang1_assets.ops.tasks",
    "lang1_assets.ops.bootstrap",
]


def build_assets(settings: Settings) -> list[Any]:
    return [answer_perplexity(settings)]


def answer_perplexity(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name=NAME,
        deps=[
            "pretrained_model",
            *(f"finetuned_{recipe}" for recipe in (JOINT, *TASKS)),
            *(f"{task}_examples" for task in TASKS),
        ],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch"},
        pool="accelerator",
        description="Fig. 4c: perplexity of each task's question and right answer after a note, zero-shot and finetuned. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("answers_are_learned", asset=NAME)],
    )
    def _answer_perplexity(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        require_decoder(settings, key, "answer-question perplexity")
        examples = examples_to_score(store, tuple(TASKS))
        found = {
            mode: measure(context, settings, store, tracking, mode, model, {task: examples[task] for task in tasks})
            for mode, model in models_of(store, key).items()
            if (tasks := tasks_of(mode, examples))
        }
        artifact = store.build(
            f"{NAME}/{key}", lambda work: gather(found, work), inputs=list(found.values()), on_wait=context.log.warning
        )
        rows = evaluation_result.rows_of(artifact)
        shown = said_to_be(table(rows), settings.is_synthetic)
        return materialized(artifact, [answers_are_learned(rows)], perplexity=shown)

    return _answer_perplexity


def models_of(store: ArtifactStore, key: str) -> dict[str, Artifact]:
    """Mode -> artifact of the pretrained model and of every finetuned one that there is."""
    return {ZERO_SHOT: store.get(f"pretrained_model/{key}"), **finetuned_so_far(store, key, (JOINT, *TASKS))}


def tasks_of(mode: str, supplied: Mapping[str, Artifact]) -> list[str]:
    """A single-task model is asked its own question."""
    return list(supplied) if mode in (ZERO_SHOT, JOINT) else [task for task in supplied if task == mode]


def measure(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    tracking: Tracking,
    mode: str,
    model: Artifact,
    examples: dict[str, Artifact],
) -> Artifact:
    """The rows of one model."""
    key = context.partition_key
    folder = checkpoint_folder(model) if mode == ZERO_SHOT else model.path / "model"
    length, split = context_length_of(settings, key), settings.cohorts.headline_split
    inputs = [model, *examples.values()]

    def make(work: Path) -> dict[str, Any]:
        from lang1_assets.ops.perplexity import measure_perplexity

        with tracking.run(
            context,
            experiment="evaluate",
            name=f"{key}, {mode}, perplexity",
            work=work,
            params={"profile": settings.name, "part": "perplexity", "variant": key, "base": key, "recipe": mode},
            inputs=inputs,
        ) as run:
            config = replace(scored.scoring_config(settings, length), max_examples=settings.study.perplexity_notes)
            files, num = example_files(examples), settings.evaluate.num_resamples
            rows = measure_perplexity(folder, files, split, config, num, context.log.info)
            scored.write_json(work / ROWS_FILE, [{"mode": mode, **row} for row in rows])
            run.log_values(metric_values(rows, split))
            run.log_file(work / ROWS_FILE)
        return {"mlflow_run_id": run.run_id, "mlflow_url": run.url}

    return store.build(
        f"{OF_ONE_MODE}/{key}/{mode}",
        make,
        inputs=inputs,
        parameters={
            "note_tokens": settings.finetune.note_tokens,
            "context_length": length,
            "num_notes": settings.study.perplexity_notes,
            "num_resamples": settings.evaluate.num_resamples,
            "split": split,
            "seed": settings.seed,
        },
        code=CODE,
        on_wait=context.log.warning,
    )


def gather(found: Mapping[str, Artifact], work: Path) -> dict[str, Any]:
    rows = [row for artifact in found.values() for row in evaluation_result.rows_of(artifact)]
    (work / ROWS_FILE).write_text(json.dumps(rows, indent=1))
    return {"modes": list(found), "mlflow_runs": {mode: held.summary["mlflow_url"] for mode, held in found.items()}}


def metric_values(rows: Sequence[Mapping[str, Any]], split: str) -> dict[str, float]:
    """`perplexity/TASK/SPLIT`, and beside it `bits_per_byte/...` and `answer_perplexity/...`."""
    names = ("perplexity", "bits_per_byte", "answer_perplexity")
    return {of_test(name, row["task"], split): row[name] for row in rows for name in names}


def answers_are_learned(rows: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """A finetuned model finds the right letter likelier than before: it was trained on nothing else."""
    before = {row["task"]: row["answer_perplexity"] for row in rows if row["mode"] == ZERO_SHOT}
    worse = [
        f"{row['mode']} on {row['task']}: {row['answer_perplexity']:.2f}, before {before[row['task']]:.2f}"
        for row in rows
        if row["mode"] != ZERO_SHOT and row["answer_perplexity"] > before[row["task"]]
    ]
    return dg.AssetCheckResult(
        check_name="answers_are_learned",
        passed=not worse,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(worse) or None,
    )


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    header = ["trained on", "task", "notes", "perplexity", "95 % interval", "bits per byte", "of the answer alone"]
    return markdown_table(
        header,
        [
            [
                row["mode"],
                TASKS[row["task"]].title,
                row["n"],
                row["perplexity"],
                f"{row['low']:.3f} - {row['high']:.3f}",
                row["bits_per_byte"],
                row["answer_perplexity"],
            ]
            for row in rows
        ],
    )
