"""Generated web text in the SlimPajama layout, and held-out questions about the same kind of facts.

The general half of the pretraining mixture: prose about an invented world, whose facts are stated and then asked for in
multiple-choice form. A held-out question gives a context that states its answer, about a place that no document names:
knowing what its words mean rules out the options of another kind, and among those of the same kind only reading decides.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from lang1_assets.ops.hospital.web_facts import FILLERS, OPENINGS, RELATIONS, SET_NAMES, SET_SHARES, place_names
from lang1_assets.ops.schemas import QUESTIONS

DOCUMENTS_PER_FILE = 50_000
NUM_QUESTIONS = 1_000
NUM_OPTIONS = 4
LETTERS = "ABCD"
_HELD_OUT_PLACES = 300
_MAXIMUM_QUIZZES = 3
_FREE_ANSWERS = 0.5


@dataclass(frozen=True, kw_only=True)
class WebTextSummary:
    """What was written."""

    folder: Path
    num_documents: int
    num_words: int
    num_documents_by_set: dict[str, int]
    num_questions: int
    files: list[str]


def write_web_text(folder: Path, num_documents: int, seed: int) -> WebTextSummary:
    """Write `web-NNNNN.jsonl.zst` files of SlimPajama's layout and `questions.parquet` (`schemas.QUESTIONS`).

    Raises:
        ValueError: if no document is asked for.
    """
    if num_documents < 1:
        raise ValueError(f"num_documents: found {num_documents}; expected at least 1")
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng([seed, 70]).permutation(place_names())
    rng = np.random.default_rng([seed, 71])
    sets = rng.choice(len(SET_NAMES), num_documents, p=SET_SHARES)
    files, num_words = [], 0
    for number, start in enumerate(range(0, num_documents, DOCUMENTS_PER_FILE)):
        files.append(f"web-{number:05d}.jsonl.zst")
        num_words += _write_file(
            folder / files[-1], sets[start : start + DOCUMENTS_PER_FILE], names[_HELD_OUT_PLACES:], rng
        )
    pq.write_table(
        _questions(names[:_HELD_OUT_PLACES], np.random.default_rng([seed, 72])), folder / "questions.parquet"
    )
    return WebTextSummary(
        folder=folder,
        num_documents=num_documents,
        num_words=num_words,
        num_documents_by_set={name: int((sets == index).sum()) for index, name in enumerate(SET_NAMES)},
        num_questions=NUM_QUESTIONS,
        files=[*files, "questions.parquet"],
    )


def _write_file(path: Path, sets: np.ndarray, names: np.ndarray, rng: np.random.Generator) -> int:
    num_words = 0
    with (
        path.open("wb") as raw,
        zstandard.ZstdCompressor(level=3).stream_writer(raw) as packed,
        io.TextIOWrapper(packed, encoding="utf-8") as lines,
    ):
        for index in sets:
            text = _document(SET_NAMES[index], str(names[rng.integers(len(names))]), rng)
            num_words += len(text.split())
            lines.write(json.dumps({"text": text, "meta": {"redpajama_set_name": SET_NAMES[index]}}) + "\n")
    return num_words


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[rng.integers(len(choices))]


def _facts(num: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Different relations, each with a value."""
    relations = rng.permutation(len(RELATIONS))[:num]
    return [(int(index), _pick(RELATIONS[index].values, rng)) for index in relations]


def _document(set_name: str, name: str, rng: np.random.Generator) -> str:
    facts = _facts(int(rng.integers(2, 5)), rng)
    sentences = [_pick(RELATIONS[index].statements, rng).format(name=name, value=value) for index, value in facts]
    sentences.insert(int(rng.integers(0, len(sentences) + 1)), _pick(FILLERS[set_name], rng))
    passage = " ".join([_pick(OPENINGS[set_name], rng).format(name=name), *sentences])
    num_quizzes = int(rng.integers(0, min(_MAXIMUM_QUIZZES, len(facts)) + 1))
    quizzes = [_quiz(name, facts, int(index), rng) for index in rng.permutation(len(facts))[:num_quizzes]]
    return "\n".join([passage, *quizzes])


def _question(
    name: str, facts: list[tuple[int, str]], asked: int, rng: np.random.Generator
) -> tuple[str, list[str], int]:
    relation, value = facts[asked]
    options = _distractors(facts, asked, rng)
    answer = int(rng.integers(NUM_OPTIONS))
    options.insert(answer, value)
    return _pick(RELATIONS[relation].questions, rng).format(name=name), options, answer


def _distractors(facts: list[tuple[int, str]], asked: int, rng: np.random.Generator) -> list[str]:
    """Wrong options, from none to all of the answer's own kind and none that the passage states.

    A question is as hard as its distractors are near: against other kinds it is enough to know what the words mean, a near
    one is told apart only by reading the passage.
    """
    kind, stated = facts[asked][0], {value for _, value in facts}
    near = [value for value in RELATIONS[kind].values if value not in stated]
    others = [relation for index, relation in enumerate(RELATIONS) if index != kind]
    far = [value for relation in others for value in relation.values if value not in stated]
    num_near = int(rng.integers(NUM_OPTIONS))
    chosen = [near[index] for index in rng.permutation(len(near))[:num_near]]
    chosen += [far[index] for index in rng.permutation(len(far))[: NUM_OPTIONS - 1 - num_near]]
    return [chosen[index] for index in rng.permutation(len(chosen))]


def _quiz(name: str, facts: list[tuple[int, str]], asked: int, rng: np.random.Generator) -> str:
    """A question answered in a word or, like an exam, by a letter: web pages have both."""
    question, options, answer = _question(name, facts, asked, rng)
    if rng.random() < _FREE_ANSWERS:
        return f"Question: {question}\nAnswer: {options[answer]}"
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"Question: {question}\n{listed}\nAnswer: {LETTERS[answer]}"


def _questions(names: np.ndarray, rng: np.random.Generator) -> pa.Table:
    rows = []
    for number in range(NUM_QUESTIONS):
        name = str(names[rng.integers(len(names))])
        facts = _facts(int(rng.integers(1, 4)), rng)
        context = " ".join(
            _pick(RELATIONS[index].statements, rng).format(name=name, value=value) for index, value in facts
        )
        question, options, answer = _question(name, facts, int(rng.integers(len(facts))), rng)
        rows.append(
            {
                "question_id": f"fact-{number:05d}",
                "context": context,
                "question": question,
                "options": options,
                "answer": answer,
            }
        )
    return pa.Table.from_pylist(rows, schema=QUESTIONS)
