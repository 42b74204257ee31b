"""The pretraining job under DeepSpeed on two CPU ranks, undisturbed and disturbed."""

import math
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lang1_assets.ops.model import open_model
from lang1_assets.ops.next_token_loss import NextTokenLoss
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.training.checkpoints import finished, remove_newer
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World
from tests.ops.conftest import CONTEXT_LENGTH
from tests.ops.launching import last_values, launch, log_of, same_weights, summary_of
from tests.ops.pretraining.conftest import MAX_STEPS, TOKENS_PER_STEP
from tests.ops.pretraining.one_process import accident, pretrain_here

MODULE = "lang1_assets.ops.pretraining"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
    work = tmp_path_factory.mktemp("undisturbed")
    before = buffers_in_shared_memory()
    assert launch(work, config, MODULE) == 0, log_of(work)[-3000:]
    assert buffers_in_shared_memory() <= before
    return work


def resume_points(work: Path) -> list[int]:
    return [manifest.step for manifest in finished(work / "resume")]


def buffers_in_shared_memory() -> set[Path]:
    return set(Path("/dev/shm").glob("deepspeed_*"))


def test_the_job_leaves_a_trajectory_metrics_and_a_summary(undisturbed: Path, vocab_size: int) -> None:
    names = [f"tokens-{steps * TOKENS_PER_STEP:015d}" for steps in (0, 4, 8, 12)]
    assert sorted(path.name for path in (undisturbed / "trajectory").iterdir()) == names
    summary = summary_of(undisturbed)
    assert (summary["steps"], summary["tokens"]) == (MAX_STEPS, MAX_STEPS * TOKENS_PER_STEP)
    assert (summary["trajectory"], summary["num_ranks"], summary["num_reverts"]) == (names, 2, 0)
    values = last_values(undisturbed)
    assert values[1, "train/loss"] == pytest.approx(math.log(vocab_size), abs=0.1)
    assert values[MAX_STEPS, "train/loss"] < values[1, "train/loss"] - 0.3
    for name, folder in (("notes", 6), ("web_text", 12)):
        assert math.exp(values[folder, f"val/loss/{name}"]) == values[folder, f"val/perplexity/{name}"]


def test_every_step_has_the_learning_rate_of_the_schedule(undisturbed: Path, config: dict[str, Any]) -> None:
    training = PretrainConfig.from_json(config).training
    values = last_values(undisturbed)
    for step in range(1, MAX_STEPS + 1):
        assert values[step, "train/learning_rate"] == pytest.approx(learning_rate_at(step - 1, training))


def test_a_checkpoint_of_the_trajectory_is_what_was_validated(
    undisturbed: Path, config: dict[str, Any], shard_folders: dict[str, Path]
) -> None:
    """The last one, opened by anybody's Hugging Face, has the held-out loss that the job wrote down."""
    folder = sorted((undisturbed / "trajectory").iterdir())[-1]
    assert not [path for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True).eval()
    assert AutoTokenizer.from_pretrained(folder)("chest pain").input_ids[0] == 1
    for name, shards_folder in shard_folders.items():
        shards = TokenShards(shards_folder, "val")
        windows = [shards.window(i, CONTEXT_LENGTH).astype(np.int64) for i in range(5)]
        with torch.no_grad():
            losses = [NextTokenLoss(model)(torch.from_numpy(window[None])).item() for window in windows]
        assert last_values(undisturbed)[MAX_STEPS, f"val/loss/{name}"] == pytest.approx(
            statistics.fmean(losses), rel=1e-5
        )


