"""Pretraining: a DeepSpeed job a variant, its trajectory of checkpoints, its run in MLflow (paper 5.3, Table 1)."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import example_files, question_files, supplied_examples
from lang1_assets.materialization import MODEL_OWNER, markdown_table, materialized
from lang1_assets.models.trained import Services, TrainingRun, encoder_code, train
from lang1_assets.models.untrained import folder_listing, untrained
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

GROUP = "pretrain"
JOB = "lang1_assets.ops.pretraining"
COMPUTING_FIELDS = (
    "micro_batch_size",
    "num_cpu_ranks",
    "compile",
    "activation_checkpointing",
    "validate_every_steps",
    "save_every_steps",
    "log_every_steps",
    "keep_last",
)
"""How it is computed and looked at, not what is learned: with other GPUs in the middle of a month, these change."""
MONITOR_FIELDS = ("monitor_every_steps", "monitor_shots", "monitor_examples")
CODE = [
    JOB,
    "lang1_assets.ops.training",
    "lang1_assets.ops.model",
    "lang1_assets.ops.mixture",
    "lang1_assets.ops.shards",
]
STARTING_CHECKPOINT = "starting_checkpoint"


def build_assets(settings: Settings) -> list[Any]:
    return [pretrained_model(settings), *starting_checkpoint(settings)]


def starting_checkpoint(settings: Settings) -> list[dg.AssetSpec]:
    """Somebody else's model in the lineage, where the profile goes on from one."""
    folder = settings.pretrain.start_from
    if folder is None:
        return []
    return [
        dg.AssetSpec(
            STARTING_CHECKPOINT,
            group_name=GROUP,
            owners=MODEL_OWNER,
            kinds={"huggingface"},
            description="The checkpoint that pretraining goes on from; made elsewhere.",
            metadata={"path": dg.MetadataValue.path(str(folder))},
        )
    ]


def pretrained_model(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="pretrained_model",
        deps=[
            *(f"{corpus}_tokens" for corpus in settings.corpus_names),
            *monitored_assets(settings),
            *(spec.key for spec in starting_checkpoint(settings)),
        ],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=MODEL_OWNER,
        kinds={"deepspeed", "huggingface"},
        pool="accelerator",
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2),
        description="A model pretrained on the variant's mixture: a trajectory of Hugging Face checkpoints. "
        "One partition a variant of Table 1, a model from elsewhere, or a control with random weights.",
        check_specs=[dg.AssetCheckSpec("better_than_uniform", asset="pretrained_model")],
    )
    def _pretrained_model(
        context: dg.AssetExecutionContext,
        store: ArtifactStore,
        launcher: TrainingLauncher,
        tracking: Tracking,
        alerts: Alerts,
    ) -> dg.MaterializeResult:
        key = context.partition_key
        corpora: dict[str, Artifact] = {
            corpus: store.get(f"{corpus}_tokens") for corpus in settings.variants[key].mixture
        }
        tokens = store.get("tokenizer")
        start = observed_start(context, settings)

        def make(work: Path) -> dict[str, Any]:
            monitored = [store.get(name) for name in monitored_assets(settings)]
            config = {**job_config(settings, key, corpora, tokens), "monitoring": monitoring(settings, key, store)}
            summary = train(
                context,
                settings,
                Services(launcher=launcher, tracking=tracking, alerts=alerts),
                TrainingRun(
                    experiment="pretrain",
                    name=key,
                    module=JOB,
                    config=config,
                    params={"variant": key, "base": "none", "start_sha256": start},
                    inputs=[*corpora.values(), tokens, *monitored],
                    num_cpu_ranks=settings.pretrain.num_cpu_ranks,
                ),
                work,
                instead=untrained(settings.variants[key], config, work),
            )
            # Optimizer states are three times the model and of no use to anything that comes later.
            shutil.rmtree(work / "resume", ignore_errors=True)
            return {**summary, **last_validation(work)}

        artifact = store.build(
            f"pretrained_model/{key}",
            make,
            inputs=[*corpora.values(), tokens],
            parameters={
                "model": settings.shape_of(key).model_dump(),
                "pretrain": settings.pretrain_of(key).model_dump(
                    exclude={*MONITOR_FIELDS, *COMPUTING_FIELDS, "start_from"}
                ),
                **({"start_sha256": start} if start is not None else {}),
                "variant": settings.variants[key].model_dump(include={"mixture", "random_weights", "architecture"}),
                "folder": folder_listing(settings.variants[key]),
                "seed": settings.seed,
            },
            code=[*CODE, *encoder_code(settings, key)],
            goes_on_over_new_code=True,
            on_wait=context.log.warning,
        )
        url = artifact.summary["mlflow_url"]
        return materialized(
            artifact,
            [better_than_uniform(artifact, tokens)],
            trajectory_table=markdown_table(["checkpoint"], [[name] for name in artifact.summary["trajectory"]]),
            mlflow_run=dg.MetadataValue.url(url),
            **({"start_from": str(settings.pretrain.start_from), "start_sha256": start} if start is not None else {}),
        )

    return _pretrained_model


