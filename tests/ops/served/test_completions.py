"""Completions against llama.cpp's server over HTTP."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lang1_assets.ops.served.errors import ServedError
from lang1_assets.ops.served.model import ServedModel
from lang1_assets.ops.served.scoring import ServedScores, score_served
from tests.ops.served.conftest import Questions
from tests.ops.served.faulty_proxy import FaultyProxy, faulty_proxy

SAME = 5e-6
"""Both compute in 32 bits; 5e-7 was measured."""
SHOWS_BIAS = {"post_sampling_probs": True, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""llama.cpp shows probabilities after its samplers when asked to."""


@pytest.mark.parametrize("top_logprobs", [1, 5, 20])
def test_probabilities_are_those_of_the_model_scored_here(
    served: ServedModel, questions: Questions, tmp_path: Path, top_logprobs: int
) -> None:
    """The letters of this model are hardly ever among its most likely tokens: each note is rescued, none gets 0.5."""
    model = replace(served, top_logprobs=top_logprobs)
    scores = score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    np.testing.assert_allclose(scores.probabilities, questions.local, atol=SAME)
    assert scores.not_scored == {}
    assert scores.num_rescued == len(questions.prompts)
    assert scores.abilities["rescue"] == "forced"
    assert scores.abilities["bos"] == "sent"
    assert scores.mean_letter_mass is not None
    assert 0 < scores.mean_letter_mass < 0.1


def test_a_server_that_shows_the_bias(served: ServedModel, questions: Questions, tmp_path: Path) -> None:
    """One request a note then lists all letters."""
    model = replace(served, extra=SHOWS_BIAS)
    scores = score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    assert scores.abilities["rescue"] == "biased"
    assert scores.mean_letter_mass is None
    np.testing.assert_allclose(scores.probabilities, questions.local, atol=SAME)


@pytest.mark.parametrize("shows_bias_first", [False, True])
def test_a_ledger_of_a_server_with_other_habits(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path, shows_bias_first: bool
) -> None:
    """The same model behind another server: what the first one could do, and its answers, say nothing about the second."""
    with faulty_proxy(llama_port, adds=SHOWS_BIAS) as proxy:
        servers = [(served, "forced"), (replace(served, url=proxy.url), "biased")]
        for model, rescue in servers[::-1] if shows_bias_first else servers:
            scores = score_served(questions.prompts[:8], questions.letters, model, tmp_path / "ledger")
            assert scores.abilities["rescue"] == rescue
            assert scores.usage.num_from_ledger == 0
            np.testing.assert_allclose(scores.probabilities, questions.local[:8], atol=SAME)


def test_without_a_tokenizer_a_missing_letter_is_no_number(
    served: ServedModel, questions: Questions, tmp_path: Path
) -> None:
    """llama.cpp hears no echo, and without ids no letter can be forced."""
    model = replace(served, tokenizer=None)
    scores = score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    assert set(scores.not_scored.values()) == {"letter_not_in_top_logprobs"}
    assert len(scores.not_scored) == len(questions.prompts)
    assert np.isnan(scores.probabilities).all()
    assert scores.num_rescued == 0


def test_without_a_tokenizer_listed_letters_are_found_by_their_text(
    served: ServedModel, questions: Questions, tmp_path: Path
) -> None:
    """All 600 tokens are listed; ' A' and 'A' are both the answer, so the numbers differ a little from the exact ones."""
    model = replace(served, tokenizer=None, top_logprobs=600)
    scores = score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    assert scores.not_scored == {}
    assert scores.abilities["token_names"] == "text"
    assert scores.abilities["bos"] == "unknown"
    assert np.abs(scores.probabilities - questions.local).max() > 1e-3
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1)


def test_an_interrupted_run_goes_on_also_when_the_server_has_moved(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path
) -> None:
    half = score_served(questions.prompts[:12], questions.letters, served, tmp_path / "ledger")
    whole = score_served(questions.prompts, questions.letters, served, tmp_path / "ledger")
    with faulty_proxy(llama_port, probe_ids=questions.probe_ids) as proxy:
        again = score_served(questions.prompts, questions.letters, replace(served, url=proxy.url), tmp_path / "ledger")
    assert half.usage.num_from_ledger == 0
    assert whole.usage.num_from_ledger == 12 * 4
    assert again.usage.num_from_ledger == 24 * 4
    assert proxy.bodies == []
    assert again.usage.num_requests == len(proxy.probes) > 0
    assert again.usage.prompt_tokens == whole.usage.prompt_tokens
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)


