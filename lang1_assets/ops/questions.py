"""Comprehension questions from their published files: SciQ, PubMedQA, or the project's own Parquet (paper 5.2.4)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import COMPREHENSION

PUBMEDQA_OPTIONS = ["yes", "no", "maybe"]


class QuestionsError(ValueError):
    """A questions file is not one of the known formats."""


def by_name(files: Iterable[Path]) -> dict[str, Path]:
    """Name in `tasks.COMPREHENSION` -> the file with its questions, in the order of that.

    Raises:
        QuestionsError: a file is in none of the known formats, or two are in the same one: their numbers would have one name.
    """
    found: dict[str, Path] = {}
    for path in files:
        source = format_of(path)
        asked = next(task for task in COMPREHENSION.values() if task.source == source)
        if asked.name in found:
            raise QuestionsError(f"{path}: a second file of {asked.title} besides {found[asked.name]}; give one")
        found[asked.name] = path
    return {name: found[name] for name in COMPREHENSION if name in found}


def read_questions(path: Path, seed: int) -> pl.DataFrame:
    """Rows of `schemas.QUESTIONS`.

    Args:
        path: `.parquet` of that schema, SciQ's JSON (a list of objects with `distractor1`...) or PubMedQA's (an object by
            PubMed id with `QUESTION`, `CONTEXTS`, `final_decision`).
        seed: order of SciQ's options, which the file gives with the right one apart.

    Raises:
        QuestionsError: naming the file, and the entry that is not as expected.
    """
    if path.suffix == ".parquet":
        return _checked(path, _read_parquet(path))
    values = _read_json(path)
    if isinstance(values, list):
        rows = [_sciq(path, number, row, seed) for number, row in enumerate(values)]
    else:
        rows = [_pubmedqa(path, key, row) for key, row in values.items()]
    return _checked(path, pl.DataFrame(rows, schema=_POLARS_SCHEMA))


def format_of(path: Path) -> str | None:
    """Which published format a file has (`tasks.Comprehension.source`); None for the project's own Parquet.

    Raises:
        QuestionsError: it is none of the known ones.
    """
    if path.suffix == ".parquet":
        if not path.is_file():
            raise QuestionsError(f"{path}: not there")
        return None
    return "sciq" if isinstance(_read_json(path), list) else "pubmedqa"


def _read_json(path: Path) -> list[Any] | dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise QuestionsError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(values, list | dict):
        raise QuestionsError(f"{path}: expected SciQ's list or PubMedQA's object, found {type(values).__name__}")
    return values


_POLARS_COLUMNS: dict[str, Any] = {
    "question_id": pl.String,
    "context": pl.String,
    "question": pl.String,
    "options": pl.List(pl.String),
    "answer": pl.Int32,
}
_POLARS_SCHEMA = pl.Schema(_POLARS_COLUMNS)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path).select(schemas.QUESTIONS.names).cast(_POLARS_SCHEMA)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise QuestionsError(
            f"{path}: not a Parquet file with columns {', '.join(schemas.QUESTIONS.names)} ({type(error).__name__})"
        ) from None


def _checked(path: Path, questions: pl.DataFrame) -> pl.DataFrame:
    if questions.is_empty():
        raise QuestionsError(f"{path}: holds no question")
    num_options = pl.col("options").list.len()
    usable = pl.col("answer").ge(0) & (pl.col("answer") < num_options) & (num_options >= 2)
    wrong = questions.filter(~usable.fill_null(False))
    if not wrong.is_empty():
        raise QuestionsError(
            f"{path}: question_id {wrong['question_id'][0]}: answer {wrong['answer'][0]} does not point at one of two or "
            "more options"
        )
    return questions


def _sciq(path: Path, number: int, row: dict[str, Any], seed: int) -> dict[str, Any]:
    _require(path, f"row {number}", row, ("question", "correct_answer", "distractor1", "distractor2", "distractor3"))
    options = [row["correct_answer"], row["distractor1"], row["distractor2"], row["distractor3"]]
    order = np.random.Generator(np.random.Philox(key=[seed, number])).permutation(4)
    return {
        "question_id": str(number),
        "context": row.get("support") or "",
        "question": row["question"],
        "options": [options[i] for i in order],
        "answer": int(np.flatnonzero(order == 0)[0]),
    }


def _pubmedqa(path: Path, key: str, row: dict[str, Any]) -> dict[str, Any]:
    _require(path, f"entry {key}", row, ("QUESTION", "final_decision"))
    contexts = row.get("CONTEXTS")
    if not isinstance(contexts, list) or not all(isinstance(text, str) for text in contexts):
        raise QuestionsError(f"{path}: entry {key}: expected CONTEXTS, a list of texts")
    if row["final_decision"] not in PUBMEDQA_OPTIONS:
        raise QuestionsError(f"{path}: entry {key}: final_decision is not one of {PUBMEDQA_OPTIONS}")
    return {
        "question_id": key,
        "context": "Abstract: " + " ".join(contexts),
        "question": row["QUESTION"],
        "options": PUBMEDQA_OPTIONS,
        "answer": PUBMEDQA_OPTIONS.index(row["final_decision"]),
    }


def _require(path: Path, where: str, row: Any, fields: tuple[str, ...]) -> None:
    """The fields are there and hold text."""
    if not isinstance(row, dict):
        raise QuestionsError(
            f"{path}: {where}: expected an object with {', '.join(fields)}, found {type(row).__name__}"
        )
    missing = [field for field in fields if not isinstance(row.get(field), str)]
    if missing:
        raise QuestionsError(f"{path}: {where}: no text in {', '.join(missing)}")
