"""Cells whose AUROCs are known to differ, or not to: what a claim must say of them is known too."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.metrics import auroc, top_class_ece
from lang1_assets.ops.study.cells import Base, Cell, Studied
from lang1_assets.ops.tasks import REMEDE, TASKS

LARGE, SMALL = '{"hidden_size": 128}', '{"hidden_size": 32}'
BASES = (
    Base(name="ours", corpora=frozenset({"notes_plus", "web_text"}), num_parameters=1_000_000, shape=LARGE),
    Base(name="generalist", corpora=frozenset({"web_text"}), num_parameters=1_000_000, shape=LARGE),
    Base(name="random", is_random=True, num_parameters=1_000_000, shape=LARGE),
    Base(name="small", corpora=frozenset({"notes_plus", "web_text"}), num_parameters=100_000, shape=SMALL),
    Base(name="clinical", corpora=frozenset({"notes_plus"}), num_parameters=1_000_000, shape=LARGE),
    Base(name="older", corpora=frozenset({"notes"}), num_parameters=1_000_000, shape=LARGE),
    Base(name="encoder", corpora=frozenset({"notes"}), architecture="encoder", num_parameters=1_000_000, shape=LARGE),
)
SPLITS = ("test", "temporal_2024")
NUM_NOTES = 400
GOOD, BAD, NOTHING = 2.5, 0.8, 0.0

Signal = float | Mapping[Any, float]
"""How well labels are told apart: everywhere, or by task, or by (task, split)."""
Plan = Mapping[str, Signal]
"""`MODEL/MODE` of a variant here, `there:MODEL/MODE`, `scaled:MODEL/PRETRAINED/FINETUNED/NOTES`, `outside:MODEL`,
`baseline:MODEL`."""


def studied(folder: Path, plan: Plan, num_notes: int = NUM_NOTES, **others: Any) -> Studied:
    return Studied(
        cells=[cell(folder, name, signal, num_notes) for name, signal in plan.items()],
        bases=others.pop("bases", BASES),
        split="temporal_2024",
        test_splits=SPLITS,
        scaled_task="readmission",
        num_resamples=200,
        seed=3407,
        **others,
    )


def cell(folder: Path, name: str, signal: Signal, num_notes: int = NUM_NOTES) -> Cell:
    kind, _, rest = name.rpartition(":")
    model, *parts = rest.split("/")
    frame = predictions(signal, num_notes, "there" if kind == "there" else "here")
    if kind == "scaled":
        frame = frame.filter(task="readmission", split="temporal_2024")
    path = folder / f"{name.replace('/', '_').replace(':', '_')}.parquet"
    frame.write_parquet(path)
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "": lambda: {"kind": "variant", "trained_on": mode(parts[0]), "source": f"{parts[0]}_evaluation/{model}"},
        "there": lambda: {
            "kind": "elsewhere",
            "trained_on": mode(parts[0]),
            "source": f"elsewhere_evaluation/{model}/{parts[0]}",
        },
        "outside": lambda: {"kind": "outside", "trained_on": None, "source": f"outside_evaluation/{model}"},
        "baseline": lambda: {"kind": "baseline", "trained_on": "each task", "source": f"baseline_evaluation/{model}"},
        "scaled": lambda: {
            "kind": "scaled",
            "trained_on": "readmission",
            "source": f"scaled_evaluation/{rest}",
            "pretrain_tokens": int(parts[0]),
            "finetune_tokens": int(parts[1]),
            "num_notes": 9_999 if parts[2] == "all" else int(parts[2]),
            "has_all_notes": parts[2] == "all",
        },
    }
    return Cell(model=model, predictions=path, rows=rows(frame), **makers[kind]())


def mode(part: str) -> str | None:
    return None if part == "zero_shot" else part


def predictions(signal: Signal, num_notes: int, side: str) -> pl.DataFrame:
    """Every task and test, the same notes, labels and noise for every model of a side."""
    frames = []
    for task in REMEDE:
        for split in SPLITS:
            strength = strength_of(signal, task, split)
            if strength is not None:
                frames.append(of_test(task, split, side, strength, num_notes))
    return pl.concat(frames)


def strength_of(signal: Signal, task: str, split: str) -> float | None:
    if isinstance(signal, Mapping):
        return signal.get((task, split), signal.get(task))
    return signal


def of_test(task: str, split: str, side: str, strength: float, num_notes: int) -> pl.DataFrame:
    rng = np.random.default_rng([REMEDE.index(task), SPLITS.index(split), len(side)])
    k = TASKS[task].num_classes
    labels = rng.choice(k, num_notes, p=[0.6, *[0.4 / (k - 1)] * (k - 1)])
    logits = rng.normal(size=(num_notes, k)) + strength * np.eye(k)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pl.DataFrame(
        {
            "note_id": [f"{side}-{task}-{split}-{i}" for i in range(num_notes)],
            "subject_id": [f"{split}-{i // 2}" for i in range(num_notes)],
            "task": task,
            "split": split,
            "label": labels.astype(np.int32),
            "probabilities": probabilities.tolist(),
        }
    ).select(schemas.PREDICTIONS.names)


def rows(frame: pl.DataFrame) -> list[Any]:
    """AUROC and calibration error, with intervals that no claim looks at."""
    found = []
    for (task, split), group in frame.group_by("task", "split", maintain_order=True):
        labels, columns = group["label"].to_numpy(), np.array(group["probabilities"].to_list())
        values = {"auroc": auroc(labels, columns).value, "ece_top_class": top_class_ece(labels, columns)}
        found += [
            {
                "task": task,
                "split": split,
                "metric": metric,
                "value": value,
                "low": value - 0.03,
                "high": value + 0.03,
                "standard_deviation": 0.015,
                "n": len(labels),
            }
            for metric, value in values.items()
        ]
    return found