def test_another_version_is_asked_anew(served: ServedModel, questions: Questions, tmp_path: Path) -> None:
    score_served(questions.prompts[:2], questions.letters, served, tmp_path / "ledger")
    other = score_served(questions.prompts[:2], questions.letters, replace(served, version="2"), tmp_path / "ledger")
    assert other.usage.num_from_ledger == 0


def test_a_prompt_that_is_too_long_is_named_and_the_others_are_scored(
    served: ServedModel, questions: Questions, tmp_path: Path
) -> None:
    prompts = [questions.prompts[0], "pain " * 300 + questions.prompts[1], questions.prompts[2]]
    scores = score_served(prompts, questions.letters, served, tmp_path / "ledger")
    assert scores.not_scored == {1: "prompt_too_long"}
    assert np.isnan(scores.probabilities[1]).all()
    np.testing.assert_allclose(scores.probabilities[[0, 2]], questions.local[[0, 2]], atol=SAME)


@pytest.mark.parametrize(("num_notes", "num_refused"), [(24, 10), (3, 3)])
def test_a_result_does_not_consist_of_refusals(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path, num_notes: int, num_refused: int
) -> None:
    """The server takes our own question, and refuses the first ones about notes, one a note."""
    prompts = questions.prompts[:num_notes]
    with refusing(llama_port, questions, num_refused) as proxy:
        model = replace(served, url=proxy.url, max_concurrent=1)
        with pytest.raises(ServedError, match=f"refuses {num_refused} of {num_notes} notes .*what it answered is kept"):
            score_served(prompts, questions.letters, model, tmp_path / "ledger")
    again = score_served(prompts, questions.letters, served, tmp_path / "ledger")
    assert again.usage.num_from_ledger == 4 * (num_notes - num_refused)
    assert again.not_scored == {}


def test_a_few_refusals_are_counted(served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path) -> None:
    with refusing(llama_port, questions, 9) as proxy:
        model = replace(served, url=proxy.url, max_concurrent=1)
        scores = score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    assert scores.not_scored == dict.fromkeys(range(9), "refused_by_server")
    np.testing.assert_allclose(scores.probabilities[9:], questions.local[9:], atol=SAME)


def refusing(port: int, questions: Questions, num_refused: int) -> AbstractContextManager[FaultyProxy]:
    return faulty_proxy(port, lambda number: "422" if number < num_refused else None, probe_ids=questions.probe_ids)


def test_the_same_prompt_twice_is_paid_for_once(served: ServedModel, questions: Questions, tmp_path: Path) -> None:
    once = score_served(questions.prompts[:1], questions.letters, served, tmp_path / "one")
    twice = score_served(questions.prompts[:1] * 3, questions.letters, served, tmp_path / "three")
    assert len(twice.probabilities) == 3
    assert twice.usage.prompt_tokens == once.usage.prompt_tokens


def test_no_more_requests_at_once_than_allowed(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path
) -> None:
    with faulty_proxy(llama_port, lambda number: "wait:0.02", probe_ids=questions.probe_ids) as proxy:
        scored = score_served(questions.prompts, questions.letters, replace(served, url=proxy.url), tmp_path / "ledger")
    assert proxy.most_at_once == served.max_concurrent
    assert isinstance(scored, ServedScores)


def test_no_prompts(served: ServedModel, questions: Questions, tmp_path: Path) -> None:
    assert score_served([], questions.letters, served, tmp_path / "ledger").probabilities.shape == (0, 4)


def test_half_a_character_is_named_by_its_row(served: ServedModel, questions: Questions, tmp_path: Path) -> None:
    with pytest.raises(ServedError, match="prompt 1 holds half of a character") as error:
        score_served(["a", "secret \ud800"], questions.letters, served, tmp_path / "ledger")
    assert error.value.__context__ is None or error.value.__suppress_context__


def test_sampling_is_for_chat(served: ServedModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sampling is for chat models"):
        score_served(["x"], "AB", replace(served, api="chat"), tmp_path / "ledger")
