"""A report's worth of random numbers: two models, zero-shot, joint and two single-task runs, with an oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from lang1_assets.ops import paper_tables, schemas
from lang1_assets.ops.leaderboard import Entry, Evaluated, leaderboard
from lang1_assets.ops.report import (
    ArtifactLink,
    CardText,
    CohortCount,
    LossCurve,
    Memorized,
    ModelSummary,
    RejectCount,
    ReportData,
    StageCount,
    StudyResult,
    TrajectoryPoint,
    cohort_counts,
    task_calibrations,
)
from lang1_assets.ops.results import ResultRow, result_rows
from lang1_assets.ops.study.claim import Claim, Judged, Verdict
from lang1_assets.ops.study.figure import Figure
from lang1_assets.ops.study.names import STUDY_NAMES
from lang1_assets.ops.tasks import TASKS
from tests.ops.study.sample import band, every_figure, zero_shot_of_many_models

MODEL = "lang1-tiny-notesplus-webtexts"
TEST_SPLITS = ("test", "temporal_2021", "temporal_2024")
DAGSTER = "http://127.0.0.1:3000"
MLFLOW = "http://127.0.0.1:5000"


def sample_predictions(signal: float, num_notes: int = 400, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Predictions of a model that sees the truth through noise, and the oracle of the same notes."""
    rng = np.random.default_rng(seed)
    predictions, oracle = [], []
    for task in TASKS.values():
        for split in TEST_SPLITS:
            latent = rng.normal(size=(num_notes, task.num_classes)) * 1.6
            latent += np.log(np.array(paper_tables.CLASS_RATIOS[task.name][split]) + 0.02)
            truth = _softmax(latent)
            labels = (truth.cumsum(axis=1) < rng.random((num_notes, 1))).sum(axis=1).clip(0, task.num_classes - 1)
            drift = 0.8 if split == "temporal_2024" else 1.0
            seen = _softmax(signal * drift * latent + (1.2 - signal) * rng.normal(size=latent.shape))
            ids = [f"{task.name}-{split}-{i}" for i in range(num_notes)]
            columns = {"note_id": ids, "task": task.name}
            oracle.append(pl.DataFrame({**columns, "probabilities": truth.tolist()}))
            predictions.append(
                pl.DataFrame(
                    {
                        **columns,
                        "subject_id": [f"p{i // 2}" for i in range(num_notes)],
                        "split": split,
                        "label": labels.astype(np.int32),
                        "probabilities": seen.tolist(),
                    }
                ).select(schemas.PREDICTIONS.names)
            )
    return pl.concat(predictions), pl.concat(oracle)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sample_rows(num_resamples: int = 100) -> tuple[list[ResultRow], list]:
    rows: list[ResultRow] = []
    curves = []
    signals = {None: 0.03, "readmission": 0.6, "mortality": 0.7, "joint": 0.8}
    for trained_on, signal in signals.items():
        predictions, oracle = sample_predictions(signal)
        found = result_rows(
            predictions,
            model=MODEL,
            mode="zero_shot" if trained_on is None else "finetuned",
            trained_on=trained_on,
            oracle=oracle,
            num_resamples=num_resamples,
        )
        asset = f"{DAGSTER}/assets/{trained_on or 'zero_shot'}_evaluation"
        rows += [{**row, "asset_url": asset, "mlflow_url": f"{MLFLOW}/#/runs/{trained_on}"} for row in found]
        curves += task_calibrations(predictions, model=MODEL, trained_on=trained_on)
    return rows, curves


def sample_leaderboard() -> tuple[Entry, ...]:
    """Our models, a server whose letters were asked for again, and a chat model that was sampled."""
    answers = {"not_scored": {"too_long": 3}, "num_notes": 400, "num_rescued": 12, "num_answers": 0, "num_invalid": 0}
    sampled = {**answers, "not_scored": {}, "num_rescued": 0, "num_answers": 4000, "num_invalid": 180}
    sampled["abilities"] = {"sampled": {"num_samples": 10, "temperature": 1.0, "max_examples": 400}}
    others = {"joint": (), "ward-server": (answers,), "assistant": (sampled,)}
    evaluated = []
    for (name, asked), signal in zip(others.items(), (0.8, 0.4, 0.2), strict=True):
        predictions, _ = sample_predictions(signal)
        keys = predictions.select("task", "split").unique().iter_rows(named=True)
        evaluated.append(
            Evaluated(
                model=MODEL if name == "joint" else name,
                mode="joint" if name == "joint" else "zero_shot",
                kind="variant",
                predictions=predictions,
                rows=result_rows(predictions, model=name, mode="zero_shot", trained_on=None, num_resamples=50),
                answers=[{**key, **row} for key in keys for row in asked],
            )
        )
    return tuple(leaderboard(evaluated, TEST_SPLITS[-1], 50, 1))


