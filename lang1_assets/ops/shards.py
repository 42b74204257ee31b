"""Token shards: documents as token ids, packed back to back in flat files with a manifest (docs/token-shards.md, M07)."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MANIFEST_FILE = "manifest.json"
FORMAT_VERSION = 1
SPLITS = ("train", "val")
BATCH_DOCUMENTS = 4_096


class ShardError(ValueError):
    """A shard folder that cannot be trusted: cut short, changed, or of another tokenizer."""


@dataclass(frozen=True, kw_only=True)
class ShardsReport:
    num_tokens: int
    num_documents: int
    num_val_tokens: int
    num_val_documents: int
    num_shards: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one worker turns into part files: one Parquet file."""

    number: int
    source: Path
    output: Path
    id_column: str
    text_column: str
    tokenizer_folder: Path
    val_fraction: float
    shard_tokens: int
    seed: int
    dtype: str
    bos: int
    eos: int
    filter: bytes | None


def write_shards(
    parquet_files: Sequence[Path],
    *,
    id_column: str,
    text_column: str,
    tokenizer_folder: Path,
    output: Path,
    val_fraction: float,
    shard_tokens: int,
    seed: int,
    num_workers: int,
    on_progress: Callable[[int, int], None],
    filter: pl.Expr | None = None,
) -> ShardsReport:
    """Tokenize documents into `output`; the same files for any number of workers.

    Args:
        val_fraction: share of the documents held out, by a seeded hash of the document's id; at least one document.
        shard_tokens: a shard is closed once it holds this many tokens.
        filter: which rows of the Parquet files belong to this corpus.

    Raises:
        ShardError: no document is left by the filter.
    """
    from lang1_assets.ops.tokenizer import fast_tokenizer, tokenizer_sha256

    tokenizer = fast_tokenizer(tokenizer_folder)
    vocab_size = tokenizer.get_vocab_size()
    dtype = "uint16" if vocab_size <= 65_536 else "uint32"
    jobs = [
        Job(
            number=number,
            source=path,
            output=output,
            id_column=id_column,
            text_column=text_column,
            tokenizer_folder=tokenizer_folder,
            val_fraction=val_fraction,
            shard_tokens=shard_tokens,
            seed=seed,
            dtype=dtype,
            bos=tokenizer.token_to_id("<s>"),
            eos=tokenizer.token_to_id("</s>"),
            filter=None if filter is None else filter.meta.serialize(),
        )
        for number, path in enumerate(parquet_files)
    ]
    shards = [shard for done in run_jobs(jobs, num_workers, on_progress) for shard in done]
    if not any(shard["split"] == "val" for shard in shards):
        shards = hold_out_one(shards, output, dtype, jobs[0].bos if jobs else 1)
    manifest = {
        "format_version": FORMAT_VERSION,
        "dtype": dtype,
        "vocab_size": vocab_size,
        "tokenizer_sha256": tokenizer_sha256(tokenizer_folder),
        "shards": sorted(shards, key=lambda shard: shard["file"]),
    }
    (output / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1))
    return summarize(shards)


def run_jobs(jobs: list[Job], num_workers: int, on_progress: Callable[[int, int], None]) -> list[list[dict[str, Any]]]:
    if num_workers == 1 or len(jobs) <= 1:
        results = []
        for job in jobs:
            results.append(write_file_shards(job))
            on_progress(len(results), len(jobs))
        return results
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(jobs)), mp_context=context) as pool:
        results = []
        for result in pool.map(write_file_shards, jobs):
            results.append(result)
            on_progress(len(results), len(jobs))
    return results


def write_file_shards(job: Job) -> list[dict[str, Any]]:
    """The shards of one Parquet file, streamed in batches of documents."""
    from lang1_assets.ops.tokenizer import encode_batch

    frame = pl.scan_parquet(job.source)
    if job.filter is not None:
        frame = frame.filter(pl.Expr.deserialize(job.filter))
    documents = frame.select(job.id_column, job.text_column).collect()
    writers = {split: SplitWriter(job, split) for split in SPLITS}
    for start in range(0, len(documents), BATCH_DOCUMENTS):
        batch = documents.slice(start, BATCH_DOCUMENTS)
        encoded = encode_batch(job.tokenizer_folder, batch[job.text_column].to_list())
        for document_id, ids in zip(batch[job.id_column].to_list(), encoded, strict=True):
            split = "val" if is_held_out(document_id, job.seed, job.val_fraction) else "train"
            writers[split].add(ids)
    return [shard for writer in writers.values() for shard in writer.close()]


