"""The harness's own command line with a served model, against llama.cpp's server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lang1_assets.ops.served.errors import AddressError, ServedError
from lang1_assets.ops.served.harness_model import HarnessServedModel, option_likelihood
from lang1_assets.ops.served.model import ServedModel
from tests.ops.conftest import PROMPT_CONTEXT
from tests.ops.served.conftest import NAME, NUM_SLOTS, Questions

REPOSITORY = Path(__file__).parents[3]
FUNCTIONS = """\
import json
from pathlib import Path

from datasets import Dataset


def read_notes(**settings):
    return {"test": Dataset.from_list(json.loads((Path(__file__).parent / "notes.json").read_text()))}
"""
TASK = """\
task: served_stay
custom_dataset: !function notes.read_notes
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: label
target_delimiter: " "
metric_list:
  - metric: acc
"""


@pytest.fixture
def model(served: ServedModel, model_folder: Path, tmp_path: Path) -> HarnessServedModel:
    return HarnessServedModel(
        base_url=f"{served.url}/completions",
        model=NAME,
        tokenizer=str(model_folder),
        ledger=str(tmp_path / "ledger"),
        num_concurrent=NUM_SLOTS,
        max_length=PROMPT_CONTEXT,
    )


def requests_of(model: HarnessServedModel, prompts: list[str], options: list[str]) -> list[Any]:
    """As the harness makes them of multiple-choice questions, one an option."""
    return [((prompt, option), *model._encode_pair(prompt, f" {option}")) for prompt in prompts for option in options]


def test_log_probabilities_are_those_of_the_model_scored_here(model: HarnessServedModel, questions: Questions) -> None:
    requests = requests_of(model, questions.prompts, list(questions.letters))
    answers = model._loglikelihood_tokens(requests[::-1])[::-1]
    logits = np.array([value for value, _ in answers]).reshape(-1, 4)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), questions.local, atol=5e-6)
    assert not any(likeliest for _, likeliest in answers)
    paid = model._paid.client.meter.usage().num_requests
    assert model._loglikelihood_tokens(requests)[0] == answers[0]
    assert model._paid.client.meter.usage().num_requests == paid


def test_options_of_several_tokens_need_a_server_that_reads_prompts_back(model: HarnessServedModel) -> None:
    requests = requests_of(model, ["patient denies chest\nAnswer:"], ["acute heart failure", "home"])
    with pytest.raises(ServedError, match=r"does not read prompts back \(echo\)"):
        model._loglikelihood_tokens(requests)


def test_what_was_read_back_is_added_up() -> None:
    held = {
        "tokens": list("abcdx"),
        "token_logprobs": [None, -1.0, -0.5, -0.25, -9.0],
        "top_logprobs": [None, {"b": -1.0}, {"c": -0.5}, {"d": -0.25, "e": -0.1}, {}],
    }
    answer = {"choices": [{"logprobs": held}]}
    assert option_likelihood(answer, 2, 4) == {"logprob": -0.75, "likeliest": False}
    assert option_likelihood(answer, 1, 3) == {"logprob": -1.5, "likeliest": True}


def test_a_prompt_that_does_not_fit_is_not_cut(model: HarnessServedModel) -> None:
    with pytest.raises(ServedError, match="the harness would cut off the head of the note"):
        model._loglikelihood_tokens([(("", ""), [1] * PROMPT_CONTEXT, [5])])


def test_an_address_off_the_list(model_folder: Path) -> None:
    with pytest.raises(AddressError, match=r"add '10\.0\.0\.1:80' to allowed_addresses"):
        HarnessServedModel(base_url="http://10.0.0.1/v1/completions", model=NAME, tokenizer=str(model_folder))
    with pytest.raises(ServedError, match=r"base_url http://\.\.\.@127\.0\.0\.1/v1: must end in /completions"):
        HarnessServedModel(base_url="http://joe:pw@127.0.0.1/v1", model=NAME, tokenizer=str(model_folder))


def test_the_command_line(served: ServedModel, questions: Questions, model_folder: Path, tmp_path: Path) -> None:
    notes = [{"prompt": prompt, "label": number % 4} for number, prompt in enumerate(questions.prompts)]
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "notes.json").write_text(json.dumps(notes))
    (tasks / "notes.py").write_text(FUNCTIONS)
    (tasks / "stay.yaml").write_text(TASK)
    arguments = {
        "base_url": f"{served.url}/completions",
        "model": NAME,
        "tokenizer": model_folder,
        "ledger": tmp_path / "ledger",
        "num_concurrent": NUM_SLOTS,
        "max_length": PROMPT_CONTEXT,
    }
    accuracy = run_harness(tasks, arguments, tmp_path / "out")
    assert accuracy == pytest.approx(np.mean(questions.local.argmax(axis=1) == np.arange(len(notes)) % 4))
    assert len((tmp_path / "ledger").read_bytes().splitlines()) == 4 * len(notes)


def run_harness(tasks: Path, arguments: dict[str, Any], out: Path) -> float:
    command = [sys.executable, "-m", "lang1_assets.ops.served", "run", "--model", "lang1-served"]
    command += ["--model_args", ",".join(f"{name}={value}" for name, value in arguments.items())]
    command += ["--include_path", str(tasks), "--tasks", "served_stay", "--output_path", str(out)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(out), "HF_DATASETS_CACHE": str(out)}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = out.rglob("results_*.json")
    accuracy: float = json.loads(results.read_text())["results"]["served_stay"]["acc,none"]
    return accuracy
