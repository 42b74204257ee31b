"""What is refused before it is read: a base that no share of fits."""

from dataclasses import replace
from pathlib import Path

import pytest

from lang1_assets.ops import gpu_room
from lang1_assets.ops.evaluation import open_to_score
from lang1_assets.ops.finetuning.sharing import bytes_of_each_rank
from lang1_assets.ops.gpu_room import num_weights, require_room
from lang1_assets.ops.model import open_model
from lang1_assets.ops.scoring import scoring_precision
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