def is_held_out(document_id: str, seed: int, fraction: float) -> bool:
    """By the id alone: the same documents are held out whatever their order and company."""
    digest = hashlib.blake2b(f"{seed}:{document_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < fraction * 2**64


class SplitWriter:
    """Collects documents of one split and writes a shard each `shard_tokens` tokens."""

    def __init__(self, job: Job, split: str) -> None:
        self._job = job
        self._split = split
        self._parts: list[NDArray[Any]] = []
        self._num_tokens = 0
        self._num_documents = 0
        self._written: list[dict[str, Any]] = []

    def add(self, ids: NDArray[np.int64]) -> None:
        framed = np.concatenate(([self._job.bos], ids, [self._job.eos])).astype(f"<{np.dtype(self._job.dtype).str[1:]}")
        self._parts.append(framed)
        self._num_tokens += len(framed)
        self._num_documents += 1
        if self._num_tokens >= self._job.shard_tokens:
            self._flush()

    def close(self) -> list[dict[str, Any]]:
        if self._parts:
            self._flush()
        return self._written

    def _flush(self) -> None:
        name = f"{self._split}-{self._job.number:05d}-{len(self._written):05d}.bin"
        self._written.append(
            write_shard(self._job.output, name, self._split, np.concatenate(self._parts), self._num_documents)
        )
        self._parts, self._num_tokens, self._num_documents = [], 0, 0


def write_shard(output: Path, name: str, split: str, tokens: NDArray[Any], num_documents: int) -> dict[str, Any]:
    data = tokens.tobytes()
    beside = output / f"{name}.tmp"
    beside.write_bytes(data)
    beside.rename(output / name)
    return {
        "file": name,
        "split": split,
        "num_tokens": len(tokens),
        "num_documents": num_documents,
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def hold_out_one(shards: list[dict[str, Any]], output: Path, dtype: str, bos: int) -> list[dict[str, Any]]:
    """A small corpus, of which the hash held out nothing: its last document becomes the validation split."""
    if not shards:
        raise ShardError(f"{output}: no document is left for this corpus; check its dates and note types")
    last = max(shards, key=lambda shard: shard["file"])
    tokens = np.fromfile(output / last["file"], dtype=dtype)
    starts = np.flatnonzero(tokens == bos)
    rest = [shard for shard in shards if shard is not last]
    if len(starts) < 2 and not rest:
        raise ShardError(f"{output}: a corpus of one document has nothing to hold out; give it more documents")
    val = write_shard(output, "val-00000-00000.bin", "val", tokens[starts[-1] :], 1)
    if len(starts) < 2:
        (output / last["file"]).unlink()
        return [*rest, val]
    kept = write_shard(output, last["file"], "train", tokens[: starts[-1]], last["num_documents"] - 1)
    return [*rest, kept, val]


def summarize(shards: Sequence[dict[str, Any]]) -> ShardsReport:
    def total(split: str, field: str) -> int:
        return sum(shard[field] for shard in shards if shard["split"] == split)

    return ShardsReport(
        num_tokens=total("train", "num_tokens"),
        num_documents=total("train", "num_documents"),
        num_val_tokens=total("val", "num_tokens"),
        num_val_documents=total("val", "num_documents"),
        num_shards=len(shards),
    )


class TokenShards:
    """One split of a shard folder, read by position; nothing is loaded until it is asked for."""

    def __init__(self, folder: Path, split: str, tokenizer_sha256: str | None = None) -> None:
        self._folder = folder
        manifest = self._read_manifest()
        if tokenizer_sha256 is not None and manifest["tokenizer_sha256"] != tokenizer_sha256:
            raise ShardError(f"{folder}: tokenized with another tokenizer; materialize these shards again")
        self.dtype = np.dtype(manifest["dtype"]).newbyteorder("<")
        self.vocab_size: int = manifest["vocab_size"]
        self._shards = [shard for shard in manifest["shards"] if shard["split"] == split]
        self._starts = np.cumsum([0, *(shard["num_tokens"] for shard in self._shards)])
        self.num_tokens = int(self._starts[-1])
        self._maps = [self._open(shard) for shard in self._shards]

    def _read_manifest(self) -> dict[str, Any]:
        path = self._folder / MANIFEST_FILE
        try:
            manifest = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise ShardError(f"{path}: not a readable manifest ({error}); materialize these shards again") from None
        if manifest.get("format_version") != FORMAT_VERSION:
            raise ShardError(f"{path}: format {manifest.get('format_version')}, expected {FORMAT_VERSION}")
        return manifest

    def _open(self, shard: dict[str, Any]) -> NDArray[Any]:
        path = self._folder / shard["file"]
        expected = shard["num_tokens"] * self.dtype.itemsize
        found = path.stat().st_size if path.exists() else 0
        if found != expected:
            raise ShardError(f"{path}: {found} bytes, the manifest says {expected}; materialize these shards again")
        return np.memmap(path, dtype=self.dtype, mode="r")

    def verify(self) -> None:
        """Read every shard and compare its checksum.

        Raises:
            ShardError: naming the first file that differs.
        """
        for shard in self._shards:
            path = self._folder / shard["file"]
            with open(path, "rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
            if digest != shard["sha256"]:
                raise ShardError(f"{path}: its checksum is not the manifest's; materialize these shards again")

    def num_windows(self, context_length: int) -> int:
        """Windows of `context_length` + 1 tokens that overlap by one: each token is predicted once."""
        return max(0, (self.num_tokens - 1) // context_length)

    def window(self, index: int, context_length: int) -> NDArray[Any]:
        """Tokens of window `index`, shape (context_length + 1,), across shards where it has to be."""
        start = index * context_length
        return self.read(start, start + context_length + 1)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(f"{self._folder}: tokens {start} to {stop} of {self.num_tokens}")
        parts = []
        shard = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            end = min(stop, int(self._starts[shard + 1]))
            offset = int(self._starts[shard])
            parts.append(self._maps[shard][start - offset : end - offset])
            start, shard = end, shard + 1
        return np.concatenate(parts) if parts else np.empty(0, self.dtype)