def sample_cohorts() -> tuple[CohortCount, ...]:
    rng = np.random.default_rng(5)
    counts = []
    for task in TASKS:
        for split in schemas.SPLITS:
            total = paper_tables.NOTE_COUNTS[task][split] // 40
            ratios = np.array(paper_tables.CLASS_RATIOS[task][split])
            if (task, split) == ("length_of_stay", "temporal_2021"):
                ratios = ratios[::-1]
            notes = rng.multinomial(total, ratios / ratios.sum())
            counts.append(
                CohortCount(task=task, split=split, notes_by_label=tuple(notes.tolist()), num_patients=int(total * 0.8))
            )
    return tuple(counts)


def sample_trajectory() -> tuple[TrajectoryPoint, ...]:
    """Comprehension grows, zero-shot AUROC wanders around chance."""
    points = []
    for tokens in range(0, 4_000_001, 1_000_000):
        accuracy = 0.25 + 0.08 * tokens / 1e6
        points.append(
            TrajectoryPoint(
                name="comprehension",
                tokens=tokens,
                value=accuracy,
                low=accuracy - 0.04,
                high=accuracy + 0.04,
                n=400,
                chance=0.25,
            )
        )
        for number, task in enumerate(TASKS):
            value = 0.5 + 0.02 * ((tokens // 1_000_000 * 3 + number * 2) % 5 - 2)
            points.append(
                TrajectoryPoint(
                    name=task, tokens=tokens, value=value, low=value - 0.06, high=value + 0.05, n=200, chance=0.5
                )
            )
    return tuple(points)


def sample_report(num_resamples: int = 100) -> ReportData:
    rows, curves = sample_rows(num_resamples)
    tokens = tuple(range(0, 4_200_001, 42_000))
    return ReportData(
        title="How well a tiny clinical language model predicts operations",
        profile="tiny",
        is_synthetic=True,
        created="2026-01-31 14:05 UTC",
        model=MODEL,
        rows=tuple(rows),
        split_titles=paper_tables.TEST_TITLES,
        leaderboard=sample_leaderboard(),
        models=(
            ModelSummary(
                name=MODEL,
                num_parameters=1_056_896,
                num_tokens=4_096_000,
                validation_loss=3.1,
                validation_perplexity=22.2,
                mlflow_url=f"{MLFLOW}/#/runs/1",
            ),
            ModelSummary(name="lang1-tiny-random", num_parameters=1_056_896, num_tokens=0),
        ),
        artifacts=tuple(
            ArtifactLink(
                name=name,
                asset_key=name.split("/")[0],
                fingerprint=f"{index:02d}" * 16,
                created="2026-01-31T13:50:00+00:00",
                url=f"{DAGSTER}/assets/{name}",
                mlflow_url=f"{MLFLOW}/#/runs/{index}" if index else None,
            )
            for index, name in enumerate(["hospital_exports", f"pretrained_model/{MODEL}", f"joint_evaluation/{MODEL}"])
        ),
        calibration=tuple(curves),
        cohorts=sample_cohorts(),
        stages=(
            StageCount(name="staged notes", num_in=152_340, num_out=150_112),
            StageCount(name="clean notes", num_in=150_112, num_out=141_876),
        ),
        rejects=(
            RejectCount(source="notes", reason="placeholder", num_rows=5_120),
            RejectCount(source="notes", reason="duplicate row", num_rows=3_011),
            RejectCount(source="encounters", reason="discharge before admission", num_rows=333),
        ),
        loss_curves=(
            LossCurve(
                name="training",
                tokens=tokens[1:],
                losses=tuple(2.9 + 4.6 / (1 + t / 300_000) + 0.06 * ((t // 42_000) % 5 - 2) for t in tokens[1:]),
                is_held_out=False,
            ),
            *(
                LossCurve(
                    name=name,
                    tokens=tokens[25::25],
                    losses=tuple(base + 4.5 / (1 + t / 300_000) for t in tokens[25::25]),
                    is_held_out=True,
                )
                for name, base in (("notes_plus", 2.4), ("web_text", 3.3), ("all", 2.85))
            ),
        ),
        trajectory=sample_trajectory(),
        dagster_url=DAGSTER,
        mlflow_url=MLFLOW,
        facts={"encounters": "45,000"},
    )


def sample_without_extras() -> ReportData:
    """A real hospital's first run: zero-shot only, no oracle, no curves, no counts."""
    data = sample_report(num_resamples=20)
    rows = tuple({**row, "oracle": None, "oracle_n": 0} for row in data.rows if row["trained_on"] is None)
    return replace(
        data,
        title="First look at our hospital",
        is_synthetic=False,
        rows=rows,
        models=(),
        artifacts=(),
        calibration=(),
        cohorts=(),
        stages=(),
        rejects=(),
        loss_curves=(),
        trajectory=(),
        leaderboard=(),
        dagster_url=None,
        mlflow_url=None,
    )


NO_ADMISSION_NOTES = "the source has no H&P notes that passed staging"
NEITHER_NOTES_NOR_CLAIMS = "the source has no H&P notes and no claims that passed staging"
SWITCHED_OFF = {
    "mortality": NO_ADMISSION_NOTES,
    "length_of_stay": NO_ADMISSION_NOTES,
    "comorbidity": NO_ADMISSION_NOTES,
    "insurance_denial": NEITHER_NOTES_NOR_CLAIMS,
}


def sample_of_one_task(num_resamples: int = 20) -> ReportData:
    """A source as MIMIC-IV: discharge notes alone, dates shifted, so no temporal splits; zero-shot, joint, single task."""
    rows: list[ResultRow] = []
    curves = []
    for trained_on, signal in {None: 0.1, "readmission": 0.6, "joint": 0.7}.items():
        predictions, _ = sample_predictions(signal)
        own = predictions.filter((pl.col("task") == "readmission") & (pl.col("split") == "test"))
        mode = "zero_shot" if trained_on is None else "finetuned"
        rows += result_rows(own, model=MODEL, mode=mode, trained_on=trained_on, num_resamples=num_resamples)
        curves += task_calibrations(own, model=MODEL, trained_on=trained_on, split="test")
    return replace(
        sample_report(num_resamples),
        title="ReMedE: discharge notes with shifted dates",
        is_synthetic=False,
        rows=tuple(rows),
        headline_split="test",
        splits=schemas.DEVELOPMENT_SPLITS,
        switched_off=SWITCHED_OFF,
        calibration=tuple(curves),
        cohorts=sample_cohorts_of_one_task(),
    )


def sample_cohorts_of_one_task() -> tuple[CohortCount, ...]:
    """Counts of all five tasks, as they come: those of the switched-off ones are zero."""
    rng = np.random.default_rng(7)
    cohort = pl.DataFrame(
        {
            "split": rng.choice(schemas.DEVELOPMENT_SPLITS, 900, p=(0.8, 0.1, 0.1)),
            "label": rng.integers(0, 2, 900),
            "subject_id": [f"p{i // 2}" for i in range(900)],
        }
    )
    frames = {task: cohort if task not in SWITCHED_OFF else cohort.clear() for task in TASKS}
    return tuple(
        count for task, frame in frames.items() for count in cohort_counts(task, frame, schemas.DEVELOPMENT_SPLITS)
    )


EVIL = '<script>alert("x")</script>|'
CARD = """# Lang1 tiny, joint

Made for research on *synthetic* notes.

## Results

| Task | AUROC |
| --- | ---: |
| Readmission | 0.712 |

#### Limits

It knows one hospital. ![pixel](https://tracker.example/pixel.png) [home](https://example.org)
"""


def sample_claims() -> tuple[Judged, ...]:
    """One of each verdict, the last on a study that was not made."""
    told: tuple[tuple[str, Verdict, str, str, str], ...] = (
        (
            "Ours, finetuned, exceeds the best zero-shot model on every task.",
            "holds",
            "finetuned_comparison",
            "Fig. 2b, section 2",
            "Differences of AUROC from +0.12 (0.05 to 0.19, length of stay) to +0.31 (0.24 to 0.38, readmission).",
        ),
        (
            "Zero-shot AUROC does not grow along pretraining, while comprehension does.",
            "does not hold",
            "emergence",
            "Fig. 3",
            "Comprehension +0.21 (0.15 to 0.27); zero-shot mortality +0.09 (0.02 to 0.16).",
        ),
        (
            "Finetuning at the other hospital carries over.",
            "cannot tell",
            "other_hospital",
            "Fig. 5b",
            "Not measured: elsewhere_evaluation of mortality.",
        ),
    )
    return tuple(
        Judged(
            claim=Claim(name=figure, paper=paper, statement=statement, statistic="paired difference above 0"),
            verdict=verdict,
            numbers=numbers,
            figure=figure,
            details=({"about": "Readmission", "value": 0.31, "low": 0.24, "high": 0.38, "n": 400},),
            sources=("joint_evaluation/lang1-tiny",),
        )
        for statement, verdict, figure, paper, numbers in told
    )


def sample_studies() -> tuple[StudyResult, ...]:
    figures: dict[str, list[Figure]] = {}
    for figure in (*every_figure(), zero_shot_of_many_models()):
        figures.setdefault(figure.name, []).append(figure)
    return tuple(
        StudyResult(
            name=name,
            figures=tuple(figures[name]),
            asset_url=f"{DAGSTER}/assets/{name}",
            mlflow_url=f"{MLFLOW}/#/runs/{name}",
        )
        for name in STUDY_NAMES
        if name in figures
    )


def sample_with_studies(num_resamples: int = 30) -> ReportData:
    """What `make study` leads to."""
    study = sample_studies()
    return replace(
        sample_report(num_resamples),
        studies=study,
        claims=sample_claims(),
        cards=(
            CardText(variant=MODEL, recipe="joint", text=CARD, asset_url=f"{DAGSTER}/assets/model_card"),
            CardText(variant=MODEL, recipe="mortality", text=f"# {EVIL}\n\n{EVIL}\n"),
        ),
        memorized=(
            Memorized(
                model=MODEL,
                is_clean=True,
                verdict="0 of 20 canaries planted once are exposed",
                figures=(replace(band(), name="memorization"),),
                asset_url=f"{DAGSTER}/assets/memorization",
            ),
            Memorized(model="lang1-tiny-repeated", is_clean=False, verdict="3 of 20 canaries are exposed"),
        ),
    )
