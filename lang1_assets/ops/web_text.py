"""Text in the SlimPajama layout: `.jsonl.zst` or `.jsonl`, a line a document (paper 5.2.1, M04)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import zstandard

from lang1_assets.ops.processes import WorkerDiedError, Workers

DOCUMENTS_PER_FILE = 50_000
# Of the lines: whole books come at half a megabyte each.
BYTES_PER_FILE = 256 << 20
READ_BYTES = 1 << 20
# SlimPajama has 59,166 files. Each document file becomes a shard at least, and a process may map 65,530 files (Linux).
MAX_JOBS = 10_000
UNKNOWN_SUBSET = "unknown"
DOCUMENT_COLUMNS = {"document_id": pl.String, "subset": pl.String, "text": pl.String}
REJECT_COLUMNS = {"source": pl.String, "row_id": pl.String, "reason": pl.String}


class WebTextError(ValueError):
    """No readable web text."""


@dataclass(frozen=True, kw_only=True)
class WebTextReport:
    rows_in: int
    """Lines that are not blank."""
    rows_kept: int
    rejects_by_reason: dict[str, int]
    documents_by_subset: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class FileJob:
    """What one process reads at a time: files with their names under the folder, and where their documents go."""

    number: int
    files: tuple[tuple[Path, str], ...]
    documents: Path


@dataclass(frozen=True, kw_only=True)
class FileResult:
    subsets: Counter[str] = field(default_factory=Counter)
    """Documents of each subset."""
    rejects: list[tuple[str, str]] = field(default_factory=list)
    """("file:line", reason) of each line that is no document."""


def read_web_text(
    source: Path,
    output: Path,
    *,
    corpus: str = "web_text",
    num_workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> WebTextReport:
    """Documents as `output/documents/*.parquet` (document_id, subset, text), broken lines as `output/rejects.parquet`.

    Files are streamed, each by one process, and written in the order of their names, the same for any number of processes. A
    document's id is its file and line, such as `train/chunk1/a.jsonl:17`. Rejects are `not_json`, `no_text` (no string there),
    `empty` and `not_unicode` (half a surrogate pair).

    Args:
        corpus: what the rejects call their source.
        on_progress: told (jobs done, jobs in all); a job is one file, or some where there are more than 10,000.

    Raises:
        WebTextError: there is no file, one is cut short or not zstd, or none of the lines is a document.
    """
    jobs = plan(source, output / "documents")
    try:
        with Workers(min(num_workers, len(jobs))) as workers:
            results = workers.in_order(read_files, jobs, on_progress)
    except WorkerDiedError as error:
        raise WebTextError(f"{source}: {error}; lower cleaning.num_workers") from None
    subsets = sum((result.subsets for result in results), Counter[str]())
    rejects = [(corpus, *reject) for result in results for reject in result.rejects]
    if not subsets:
        raise WebTextError(f"{source}: none of {len(rejects)} lines is a document with a 'text' field")
    pl.DataFrame(rejects, schema=REJECT_COLUMNS, orient="row").write_parquet(output / "rejects.parquet")
    return WebTextReport(
        rows_in=subsets.total() + len(rejects),
        rows_kept=subsets.total(),
        rejects_by_reason=dict(sorted(Counter(reason for *_, reason in rejects).items())),
        documents_by_subset=dict(sorted(subsets.items())),
    )


def plan(source: Path, documents: Path) -> list[FileJob]:
    files = sorted([*source.glob("**/*.jsonl"), *source.glob("**/*.jsonl.zst")])
    if not files:
        raise WebTextError(f"{source}: no .jsonl or .jsonl.zst file there")
    documents.mkdir(parents=True, exist_ok=True)
    named = [(path, str(path.relative_to(source))) for path in files]
    size = -(-len(named) // MAX_JOBS)
    return [
        FileJob(number=number, files=tuple(named[start : start + size]), documents=documents)
        for number, start in enumerate(range(0, len(named), size))
    ]


def read_files(job: FileJob) -> FileResult:
    """The documents of a job's files, in Parquet files of bounded size."""
    result = FileResult()
    writer = DocumentWriter(job)
    for path, name in job.files:
        read_file(path, name, writer, result)
    writer.flush()
    return result


def read_file(path: Path, name: str, writer: DocumentWriter, result: FileResult) -> None:
    for number, line in enumerate(lines_of(path), start=1):
        document = parse(line)
        if document is None:
            continue
        where = f"{name}:{number}"
        if isinstance(document, str):
            result.rejects.append((where, document))
        else:
            result.subsets[document[0]] += 1
            writer.add((where, *document), len(line))


def lines_of(path: Path) -> Iterator[bytes]:
    rest = b""
    for block in decompressed(path) if path.suffix == ".zst" else blocks(path):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        yield rest


def blocks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as handle:
        while block := handle.read(READ_BYTES):
            yield block


def decompressed(path: Path) -> Iterator[bytes]:
    """Every frame of a file: the library's own reader stops after the first, and takes a cut file for a whole one."""
    frame = None
    for block in blocks(path):
        while block:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(block)
            except zstandard.ZstdError as error:
                raise WebTextError(f"{path}: broken compression ({error}); copy the file again") from None
            block = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise WebTextError(f"{path}: ends in the middle of its compression; copy the file again")


def parse(line: bytes) -> tuple[str, str] | str | None:
    """A document's subset and text, or why the line is not one; None for a blank line.

    orjson reads a line in half the time and takes nothing that the standard library does not; what it refuses (a line that is
    not JSON, half a surrogate pair, NaN somewhere) is looked at again.
    """
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return parse_slowly(line) if line.strip() else None
    return document_of(row)


def parse_slowly(line: bytes) -> tuple[str, str] | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "not_json"
    document = document_of(row)
    try:
        "".join(document).encode()
    except UnicodeEncodeError:
        return "not_unicode"
    return document


def document_of(row: Any) -> tuple[str, str] | str:
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str):
        return "no_text"
    if not text or text.isspace():
        return "empty"
    return subset_of(row), text


def subset_of(row: dict[str, Any]) -> str:
    meta = row.get("meta")
    name = meta.get("redpajama_set_name") if isinstance(meta, dict) else None
    return name if isinstance(name, str) else UNKNOWN_SUBSET


class DocumentWriter:
    """Parquet files of `DOCUMENTS_PER_FILE` documents or `BYTES_PER_FILE` bytes of lines: memory holds one at a time."""

    def __init__(self, job: FileJob) -> None:
        self._job = job
        self._pending: list[tuple[str, str, str]] = []
        self._num_bytes = 0
        self._num_files = 0

    def add(self, document: tuple[str, str, str], num_bytes: int) -> None:
        self._pending.append(document)
        self._num_bytes += num_bytes
        if len(self._pending) == DOCUMENTS_PER_FILE or self._num_bytes >= BYTES_PER_FILE:
            self.flush()

    def flush(self) -> None:
        if not self._pending:
            return
        columns = dict(zip(DOCUMENT_COLUMNS, zip(*self._pending, strict=True), strict=True))
        # Writing is most of the work: level 1 takes half the time of the default for an eighth more bytes.
        pl.DataFrame(columns, schema=DOCUMENT_COLUMNS).write_parquet(
            self._job.documents / f"part-{self._job.number:05d}-{self._num_files:05d}.parquet",
            compression="zstd",
            compression_level=1,
            statistics=False,
        )
        self._num_files += 1
        self._pending, self._num_bytes = [], 0
