"""What must end a run before its first step, each by really doing it."""

import json
import os
import re
import resource
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch

from lang1_assets.ops.model import build_model
from lang1_assets.ops.pretraining import preflight
from lang1_assets.ops.pretraining.config import crosses_checkpoint
from lang1_assets.ops.pretraining.preflight import (
    VERIFIED_FILE,
    DiskSpaceError,
    bytes_in,
    num_checkpoints,
    num_parameters,
    resume_bytes,
    trajectory_bytes,
)
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.shards import ShardError
from lang1_assets.ops.training.checkpoints import finished
from lang1_assets.ops.training.world import World
from tests.ops.launching import last_values, launch, log_of
from tests.ops.pretraining.one_process import accident, pretrain_here, read_config


@pytest.fixture
def own(config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The run with shards and a tokenizer of its own, to be spoilt."""
    sources = {name: str(shutil.copytree(source, tmp_path / name)) for name, source in config["sources"].items()}
    tokenizer = str(shutil.copytree(config["tokenizer_folder"], tmp_path / "tokenizer"))
    return {**config, "sources": sources, "tokenizer_folder": tokenizer}


def check(config: dict[str, Any], work: Path, world: World) -> None:
    work.mkdir(exist_ok=True)
    with Reporter(work, world.rank) as reporter:
        preflight.preflight(read_config(config), work, world, reporter)


def shard_of(config: dict[str, Any], pattern: str = "train-*.bin") -> Path:
    return sorted(Path(config["sources"]["notes"]).glob(pattern))[0]


def cut(config: dict[str, Any]) -> None:
    shard = shard_of(config)
    os.truncate(shard, shard.stat().st_size - 2)


def flip(config: dict[str, Any]) -> None:
    content = bytearray(shard_of(config).read_bytes())
    content[11] ^= 4
    shard_of(config).write_bytes(content)


def flip_held_out(config: dict[str, Any]) -> None:
    shard = shard_of(config, "val-*.bin")
    shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])


def change_manifest(config: dict[str, Any], **changes: Any) -> None:
    path = Path(config["sources"]["notes"]) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def other_tokenizer(config: dict[str, Any]) -> None:
    change_manifest(config, tokenizer_sha256="0" * 64)


def other_vocabulary(config: dict[str, Any]) -> None:
    change_manifest(config, vocab_size=7)


def model_of_another_vocabulary(config: dict[str, Any]) -> None:
    config["vocab_size"] += 1


def batch_that_does_not_divide(config: dict[str, Any]) -> None:
    config["training"] = {**config["training"], "micro_batch_size": 3}


def model_larger_than_the_disk(config: dict[str, Any]) -> None:
    """Hundreds of billions of parameters: counted, never made."""
    sizes = {"hidden_size": 32768, "intermediate_size": 131072, "num_hidden_layers": 128}
    config["shape"] = {**config["shape"], **sizes, "num_attention_heads": 128, "num_key_value_heads": 128}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, r"train-.*\.bin: \d+ bytes, the manifest says \d+; materialize these shards again"),
        (
            flip,
            r"train-.*\.bin: its checksum is not its manifest's \(1 of 4 shards differ\).*remove its folder and materialize",
        ),
        (flip_held_out, r"val-.*\.bin: its checksum is not its manifest's"),
        (other_tokenizer, "notes: tokenized with another tokenizer .*materialize these shards again"),
        (other_vocabulary, "notes: its manifest has a vocabulary of 7, the tokenizer of .*materialize these shards"),
        (model_of_another_vocabulary, "a vocabulary of .*, and the model is to have .*; materialize the tokenizer"),
        (
            batch_that_does_not_divide,
            "global_batch_size 8 is not a multiple of micro_batch_size 3 x 1 ranks; change one",
        ),
        (
            model_larger_than_the_disk,
            r"[\d,.]+ GB free and [\d,.]+ GB needed: 4 resume points of [\d,.]+ GB and 4 check",
        ),
    ],
)
def test_it_ends_before_the_first_step_and_says_what_to_do(
    own: dict[str, Any], tmp_path: Path, one_rank: World, spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    check(own, tmp_path / "before", one_rank)
    spoil(own)
    with accident(lambda state, loss: loss) as drawn, pytest.raises(ValueError, match=said):
        pretrain_here(own, tmp_path / "work", one_rank)
    assert drawn == []
    assert not (tmp_path / "work" / "resume").exists()


def test_the_job_s_exit_code_says_that_trying_again_changes_nothing(own: dict[str, Any], tmp_path: Path) -> None:
    """Two ranks: whoever says why (the launcher ends the second one when the first is gone) says the same."""
    flip(own)
    assert launch(tmp_path / "work", own, "lang1_assets.ops.pretraining") == 65, log_of(tmp_path / "work")[-3000:]
    reasons = [line for line in log_of(tmp_path / "work").splitlines() if line.startswith("ShardError: ")]
    assert len(set(reasons)) == 1
    assert "its checksum is not its manifest's" in reasons[0]
    assert "step 1/" not in log_of(tmp_path / "work")


class Neighbour(World):
    """One of the ranks of `neighbours`: threads instead of processes, so that each one's error can be seen."""

    def gather(self, value: Any) -> list[Any]:
        values, barrier = self.hosts
        values[self.rank] = value
        barrier.wait()
        gathered = list(values)
        barrier.wait()
        return gathered


def neighbours(size: int) -> list[World]:
    hosts: tuple[list[Any], Barrier] = [None] * size, Barrier(size)
    return [Neighbour(rank=rank, size=size, device=torch.device("cpu"), hosts=hosts) for rank in range(size)]


def test_the_rank_that_finds_a_wrong_shard_tells_the_others(own: dict[str, Any], tmp_path: Path) -> None:
    """Each of two ranks reads a half of the four shards, so one of them cannot know."""

    def error_of(world: World) -> BaseException | None:
        with Reporter(tmp_path / "work", world.rank) as reporter, pytest.raises(ShardError) as caught:
            preflight.verify_shards(read_config(own), tmp_path / "work", world, reporter)
        return caught.value

    (tmp_path / "work").mkdir()
    flip(own)
    with ThreadPoolExecutor(2) as pool:
        first, second = map(str, pool.map(error_of, neighbours(2)))
    assert first == second
    assert re.search(r"its checksum is not its manifest's \(1 of 4 shards differ\)", first)


def test_a_shard_that_was_right_is_read_again_only_when_it_changed(
    own: dict[str, Any], tmp_path: Path, one_rank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(path: Path) -> str:
        read.append(path.name)
        return sha256_of(path)

    read: list[str] = []
    sha256_of = preflight.sha256_of
    monkeypatch.setattr(preflight, "sha256_of", counted)
    check(own, tmp_path / "work", one_rank)
    assert len(read) == 4
    check(own, tmp_path / "work", one_rank)
    assert len(read) == 4
    os.utime(shard_of(own), ns=(1, 1))
    check(own, tmp_path / "work", one_rank)
    assert read[4:] == [shard_of(own).name]
    assert len(json.loads((tmp_path / "work" / VERIFIED_FILE).read_text())) == 4


def test_the_space_that_is_asked_for_is_what_a_run_takes(
    config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    """Of a model of a million parameters, so that what does not grow with it weighs little."""
    shape = {**config["shape"], "hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4}
    larger = {**config, "shape": {**shape, "num_key_value_heads": 4}}
    larger["training"] = {**config["training"], "max_steps": 5, "micro_batch_size": 8}
    read = read_config(larger)
    assert num_parameters(read) == build_model(read.shape, read.vocab_size, 1).num_parameters()
    pretrain_here(larger, tmp_path, one_rank)
    assert bytes_in(tmp_path / "resume" / "step-00000005") == pytest.approx(resume_bytes(read), rel=0.05)
    weights = list((tmp_path / "trajectory").glob("*/model.safetensors"))
    assert weights[0].stat().st_size == pytest.approx(trajectory_bytes(read), rel=0.05)
    assert len(weights) == num_checkpoints(read) == 1 + sum(crosses_checkpoint(read, step) for step in range(1, 6))


def test_what_lies_there_already_counts_as_space(
    config: dict[str, Any], tmp_path: Path, one_rank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run on a disk that is full of its own resume points goes on."""
    read = read_config(config)
    needed = 4 * resume_bytes(read) + 4 * trajectory_bytes(read) + preflight.SPARE_BYTES
    free = needed - 1
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage._replace(free=free))
    with pytest.raises(DiskSpaceError, match=re.escape(str(tmp_path))):
        preflight.check_disk(read, tmp_path, one_rank)
    (tmp_path / "resume" / "step-00000005").mkdir(parents=True)
    (tmp_path / "resume" / "step-00000005" / "optimizer.pt").write_bytes(b"1")
    preflight.check_disk(read, tmp_path, one_rank)
    shutil.rmtree(tmp_path / "resume")
    (tmp_path / "trajectory" / "tokens-000000000000000").mkdir(parents=True)
    preflight.check_disk(read, tmp_path, one_rank)


def test_a_disk_that_fills_up_while_saving_leaves_the_checkpoint_before_it(
    config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    """Files may not grow beyond 64 kB from step 7 on, so the checkpoint of step 10 breaks off while it is written."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(state: Any, loss: torch.Tensor) -> torch.Tensor:
        if state.step == 9:
            resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, unlimited[1]))
        return loss

    whole, full = tmp_path / "whole", tmp_path / "full"
    pretrain_here(config, whole, one_rank)
    try:
        with (
            accident(fill),
            pytest.raises(OSError, match=r"step-00000010: the checkpoint could not be written .*free some"),
        ):
            pretrain_here(config, full, one_rank)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert [manifest.step for manifest in finished(full / "resume")] == [0, 5]
    assert (full / "resume" / "step-00000010").exists()
    with accident(lambda state, loss: loss) as drawn:
        assert pretrain_here(config, full, one_rank)
    assert drawn[0] == 5
    assert last_values(full) == last_values(whole)
