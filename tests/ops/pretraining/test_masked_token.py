"""An encoder in the pretraining job: the same loop, resume, ranks, trajectory and validation as a decoder's."""

import math
import shutil
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lang1_assets.ops.encoder.masking import masked_windows
from lang1_assets.ops.encoder.model import build_encoder
from lang1_assets.ops.model import ModelShape
from lang1_assets.ops.pretraining.batches import Batches
from lang1_assets.ops.pretraining.loop import open_mixture
from lang1_assets.ops.pretraining.objective import MaskedToken, objective_of
from lang1_assets.ops.pretraining.preflight import num_parameters
from lang1_assets.ops.pretraining.progress import parameters_a_token
from lang1_assets.ops.pretraining.start import starting_model
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.training.checkpoints import finished
from lang1_assets.ops.training.world import World
from tests.ops.conftest import CONTEXT_LENGTH
from tests.ops.launching import last_values, launch, log_of, same_weights, summary_of
from tests.ops.pretraining.conftest import MAX_STEPS, TOKENS_PER_STEP
from tests.ops.pretraining.one_process import accident, pretrain_here, read_config

MODULE = "lang1_assets.ops.pretraining"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def masked(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "objective": "masked_token"}


@pytest.fixture
def undisturbed(masked: dict[str, Any], tmp_path: Path, one_rank: World) -> Path:
    assert pretrain_here(masked, tmp_path / "undisturbed", one_rank)
    return tmp_path / "undisturbed"


def test_an_encoder_leaves_what_a_decoder_leaves(
    undisturbed: Path, masked: dict[str, Any], vocab_size: int, shard_folders: dict[str, Path]
) -> None:
    names = [f"tokens-{steps * TOKENS_PER_STEP:015d}" for steps in (0, 4, 8, 12)]
    summary = summary_of(undisturbed)
    assert (summary["trajectory"], summary["tokens"]) == (names, MAX_STEPS * TOKENS_PER_STEP)
    values = last_values(undisturbed)
    assert values[1, "train/loss"] == pytest.approx(math.log(vocab_size + 1), abs=0.15)
    assert values[MAX_STEPS, "train/loss"] < values[1, "train/loss"] - 0.3
    # The last checkpoint, opened by anybody's Hugging Face, has the held-out loss that the job wrote down.
    folder = undisturbed / "trajectory" / names[-1]
    model = AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=True).eval()
    assert model.num_parameters() == summary["num_parameters"] == num_parameters(read_config(masked))
    assert AutoTokenizer.from_pretrained(folder)("chest pain").input_ids[0] == 1
    for name, shards_folder in shard_folders.items():
        losses = [masked_loss(model, TokenShards(shards_folder, "val"), i, masked) for i in range(5)]
        assert values[MAX_STEPS, f"val/loss/{name}"] == pytest.approx(statistics.fmean(losses), rel=1e-5)


def masked_loss(model: Any, shards: TokenShards, index: int, config: dict[str, Any]) -> float:
    """Of one held-out window, by transformers alone."""
    window = shards.window(index, CONTEXT_LENGTH).astype(np.int64)[None, :-1]
    pieces, seed = config["vocab_size"], config["seed"]
    made = masked_windows(window, np.array([index]), num_pieces=pieces, start_id=1, seed=seed, split="val")
    labels = np.full_like(window, -100)
    np.put_along_axis(labels, made.positions, made.targets, axis=1)
    with torch.no_grad():
        return float(model(torch.from_numpy(made.input_ids), labels=torch.from_numpy(labels)).loss)


