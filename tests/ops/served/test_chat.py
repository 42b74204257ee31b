"""Sampled answers of llama.cpp's server, and the same treatment of probabilities that are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.served.chat import Answers, sample_seed, sampled, shares
from lang1_assets.ops.served.errors import ServedError
from lang1_assets.ops.served.model import GREEDY, TEN_SAMPLES, Sampling, ServedModel
from lang1_assets.ops.served.prompt_forms import PromptTokenizer
from lang1_assets.ops.served.scoring import score_served
from tests.ops.served.conftest import Questions
from tests.ops.served.faulty_proxy import faulty_proxy

PLAIN = {"top_k": 0, "min_p": 0.0}
"""llama.cpp's own samplers, off."""


@pytest.fixture
def chat(served: ServedModel, questions: Questions, model_folder: Path) -> ServedModel:
    """A model that answers with letters alone: a bias on all of them leaves their proportions as they are.

    The server puts the message behind a BOS and nothing else, so it continues the very prompt that is scored here.
    """
    ids = PromptTokenizer(model_folder).letter_ids(questions.letters)
    bias = {str(token): 100 for token in ids}
    return replace(served, api="chat", max_answer_tokens=1, extra={**PLAIN, "logit_bias": bias})


def test_shares_of_many_samples_are_the_model_s_probabilities(
    chat: ServedModel, questions: Questions, tmp_path: Path
) -> None:
    many = Sampling(num_samples=150, temperature=1.0, max_examples=1_000)
    scores = score_served(questions.prompts[:4], questions.letters, chat, tmp_path / "ledger", sampling=many, seed=3)
    assert (scores.num_answers, scores.num_invalid, scores.unanswered) == (600, 0, ())
    # Five standard deviations of a share of 150.
    np.testing.assert_allclose(scores.probabilities, questions.local[:4], atol=5 * 0.5 / 150**0.5)
    assert np.abs(scores.probabilities - 0.25).max() > 0.05


def test_ten_samples_a_note(chat: ServedModel, questions: Questions, tmp_path: Path) -> None:
    scores = score_served(questions.prompts, questions.letters, chat, tmp_path / "one", sampling=TEN_SAMPLES, seed=1)
    np.testing.assert_allclose(scores.probabilities * 10, np.round(scores.probabilities * 10))
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1)
    assert scores.invalid_share == 0
    again = score_served(questions.prompts, questions.letters, chat, tmp_path / "two", sampling=TEN_SAMPLES, seed=1)
    other = score_served(questions.prompts, questions.letters, chat, tmp_path / "three", sampling=TEN_SAMPLES, seed=2)
    np.testing.assert_array_equal(again.probabilities, scores.probabilities)
    assert (other.probabilities != scores.probabilities).any()


def test_greedy_is_the_likeliest_option(chat: ServedModel, questions: Questions, tmp_path: Path) -> None:
    scores = score_served(questions.prompts, questions.letters, chat, tmp_path / "ledger", sampling=GREEDY)
    np.testing.assert_array_equal(scores.probabilities, np.eye(4)[questions.local.argmax(axis=1)])
    assert scores.num_answers == len(questions.prompts)


def test_a_note_without_a_valid_answer_is_counted_and_says_nothing(
    chat: ServedModel, questions: Questions, tmp_path: Path
) -> None:
    """Without the bias the tiny model answers nonsense."""
    nonsense = replace(chat, extra=PLAIN)
    scores = score_served(questions.prompts, questions.letters, nonsense, tmp_path / "ledger", sampling=TEN_SAMPLES)
    assert scores.invalid_share is not None
    assert scores.invalid_share > 0.9
    assert len(scores.unanswered) > len(questions.prompts) // 2
    np.testing.assert_array_equal(scores.probabilities[list(scores.unanswered)], 0.25)
    assert scores.not_scored == {}


def test_samples_that_were_paid_for_are_not_asked_for_again(
    chat: ServedModel, llama_port: int, questions: Questions, tmp_path: Path
) -> None:
    few = replace(TEN_SAMPLES, num_samples=4)
    score_served(questions.prompts[:3], questions.letters, chat, tmp_path / "ledger", sampling=few)
    with faulty_proxy(llama_port) as proxy:
        model = replace(chat, url=proxy.url)
        scores = score_served(
            questions.prompts[:3], questions.letters, model, tmp_path / "ledger", sampling=TEN_SAMPLES
        )
    assert len(proxy.bodies) == 3 * 6
    assert scores.usage.num_from_ledger == 3 * 4
    assert len({body["seed"] for body in proxy.bodies}) == 18


