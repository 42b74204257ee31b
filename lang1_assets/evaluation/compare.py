"""Models from elsewhere on the same benchmark, by their names in the profile's `models` (M36, M41, M42, M57)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import example_files, examples_to_score
from lang1_assets.evaluation import evaluation_result, scored
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, column_schema, markdown_table
from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import Artifact, ArtifactStore, listing_hash
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from lang1_assets.settings.models import AdapterModel, ChatModel, FolderModel, OutsideModel, Served, UntrainedModel

GROUP = "evaluate"
LOCAL, SERVED = "outside_evaluation", "served_evaluation"
CODE = ["lang1_assets.ops.outside_models", "lang1_assets.ops.served"]
HOW_TO_ASK = {
    "url", "allowed_addresses", "proxy", "certificate_authority", "api_key_variable", "api_key_file", "api_key_header",
    "connect_timeout_seconds", "answer_timeout_seconds", "max_concurrent", "requests_per_minute", "max_retries",
    "longest_wait_seconds",
}  # fmt: skip
"""Fields that change no answer: a server that moved is asked nothing again."""


def build_assets(settings: Settings) -> list[Any]:
    served = [key for key, model in settings.models.items() if isinstance(model, Served)]
    local = [key for key in settings.models if key not in served]
    return [evaluation(settings, name, keys) for name, keys in ((LOCAL, local), (SERVED, served)) if keys]


def evaluation(settings: Settings, name: str, keys: Sequence[str]) -> dg.AssetsDefinition:
    """Models that run here, or those behind servers: these wait on the network, and hold no accelerator meanwhile."""

    @dg.asset(
        name=name,
        deps=["tokenizer", *(f"{task}_examples" for task in TASKS)],
        partitions_def=dg.StaticPartitionsDefinition(list(keys)),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch", "scikitlearn"},
        pool="accelerator" if name == LOCAL else None,
        description=f"A model of the profile's `models`, zero-shot on {settings.cohorts.headline_split}: "
        + (
            "a folder, an adapter, or an untrained shape. "
            if name == LOCAL
            else "behind a server. Only an allowed address is sent notes. "
        )
        + (SYNTHETIC if settings.is_synthetic else ""),
        metadata={"dagster/column_schema": column_schema(schemas.PREDICTIONS)},
        check_specs=[
            *evaluation_result.check_specs(name),
            *([dg.AssetCheckSpec("answers_are_valid", asset=name)] if name == SERVED else []),
        ],
    )
    def _evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        model, tokens = settings.models[key], store.get("tokenizer")
        examples = examples_to_score(store, tuple(TASKS))
        splits = [settings.cohorts.headline_split]
        artifact = scored.build_evaluation(
            context,
            settings,
            store,
            tracking,
            artifact=f"{name}/{key}",
            evaluation=scored.Evaluation(
                subject=scored.Subject(name=key, mode="zero_shot", kind=model.kind),
                splits=splits,
                score=lambda: score_or_explain(
                    context, settings, key, tokens.path, paid_answers(store, key), examples, splits
                ),
                hashes=lambda: hashes(model, tokens.path),
                parameters={
                    **scored.prompt_parameters(settings),
                    "model": model.model_dump(mode="json", exclude=HOW_TO_ASK),
                    "files": listing_hash(files_of(model)),
                    **({"shape": vars(shape_of(model))} if isinstance(model, UntrainedModel) else {}),
                },
                code=CODE,
            ),
            examples=examples,
            inputs=[tokens],
        )
        if name == LOCAL:
            return evaluation_result.evaluation_result(artifact)
        answers = list(json.loads((artifact.path / scored.ANSWERS_FILE).read_text()))
        result = evaluation_result.evaluation_result(artifact, answers=answers_table(answers))
        return result._replace(check_results=[*(result.check_results or []), valid_answers(answers)])

    return _evaluation


def score_or_explain(context: dg.AssetExecutionContext, settings: Settings, key: str, *arguments: Any) -> Any:
    from lang1_assets.ops.prompts import PromptError

    try:
        return score(context, settings, settings.models[key], *arguments)
    except PromptError as error:
        raise dg.Failure(
            f"{key}: {error}. For this model alone: models.{key}.note_tokens", allow_retries=False
        ) from None


def score(
    context: dg.AssetExecutionContext,
    settings: Settings,
    model: OutsideModel,
    tokenizer: Path,
    ledger: Path,
    examples: dict[str, Artifact],
    splits: Sequence[str],
) -> Any:
    from lang1_assets.ops import outside_models
    from lang1_assets.ops.evaluation import predict_with

    config, files = scored.scoring_config(settings), example_files(examples)
    config = replace(config, note_tokens=model.note_tokens or config.note_tokens)
    if isinstance(model, ChatModel):
        sampling_of: Callable[[str], Any] = model.sampling
    else:
        sampling_of = not_sampled
        config = replace(config, max_examples=min(config.max_examples, model.max_examples or config.max_examples))
    if isinstance(model, Served):
        return outside_models.predict_served(
            model.served_model,
            sampling_of,
            model.tokenizer or tokenizer,
            ledger,
            files,
            splits,
            config,
            context.log.info,
        )
    opened, folder = open_local(model, tokenizer)
    config = replace(config, context_length=outside_models.context_length_of(opened, config.context_length))
    return predict_with(opened, folder, files, splits, config, context.log.info)


def not_sampled(task: str) -> None:
    """Of a model that gives log-probabilities."""


def open_local(model: OutsideModel, tokenizer: Path) -> tuple[Any, Path]:
    """The model, and the folder of its tokenizer."""
    from lang1_assets.ops import outside_models

    if isinstance(model, FolderModel):
        return outside_models.open_folder(model.path), model.path
    if isinstance(model, AdapterModel):
        return outside_models.open_folder(model.base, model.path), model.base
    assert isinstance(model, UntrainedModel), "the others are served"
    return outside_models.untrained(shape_of(model), tokenizer, model.seed), tokenizer


def shape_of(model: UntrainedModel) -> Any:
    from lang1_assets.ops.model import ModelShape

    return ModelShape(**load_settings(model.profile).model.model_dump())


def hashes(model: OutsideModel, tokenizer: Path) -> Mapping[str, str]:
    from lang1_assets.ops.evaluation_record import model_sha256, values_sha256
    from lang1_assets.ops.tokenizer import tokenizer_sha256

    if isinstance(model, FolderModel):
        folder, weights = model.path, model_sha256([model.path])
    elif isinstance(model, AdapterModel):
        folder, weights = model.base, model_sha256([model.base, model.path])
    elif isinstance(model, UntrainedModel):
        folder, weights = tokenizer, values_sha256({**vars(shape_of(model)), "seed": model.seed})
    else:
        # The weights are out of reach: what the server calls them is all that is known.
        folder, weights = model.tokenizer or tokenizer, values_sha256({"name": model.name, "version": model.version})
    return {"model_sha256": weights, "tokenizer_sha256": tokenizer_sha256(folder)}


def files_of(model: OutsideModel) -> list[Path]:
    folders = [getattr(model, name, None) for name in ("path", "base", "tokenizer")]
    return [file for folder in folders if folder is not None for file in sorted(folder.glob("*")) if file.is_file()]


def paid_answers(store: ArtifactStore, key: str) -> Path:
    """Beside the artifacts, not in one: what was paid for outlives every new version of the code."""
    folder = store.path("paid_answers")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{key}.jsonl"


def valid_answers(answers: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Warns where a tenth of a served model's answers or notes could not be used: its AUROC is then of something else."""
    suspects = [
        f"{row['task']}: {row['num_invalid']} of {row['num_answers']} answers invalid, "
        f"{sum(row['not_scored'].values())} of {row['num_notes']} notes not scored"
        for row in answers
        if 10 * row["num_invalid"] > row["num_answers"] or 10 * sum(row["not_scored"].values()) > row["num_notes"]
    ]
    return dg.AssetCheckResult(
        check_name="answers_are_valid",
        passed=not suspects,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(suspects) or None,
    )


def answers_table(answers: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    return markdown_table(
        [
            "task",
            "notes",
            "not scored",
            "letters asked for again",
            "answers",
            "invalid",
            "requests",
            "retries",
            "already paid",
        ],
        [
            [
                TASKS[row["task"]].title,
                row["num_notes"],
                ", ".join(f"{number} {reason}" for reason, number in row["not_scored"].items()) or 0,
                row["num_rescued"],
                row["num_answers"],
                row["num_invalid"],
                row["usage"]["num_requests"],
                row["usage"]["num_retries"],
                row["usage"]["num_from_ledger"],
            ]
            for row in answers
        ],
    )
