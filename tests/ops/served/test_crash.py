"""The client killed in the middle, as nothing else can show what was paid twice."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from lang1_assets.ops.served.model import ServedModel
from lang1_assets.ops.served.scoring import score_served
from tests.ops.served.conftest import Questions
from tests.ops.served.faulty_proxy import faulty_proxy

REPOSITORY = Path(__file__).parents[3]
CLIENT = """
import json, sys
from pathlib import Path
from lang1_assets.ops.served.model import ServedModel
from lang1_assets.ops.served.scoring import score_served
job = json.loads(Path(sys.argv[1]).read_text())
model = ServedModel(api="completions", url=job["url"], name="tiny", tokenizer=Path(job["tokenizer"]), max_concurrent=2)
score_served(job["prompts"], job["letters"], model, Path(job["ledger"]))
"""


def test_killed_half_way_and_run_again(
    served: ServedModel, llama_port: int, questions: Questions, model_folder: Path, tmp_path: Path
) -> None:
    """No answer in the ledger is asked for again; the server may have answered one request a thread that nobody received."""
    ledger = tmp_path / "ledger"
    with faulty_proxy(llama_port, lambda number: "wait:0.03", probe_ids=questions.probe_ids) as proxy:
        kill_in_the_middle(tmp_path, proxy.url, questions, model_folder, ledger)
        num_paid = len(ledger.read_bytes().splitlines())
        assert 0 < num_paid < 4 * len(questions.prompts)
        scores = score_served(questions.prompts, questions.letters, replace(served, url=proxy.url), ledger)
    assert scores.usage.num_from_ledger in (num_paid, num_paid - 1)
    keys = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 4 * len(questions.prompts)
    assert sum(proxy.answered.values()) <= 4 * len(questions.prompts) + served.max_concurrent
    np.testing.assert_allclose(scores.probabilities, questions.local, atol=5e-6)


def kill_in_the_middle(work: Path, url: str, questions: Questions, model_folder: Path, ledger: Path) -> None:
    job = {
        "url": url,
        "tokenizer": str(model_folder),
        "prompts": questions.prompts,
        "letters": list(questions.letters),
        "ledger": str(ledger),
    }
    (work / "job.json").write_text(json.dumps(job))
    process = subprocess.Popen([sys.executable, "-c", CLIENT, str(work / "job.json")], cwd=REPOSITORY)
    try:
        deadline = time.monotonic() + 60
        while not ledger.exists() or len(ledger.read_bytes().splitlines()) < 30:
            assert process.poll() is None, "the client ended before it could be killed"
            assert time.monotonic() < deadline, "the client did not get half way in a minute"
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
