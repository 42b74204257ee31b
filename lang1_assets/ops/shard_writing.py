"""Documents to token shards, in parallel: the same files for any number of workers (docs/token-shards.md, M07)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lang1_assets.ops.processes import WorkerDiedError, Workers
from lang1_assets.ops.shards import FORMAT_VERSION, MANIFEST_FILE, SPLITS, Shard, ShardError

DOCUMENTS_PER_JOB = 50_000
BATCH_DOCUMENTS = 4_096


@dataclass(frozen=True, kw_only=True)
class ShardsReport:
    num_tokens: int
    """Of the training split, BOS and EOS included."""
    num_documents: int
    num_val_tokens: int
    num_val_documents: int
    num_shards: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one worker turns into shards: some rows of one Parquet file, so that memory stays bounded."""

    number: int
    source: Path
    start: int
    output: Path
    id_column: str
    text_column: str
    tokenizer_folder: Path
    val_fraction: float
    shard_tokens: int
    seed: int
    dtype: str
    boundaries: tuple[int, int]
    filter: bytes | None
    left_out: Path | None
    held_out: str | None = None
    """A document that goes to validation whatever its hash."""


@dataclass(frozen=True, kw_only=True)
class JobResult:
    shards: list[Shard]
    smallest: tuple[int, str] | None
    """The smallest hash of a document id, and that id."""


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
    left_out: Path | None = None,
    planted: Path | None = None,
) -> ShardsReport:
    """Tokenize documents into `output`; the same files for any number of workers.

    Args:
        val_fraction: share of the documents held out, by a seeded hash of the document's id; at least one document.
        shard_tokens: a shard is closed once it holds this many tokens.
        on_progress: told (jobs done, jobs in all); a job is 50,000 rows of a file.
        filter: which rows of the Parquet files belong to this corpus.
        left_out: a folder with a Parquet file of the same name for each of these files, whose ids are left out.
        planted: a Parquet file of documents that belong to this corpus whatever the filter, as its last ones.

    Raises:
        ShardError: fewer than two documents are left by the filter, or a file cannot be read or has an empty id or text.
        TokenizerError: the tokenizer has no BOS or EOS.
    """
    from lang1_assets.ops.tokenizer import boundary_ids, fast_tokenizer, tokenizer_sha256

    vocab_size = fast_tokenizer(tokenizer_folder).get_vocab_size()
    template = Job(
        number=0,
        source=Path(),
        start=0,
        output=output,
        id_column=id_column,
        text_column=text_column,
        tokenizer_folder=tokenizer_folder,
        val_fraction=val_fraction,
        shard_tokens=shard_tokens,
        seed=seed,
        dtype="<u2" if vocab_size <= 2**16 else "<u4",
        boundaries=boundary_ids(tokenizer_folder),
        filter=None if filter is None else filter.meta.serialize(),
        left_out=left_out,
    )
    jobs = plan(parquet_files, template)
    if planted is not None:
        own = plan([planted], replace(template, filter=None, left_out=None))
        jobs += [replace(job, number=len(jobs) + job.number) for job in own]
    results = run_jobs(jobs, num_workers, on_progress)
    shards = [shard for result in hold_out_at_least_one(jobs, results) for shard in result.shards]
    manifest = {
        "format_version": FORMAT_VERSION,
        "dtype": np.dtype(template.dtype).name,
        "vocab_size": vocab_size,
        "tokenizer_sha256": tokenizer_sha256(tokenizer_folder),
        "bos_id": template.boundaries[0],
        "eos_id": template.boundaries[1],
        "val_fraction": val_fraction,
        "seed": seed,
        "shards": sorted(shards, key=lambda shard: str(shard["file"])),
    }
    (output / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1))
    return summarize(shards)


def plan(parquet_files: Sequence[Path], template: Job) -> list[Job]:
    starts = [
        (path, start)
        for path in parquet_files
        for start in range(0, num_rows_of(path, (template.id_column, template.text_column)), DOCUMENTS_PER_JOB)
    ]
    return [replace(template, number=number, source=path, start=start) for number, (path, start) in enumerate(starts)]


def num_rows_of(path: Path, columns: Sequence[str]) -> int:
    try:
        found = pl.read_parquet_schema(path)
        missing = [column for column in columns if column not in found]
        if missing:
            raise ShardError(f"{path}: missing column(s) {', '.join(missing)}; it has {', '.join(found)}")
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ShardError(f"{path}: not a readable Parquet file ({type(error).__name__}); write it again") from None


def run_jobs(jobs: list[Job], num_workers: int, on_progress: Callable[[int, int], None]) -> list[JobResult]:
    try:
        with Workers(min(num_workers, len(jobs))) as workers:
            return workers.in_order(write_job_shards, jobs, on_progress)
    except WorkerDiedError as error:
        raise ShardError(f"{error}; lower shards.num_workers or shards.shard_tokens") from None


