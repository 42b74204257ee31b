"""Fig. 3 on a trajectory of two checkpoints: random weights, and the same model as it is saved everywhere in these tests."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.comprehension import right_answers
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import build_model, open_model, save_model
from lang1_assets.ops.prompts import build_prompts, informative_examples
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.trajectory import TrajectoryConfig, TrajectoryReport, evaluate_trajectory, gain, is_off_chance
from tests.ops.conftest import PROMPT_CONTEXT, SEED, SHAPE
from tests.ops.test_comprehension import questions

CONFIG = TrajectoryConfig(
    split="temporal_2024",
    note_tokens=40,
    context_length=PROMPT_CONTEXT,
    max_examples=10,
    max_questions=7,
    batch_size=4,
    num_resamples=100,
    seed=SEED,
)


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, model_folder: Path, tokenizer_folder: Path, vocab_size: int
) -> list[Path]:
    root = tmp_path_factory.mktemp("trajectory")
    model = build_model(SHAPE, vocab_size, SEED)
    save_model(model, model.state_dict(), tokenizer_folder, root / "tokens-000000000000000")
    shutil.copytree(model_folder, root / "tokens-000000000064000")
    return sorted(root.iterdir())


@pytest.fixture(scope="module")
def report(folders: list[Path], example_files: dict[str, Path]) -> TrajectoryReport:
    asked = {"comprehension": questions(14, 6), "pubmedqa": questions(5, 9)}
    return evaluate_trajectory(folders, example_files, asked, CONFIG, print)


def test_every_checkpoint_has_a_point_of_the_questions_and_of_each_task(report: TrajectoryReport) -> None:
    found = [(row["tokens"], row["name"], row["metric"], row["n"]) for row in report.rows]
    asked = [("comprehension", "accuracy", 7), ("pubmedqa", "accuracy", 5)]
    names = [*asked, ("mortality", "auroc", 10), ("length_of_stay", "auroc", 10)]
    assert found == [(tokens, *name) for tokens in (0, 64_000) for name in names]
    for row in report.rows:
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
        assert row["chance"] == pytest.approx(1 / 3 if row["metric"] == "accuracy" else 0.5)
        assert 0 <= row["num_events"] <= row["n"] / 2 or row["name"] == "length_of_stay"


def test_a_point_is_what_the_checkpoint_gives_by_itself(
    report: TrajectoryReport, folders: list[Path], example_files: dict[str, Path]
) -> None:
    for folder in folders:
        model = open_model(folder).eval()
        values = {row["name"]: row["value"] for row in report.rows if row["checkpoint"] == folder.name}
        for task in example_files:
            rows = informative_examples(TASKS[task], example_files[task], "temporal_2024", 10, SEED)
            prompts = build_prompts(
                TASKS[task], rows["text"].to_list(), rows["label"].to_list(), folder, 40, PROMPT_CONTEXT
            )
            assert values[task] == pytest.approx(auroc(rows["label"], score_options(model, prompts, 1)).value)
        for name, asked in (("comprehension", questions(14, 6)[::2]), ("pubmedqa", questions(5, 9))):
            right = right_answers(model, folder, asked, PROMPT_CONTEXT, batch_size=3)
            assert values[name] == pytest.approx(right.mean())
    assert list(report.comprehension_gains) == ["comprehension", "pubmedqa"]
    for name, found in report.comprehension_gains.items():
        first, last = (row["value"] for row in report.rows if row["name"] == name)
        assert found.value == pytest.approx(last - first)


def test_what_is_not_there_is_left_out(folders: list[Path], example_files: dict[str, Path]) -> None:
    without = evaluate_trajectory(folders[:1], example_files, {}, CONFIG, print)
    assert {row["name"] for row in without.rows} == set(example_files)
    assert without.comprehension_gains == {}
    alone = evaluate_trajectory(folders[:1], {}, {"sciq": questions(3, 6)}, CONFIG, print)
    assert [row["name"] for row in alone.rows] == ["sciq"]
    assert alone.comprehension_gains == {}
    with pytest.raises(ValueError, match="no note of split 'temporal_2024' and no question"):
        evaluate_trajectory(folders, {}, {}, CONFIG, print)
    with pytest.raises(ValueError, match="without a checkpoint"):
        evaluate_trajectory([], example_files, {}, CONFIG, print)


@given(st.integers(0, 10_000))
def test_the_interval_of_a_gain_holds_the_truth(seed: int) -> None:
    """900 paired questions, of which 30 % and 45 % are answered right: an interval misses 0.15 once in twenty times."""
    rng = np.random.default_rng(seed)
    luck = rng.random(900)
    found = gain(luck < 0.3, (luck < 0.35) | (rng.random(900) < 0.1 / 0.65))
    assert found.low < found.value < found.high
    assert found.low > 0
    assert found.value == pytest.approx(0.15, abs=5 * (found.high - found.value) / 1.96)


def test_only_a_clear_departure_from_chance_is_named() -> None:
    rng = np.random.default_rng(0)
    assert not is_off_chance(rng.normal(0.5, 0.03, 1000), num_tasks=5)
    # Outside of its own 95 %, but not where the level is shared among five.
    assert not is_off_chance(rng.normal(0.565, 0.03, 1000), num_tasks=5)
    assert is_off_chance(rng.normal(0.565, 0.03, 1000), num_tasks=1)
    assert is_off_chance(rng.normal(0.35, 0.03, 1000), num_tasks=5)
    assert not is_off_chance(np.array([np.nan, np.nan]), num_tasks=5)
