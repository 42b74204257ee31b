"""Training batches from token shards: ours against litdata and a plain PyTorch DataLoader.

Two corpora of the same tokens, mixed one to one, windows of `context + 1` tokens in a shuffled order, batches as int64 tensors on
the CPU, everything from the page cache. Ours draws each batch by its step alone, in the process that trains; litdata reads
its own chunks (TokensLoader, CombinedStreamingDataset); the DataLoader reads the same files through a memory map, a window an
item, with and without a worker. What counts is the share of a training step that waits for data, were nothing read ahead.

Run: `.venv/bin/python bench/loading.py [--repeats N] [--encounters N] [PATH of real text]`.
Writes `bench/results/loading.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import contest
import numpy as np
import polars as pl
import texts

from lang1_assets.ops import cleaning
from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.shard_writing import write_shards
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.tokenizer import train_tokenizer

CORPORA = ("first", "second")
SEED = 3407
WARM_BATCHES = 20
MAXIMUM_SHARE = 0.01
PEERS = {"litdata": "litdata"}
# (name, context, sequences a batch, tokens a second of a step): the tiny profile on two cores as bench/pretrain_cpu.py finds
# it, and 1.1B parameters on one H200 at 55 % utilization, which is 71,000 tokens a second.
STEPS = {"tiny": (320, 8, 18_000.0), "1b": (2_048, 16, 71_000.0)}
MEASURED_STEP = contest.RESULTS / "pretrain_cpu.json"

Batches = Iterator[Any]


def ours(folder: Path, context: int, size: int) -> Batches:
    import torch

    sources = {name: TokenShards(folder / name, "train") for name in CORPORA}
    mixture = Mixture(sources, dict.fromkeys(CORPORA, 1.0), context, SEED)
    step = 0
    while True:
        yield torch.from_numpy(mixture.batch(step, size, 0, 1, size, 0))
        step += 1


def plain_loader(folder: Path, context: int, size: int, num_workers: int = 0) -> Batches:
    import torch
    from torch.utils.data import ConcatDataset, DataLoader, Dataset, RandomSampler

    class Windows(Dataset[Any]):
        def __init__(self, path: Path) -> None:
            self.tokens = np.memmap(path, dtype="<u2", mode="r")

        def __len__(self) -> int:
            return (len(self.tokens) - 1) // context

        def __getitem__(self, index: int) -> Any:
            window = self.tokens[index * context : index * context + context + 1]
            return torch.from_numpy(window.astype(np.int64))

    windows = ConcatDataset([Windows(path) for name in CORPORA for path in sorted((folder / name).glob("train-*.bin"))])
    sampler = RandomSampler(windows, replacement=True, num_samples=10**9)
    yield from DataLoader(windows, batch_size=size, sampler=sampler, num_workers=num_workers)


def loader_with_a_worker(folder: Path, context: int, size: int) -> Batches:
    return plain_loader(folder, context, size, num_workers=1)


def litdata(folder: Path, context: int, size: int) -> Batches:
    from litdata import CombinedStreamingDataset, StreamingDataLoader, StreamingDataset, TokensLoader

    while True:
        sources = [
            StreamingDataset(
                str(folder / f"{name}-litdata"), item_loader=TokensLoader(context + 1), shuffle=True, seed=SEED
            )
            for name in CORPORA
        ]
        mixed = CombinedStreamingDataset(sources, weights=(0.5, 0.5), seed=SEED, iterate_over_all=False)
        yield from StreamingDataLoader(mixed, batch_size=size, num_workers=0, drop_last=True)


CONTENDERS: dict[str, Callable[[Path, int, int], Batches]] = {
    "ours": ours,
    "litdata": litdata,
    "dataloader": plain_loader,
    "dataloader_1_worker": loader_with_a_worker,
}


def run(name: str, step: str, num_batches: int, folder: Path) -> None:
    context, size, _ = STEPS[step]
    batches = CONTENDERS[name](folder, context, size)
    for _ in range(WARM_BATCHES):
        batch = next(batches)
        if tuple(batch.shape) != (size, context + 1):
            sys.exit(f"{name} gives batches of shape {tuple(batch.shape)}, expected {(size, context + 1)}")

    def work() -> int:
        # Read, as a copy to a GPU would.
        return sum(int(next(batches)[:, -1].sum()) >= 0 for _ in range(num_batches))

    contest.timed(work)
    sys.stdout.flush()
    # Loaders' workers and threads are of no further use.
    os._exit(0)


def write_corpora(folder: Path, encounters: int, real: Path | None) -> int:
    """Token shards of the same documents, half in each corpus, and litdata's chunks of the same tokens; tokens in all."""
    if real is None:
        kept, _ = cleaning.clean_frame(texts.staged_notes(folder / "exports", encounters), cleaning.CleaningRules())
        held = kept["text"].to_list()
    else:
        held = texts.real_texts(real)
    (folder / "tokenizer").mkdir()
    train_tokenizer(iter(held[:5_000]), folder / "tokenizer", 4_096, seed=1)
    total = 0
    for number, name in enumerate(CORPORA):
        documents = folder / f"{name}.parquet"
        mine = held[number::2]
        pl.DataFrame({"id": [f"{name}-{row}" for row in range(len(mine))], "text": mine}).write_parquet(documents)
        (folder / name).mkdir()
        total += write_shards(
            [documents],
            id_column="id",
            text_column="text",
            tokenizer_folder=folder / "tokenizer",
            output=folder / name,
            val_fraction=0.001,
            shard_tokens=100_000_000,
            seed=SEED,
            num_workers=1,
            on_progress=lambda done, total: None,
        ).num_tokens
    return total