def test_the_instruction_is_a_system_message(
    chat: ServedModel, llama_port: int, questions: Questions, tmp_path: Path
) -> None:
    with faulty_proxy(llama_port) as proxy:
        model = replace(chat, url=proxy.url, instruction="One letter.", extra={"max_tokens": None, "n_predict": 1})
        score_served(questions.prompts[:1], questions.letters, model, tmp_path / "ledger", sampling=GREEDY)
    (probe,), (body,) = proxy.probes, proxy.bodies
    assert "Is this a probe?" in probe["messages"][1]["content"]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"] == questions.prompts[0]
    assert "max_tokens" not in body
    assert body["top_p"] == 1.0


def test_a_server_that_refuses_everything_is_no_list_of_refused_notes(
    chat: ServedModel, questions: Questions, tmp_path: Path
) -> None:
    broken = replace(chat, extra={"temperature": "hot"})
    with pytest.raises(ServedError, match=r"refuses every question to model 'tiny' \(refused_by_server"):
        score_served(questions.prompts, questions.letters, broken, tmp_path / "ledger", sampling=TEN_SAMPLES)


def test_a_server_that_began_to_refuse_everything_does_not_end_a_resumed_run(
    chat: ServedModel, llama_port: int, questions: Questions, tmp_path: Path
) -> None:
    """What it answered yesterday, our own question among it, says nothing about today."""
    score_served(questions.prompts[:2], questions.letters, chat, tmp_path / "ledger", sampling=GREEDY)
    with faulty_proxy(llama_port, lambda number: "400", fault_of_probe=lambda number: "400") as proxy:
        model = replace(chat, url=f"{proxy.url}?key=secret".replace("//", "//joe:pw@"))
        with pytest.raises(ServedError, match=f"the server at {proxy.url} refuses every question to model 'tiny'"):
            score_served(questions.prompts, questions.letters, model, tmp_path / "ledger", sampling=GREEDY)
    assert len(proxy.probes) == 1
    assert proxy.bodies == []


def test_shares_count_valid_answers() -> None:
    np.testing.assert_allclose(shares(Answers(options=(0, None, 1, 0)), 2), [2 / 3, 1 / 3])
    np.testing.assert_array_equal(shares(Answers(options=(None,)), 4), [0.25] * 4)


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=5), st.integers(1, 30), st.integers(0, 2**32))
def test_drawn_shares_are_counts(weights: list[float], num_samples: int, seed: int) -> None:
    probabilities = np.array([weights, weights]) / sum(weights)
    sampling = Sampling(num_samples=num_samples, temperature=1.0, max_examples=10)
    drawn = sampled(probabilities, sampling, seed)
    counts = drawn * num_samples
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    np.testing.assert_array_equal(drawn, sampled(probabilities, sampling, seed))


def test_sampling_alone_costs_auroc() -> None:
    """Ten answers of a model whose probabilities are the truth."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    positive = rng.beta(1, 7, size=20_000)
    labels = rng.random(20_000) < positive
    probabilities = np.column_stack([1 - positive, positive])
    exact = roc_auc_score(labels, positive)
    ten = roc_auc_score(labels, sampled(probabilities, TEN_SAMPLES, 0)[:, 1])
    greedy = roc_auc_score(labels, sampled(probabilities, GREEDY, 0)[:, 1])
    assert exact - 0.1 < ten < exact - 0.03
    assert greedy < ten - 0.1


def test_notes_that_were_not_scored_stay_so() -> None:
    probabilities = np.array([[np.nan, np.nan], [0.25, 0.75]])
    for sampling in (TEN_SAMPLES, GREEDY):
        drawn = sampled(probabilities, sampling, 0)
        assert np.isnan(drawn[0]).all()
        assert drawn[1].sum() == 1


def test_seeds_differ_by_note_and_sample() -> None:
    seeds = {sample_seed(1, prompt, number) for prompt in ("a", "b") for number in range(10)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize("fields", [(0, 1.0, 1), (10, -1.0, 1), (10, 0.0, 1), (1, 1.0, 0)])
def test_sampling_that_cannot_be(fields: tuple[int, float, int]) -> None:
    num_samples, temperature, max_examples = fields
    with pytest.raises(ValueError, match="num_samples"):
        Sampling(num_samples=num_samples, temperature=temperature, max_examples=max_examples)