def hold_out_at_least_one(jobs: list[Job], results: list[JobResult]) -> list[JobResult]:
    """In a corpus so small that its hashes held nothing out, the document of the smallest hash is: in any order the same."""
    shards = [shard for result in results for shard in result.shards]
    if any(shard["split"] == "val" for shard in shards):
        return results
    num_documents = sum(shard["num_documents"] for shard in shards)
    if num_documents < 2:
        raise ShardError(
            f"{num_documents} document(s) in this corpus, and one is held out for validation; check its dates and note types"
        )
    *_, (_, document), number = min(
        (result.smallest, number) for number, result in enumerate(results) if result.smallest
    )
    for shard in results[number].shards:
        (jobs[number].output / shard["file"]).unlink()
    again = write_job_shards(replace(jobs[number], held_out=document))
    return [*results[:number], again, *results[number + 1 :]]


def write_job_shards(job: Job) -> JobResult:
    """The shards of one job, a batch of documents at a time."""
    documents = read_documents(job)
    hashes = [hash_of(document, job.seed) for document in documents[job.id_column]]
    limit = job.val_fraction * 2**64
    is_val = np.array(
        [hashed < limit or name == job.held_out for hashed, name in zip(hashes, documents[job.id_column], strict=True)]
    )
    writers = {split: SplitWriter(job, split) for split in SPLITS}
    for start in range(0, len(documents), BATCH_DOCUMENTS):
        texts = documents[job.text_column].slice(start, BATCH_DOCUMENTS).to_list()
        tokens, lengths = framed(job, texts)
        chosen = is_val[start : start + len(texts)]
        for split, mask in zip(SPLITS, (~chosen, chosen), strict=True):
            writers[split].add(tokens[np.repeat(mask, lengths)], int(mask.sum()))
    return JobResult(
        shards=[shard for writer in writers.values() for shard in writer.close()],
        smallest=min(zip(hashes, documents[job.id_column], strict=True), default=None),
    )


def read_documents(job: Job) -> pl.DataFrame:
    scan = pl.scan_parquet(job.source).slice(job.start, DOCUMENTS_PER_JOB)
    if job.filter is not None:
        scan = scan.filter(pl.Expr.deserialize(job.filter))
    if job.left_out is not None:
        others = pl.scan_parquet(job.left_out / job.source.name).select(job.id_column)
        scan = scan.join(others, on=job.id_column, how="anti", maintain_order="left")
    try:
        documents = scan.select(job.id_column, job.text_column).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ShardError(f"{job.source}: cannot be read ({type(error).__name__}); write it again") from None
    for column in (job.id_column, job.text_column):
        if documents[column].null_count():
            raise ShardError(f"{job.source}: {documents[column].null_count()} rows without {column}; expected none")
    return documents


def hash_of(document_id: str, seed: int) -> int:
    """64 bits of the id alone: the same documents are held out whatever their order and company."""
    digest = hashlib.blake2b(f"{seed}:{document_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def framed(job: Job, texts: list[str]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """All texts in a row, each as BOS + ids + EOS, and how many tokens each has."""
    from lang1_assets.ops.tokenizer import encode_flat

    ids, offsets = encode_flat(job.tokenizer_folder, texts)
    lengths = np.diff(offsets) + 2
    ends = np.cumsum(lengths)
    tokens = np.empty(int(ends[-1]), dtype=job.dtype)
    is_text = np.ones(len(tokens), dtype=bool)
    is_text[ends - lengths] = is_text[ends - 1] = False
    tokens[is_text] = ids
    tokens[ends - lengths], tokens[ends - 1] = job.boundaries
    return tokens, lengths


class SplitWriter:
    """Collects documents of one split and writes a shard once it has `shard_tokens` tokens."""

    def __init__(self, job: Job, split: str) -> None:
        self._job = job
        self._split = split
        self._parts: list[NDArray[Any]] = []
        self._num_documents = 0
        self._written: list[Shard] = []

    def add(self, tokens: NDArray[Any], num_documents: int) -> None:
        if num_documents:
            self._parts.append(tokens)
            self._num_documents += num_documents
        if sum(map(len, self._parts)) >= self._job.shard_tokens:
            self._flush()

    def close(self) -> list[Shard]:
        if self._parts:
            self._flush()
        return self._written

    def _flush(self) -> None:
        name = f"{self._split}-{self._job.number:05d}-{len(self._written):05d}.bin"
        tokens = np.concatenate(self._parts)
        path = self._job.output / name
        beside = path.with_suffix(".tmp")
        tokens.tofile(beside)
        beside.rename(path)
        self._written.append(
            {
                "file": name,
                "split": self._split,
                "num_tokens": len(tokens),
                "num_documents": self._num_documents,
                "sha256": hashlib.sha256(tokens.data).hexdigest(),
            }
        )
        self._parts, self._num_documents = [], 0


def summarize(shards: Sequence[Shard]) -> ShardsReport:
    def total(split: str, field: str) -> int:
        return sum(shard[field] for shard in shards if shard["split"] == split)

    return ShardsReport(
        num_tokens=total("train", "num_tokens"),
        num_documents=total("train", "num_documents"),
        num_val_tokens=total("val", "num_tokens"),
        num_val_documents=total("val", "num_documents"),
        num_shards=len(shards),
    )
