"""Monitoring on two ranks under ZeRO-2 and ZeRO-3: the training is the same with it, and its numbers are the evaluations'."""

import json
import math
import stat
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.comprehension import right_answers
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import open_model
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.pretraining.generations import PROMPTS, generate, greedy
from lang1_assets.ops.pretraining.monitoring import joined, open_monitor, share
from lang1_assets.ops.questions import read_questions
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.training.world import World
from tests.ops.conftest import PROMPT_CONTEXT, SEED
from tests.ops.launching import last_values, launch, log_of, same_weights, summary_of
from tests.ops.test_comprehension import questions

JOB = "tests.ops.pretraining.monitored_job"
NUM_EXAMPLES = 9


@pytest.fixture(scope="module")
def monitored(
    config: dict[str, Any], example_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Six steps, looked at after four and six. Nine notes and nine questions of each of two files: two ranks have not the same
    number of them.
    """
    folder = tmp_path_factory.mktemp("questions")
    asked, sciq = folder / "questions.parquet", folder / "sciq.json"
    # Options in twos and threes: shared by question, ranks would run different numbers of forward passes.
    mixed = [row[: 2 + number % 2] for number, row in enumerate(questions(20, 6)["options"].to_list())]
    questions(20, 6).with_columns(options=pl.Series(mixed)).write_parquet(asked)
    made = [
        {"question": row["question"], "correct_answer": "yes", **{f"distractor{n}": f"no {n}" for n in (1, 2, 3)}}
        for row in questions(11, 4).to_dicts()
    ]
    sciq.write_text(json.dumps(made))
    return {
        **config,
        "shape": {**config["shape"], "context_length": PROMPT_CONTEXT},
        "training": {**config["training"], "max_steps": 6},
        "checkpoint_tokens": 10**9,
        "monitoring": {
            "every_steps": 4,
            "examples": example_files,
            "questions": [sciq, asked],
            "num_examples": NUM_EXAMPLES,
            "shots": 1,
            "note_tokens": 40,
            "batch_size": 4,
        },
    }


@pytest.fixture(scope="module", params=[2, 3])
def finished(request: Any, monitored: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp(f"zero_{request.param}")
    changed = {**monitored, "training": {**monitored["training"], "zero_stage": request.param}}
    assert launch(work, changed, JOB) == 0, log_of(work)[-3000:]
    return work


def test_the_training_is_the_same_with_and_without_monitoring(finished: Path) -> None:
    without, with_it = last_values(finished / "without"), last_values(finished / "with")
    assert {key: value for key, value in with_it.items() if not key[1].startswith("monitor/")} == without
    (name,) = {path.name for path in (finished / "with" / "trajectory").iterdir()} - {"tokens-000000000000000"}
    assert same_weights(finished / "with" / "trajectory" / name, finished / "without" / "trajectory" / name)
    assert summary_of(finished / "with") == summary_of(finished / "without")
    assert json.loads((finished / "rng.json").read_text()) == [[True, True], [True, True]]


def test_its_numbers_are_what_the_checkpoint_gives_on_one_machine(finished: Path, monitored: dict[str, Any]) -> None:
    found = {key: value for key, value in last_values(finished / "with").items() if key[1].startswith("monitor/")}
    aurocs = {f"monitor/auroc/{task}/val" for task in ("mortality", "length_of_stay")}
    names = {*aurocs, "monitor/accuracy/comprehension", "monitor/accuracy/sciq"}
    assert set(found) == {(step, name) for step in (4, 6) for name in names}
    folder = sorted((finished / "with" / "trajectory").iterdir())[-1]
    model, monitor = open_model(folder).eval(), open_monitor(PretrainConfig.from_json(monitored))
    assert monitor is not None
    for task, prompts in monitor.prompts.items():
        expected = auroc(prompts.labels, score_options(model, prompts, batch_size=3)).value
        assert found[6, f"monitor/auroc/{task}/val"] == pytest.approx(expected, abs=1e-6)
    for name, file in zip(("sciq", "comprehension"), monitored["monitoring"]["questions"], strict=True):
        asked = read_questions(file, SEED).head(NUM_EXAMPLES)
        right = right_answers(model, folder, asked, PROMPT_CONTEXT, batch_size=4)
        assert found[6, f"monitor/accuracy/{name}"] == pytest.approx(right.mean())


def test_generations_are_for_the_owner_alone_and_nowhere_else(finished: Path) -> None:
    file = finished / "with" / "generations.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["step"], row["prompt"]) for row in rows] == [(step, prompt) for step in (4, 6) for prompt in PROMPTS]
    folder = sorted((finished / "with" / "trajectory").iterdir())[-1]
    assert [row["text"] for row in rows[-3:]] == generate(open_model(folder).eval(), folder, PROMPT_CONTEXT)
    told = log_of(finished) + (finished / "with" / "metrics.jsonl").read_text()
    assert not [row["text"] for row in rows if row["text"].strip() and row["text"].strip() in told]
    assert "monitoring: auroc/mortality/val" in told


def test_only_training_and_validation_notes_are_read(monitored: dict[str, Any], tmp_path: Path) -> None:
    """The same prompts from files that have no other split."""
    fewer = {}
    for task, file in monitored["monitoring"]["examples"].items():
        fewer[task] = tmp_path / file.name
        pl.read_parquet(file).filter(pl.col("split").is_in(["train", "val"])).write_parquet(fewer[task])
    changed = {**monitored, "monitoring": {**monitored["monitoring"], "examples": fewer}}
    whole, part = (open_monitor(PretrainConfig.from_json(values)) for values in (monitored, changed))
    assert whole is not None
    assert part is not None
    for task, prompts in whole.prompts.items():
        np.testing.assert_equal(part.prompts[task].ids, prompts.ids)
        assert len(prompts.ids) == NUM_EXAMPLES


def test_a_task_without_validation_notes_is_named_before_training(monitored: dict[str, Any], tmp_path: Path) -> None:
    empty = tmp_path / "mortality.parquet"
    pl.read_parquet(monitored["monitoring"]["examples"]["mortality"]).filter(split="train").write_parquet(empty)
    changed = {**monitored, "monitoring": {**monitored["monitoring"], "examples": {"mortality": empty}}}
    with pytest.raises(ValueError, match=r"mortality\.parquet: no note of split 'val'"):
        open_monitor(PretrainConfig.from_json(changed))


def test_without_monitoring_there_is_no_monitor(config: dict[str, Any]) -> None:
    assert open_monitor(PretrainConfig.from_json(config)) is None


@given(st.integers(1, 40), st.integers(1, 9))
def test_every_rank_takes_as_many_and_nothing_is_lost(num: int, size: int) -> None:
    parts = [share(num, World(rank=rank, size=size, device=torch.device("cpu"))) for rank in range(size)]
    assert {len(part) for part in parts} == {math.ceil(num / size)}
    assert joined(parts, num) == list(range(num))


def test_greedy_takes_the_most_likely_token_each_time(model_folder: Path) -> None:
    """Against one row at a time through the whole model, without padding."""
    model = open_model(model_folder).eval()
    starts = [np.array([1, 20, 30, 40]), np.array([1, 9])]
    for start, grown in zip(starts, greedy(model, starts, 6), strict=True):
        row = start.tolist()
        for _ in range(6):
            with torch.no_grad():
                row.append(int(model(input_ids=torch.tensor([row])).logits[0, -1].argmax()))
        assert grown.tolist() == row