def documents_as_tensors(path: str) -> Iterator[Any]:
    import torch

    tokens = np.fromfile(path, dtype="<u2")
    for part in np.array_split(tokens, max(1, len(tokens) // 100_000)):
        yield torch.from_numpy(part.astype(np.int64)).to(torch.int32)


def write_litdata(folder: Path) -> None:
    from litdata import TokensLoader, optimize

    for name in CORPORA:
        optimize(
            fn=documents_as_tensors,
            inputs=[str(path) for path in sorted((folder / name).glob("train-*.bin"))],
            output_dir=str(folder / f"{name}-litdata"),
            # Chunks must hold whole windows of every context that is read.
            chunk_size=(2_048 + 1) * (320 + 1) * 4,
            item_loader=TokensLoader(),
            num_workers=1,
        )


def tokens_per_second(step: str) -> float:
    """Of a training step: the tiny profile's as bench/pretrain_cpu.py last measured it, where it did."""
    if step == "tiny" and MEASURED_STEP.exists():
        return float(json.loads(MEASURED_STEP.read_text())["tokens_per_second"]["ours"])
    return STEPS[step][2]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--encounters", type=int, default=45_000)
    parser.add_argument("--batches", type=int, default=400)
    parser.add_argument("--run", nargs=4, metavar=("NAME", "STEP", "BATCHES", "IN"))
    parser.add_argument("real", type=Path, nargs="?")
    options = parser.parse_args()
    if options.run:
        name, step, batches, folder = options.run
        run(name, step, int(batches), Path(folder))
        return
    missing = contest.missing_peers(PEERS)
    names = [name for name in CONTENDERS if name not in missing]
    with tempfile.TemporaryDirectory(prefix="loading-", dir=os.environ.get("LANG1_BENCH_FOLDER")) as home:
        folder = Path(home)
        num_tokens = write_corpora(folder, options.encounters, options.real)
        if "litdata" in names:
            write_litdata(folder)
        found = {
            step: contest.contest(
                __file__, names, options.repeats, lambda name, turn, step=step: [step, str(options.batches), home]
            )
            for step in STEPS
        }
    what = "the embedded hospital's notes, synthetic" if options.real is None else f"real text, {options.real.name}"
    lines = [f"{what}: {num_tokens / 1e6:.1f} M tokens in two corpora; medians of {options.repeats}.", ""]
    result: dict[str, Any] = {"text": what, "num_tokens": num_tokens, "missing": missing}
    for step, runs in found.items():
        context, size, _ = STEPS[step]
        rows = contest.rows_of(runs, options.batches * size * context / 1e6)
        step_seconds = size * context / tokens_per_second(step)
        for row in rows.values():
            row["share_of_step"] = round(row["seconds"] / options.batches / step_seconds, 6)
        shares = ", ".join(f"{name} {row['share_of_step']:.3%}" for name, row in rows.items())
        lines += [f"## {step}: batches of {size} x {context} + 1", "", *contest.table(rows, "ours", "M tokens/s"), ""]
        lines += [
            f"Share of a step of {step_seconds * 1e3:.0f} ms ({tokens_per_second(step):,.0f} tokens/s; bound for ours: "
            f"{MAXIMUM_SHARE:.0%}): {shares}.",
            "",
        ]
        result[step] = {"rows": rows, "step_seconds": step_seconds}
    lines += [f"{name} is left out: {how}" for name, how in missing.items()]
    contest.write_results("loading" if options.real is None else "loading-real", result, lines)


if __name__ == "__main__":
    main()