def test_a_run_that_was_stopped_and_killed_ends_where_the_undisturbed_one_does(
    undisturbed: Path, config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    stopped = launch(tmp_path, config, MODULE, "SIGTERM@3")
    assert stopped not in {0, 65}, log_of(tmp_path)[-3000:]
    assert resume_points(tmp_path) == [0, 3]
    assert not (tmp_path / "summary.json").exists()
    shutil.copytree(tmp_path, tmp_path / "alone")

    killed = launch(tmp_path, config, MODULE, "KILLRANK@8")
    assert killed not in {0, 65, 143}
    # The other rank does not wait for the one that is gone.
    assert time.time() - (tmp_path / "killed").stat().st_mtime < 30
    assert "exits with return code = -9" in log_of(tmp_path)
    assert "resuming at step 3" in log_of(tmp_path)
    assert resume_points(tmp_path) == [3, 5]
    assert not (tmp_path / "summary.json").exists()

    assert launch(tmp_path, config, MODULE) == 0, log_of(tmp_path)[-3000:]
    assert "resuming at step 5" in log_of(tmp_path)
    assert last_values(tmp_path) == last_values(undisturbed)
    assert summary_of(tmp_path) == summary_of(undisturbed)
    for folder in (undisturbed / "trajectory").iterdir():
        assert same_weights(tmp_path / "trajectory" / folder.name, folder)

    # What two ranks had saved at step 3 when they were stopped, gone on from by one alone.
    assert pretrain_here(config, tmp_path / "alone", one_rank)
    assert same_losses(tmp_path / "alone", undisturbed, first=1)


def test_two_ranks_go_on_from_what_one_saved(
    undisturbed: Path, config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    class Killed(BaseException): ...

    def killed(state: Any, loss: torch.Tensor) -> torch.Tensor:
        if state.step == 7:
            raise Killed
        return loss

    with accident(killed), pytest.raises(Killed):
        pretrain_here(config, tmp_path, one_rank)
    assert resume_points(tmp_path) == [0, 5]
    assert launch(tmp_path, config, MODULE) == 0, log_of(tmp_path)[-3000:]
    assert "checkpoint step-00000005 is of 1 rank(s): converting it for 2" in log_of(tmp_path)
    assert same_losses(tmp_path, undisturbed, first=1)


def same_losses(work: Path, expected: Path, first: int) -> bool:
    """Of each step from `first` on, to what the order of sums of floats changes."""
    ours, theirs = last_values(work), last_values(expected)
    steps = range(first, MAX_STEPS + 1)
    return all(
        ours[step, "train/loss"] == pytest.approx(theirs[step, "train/loss"], rel=1e-6)
        for step in steps
        if (step, "train/loss") in theirs
    )


def test_zero_3_goes_back_from_a_loss_that_is_not_finite_and_leaves_its_data_out(
    config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    """The batch of step 7 is poison: were it drawn again, the run would go back until it gives up."""
    # Logged less often than saved: a state is saved only after its losses were looked at.
    changed = {
        **config,
        "training": {**config["training"], "zero_stage": 3, "log_every_steps": 6, "save_every_steps": 4},
    }
    assert launch(tmp_path, changed, MODULE, "NAN@6") == 0, log_of(tmp_path)[-3000:]
    assert "ALERT loss or gradient that is not finite" in log_of(tmp_path)
    summary = summary_of(tmp_path)
    assert (summary["num_reverts"], summary["steps"]) == (1, MAX_STEPS)
    assert [int(name.split("-")[1]) // TOKENS_PER_STEP for name in summary["trajectory"]] == [0, 4, 8, 12]
    values = last_values(tmp_path)
    assert values[8, "not_finite"] == -1.0
    assert math.isfinite(values[MAX_STEPS, "val/loss/all"])
    for name in summary["trajectory"]:
        opened = open_model(tmp_path / "trajectory" / name)
        assert all(torch.isfinite(parameter).all() for parameter in opened.parameters())
        assert opened.num_parameters() == summary["num_parameters"]
        assert AutoTokenizer.from_pretrained(tmp_path / "trajectory" / name).bos_token_id == 1

    # The same checkpoint, gone on from by one rank alone: the data that were left out stay out.
    alone = Path(shutil.copytree(tmp_path, tmp_path / "alone"))
    remove_newer(alone, 8)
    assert pretrain_here(changed, alone, one_rank)
    assert summary_of(alone) == {**summary, "num_ranks": 1}
    assert same_losses(alone, tmp_path, first=9)
    assert last_values(alone)[MAX_STEPS, "val/loss/all"] == pytest.approx(values[MAX_STEPS, "val/loss/all"], rel=1e-6)
