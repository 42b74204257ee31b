"""Perplexity of question and answer against a slow second implementation, and where its tokens begin."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from lang1_assets.ops import perplexity
from lang1_assets.ops.evaluation import ScoringConfig
from lang1_assets.ops.perplexity import AnswerLosses, answer_losses, measure_perplexity, perplexity_row, question_ids
from lang1_assets.ops.prompts import PromptError
from lang1_assets.ops.tasks import TASKS, Task
from tests.ops.conftest import PROMPT_CONTEXT, SPLIT_SIZES, synthetic_examples, synthetic_note

STAY = TASKS["length_of_stay"]
CONFIG = ScoringConfig(note_tokens=40, context_length=PROMPT_CONTEXT, max_examples=100, batch_size=4, seed=3)


@torch.no_grad()
def slow_losses(model: Any, tokenizer: Any, task: Task, note: str, label: int) -> tuple[float, float]:
    """Question and answer, by the whole text at once and the characters of each token."""
    text = f"{note}\n{task.question_block} {task.letters[label]}"
    encoded = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
    logits = model(encoded["input_ids"]).logits[0].double()
    taken = torch.log_softmax(logits[:-1], -1).gather(-1, encoded["input_ids"][0, 1:, None])[:, 0]
    ends = encoded["offset_mapping"][0, 1:, 1]
    in_question = (ends > len(note) + 1) & (ends < len(text))
    return -float(taken[in_question].sum()), -float(taken[ends == len(text)].sum())


@pytest.mark.parametrize("task", list(TASKS))
def test_losses_are_those_of_plain_transformers(task: str, model_folder: Path) -> None:
    rng = random.Random(task)
    # All of them shorter than `note_tokens`, of different lengths: batches are padded.
    notes = [synthetic_note(rng, rng.randint(3, 12)) for _ in range(7)]
    labels = [number % TASKS[task].num_classes for number in range(7)]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_folder), AutoTokenizer.from_pretrained(model_folder)
    found = answer_losses(model, model_folder, TASKS[task], notes, labels, CONFIG)
    pairs = zip(notes, labels, strict=True)
    expected = np.array([slow_losses(model, tokenizer, TASKS[task], *pair) for pair in pairs])
    np.testing.assert_allclose(found.question, expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found.answer, expected[:, 1], rtol=1e-5)
    assert found.num_bytes == len(f"{TASKS[task].question_block} A")


def test_a_model_whose_output_layer_does_more_is_measured_as_it_is(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, labels = ["patient denies chest pain", "fever and chills"], [0, 3]
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    usual = answer_losses(model, model_folder, STAY, notes, labels, CONFIG)
    monkeypatch.setattr(perplexity, "has_odd_output_layer", lambda model: True)
    whole = answer_losses(model, model_folder, STAY, notes, labels, CONFIG)
    np.testing.assert_allclose(whole.question, usual.question, rtol=1e-6)
    np.testing.assert_allclose(whole.answer, usual.answer, rtol=1e-6)


def test_another_architecture(tokenizer_folder: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(AutoTokenizer.from_pretrained(tokenizer_folder)), n_embd=16, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config).eval()
    found = answer_losses(model, tokenizer_folder, STAY, ["fever"], [1], CONFIG)
    tokens = found.num_tokens
    assert found.question[0] / (tokens - 1) == pytest.approx(math.log(config.vocab_size), rel=0.1)


def losses(num: int, seed: int = 0) -> AnswerLosses:
    rng = np.random.default_rng(seed)
    return AnswerLosses(question=rng.gamma(5, 2, num), answer=rng.gamma(2, 0.5, num), num_tokens=10, num_bytes=40)


def test_a_row_says_perplexity_a_token_and_bits_a_byte() -> None:
    held = losses(200)
    row = perplexity_row("mortality", "test", held, 200, 5)
    total = (held.question + held.answer).sum()
    assert row["perplexity"] == pytest.approx(math.exp(total / (200 * 10)))
    assert row["bits_per_byte"] == pytest.approx(total / math.log(2) / (200 * 40))
    assert row["answer_perplexity"] == pytest.approx(math.exp(held.answer.mean()))
    assert (row["n"], row["num_tokens"]) == (200, 10)


def test_the_interval_is_that_of_a_bootstrap_of_the_notes() -> None:
    held = losses(150, seed=1)
    row = perplexity_row("mortality", "test", held, 2_000, 5)
    mean = (held.question + held.answer) / held.num_tokens
    rng = np.random.default_rng(99)
    values = np.exp([mean[rng.integers(0, 150, 150)].mean() for _ in range(2_000)])
    low, high = np.quantile(values, [0.025, 0.975])
    assert row["low"] < row["perplexity"] < row["high"]
    assert row["low"] == pytest.approx(low, rel=0.01)
    assert row["high"] == pytest.approx(high, rel=0.01)


def test_a_uniform_model_has_the_vocabulary_as_perplexity(model_folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    held = answer_losses(model, model_folder, STAY, ["fever", "chest pain"], [0, 1], CONFIG)
    row = perplexity_row(STAY.name, "test", held, 50, 1)
    for value in (row["perplexity"], row["low"], row["high"], row["answer_perplexity"]):
        assert value == pytest.approx(model.config.vocab_size, rel=1e-5)


def test_tasks_of_a_file_and_those_without_notes(model_folder: Path, tmp_path: Path) -> None:
    files = {}
    for task in ("mortality", "readmission"):
        frame = synthetic_examples(task)
        files[task] = tmp_path / f"{task}.parquet"
        frame.filter((pl.col("split") != "test") | (task == "mortality")).write_parquet(files[task])
    said: list[str] = []
    rows = measure_perplexity(model_folder, files, "test", CONFIG, 50, said.append)
    assert [(row["task"], row["n"]) for row in rows] == [("mortality", SPLIT_SIZES["test"])]
    assert len(said) == 1
    # What is fast about it changes nothing.
    model, notes = (
        AutoModelForCausalLM.from_pretrained(model_folder),
        pl.read_parquet(files["mortality"]).filter(split="test"),
    )
    plain = answer_losses(model, model_folder, TASKS["mortality"], notes["text"], notes["label"], CONFIG)
    assert rows[0]["perplexity"] == pytest.approx(
        perplexity_row("mortality", "test", plain, 50, 3)["perplexity"], rel=1e-5
    )
    texts = synthetic_examples("mortality")["text"]
    assert not any(text in line for text in texts for line in said)


def folder_with(folder: Path, merges: list[tuple[str, str]]) -> Path:
    """A byte-like tokenizer of single characters and some merges."""
    pieces = [chr(code) for code in range(0x20, 0x7F)] + ["\n"] + ["".join(pair) for pair in merges]
    tokenizer = Tokenizer(models.BPE({piece: index for index, piece in enumerate(pieces)}, merges))
    tokenizer.decoder = decoders.Fuse()
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


def test_a_question_without_tokens_of_its_own_is_refused(tmp_path: Path) -> None:
    apart = folder_with(tmp_path / "apart", [("s", "t")])
    assert len(question_ids(apart, STAY)) == len(STAY.question_block) - STAY.question_block.count("st")
    with pytest.raises(PromptError, match="length_of_stay: the question shares a token with the newline"):
        question_ids(folder_with(tmp_path / "joined", [("\n", "Q")]), STAY)
