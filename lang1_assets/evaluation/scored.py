"""What every evaluation leaves behind, whichever model it is of: probabilities, numbers, and what both were made from.

    predictions.parquet   rows of `schemas.PREDICTIONS`, no text
    rows.json             metrics with intervals (`results.ResultRow`)
    record.json           hashes of model, tokenizer, cohort SQL, prompts and code; versions; the MLflow run
    answers.json          of a served model: what was asked, rescued, invalid, paid

From these alone every table is made again, and two models are compared note by note.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from lang1_assets.ops.schemas import PREDICTIONS_FILE, RECORD_FILE, ROWS_FILE
from lang1_assets.ops.tasks import REMEDE, TASKS
from lang1_assets.resources.store import Artifact, ArtifactStore, source_hash
from lang1_assets.resources.tracked_names import MEAN_TASK, TESTS, of_test
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

if TYPE_CHECKING:
    from lang1_assets.ops.evaluation import Scored, ScoringConfig

ANSWERS_FILE = "answers.json"
SCORING_FILE = "scoring.json"
SCORING_CODE = [
    "lang1_assets.ops.evaluation",
    "lang1_assets.ops.evaluation_record",
    "lang1_assets.ops.scoring",
    "lang1_assets.ops.model",
    "lang1_assets.ops.prompts",
    "lang1_assets.ops.tokenizer",
    "lang1_assets.ops.tasks",
]
MEASURING_CODE = [
    "lang1_assets.ops.results",
    "lang1_assets.ops.resampled_metrics",
    "lang1_assets.ops.metrics",
    "lang1_assets.ops.bootstrap",
]
BASELINE, SINGLE_TASK = "baseline", "single_task"
"""Kind and mode of a baseline, which is a model a task."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The model that is looked at."""

    name: str
    """A variant, or a key of the profile's `models`."""
    mode: str
    """`zero_shot`, or the recipe that it was finetuned with."""
    kind: str
    """`variant`, `baseline`, or the `kind` of an outside model."""
    detail: str = ""
    """What tells it from others of this name and mode: a checkpoint, a number of labelled notes."""

    @property
    def trained_on(self) -> str | None:
        return None if self.mode == "zero_shot" else self.mode

    @property
    def title(self) -> str:
        return ", ".join(filter(None, (self.name, self.mode, self.detail)))

    @property
    def params(self) -> dict[str, str]:
        """For MLflow."""
        named = {
            "variant": self.name,
            "base": "none" if self.kind == BASELINE else self.name,
            "recipe": self.mode,
            "kind": self.kind,
        }
        return named | ({"detail": self.detail} if self.detail else {})


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How one subject is evaluated."""

    subject: Subject
    splits: Sequence[str]
    score: Callable[[], "Scored"]
    hashes: Callable[[], Mapping[str, Any]]
    """`model_sha256` and `tokenizer_sha256`, of a baseline also what it learned from; asked for after scoring, because weights
    take their time to read."""
    parameters: Mapping[str, Any]
    """Besides those that all share; what decides the probabilities."""
    code: Sequence[str] = ()
    """Besides `SCORING_CODE`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Kept in the summary, for those who gather many evaluations."""
    part: str = TESTS
    """What kind of run it is in MLflow."""
    is_elsewhere: bool = False
    """Whether the notes are another hospital's: no oracle is known of them, and their artifacts name the SQL of their cohorts."""


def build_evaluation(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    tracking: Tracking,
    *,
    artifact: str,
    evaluation: Evaluation,
    examples: dict[str, Artifact],
    inputs: Sequence[Artifact],
) -> Artifact:
    """Score, measure and record one subject.

    Two artifacts: with other metrics a model is measured again and not scored again, which may take hours or money.
    """
    hospital = None if evaluation.is_elsewhere else store.get("hospital_exports")
    cohort_sql = sql_there(examples) if evaluation.is_elsewhere else store.get("warehouse").summary["cohort_sql_sha256"]
    subject = evaluation.subject
    answered = build_predictions(context, settings, store, artifact, evaluation, [*inputs, *examples.values()])
    all_inputs = [answered, *inputs, *examples.values(), *([hospital] if hospital else [])]
    measured = {"num_resamples": settings.evaluate.num_resamples, "seed": settings.seed}

    def make(work: Path) -> dict[str, Any]:
        with tracking.run(
            context,
            experiment="evaluate",
            name=subject.title,
            work=work,
            params={"profile": settings.name, "part": evaluation.part, **subject.params},
            inputs=all_inputs,
        ) as run:
            for name in (PREDICTIONS_FILE, ANSWERS_FILE):
                if (answered.path / name).exists():
                    shutil.copyfile(answered.path / name, work / name)
            predictions = pl.read_parquet(work / PREDICTIONS_FILE)
            rows = result_rows(settings, subject, predictions, oracle_by_note(examples, hospital))
            write_json(work / ROWS_FILE, rows)
            scoring = json.loads((answered.path / SCORING_FILE).read_text())
            record = {
                **asdict(subject),
                **scoring,
                "tasks": tasks_record(examples, cohort_sql),
                "parameters": scoring["parameters"] | measured,
                "code": scoring["code"] | {module: source_hash(module) for module in MEASURING_CODE},
                "mlflow_run_id": run.run_id,
            }
            write_json(work / RECORD_FILE, record)
            run.log_values(metric_values(rows))
            for file in (ROWS_FILE, RECORD_FILE):
                run.log_file(work / file)
        return {
            "num_predictions": len(predictions),
            "model_sha256": record["model_sha256"],
            "mlflow_run_id": run.run_id,
            "mlflow_url": run.url,
            **evaluation.facts,
        }

    return store.build(
        artifact, make, inputs=all_inputs, parameters=measured, code=MEASURING_CODE, on_wait=context.log.warning
    )


