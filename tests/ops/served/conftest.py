"""llama.cpp's server in a process of its own, with the model that the tests score here, and notes to ask it about."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

from lang1_assets.ops.evaluation import load_for_scoring
from lang1_assets.ops.prompts import PromptSet, build_prompts
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.served.model import ServedModel
from lang1_assets.ops.served.prompt_forms import PromptTokenizer
from lang1_assets.ops.served.wording import PROBE
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import PROMPT_CONTEXT, synthetic_note

TASK = TASKS["length_of_stay"]
NUM_SLOTS = 2
NAME = "tiny"


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Notes as prompts, and what the model gives them when it is scored here."""

    prompts: list[str]
    letters: tuple[str, ...]
    local: np.ndarray
    probe_ids: tuple[int, ...]
    """Of the client's own question, which comes before any of them."""


@pytest.fixture(scope="session")
def llama_port(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[int]:
    """The port of the server."""
    pytest.importorskip("xllamacpp", reason="no llama.cpp server on this platform")
    gguf_model = pytest.importorskip("tests.ops.served.gguf_model")
    folder = tmp_path_factory.mktemp("llama")
    gguf_model.write_gguf(model_folder, folder / "model.gguf")
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("llama_server.py")), str(folder / "model.gguf")]
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen(
            [*command, str(port), str(PROMPT_CONTEXT), str(NUM_SLOTS)], stdout=log, stderr=log, env=dict(os.environ)
        )
    try:
        wait_until_healthy(port, process, folder / "server.log")
        yield port
    finally:
        process.kill()
        process.wait()


def wait_until_healthy(port: int, process: "subprocess.Popen[bytes]", log: Path, seconds: int = 30) -> None:
    for _ in range(10 * seconds):
        assert process.poll() is None, f"the server ended: {log.read_text()[-500:]}"
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"the server did not start in {seconds} seconds: {log.read_text()[-500:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def served(llama_port: int, model_folder: Path) -> ServedModel:
    """The server as a completions model, with its tokenizer."""
    return ServedModel(
        api="completions",
        url=f"http://127.0.0.1:{llama_port}/v1",
        name=NAME,
        tokenizer=model_folder,
        max_concurrent=NUM_SLOTS,
    )


@pytest.fixture(scope="session")
def questions(model_folder: Path) -> Questions:
    rng = random.Random(5)
    texts = [synthetic_note(rng, rng.randint(3, 40)) for _ in range(24)]
    local = score_options(load_for_scoring(model_folder), local_prompts(texts, model_folder), 8)
    prompts = [f"{text}\n{TASK.question_block}" for text in texts]
    probe_ids = PromptTokenizer(model_folder).ids(PROBE)
    return Questions(prompts=prompts, letters=TASK.letters, local=local, probe_ids=probe_ids)


def local_prompts(texts: list[str], model_folder: Path) -> PromptSet:
    return build_prompts(TASK, texts, [0] * len(texts), model_folder, PROMPT_CONTEXT, PROMPT_CONTEXT)
