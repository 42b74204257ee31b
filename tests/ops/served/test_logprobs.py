"""The two forms of log-probabilities, as vLLM 0.32 and llama.cpp write them."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.served.completions import normalized
from lang1_assets.ops.served.errors import RedrawError
from lang1_assets.ops.served.logprobs import TokenLogprob, letter_logprobs, token_at
from lang1_assets.ops.served.wording import echoed_logprob, forced_logprob, listed_letters


def columns(tokens: list[str], logprobs: list[float | None], tops: list[dict[str, float] | None]) -> dict[str, Any]:
    return {"choices": [{"logprobs": {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops}}]}


def objects(own: dict[str, Any], top: list[dict[str, Any]]) -> dict[str, Any]:
    return {"choices": [{"logprobs": {"content": [{**own, "top_logprobs": top}]}}]}


def test_letters_by_their_ids() -> None:
    answer = columns(["token_id:9"], [-3.0], [{"token_id:7": -0.5, "token_id:9": -3.0, "token_id:8": -1.0}])
    assert listed_letters(answer, "AB", [7, 5]) == [-0.5, None]
    answer = objects(
        {"id": 9, "token": "x", "logprob": -3.0},
        [{"id": 7, "token": " A", "logprob": -0.5}, {"id": 6, "token": "A", "logprob": -0.1}],
    )
    assert listed_letters(answer, "AB", [7, 5]) == [-0.5, None]


def test_letters_by_their_text_with_and_without_a_space() -> None:
    answer = columns([" A"], [math.log(0.25)], [{" A": math.log(0.25), "A": math.log(0.5), "B)": -2.0}])
    found = listed_letters(answer, "AB", None)
    assert found[0] == pytest.approx(math.log(0.75))
    assert found[1] is None


def test_the_drawn_token_counts_once() -> None:
    own = TokenLogprob(text=" A", token_id=7, logprob=-1.0)
    assert letter_logprobs([own, own], "A", None) == [-1.0]


def test_a_letter_outside_the_list_that_was_drawn_is_found() -> None:
    answer = columns(["token_id:5"], [-8.0], [{"token_id:7": -0.5}])
    assert listed_letters(answer, "AB", [7, 5]) == [-0.5, -8.0]


def test_forced_is_the_letter_or_nothing() -> None:
    assert forced_logprob(columns(["token_id:5"], [-8.0], [{}]), "B", 5) == -8.0
    assert forced_logprob(columns(["token_id:6"], [-8.0], [{}]), "B", 5) is None
    assert forced_logprob(columns([" B"], [-8.0], [{}]), "B", 5) == -8.0


def test_echo_is_the_last_token_but_one() -> None:
    answer = columns(["<s>", "Answer:", " A", "x"], [None, -2.0, -0.7, -1.0], [None, {}, {}, {}])
    assert echoed_logprob(answer, "A") == -0.7
    assert echoed_logprob(answer, "B") is None


@pytest.mark.parametrize(
    "logprobs",
    [
        *(None, {}, {"content": []}, {"content": None}, {"tokens": []}, {"tokens": ["x"], "token_logprobs": [None]}),
        *(
            "note",
            ["note"],
            {"content": ["note"]},
            {"content": [{"token": "x", "logprob": -1.0, "top_logprobs": ["note"]}]},
        ),
        *({"tokens": [None], "token_logprobs": [-1.0]}, {"tokens": [7], "token_logprobs": [-1.0]}),
        *(
            {"tokens": ["x"], "token_logprobs": [-1.0], "top_logprobs": [odd]}
            for odd in ("note", ["note"], {"x": None})
        ),
        *(
            {"tokens": ["x"], "token_logprobs": [odd]}
            for odd in ("note", math.nan, math.inf, 1e6, 10**400, -(10**400), True)
        ),
        *({"content": [{"token": "x", "prob": odd}]} for odd in ("note", math.nan, math.inf, 10**400)),
    ],
)
def test_an_answer_without_them_is_asked_for_again(logprobs: Any) -> None:
    with pytest.raises(RedrawError):
        token_at({"choices": [{"logprobs": logprobs}]}, 0)


@pytest.mark.parametrize("number", ["7", [7], None, True, 7.5])
def test_a_token_is_known_by_a_whole_number_or_by_its_text(number: Any) -> None:
    own, _ = token_at(objects({"id": number, "token": " A", "logprob": -1.0}, []), 0)
    assert own.token_id is None
    assert listed_letters(objects({"id": number, "token": " A", "logprob": -1.0}, []), "A", None) == [-1.0]


@pytest.mark.parametrize("nothing", [-9999.0, -math.inf, -1e300])
def test_minus_infinity_for_each_letter_is_no_half(nothing: float) -> None:
    """vLLM writes -9999: the softmax of two of them would be 0.5 each."""
    assert listed_letters(columns(["x"], [-1.0], [{" A": nothing, " B": -1.0}]), "AB", None) == [None, -1.0]


@given(st.lists(st.floats(-900, 0), min_size=2, max_size=6))
def test_normalized_is_a_softmax(logprobs: list[float]) -> None:
    import numpy as np
    from scipy.special import softmax

    score = normalized(np.array(logprobs), 0)
    assert score.probabilities is not None
    np.testing.assert_allclose(score.probabilities, softmax(logprobs), atol=1e-12)