def test_a_run_that_was_killed_ends_with_the_same_weights(
    undisturbed: Path, masked: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    class Killed(BaseException): ...

    def killed(state: Any, loss: torch.Tensor) -> torch.Tensor:
        if state.step == 8:
            raise Killed
        return loss

    work = tmp_path / "killed"
    with accident(killed), pytest.raises(Killed):
        pretrain_here(masked, work, one_rank)
    assert [manifest.step for manifest in finished(work / "resume")] == [0, 5]
    with accident(lambda state, loss: loss) as drawn:
        assert pretrain_here(masked, work, one_rank)
    assert drawn == list(range(5, MAX_STEPS))
    assert last_values(work) == last_values(undisturbed)
    assert summary_of(work) == summary_of(undisturbed)
    for folder in (undisturbed / "trajectory").iterdir():
        assert same_weights(work / "trajectory" / folder.name, folder)


def test_two_ranks_under_zero_3_have_the_losses_of_one(
    undisturbed: Path, masked: dict[str, Any], tmp_path: Path
) -> None:
    spread = {**masked, "training": {**masked["training"], "zero_stage": 3}}
    assert launch(tmp_path, spread, MODULE) == 0, log_of(tmp_path)[-3000:]
    ours, theirs = last_values(tmp_path), last_values(undisturbed)
    losses = [key for key in theirs if "loss" in key[1]]
    assert len(losses) >= MAX_STEPS
    assert [ours[key] for key in losses] == pytest.approx([theirs[key] for key in losses], rel=1e-4)
    assert summary_of(tmp_path) == {**summary_of(undisturbed), "num_ranks": 2}
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "trajectory" / summary_of(tmp_path)["trajectory"][-1])
    assert model.num_parameters() == summary_of(tmp_path)["num_parameters"]
    shutil.rmtree(tmp_path / "resume")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.sampled_from([(1, 8), (2, 4), (2, 2), (4, 1)]), st.integers(0, 40))
def test_a_step_has_the_same_masks_on_any_number_of_ranks(
    masked: dict[str, Any], shares: tuple[int, int], data_step: int
) -> None:
    config = read_config(masked)
    mixture, objective = open_mixture(config), objective_of(config)
    assert isinstance(objective, MaskedToken)
    whole = batch_of(mixture, objective, config, 1, 8, data_step)
    parts = batch_of(mixture, objective, config, *shares, data_step)
    assert all(torch.equal(part, other) for part, other in zip(parts, whole, strict=True))
    again = batch_of(mixture, objective, config, 1, 8, data_step + 1)
    assert not torch.equal(whole[1], again[1])


def batch_of(
    mixture: Any, objective: Any, config: Any, num_ranks: int, micro_batch_size: int, data_step: int
) -> tuple[torch.Tensor, ...]:
    """The global batch of a step, put together from all ranks' micro-batches."""
    training = replace(config.training, micro_batch_size=micro_batch_size)
    found = []
    for micro_step in range(8 // (num_ranks * micro_batch_size)):
        for rank in range(num_ranks):
            batches = Batches(mixture, objective, training, World(rank=rank, size=num_ranks, device=CPU))
            found.append(batches.get(data_step, micro_step))
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def test_an_encoder_is_not_asked_and_starts_from_no_decoder(masked: dict[str, Any], model_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"pretrain.start_from .* is a decoder, and an encoder begins with random"):
        read_config({**masked, "start_from": model_folder})
    looked_at = {"every_steps": 1, "examples": {}, "questions": [], "num_examples": 1, "shots": 0}
    with pytest.raises(ValueError, match="an encoder answers no questions: monitoring is for a decoder"):
        read_config({**masked, "monitoring": {**looked_at, "note_tokens": 1, "batch_size": 1}})


def test_an_output_layer_that_is_not_computed_is_no_work(masked: dict[str, Any], config: dict[str, Any]) -> None:
    """Of the 32 tokens of a window five are masked; what else an encoder has works on each of them."""
    read = read_config(masked)
    output = read.vocab_size * read.shape.hidden_size
    assert parameters_a_token(read, 100_000) == 100_000 - round(output * 27 / 32)
    assert parameters_a_token(read_config(config), 100_000) == 100_000


def test_the_random_weights_are_the_encoder_s(masked: dict[str, Any], vocab_size: int) -> None:
    expected = build_encoder(ModelShape(**masked["shape"]), vocab_size, masked["seed"])
    found = starting_model(read_config(masked))
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), expected.parameters(), strict=True))
