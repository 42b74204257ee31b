"""Somebody fills the disk while a model trains: the last checkpoint is whole, and the job goes on from it to the same weights."""

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lang1_assets.ops.pretraining.preflight import DiskSpaceError
from lang1_assets.ops.training.checkpoints import RESUME_FOLDER, finished
from lang1_assets.ops.training.world import World
from tests.full_disk import SmallDisk, small_disk  # noqa: F401
from tests.ops.launching import same_weights, summary_of
from tests.ops.pretraining.one_process import accident, pretrain_here


def test_training_goes_on_when_there_is_space_again(
    config: dict[str, Any],
    tmp_path: Path,
    one_rank: World,
    small_disk: SmallDisk,  # noqa: F811
) -> None:
    whole, work = tmp_path / "whole", small_disk.folder / "work"
    pretrain_here(config, whole, one_rank)
    # The job does not begin with less than it will need.
    with pytest.raises(DiskSpaceError):
        pretrain_here(config, work, one_rank)
    small_disk.resize(320 * 2**20)

    def filled(state: Any, loss: Tensor) -> Tensor:
        if state.step == 8:
            small_disk.fill()
        return loss

    with accident(filled) as drawn, pytest.raises((OSError, RuntimeError)):
        pretrain_here(config, work, one_rank)
    assert max(drawn) < 12
    assert not (work / "summary.json").exists()
    steps = [checkpoint.step for checkpoint in finished(work / RESUME_FOLDER)]
    assert steps, "what was saved before is there"
    (small_disk.folder / "ballast").unlink()
    with accident(lambda state, loss: loss) as drawn:
        pretrain_here(config, work, one_rank)
    assert min(drawn) == max(steps)
    assert summary_of(work) == summary_of(whole)
    for folder in sorted((whole / "trajectory").iterdir()):
        assert same_weights(work / "trajectory" / folder.name, folder)
