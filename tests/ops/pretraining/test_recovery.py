"""Going back: to which checkpoint, without which data, and what is said about it."""

import json
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.pretraining.loop import open_mixture
from lang1_assets.ops.pretraining.recovery import LEFT_OUT_FILE, LeftOut, LeftOutData, UnstableTrainingError
from lang1_assets.ops.shards import ShardError
from lang1_assets.ops.training.checkpoints import finished
from lang1_assets.ops.training.world import World
from tests.ops.launching import last_values, same_weights, summary_of
from tests.ops.pretraining.conftest import TOKENS_PER_STEP
from tests.ops.pretraining.one_process import accident, alerts_of, pretrain_here, read_config

NUM_STEPS = 60
POISON = range(48, 51)
"""Steps whose batches are bad: late enough for a history, and looked at with step 50."""


@pytest.fixture
def long_config(config: dict[str, Any]) -> dict[str, Any]:
    """Saved every 10 steps and looked at every 5; three steps before an accident are under suspicion."""
    training = {**config["training"], "max_steps": NUM_STEPS, "save_every_steps": 10, "log_every_steps": 5}
    training |= {"micro_batch_size": 8, "validate_every_steps": NUM_STEPS}
    return {**config, "training": training, "suspect_steps": 3, "checkpoint_tokens": 30 * TOKENS_PER_STEP}


def poisoned(state: Any, loss: torch.Tensor) -> torch.Tensor:
    return loss * 10 if state.data_step in POISON else loss


def left_out_of(work: Path) -> list[dict[str, Any]]:
    return json.loads((work / LEFT_OUT_FILE).read_text())


