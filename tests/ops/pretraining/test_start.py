"""Continual pretraining: what a run begins with is the checkpoint, or the checkpoint is refused with a reason."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import MistralConfig, MistralForCausalLM

from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.model import ModelShape, open_model, save_model
from lang1_assets.ops.pretraining.checkpoint_hash import checkpoint_sha256
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.pretraining.start import StartError, check_start, starting_model
from lang1_assets.ops.shards import TokenShards
from tests.ops.conftest import CONTEXT_LENGTH, PROMPT_CONTEXT, SEED, SHAPE
from tests.ops.launching import last_values, launch, log_of, same_weights

MODULE = "lang1_assets.ops.pretraining"


def first_batch(config: dict[str, Any]) -> torch.Tensor:
    shards = {name: TokenShards(folder, "train") for name, folder in config["sources"].items()}
    mixture = Mixture(shards, config["weights"], CONTEXT_LENGTH, config["seed"])
    return torch.from_numpy(mixture.batch(0, 8, 0, 1, 8, 0).astype(np.int64))


def test_the_first_loss_is_the_checkpoint_s_own_on_that_batch(
    config: dict[str, Any], model_folder: Path, vocab_size: int, tmp_path: Path
) -> None:
    """Its weights are twelve times as wide as a fresh model's, so that its loss is far from a uniform guess."""
    windows = first_batch(config)
    with torch.no_grad():
        expected = open_model(model_folder)(input_ids=windows, labels=windows).loss.item()
    assert abs(expected - np.log(vocab_size)) > 0.3
    training = {**config["training"], "max_steps": 2}
    assert launch(tmp_path, {**config, "training": training, "start_from": model_folder}, MODULE) == 0, log_of(
        tmp_path
    )[-3000:]
    assert last_values(tmp_path)[1, "train/loss"] == pytest.approx(expected, rel=1e-5)
    first, last = sorted((tmp_path / "trajectory").iterdir())[:: len(list((tmp_path / "trajectory").iterdir())) - 1]
    assert same_weights(first, model_folder)
    assert not same_weights(last, model_folder)
    assert json.loads((last / "config.json").read_text())["max_position_embeddings"] == PROMPT_CONTEXT


@pytest.fixture(scope="module")
def mistral_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, vocab_size: int) -> Path:
    """Another Llama-like decoder than Llama, with more embeddings than pieces, as some are published."""
    torch.manual_seed(SEED)
    sizes = {name: getattr(SHAPE, name) for name in ("hidden_size", "intermediate_size", "num_hidden_layers")}
    heads = {name: getattr(SHAPE, name) for name in ("num_attention_heads", "num_key_value_heads")}
    built = MistralForCausalLM(
        MistralConfig(vocab_size=vocab_size + 8, max_position_embeddings=PROMPT_CONTEXT, **sizes, **heads)
    )
    folder = tmp_path_factory.mktemp("mistral") / "model"
    save_model(built, built.state_dict(), tokenizer_folder, folder)
    return folder


def test_another_llama_like_model_is_gone_on_from(config: dict[str, Any], mistral_folder: Path) -> None:
    model = starting_model(PretrainConfig.from_json({**config, "start_from": str(mistral_folder)}))
    assert isinstance(model, MistralForCausalLM)
    kept = load_file(mistral_folder / "model.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hidden_size": 32}, "model.hidden_size is 32, the checkpoint's 16"),
        ({"num_key_value_heads": 2}, "model.num_key_value_heads is 2, the checkpoint's 1"),
        ({"context_length": 161}, "model.context_length is 161, more than the checkpoint's 160"),
    ],
)
def test_a_shape_that_contradicts_the_checkpoint_is_named(
    model_folder: Path, tokenizer_folder: Path, vocab_size: int, change: dict[str, int], problem: str
) -> None:
    check_start(model_folder, SHAPE, tokenizer_folder, vocab_size)
    with pytest.raises(StartError, match=problem):
        check_start(model_folder, replace(SHAPE, **change), tokenizer_folder, vocab_size)


def test_shards_of_another_tokenizer_are_refused(
    tmp_path: Path, model_folder: Path, tokenizer_folder: Path, vocab_size: int
) -> None:
    """Two pieces have changed places: as many of them, and every text means something else."""
    other = tmp_path / "other"
    shutil.copytree(tokenizer_folder, other)
    values = json.loads((other / "tokenizer.json").read_text())
    vocab = values["model"]["vocab"]
    first, second = list(vocab)[-2:]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    (other / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(StartError, match=r"shards are of another tokenizer than the checkpoint's own .*kind: path"):
        check_start(model_folder, SHAPE, other, vocab_size)


def test_more_pieces_than_embeddings_are_refused(model_folder: Path, tokenizer_folder: Path, vocab_size: int) -> None:
    with pytest.raises(StartError, match=f"tokenizer has {vocab_size + 1} pieces, the checkpoint {vocab_size} embedd"):
        check_start(model_folder, SHAPE, tokenizer_folder, vocab_size + 1)


def test_pickled_weights_are_not_started_from(
    tmp_path: Path, model_folder: Path, tokenizer_folder: Path, vocab_size: int
) -> None:
    shutil.copyfile(model_folder / "config.json", tmp_path / "config.json")
    torch.save(load_file(model_folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    for refused in (
        lambda: checkpoint_sha256(tmp_path),
        lambda: check_start(tmp_path, SHAPE, tokenizer_folder, vocab_size),
    ):
        with pytest.raises(
            ValueError, match=r"start_from .*expected a Hugging Face folder with config.json and \*.safetens"
        ):
            refused()


def test_the_hash_is_that_of_config_and_weights(tmp_path: Path, model_folder: Path) -> None:
    copied = tmp_path / "elsewhere"
    shutil.copytree(model_folder, copied)
    (copied / "README.md").write_text("a model card")
    before = checkpoint_sha256(model_folder)
    assert checkpoint_sha256(copied) == before
    with (copied / "model.safetensors").open("r+b") as handle:
        handle.seek(-1, 2)
        last = handle.read(1)
        handle.seek(-1, 2)
        handle.write(bytes([last[0] ^ 1]))
    assert checkpoint_sha256(copied) != before


def test_without_a_checkpoint_a_run_begins_with_random_weights(config: dict[str, Any]) -> None:
    read = PretrainConfig.from_json(config)
    assert read.start_from is None
    assert isinstance(read.shape, ModelShape)
    std = starting_model(read).lm_head.weight.std().item()
    assert std == pytest.approx(read.shape.initializer_range, rel=0.05)
