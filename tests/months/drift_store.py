"""An artifact store as landing leaves it: a model in service, its reference, and landed months of hand-made notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lang1_assets.months.landed import HISTORY
from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import Settings, load_settings
from tests.ops.drift.made import notes, predictions

VARIANT = "lang1-tiny-notesplus-webtexts"
SECRET = "zqsecretzq"
SPLIT = "temporal_2024"
TASKS = ("readmission", "mortality")


def profile(folder: Path, more: str = "") -> Settings:
    (folder / "ours.yaml").write_text(
        "extends: tiny\nname: ours\nevaluate: {num_resamples: 100}\nanalyze: {min_notes: 30, min_events: 5}\n" + more
    )
    return load_settings(str(folder / "ours.yaml"))


def scored_notes(task: str, split: str, n: int, seed: int, signal: float) -> pl.DataFrame:
    return predictions(n, seed=seed, signal=signal, task=task).with_columns(split=pl.lit(split))


def fill(store: ArtifactStore, model: str = "m1", *, signal: float = 2.0, n: int = 400) -> None:
    """What is there before anything lands."""

    def tokenizer(work: Path) -> dict[str, Any]:
        from lang1_assets.ops.tokenizer import train_tokenizer

        return {**vars(train_tokenizer(iter(notes(100)["text"].to_list()), work, 400, 1))}

    store.build("tokenizer", tokenizer)
    for number, task in enumerate(REMEDE):
        if task not in TASKS:
            store.build(f"{task}_examples", lambda work: {"switched_off": "no claims"})
            continue

        def examples(work: Path, number: int = number) -> dict[str, Any]:
            held = [notes(n, seed=number).with_columns(split=pl.lit(split)) for split in ("train", SPLIT)]
            frame = pl.concat(held).with_columns(text=pl.col("text") + f" {SECRET}")
            frame.write_parquet(work / "examples.parquet")
            return {"switched_off": ""}

        store.build(f"{task}_examples", examples)
    serve(store, model, signal=signal, n=n)


def serve(store: ArtifactStore, model: str, *, signal: float = 2.0, n: int = 400) -> None:
    def service(work: Path) -> dict[str, Any]:
        frames = [
            scored_notes(task, split, n, 10 + number, signal)
            for number, task in enumerate(TASKS)
            for split in ("test", SPLIT)
        ]
        pl.concat(frames).write_parquet(work / schemas.PREDICTIONS_FILE)
        return {"variant": VARIANT, "fingerprint": model, "best_val_micro_auroc": 0.8}

    store.build("model_in_service/joint", service, parameters={"model": model})


def land(
    store: ArtifactStore,
    month: str,
    *,
    model: str = "m1",
    tasks: Sequence[str] = TASKS,
    signal: Mapping[str, float] | None = None,
    n: int = 120,
    seed: int = 100,
    content: str = "c1",
    made: Mapping[str, Any] | None = None,
    reason: Mapping[str, str] | None = None,
) -> None:
    """One month, labelled and scored by a model; of the tasks with a `reason` no note was scored."""
    reasons = dict(reason or {})

    def cohorts(work: Path) -> dict[str, Any]:
        for number, task in enumerate(tasks):
            held = notes(n, seed=seed + number, **(made or {})).with_columns(text=pl.col("text") + f" {SECRET}")
            held.write_parquet(work / f"{task}.parquet")
        return {"export": {"content": content}, "tasks": told}

    told = {task: {"ripe": task in tasks, "reason": reasons.get(task)} for task in REMEDE}

    labelled = store.build(
        f"landed_cohorts/{month}", cohorts, parameters={"content": content, "tasks": list(tasks), "made": made}
    )

    def evaluation(work: Path) -> dict[str, Any]:
        frames = [
            scored_notes(task, "landed", n, seed + number, (signal or {}).get(task, 2.0))
            for number, task in enumerate(tasks)
            if task not in reasons
        ]
        empty = pl.DataFrame(schemas.PREDICTIONS.empty_table())
        pl.concat([empty, *frames], how="vertical_relaxed").write_parquet(work / schemas.PREDICTIONS_FILE)
        return {
            "model": model,
            "variant": VARIANT,
            "export": content,
            "cohorts": labelled.fingerprint,
            "tasks": told,
        }

    name = f"landed_evaluation/{month}/joint"
    earlier = store.find(name)
    if earlier is not None:
        kept = store.path(f"{HISTORY}/{name}/{earlier.fingerprint}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        earlier.path.rename(kept)
    store.build(
        name, evaluation, inputs=[labelled], parameters={"model": model, "signal": dict(signal or {}), "seed": seed}
    )
