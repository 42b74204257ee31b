import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoTokenizer

from lang1_assets.ops.comprehension import option_likelihoods, right_answers
from lang1_assets.ops.model import open_model
from tests.ops.conftest import PROMPT_CONTEXT, WORDS


def questions(num: int, context_words: int) -> pl.DataFrame:
    """Options of one to four words, so that a wrong length shows."""
    words = itertools.cycle(WORDS)

    def take(count: int) -> str:
        return " ".join(itertools.islice(words, count))

    rows = [
        {
            "question_id": str(number),
            "context": take(context_words),
            "question": f"{take(4)}?",
            "options": [take(1 + (number + option) % 4) for option in range(3)],
            "answer": 0,
        }
        for number in range(num)
    ]
    return pl.DataFrame(rows, schema_overrides={"answer": pl.Int32})


@torch.no_grad()
def likelihoods_one_by_one(folder: Path, row: dict[str, object], context_length: int) -> list[float]:
    """Naively: the tokenizer's own reading, one option at a time, the full logits, token by token."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), open_model(folder).eval()
    prompt = f"{row['context']}\nQuestion: {row['question']}\nAnswer:"
    sums = []
    for option in row["options"]:
        start = len(tokenizer(prompt, add_special_tokens=False).input_ids)
        ids = tokenizer(f"{prompt} {option}", add_special_tokens=False).input_ids
        num_answer = len(ids) - start
        ids = [tokenizer.bos_token_id, *ids[-(context_length - 1) :]]
        table = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)
        sums.append(sum(table[i - 1, ids[i]].item() for i in range(len(ids) - num_answer, len(ids))))
    return sums


@pytest.mark.parametrize(("context_words", "context_length"), [(6, PROMPT_CONTEXT), (80, 48)])
def test_options_are_as_likely_as_a_naive_reading_says(
    model_folder: Path, context_words: int, context_length: int
) -> None:
    """In the second case every context is too long and loses its beginning."""
    asked = questions(5, context_words)
    found = option_likelihoods(open_model(model_folder).eval(), model_folder, asked, context_length, batch_size=4)
    naive = [likelihoods_one_by_one(model_folder, row, context_length) for row in asked.iter_rows(named=True)]
    np.testing.assert_allclose(found, naive, rtol=1e-5, atol=1e-4)


def test_only_the_end_of_a_context_that_is_too_long_counts(model_folder: Path) -> None:
    asked = questions(2, 80)
    other_beginning = asked.with_columns(context="Something else to begin with. " + pl.col("context"))
    other_question = asked.with_columns(question="stable " + pl.col("question"))
    model = open_model(model_folder).eval()
    first, same, different = (
        option_likelihoods(model, model_folder, frame, 48, batch_size=4)
        for frame in (asked, other_beginning, other_question)
    )
    np.testing.assert_allclose(first, same, atol=1e-5)
    assert not np.allclose(first, different, atol=1e-2)


def test_accuracy_counts_the_most_likely_option(model_folder: Path) -> None:
    asked = questions(8, 6)
    best = [
        int(np.argmax(likelihoods_one_by_one(model_folder, row, PROMPT_CONTEXT))) for row in asked.iter_rows(named=True)
    ]
    answers = [(option + 1) % 3 if number < 2 else option for number, option in enumerate(best)]
    asked = asked.with_columns(answer=pl.Series(answers, dtype=pl.Int32))
    right = right_answers(open_model(model_folder).eval(), model_folder, asked, PROMPT_CONTEXT, batch_size=4)
    assert right.tolist() == [False] * 2 + [True] * 6
    assert len(set(best)) > 1


def test_an_option_longer_than_the_context_is_an_error(model_folder: Path) -> None:
    asked = questions(1, 3).with_columns(options=pl.Series([["no", " ".join(WORDS)]]))
    with pytest.raises(ValueError, match="does not fit the model's context of 16"):
        right_answers(open_model(model_folder), model_folder, asked, 16, batch_size=4)