def observed_start(context: dg.AssetExecutionContext, settings: Settings) -> str | None:
    """Hash of the checkpoint that pretraining goes on from, noted in the lineage; None with random weights."""
    from lang1_assets.ops.pretraining.checkpoint_hash import checkpoint_sha256

    folder = settings.pretrain.start_from
    if folder is None or not settings.variants[context.partition_key].mixture:
        return None
    try:
        sha256 = checkpoint_sha256(folder)
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    context.log_event(
        dg.AssetObservation(
            STARTING_CHECKPOINT,
            metadata={"path": dg.MetadataValue.path(str(folder)), "sha256": sha256},
            tags={"dagster/data_version": sha256},
        )
    )
    return sha256


def job_config(settings: Settings, key: str, corpora: dict[str, Artifact], tokens: Artifact) -> dict[str, Any]:
    pretrain = settings.pretrain_of(key).model_dump(mode="json")
    own = {name: pretrain.pop(name) for name in ("checkpoint_tokens", "suspect_steps", "validation_windows")}
    for name in ("num_cpu_ranks", "warmup_share", *MONITOR_FIELDS):
        pretrain.pop(name)
    start_from = pretrain.pop("start_from")
    pretrain |= run_length(settings, key, corpora)
    return {
        "shape": settings.shape_of(key).model_dump(),
        "training": pretrain,
        "sources": {corpus: str(artifact.path) for corpus, artifact in corpora.items()},
        "weights": settings.variants[key].mixture,
        "objective": "masked_token" if is_encoder(settings, key) else "next_token",
        "tokenizer_folder": str(tokens.path),
        "vocab_size": tokens.summary["vocab_size"],
        "seed": settings.seed,
        "start_from": start_from,
        **own,
    }


def run_length(settings: Settings, key: str, corpora: dict[str, Artifact]) -> dict[str, int]:
    """Steps and warmup as numbers: one epoch depends on the tokens there are."""
    from lang1_assets.ops.mixture import Mixture
    from lang1_assets.ops.pretraining.length import steps_of_one_epoch
    from lang1_assets.ops.shards import TokenShards

    pretrain, weights = settings.pretrain_of(key), settings.variants[key].mixture
    if pretrain.max_steps != "one_epoch":
        steps = pretrain.max_steps
    elif corpora:
        shards = {name: TokenShards(artifact.path, "train") for name, artifact in corpora.items()}
        mixture = Mixture(shards, weights, settings.shape_of(key).context_length, settings.seed)
        steps = steps_of_one_epoch(mixture, pretrain.global_batch_size)
    else:
        # The control with random weights takes none.
        steps = 0
    share = pretrain.warmup_share
    return {"max_steps": steps, "warmup_steps": pretrain.warmup_steps if share is None else math.ceil(share * steps)}


def is_encoder(settings: Settings, key: str) -> bool:
    return settings.variants[key].architecture == "encoder"


def monitored_assets(settings: Settings) -> list[str]:
    """What is looked at during training: the tasks' notes, and the questions that come with the web text."""
    if settings.pretrain.monitor_every_steps is None:
        return []
    return [*(f"{task}_examples" for task in REMEDE), "web_text_source"]


def monitoring(settings: Settings, key: str, store: ArtifactStore) -> dict[str, Any] | None:
    """The job's `MonitoringConfig`: the tasks that the source supplies, and questions where there are any.

    None for an encoder, which can be asked nothing before it is finetuned.
    """
    if settings.pretrain.monitor_every_steps is None or is_encoder(settings, key):
        return None
    questions = question_files(settings, store.get("web_text_source")).values()
    files = example_files(supplied_examples(store, REMEDE))
    return {
        "every_steps": settings.pretrain.monitor_every_steps,
        "examples": {task: str(file) for task, file in files.items()},
        "questions": [str(file) for file in questions],
        "num_examples": settings.pretrain.monitor_examples,
        "shots": settings.pretrain.monitor_shots,
        "note_tokens": settings.finetune.note_tokens,
        "batch_size": settings.evaluate.batch_size,
    }


def last_validation(work: Path) -> dict[str, float]:
    """The last held-out losses that the job wrote down."""
    path = work / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    values = [row["values"] for row in rows if "val/loss/all" in row["values"]]
    return values[-1] if values else {}


def better_than_uniform(artifact: Artifact, tokens: Artifact) -> dg.AssetCheckResult:
    """Held-out perplexity below the vocabulary's size: a model that learned nothing stays at it."""
    perplexity = artifact.summary.get("val/perplexity/all")
    vocab_size = tokens.summary["vocab_size"]
    if perplexity is None:
        return dg.AssetCheckResult(
            check_name="better_than_uniform",
            passed=True,
            description="Nothing was learned here: random weights, or a model made elsewhere.",
        )
    return dg.AssetCheckResult(
        check_name="better_than_uniform",
        passed=bool(perplexity < vocab_size / 2),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"held_out_perplexity": perplexity, "vocabulary": vocab_size},
    )
