"""The texts that the benches of the corpus read: the embedded hospital's notes, and real text from a path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.hospital import HospitalConfig, write_exports
from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.tokenizer import train_tokenizer
from lang1_assets.ops.web_text import lines_of


def staged_notes(folder: Path, num_encounters: int) -> pl.DataFrame:
    """Synthetic notes of `schemas.STAGED_NOTES`, as the hospital wrote them."""
    write_exports(folder, HospitalConfig(num_encounters=num_encounters))
    schema = pl.DataFrame(schemas.STAGED_NOTES.empty_table()).schema
    frames = [pl.read_csv(path, infer_schema=False) for path in sorted(folder.glob("notes*.csv"))]
    return pl.concat(frames).select(
        pl.col(name).str.to_datetime(time_unit="us", strict=False) if dtype.is_temporal() else pl.col(name)
        for name, dtype in schema.items()
    )


def notes_and_tokenizer(folder: Path, num_encounters: int, vocab_size: int, seed: int) -> list[str]:
    """Synthetic notes as they were written, and in `folder/tokenizer` a tokenizer of them and of the tasks' questions."""
    write_exports(folder / "export", HospitalConfig(num_encounters=num_encounters, seed=seed))
    notes = pl.concat([pl.read_csv(file, infer_schema=False) for file in sorted(folder.glob("export/notes-*.csv"))])
    texts: list[str] = notes["narrative"].drop_nulls().to_list()
    (folder / "tokenizer").mkdir()
    questions = [task.question_block for task in TASKS.values()] * 40
    train_tokenizer(iter([*texts, *questions]), folder / "tokenizer", vocab_size, seed)
    return texts


def real_texts(path: Path) -> list[str]:
    """Texts of a `.jsonl` or `.jsonl.zst` file with `text`, or of a folder of them."""
    files = [path] if path.is_file() else sorted([*path.glob("**/*.jsonl"), *path.glob("**/*.jsonl.zst")])
    return [text for file in files for text in texts_in(file)]


def texts_in(path: Path) -> Iterator[str]:
    for line in lines_of(path):
        if line.strip():
            yield json.loads(line)["text"]


def as_notes(texts: list[str]) -> pl.DataFrame:
    """Any texts in the columns of staged notes."""
    schema = pl.DataFrame(schemas.STAGED_NOTES.empty_table()).schema
    ids = [f"R{number}" for number in range(len(texts))]
    return pl.DataFrame({"note_id": ids, "narrative": texts}).select(
        pl.col(name) if name in ("note_id", "narrative") else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )
