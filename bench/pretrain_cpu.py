"""The tiny profile's pretraining job on this machine's cores against the plain PyTorch loop on the same model.

Ours is the job as the asset launches it: two DeepSpeed ranks, ZeRO-2, the mixture, logging. The peer is what a tutorial
would write: one process with all cores, `LlamaForCausalLM` with labels, `torch.optim.AdamW`, clipping, the same global
batch in one forward pass, windows taken from memory. Both from the same random weights, in turns, several times.

Run: `.venv/bin/python bench/pretrain_cpu.py [repeats]`. Writes `bench/results/pretrain_cpu.json` and `.md`.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from lang1_assets.ops.hospital import HospitalConfig, write_exports
from lang1_assets.ops.shard_writing import write_shards
from lang1_assets.ops.tokenizer import train_tokenizer
from lang1_assets.settings import Settings, load_settings

RESULTS = Path(__file__).parent / "results"
NUM_STEPS = 100
WARM_STEPS = 20
# What the launcher gives a job without a GPU.
OUR_ENVIRONMENT = {
    "DS_ACCELERATOR": "cpu",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
}

PLAIN_LOOP = """
import json, resource, sys, time
import torch
from lang1_assets.ops.model import ModelShape, build_model
from lang1_assets.ops.shards import TokenShards
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
training, num_steps, warm = job["training"], job["training"]["max_steps"], int(sys.argv[2])
model = build_model(ModelShape(**job["shape"]), job["vocab_size"], job["seed"])
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=training["betas"], eps=training["eps"], weight_decay=0.1)
shards = TokenShards(Path(job["sources"]["notes"]), "train")
size, context = training["global_batch_size"], job["shape"]["context_length"]
for step in range(num_steps):
    if step == warm:
        started = time.monotonic()
    rows = [torch.from_numpy(shards.window(step * size + i, context)[:-1].astype("int64")) for i in range(size)]
    windows = torch.stack(rows)
    loss = model(input_ids=windows, labels=windows).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    loss.item()
speed = (num_steps - warm) * size * context / (time.monotonic() - started)
print(json.dumps({"tokens_per_second": speed, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def prepare(folder: Path, settings: Settings) -> dict[str, Any]:
    """A job of the tiny profile over the embedded hospital's notes."""
    write_exports(folder / "export", HospitalConfig(num_encounters=1_500, seed=settings.seed))
    notes = pl.concat([pl.read_csv(file, infer_schema=False) for file in sorted(folder.glob("export/notes-*.csv"))])
    notes = notes.filter(pl.col("narrative").is_not_null()).select("note_id", text="narrative")
    notes.unique("note_id", keep="first", maintain_order=True).write_parquet(folder / "notes.parquet")
    for name in ("tokenizer", "shards", "ours"):
        (folder / name).mkdir()
    summary = train_tokenizer(
        iter(notes["text"].to_list()), folder / "tokenizer", settings.tokenizer.vocab_size, settings.seed
    )
    write_shards(
        [folder / "notes.parquet"],
        id_column="note_id",
        text_column="text",
        tokenizer_folder=folder / "tokenizer",
        output=folder / "shards",
        val_fraction=0.01,
        shard_tokens=settings.shards.shard_tokens,
        seed=settings.seed,
        num_workers=2,
        on_progress=lambda done, total: None,
    )
    return job(folder, settings, summary.vocab_size)


def job(folder: Path, settings: Settings, vocab_size: int) -> dict[str, Any]:
    """As the asset writes it, but for nothing that would interrupt the steps."""
    from lang1_assets.models.pretrain import job_config
    from lang1_assets.resources.store import Artifact

    def artifact(name: str) -> Artifact:
        return Artifact(name=name, path=folder / name, fingerprint="", summary={"vocab_size": vocab_size})

    config = job_config(settings, settings.main_variant, {"notes": artifact("shards")}, artifact("tokenizer"))
    training = {**config["training"], "max_steps": NUM_STEPS, "warmup_steps": 10, "log_every_steps": WARM_STEPS}
    never = {"validate_every_steps": NUM_STEPS, "save_every_steps": NUM_STEPS}
    return {
        **config,
        "training": {**training, **never},
        "weights": {"notes": 1},
        "checkpoint_tokens": 10**12,
        "validation_windows": 1,
        "monitoring": None,
    }


def ours(folder: Path, config: dict[str, Any], num_ranks: int, run: int) -> dict[str, float]:
    work = folder / "ours" / str(run)
    work.mkdir()
    (work / "job.json").write_text(json.dumps(config, default=str))
    world = base64.urlsafe_b64encode(json.dumps({"localhost": list(range(num_ranks))}).encode()).decode()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = [
        sys.executable,
        "-m",
        "lang1_assets.ops.training.deepspeed_alone",
        f"--world_info={world}",
        "--master_addr=127.0.0.1",
    ]
    module = [f"--master_port={port}", "--module", "lang1_assets.ops.pretraining", "--config", str(work / "job.json")]
    threads = max(1, len(os.sched_getaffinity(0)) // num_ranks)
    environment = {**os.environ, **OUR_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([*launcher, *module], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    rows = [json.loads(line)["values"] for line in (work / "metrics.jsonl").read_text().splitlines()]
    # The first interval holds what is done once.
    logged = [row for row in rows if "speed/tokens_per_second" in row][2:]
    return {
        "tokens_per_second": statistics.median(row["speed/tokens_per_second"] for row in logged),
        "peak_bytes": num_ranks * max(row["speed/peak_memory_bytes"] for row in logged),
    }


def peer(folder: Path, config: dict[str, Any]) -> dict[str, float]:
    path = folder / "peer.json"
    path.write_text(json.dumps(config, default=str))
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_LOOP, str(path), str(WARM_STEPS)], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    settings = load_settings("tiny")
    found: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory(prefix="pretrain-cpu-", dir=os.environ.get("LANG1_BENCH_FOLDER")) as scratch:
        config = prepare(Path(scratch), settings)
        for run in range(repeats):
            found["ours"].append(ours(Path(scratch), config, settings.pretrain.num_cpu_ranks, run))
            found["peer"].append(peer(Path(scratch), config))
            print({name: round(runs[-1]["tokens_per_second"]) for name, runs in found.items()}, flush=True)
    write_results(found, settings)


def write_results(found: dict[str, list[dict[str, float]]], settings: Settings) -> None:
    speed = {name: statistics.median(run["tokens_per_second"] for run in runs) for name, runs in found.items()}
    memory = {name: max(run["peak_bytes"] for run in runs) for name, runs in found.items()}
    ratios = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(*found.values(), strict=True)]
    result = {
        "name": "pretrain_cpu",
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "repeats": len(ratios),
        "tokens_per_second": {name: round(value) for name, value in speed.items()},
        "peak_bytes": {name: int(value) for name, value in memory.items()},
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }
    names = {
        "ours": f"the job, {settings.pretrain.num_cpu_ranks} ranks, ZeRO-{settings.pretrain.zero_stage}",
        "peer": "plain PyTorch loop",
    }
    lines = [
        "# pretrain_cpu",
        "",
        f"{result['date']}, {result['machine']}. Tiny profile, {NUM_STEPS} steps, {len(ratios)} runs in turns, medians.",
        "",
        "| what | tokens/s | peak memory, GiB |",
        "|---|---:|---:|",
        *(f"| {names[name]} | {speed[name]:,.0f} | {memory[name] / 2**30:.2f} |" for name in names),
        "",
        f"Ratio of the pairs: {result['ratio']} ({', '.join(map(str, result['ratios']))}); bound: not slower.",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pretrain_cpu.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / "pretrain_cpu.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
