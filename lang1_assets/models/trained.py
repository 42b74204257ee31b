"""What pretraining and finetuning share as assets: one launch, one MLflow run, alerts while it runs.

A stage says what its job is; this starts it, follows it and reads what it left.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.store import Artifact
from lang1_assets.resources.tracked_names import TRAINING
from lang1_assets.resources.tracked_run import TrackedRun
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

SUMMARY_FILE = "summary.json"
ENCODER_CODE = "lang1_assets.ops.encoder"


@dataclass(frozen=True, kw_only=True)
class Services:
    """The resources that a training job needs."""

    launcher: TrainingLauncher
    tracking: Tracking
    alerts: Alerts


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One job, and under which name it is tracked."""

    experiment: str
    name: str
    module: str
    config: Mapping[str, Any]
    params: Mapping[str, Any]
    """For MLflow, besides the profile's name and `config`."""
    inputs: Sequence[Artifact]
    num_cpu_ranks: int


def train(
    context: dg.AssetExecutionContext,
    settings: Settings,
    services: Services,
    training: TrainingRun,
    work: Path,
    instead: Callable[[TrackedRun], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Run the job to its end in `work`; its summary, with the MLflow run that tracked it.

    Args:
        instead: in the place of the job, where there is nothing to train.
    """
    with services.tracking.run(
        context,
        experiment=training.experiment,
        name=training.name,
        work=work,
        # The job's own `base` is a folder; the name says more.
        params={**training.config, "profile": settings.name, "part": TRAINING, **training.params},
        inputs=training.inputs,
    ) as run:
        if instead is not None:
            summary = instead(run)
        else:
            if is_done(work):
                # What nobody took: its step was killed at its end, or another MLflow run is told all of it.
                send = partial(services.alerts.send, context, run)
                services.launcher.hand_on_rest(work, on_metrics=run.log_rows, on_alerts=send)
            else:
                with services.alerts.watch(context, run) as on_alerts:
                    services.launcher.run(
                        context,
                        module=training.module,
                        config=training.config,
                        work=work,
                        num_cpu_ranks=training.num_cpu_ranks,
                        launch=settings.launch,
                        on_metrics=run.log_rows,
                        on_alerts=on_alerts,
                    )
            summary = json.loads((work / SUMMARY_FILE).read_text())
    return {**summary, "mlflow_run_id": run.run_id, "mlflow_url": run.url}


def is_done(work: Path) -> bool:
    """Whether the job itself came to its end: what fails after it, MLflow say, is no reason to train again."""
    try:
        json.loads((work / SUMMARY_FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return True


def context_length_of(settings: Settings, variant: str) -> int:
    """Tokens that a variant reads at once: its shape's; of a folder the profile's, or fewer where it has room for no more."""
    length = settings.shape_of(variant).context_length
    folder = settings.variants[variant].folder
    if folder is None:
        return length
    published = json.loads((folder / "config.json").read_text())
    return min(length, int(published.get("max_position_embeddings") or published.get("n_positions") or length))


def encoder_code(settings: Settings, variant: str) -> list[str]:
    """What an encoder's artifacts depend on besides."""
    return [ENCODER_CODE] if settings.variants[variant].architecture == "encoder" else []


def checkpoint_folder(base: Artifact, checkpoint: str | None = None) -> Path:
    """A Hugging Face folder of a base's trajectory, the last one by default."""
    return base.path / "trajectory" / (checkpoint or base.summary["trajectory"][-1])


def tokens_of(checkpoint: str) -> int:
    """Pretraining tokens that a checkpoint of a trajectory has seen, by its name."""
    return int(checkpoint.removeprefix("tokens-"))
