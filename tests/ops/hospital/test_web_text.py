from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import zstandard

from lang1_assets.ops.hospital import write_web_text
from lang1_assets.ops.hospital.web_facts import RELATIONS, SET_NAMES
from lang1_assets.ops.schemas import QUESTIONS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    write_web_text(folder, 400, seed=1)
    return folder


def _documents(folder: Path) -> list[dict[str, object]]:
    with (folder / "web-00000.jsonl.zst").open("rb") as raw:
        stream = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), encoding="utf-8")
        return [json.loads(line) for line in stream]


def test_layout_is_slimpajamas(folder: Path) -> None:
    documents = _documents(folder)
    assert len(documents) == 400
    assert {document["meta"]["redpajama_set_name"] for document in documents} == set(SET_NAMES)
    assert all(document["text"].strip() for document in documents)


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_web_text(tmp_path, 400, seed=1)
    for name in ("web-00000.jsonl.zst", "questions.parquet"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_quizzes_in_documents_are_answered_by_their_passage(folder: Path) -> None:
    quiz = re.compile(r"Question: .*\n((?:[A-D]\. .*\n){4})Answer: ([A-D])")
    found = 0
    for document in _documents(folder):
        passage = document["text"].split("Question: ")[0]
        for options, letter in quiz.findall(document["text"]):
            answer = dict(line.split(". ", 1) for line in options.strip().split("\n"))[letter]
            assert re.search(rf"\b{answer}\b", passage)
            found += 1
    assert found > 200


def test_held_out_questions_name_only_the_answer_and_an_unseen_place(folder: Path) -> None:
    table = pq.read_table(folder / "questions.parquet")
    assert table.schema == QUESTIONS
    seen = " ".join(document["text"] for document in _documents(folder))
    for row in pl.DataFrame(pl.from_arrow(table)).iter_rows(named=True):
        stated = [option for option in row["options"] if re.search(rf"\b{option}\b", row["context"])]
        assert stated == [row["options"][row["answer"]]]
        names = set(re.findall(r"\b[A-Z][a-z]+\b", row["question"])) - {"What", "Which", "Where", "When", "In"}
        assert not any(re.search(rf"\b{name}\b", seen) for name in names)


def test_questions_are_as_hard_as_their_distractors_are_near(folder: Path) -> None:
    kinds = {value: number for number, relation in enumerate(RELATIONS) for value in relation.values}
    table = pl.read_parquet(folder / "questions.parquet")
    near = [
        sum(kinds[option] == kinds[row["options"][row["answer"]]] for option in row["options"]) - 1
        for row in table.iter_rows(named=True)
    ]
    counts = np.bincount(near, minlength=4)
    # 1,000 questions, a quarter each: four standard deviations are 55.
    assert len(counts) == 4
    assert np.abs(counts - 250).max() < 55
    knowing_the_words = (counts / np.arange(1, 5)).sum() / counts.sum()
    assert knowing_the_words == pytest.approx(0.52, abs=0.03)


def test_asking_for_no_document_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_documents"):
        write_web_text(tmp_path, 0, seed=1)
