"""What the seed of a finetuning is worth: one task, from random weights and from the last checkpoint, with several seeds.

    python bench/explain/seeds.py --home lang1_home --profile tiny --task readmission --seeds 3407 1 2 3

Each is the job that the asset starts, with the profile's settings and its search. A run that is there already is not made again.
Printed and written to `bench/results/seeds.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lang1_assets.models.finetuned import Finetuning, job_config
from lang1_assets.ops.evaluation import ScoringConfig, predict
from lang1_assets.ops.metrics import auroc
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import Settings, load_settings

SPLITS = "test", "temporal_2024"
NUM_NOTES = 4000
ONE_RANK = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "DS_ACCELERATOR": "cpu"}
RESULT = Path(__file__).parents[1] / "results" / "seeds.md"


def finetune(config: dict[str, Any], work: Path) -> dict[str, Any]:
    """The job's summary."""
    work.mkdir(parents=True, exist_ok=True)
    summary = work / "summary.json"
    if not summary.exists():
        (work / "job.json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "lang1_assets.ops.finetuning", "--config", str(work / "job.json")]
        with open(work / "job.log", "w") as log:
            port = str(20_000 + os.getpid() % 10_000)
            subprocess.run(
                command, env={**os.environ, **ONE_RANK, "MASTER_PORT": port}, stdout=log, stderr=log, check=True
            )
    return json.loads(summary.read_text())


def aurocs(model: Path, examples: Path, task: str, config: dict[str, Any], settings: Settings) -> dict[str, float]:
    scoring = ScoringConfig(
        note_tokens=config["note_tokens"],
        context_length=config["context_length"],
        max_examples=NUM_NOTES,
        batch_size=64,
        seed=settings.seed,
    )
    frame = predict(model, {task: examples}, SPLITS, scoring, lambda line: None).predictions
    by_split = {split: frame.filter(split=split) for split in SPLITS}
    return {
        split: auroc(rows["label"].to_numpy(), np.array(rows["probabilities"].to_list())).value
        for split, rows in by_split.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("lang1_home"))
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--task", default="readmission")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3407, 1, 2, 3])
    asked = parser.parse_args()
    settings = load_settings(asked.profile)
    variant = next(iter(settings.variants))
    store = ArtifactStore(root=str(asked.home / "artifacts" / settings.name))
    base, examples = store.get(f"pretrained_model/{variant}"), store.get(f"{asked.task}_examples")
    bases = {"random weights": base.summary["trajectory"][0], "the last checkpoint": base.summary["trajectory"][-1]}
    lines = [
        "| from | seed | learning rate | best step | AUROC, test | AUROC, 2024 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for seed in asked.seeds:
        for name, checkpoint in bases.items():
            title = f"{asked.task}-{checkpoint}-{seed}"
            config = job_config(
                settings,
                Finetuning(
                    artifact=title,
                    title=title,
                    variant=variant,
                    recipe=asked.task,
                    base=base,
                    examples={asked.task: examples},
                    checkpoint=checkpoint,
                ),
            )
            work = asked.home / "bench_seeds" / title
            summary = finetune({**config, "seed": seed}, work)
            found = aurocs(work / "model", examples.path / "examples.parquet", asked.task, config, settings)
            shown = " | ".join(f"{found[split]:.3f}" for split in SPLITS)
            lines.append(f"| {name} | {seed} | {summary['learning_rate']:.1e} | {summary['best_step']} | {shown} |")
            print(lines[-1], flush=True)
    kind = "Synthetic notes" if settings.is_synthetic else "Notes"
    said = f"{kind}, {asked.task}, {variant}; each run is the asset's job, and its seed that of search, order and validation."
    text = "\n".join(["# seeds", "", said, "", *lines, ""])
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
