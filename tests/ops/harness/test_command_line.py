"""From a fresh shell: the harness's own command, nothing of ours but the folder it includes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.few_shot import few_shot
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import open_model
from lang1_assets.ops.prompts import build_prompts, read_examples
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import SEED
from tests.ops.harness.conftest import CONTEXT, NOTE_TOKENS, SPLIT


def run_command(task_folder: Path, model_folder: Path, output: Path, shots: int) -> dict[str, Any]:
    arguments = [
        *("--model", "hf", "--model_args", f"pretrained={model_folder},add_bos_token=True,dtype=float32"),
        *("--include_path", str(task_folder), "--tasks", "remede,remede_comprehension,remede_sciq,remede_pubmedqa"),
        *("--num_fewshot", str(shots), "--device", "cpu", "--batch_size", "4", "--output_path", str(output)),
    ]
    # Somewhere else, with no caches but its own, and nothing to fetch.
    home = output / "home"
    home.mkdir(parents=True)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(Path(sys.executable).with_name("lm_eval")), "run", *arguments]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = output.rglob("results_*.json")
    found: dict[str, Any] = json.loads(file.read_text())
    # No copy of a note is left anywhere.
    assert not [path for path in home.rglob("*") if path.suffix in (".arrow", ".parquet")]
    return found


@pytest.mark.parametrize("shots", [0, 2])
def test_every_task_runs_from_the_command_line(
    task_folder: Path, long_model_folder: Path, example_files: dict[str, Path], tmp_path: Path, shots: int
) -> None:
    found = run_command(task_folder, long_model_folder, tmp_path / "out", shots)
    for name, path in example_files.items():
        rows = read_examples(path, SPLIT, 11, SEED)
        shown = few_shot(TASKS[name], path, long_model_folder, NOTE_TOKENS, CONTEXT, shots, SEED)
        assert shown.shots == shots
        texts, labels = rows["text"].to_list(), rows["label"].to_list()
        prompts = build_prompts(TASKS[name], texts, labels, long_model_folder, shown.note_tokens, CONTEXT, shown.before)
        ours = auroc(prompts.labels, score_options(open_model(long_model_folder).eval(), prompts, batch_size=4)).value
        assert found["results"][f"remede_{name}"]["auroc,none"] == pytest.approx(ours, abs=1e-6)
        assert found["n-shot"][f"remede_{name}"] == shots
        assert found["versions"][f"remede_{name}"] == TASKS[name].version
    for name, num in (("comprehension", 9), ("sciq", 12), ("pubmedqa", 12)):
        assert 0 <= found["results"][f"remede_{name}"]["acc,none"] <= 1
        assert found["n-samples"][f"remede_{name}"]["effective"] == num