def build_predictions(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    artifact: str,
    evaluation: Evaluation,
    inputs: Sequence[Artifact],
) -> Artifact:
    """Probabilities of every note, and what they were made from."""
    parameters = {"seed": settings.seed, "splits": list(evaluation.splits), **evaluation.parameters}
    code = [*SCORING_CODE, *evaluation.code]

    def make(work: Path) -> dict[str, Any]:
        scored = evaluation.score()
        scored.predictions.write_parquet(work / PREDICTIONS_FILE)
        answers = getattr(scored, "answers", None)
        if answers is not None:
            write_json(work / ANSWERS_FILE, answers)
        record = {
            **evaluation.hashes(),
            "prompts": scored.prompts,
            "parameters": parameters,
            "code": {module: source_hash(module) for module in code},
            "versions": versions(),
        }
        write_json(work / SCORING_FILE, record)
        return {"num_predictions": len(scored.predictions)}

    return store.build(
        f"predictions/{artifact}", make, inputs=inputs, parameters=parameters, code=code, on_wait=context.log.warning
    )


def folder_hashes(folder: Path) -> Mapping[str, str]:
    """Of a Hugging Face folder's weights and tokenizer."""
    from lang1_assets.ops.evaluation_record import model_sha256
    from lang1_assets.ops.tokenizer import tokenizer_sha256

    return {"model_sha256": model_sha256([folder]), "tokenizer_sha256": tokenizer_sha256(folder)}


def scoring_config(settings: Settings, context_length: int | None = None) -> "ScoringConfig":
    """How notes are scored; a variant of another size has a context of its own."""
    # torch takes seconds to import; the definitions do without it.
    from lang1_assets.ops.evaluation import ScoringConfig

    return ScoringConfig(
        note_tokens=settings.finetune.note_tokens,
        context_length=context_length or settings.model.context_length,
        max_examples=settings.evaluate.max_examples,
        batch_size=settings.evaluate.batch_size,
        seed=settings.seed,
    )


def prompt_parameters(settings: Settings, context_length: int | None = None) -> dict[str, Any]:
    """What decides which prompts a model is given."""
    return {
        "note_tokens": settings.finetune.note_tokens,
        "context_length": context_length or settings.model.context_length,
        "max_examples": settings.evaluate.max_examples,
    }


def result_rows(
    settings: Settings, subject: Subject, predictions: pl.DataFrame, oracle: pl.DataFrame | None
) -> list[dict[str, Any]]:
    from lang1_assets.ops import results

    rows: list[Any] = results.result_rows(
        predictions,
        model=subject.name,
        mode=results.ZERO_SHOT if subject.trained_on is None else results.FINETUNED,
        trained_on=subject.trained_on,
        oracle=oracle,
        num_resamples=settings.evaluate.num_resamples,
        seed=settings.seed,
    )
    return rows


def oracle_by_note(examples: dict[str, Artifact], hospital: Artifact | None) -> pl.DataFrame | None:
    """(note_id, task, probabilities) where the source knows the probability behind each label: the embedded hospital."""
    path = None if hospital is None else hospital.path / "oracle.parquet"
    if path is None or not path.exists():
        return None
    oracle = pl.read_parquet(path)
    notes = [
        pl.read_parquet(artifact.path / "examples.parquet", columns=["note_id", "encounter_id"]).with_columns(
            task=pl.lit(task)
        )
        for task, artifact in examples.items()
    ]
    return pl.concat(notes).join(oracle, on=["encounter_id", "task"]).select("note_id", "task", "probabilities")


def sql_there(examples: dict[str, Artifact]) -> dict[str, str]:
    """Task -> hash of the SQL behind another hospital's cohort."""
    return {task: artifact.summary["cohort_sql_sha256"] for task, artifact in examples.items()}


def tasks_record(examples: dict[str, Artifact], cohort_sql: Mapping[str, str]) -> dict[str, Any]:
    from lang1_assets.ops.evaluation_record import task_used

    own = {task.name: sha256(task.cohort.sql.encode()).hexdigest() for task in TASKS.values() if task.cohort}
    hashes = {**cohort_sql, **own}
    return {task: task_used(TASKS[task], hashes.get(task), examples[task].fingerprint) for task in examples}


def versions() -> dict[str, str]:
    from lang1_assets.ops.evaluation_record import surroundings

    return surroundings()


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1))


def metric_values(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The names under which every evaluation run logs: `auroc/TASK/SPLIT` and so on, and `auroc/mean/SPLIT`."""
    values = {
        of_test(row["metric"], row["task"], row["split"]): row["value"] for row in rows if row["value"] is not None
    }
    return values | mean_aurocs(values, {row["split"] for row in rows})


def mean_aurocs(values: Mapping[str, float], splits: Iterable[str]) -> dict[str, float]:
    """The plain mean over the paper's five tasks, on each split that has them all: one number to sort models by."""
    means = {}
    for split in splits:
        found = [values.get(of_test("auroc", task, split)) for task in REMEDE]
        known = [value for value in found if value is not None]
        if len(known) == len(found):
            means[of_test("auroc", MEAN_TASK, split)] = fmean(known)
    return means
