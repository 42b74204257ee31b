"""What is refused before it is read: a base that no share of fits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lang1_assets.ops import gpu_room
from lang1_assets.ops.evaluation import open_to_score
from lang1_assets.ops.finetuning.config import FinetuneConfig
from lang1_assets.ops.finetuning.sharing import bytes_of_each_rank
from lang1_assets.ops.gpu_room import num_weights, require_room
from lang1_assets.ops.model import open_model
from lang1_assets.ops.scoring import scoring_precision
from lang1_assets.ops.training.engine import start_engine, whole_weights
from lang1_assets.ops.training.world import World
from tests.ops.finetuning.running import learner, run
from tests.ops.launching import launch, log_of
from tests.ops.training.conftest import CONFIG

BILLION = 10**9
GPU = 80 * BILLION


@pytest.mark.parametrize(
    ("stage", "precision", "is_frozen", "expected"),
    [
        (3, "bf16", True, 70 * 2 / 8),
        (2, "bf16", True, 70 * 2),
        (3, "fp32", True, 70 * 4 / 8),
        (3, "bf16", False, 70 * (2 + 4 + 12) / 8),
        (2, "bf16", False, 70 * (2 + (4 + 12) / 8)),
        (1, "fp32", False, 70 * (4 + 4 + 8 / 8)),
        (0, "fp32", False, 70 * (4 + 4 + 8)),
    ],
)
def test_bytes_of_70_billion_weights_on_8_ranks(stage: int, precision: str, is_frozen: bool, expected: float) -> None:
    training = replace(CONFIG, zero_stage=stage, precision=precision)
    assert bytes_of_each_rank(70 * BILLION, training, 8, is_frozen=is_frozen) == expected * BILLION


def test_weights_are_counted_without_being_read(model_folder: Path) -> None:
    assert num_weights(model_folder) == sum(value.numel() for value in open_model(model_folder).state_dict().values())


def test_what_does_not_fit_is_refused_before_it_is_read(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = num_weights(model_folder) * scoring_precision().itemsize
    monkeypatch.setattr(gpu_room, "gpu_bytes", lambda: needed)
    open_to_score(model_folder, scoring_precision())
    monkeypatch.setattr(gpu_room, "gpu_bytes", lambda: needed - 1)
    monkeypatch.setattr("lang1_assets.ops.evaluation.open_model", lambda *arguments: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=f"needs {needed:,} bytes of each GPU or more, and there are {needed - 1:,}"):
        open_to_score(model_folder, scoring_precision())


def test_without_a_gpu_nothing_is_asked(tmp_path: Path) -> None:
    require_room(tmp_path / "not there", "anything", lambda weights: GPU, "")


def test_two_ranks_that_share_a_frozen_base_give_the_adapters_of_one_rank(
    config: dict[str, Any], model_folder: Path, one_rank: World, tmp_path: Path
) -> None:
    """Under ZeRO-3 no rank ever has the base whole; of one rank it does. Without dropout, which differs by rank."""
    lora = {"rank": 2, "alpha": 4, "dropout": 0.0, "modules": ["q_proj", "v_proj"]}
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run({**config, "lora": lora}, alone, one_rank)
    training = {**config["training"], "zero_stage": 3, "micro_batch_size": 2}
    changed = {**config, "lora": lora, "training": training}
    assert launch(shared, changed, "lang1_assets.ops.finetuning") == 0, log_of(shared)[-3000:]
    weights, expected = (load_file(work / "model" / "model.safetensors") for work in (shared, alone))
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], atol=1e-3, rtol=1e-3)
    base = load_file(model_folder / "model.safetensors")
    changed_names = {name for name, value in weights.items() if not torch.equal(value, base[name])}
    assert changed_names == {name for name in weights if "q_proj" in name or "v_proj" in name}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_under_zero_3_a_base_is_opened_in_shares(
    precision: str, config: dict[str, Any], model_folder: Path, one_rank: World
) -> None:
    """Never whole, in the precision that it is computed with, and with the file's weights; afterwards models are opened as ever."""
    training = {**config["training"], "zero_stage": 3, "precision": precision}
    lora = {"rank": 2, "alpha": 4, "dropout": 0.0, "modules": ["q_proj", "v_proj"]}
    module = learner({**config, "lora": lora, "training": training}).open()
    frozen = {name: value for name, value in module.named_parameters() if not value.requires_grad}
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    assert {(value.numel(), value.dtype) for value in frozen.values()} == {(0, dtype)}
    read = FinetuneConfig.from_json({**config, "training": {**training, "micro_batch_size": 8}})
    engine = start_engine(module, read.training, one_rank)
    expected = load_file(model_folder / "model.safetensors")
    weights = {name.replace(".base_layer", ""): value for name, value in whole_weights(engine).items()}
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value.to(dtype), msg=name)
    assert sum(value.numel() for value in open_model(model_folder).parameters()) > 0
