"""The best of several models is chosen on the notes it is judged by: how often claims about it are wrong."""

from pathlib import Path

import numpy as np
import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.study import comparisons
from lang1_assets.ops.study.cells import Cell, Studied
from lang1_assets.ops.study.claim import Verdict
from lang1_assets.ops.study.evidence import judge
from tests.ops.study.planted import BASES

(WEAK,) = comparisons.ZERO_SHOT_QUESTIONS
EXCEEDS = comparisons.FINETUNED_QUESTIONS[0]
NUM_HOSPITALS, NUM_NOTES = 80, 200


def hospital(folder: Path, signals: list[float], rng: np.random.Generator) -> Studied:
    """Ours, finetuned, first; then zero-shot models of these signals, each with errors of its own, on one task."""
    labels = (rng.random(NUM_NOTES) < 0.4).astype(np.int32)
    cells = []
    for place, signal in enumerate(signals):
        odds = signal * labels + rng.normal(size=NUM_NOTES)
        ones = 1 / (1 + np.exp(-odds))
        name = "ours" if place == 0 else f"outside-{place}"
        frame = pl.DataFrame(
            {
                "note_id": [f"n{i}" for i in range(NUM_NOTES)],
                "subject_id": [f"p{i}" for i in range(NUM_NOTES)],
                "task": "readmission",
                "split": "temporal_2024",
                "label": labels,
                "probabilities": np.column_stack([1 - ones, ones]).tolist(),
            }
        ).select(schemas.PREDICTIONS.names)
        path = folder / f"{name}-{rng.integers(1 << 60)}.parquet"
        frame.write_parquet(path)
        row = {"task": "readmission", "split": "temporal_2024", "metric": "auroc", "n": NUM_NOTES}
        row["value"] = auroc(labels, np.column_stack([1 - ones, ones])).value
        cells.append(
            Cell(
                model=name,
                kind="variant" if place == 0 else "outside",
                trained_on="readmission" if place == 0 else None,
                source=f"{name}_evaluation",
                predictions=path,
                rows=[row],  # type: ignore[list-item]
            )
        )
    return Studied(
        cells=cells,
        bases=BASES,
        split="temporal_2024",
        test_splits=("temporal_2024",),
        scaled_task="readmission",
        num_resamples=200,
        seed=3407,
    )


def verdicts(folder: Path, signals: list[float], seed: int) -> list[Verdict]:
    """Of `finetuned_exceeds_best_zero_shot`, at many hospitals."""
    rng = np.random.default_rng(seed)
    found = []
    for place in range(NUM_HOSPITALS):
        held = hospital(folder, signals, rng)
        found.append(judge(EXCEEDS, held, "x").verdict)
        # That none reaches ours is the same number, the other way round.
        if place < 5:
            assert judge(WEAK, held, "x").verdict == found[-1]
    return found


def test_ten_equal_models_are_not_said_to_beat_ours_by_the_luckiest_of_them(tmp_path: Path) -> None:
    """All eleven are equal. On one task a verdict may be wrong once in forty; of the luckiest alone it was one in seven."""
    assert verdicts(tmp_path, [1.0] * 11, seed=1).count("does not hold") <= 4


def test_to_exceed_all_is_not_said_where_one_is_as_good(tmp_path: Path) -> None:
    """The other way to be wrong: one zero-shot model is as good as ours, the others are far behind."""
    assert verdicts(tmp_path, [1.0, 1.0, 0.2], seed=2).count("holds") <= 4


def test_to_exceed_all_is_said_where_it_is_so(tmp_path: Path) -> None:
    assert verdicts(tmp_path, [2.5, 1.0, 0.2], seed=3).count("holds") > 0.9 * NUM_HOSPITALS
