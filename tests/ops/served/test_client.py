"""Accidents between client and server: each one really happens, in a proxy in front of llama.cpp's server."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.served.client import MAX_DRAWS, endpoint_url, key_header, retry_after_seconds
from lang1_assets.ops.served.errors import ServedError
from lang1_assets.ops.served.model import ServedModel
from lang1_assets.ops.served.scoring import ServedScores, score_served
from tests.ops.served.conftest import Questions
from tests.ops.served.faulty_proxy import Fault, FaultyProxy, faulty_proxy

ODD_ANSWERS = [
    "null",
    "[" * 100_000,
    '{"choices": []}',
    '{"choices": [null]}',
    '{"choices": ["note"]}',
    '{"choices": {"0": "note"}}',
    '{"choices": [{"logprobs": "note"}]}',
    '{"choices": [{"logprobs": [1]}]}',
]

Score = Callable[..., tuple[ServedScores, FaultyProxy]]


@pytest.fixture
def score(served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path) -> Score:
    """Scores all prompts, four requests each, through a proxy with accidents to those."""

    def run(fault_of: Callable[[int], Fault], **changes: Any) -> tuple[ServedScores, FaultyProxy]:
        with faulty_proxy(llama_port, fault_of, probe_ids=questions.probe_ids) as proxy:
            model = replace(served, url=proxy.url, **changes)
            return score_served(questions.prompts, questions.letters, model, tmp_path / "ledger"), proxy

    return run


@pytest.mark.parametrize(
    "accident",
    [
        "drop",
        "lose",
        "cut",
        "half",
        "gzip",
        "500",
        "429:0",
        "429:0.2",
        "408",
        "503",
        *(f"json:{o}" for o in ODD_ANSWERS),
    ],
    ids=lambda accident: accident[:30],
)
def test_an_accident_costs_a_retry_and_changes_no_number(score: Score, questions: Questions, accident: str) -> None:
    scores, proxy = score(lambda number: accident if number % 24 == 4 else None)
    np.testing.assert_allclose(scores.probabilities, questions.local, atol=5e-6)
    num_accidents = len(range(4, len(proxy.bodies), 24))
    assert scores.usage.num_retries == num_accidents + proxy.num_probes_repeated
    assert scores.usage.num_requests == len(proxy.bodies) + len(proxy.probes)


def test_only_answers_that_were_lost_are_paid_for_twice(score: Score, questions: Questions) -> None:
    scores, proxy = score(lambda number: "lose" if number % 24 == 4 else "drop" if number % 24 == 17 else None)
    num_lost = len(range(4, len(proxy.bodies), 24))
    assert sum(proxy.answered.values()) == 4 * len(questions.prompts) + num_lost
    assert scores.not_scored == {}


def test_a_late_answer_is_asked_for_again(score: Score, questions: Questions) -> None:
    scores, proxy = score(lambda number: "wait:1.5" if number == 30 else None, answer_timeout_seconds=0.7)
    assert scores.usage.num_retries == 1 + proxy.num_probes_repeated
    np.testing.assert_allclose(scores.probabilities, questions.local, atol=5e-6)


def test_an_answer_that_drips_has_a_deadline(score: Score) -> None:
    start = time.monotonic()
    scores, proxy = score(lambda number: "drip" if number == 30 else None, answer_timeout_seconds=0.7)
    assert scores.usage.num_retries == 1 + proxy.num_probes_repeated
    assert time.monotonic() - start < 8


def test_a_server_that_asks_for_patience_gets_it_from_every_thread(score: Score) -> None:
    times: list[float] = []

    def fault_of(number: int) -> Fault:
        times.append(time.monotonic())
        return "429:1" if number == 40 else None

    scores, proxy = score(fault_of)
    assert scores.usage.num_retries == 1 + proxy.num_probes_repeated
    # One request of the other thread may have been on its way.
    assert times[42] - times[40] > 0.95


def test_patience_has_an_end(score: Score) -> None:
    start = time.monotonic()
    score(lambda number: "429:3600" if number == 40 else None, longest_wait_seconds=0.3)
    assert time.monotonic() - start < 5


def test_requests_a_minute(served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path) -> None:
    times: list[float] = []

    def fault_of(number: int) -> Fault:
        times.append(time.monotonic())
        return None

    with faulty_proxy(llama_port, fault_of, probe_ids=questions.probe_ids) as proxy:
        model = replace(served, url=proxy.url, requests_per_minute=1200.0)
        score_served(questions.prompts[:4], questions.letters, model, tmp_path / "ledger")
    assert (times[-1] - times[0]) / (len(times) - 1) > 0.95 * 60 / 1200


@pytest.mark.parametrize(
    ("accident", "part"),
    [
        ("401", "refuses the API key .status 401.; set api_key_variable"),
        ("404", "check url and the model's name 'tiny'"),
        ("307:http://127.0.0.1:9/v1/completions", "redirects elsewhere .status 307., which is not followed"),
        ("500", "status 500, 3 times; what was paid for is kept"),
        ("cut", r"no answer \(RemoteProtocolError\), 3 times"),
        ("half", "half an answer, 3 times"),
    ],
)
def test_what_no_retry_mends_ends_the_run_and_keeps_what_was_paid(
    score: Score, questions: Questions, accident: str, part: str
) -> None:
    with pytest.raises(ServedError, match=part):
        score(lambda number: accident if number >= 40 else None, max_retries=2)
    scores, proxy = score(lambda number: None)
    assert scores.usage.num_from_ledger > 10
    assert len(proxy.bodies) + scores.usage.num_from_ledger == 4 * len(questions.prompts)
    np.testing.assert_allclose(scores.probabilities, questions.local, atol=5e-6)


USELESS = 'json:{"choices": [{"logprobs": null}]}'


def test_tokens_of_no_use_are_drawn_again_and_are_no_failures(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path
) -> None:
    """The first question for log-probabilities, and one about a note, each as often as is allowed, without a single retry left."""
    with faulty_proxy(
        llama_port,
        lambda number: USELESS if 4 <= number < 4 + MAX_DRAWS - 1 else None,
        probe_ids=questions.probe_ids,
        fault_of_probe=lambda number: USELESS if 1 <= number < MAX_DRAWS // 2 else None,
    ) as proxy:
        model = replace(served, url=proxy.url, max_retries=0, max_concurrent=1)
        scores = score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    np.testing.assert_allclose(scores.probabilities, questions.local, atol=5e-6)
    assert scores.usage.num_retries == MAX_DRAWS - 1 + proxy.num_probes_repeated >= MAX_DRAWS - 1 + MAX_DRAWS // 2 - 1


def test_failures_between_useless_tokens_count_together(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path
) -> None:
    with faulty_proxy(
        llama_port, lambda number: None if number < 4 else ("500", USELESS)[number % 2], probe_ids=questions.probe_ids
    ) as proxy:
        model = replace(served, url=proxy.url, max_retries=1, max_concurrent=1)
        with pytest.raises(ServedError, match="status 500, 2 times; what was paid for is kept"):
            score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    assert sum(body == proxy.bodies[4] for body in proxy.bodies) == 3


def test_a_server_that_gives_no_log_probabilities(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path
) -> None:
    with faulty_proxy(llama_port, probe_ids=questions.probe_ids, fault_of_probe=lambda number: USELESS) as proxy:
        model = replace(served, url=proxy.url, max_retries=1)
        with pytest.raises(ServedError, match=rf"never gives them is kind: chat\), {MAX_DRAWS} times"):
            score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    assert len(proxy.probes) == 1 + MAX_DRAWS
    assert proxy.bodies == []


def test_nobody_there(served: ServedModel, questions: Questions, tmp_path: Path) -> None:
    model = replace(served, url="http://127.0.0.1:9/v1", max_retries=1)
    with pytest.raises(ServedError, match=r"127.0.0.1:9/v1/completions: no answer \(ConnectError\), 2 times"):
        score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")


@given(seconds=st.integers(0, 10**6))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert retry_after_seconds(str(seconds)) == seconds


def test_retry_after_as_a_date_and_as_nonsense() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    found = retry_after_seconds(later)
    assert found is not None
    assert 85 < found <= 90
    assert retry_after_seconds(format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)) == 0
    assert [retry_after_seconds(value) for value in (None, "soon", "", "-3")] == [None, None, None, 0]


def test_the_endpoint_goes_between_path_and_query() -> None:
    base = "https://x.hospital/deployments/gpt?api-version=2024-10-21"
    assert str(endpoint_url(base, "chat/completions")) == (
        "https://x.hospital/deployments/gpt/chat/completions?api-version=2024-10-21"
    )
    assert str(endpoint_url("http://127.0.0.1:8000/v1/", "completions")) == "http://127.0.0.1:8000/v1/completions"


def test_the_key_comes_from_where_the_model_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSPITAL_KEY", "sk-1\n")
    (tmp_path / "key").write_text("sk-2\n")
    model = ServedModel(api="chat", url="http://127.0.0.1/v1", name="x")
    assert key_header(model) == {}
    assert key_header(replace(model, api_key_variable="HOSPITAL_KEY")) == {"Authorization": "Bearer sk-1"}
    azure = replace(model, api_key_file=tmp_path / "key", api_key_header="api-key")
    assert key_header(azure) == {"api-key": "sk-2"}


def test_a_key_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ServedModel(api="chat", url="http://127.0.0.1/v1", name="x")
    monkeypatch.setenv("HOSPITAL_KEY", " ")
    (tmp_path / "key").write_text("two\nlines")
    for broken, part in (
        (replace(model, api_key_variable="HOSPITAL_KEY"), "environment variable HOSPITAL_KEY: holds no API key"),
        (replace(model, api_key_variable="NOT_SET_AT_ALL"), "NOT_SET_AT_ALL: holds no API key"),
        (replace(model, api_key_file=tmp_path / "nosuch"), "nosuch: cannot be read"),
        (replace(model, api_key_file=tmp_path / "key"), "holds no API key"),
    ):
        with pytest.raises(ServedError, match=part):
            key_header(broken)