def test_a_spike_goes_back_to_a_stable_checkpoint_and_leaves_out_its_data(
    long_config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    with accident(poisoned) as drawn:
        assert pretrain_here(long_config, tmp_path, one_rank)
    # Noticed with step 50, at step 48. Nothing after step 44 is trusted: back to 40, and without batches 44 to 49.
    assert drawn == [*range(50), *range(40, 44), *range(50, 66)]
    (row,) = left_out_of(tmp_path)
    assert (row["kind"], row["at_step"], row["back_to_step"]) == ("loss_spike", 50, 40)
    assert (row["first_data_step"], row["stop_data_step"]) == (44, 50)
    assert (row["first_sample"], row["last_sample"]) == (44 * 8, 50 * 8 - 1)
    mixture = open_mixture(read_config(long_config))
    samples = [mixture.sample(number)[0] for number in range(44 * 8, 50 * 8)]
    assert {name: share["num_samples"] for name, share in row["sources"].items()} == Counter(samples)
    assert summary_of(tmp_path)["num_reverts"] == 1
    assert [alert["kind"] for alert in alerts_of(tmp_path)] == ["loss_spike"]
    text = alerts_of(tmp_path)[0]["text"]
    assert (
        "at step 48: back to step 40, without batches 44 to 49 (samples 352 to 399: 24 of notes, 24 of web_text)"
        in text
    )
    assert last_values(tmp_path)[50, "loss_spike"] > 25


def test_a_batch_before_a_gap_is_left_out_when_the_loss_is_looked_at_after_it(
    long_config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    def poisoned_before_the_gap(state: Any, loss: torch.Tensor) -> torch.Tensor:
        return loss * 10 if state.data_step in (44, 51, 52) and 50 < len(drawn) < 60 else poisoned(state, loss)

    with accident(poisoned_before_the_gap) as drawn:
        assert pretrain_here(long_config, tmp_path, one_rank)
    # The second one begins at step 44, which drew batch 43; it goes on with steps 45 and 46, which drew batches 50 and 51.
    assert drawn == [*range(50), *range(40, 44), *range(50, 56), *range(53, 73)]
    assert [(row["first_data_step"], row["stop_data_step"]) for row in left_out_of(tmp_path)] == [(44, 50), (40, 53)]


def test_a_run_that_is_killed_after_going_back_still_leaves_the_data_out(
    long_config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    class Killed(BaseException): ...

    def poisoned_and_killed(state: Any, loss: torch.Tensor) -> torch.Tensor:
        if state.step == 45 and (killed / LEFT_OUT_FILE).exists():
            raise Killed
        return poisoned(state, loss)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with accident(poisoned):
        pretrain_here(long_config, whole, one_rank)
    with accident(poisoned_and_killed), pytest.raises(Killed):
        pretrain_here(long_config, killed, one_rank)
    with accident(poisoned) as drawn:
        pretrain_here(long_config, killed, one_rank)
    assert drawn == [*range(40, 44), *range(50, 66)]
    assert left_out_of(killed) == left_out_of(whole)
    assert last_values(killed) == last_values(whole)
    assert summary_of(killed) == summary_of(whole)


def test_the_detector_remembers_across_a_resume(long_config: dict[str, Any], tmp_path: Path, one_rank: World) -> None:
    """Stopped at step 45: alone, the two losses between that and the spike would say nothing."""

    class Killed(BaseException): ...

    def killed_early(state: Any, loss: torch.Tensor) -> torch.Tensor:
        if state.step == 46:
            raise Killed
        return loss

    with accident(killed_early), pytest.raises(Killed):
        pretrain_here(long_config, tmp_path, one_rank)
    with accident(poisoned) as drawn:
        pretrain_here(long_config, tmp_path, one_rank)
    assert drawn[:10] == list(range(40, 50))
    assert left_out_of(tmp_path)[0]["kind"] == "loss_spike"


def test_a_run_that_spikes_again_and_again_asks_a_person(
    long_config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    """Whatever data it is given, steps 48 to 50 go wrong: three times from step 40, and then not once more."""

    def unstable(state: Any, loss: torch.Tensor) -> torch.Tensor:
        return loss * 10 if state.step in POISON else loss

    for attempt in (3, 3):
        with (
            accident(unstable),
            pytest.raises(UnstableTrainingError, match=r"at step 48: .*gone back to step 40 3 times"),
        ):
            pretrain_here(long_config, tmp_path, one_rank)
        assert len(left_out_of(tmp_path)) == attempt


def test_a_checkpoint_that_a_spike_followed_too_soon_is_not_gone_back_to(
    long_config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    """Step 40 is saved two steps before the loss goes wrong; it may have had it already."""

    def soon(state: Any, loss: torch.Tensor) -> torch.Tensor:
        return loss * 10 if state.data_step in (42, 43, 44) else loss

    with accident(soon) as drawn:
        assert pretrain_here(long_config, tmp_path, one_rank)
    assert drawn[:55] == [*range(45), *range(30, 38), *range(45, 47)]
    assert left_out_of(tmp_path)[0]["back_to_step"] == 30


def own_shards(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    sources = {name: shutil.copytree(source, folder / name) for name, source in config["sources"].items()}
    return {**config, "sources": sources}


def test_bytes_that_change_under_a_run_are_found_when_its_loss_spikes(
    long_config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    changed = own_shards(long_config, tmp_path)
    shard = sorted(Path(changed["sources"]["notes"]).glob("train-*.bin"))[0]

    def rot(state: Any, loss: torch.Tensor) -> torch.Tensor:
        if state.step == 46:
            with open(shard, "r+b") as file:
                file.seek(100)
                file.write(bytes(200))
        return poisoned(state, loss)

    work = tmp_path / "work"
    with accident(rot), pytest.raises(ShardError, match=rf"{shard}: its checksum is not its manifest's \(1 of "):
        pretrain_here(changed, work, one_rank)
    # The data are to blame, not the batches; and what was trained on them is not gone on from.
    assert not (work / LEFT_OUT_FILE).exists()
    assert [manifest.step for manifest in finished(work / "resume")] == [30, 40]
    with pytest.raises(ShardError, match="checksum"):
        pretrain_here(changed, work, one_rank)


def test_a_token_outside_of_the_vocabulary_ends_the_run_with_its_reason(
    long_config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    changed = own_shards(long_config, tmp_path)

    def rot(state: Any, loss: torch.Tensor) -> torch.Tensor:
        for shard in Path(changed["sources"]["notes"]).glob("train-*.bin"):
            with open(shard, "r+b") as file:
                file.write(b"\xff" * shard.stat().st_size)
        return loss

    with accident(rot) as drawn, pytest.raises(ShardError, match="corpus 'notes' has token 65535 and a vocabulary of "):
        pretrain_here(changed, tmp_path / "work", one_rank)
    # One batch was read ahead before.
    assert len(drawn) <= 3


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=6), st.integers(0, 80))
def test_no_batch_that_was_left_out_is_drawn(tmp_path_factory: Any, ranges: list[tuple[int, int]], start: int) -> None:
    work = tmp_path_factory.mktemp("left_out")
    rows = [
        LeftOut(
            kind="loss_spike",
            at_step=0,
            back_to_step=0,
            first_data_step=first,
            stop_data_step=first + length,
            first_sample=0,
            last_sample=0,
            sources={},
        )
        for first, length in ranges
    ]
    (work / LEFT_OUT_FILE).write_text(json.dumps([asdict(row) for row in rows]))
    outside = {number for first, length in ranges for number in range(first, first + length)}
    expected = next(number for number in range(start, 200) if number not in outside)
    assert LeftOutData(work).next_data_step(start) == expected


def test_the_trajectory_of_a_run_that_went_back_is_whole(
    long_config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    with accident(poisoned):
        pretrain_here(long_config, tmp_path / "first", one_rank)
        pretrain_here(long_config, tmp_path / "second", one_rank)
    names = summary_of(tmp_path / "first")["trajectory"]
    assert len(names) == 1 + NUM_STEPS // 30
    for name in names:
        assert same_weights(tmp_path / "first" / "trajectory" / name, tmp_path / "second" / "trajectory" / name)
